"""JAX: the primitives that compute on arrays; `_jax_programs` has those that run functions.

float64 and int64 are honoured where a dtype asks for them, without switching the process to 64 bits.
"""

import functools
import logging
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax._src.array import ArrayImpl  # the only spelling that does not start a device at import
from jax.custom_derivatives import SymbolicZero

from multikeras import config
from multikeras.backend import dtypes
from multikeras.backend._jax_programs import WIDE, JaxPrograms, JaxVariable, dtype_names, precision
from multikeras.backend._jax_sparse import SparseTensors
from multikeras.backend.scope import stack
from multikeras.backend.shapes import same_padding, transposed_size

# What it says about a GPU that the installed jaxlib cannot use is no news to whoever installed it.
logging.getLogger("jax._src.xla_bridge").setLevel(logging.ERROR)
jax.config.update("jax_explicit_x64_dtypes", "allow")

KEEPS_64_BITS = True
"""Whether `asarray` without a dtype keeps float64 and int64 arrays (False: 32 bits wide, as in plain JAX)."""

_NARROW = {"float64": "float32", "int64": "int32", "uint64": "uint32", "complex128": "complex64"}
_NONE_IS_LEAF = {"is_leaf": lambda x: x is None}


def _wide_inside(f: Callable) -> Callable:
    """Let JAX use 64-bit constants inside `f(x, ...)` if `x` is 64 bits wide: some of its functions need them."""

    def wrapped(x, *args, **options):
        with precision(dtype_names[x.dtype]):
            return f(x, *args, **options)

    return staticmethod(wrapped)


def _as_integers(x, nan):
    """Return integers in the order of the floats `x`, NaN as the largest ("max") or smallest ("min").

    XLA compares subnormal floats as if they were 0.
    """
    if x.dtype.itemsize == 1:
        x = x.astype("float32")
    kind = np.dtype(f"int{x.dtype.itemsize * 8}")
    bits = lax.bitcast_convert_type(x, kind)
    size = bits & np.iinfo(kind).max
    key = jnp.where(bits < 0, -size, size)
    infinity = np.array(np.inf, x.dtype).view(kind)
    return jnp.where(size > infinity, jnp.asarray(getattr(np.iinfo(kind), nan), kind), key)


def _position_of(extreme: Callable, native: Callable, nan: str) -> Callable:
    """Return argmax or argmin; JAX cannot lower its own for 64 bits inside a program that is otherwise of 32."""

    @functools.partial(jax.jit, static_argnums=1, inline=True)
    def position(x, axis):
        axis = axis % x.ndim
        x = _as_integers(x, nan) if jnp.issubdtype(x.dtype, jnp.floating) else x
        if dtype_names[x.dtype] not in WIDE:
            return native(x, axis, np.int32)
        found = x == extreme(x, axis, keepdims=True)
        places = lax.broadcasted_iota(np.int32, x.shape, axis)
        return jnp.min(jnp.where(found, places, np.int32(x.shape[axis])), axis)

    return position


def _derived(f: Callable, derivative: Callable) -> staticmethod:
    """Return `f` with `derivative(result, *arguments, *tangents)`, None for a tangent of 0, where JAX's own is no number."""
    derived = jax.custom_jvp(f)

    def rule(primals, tangents):
        result = f(*primals)
        tangents = [None if isinstance(t, SymbolicZero) else t for t in tangents]
        return result, derivative(result, *primals, *tangents)

    derived.defjvp(rule, symbolic_zeros=True)
    return staticmethod(jax.jit(derived, inline=True))


@jax.custom_jvp
def _scatter_products(x, indices, updates):
    where = x.at[tuple(jnp.moveaxis(indices, -1, 0))]
    return where.multiply(updates, mode="drop", wrap_negative_indices=False)


def _products_in_order(x, indices, updates):
    """Do the same by running products over updates in order of their indices, which JAX can differentiate."""
    depth = indices.shape[-1]
    indices, updates = indices.reshape(-1, depth), updates.reshape(-1, *x.shape[depth:])
    order = jnp.lexsort(indices.T)
    indices, updates = indices[order], updates[order]
    new = jnp.any(indices[1:] != indices[:-1], 1)
    first = jnp.concatenate([jnp.ones(1, bool), new]).reshape(-1, *(1,) * (updates.ndim - 1))

    def combine(a, b):
        return a[0] | b[0], jnp.where(b[0], b[1], a[1] * b[1])

    products = lax.associative_scan(combine, (jnp.broadcast_to(first, updates.shape), updates))[1]
    last = jnp.concatenate([new, jnp.ones(1, bool)])
    at = jnp.where(last[:, None], indices, x.shape[0])  # others fall outside
    factors = jnp.ones_like(x).at[tuple(at.T)].set(products, mode="drop", wrap_negative_indices=False)
    return x * factors


@_scatter_products.defjvp
def _(primals, tangents):
    x, indices, updates = primals
    if not indices.size:
        return x, tangents[0]
    given = tangents[0], tangents[2]
    return jax.jvp(lambda x, updates: _products_in_order(x, indices, updates), (x, updates), given)


def _of_power(result, x, y, dx, dy):
    total = jnp.zeros_like(result)
    if dx is not None:
        total += dx * (y * jnp.power(x, jnp.where(y == 0, 1, y) - 1))
    if dy is not None:
        total += dy * (result * jnp.log(jnp.where(x == 0, 1, x)))
    return total


def _of_division(result, x, y, dx, dy):
    # By one division for both, and without the square of y, which underflows.
    return (jnp.zeros_like(result) + (0 if dx is None else dx) - (0 if dy is None else result * dy)) / y


def _of_angle(result, y, x, dy, dx):
    square = jnp.where((x == 0) & (y == 0), 1, x * x + y * y)
    return jnp.zeros_like(result) + (0 if dy is None else x / square * dy) - (0 if dx is None else y / square * dx)


class JaxBackend(SparseTensors, JaxPrograms):
    name = "jax"
    Tensor = ArrayImpl
    tensor_types = (jax.Array,)
    native_inexact = frozenset(dtypes.numpy_dtype(n) for n in (*dtypes.FLOATS, *dtypes.FLOAT8, *dtypes.COMPLEX))
    VariableBase = JaxVariable
    widens_to_64_bits = False
    saturating_casts = True

    for _name in (
        "negative sign floor ceil round exp expm1 log log1p sqrt sin cos tan sinh cosh tanh arcsin arccos arctan "
        "arcsinh arccosh arctanh isfinite isnan bitwise_not real imag conj "
        "add subtract multiply floor_divide mod maximum minimum equal less bitwise_and bitwise_or bitwise_xor "
        "left_shift right_shift nextafter "
        "where reshape transpose broadcast_to flip expand_dims einsum matmul"
    ).split():
        locals()[_name] = staticmethod(getattr(jnp, _name))
    del _name
    # At 0 the derivative of `abs` is 0, JAX says 1; that of x**0 is 0 and that of `arctan2` too, JAX says NaN.
    abs = _derived(jnp.abs, lambda result, x, dx: jnp.real(dx * jnp.conj(jnp.sign(x))))
    divide = _derived(jnp.divide, _of_division)
    power = _derived(jnp.power, _of_power)
    arctan2 = _derived(jnp.arctan2, _of_angle)
    erf = staticmethod(lax.erf)
    erfc = staticmethod(lax.erfc)
    erfinv = staticmethod(lax.erf_inv)
    gammainc = _wide_inside(lambda a, x: lax.igamma(*jnp.broadcast_arrays(a, x)))
    complex = staticmethod(lambda re, im: lax.complex(*jnp.broadcast_arrays(re, im)))

    # -- tensors ---------------------------------------------------------------------------------------------------

    def asarray(self, x, dtype=None):
        if isinstance(x, JaxVariable):
            x = x.value  # type: ignore[attr-defined]
        if isinstance(x, jax.Array):
            if dtype is None or (dtype_names[x.dtype] == dtype and not x.weak_type):
                return x
            return self.cast(x, dtype)
        if dtype == "string":
            raise ValueError("JAX has no tensors of strings. Keep them in numpy arrays, or use the TensorFlow backend.")
        kind = type(x)
        if kind in _SCALAR_DTYPES:
            dtype = dtype or _SCALAR_DTYPES[kind] or config.floatx()
            # JAX itself would round a Python float to 32 bits on its way to 64.
            return jnp.asarray(np.asarray(x, dtype) if dtype in _NARROW else x, dtype)
        if isinstance(x, (list, tuple)):
            x = _array_of(x, default=dtype is None)
            if isinstance(x, jax.Array):
                return x if dtype is None else self.cast(x, dtype)
        elif hasattr(x, "todense"):
            return self.asarray(self.dense(x), dtype)
        elif hasattr(x, "detach"):
            x = _from_torch(x)
        elif hasattr(x, "__jax_array__"):  # a size that jax.export leaves open
            return self.asarray(jnp.asarray(x), dtype)
        x = np.asarray(x)
        if dtype is None:
            dtype = dtype_names[x.dtype]
            if x.dtype.kind in "OSU":
                raise ValueError(f"JAX has no tensors of {x.dtype} data.")
            if not KEEPS_64_BITS:
                dtype = _NARROW.get(dtype, dtype)
        if x.dtype.kind == "c" and not dtypes.is_complex(dtype) and dtype != "bool":
            x = x.real
        return jnp.asarray(x, dtype)

    def to_numpy(self, x):
        return np.asarray(x)

    def cast(self, x, dtype):
        if x.dtype.kind == "c" and not dtypes.is_complex(dtype):
            x = (x != 0) if dtype == "bool" else x.real
        return lax.convert_element_type(x, dtype)

    def bitcast(self, x, dtype):
        if x.dtype == bool:
            x = x.astype("uint8")
        if x.dtype.kind == "c":
            x = jnp.stack([x.real, x.imag], -1).reshape(*x.shape[:-1], -1)
        old, new = x.dtype.itemsize, dtypes.numpy_dtype(dtype).itemsize
        if new > old:
            x = x.reshape(*x.shape[:-1], x.shape[-1] * old // new, new // old)
        x = lax.bitcast_convert_type(x, dtype)
        return x.reshape(*x.shape[:-2], -1) if new < old else x

    def shape(self, x):
        return x.shape

    def dtype(self, x):
        return dtype_names[x.dtype]

    def full(self, shape, value, dtype):
        return jnp.full(shape, value, dtype)

    def arange(self, start, stop, step, dtype):
        return jnp.arange(start, stop, step, dtype)

    def unstacked(self, x):
        return list(jnp.unstack(x))

    # -- reduce, order ---------------------------------------------------------------------------------------------

    def sum(self, x, axis=None, keepdims=False):
        return jnp.sum(x, axis, dtype=x.dtype, keepdims=keepdims)

    def prod(self, x, axis=None, keepdims=False):
        return jnp.prod(x, axis, dtype=x.dtype, keepdims=keepdims)

    max = _wide_inside(lambda x, axis=None, keepdims=False: jnp.max(x, axis, keepdims=keepdims))
    min = _wide_inside(lambda x, axis=None, keepdims=False: jnp.min(x, axis, keepdims=keepdims))
    argmax = _wide_inside(_position_of(jnp.max, lax.argmax, "max"))
    argmin = _wide_inside(_position_of(jnp.min, lax.argmin, "min"))

    def cumsum(self, x, axis):
        return jnp.cumsum(x, axis, dtype=x.dtype)

    def cumprod(self, x, axis):
        return jnp.cumprod(x, axis, dtype=x.dtype)

    def sort(self, x, axis):
        return jnp.sort(x, axis)

    @_wide_inside
    def argsort(x, axis):
        x = _as_integers(x, "max") if jnp.issubdtype(x.dtype, jnp.floating) else x
        return jnp.argsort(x, axis).astype(jnp.int32)

    def top_k(self, x, k):
        if x.dtype == bool:
            values, indices = lax.top_k(x.astype("uint8"), k)
            return values.astype(bool), indices
        return tuple(lax.top_k(x, k))

    # -- move ------------------------------------------------------------------------------------------------------

    def concatenate(self, xs, axis):
        return jnp.concatenate(xs, axis)

    def pad(self, x, widths, mode="constant", value=0):
        if mode == "constant":
            return jnp.pad(x, tuple(map(tuple, widths)), constant_values=value)
        return jnp.pad(x, tuple(map(tuple, widths)), mode)

    def squeeze(self, x, axis):
        return jnp.squeeze(x, tuple(axis))

    # -- index -----------------------------------------------------------------------------------------------------

    def getitem(self, x, key):
        keys = key if isinstance(key, tuple) else (key,)
        return x[tuple(np.asarray(k) if isinstance(k, list) else k for k in keys)]

    def take(self, x, indices, axis):
        # Without JAX's 64-bit mode the gradient of a gather by int64 mixes dtypes; positions fit into 32 bits.
        indices = indices.astype("int32") if indices.dtype.itemsize == 8 else indices
        return jnp.take(x, indices, axis, mode="clip")

    def take_along_axis(self, x, indices, axis):
        return jnp.take_along_axis(x, indices, axis, mode="clip")

    def scatter(self, x, indices, updates, how="set"):
        where = x.at[tuple(jnp.moveaxis(indices, -1, 0))]
        if how == "multiply" and jnp.issubdtype(x.dtype, jnp.inexact):
            return _scatter_products(x, indices, updates)
        return getattr(where, how)(updates, mode="drop", wrap_negative_indices=False)

    def slice(self, x, start, sizes):
        return lax.dynamic_slice(x, start, sizes)

    def slice_update(self, x, start, updates):
        return lax.dynamic_update_slice(x, updates, start)

    def searchsorted(self, sorted_sequence, values, side):
        return jnp.searchsorted(sorted_sequence, values, side).astype(jnp.int32)

    def nonzero(self, x):
        return tuple(i.astype(jnp.int32) for i in jnp.nonzero(x))

    def unique(self, x):
        values, *indices = jnp.unique(x, return_index=True, return_inverse=True, return_counts=True)
        return (values, *(i.astype(jnp.int32) for i in indices))

    # -- contract --------------------------------------------------------------------------------------------------

    def conv(self, x, kernel, strides, padding, dilation, groups, data_format):
        self.convolutions += 1
        return lax.conv_general_dilated(
            x, kernel, strides, padding.upper() if isinstance(padding, str) else padding, rhs_dilation=dilation,
            dimension_numbers=_layouts(x.ndim, data_format, "IO"), feature_group_count=groups,
        )  # fmt: skip

    def conv_transpose(self, x, kernel, strides, padding, output_padding, dilation, data_format):
        self.convolutions += 1
        first = 2 if data_format == "channels_first" else 1
        pads = []
        for n, w, s, extra, step in zip(x.shape[first:], kernel.shape, strides, output_padding, dilation):
            reach = (w - 1) * step
            size = transposed_size(n, w, s, padding, extra, step)
            # What `conv` with these arguments would have padded in front of the result.
            cut = 0 if padding == "valid" else max((n - 1) * s + reach + 1 - size, 0) // 2
            pads.append((reach - cut, size - (n - 1) * s - 1 + cut))
        if any(s > 1 and low <= 0 and high <= 0 for s, (low, high) in zip(strides, pads)):
            # XLA on CPUs aborts the process compiling some spread-out convolutions without padding (jaxlib 0.10).
            none = [(0, 0, 0)]
            gaps = [*none * first, *((0, 0, s - 1) for s in strides), *none * (x.ndim - first - len(strides))]
            x = lax.pad(x, jnp.asarray(0, x.dtype), gaps)
            strides = (1,) * len(strides)
        return lax.conv_general_dilated(
            x, jnp.flip(kernel, tuple(range(kernel.ndim - 2))), (1,) * len(strides), pads, lhs_dilation=strides,
            rhs_dilation=dilation, dimension_numbers=_layouts(x.ndim, data_format, "OI"),
        )  # fmt: skip

    def max_pool(self, x, window, strides, padding, data_format):
        low = -jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min
        where = windows(x, window, strides, padding, data_format)
        return lax.reduce_window(x, np.asarray(low, x.dtype), lax.max, *where)

    def average_pool(self, x, window, strides, padding, data_format):
        where = windows(x, window, strides, padding, data_format)
        # Not an array of JAX: under jit it would be traced, and sums over windows have a gradient only from a known 0.
        zero = np.zeros((), x.dtype)
        total = lax.reduce_window(x, zero, lax.add, *where)
        if not any(map(any, where[-1])):
            return total / jnp.asarray(np.prod(window), x.dtype)
        inside = jnp.ones([d if w > 1 else 1 for d, w in zip(x.shape, where[0])], x.dtype)
        steps = tuple(s if w > 1 else 1 for s, w in zip(where[1], where[0]))
        return total / lax.reduce_window(inside, zero, lax.add, where[0], steps, where[2])

    # -- linear algebra, Fourier -----------------------------------------------------------------------------------

    def cholesky(self, x):
        return jnp.linalg.cholesky(x, symmetrize_input=False)

    def qr(self, x, mode):
        return tuple(jnp.linalg.qr(x, mode))

    def svd(self, x, full_matrices):
        return tuple(jnp.linalg.svd(x, full_matrices))

    def eigh(self, x):
        return tuple(jnp.linalg.eigh(x))

    def eig(self, x):
        return tuple(jnp.linalg.eig(x))

    def solve(self, a, b):
        return jnp.linalg.solve(a, b)

    def solve_triangular(self, a, b, lower):
        return lax.linalg.triangular_solve(a, b, left_side=True, lower=lower)

    def lu_factor(self, x):
        lu, pivots, _ = lax.linalg.lu(x)
        return lu, pivots

    def slogdet(self, x):
        return tuple(jnp.linalg.slogdet(x))

    def fft(self, x):
        return jnp.fft.fft(x)

    def rfft(self, x, n):
        return jnp.fft.rfft(x, n)

    def irfft(self, x, n):
        return jnp.fft.irfft(x, n)

    # -- random ----------------------------------------------------------------------------------------------------

    def random_uniform(self, key, shape, dtype):
        return _draw(jax.random.uniform, dtype, key, shape=tuple(shape))

    def random_normal(self, key, shape, dtype):
        return _draw(jax.random.normal, dtype, key, shape=tuple(shape))

    def random_randint(self, key, shape, low, high, dtype):
        return _draw(jax.random.randint, dtype, key, minval=low, maxval=high, shape=tuple(shape))

    def random_halves(self, key, shape):
        even = bool(shape) and shape[-1] % 2 == 0
        words = _draw(jax.random.bits, "uint32", key, shape=(*shape[:-1], shape[-1] // 2) if even else tuple(shape))
        words = lax.bitcast_convert_type(words, jnp.int32)
        return jnp.concatenate([words >> 16, (words << 16) >> 16], -1) if even else words >> 16

    def random_gamma(self, key, shape, alpha, dtype):
        return _draw(jax.random.gamma, dtype, key, a=alpha, shape=tuple(shape))

    def random_binomial(self, key, shape, counts, probabilities, dtype):
        counts, probabilities = (self.asarray(a, dtype) for a in (counts, probabilities))
        return _draw(jax.random.binomial, dtype, key, n=counts, p=probabilities, shape=tuple(shape))

    # -- devices, variables ----------------------------------------------------------------------------------------

    def device_scope(self, device):
        return jax.default_device(_device(device))

    def devices(self, kind=None):
        return [name for name in _devices() if kind is None or name.startswith(kind.lower() + ":")]

    def synchronize(self, tree):
        jax.block_until_ready(tree)

    def profiler(self, folder):
        if sys.version_info < (3, 12):  # it crashes the interpreter: https://github.com/keras-team/keras/pull/20450
            raise RuntimeError("profiling with the jax backend requires python >= 3.12")
        return jax.profiler.trace(folder)

    def device_memory(self):
        statistics = jax.local_devices()[0].memory_stats()
        return statistics.get("peak_bytes_in_use") if statistics else None

    def make_variable(self, value, trainable, name, aggregation="none", synchronization="auto"):
        _refuse_tracer(value, f"the initial value of Variable {name!r}")
        return value

    def outside_trace(self, f):
        redirect, stack.redirect = stack.redirect, None
        try:
            with jax.ensure_compile_time_eval():
                return f()
        finally:
            stack.redirect = redirect

    def assign(self, store, value):
        _refuse_tracer(value, "the value assigned to a Variable")
        return value if value.sharding == store.sharding else jax.device_put(value, store.sharding)

    def adopt(self, array):
        return jax.device_put(array)


_SCALAR_DTYPES = {bool: "bool", int: "int32", float: None, complex: "complex64"}


def _refuse_tracer(value, what):
    if isinstance(value, jax.core.Tracer):
        raise RuntimeError(
            f"JAX: {what} is a tracer, which only exists while JAX traces a function (jax.jit, jax.grad, lax.scan). "
            "Compile through multikeras (model.fit, multikeras.ops), which carries Variables along, or pass state in "
            "and out yourself with multikeras.StatelessScope or layer.stateless_call."
        )


def _array_of(xs, default):
    """Return nested sequences as one array: a jax.Array if tensors are inside, else numpy, of `default` dtypes if told."""
    leaves = jax.tree.leaves(xs, **_NONE_IS_LEAF)
    if not any(hasattr(leaf, "dtype") or hasattr(leaf, "detach") for leaf in leaves):
        x = np.array(xs)
        default = default and {"f": config.floatx(), "i": "int32", "c": "complex64"}.get(x.dtype.kind)
        fits = default != "int32" or not x.size or (x.max() < 2**31 and x.min() >= -(2**31))
        return x.astype(dtypes.numpy_dtype(default)) if default and fits else x
    if all(isinstance(leaf, (np.ndarray, np.generic)) for leaf in leaves):
        return np.array(xs)
    dtype = dtypes.result_type(*(type(leaf) if type(leaf) in _SCALAR_DTYPES else leaf.dtype for leaf in leaves))
    backend = JaxBackend()

    def build(x):
        return jnp.stack([build(y) for y in x]) if isinstance(x, (list, tuple)) else backend.asarray(x, dtype)

    return build(xs)


def _from_torch(x):
    x = x.detach().cpu()
    try:
        return x.numpy()
    except TypeError:  # numpy of torch has no bfloat16 and float8
        return np.array(jnp.from_dlpack(x))


def _layouts(rank, data_format, kernel_ends):
    space = "DHW"[5 - rank :]
    x = f"NC{space}" if data_format == "channels_first" else f"N{space}C"
    return x, space + kernel_ends, x


def windows(x, window, strides, padding, data_format):
    """Return what `lax.reduce_window` wants: window, strides and pairs of padding for all dimensions."""
    first = 2 if data_format == "channels_first" else 1
    if padding == "valid":
        padding = ((0, 0),) * len(window)
    elif padding == "same":
        padding = [same_padding(x.shape[first + i], w, s) for i, (w, s) in enumerate(zip(window, strides))]
    head, tail = first, x.ndim - first - len(window)
    return (
        (1,) * head + tuple(window) + (1,) * tail,
        (1,) * head + tuple(strides) + (1,) * tail,
        ((0, 0),) * head + tuple(map(tuple, padding)) + ((0, 0),) * tail,
    )


@functools.partial(jax.jit, static_argnums=(0, 1), static_argnames="shape")
def _sample(draw, dtype, key, shape, **parameters):
    return draw(jax.random.wrap_key_data(key, impl="threefry2x32"), shape=shape, dtype=dtype, **parameters)


def _draw(draw, dtype, key, **parameters):
    with precision(dtype):
        return _sample(draw, dtype, key, **parameters)


def _devices() -> dict[str, Any]:
    found = {}
    for platform in dict.fromkeys((jax.default_backend(), "cpu")):
        for device in jax.local_devices(backend=platform):
            found[f"{device.platform}:{device.id}"] = device
    return found


def _device(name):
    found = _devices()
    wanted = name.lower().replace("cuda", "gpu")
    wanted = wanted if ":" in wanted else f"{wanted}:0"
    if wanted not in found:
        raise ValueError(f"device={name!r} is not here. Devices: {', '.join(found)}.")
    return found[wanted]


BACKEND = JaxBackend
