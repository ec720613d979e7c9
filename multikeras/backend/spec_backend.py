"""The backend that computes nothing: every primitive maps Specs to Specs, in pure Python.

Running an op, a layer or a model here is how multikeras knows the shape and dtype of what comes
out, and where mistakes in shapes are found before there is data.
"""

import contextlib
import itertools
import math
from typing import Any

import numpy as np

from multikeras.backend import dtypes, shapes
from multikeras.backend.interface import Backend, Binary, Unary
from multikeras.backend.shapes import Spec, known

_REAL = {"complex64": "float32", "complex128": "float64"}


def _fail(op: str, problem: str):
    raise ValueError(f"{op}: {problem}")


def _broadcast(op: str, *xs: Spec) -> tuple:
    try:
        return shapes.broadcast(*(x.shape for x in xs))
    except ValueError:
        _fail(op, f"shapes {', '.join(str(x.shape) for x in xs)} do not broadcast together.")
        raise


def _same_size(op: str, what: str, *sizes: int | None) -> int | None:
    """Return the one size that all known `sizes` agree on."""
    fixed = {s for s in sizes if known(s)}
    if len(fixed) > 1:
        _fail(op, f"{what} differ: {sorted(fixed)}.")
    return fixed.pop() if fixed else None


def _complex(dtype: str) -> str:
    return "complex128" if dtype == "float64" else "complex64"


def _square(op: str, x: Spec) -> None:
    if x.ndim < 2:
        _fail(op, f"needs matrices, got shape {x.shape}.")
    _same_size(op, f"the two sides of the matrices of shape {x.shape}", *x.shape[-2:])


def _map(f, tree: Any) -> Any:
    """Apply `f` to the leaves of nested lists, tuples and dicts."""
    if isinstance(tree, dict):
        return {k: _map(f, v) for k, v in tree.items()}
    if isinstance(tree, (list, tuple)):
        leaves = [_map(f, v) for v in tree]
        return type(tree)(*leaves) if hasattr(tree, "_fields") else type(tree)(leaves)
    return None if tree is None else f(tree)


def _leading(tree: Any) -> Any:
    """Return the first leaf of `tree`."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    if isinstance(tree, (list, tuple)):
        return next((leaf for leaf in map(_leading, tree) if leaf is not None), None)
    return tree


class SpecBackend(Backend):
    """Primitives on shapes and dtypes."""

    name = "spec"
    Tensor = Spec
    tensor_types = (Spec,)
    native_inexact = frozenset(name for name in dtypes.ALL if dtypes.is_inexact(name))
    supports_sparse = True
    has_values = False

    # -- tensors ---------------------------------------------------------------------------------------------------

    def asarray(self, x, dtype=None):
        if type(x) is Spec:
            return x if dtype is None or dtype == x.dtype else Spec(x.shape, dtype, x.sparse)
        if x is shapes.UNKNOWN:
            return Spec((), dtype or "int32")
        if isinstance(x, (list, tuple)):
            parts = [self.asarray(part) for part in x]
            kinds = (type(v) if type(v) in (bool, int, float, complex) else part.dtype for v, part in zip(x, parts))
            shape = _broadcast("asarray", *parts) if parts else ()
            return Spec((len(x), *shape), dtype or dtypes.result_type(*kinds))
        if hasattr(x, "shape") and hasattr(x, "dtype"):
            return Spec(x.shape, dtype or dtypes.standardize_dtype(x.dtype), getattr(x, "sparse", False))
        if type(x) in (bool, int, float, complex, str):
            return Spec((), dtype or dtypes.standardize_dtype(type(x)))
        x = np.asarray(x)
        return Spec(x.shape, dtype or dtypes.standardize_dtype(x.dtype))

    def to_numpy(self, x):
        raise TypeError(f"A tensor of a model under construction, {x!r}, has no values.")

    def cast(self, x, dtype):
        return Spec(x.shape, dtype, x.sparse)

    def psnr(self, x1, x2, max_val):
        return Spec((), x1.dtype)

    def bitcast(self, x, dtype):
        if "string" in (x.dtype, dtype):
            _fail("view", f"strings cannot be viewed as numbers or the reverse, got a tensor of {x.dtype} and {dtype=}.")
        old, new = (dtypes.numpy_dtype(name).itemsize for name in (x.dtype, dtype))
        if old == new:
            return Spec(x.shape, dtype)
        last = x.sizes[-1] if x.ndim else _fail("view", "a scalar can only be viewed as a dtype of the same size.")
        if known(last) and last * old % new:
            _fail("view", f"the last dimension of shape {x.shape} is not a multiple of {new // old}.")
        return Spec((*x.shape[:-1], last * old // new), dtype)

    def shape(self, x):
        return x.sizes

    def dtype(self, x):
        return x.dtype

    def full(self, shape, value, dtype):
        return Spec(shape, dtype)

    def arange(self, start, stop, step, dtype):
        ends = (start, stop, step)
        if dtype == "string" or str in map(type, ends):
            _fail("arange", f"counts numbers, not strings, got {start=}, {stop=}, {step=}, {dtype=}.")
        if all(known(e) and isinstance(e, (int, float, np.number)) for e in ends):
            return Spec((max(0, math.ceil((stop - start) / step)),), dtype)
        return Spec((None,), dtype)

    def where(self, condition, x, y):
        return Spec(_broadcast("where", condition, x, y), x.dtype)

    def unstacked(self, x):
        if not x.ndim or x.shape[0] is None:
            _fail("unstack", f"needs a tensor whose first dimension is known, got shape {x.shape}.")
        return [Spec(x.shape[1:], x.dtype)] * x.shape[0]

    def zeros_like(self, x, dtype=None):
        return Spec(x.shape, x.dtype if dtype is None else dtypes.standardize_dtype(dtype), x.sparse)

    def sparse(self, indices, values, shape, in_order=True):
        return Spec(shape, values.dtype, sparse=True)

    def coalesced(self, indices, values, shape):
        return Spec((None, *indices.shape[1:]), indices.dtype), Spec((None, *values.shape[1:]), values.dtype)

    # -- reduce, order ---------------------------------------------------------------------------------------------

    def sum(self, x, axis=None, keepdims=False):
        return Spec(shapes.reduced(x.shape, axis, keepdims), x.dtype, x.sparse)

    def prod(self, x, axis=None, keepdims=False):
        return Spec(shapes.reduced(x.shape, axis, keepdims), x.dtype)

    max = min = prod

    def argmax(self, x, axis):
        return Spec(shapes.reduced(x.shape, axis), "int32")

    argmin = argmax

    def cumsum(self, x, axis):
        shapes.canonical_axis(axis, x.ndim, "cumulative operation")
        return Spec(x.shape, x.dtype)

    cumprod = cumsum

    def sort(self, x, axis):
        shapes.canonical_axis(axis, x.ndim, "sort")
        return Spec(x.shape, x.dtype)

    def argsort(self, x, axis):
        shapes.canonical_axis(axis, x.ndim, "argsort")
        return Spec(x.shape, "int32")

    def top_k(self, x, k):
        if not x.ndim or (known(x.shape[-1]) and known(k) and k > x.shape[-1]):
            _fail("top_k", f"k={k} is more than the last dimension of shape {x.shape}.")
        shape = (*x.shape[:-1], k)
        return Spec(shape, x.dtype), Spec(shape, "int32")

    # -- move ------------------------------------------------------------------------------------------------------

    def reshape(self, x, shape):
        shape = tuple(None if isinstance(s, Spec) else s for s in shape)
        return Spec(shapes.reshaped(x.shape, shape), x.dtype, x.sparse)

    def transpose(self, x, axes):
        axes = [shapes.canonical_axis(a, x.ndim, "transpose") for a in axes]
        if sorted(axes) != list(range(x.ndim)):
            _fail("transpose", f"axes={tuple(axes)} is not a permutation of the dimensions of shape {x.shape}.")
        return Spec((x.shape[a] for a in axes), x.dtype, x.sparse)

    def broadcast_to(self, x, shape):
        target = Spec(shape)
        if _broadcast("broadcast_to", x, target) != target.shape and None not in target.shape:
            _fail("broadcast_to", f"shape {x.shape} does not broadcast to {target.shape}.")
        return Spec(target.shape, x.dtype)

    def concatenate(self, xs, axis):
        if len({x.ndim for x in xs}) > 1:
            _fail("concatenate", f"tensors differ in rank: {', '.join(str(x.shape) for x in xs)}.")
        if not xs[0].ndim:
            _fail("concatenate", "scalars have no axis to be joined along. Use `stack`.")
        axis = shapes.canonical_axis(axis, xs[0].ndim, "concatenate")
        what = f"dimensions other than axis {axis} of shapes {', '.join(str(x.shape) for x in xs)}"
        return Spec(
            (sum(s) if i == axis else _same_size("concatenate", what, *s)
             for i, s in enumerate(zip(*(x.sizes for x in xs)))),
            xs[0].dtype,
        )  # fmt: skip

    def split(self, x, indices_or_sections, axis=0):
        parts = super().split(x, indices_or_sections, axis)
        if isinstance(indices_or_sections, int) or known(x.shape[axis]):
            return parts
        # The cuts lie inside, however long the dimension turns out to be.
        cuts = [0, *map(int, indices_or_sections)]
        sizes = [high - low if 0 <= low <= high else None for low, high in itertools.pairwise(cuts)]
        axis %= x.ndim
        return [Spec((*p.shape[:axis], n, *p.shape[axis + 1 :]), p.dtype) for p, n in zip(parts, [*sizes, None])]

    def pad(self, x, widths, mode="constant", value=0):
        if len(widths) != x.ndim:
            _fail("pad", f"{len(widths)} pairs of widths for a tensor of shape {x.shape}.")
        return Spec((d + low + high for d, (low, high) in zip(x.sizes, widths)), x.dtype)

    def flip(self, x, axis):
        shapes.canonical_axes(tuple(axis), x.ndim, "flip")
        return Spec(x.shape, x.dtype)

    def expand_dims(self, x, axis):
        axis = shapes.canonical_axis(axis, x.ndim + 1, "expand_dims")
        return Spec((*x.shape[:axis], 1, *x.shape[axis:]), x.dtype, x.sparse)

    def squeeze(self, x, axis):
        axes = shapes.canonical_axes(tuple(axis), x.ndim, "squeeze")
        for a in axes:
            if x.shape[a] not in (1, None):
                _fail("squeeze", f"axis {a} of shape {x.shape} has size {x.shape[a]}, only size 1 can be dropped.")
        return Spec((d for i, d in enumerate(x.shape) if i not in axes), x.dtype, x.sparse)

    # -- index -----------------------------------------------------------------------------------------------------

    def getitem(self, x, key):
        return Spec(shapes.indexed(x.shape, key), x.dtype)

    def take(self, x, indices, axis):
        axis = shapes.canonical_axis(axis, x.ndim, "take")
        return Spec((*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]), x.dtype)

    def take_along_axis(self, x, indices, axis):
        axis = shapes.canonical_axis(axis, x.ndim, "take_along_axis")
        if x.ndim != indices.ndim:
            _fail("take_along_axis", f"x has shape {x.shape}, indices {indices.shape}: the ranks differ.")
        others = Spec((1 if i == axis else d for i, d in enumerate(x.shape)))
        return Spec(_broadcast("take_along_axis", others, indices), x.dtype)

    def scatter(self, x, indices, updates, how="set"):
        depth = indices.shape[-1] if indices.ndim else _fail("scatter", "indices needs a dimension of index tuples.")
        if known(depth):
            if depth > x.ndim:
                _fail("scatter", f"indices of shape {indices.shape} index {depth} dimensions, x has shape {x.shape}.")
            _broadcast("scatter", Spec((*indices.shape[:-1], *x.shape[depth:])), updates)
        return Spec(x.shape, x.dtype)

    def slice(self, x, start, sizes):
        sizes = tuple(sizes)
        if len(sizes) != x.ndim:
            _fail("slice", f"{len(sizes)} sizes for a tensor of shape {x.shape}.")
        if any(known(d) and known(s) and not isinstance(s, Spec) and s > d for d, s in zip(x.shape, sizes)):
            _fail("slice", f"sizes {sizes} do not fit into shape {x.shape}.")
        return Spec(sizes, x.dtype)

    def slice_update(self, x, start, updates):
        if updates.ndim != x.ndim or any(known(d) and known(u) and u > d for d, u in zip(x.shape, updates.shape)):
            _fail("slice_update", f"updates of shape {updates.shape} do not fit into shape {x.shape}.")
        return Spec(x.shape, x.dtype)

    def searchsorted(self, sorted_sequence, values, side):
        return Spec(values.shape, "int32", values.sparse)

    def nonzero(self, x):
        return tuple(Spec((None,), "int32") for _ in range(x.ndim))

    def unique(self, x):
        some = Spec((None,), "int32")
        return Spec((None,), x.dtype), some, Spec(x.shape, "int32"), some

    # -- contract --------------------------------------------------------------------------------------------------

    def matmul(self, x, y):
        if not x.ndim or not y.ndim:
            _fail("matmul", f"a scalar cannot be multiplied as a matrix, got shapes {x.shape} and {y.shape}.")
        rows, columns = x.shape[-2:-1], y.shape[-1:] if y.ndim > 1 else ()
        inner = y.shape[-2] if y.ndim > 1 else y.shape[0]
        _same_size("matmul", f"inner dimensions of shapes {x.shape} and {y.shape}", x.shape[-1], inner)
        batch = _broadcast("matmul", Spec(x.shape[:-2]), Spec(y.shape[:-2]))
        return Spec((*batch, *rows, *columns), x.dtype, x.sparse and y.sparse)

    def einsum(self, subscripts, *xs):
        terms, output = subscripts.replace(" ", "").split("->")
        sizes: dict[str, Any] = {}
        batch: list[tuple] = [()]
        for term, x in zip(terms.split(","), xs, strict=True):
            before, dots, after = term.partition("...")
            extra = x.ndim - len(before) - len(after)
            if extra < 0 or (extra and not dots):
                _fail("einsum", f"{subscripts!r}: {term!r} does not name the dimensions of shape {x.shape}.")
            batch.append(x.shape[len(before) : len(before) + extra])
            named = {**dict(zip(before, x.shape)), **dict(zip(after, x.shape[x.ndim - len(after) :]))}
            for letter, d in named.items():
                sizes[letter] = shapes.broadcast((sizes.get(letter, 1),), (d,))[0]
        before, dots, after = output.partition("...")
        middle = shapes.broadcast(*batch) if dots else ()
        return Spec((*(sizes[c] for c in before), *middle, *(sizes[c] for c in after)), xs[0].dtype)

    def _windows(self, op, x, window, strides, padding, dilation, data_format):
        first = 2 if data_format == "channels_first" else 1
        spatial = x.shape[first : first + len(window)]
        if x.ndim != len(window) + 2:
            _fail(op, f"needs a tensor of rank {len(window) + 2}, got shape {x.shape}.")
        pairs = [padding] * len(window) if isinstance(padding, str) else padding
        sizes = [shapes.window_size(*args) for args in zip(spatial, window, strides, pairs, dilation, strict=True)]
        for size, d in zip(sizes, spatial):
            if size == 0 and d:
                how = f"dilation {tuple(dilation)}, padding {padding!r}"
                _fail(op, f"windows of {tuple(window)} ({how}) do not fit into shape {x.shape}.")
        return sizes

    def _with_spatial(self, x, spatial, channels, data_format):
        first = data_format == "channels_first"
        return Spec((x.shape[0], channels, *spatial) if first else (x.shape[0], *spatial, channels), x.dtype)

    def conv(self, x, kernel, strides, padding, dilation, groups, data_format):
        *window, depth, filters = kernel.shape
        sizes = self._windows("conv", x, window, strides, padding, dilation, data_format)
        channels = x.shape[1 if data_format == "channels_first" else -1]
        if known(channels) and known(depth) and channels != depth * groups:
            what = f"a kernel of shape {kernel.shape} in {groups} groups"
            _fail("conv", f"{what} does not fit the {channels} channels of shape {x.shape}.")
        if known(filters) and filters % groups:
            _fail("conv", f"{filters} filters cannot be split into {groups} groups.")
        return self._with_spatial(x, sizes, filters, data_format)

    def conv_transpose(self, x, kernel, strides, padding, output_padding, dilation, data_format):
        *window, filters, channels = kernel.shape
        first = 2 if data_format == "channels_first" else 1
        spatial = x.shape[first : first + len(window)]
        what = f"channels of x, shape {x.shape}, and of the kernel, shape {kernel.shape},"
        _same_size("conv_transpose", what, x.shape[1 if first == 2 else -1], channels)
        sizes = [
            shapes.transposed_size(d, w, s, padding, o, dil)
            for d, w, s, o, dil in zip(spatial, window, strides, output_padding, dilation, strict=True)
        ]
        return self._with_spatial(x, sizes, filters, data_format)

    def max_pool(self, x, window, strides, padding, data_format):
        sizes = self._windows("pool", x, window, strides, padding, (1,) * len(window), data_format)
        return self._with_spatial(x, sizes, x.shape[1 if data_format == "channels_first" else -1], data_format)

    average_pool = max_pool

    # -- linear algebra, Fourier -----------------------------------------------------------------------------------

    def cholesky(self, x):
        _square("cholesky", x)
        return Spec(x.shape, x.dtype)

    def qr(self, x, mode):
        *batch, m, n = x.shape
        k = m if mode == "complete" else self._smaller(m, n)
        return Spec((*batch, m, k), x.dtype), Spec((*batch, k, n), x.dtype)

    def svd(self, x, full_matrices):
        *batch, m, n = x.shape
        k = self._smaller(m, n)
        left, right = (m, n) if full_matrices else (k, k)
        s = Spec((*batch, k), _REAL.get(x.dtype, x.dtype))
        return Spec((*batch, m, left), x.dtype), s, Spec((*batch, right, n), x.dtype)

    def _smaller(self, m, n):
        return min(m, n) if known(m) and known(n) else None

    def eigh(self, x):
        _square("eigh", x)
        return Spec(x.shape[:-1], _REAL.get(x.dtype, x.dtype)), Spec(x.shape, x.dtype)

    def eig(self, x):
        _square("eig", x)
        dtype = x.dtype if x.dtype in _REAL else _complex(x.dtype)
        return Spec(x.shape[:-1], dtype), Spec(x.shape, dtype)

    def solve(self, a, b):
        _square("solve", a)
        rows = _same_size("solve", f"rows of a, shape {a.shape}, and b, shape {b.shape},", a.shape[-2], b.shape[-2])
        batch = _broadcast("solve", Spec(a.shape[:-2]), Spec(b.shape[:-2]))
        return Spec((*batch, rows, b.shape[-1]), b.dtype)

    def solve_triangular(self, a, b, lower):
        return self.solve(a, b)

    def lu_factor(self, x):
        return Spec(x.shape, x.dtype), Spec((*x.shape[:-2], self._smaller(*x.shape[-2:])), "int32")

    def slogdet(self, x):
        _square("slogdet", x)
        return Spec(x.shape[:-2], x.dtype), Spec(x.shape[:-2], _REAL.get(x.dtype, x.dtype))

    def fft(self, x):
        return Spec(x.shape, x.dtype)

    def rfft(self, x, n):
        return Spec((*x.shape[:-1], n // 2 + 1), _complex(x.dtype))

    def irfft(self, x, n):
        return Spec((*x.shape[:-1], n), _REAL[x.dtype])

    # -- random ----------------------------------------------------------------------------------------------------

    def random_uniform(self, key, shape, dtype):
        return Spec(shape, dtype)

    random_normal = random_uniform

    def random_randint(self, key, shape, low, high, dtype):
        return Spec(shape, dtype)

    def random_gamma(self, key, shape, alpha, dtype):
        return Spec(shape, dtype)

    def random_binomial(self, key, shape, counts, probabilities, dtype):
        return Spec(shape, dtype)

    # -- control ---------------------------------------------------------------------------------------------------

    def cond(self, predicate, true_fn, false_fn):
        chosen, other = (_map(self.asarray, f()) for f in (true_fn, false_fn))
        return self._agreed(chosen, other)

    def _agreed(self, a, b):
        """Return the tree `a` with None for the sizes in which `b` differs; they must nest alike."""
        if isinstance(a, (list, tuple, dict)) or a is None:
            if type(a) is not type(b) or (a is not None and len(a) != len(b)):
                _fail("cond", f"true_fn and false_fn return different structures: {a!r} and {b!r}.")
            if isinstance(a, dict):
                return {k: self._agreed(a[k], b[k]) for k in a}
            return a if a is None else _map(lambda pair: pair, type(a)(map(self._agreed, a, b)))
        if not isinstance(b, Spec) or a.ndim != b.ndim or a.dtype != b.dtype:
            _fail("cond", f"true_fn and false_fn return different shapes or dtypes: {a!r} and {b!r}.")
        if any(known(d) and known(e) and d != e for d, e in zip(a.shape, b.shape)):
            _fail("cond", f"true_fn and false_fn return different shapes: {a.shape} and {b.shape}.")
        return Spec((d if d == e else None for d, e in zip(a.shape, b.shape)), a.dtype)

    def while_loop(self, condition, body, state, maximum_iterations):
        return _map(self.asarray, state)

    def scan(self, f, init, xs, length, reverse=False, unroll=1):
        first = _leading(xs)
        length = self.asarray(first).shape[0] if first is not None else length
        carry, ys = f(_map(self.asarray, init), _map(self._slice, xs))
        return carry, _map(lambda y: self._stacked(y, length), ys)

    def vectorized_map(self, f, xs):
        length = self.asarray(_leading(xs)).shape[0]
        return _map(lambda y: self._stacked(y, length), f(_map(self._slice, xs)))

    def _slice(self, x):
        x = self.asarray(x)
        return Spec(x.shape[1:], x.dtype)

    def _stacked(self, y, length):
        y = self.asarray(y)
        return Spec((length, *y.shape), y.dtype)

    def stop_gradient(self, x):
        return x

    def custom_gradient(self, f):
        return lambda *args, **kwargs: f(*args, **kwargs)[0]

    def remat(self, f):
        return f

    # -- programs, devices, variables --------------------------------------------------------------------------------

    def value_and_grad(self, f, variables, has_aux=False, rows=False):
        raise TypeError("Gradients need values; a model under construction has none.")

    def vjp(self, f, xs):
        return f(*xs), lambda cotangents: list(xs)

    def jvp(self, f, xs, tangents):
        out = f(*xs)
        return out, out

    def jit(self, f, variables=None, compile="auto", pure=False):
        return f

    def repeat(self, step, variables, compile="auto", pure=False, done=None, result=None):
        return lambda xs, start, stop, *shared: step(_map(self._slice, xs), *shared)

    def eval_shape(self, f, *specs):
        return f(*specs)

    def device_scope(self, device):
        return contextlib.nullcontext()

    def devices(self, kind=None):
        return []

    def assign(self, store, value):
        return store


def _kept(dtype: str) -> str:
    return dtype


def _bool(dtype: str) -> str:
    return "bool"


def _real(dtype: str) -> str:
    return _REAL.get(dtype, dtype)


_RULES = {"isfinite": _bool, "isnan": _bool, "equal": _bool, "less": _bool,
          "real": _real, "imag": _real, "abs": _real, "complex": _complex}  # fmt: skip
# Which ops of sparse tensors have a sparse result: those that map zeros to zero.
_DENSE = frozenset(("exp", "log", "cos", "cosh", "arccos", "arccosh", "erfc", "isfinite", "bitwise_not"))
_SPARSE = {
    "add": lambda x, y: x and y, "subtract": lambda x, y: x and y, "maximum": lambda x, y: x and y,
    "minimum": lambda x, y: x and y, "multiply": lambda x, y: x or y, "divide": lambda x, y: x and not y,
}  # fmt: skip


def _unary(name):
    dtype_of, dense = _RULES.get(name, _kept), name in _DENSE
    return lambda self, x: Spec(x.shape, dtype_of(x.dtype), x.sparse and not dense)


def _binary(name):
    dtype_of, sparse = _RULES.get(name, _kept), _SPARSE.get(name, lambda x, y: False)
    return lambda self, x, y: Spec(_broadcast(name, x, y), dtype_of(x.dtype), sparse(x.sparse, y.sparse))


for _name, _kind in Backend.__annotations__.items():
    if _kind is Unary:
        setattr(SpecBackend, _name, _unary(_name))
    elif _kind is Binary:
        setattr(SpecBackend, _name, _binary(_name))


# -- dtypes that no framework computes with ----------------------------------------------------------------------------

_TAKE_REAL = """floor ceil round erf erfc erfinv less maximum minimum max min argmax argmin mod floor_divide arctan2 nextafter
gammainc top_k searchsorted max_pool average_pool rfft complex""".split()
_TAKE_WHOLE = "bitwise_not bitwise_and bitwise_or bitwise_xor left_shift right_shift".split()
_TAKE_PRECISE = "cholesky qr svd eigh eig solve solve_triangular lu_factor slogdet fft rfft irfft complex".split()


def _demanding(name, accepts, what, base):
    primitive = getattr(base, name)

    def run(self, x, *args, **kwargs):
        if not accepts(x.dtype):
            raise TypeError(f"{name}: x must be {what}, got {x.dtype}.")
        return primitive(self, x, *args, **kwargs)

    return run


class Judge(SpecBackend):
    """Says what is wrong with a call that has failed with data: more than without, as KerasTensors are floats unless told."""

    has_values = True


for _name in _TAKE_REAL:
    setattr(SpecBackend, _name, _demanding(_name, lambda dtype: not dtypes.is_complex(dtype), "real", SpecBackend))
for _name in _TAKE_WHOLE:
    setattr(Judge, _name, _demanding(_name, lambda dtype: not dtypes.is_inexact(dtype), "integers or bools", SpecBackend))
for _name in ("negative", "subtract"):
    setattr(Judge, _name, _demanding(_name, lambda dtype: dtype != "bool", "numbers", SpecBackend))
for _name in _TAKE_PRECISE:
    setattr(Judge, _name, _demanding(
        _name, lambda dtype: dtype not in ("float16", "bfloat16"), "of 32 or 64 bits", SpecBackend))  # fmt: skip
