"""Conversion, loops and branches, indexed writes: what programs are made of besides arithmetic."""

import builtins
from typing import Any

import ml_dtypes
import numpy as np

from multikeras.backend import SPEC, current, dtypes
from multikeras.backend.shapes import UNKNOWN, Spec, canonical_axis, known
from multikeras.core import budget, tree
from multikeras.core.node import KerasTensor
from multikeras.ops._op import convert, face, is_symbolic, op
from multikeras.ops._sizes import from_value
from multikeras.ops.transforms import custom_gradient as custom_gradient
from multikeras.ops.transforms import grad as grad
from multikeras.ops.transforms import jvp as jvp
from multikeras.ops.transforms import value_and_grad as value_and_grad
from multikeras.ops.transforms import vjp as vjp

# -- conversion --------------------------------------------------------------------------------------------------------


@face
def cast(B, x, dtype):
    """Convert to another dtype; floats are truncated towards zero to become integers, those out of range the nearest one.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.cast([1.7, -1.7], "int32")).tolist()
    [1, -1]
    """
    dtype = dtypes.standardize_dtype(dtype)
    source = B.dtype(x)
    if source == dtype:
        return x
    if dtypes.is_int(dtype) and dtypes.is_float(source) and not B.saturating_casts:
        return _within(B, x if source in ("float32", "float64") else B.cast(x, "float32"), dtype)
    return B.cast(x, dtype)


def _within(B, x, dtype):
    """Convert floats to integers: NaN to 0, and what is out of range to the ends, where frameworks give noise."""
    info = np.iinfo(dtype)
    low, above = (B.asarray(float(end), B.dtype(x)) for end in (info.min, int(info.max) + 1))
    inside = B.bitwise_and(low < x, x < above)
    y = B.cast(B.where(inside, x, B.asarray(0.0, B.dtype(x))), dtype)
    y = B.where(x >= above, B.asarray(int(info.max), dtype), y)
    return B.where(x <= low, B.asarray(int(info.min), dtype), y)


@op
def saturate_cast(B, x, dtype):
    """Convert to another dtype, values beyond its range to its ends.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.saturate_cast([-3.0, 5.0, 300.0], "uint8")).tolist()
    [0, 5, 255]
    """
    source, dtype = B.dtype(x), dtypes.standardize_dtype(dtype)
    low, high = _common_range(source, dtype)
    if low is not None:
        x = B.maximum(x, B.asarray(low, source))
    if high is not None:
        x = B.minimum(x, B.asarray(high, source))
    return B.cast(x, dtype)


def _limits(dtype: str) -> tuple:
    if dtype == "bool":
        return 0, 1
    info = ml_dtypes.finfo(dtypes.numpy_dtype(dtype)) if dtypes.is_float(dtype) else np.iinfo(dtype)
    return (float(info.min), float(info.max)) if dtypes.is_float(dtype) else (int(info.min), int(info.max))


def _common_range(source: str, target: str) -> tuple:
    """Return the ends of `target` as values of `source`, None where `source` does not reach them."""
    if source == "bool" or dtypes.is_complex(source) or dtypes.is_complex(target):
        return None, None
    (low, high), (source_low, source_high) = _limits(target), _limits(source)
    if dtypes.is_float(source):
        # The nearest float may lie outside: 2**31 - 1 is no float32.
        kind = dtypes.numpy_dtype(source)
        low, high = (_inside(kind, end, towards) for end, towards in ((low, 1), (high, -1)))
    return (None if low <= source_low else low), (None if high >= source_high else high)


def _inside(kind: np.dtype, end: float, towards: int) -> float:
    with np.errstate(over="ignore"):
        nearest = np.asarray(end).astype(kind)
    beyond = (float(nearest) - end) * towards < 0 if np.isfinite(float(nearest)) else False
    return float(np.nextafter(nearest, kind.type(0))) if beyond else float(nearest)


def convert_to_tensor(x: Any, dtype: Any = None, sparse: bool | None = None, ragged: bool | None = None) -> Any:
    """Return `x` as a tensor of the backend.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.convert_to_tensor([1, 2], dtype="float32")).tolist()
    [1.0, 2.0]
    """
    dtype = None if dtype is None else dtypes.standardize_dtype(dtype)
    if isinstance(x, Spec):
        if x.sparse and sparse is False:
            x = KerasTensor(x.shape, x.dtype)
        return x if dtype in (None, x.dtype) else cast(x, dtype)
    if is_symbolic(x):
        return SPEC.asarray(x, dtype)
    if sparse is not False and current.is_sparse(x):
        return x if dtype is None else cast(x, dtype)
    x = convert(current, x)
    return x if dtype is None or x is None else current.asarray(x, dtype)


def convert_to_numpy(x: Any) -> np.ndarray:
    """Return `x` as a numpy array on the host.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.convert_to_numpy(ops.ones((2,)))).tolist()
    [1.0, 1.0]
    """
    if isinstance(x, Spec):
        raise TypeError(f"convert_to_numpy: {x!r} is a tensor of a model under construction and has no values.")
    return current.to_numpy(convert(current, x))


def is_tensor(x: Any) -> bool:
    """Tell whether `x` is a tensor of the backend.

    >>> from multikeras import ops
    >>> ops.is_tensor(ops.ones(3)), ops.is_tensor([1.0])
    (True, False)
    """
    return current.is_tensor(x) or current.is_sparse(x)


def shape(x: Any) -> tuple:
    """Return the shape; sizes not known are None for a KerasTensor, scalar tensors in a TensorFlow graph.

    >>> from multikeras import ops
    >>> ops.shape(ops.ones((2, 3))) == (2, 3)
    True
    """
    if isinstance(x, KerasTensor):
        return x.shape
    if current.is_sparse(x):
        return tuple(x.shape)
    return SPEC.shape(x) if isinstance(x, Spec) else current.shape(convert(current, x))


def dtype(x: Any) -> str:
    """Return the name of the dtype.

    >>> from multikeras import ops
    >>> ops.dtype(ops.ones(3, dtype="int8"))
    'int8'
    """
    return dtypes.standardize_dtype(x.dtype if hasattr(x, "dtype") else type(x))


@face
def stop_gradient(B, variable):
    """Return the tensor as a constant to differentiation.

    >>> from multikeras import ops
    >>> float(ops.grad(lambda x: x * ops.stop_gradient(x))(3.0))
    3.0
    """
    return B.stop_gradient(variable)


@op
def unstack(B, x, num=None, axis=0):
    """Take a tensor apart along an axis.

    >>> from multikeras import ops
    >>> [ops.convert_to_numpy(part).tolist() for part in ops.unstack([[1, 2], [3, 4]], axis=1)]
    [[1, 3], [2, 4]]
    """
    axis = canonical_axis(axis, len(x.shape), "unstack")
    size = x.shape[axis] if num is None else num
    if not known(size):
        raise ValueError(f"unstack: axis {axis} of shape {tuple(x.shape)} has no known size, give num.")
    budget.loop(size, "unstack")
    return [B.getitem(x, (builtins.slice(None),) * axis + (i,)) for i in range(size)]


# -- branches and loops ------------------------------------------------------------------------------------------------


def _callables(op_name: str, **functions: Any) -> None:
    for argument, f in functions.items():
        if not callable(f):
            raise TypeError(f"{op_name}: {argument} must be callable, got {f!r}.")


def _tensors(B, structure: Any) -> Any:
    """Return the tree with every leaf as a tensor."""
    return tree.map_structure(lambda x: convert(B, x), structure)


@face(tensors=0)
def cond(B, pred, true_fn, false_fn):
    """Return `true_fn()` if `pred` holds, else `false_fn()`; both must return alike.

    >>> from multikeras import ops
    >>> float(ops.cond(ops.ones(()) > 0, lambda: ops.ones(()) * 2, lambda: ops.ones(())))
    2.0
    """
    _callables("cond", true_fn=true_fn, false_fn=false_fn)
    if isinstance(pred, (bool, np.bool_)):
        return true_fn() if pred else false_fn()
    pred = convert(B, pred)
    if tuple(pred.shape) != ():
        raise ValueError(f"cond: pred must be a scalar, got shape {tuple(pred.shape)}.")
    pred = pred if B.dtype(pred) == "bool" else B.cast(pred, "bool")
    return B.cond(pred, lambda: _tensors(B, true_fn()), lambda: _tensors(B, false_fn()))


@face(tensors=0)
def switch(B, index, branches, *operands):
    """Return `branches[index](*operands)`; an index out of range is moved to the nearest end.

    >>> from multikeras import ops
    >>> int(ops.switch(ops.cast(1, "int32"), [lambda x: x + 1, lambda x: x * 10], ops.cast(4, "int32")))
    40
    """
    _callables("switch", **{f"branches[{i}]": f for i, f in enumerate(branches)})
    index, operands = convert(B, index), _tensors(B, operands)

    def choose(branches, first):
        if len(branches) == 1:
            return _tensors(B, branches[0](*operands))
        middle = len(branches) // 2
        low = B.less(index, B.asarray(first + middle, B.dtype(index)))
        return B.cond(low, lambda: choose(branches[:middle], first), lambda: choose(branches[middle:], first + middle))

    return choose(list(branches), 0)


@face(tensors=0)
def while_loop(B, cond, body, loop_vars, maximum_iterations=None):
    """Repeat `loop_vars = body(*loop_vars)` as long as `cond(*loop_vars)`; shapes must not change.

    >>> from multikeras import ops
    >>> zero = ops.cast(0, "int32")
    >>> [int(v) for v in ops.while_loop(lambda i, s: i < 4, lambda i, s: (i + 1, s + i), (zero, zero))]
    [4, 6]
    """
    _callables("while_loop", cond=cond, body=body)
    several = isinstance(loop_vars, (tuple, list))
    given = tuple(loop_vars) if several else (loop_vars,)
    state = _tensors(B, given)

    def step(*state):
        after = body(*state)
        return _tensors(B, tuple(after) if isinstance(after, (tuple, list)) and several else (after,))

    state = B.while_loop(cond, step, _as_repeated(B, step, given, state) if B.traces else state, maximum_iterations)
    return state if several else state[0]


def _as_repeated(B, step, given: tuple, state: tuple) -> tuple:
    """Return the state of a traced loop, what were Python numbers in the dtypes that `step` makes of these."""
    numbers = [isinstance(x, (int, float)) for x in tree.flatten(given)]
    if not any(numbers):
        return state
    specs = [Spec(tuple(x.shape), B.dtype(x)) if B.is_tensor(x) else x for x in tree.flatten(state)]
    specs = [x if number else spec for x, spec, number in zip(tree.flatten(given), specs, numbers)]
    try:
        after = tree.flatten(B.eval_shape(step, *tree.pack_sequence_as(state, specs)))
    except Exception:
        return state  # a body for tensors alone, or one whose error the loop will tell
    leaves = zip(tree.flatten(state), after, numbers)
    return tree.pack_sequence_as(state, [B.cast(x, s.dtype) if number else x for x, s, number in leaves])


@face(tensors=0)
def fori_loop(B, lower, upper, body_fun, init_val):
    """Repeat `value = body_fun(i, value)` for i from `lower` to below `upper`.

    >>> from multikeras import ops
    >>> int(ops.fori_loop(0, 5, lambda i, s: s + i, ops.cast(0, "int32")))
    10
    """
    _callables("fori_loop", body_fun=body_fun)
    if isinstance(lower, int) and isinstance(upper, int):
        if upper <= lower:
            return _tensors(B, init_val)
        # Of known length, so that it can be differentiated backwards everywhere.
        return B.scan(
            lambda v, i: (_tensors(B, body_fun(i, v)), ()), _tensors(B, init_val), B.arange(lower, upper, 1, "int32"), None
        )[0]
    lower, upper = (B.cast(convert(B, end), "int32") for end in (lower, upper))
    state = (lower, _tensors(B, init_val))
    return B.while_loop(lambda i, _: i < upper, lambda i, v: (i + 1, _tensors(B, body_fun(i, v))), state, None)[1]


@face(tensors=0)
def scan(B, f, init, xs=None, length=None, reverse=False, unroll=1):
    """Run `carry, y = f(carry, x)` along the leading axis of `xs`; return the last carry and the ys, stacked.

    >>> from multikeras import ops
    >>> total, sums = ops.scan(lambda c, x: (c + x, c + x), ops.zeros(()), ops.convert_to_tensor([1.0, 2.0, 3.0]))
    >>> float(total), ops.convert_to_numpy(sums).tolist()
    (6.0, [1.0, 3.0, 6.0])
    """
    _callables("scan", f=f)
    if xs is None and length is None:
        raise ValueError("scan: give xs or length.")
    if not isinstance(unroll, (bool, int)) or (not isinstance(unroll, bool) and unroll < 1):
        raise ValueError(f"scan: unroll must be a bool or a positive integer, got {unroll!r}.")
    xs = None if xs is None else _tensors(B, xs)
    for leaf in [] if xs is None else tree.flatten(xs):
        if length is not None and known(leaf.shape[0]) and int(length) != leaf.shape[0]:
            raise ValueError(f"scan: length={length} but a leaf of xs has leading size {leaf.shape[0]}.")

    def step(carry, x):
        after, y = f(carry, x)
        return _tensors(B, after), _tensors(B, y)

    return B.scan(step, _tensors(B, init), xs, None if length is None else int(length), bool(reverse), unroll)


@op(tensors=0)
def associative_scan(B, f, elems, reverse=False, axis=0):
    """Combine entries along an axis by the associative `f`, each with all before it.

    `f(a, b)` maps two trees like `elems`, slices of any length along `axis`, to one.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.associative_scan(lambda a, b: a + b, ops.convert_to_tensor([1, 2, 3, 4]))).tolist()
    [1, 3, 6, 10]
    """
    _callables("associative_scan", f=f)
    elems = _tensors(B, elems)
    leaves = tree.flatten(elems)
    sizes = {x.shape[canonical_axis(axis, len(x.shape), "associative_scan")] for x in leaves}
    if len(sizes) != 1:
        raise ValueError(
            f"associative_scan: the leaves of elems differ in size along axis {axis}: "
            f"{', '.join(sorted(map(str, sizes)))}."
        )
    (size,) = sizes
    if not known(size):
        size = B.shape(leaves[0])[axis]
        return _scan_of_any_size(B, f, elems, reverse, axis, size) if known(size) else f(elems, elems)

    def part(elems, *ends):
        return tree.map_structure(
            lambda x: B.getitem(x, (builtins.slice(None),) * (axis % len(x.shape)) + (builtins.slice(*ends),)), elems
        )

    def turned(elems):
        return tree.map_structure(lambda x: B.flip(x, (axis,)), elems) if reverse else elems

    # Hillis and Steele, "Data parallel algorithms", CACM 1986: log2(size) steps.
    elems, step = turned(elems), 1
    while step < size:
        combined = f(part(elems, 0, size - step), part(elems, step, size))
        elems = tree.map_structure(lambda a, b: B.concatenate([a, b], axis), part(elems, 0, step), combined)
        step *= 2
    return turned(elems)


def _scan_of_any_size(B, f, elems, reverse, axis, size):
    """Do as `associative_scan` where the size is a tensor: entries that are done are kept by a mask, not cut off."""
    at = B.arange(0, size, 1, "int32")

    def turned(elems):
        return tree.map_structure(lambda x: B.flip(x, (axis,)), elems) if reverse else elems

    def doubled(step, elems):
        before = B.maximum(at - step, B.zeros_like(at))
        combined = f(tree.map_structure(lambda x: B.take(x, before, axis), elems), elems)

        def chosen(x, y):
            after = len(x.shape) - axis % len(x.shape) - 1
            return B.where(B.reshape(B.less(at, step), (size,) + (1,) * after), x, y)

        return step * 2, tree.map_structure(chosen, elems, combined)

    start = B.asarray(1, "int32")
    return turned(B.while_loop(lambda step, _: step < size, doubled, (start, turned(elems)), None)[1])


@op(tensors=0)
def map(B, f, xs):
    """Apply `f` to each slice along the leading axis of `xs`, one after the other.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.map(lambda x: x * 2, ops.convert_to_tensor([1, 2, 3]))).tolist()
    [2, 4, 6]
    """
    _callables("map", f=f)
    return B.scan(lambda carry, x: (carry, _tensors(B, f(x))), (), _tensors(B, xs), None)[1]


@face(tensors=0)
def vectorized_map(B, function, elements):
    """Apply `function` to each slice along the leading axis of `elements`, all at once.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.vectorized_map(lambda x: x + 1, ops.convert_to_tensor([1, 2, 3]))).tolist()
    [2, 3, 4]
    """
    _callables("vectorized_map", function=function)
    return B.vectorized_map(function, _tensors(B, elements))


# -- indexed writes ----------------------------------------------------------------------------------------------------


def _static(sizes: Any) -> tuple:
    """Return sizes as ints where they are plain numbers."""
    if hasattr(sizes, "shape") and hasattr(sizes, "dtype") and not isinstance(sizes, Spec):
        sizes = convert_to_numpy(sizes).tolist()
    sizes = (sizes,) if isinstance(sizes, int) else sizes
    return tuple(s if not known(s) or isinstance(s, Spec) or current.is_tensor(s) else int(s) for s in sizes)


@face(tensors=2)
def scatter(B, indices, values, shape):
    """Return zeros of `shape` with `values` added at `indices`, (..., depth of the index).

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.scatter([[0], [2], [0]], [1, 5, 2], (4,))).tolist()
    [3, 0, 5, 0]
    """
    return B.scatter(B.full(_static(shape), 0, B.dtype(values)), indices, values, "add")


_REDUCTIONS = {None: "set", "add": "add", "max": "max", "min": "min", "mul": "multiply"}


@op
def scatter_update(B, inputs, indices, updates, reduction=None):
    """Return `inputs` with `updates` written at `indices`, or combined by "add", "max", "min" or "mul".

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.scatter_update([1, 2, 3], [[0], [2]], [10, 30])).tolist()
    [10, 2, 30]
    """
    if reduction not in _REDUCTIONS:
        raise ValueError(f"scatter_update: reduction must be one of {tuple(_REDUCTIONS)}, got {reduction!r}.")
    updates = B.cast(convert(B, updates), B.dtype(inputs))
    return B.scatter(inputs, convert(B, indices), updates, _REDUCTIONS[reduction])


def _starts(B, start_indices: Any, rank: int, op_name: str) -> tuple:
    """Return the start of a block, one entry a dimension: ints or scalar tensors."""
    if not isinstance(start_indices, (list, tuple)):
        start_indices = B.unstacked(convert(B, start_indices)) if len(start_indices.shape) else [start_indices]
    if len(start_indices) != rank:
        raise ValueError(f"{op_name}: start_indices has {len(start_indices)} entries for a tensor of rank {rank}.")
    return tuple(int(s) if isinstance(s, (int, np.integer)) else convert(B, s) for s in start_indices)


@face
def slice(B, inputs, start_indices, shape):
    """Return the block of the given shape that begins at `start_indices`; a size of -1 is all that is left.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.slice([[1, 2, 3], [4, 5, 6]], [0, 1], (2, 2))).tolist()
    [[2, 3], [5, 6]]
    """
    sizes = _static(shape)
    if len(sizes) != len(inputs.shape):
        raise ValueError(
            "slice: the number of dimensions in `inputs` must match the number of dimensions in `shape`,"
            f" got shape={shape} for a tensor of rank {len(inputs.shape)}."
        )
    starts = _starts(B, start_indices, len(sizes), "slice")
    sizes = tuple(n - from_value(a) if s == -1 else s for s, a, n in zip(sizes, starts, B.shape(inputs)))
    return B.slice(inputs, starts, tuple(UNKNOWN if isinstance(s, Spec) else s for s in sizes))


@face
def slice_update(B, inputs, start_indices, updates):
    """Return `inputs` with the block that begins at `start_indices` replaced by `updates`.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.slice_update([1, 2, 3, 4], [1], [8, 9])).tolist()
    [1, 8, 9, 4]
    """
    updates = B.cast(convert(B, updates), B.dtype(inputs))
    return B.slice_update(inputs, _starts(B, start_indices, len(inputs.shape), "slice_update"), updates)

