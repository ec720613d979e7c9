"""numpy: every primitive spelled out for reading, the reference that the tests hold the frameworks against.

It computes forwards only: there are no gradients and nothing is compiled.
"""

import math
from contextlib import nullcontext

import numpy as np
import optree

from multikeras import config
from multikeras.backend import dtypes, shapes
from multikeras.backend.interface import Backend
from multikeras.backend.scope import SymbolicScope
from multikeras.backend.shapes import Spec

# numpy stores these, but computes little in them, or coarsely.
_NARROW = frozenset(dtypes.numpy_dtype(n) for n in ("bfloat16", "float16", *dtypes.FLOAT8))
_SCALAR_DTYPES = {bool: "bool", int: "int32", float: None, complex: "complex64", str: "string"}


def _wider(f, keep: bool = True):
    """Let `f` compute in float32 on narrower floats; `keep`: results of that dtype become the first again."""

    def apply(x, *more, **options):
        with np.errstate(all="ignore"):
            if x.dtype not in _NARROW:
                return np.asarray(f(x, *more, **options))
            more = [y.astype("float32") if isinstance(y, np.ndarray) and y.dtype == x.dtype else y for y in more]
            result = np.asarray(f(x.astype("float32"), *more, **options))
            return result.astype(x.dtype) if keep and result.dtype == np.float32 else result

    return staticmethod(apply)


def _same(f):
    """Wrap a function of arrays whose result has the dtype of its first argument."""
    return _wider(lambda x, *more, **options: np.asarray(f(x, *more, **options)).astype(x.dtype, copy=False))


def _each(f):
    """Make a function of float arrays of one of Python floats."""
    vectorized = np.vectorize(f, otypes=["float64"])
    return _same(lambda x: vectorized(x))


def _erfinv(y: float) -> float:
    """Invert `math.erf` by Halley steps from Winitzki's approximation (https://en.wikipedia.org/wiki/Error_function)."""
    size = abs(y)
    if not size < 1:
        return math.copysign(math.inf, y) if size == 1 else math.nan
    log = math.log1p(-size * size)
    half = 2 / (math.pi * 0.147) + log / 2
    x = math.sqrt(math.sqrt(half * half - log / 0.147) - half)
    for _ in range(3):
        # Near 1 only the complement has the digits.
        error = math.erf(x) - size if size < 0.5 else (1 - size) - math.erfc(x)
        step = error * math.sqrt(math.pi) / 2 * math.exp(x * x)
        x -= step / (1 + x * step)
    return math.copysign(x, y)


def _gammainc(a: float, x: float) -> float:
    """Return the regularized lower incomplete gamma function (https://dlmf.nist.gov/8.11, https://dlmf.nist.gov/8.9)."""
    if math.isnan(a) or math.isnan(x) or a < 0 or x < 0 or (a == 0 and x == 0):
        return math.nan
    if x == 0 or math.isinf(a):
        return 0.0
    if a == 0 or math.isinf(x):
        return 1.0
    scale = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        n = a
        while term > total * 1e-17:
            n += 1
            term *= x / n
            total += term
        return min(scale * total, 1.0)
    # Lentz's way through the continued fraction of the complement.
    b = x + 1 - a
    c, d = 1e300, 1 / b
    fraction = d
    for n in range(1, 100_000):
        b += 2
        numerator = n * (a - n)
        d = 1 / (numerator * d + b)
        c = b + numerator / c
        fraction *= c * d
        if abs(c * d - 1) < 1e-16:
            break
    return 1 - scale * fraction


def _complex(re, im):
    result = np.empty(np.broadcast_shapes(re.shape, im.shape), np.result_type(re.dtype, "complex64"))
    result.real, result.imag = re, im
    return result


def _power(x, y):
    if x.dtype.kind != "i":
        return np.power(x, y)
    inverse = np.where(x == 1, 1, np.where(x == -1, 1 - 2 * (y & 1), 0))
    return np.where(y < 0, inverse, np.power(x, np.maximum(y, 0)))


def _leaves(tree):
    return optree.tree_leaves(tree, none_is_leaf=True, namespace="multikeras")


def _map(f, *trees):
    def apply(x, *more):
        return None if x is None else f(x, *more)

    return optree.tree_map(apply, *trees, none_is_leaf=True, namespace="multikeras")


class NumpyBackend(Backend):
    name = "numpy"
    Tensor = np.ndarray
    tensor_types = (np.ndarray, np.generic)
    native_inexact = frozenset(dtypes.numpy_dtype(n) for n in (*dtypes.FLOATS, *dtypes.FLOAT8, *dtypes.COMPLEX))
    supports_gradients = False
    traces = False

    for _name in (
        "abs sign floor ceil exp expm1 log log1p sqrt sin cos tan sinh cosh tanh arcsin arccos arctan arcsinh "
        "arccosh arctanh isfinite isnan bitwise_not real imag conj subtract divide floor_divide mod maximum minimum "
        "arctan2 equal less bitwise_and bitwise_or bitwise_xor left_shift right_shift negative add multiply"
    ).split():
        locals()[_name] = _wider(getattr(np, _name))
    del _name
    round = _same(np.round)
    erf = _each(math.erf)
    erfc = _each(math.erfc)
    erfinv = _each(_erfinv)
    power = _same(_power)
    gammainc = _same(np.vectorize(_gammainc, otypes=["float64"]))
    nextafter = staticmethod(np.nextafter)
    complex = staticmethod(_complex)

    # -- tensors ---------------------------------------------------------------------------------------------------

    def asarray(self, x, dtype=None):
        if isinstance(x, (np.ndarray, np.generic)):
            return np.asarray(x) if dtype is None else self.cast(np.asarray(x), dtype)
        if type(x) in _SCALAR_DTYPES:
            return np.array(x, dtypes.numpy_dtype(dtype or _SCALAR_DTYPES[type(x)] or config.floatx()))
        if isinstance(x, (list, tuple)):
            dtype = dtype or self._nested_dtype(x)
            parts = [self.asarray(y, dtype) for y in x]
            return np.stack(parts) if parts else np.zeros(0, dtypes.numpy_dtype(dtype))
        if hasattr(x, "detach"):  # torch, whose bfloat16 numpy cannot take
            x = x.detach().cpu()
            x = x.float().numpy().astype(dtypes.numpy_dtype("bfloat16")) if "bfloat16" in str(x.dtype) else x.numpy()
        elif hasattr(x, "todense"):
            x = x.todense()
        return self.asarray(np.asarray(x), dtype)

    def _nested_dtype(self, xs):
        found = [type(x) if type(x) in _SCALAR_DTYPES else self.asarray(x).dtype for x in _leaves(xs)]
        return dtypes.result_type(*dict.fromkeys(found))

    def to_numpy(self, x):
        return np.array(x)

    def cast(self, x, dtype):
        if x.dtype.kind == "c" and not dtypes.is_complex(dtype) and dtype != "bool":
            x = x.real
        with np.errstate(all="ignore"):
            return x.astype(dtypes.numpy_dtype(dtype), copy=False)

    def bitcast(self, x, dtype):
        return np.ascontiguousarray(x).view(dtypes.numpy_dtype(dtype))

    def shape(self, x):
        return x.shape

    def dtype(self, x):
        return "string" if x.dtype == object else x.dtype.name

    def full(self, shape, value, dtype):
        return np.full(shape, value, dtypes.numpy_dtype(dtype))

    def arange(self, start, stop, step, dtype):
        return np.arange(start, stop, step).astype(dtypes.numpy_dtype(dtype))

    def where(self, condition, x, y):
        return np.where(condition, x, y)

    # -- reduce, order ---------------------------------------------------------------------------------------------

    sum = _same(lambda x, axis=None, keepdims=False: np.sum(x, axis, x.dtype, keepdims=keepdims))
    prod = _same(lambda x, axis=None, keepdims=False: np.prod(x, axis, x.dtype, keepdims=keepdims))
    max = _wider(lambda x, axis=None, keepdims=False: np.max(x, axis, keepdims=keepdims))
    min = _wider(lambda x, axis=None, keepdims=False: np.min(x, axis, keepdims=keepdims))
    argmax = _wider(lambda x, axis: np.argmax(x, axis).astype("int32"))
    argmin = _wider(lambda x, axis: np.argmin(x, axis).astype("int32"))
    cumsum = _same(lambda x, axis: np.cumsum(x, axis, x.dtype))
    cumprod = _same(lambda x, axis: np.cumprod(x, axis, x.dtype))
    sort = _wider(np.sort)
    argsort = _wider(lambda x, axis: np.argsort(x, axis, kind="stable").astype("int32"))

    def top_k(self, x, k):
        # Upwards through the reversed entries, then back: the first of equals comes first.
        indices = x.shape[-1] - 1 - self.argsort(x[..., ::-1], -1)[..., ::-1][..., :k]
        return np.take_along_axis(x, indices, -1), indices.astype("int32")

    # -- move ------------------------------------------------------------------------------------------------------

    def reshape(self, x, shape):
        return np.reshape(x, shape)

    def transpose(self, x, axes):
        return np.transpose(x, axes)

    def broadcast_to(self, x, shape):
        return np.broadcast_to(x, shape)

    def concatenate(self, xs, axis):
        return np.concatenate(xs, axis)

    def pad(self, x, widths, mode="constant", value=0):
        if mode != "constant":
            return np.pad(x, widths, mode)
        whole = np.full([low + d + high for d, (low, high) in zip(x.shape, widths)], value, x.dtype)
        whole[tuple(slice(low, low + d) for d, (low, _) in zip(x.shape, widths))] = x
        return whole

    def flip(self, x, axis):
        return np.flip(x, axis)

    def expand_dims(self, x, axis):
        return np.expand_dims(x, axis)

    def squeeze(self, x, axis):
        return np.squeeze(x, tuple(axis))

    # -- index -----------------------------------------------------------------------------------------------------

    def getitem(self, x, key):
        return np.asarray(x[key])

    def take(self, x, indices, axis):
        return np.take(x, indices, axis, mode="clip")

    def take_along_axis(self, x, indices, axis):
        return np.take_along_axis(x, indices, axis)

    def scatter(self, x, indices, updates, how="set"):
        count = indices.shape[-1]
        indices = indices.reshape(-1, count)
        updates = np.broadcast_to(updates, (*updates.shape[: updates.ndim - x.ndim + count], *x.shape[count:]))
        updates = updates.reshape(len(indices), *x.shape[count:])
        inside = np.all((indices >= 0) & (indices < x.shape[:count]), axis=-1)
        combine = {"add": np.add, "multiply": np.multiply, "max": np.maximum, "min": np.minimum}.get(how)
        result = np.array(x)
        for index, update in zip(indices[inside], updates[inside]):
            result[tuple(index)] = update if combine is None else combine(result[tuple(index)], update)
        return result

    def _block(self, x, start, sizes):
        starts = [min(max(int(s), 0), d - size) for s, d, size in zip(start, x.shape, sizes)]
        return tuple(slice(s, s + size) for s, size in zip(starts, sizes))

    def slice(self, x, start, sizes):
        return x[self._block(x, start, sizes)]

    def slice_update(self, x, start, updates):
        result = np.array(x)
        result[self._block(x, start, updates.shape)] = updates
        return result

    searchsorted = _wider(lambda a, values, side: np.searchsorted(a, values, side).astype("int32"))

    def nonzero(self, x):
        return tuple(i.astype("int32") for i in np.nonzero(x))

    def unique(self, x):
        values, first, inverse, counts = np.unique(x, return_index=True, return_inverse=True, return_counts=True)
        return values, first.astype("int32"), inverse.reshape(-1).astype("int32"), counts.astype("int32")

    # -- contract --------------------------------------------------------------------------------------------------

    matmul = _same(np.matmul)

    def einsum(self, subscripts, *xs):
        dtype = xs[0].dtype
        if dtype in _NARROW:
            xs = [x.astype("float32") for x in xs]
        return np.asarray(np.einsum(subscripts, *xs)).astype(dtype, copy=False)

    def conv(self, x, kernel, strides, padding, dilation, groups, data_format):
        x = _channels_last(x, data_format)
        window, n = kernel.shape[:-2], x.ndim - 2
        views = _windows(x, window, strides, _pairs(padding, x, window, strides, dilation), dilation, 0)
        # views: (batch, *positions, channels, *window); each group of channels meets its own filters.
        parts = [
            np.tensordot(_float(v), _float(k), [[n + 1, *range(n + 2, 2 * n + 2)], [n, *range(n)]])
            for v, k in zip(np.split(views, groups, n + 1), np.split(kernel, groups, -1))
        ]
        return _back(np.concatenate(parts, -1).astype(x.dtype, copy=False), data_format)

    def conv_transpose(self, x, kernel, strides, padding, output_padding, dilation, data_format):
        x = _channels_last(x, data_format)
        n = x.ndim - 2
        spread = np.zeros((len(x), *((d - 1) * s + 1 for d, s in zip(x.shape[1:-1], strides)), x.shape[-1]), x.dtype)
        spread[(slice(None), *(slice(None, None, s) for s in strides))] = x
        pairs = []
        for d, w, s, extra, step in zip(x.shape[1:-1], kernel.shape, strides, output_padding, dilation):
            reach = (w - 1) * step
            size = shapes.transposed_size(d, w, s, padding, extra, step)
            # What `conv` with these arguments would have padded in front of the result.
            cut = 0 if padding == "valid" else max((d - 1) * s + reach + 1 - size, 0) // 2
            pairs.append((reach - cut, size - (d - 1) * s - 1 + cut))
        kernel = np.swapaxes(np.flip(kernel, range(n)), -1, -2)
        return _back(self.conv(spread, kernel, (1,) * n, pairs, dilation, 1, "channels_last"), data_format)

    def max_pool(self, x, window, strides, padding, data_format):
        x = _channels_last(x, data_format)
        lowest = np.iinfo(x.dtype).min if dtypes.is_int(x.dtype.name) else x.dtype.type(0) if x.dtype == bool else -np.inf
        views = _windows(x, window, strides, _pairs(padding, x, window, strides), (1,) * len(window), lowest)
        return _back(self.max(views, tuple(range(x.ndim, views.ndim))), data_format)

    def average_pool(self, x, window, strides, padding, data_format):
        x = _channels_last(x, data_format)
        pairs = _pairs(padding, x, window, strides)

        def total(x):
            views = _windows(x, window, strides, pairs, (1,) * len(window), 0)
            return np.sum(_float(views), tuple(range(x.ndim, views.ndim)))

        mean = total(x) / total(np.ones((1, *x.shape[1:-1], 1), x.dtype))
        return _back(mean.astype(x.dtype, copy=False), data_format)

    # -- linear algebra, Fourier -----------------------------------------------------------------------------------

    def cholesky(self, x):
        return np.linalg.cholesky(x)

    def qr(self, x, mode):
        return tuple(np.linalg.qr(x, mode))

    def svd(self, x, full_matrices):
        return tuple(np.linalg.svd(x, full_matrices))

    def eigh(self, x):
        return tuple(np.linalg.eigh(x))

    def eig(self, x):
        dtype = np.result_type(x.dtype, "complex64")
        return tuple(part.astype(dtype) for part in np.linalg.eig(x))

    def solve(self, a, b):
        return np.linalg.solve(a, b)

    def solve_triangular(self, a, b, lower):
        return np.linalg.solve(np.tril(a) if lower else np.triu(a), b)

    def lu_factor(self, x):
        lu = np.array(x)
        rows, columns = x.shape[-2:]
        pivots = np.zeros((*x.shape[:-2], min(rows, columns)), "int32")
        for where in np.ndindex(x.shape[:-2]):
            m = lu[where]
            for i in range(min(rows, columns)):
                pivots[where][i] = p = i + np.argmax(np.abs(m[i:, i]))
                m[[i, p]] = m[[p, i]]
                if m[i, i] != 0:
                    m[i + 1 :, i] /= m[i, i]
                m[i + 1 :, i + 1 :] -= np.outer(m[i + 1 :, i], m[i, i + 1 :])
        return lu, pivots

    def slogdet(self, x):
        return tuple(map(np.asarray, np.linalg.slogdet(x)))

    def fft(self, x):
        return np.fft.fft(x).astype(x.dtype, copy=False)

    def rfft(self, x, n):
        return np.fft.rfft(x, n).astype(np.result_type(x.dtype, "complex64"), copy=False)

    def irfft(self, x, n):
        return np.fft.irfft(x, n).astype(x.real.dtype, copy=False)

    # -- random ----------------------------------------------------------------------------------------------------

    def random_uniform(self, key, shape, dtype):
        # As many random bits as the dtype holds, so that rounding never gives 1.
        bits = {"bfloat16": 8, "float16": 11, "float32": 24}.get(dtype, 53)
        return self.cast(_generator(key).integers(0, 2**bits, shape) / 2.0**bits, dtype)

    def random_normal(self, key, shape, dtype):
        return self.cast(np.asarray(_generator(key).standard_normal(shape)), dtype)

    def random_randint(self, key, shape, low, high, dtype):
        return self.cast(np.asarray(_generator(key).integers(low, high, shape)), dtype)

    def random_halves(self, key, shape):
        return np.asarray(_generator(key).integers(-(2**15), 2**15, shape, "int16"))

    def random_gamma(self, key, shape, alpha, dtype):
        return self.cast(np.asarray(_generator(key).standard_gamma(_float(alpha), shape)), dtype)

    def random_binomial(self, key, shape, counts, probabilities, dtype):
        counts = np.asarray(counts).astype("int64")
        return self.cast(np.asarray(_generator(key).binomial(counts, _float(np.asarray(probabilities)), shape)), dtype)

    # -- control ---------------------------------------------------------------------------------------------------

    def cond(self, predicate, true_fn, false_fn):
        return true_fn() if predicate else false_fn()

    def while_loop(self, condition, body, state, maximum_iterations):
        turns = 0
        while (maximum_iterations is None or turns < maximum_iterations) and condition(*state):
            state = tuple(body(*state))
            turns += 1
        return state

    def scan(self, f, init, xs, length, reverse=False, unroll=1):
        inputs = [x for x in _leaves(xs) if x is not None]
        count = len(inputs[0]) if inputs else length
        carry, ys = init, []
        for i in reversed(range(count)) if reverse else range(count):
            carry, y = f(carry, _map(lambda x, i=i: x[i], xs))
            ys.append(y)
        if not ys:
            return carry, None
        return carry, _map(lambda *parts: np.stack(parts), *(reversed(ys) if reverse else ys))

    def vectorized_map(self, f, xs):
        results = [f(_map(lambda x, i=i: np.asarray(x[i]), xs)) for i in range(len(_leaves(xs)[0]))]
        return _map(lambda *parts: np.stack(parts), *results)

    def stop_gradient(self, x):
        return x

    def custom_gradient(self, f):
        return lambda *args, **kwargs: f(*args, **kwargs)[0]

    def remat(self, f):
        return f

    # -- programs --------------------------------------------------------------------------------------------------

    def _no_gradients(self, *args, **kwargs):
        raise RuntimeError(
            "The numpy backend computes no gradients, so it cannot train. Install a framework, for example "
            '`pip install "multikeras[jax]"` (or [torch], [tensorflow]), and select it by MULTIKERAS_BACKEND=jax.'
        )

    value_and_grad = vjp = jvp = _no_gradients

    def jit(self, f, variables=None, compile="auto", pure=False):
        return f

    def repeat(self, step, variables, compile="auto", pure=False, done=None, result=None):
        def many(xs, start, stop, *shared):
            for i in range(start, stop):
                step(_map(lambda x, i=i: np.asarray(x[i]), xs), *shared)

        return many

    def eval_shape(self, f, *specs):
        def run(size):
            def zeros(spec):
                if not isinstance(spec, Spec):
                    return spec
                return np.zeros([size if d is None else d for d in spec.shape], dtypes.numpy_dtype(spec.dtype))

            with SymbolicScope():
                return f(*optree.tree_map(zeros, specs, none_is_leaf=True, namespace="multikeras"))

        def agreed(a, b):
            if not self.is_tensor(a):
                return a
            return Spec([d if d == e else None for d, e in zip(a.shape, b.shape)], self.dtype(a))

        return optree.tree_map(agreed, run(12), run(24), none_is_leaf=True, namespace="multikeras")

    # -- devices, variables ----------------------------------------------------------------------------------------

    def device_scope(self, device):
        if device.lower() not in ("cpu", "cpu:0"):
            raise ValueError(f"device={device!r} is not here. Devices: cpu:0.")
        return nullcontext()

    def devices(self, kind=None):
        return ["cpu:0"] if kind is None or kind.lower() == "cpu" else []

    def make_variable(self, value, trainable, name, aggregation="none", synchronization="auto"):
        return np.array(value)

    def copy_tensor(self, x):
        return np.array(x)

    def assign(self, store, value):
        # The caller may go on changing its array.
        return np.array(value)

    def adopt(self, array):
        return array

    def peek(self, store):
        return store

    def fill(self, store, shape, dtype, read):
        if not (store.flags.c_contiguous and store.flags.writeable):
            return super().fill(store, shape, dtype, read)
        read(store)
        return store


def _float(x):
    return x.astype("float32") if x.dtype in _NARROW else x


def _channels_last(x, data_format):
    return np.moveaxis(x, 1, -1) if data_format == "channels_first" else x


def _back(x, data_format):
    return np.moveaxis(x, -1, 1) if data_format == "channels_first" else x


def _pairs(padding, x, window, strides, dilation=None):
    """Return (low, high) for each spatial dimension of `x`, which has its channels last."""
    if padding == "valid":
        return [(0, 0)] * len(window)
    if padding == "same":
        dilation = dilation or (1,) * len(window)
        return [shapes.same_padding(*sizes) for sizes in zip(x.shape[1:-1], window, strides, dilation)]
    return padding


def _windows(x, window, strides, pairs, dilation, value):
    """Return a view (batch, *positions, channels, *window) of `x`, padded by `value`; negative padding cuts."""
    n = len(window)
    x = np.pad(x, [(0, 0), *((max(low, 0), max(high, 0)) for low, high in pairs), (0, 0)], constant_values=value)
    x = x[(slice(None), *(slice(max(-low, 0), min(high, 0) or None) for low, high in pairs))]
    reach = [(w - 1) * d + 1 for w, d in zip(window, dilation)]
    if any(r > d for r, d in zip(reach, x.shape[1:])):
        positions = [max(d - r, -1) // s + 1 for d, r, s in zip(x.shape[1:], reach, strides)]
        return np.zeros((len(x), *positions, x.shape[-1], *window), x.dtype)
    views = np.lib.stride_tricks.sliding_window_view(x, reach, tuple(range(1, n + 1)))
    steps = (slice(None, None, s) for s in strides), (slice(None, None, d) for d in dilation)
    return views[(slice(None), *steps[0], slice(None), *steps[1])]


def _generator(key):
    return np.random.Generator(np.random.Philox(key=np.asarray(key, "uint64")))


BACKEND = NumpyBackend
