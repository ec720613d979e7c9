"""Ops that pick entries: by index, by condition, along diagonals."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from multikeras.backend import dtypes
from multikeras.backend.shapes import Spec, canonical_axis, known
from multikeras.ops import _sizes
from multikeras.ops._common import Tensor, as_bool, constant
from multikeras.ops._op import convert, convert_together, face, op


def _in_range(B, indices: Tensor, size: Any) -> Tensor:
    """Return indices counted from the front, moved into 0 ... size - 1."""
    if not dtypes.is_int(B.dtype(indices)) or B.dtype(indices) in ("uint8", "int8", "uint16", "int16"):
        indices = B.cast(indices, "int32")
    if known(size) and B.surely_in_range(indices, size):
        return indices
    size = constant(B, indices, size) if known(size) else B.asarray(size, B.dtype(indices))
    zero = constant(B, indices, 0)
    indices = B.where(B.less(indices, zero), indices + size, indices)
    return B.minimum(B.maximum(indices, zero), size - 1)


@face(tensors=2)
def take(B, x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """Pick slices along an axis, or entries of all in order; negative indices count from the end.

    The shape of `indices` takes the place of the dimension. Indices out of range mean the nearest end.

    >>> [int(v) for v in ops.take([10, 20, 30], [2, 0])]
    [30, 10]
    """
    x, axis = (B.reshape(x, (-1,)), 0) if axis is None else (x, canonical_axis(axis, len(x.shape), "take"))
    return B.picked(x, indices, axis)


@op(tensors=2)
def picked(B, x, indices, axis):
    """Pick slices along an axis by indices that may be out of range."""
    return B.take(x, _in_range(B, indices, B.shape(x)[axis]), axis)


@face(tensors=2)
def take_along_axis(B, x: Any, indices: Any, axis: int | None = None) -> Tensor:
    """Pick along an axis one entry for each of `indices`, which has the rank of `x`; see `take`.

    >>> [int(v) for v in ops.take_along_axis([1, 2, 3], [2, 0], axis=0)]
    [3, 1]
    """
    if axis is None:
        x, indices, axis = B.reshape(x, (-1,)), B.reshape(indices, (-1,)), 0
    axis = canonical_axis(axis, len(x.shape), "take_along_axis")
    if len(x.shape) != len(indices.shape):
        raise ValueError(
            f"take_along_axis: x, shape {tuple(x.shape)}, and indices, shape {tuple(indices.shape)}, must have one rank."
        )
    return B.take_along_axis(x, _in_range(B, indices, B.shape(x)[axis]), axis)


def _key(B, k: Any) -> Any:
    """Return one part of an index as `Backend.getitem` takes it."""
    if k is None or k is Ellipsis or isinstance(k, (int, slice, Spec)):
        return k
    if isinstance(k, np.integer):
        return int(k)
    return B.asarray(k)


@op
def get_item(B, x: Any, key: Any) -> Tensor:
    """Return `x[key]`, indexed as numpy does.

    >>> int(ops.get_item([[1, 2], [3, 4]], (1, 0)))
    3
    """
    return B.getitem(x, tuple(_key(B, k) for k in key) if isinstance(key, tuple) else _key(B, key))


def _get_item_of_file(self, x: Any, key: Any) -> Tensor:
    """Index by a key that may have been a tuple before it went through JSON."""
    return get_item(x, tuple(key) if isinstance(key, list) else key)


get_item.node_class.at_call = ("key",)
get_item.node_class.call = _get_item_of_file


@face
def where(B, condition: Any, x1: Any = None, x2: Any = None) -> Any:
    """Choose from `x1` where the condition holds, else from `x2`; without these, return where it holds.

    >>> [int(v) for v in ops.where([True, False], [1, 2], [3, 4])]
    [1, 4]
    """
    if x1 is None and x2 is None:
        return B.nonzero(condition)
    if x1 is None or x2 is None:
        raise ValueError("where: x1 and x2 must be given together, or neither.")
    return B.where(as_bool(B, condition), *convert_together(B, (x1, x2), False))


@face
def nonzero(B, x: Any) -> tuple[Tensor, ...]:
    """Return the indices of entries that are not zero, one tensor a dimension.

    >>> [int(v) for v in ops.nonzero([0, 5, 6])[0]]
    [1, 2]
    """
    if not len(x.shape):
        raise ValueError("nonzero: x is a scalar, which has no index. Give it a dimension with `reshape(x, (1,))`.")
    return B.nonzero(x)


@op(tensors=0)
def select(B, condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Tensor:
    """Choose from the first of `choicelist` whose condition holds, else `default`.

    >>> [int(v) for v in ops.select([[True, False]], [[1, 2]], default=9)]
    [1, 9]
    """
    if not condlist or len(condlist) != len(choicelist):
        raise ValueError(
            "select: condlist and choicelist must be of one length, not empty, "
            f"got {len(condlist)} and {len(choicelist)}."
        )
    *choices, chosen = convert_together(B, [*choicelist, default], False)
    for condition, choice in zip(reversed(condlist), reversed(choices)):
        chosen = B.where(as_bool(B, convert(B, condition)), choice, chosen)
    return chosen


# -- diagonals ---------------------------------------------------------------------------------------------------------


@op
def diagonal(B, x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Return a diagonal of the matrices along two axes, as the last dimension.

    >>> [int(v) for v in ops.diagonal([[1, 2], [3, 4]])]
    [1, 4]
    """
    rank = len(x.shape)
    if rank < 2:
        raise ValueError(f"diagonal: x must have rank 2 or more, got shape {tuple(x.shape)}.")
    if axis1 % rank == axis2 % rank:
        raise ValueError(f"diagonal: axis1 and axis2 are the same axis, {axis1}.")
    x = B.moveaxis(x, (axis1, axis2), (-2, -1))
    *batch, rows, columns = B.shape(x)
    length = _sizes.at_least(B, _sizes.smallest(B, rows + min(offset, 0), columns - max(offset, 0)), 0)
    first = max(offset, 0) - columns * min(offset, 0)
    places = B.arange(0, length, 1, "int32") * B.asarray(columns + 1, "int32") + B.asarray(first, "int32")
    return B.take(B.reshape(x, (*batch, rows * columns)), places, rank - 2)


@op
def diag(B, x: Any, k: int = 0) -> Tensor:
    """Return diagonal `k` of a matrix, or a matrix with a vector on that diagonal.

    >>> [int(v) for v in ops.diag(ops.diag([1, 2]))]
    [1, 2]
    """
    if len(x.shape) == 2:
        return B.diagonal(x, k)
    if len(x.shape) != 1:
        raise ValueError(f"diag: x must have rank 1 or 2, got shape {tuple(x.shape)}.")
    side = B.shape(x)[0] + abs(k)
    filled = B.reshape(B.pad(x, [(0, abs(k))]), (side, 1) if k >= 0 else (1, side))
    return B.where(B.eye(side, side, k, "bool"), filled, constant(B, x, 0))


@op
def diagflat(B, x: Any, k: int = 0) -> Tensor:
    """Return a matrix with all entries of `x`, in order, on diagonal `k`.

    >>> ops.diagflat([[1, 2], [3, 4]]).shape == (4, 4)
    True
    """
    return B.diag(B.reshape(x, (-1,)), k)


@op
def unravel_index(B, indices: Any, shape: Sequence[int]) -> tuple[Tensor, ...]:
    """Return the index in each dimension for indices into all entries in order.

    >>> [int(v) for v in ops.unravel_index(5, (2, 3))]
    [1, 2]
    """
    if B.dtype(indices) not in ("int32", "int64"):
        indices = B.cast(indices, "int32")
    total = _sizes.product(shape)
    rest = B.where(indices < 0, indices + total, indices)
    found = []
    for size in reversed(tuple(shape)):
        size = constant(B, rest, size)
        found.append(B.mod(rest, size))
        rest = B.floor_divide(rest, size)
    return tuple(reversed(found))


# -- sizes -------------------------------------------------------------------------------------------------------------


@op
def ndim(B, x: Any) -> int:
    """Return the number of dimensions.

    >>> ops.ndim([[1, 2]])
    2
    """
    return len(x.shape)


@op
def size(B, x: Any) -> Any:
    """Return the number of entries, as a scalar tensor where only the running graph knows it.

    >>> int(ops.size([[1, 2]]))
    2
    """
    n = _sizes.product(B.shape(x))
    return n if type(n) is int else B.asarray(n, "int32")
