"""Ops that arrange entries anew: shapes, axes, joining, cutting, repeating."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from multikeras.backend.shapes import canonical_axes, canonical_axis, known
from multikeras.core import budget
from multikeras.ops import _sizes
from multikeras.ops._common import Tensor, constant
from multikeras.ops._op import convert, face, op

# -- shapes and axes ---------------------------------------------------------------------------------------------------


@face
def reshape(B, x: Any, newshape: Any) -> Tensor:
    """Give the entries another shape; one size may be -1, for what is left.

    >>> ops.reshape([[1, 2], [3, 4]], (-1,)).shape == (4,)
    True
    """
    sizes = tuple(newshape) if hasattr(newshape, "__iter__") else (newshape,)
    negative = [s for s in sizes if isinstance(s, int) and s < 0]
    if negative and negative != [-1]:
        raise ValueError(f"reshape: sizes are not negative, but for one -1 at most, got newshape={sizes}.")
    return B.reshape(x, sizes)


@op
def ravel(B, x: Any) -> Tensor:
    """Put all entries into one dimension.

    >>> ops.ravel([[1, 2], [3, 4]]).shape == (4,)
    True
    """
    return B.reshape(x, (-1,))


@face
def transpose(B, x: Any, axes: Sequence[int] | None = None) -> Tensor:
    """Permute the dimensions, reversing them if no order is given.

    >>> ops.transpose(ops.zeros((2, 3))).shape == (3, 2)
    True
    """
    rank = len(x.shape)
    axes = tuple(reversed(range(rank))) if axes is None else canonical_axes(tuple(axes), rank, "transpose")
    if len(axes) != rank:
        raise ValueError(f"transpose: axes={axes} do not name every dimension of shape {tuple(x.shape)}.")
    return B.transpose(x, axes)


@op
def moveaxis(B, x: Any, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Move dimensions to other places; the rest keep their order.

    >>> ops.moveaxis(ops.zeros((2, 3, 4)), 0, -1).shape == (3, 4, 2)
    True
    """
    rank = len(x.shape)
    source = canonical_axes(source, rank, "moveaxis")
    destination = canonical_axes(destination, rank, "moveaxis")
    if len(source) != len(destination):
        raise ValueError(f"moveaxis: source names {len(source)} axes, destination {len(destination)}.")
    order = [a for a in range(rank) if a not in source]
    for place, axis in sorted(zip(destination, source)):
        order.insert(place, axis)
    return B.transpose(x, order)


@op
def swapaxes(B, x: Any, axis1: int, axis2: int) -> Tensor:
    """Exchange two dimensions.

    >>> ops.swapaxes(ops.zeros((2, 3, 4)), 0, 2).shape == (4, 3, 2)
    True
    """
    order = list(range(len(x.shape)))
    i, j = (canonical_axis(a, len(order), "swapaxes") for a in (axis1, axis2))
    order[i], order[j] = order[j], order[i]
    return B.transpose(x, order)


@face
def expand_dims(B, x: Any, axis: int | Sequence[int]) -> Tensor:
    """Insert dimensions of size 1, so that they stand at `axis` of the result.

    >>> ops.expand_dims(ops.zeros((2, 3)), 1).shape == (2, 1, 3)
    True
    """
    if isinstance(axis, int):
        return B.expand_dims(x, canonical_axis(axis, len(x.shape) + 1, "expand_dims"))
    for a in sorted(canonical_axes(tuple(axis), len(x.shape) + len(axis), "expand_dims")):
        x = B.expand_dims(x, a)
    return x


@face
def squeeze(B, x: Any, axis: int | Sequence[int] | None = None) -> Tensor:
    """Drop dimensions of size 1: all of them, or those named.

    >>> ops.squeeze(ops.zeros((1, 3, 1))).shape == (3,)
    True
    """
    if axis is None:
        return B.squeeze(x, tuple(i for i, d in enumerate(x.shape) if d == 1))
    axes = canonical_axes(axis, len(x.shape), "squeeze")
    for a in axes:
        if x.shape[a] not in (1, None):
            raise ValueError(f"squeeze: axis {a} of shape {tuple(x.shape)} does not have size 1.")
    return B.squeeze(x, axes)


@face
def broadcast_to(B, x: Any, shape: Any) -> Tensor:
    """Repeat along dimensions of size 1, and along new first ones, to reach `shape`.

    >>> ops.broadcast_to([1, 2], (3, 2)).shape == (3, 2)
    True
    """
    return B.broadcast_to(x, tuple(shape) if hasattr(shape, "__iter__") else (shape,))


# -- joining -----------------------------------------------------------------------------------------------------------


@face(sequence=True, promote=True)
def concatenate(B, xs: Sequence[Any], axis: int = 0) -> Tensor:
    """Join tensors along an axis they have.

    >>> ops.concatenate([[1, 2], [3]]).shape == (3,)
    True
    """
    if not xs:
        raise ValueError("concatenate: xs is empty; at least one tensor is needed.")
    if axis is None:
        raise ValueError("concatenate: axis must be an int, got None. Flatten the tensors with `ravel` first.")
    return B.concatenate(xs, canonical_axis(axis, len(xs[0].shape), "concatenate"))


@op(tensors=2, promote=True)
def append(B, x1: Any, x2: Any, axis: int | None = None) -> Tensor:
    """Join two tensors along an axis; without one, all entries in order.

    >>> ops.append([1, 2], 3).shape == (3,)
    True
    """
    return B.concatenate([B.reshape(x, (-1,)) for x in (x1, x2)], 0) if axis is None else B.concatenate([x1, x2], axis)


@op(sequence=True, promote=True)
def stack(B, x: Sequence[Any], axis: int = 0) -> Tensor:
    """Join tensors of one shape along a new axis.

    >>> ops.stack([[1, 2], [3, 4], [5, 6]], axis=1).shape == (2, 3)
    True
    """
    if not x:
        raise ValueError("stack: x is empty; at least one tensor is needed.")
    axis = canonical_axis(axis, len(x[0].shape) + 1, "stack")
    return B.concatenate([B.expand_dims(t, axis) for t in x], axis)


def _of_rank(B, x: Tensor, rank: int) -> Tensor:
    """Return `x` with dimensions of size 1 to reach `rank`, as numpy's `atleast_2d` and `atleast_3d` place them."""
    before = {(0, 1): (0,), (0, 2): (0, 0), (1, 2): (0,), (0, 3): (0, 0, 0), (1, 3): (0, -1), (2, 3): (-1,)}
    for place in before.get((len(x.shape), rank), ()):
        x = B.expand_dims(x, place if place == 0 else len(x.shape))
    return x


@op(sequence=True, promote=True)
def hstack(B, xs: Sequence[Any]) -> Tensor:
    """Join side by side: along the second dimension, vectors along their only one.

    >>> ops.hstack([[1, 2], [3, 4]]).shape == (4,)
    True
    """
    xs = [_of_rank(B, x, 1) for x in xs]
    return B.concatenate(xs, 0 if len(xs[0].shape) == 1 else 1)


@op(sequence=True, promote=True)
def vstack(B, xs: Sequence[Any]) -> Tensor:
    """Join one above the other: along the first dimension, vectors as rows.

    >>> ops.vstack([[1, 2], [3, 4]]).shape == (2, 2)
    True
    """
    return B.concatenate([_of_rank(B, x, 2) for x in xs], 0)


@op(sequence=True, promote=True)
def dstack(B, xs: Sequence[Any]) -> Tensor:
    """Join one behind the other: along a third dimension.

    >>> ops.dstack([[1, 2], [3, 4]]).shape == (1, 2, 2)
    True
    """
    return B.concatenate([_of_rank(B, x, 3) for x in xs], 2)


@op(sequence=True, promote=True)
def column_stack(B, xs: Sequence[Any]) -> Tensor:
    """Join side by side, vectors as columns.

    >>> ops.column_stack([[1, 2], [3, 4]]).shape == (2, 2)
    True
    """
    return B.concatenate([x if len(x.shape) > 1 else B.reshape(x, (-1, 1)) for x in xs], 1)


@op(tensors=0)
def meshgrid(B, *x: Any, indexing: str = "xy") -> list[Tensor]:
    """Return the coordinates of the points of a grid, one tensor for each vector `x`.

    `indexing`: "xy" puts the first vector along the second dimension, "ij" along the first.

    >>> a, b = ops.meshgrid([1, 2], [3, 4, 5])
    >>> a.shape == b.shape == (3, 2)
    True
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f'meshgrid: indexing must be "xy" or "ij", got {indexing!r}.')
    vectors = [B.reshape(convert(B, v), (-1,)) for v in x]
    shape = [B.shape(v)[0] for v in vectors]
    rank = len(shape)
    grids = [
        B.broadcast_to(B.reshape(v, tuple(-1 if i == place else 1 for i in range(rank))), tuple(shape))
        for place, v in enumerate(vectors)
    ]
    return [B.swapaxes(g, 0, 1) for g in grids] if indexing == "xy" and rank > 1 else grids


# -- cutting -----------------------------------------------------------------------------------------------------------


def _part(B, x: Tensor, axis: int, start: Any, stop: Any) -> Tensor:
    return B.getitem(x, (*(slice(None),) * axis, slice(start, stop)))


def _parts(B, x: Tensor, cuts: Sequence[Any], axis: int) -> list[Tensor]:
    return [_part(B, x, axis, low, high) for low, high in itertools.pairwise([0, *cuts, None])]


def _cuts(sections: Any) -> list[int]:
    """Return where to cut as ints, from a sequence or a tensor."""
    return [int(s) for s in sections]


@op
def split(B, x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """Cut along an axis, into a number of equal parts or at indices.

    >>> [p.shape[0] for p in ops.split(ops.arange(6), 3)], [p.shape[0] for p in ops.split(ops.arange(6), [1, 4])]
    ([2, 2, 2], [1, 3, 2])
    """
    axis = canonical_axis(axis, len(x.shape), "split")
    if not isinstance(indices_or_sections, int):
        return _parts(B, x, _cuts(indices_or_sections), axis)
    size = B.shape(x)[axis]
    if known(x.shape[axis]) and size % indices_or_sections:
        raise ValueError(
            f"split: axis {axis} of shape {tuple(x.shape)} has size {size}, which does not divide into "
            f"{indices_or_sections} equal parts. `array_split` makes unequal ones."
        )
    budget.loop(indices_or_sections, "split")
    step = size // indices_or_sections
    return [_part(B, x, axis, i * step, (i + 1) * step) for i in range(indices_or_sections)]


@op
def array_split(B, x: Any, indices_or_sections: int | Sequence[int], axis: int = 0) -> list[Tensor]:
    """Cut along an axis, into parts as equal as can be (the first ones longer) or at indices.

    >>> [p.shape[0] for p in ops.array_split(ops.arange(5), 3)]
    [2, 2, 1]
    """
    axis = canonical_axis(axis, len(x.shape), "array_split")
    if not isinstance(indices_or_sections, int):
        return _parts(B, x, _cuts(indices_or_sections), axis)
    n, size = indices_or_sections, B.shape(x)[axis]
    budget.loop(n, "array_split")
    if not isinstance(size, int) or not known(size):
        longer = size % n
        ends = [i * (size // n) + _sizes.smallest(B, longer, i) for i in range(n + 1)]
    else:
        ends = [i * (size // n) + min(i, size % n) for i in range(n + 1)]
    return [_part(B, x, axis, low, high) for low, high in itertools.pairwise(ends)]


@op
def hsplit(B, x: Any, indices_or_sections: int | Sequence[int]) -> list[Tensor]:
    """Cut along the second dimension, a vector along its only one.

    >>> [p.shape == (2, 1) for p in ops.hsplit(ops.zeros((2, 2)), 2)]
    [True, True]
    """
    return B.split(x, indices_or_sections, 0 if len(x.shape) == 1 else 1)


@op
def vsplit(B, x: Any, indices_or_sections: int | Sequence[int]) -> list[Tensor]:
    """Cut along the first dimension.

    >>> [p.shape == (1, 2) for p in ops.vsplit(ops.zeros((2, 2)), 2)]
    [True, True]
    """
    return B.split(x, indices_or_sections, 0)


@op
def dsplit(B, x: Any, indices_or_sections: int | Sequence[int]) -> list[Tensor]:
    """Cut along the third dimension.

    >>> [p.shape == (2, 2, 1) for p in ops.dsplit(ops.zeros((2, 2, 2)), 2)]
    [True, True]
    """
    if len(x.shape) < 3:
        raise ValueError(f"dsplit: x must have rank 3 or more, got shape {tuple(x.shape)}.")
    return B.split(x, indices_or_sections, 2)


# -- repeating, turning ------------------------------------------------------------------------------------------------


@op
def tile(B, x: Any, repeats: Any) -> Tensor:
    """Repeat the whole tensor along each dimension.

    >>> [int(v) for v in ops.tile([1, 2], 2)]
    [1, 2, 1, 2]
    """
    repeats = tuple(repeats) if hasattr(repeats, "__iter__") and getattr(repeats, "ndim", 1) else (repeats,)
    repeats = tuple(_sizes.from_value(r) for r in repeats)
    rank = max(len(x.shape), len(repeats))
    sizes = (1,) * (rank - len(x.shape)) + tuple(B.shape(x))
    repeats = (1,) * (rank - len(repeats)) + repeats
    x = B.reshape(x, tuple(s for size in sizes for s in (1, size)))
    x = B.broadcast_to(x, tuple(s for pair in zip(repeats, sizes) for s in pair))
    return B.reshape(x, tuple(r * size for r, size in zip(repeats, sizes)))


@face
def repeat(B, x: Any, repeats: Any, axis: int | None = None) -> Tensor:
    """Repeat each entry along an axis: all equally often, or each as often as told.

    >>> [int(v) for v in ops.repeat([1, 2], 2)], [int(v) for v in ops.repeat([1, 2], [1, 2])]
    ([1, 1, 2, 2], [1, 2, 2])
    """
    x, axis = (B.reshape(x, (-1,)), 0) if axis is None else (x, canonical_axis(axis, len(x.shape), "repeat"))
    if isinstance(repeats, (list, tuple, np.ndarray)):
        repeats = np.asarray(repeats).reshape(-1)
        if len(repeats) != 1:
            if known(x.shape[axis]) and len(repeats) != x.shape[axis]:
                raise ValueError(f"repeat: {len(repeats)} repeats for {x.shape[axis]} entries along axis {axis}.")
            return B.take(x, B.asarray(np.repeat(np.arange(len(repeats)), repeats), "int32"), axis)
        repeats = int(repeats[0])
    elif not isinstance(repeats, int):
        repeats = convert(B, repeats)
        if len(repeats.shape) == 1 and repeats.shape[0] != 1:
            ends = B.cumsum(B.cast(repeats, "int32"), 0)
            number = B.arange(0, _sizes.from_value(B.getitem(ends, -1)), 1, "int32")
            return B.take(x, B.searchsorted(ends, number, "right"), axis)
        repeats = _sizes.from_value(B.reshape(repeats, ()))
    sizes = tuple(B.shape(x))
    more = B.broadcast_to(B.expand_dims(x, axis + 1), (*sizes[: axis + 1], repeats, *sizes[axis + 1 :]))
    return B.reshape(more, (*sizes[:axis], sizes[axis] * repeats, *sizes[axis + 1 :]))


@op
def roll(B, x: Any, shift: Any, axis: int | Sequence[int] | None = None) -> Tensor:
    """Move entries along axes by `shift` places; those pushed out come in at the other end.

    >>> [int(v) for v in ops.roll([1, 2, 3], 1)]
    [3, 1, 2]
    """
    if axis is None:
        return B.reshape(B.roll(B.reshape(x, (-1,)), shift, 0), B.shape(x))
    axes = canonical_axes(axis, len(x.shape), "roll")
    shifts = tuple(shift) if isinstance(shift, (tuple, list)) else (shift,) * len(axes)
    if len(shifts) != len(axes):
        raise ValueError(f"roll: {len(shifts)} shifts for {len(axes)} axes.")
    for s, a in zip(shifts, axes):
        n = B.asarray(B.shape(x)[a], "int32")
        if x.shape[a] != 0:
            x = B.take(x, B.mod(B.arange(0, B.shape(x)[a], 1, "int32") - B.asarray(s, "int32"), n), a)
    return x


@face
def flip(B, x: Any, axis: int | Sequence[int] | None = None) -> Tensor:
    """Reverse the order along axes, along all if none is given.

    >>> [int(v) for v in ops.flip([1, 2, 3])]
    [3, 2, 1]
    """
    return B.flip(x, canonical_axes(axis, len(x.shape), "flip"))


@op
def fliplr(B, x: Any) -> Tensor:
    """Reverse the order along the second dimension.

    >>> int(ops.fliplr([[1, 2]])[0, 0])
    2
    """
    return B.flip(x, canonical_axes(1, len(x.shape), "fliplr"))


@op
def flipud(B, x: Any) -> Tensor:
    """Reverse the order along the first dimension.

    >>> int(ops.flipud([1, 2])[0])
    2
    """
    return B.flip(x, canonical_axes(0, len(x.shape), "flipud"))


@op
def rot90(B, array: Any, k: int = 1, axes: Sequence[int] = (0, 1)) -> Tensor:
    """Turn by `k` quarters in the plane of two axes, from the first towards the second.

    >>> int(ops.rot90([[1, 2], [3, 4]])[0, 0])
    2
    """
    if len(array.shape) < 2:
        raise ValueError(f"rot90: array must have rank 2 or more, got shape {tuple(array.shape)}.")
    if len(axes) != 2 or axes[0] % len(array.shape) == axes[1] % len(array.shape):
        raise ValueError(f"rot90: axes must be two different axes, got {tuple(axes)}.")
    first, second = canonical_axes(tuple(axes), len(array.shape), "rot90")
    k %= 4
    if k == 2:
        return B.flip(array, (first, second))
    if k == 1:
        return B.swapaxes(B.flip(array, (second,)), first, second)
    return B.flip(B.swapaxes(array, first, second), (second,)) if k == 3 else array


@face
def pad(B, x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Tensor:
    """Add entries before and after along each dimension.

    `pad_width`: an int, a pair (before, after) for all dimensions, or a pair for each. `mode`: "constant"
    (zeros or `constant_values`), "reflect", "symmetric", or "edge".

    >>> [int(v) for v in ops.pad([1, 2], (1, 2))]
    [0, 1, 2, 0, 0]
    """
    if mode not in ("constant", "reflect", "symmetric", "edge"):
        raise ValueError(f'pad: mode must be "constant", "reflect", "symmetric" or "edge", got {mode!r}.')
    if mode != "constant" and constant_values is not None:
        raise ValueError(f'pad: constant_values={constant_values!r} needs mode="constant", got mode={mode!r}.')
    rank = len(x.shape)
    # Widths stay Python's: torch.compile takes numpy's for tensors, whose values it does not know.
    rows = pad_width if hasattr(pad_width, "__len__") else [pad_width]
    rows = [list(row) for row in (rows if all(hasattr(row, "__len__") for row in rows) else [rows])]
    rows = rows * rank if len(rows) == 1 else rows
    if len(rows) != rank or any(len(row) not in (1, 2) for row in rows):
        raise ValueError(f"pad: pad_width={pad_width!r} does not fit a tensor of shape {tuple(x.shape)}.")
    pairs = [(int(row[0]), int(row[-1])) for row in rows]
    if mode != "edge":
        value = 0 if constant_values is None else constant_values
        return B.pad(x, pairs, mode, value if isinstance(value, (bool, int, float, complex)) else constant(B, x, value))
    for axis, (low, high) in enumerate(pairs):
        size = B.shape(x)[axis]
        number = B.arange(-low, size + high, 1, "int32")
        x = B.take(x, B.minimum(B.maximum(number, number * 0), B.asarray(size, "int32") - 1), axis)
    return x
