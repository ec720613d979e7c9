"""What ops do with sparse tensors, where the backend has them: `SparseTensor`, `IndexedSlices`, `BCOO`.

An op that maps zeros to zeros keeps its argument sparse and works on the entries that are there. Each rule is called as
`rule(B, public, *arguments)` with the arguments of the public op; what it does not cover it answers with None, and the op
runs on dense tensors, as ops without a rule always do.

A sparse tensor is its parts: `indices` (entries, depth) into the first `depth` dimensions, `values` (entries, *rest of the
shape), and the shape. `depth` is the rank, or less where the entries are slices.
"""

import builtins
import functools
import math
from collections.abc import Callable
from typing import Any

from multikeras.backend import dtypes
from multikeras.backend.shapes import canonical_axes, canonical_axis, known, reshaped

RULES: dict[str, Callable] = {}
"""Rules by the name of the op."""

_LARGEST = 2**31 - 1


def _rule(f: Callable) -> Callable:
    RULES[f.__name__] = f
    return f


def _entries(B, x: Any) -> tuple | None:
    """Return the parts of a sparse tensor of single entries, None for one of slices."""
    parts = B.sparse_parts(x)
    return parts if parts is not None and parts[0].shape[1] == len(parts[2]) else None


def _on_entries(f: Callable) -> Callable:
    """Make a rule of `f(B, public, indices, values, shape, *arguments)`, for a sparse tensor of single entries."""

    @functools.wraps(f)
    def rule(B, public, x, *args, **kwargs):
        parts = _entries(B, x)
        return None if parts is None else f(B, public, *parts, *args, **kwargs)

    return _rule(rule)


def _unary(B, public, x, *args, **kwargs):
    parts = B.sparse_parts(x) if B.is_sparse(x) else None
    if parts is None:
        return None
    indices, values, shape = parts
    return B.sparse(indices, public(values, *args, **kwargs), shape)


RULES |= dict.fromkeys(
    "abs absolute arcsin arcsinh arctan arctanh cast ceil conj conjugate copy deg2rad erf expm1 fabs floor hard_tanh imag "
    "isinf isnan log1p negative rad2deg real round sign signbit sin sinh sqrt square stop_gradient tan tanh trunc".split(),
    _unary,
)


# -- two tensors -------------------------------------------------------------------------------------------------------


def _both(B, public, x1, x2):
    """Combine two sparse tensors on the union of their entries."""
    if not (B.is_sparse(x1) and B.is_sparse(x2)):
        return None
    first, second = B.sparse_parts(x1), B.sparse_parts(x2)
    if first is None or second is None or first[2] != second[2] or first[0].shape[1] != second[0].shape[1]:
        return None
    (at1, values1, shape), (at2, values2, _) = first, second

    def zeros(values, like):
        return B.full(B.shape(values), 0, B.dtype(like))

    indices = B.concatenate([at1, at2], 0)
    _, aligned1 = B.coalesced(indices, B.concatenate([values1, zeros(values2, values1)], 0), shape)
    indices, aligned2 = B.coalesced(indices, B.concatenate([zeros(values1, values2), values2], 0), shape)
    return B.sparse(indices, public(aligned1, aligned2), shape)


RULES |= dict.fromkeys(("add", "subtract", "maximum", "minimum"), _both)


def _dense_at(B, x: Any, indices: Any, shape: tuple) -> Any:
    """Return the entries of a dense tensor at `indices`, None if it does not broadcast to `shape`."""
    x = B.asarray(x)
    if len(x.shape) > len(shape) or any(n not in (1, m) for n, m in zip(reversed(x.shape), reversed(shape))):
        return None
    return B.getitem(B.broadcast_to(x, shape), tuple(indices[:, i] for i in range(indices.shape[1]))) if x.shape else x


def _holds(B, condition: Any) -> bool:
    """Tell whether a scalar condition is known and true."""
    try:
        return bool(condition)
    except TypeError:  # a tensor of a function being compiled
        return False


@_rule
def multiply(B, public, x1, x2):
    if B.is_sparse(x1) and B.is_sparse(x2):
        return _both(B, public, x1, x2)
    sparse, dense = (x1, x2) if B.is_sparse(x1) else (x2, x1)
    dense = B.asarray(dense)
    parts = B.sparse_parts(sparse)
    if parts is None or (dtypes.is_inexact(B.dtype(dense)) and not _holds(B, B.all(B.isfinite(dense)))):
        return None  # 0 times infinity is NaN
    indices, values, shape = parts
    there = _dense_at(B, dense, indices, shape)
    return None if there is None else B.sparse(indices, public(values, there), shape)


def _divide(B, public, x1, x2):
    if B.is_sparse(x2):
        return None
    parts, x2 = B.sparse_parts(x1), B.asarray(x2)
    if parts is None or not _holds(B, B.all(B.bitwise_not(B.equal(x2, x2 * 0)))):
        return None  # 0 / 0 and 0 / NaN are NaN
    indices, values, shape = parts
    there = _dense_at(B, x2, indices, shape)
    return None if there is None else B.sparse(indices, public(values, there), shape)


RULES |= dict.fromkeys(("divide", "true_divide"), _divide)


@_rule
def matmul(B, public, x1, x2):
    return B.sparse_matmul(x1, x2)


@_rule
def affine(B, public, x, kernel, bias, axes=1):
    product = B.sparse_matmul(x, kernel) if len(kernel.shape) == 2 and axes == 1 else None
    return None if product is None else product + bias


@_rule
def digitize(B, public, x, bins):
    return _unary(B, public, x, bins) if not B.is_sparse(bins) and _holds(B, public(0, bins) == 0) else None


# -- shapes ------------------------------------------------------------------------------------------------------------


def _columns(B, indices: Any, kept: list) -> Any:
    """Return columns of `indices` by number, zeros for None."""
    zero = B.full((B.shape(indices)[0], 1), 0, B.dtype(indices))
    return B.concatenate([zero if i is None else indices[:, i : i + 1] for i in kept], 1)


@_on_entries
def transpose(B, public, indices, values, shape, axes=None):
    axes = list(reversed(range(len(shape)))) if axes is None else canonical_axes(tuple(axes), len(shape), "transpose")
    return B.sparse(_columns(B, indices, list(axes)), values, tuple(shape[a] for a in axes), in_order=False)


@_on_entries
def expand_dims(B, public, indices, values, shape, axis):
    axes = canonical_axes(axis, len(shape) + (1 if isinstance(axis, int) else len(axis)), "expand_dims")
    left = iter(range(len(shape)))
    kept = [None if i in axes else next(left) for i in range(len(shape) + len(axes))]
    return B.sparse(_columns(B, indices, kept), values, tuple(1 if i is None else shape[i] for i in kept))


@_on_entries
def squeeze(B, public, indices, values, shape, axis=None):
    axes = canonical_axes(axis, len(shape), "squeeze") if axis is not None else [i for i, n in enumerate(shape) if n == 1]
    kept = [i for i in range(len(shape)) if i not in axes]
    if not kept or any(shape[a] != 1 for a in axes):
        return None
    return B.sparse(_columns(B, indices, kept), values, tuple(shape[i] for i in kept))


@_on_entries
def reshape(B, public, indices, values, shape, newshape):
    if not all(map(known, shape)) or math.prod(shape) > _LARGEST:
        return None
    shape_after = reshaped(shape, tuple(newshape) if hasattr(newshape, "__iter__") else (newshape,))
    if not shape_after or not all(map(known, shape_after)):
        return None
    flat = builtins.sum(indices[:, i] * math.prod(shape[i + 1 :]) for i in range(len(shape)))
    columns = [flat // math.prod(shape_after[i + 1 :]) % n for i, n in enumerate(shape_after)]
    return B.sparse(B.stack(columns, 1), values, tuple(shape_after))


@_rule
def concatenate(B, public, xs, axis=0):
    parts = [_entries(B, x) if B.is_sparse(x) else None for x in xs]
    if any(p is None for p in parts) or len({(len(p[2]), B.dtype(p[1])) for p in parts}) != 1:  # type: ignore[index]
        return None
    rank = len(parts[0][2])  # type: ignore[index]
    axis = canonical_axis(axis, rank, "concatenate")
    moved, length = [], 0
    for indices, _, shape in parts:  # type: ignore[misc]
        shift = B.asarray([length if i == axis else 0 for i in range(rank)], B.dtype(indices))
        moved.append(indices + shift)
        length += shape[axis]
    shape = tuple(length if i == axis else n for i, n in enumerate(shape))
    return B.sparse(B.concatenate(moved, 0), B.concatenate([p[1] for p in parts], 0), shape, in_order=False)  # type: ignore


# -- sums --------------------------------------------------------------------------------------------------------------


@_on_entries
def sum(B, public, indices, values, shape, axis=None, keepdims=False):
    axes = canonical_axes(axis, len(shape), "sum")
    values = B.cast(values, B.dtype(public(values)))
    kept = [None if i in axes else i for i in range(len(shape)) if keepdims or i not in axes]
    after = tuple(1 if i is None else shape[i] for i in kept)
    if all(i is None for i in kept):
        one = B.full((1, len(kept)), 0, B.dtype(indices))
        return B.sparse(one, B.reshape(B.sum(values, None, False), (1,)), after)
    return B.sparse(*B.coalesced(_columns(B, indices, kept), values, after), after)


@_on_entries
def mean(B, public, indices, values, shape, axis=None, keepdims=False):
    count = math.prod(shape[a] for a in canonical_axes(axis, len(shape), "mean"))
    shares = public(B.reshape(values, (1, -1)), 0) / count  # a mean of one is the value in the dtype of means
    return RULES["sum"](B, lambda values: values, B.sparse(indices, shares, shape), axis, keepdims)


@_on_entries
def bincount(B, public, indices, values, shape, weights=None, minlength=0, sparse=False):
    weights = B.sparse_parts(weights)[1] if weights is not None and B.is_sparse(weights) else weights
    if len(shape) == 1:
        return public(values, weights, minlength, True)
    longest = B.max(values, None, False) + 1
    length = max(int(longest), minlength)
    at = B.concatenate([B.cast(indices[:, :1], "int32"), B.expand_dims(B.cast(values, "int32"), 1)], 1)
    weights = B.full(B.shape(values), 1, "int32") if weights is None else weights
    return B.sparse(*B.coalesced(B.cast(at, B.dtype(indices)), weights, (shape[0], length)), (shape[0], length))
