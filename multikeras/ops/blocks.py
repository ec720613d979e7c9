"""Functions of targets computed block by block, in memory that grows with their number, not with its square."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from multikeras.backend import shapes
from multikeras.backend.interface import Array, Backend


def by_blocks(
    B: Backend, f: Callable[..., Array], size: Any, cut: Sequence[tuple[Any, int]], whole: Sequence[Any] = (), axis: int = 1
) -> Array:
    """Return `f(first, *blocks, *whole)` of blocks of `size` targets, one after the other, put together along `axis`.

    Each block is computed again in the backward pass: no more than one is ever kept.

    Args:
        f: Its first argument is the number of the block's first target, a scalar tensor.
        size: Targets of a block, a scalar tensor where their number is one.
        cut: What is cut into blocks, each with its axis of targets; None and what has size 1 there is given as it is.
        whole: More arguments, None among them.
    """
    # Gradients of variables read inside a loop are not TensorFlow's strength.
    cut, whole = [(x if x is None else B.read(x), along) for x, along in cut], [x if x is None else B.read(x) for x in whole]
    sizes = [B.shape(x)[along] for x, along in cut if x is not None]
    unknown = not all(isinstance(n, int) for n in (size, *sizes))
    # What is cut first has all targets; of the rest one of unknown size may have one for all of them.
    targets = sizes[0] if unknown else max(sizes)
    if unknown:
        # TensorFlow's gradient of a loop inside a branch loses a tensor that comes in twice.
        whole = [x if x is None else B.reshape(x, B.shape(x)) for x in whole]
        cut = [(x if x is None or isinstance(B.shape(x)[i], int) else _spread(B, x, i, targets), i) for x, i in cut]
    blocks = (targets + size - 1) // size
    varying = [x is not None and x.shape[along] != 1 for x, along in cut]

    def stacked(x, along):
        """Return the blocks along an axis of `x`, stacked in front."""
        sizes = B.shape(x)  # before it is padded: by a number that is not known, nothing is known of the result
        x = B.pad(x, [(0, blocks * size - targets if i == along else 0) for i in range(len(sizes))])
        x = B.reshape(x, (*sizes[:along], blocks, size, *sizes[along + 1 :]))
        return B.transpose(x, (along, *(i for i in range(len(sizes) + 1) if i != along)))

    again = B.remat(f)

    def step(_, slices):
        first, *parts = slices
        return (), again(first, *(parts.pop(0) if varies else x for (x, _), varies in zip(cut, varying)), *whole)

    starts = B.arange(0, blocks * size, size, "int32")
    _, out = B.scan(step, (), [starts, *(stacked(x, a) for (x, a), varies in zip(cut, varying) if varies)], None)
    out = B.transpose(out, (*range(1, axis + 1), 0, *range(axis + 1, len(out.shape))))
    sizes = B.shape(out)
    out = B.reshape(out, (*sizes[:axis], blocks * size, *sizes[axis + 2 :]))
    return B.getitem(out, (*(slice(None),) * axis, slice(0, targets)))


def _spread(B: Backend, x: Array, axis: int, size: Any) -> Array:
    """Return `x` with `size` entries along an axis where it has as many, or one."""
    sizes = list(B.shape(x))
    sizes[axis] = size
    return B.broadcast_to(x, tuple(sizes))


def in_room(
    B: Backend, f: Callable[..., Array], sizes: Sequence[Any], cut: Sequence[tuple[Any, int]], whole: Sequence[Any] = (),
    axis: int = 1,
) -> Array:  # fmt: skip
    """Do as `by_blocks` where a graph knows sizes only as it runs: all targets at once then, if there is room for them.

    Args:
        sizes: The number of targets, and sizes whose product is how many numbers one takes.
    """
    few, size = _room(B, *sizes)
    start = B.asarray(0, "int32")
    return B.cond(few, lambda: f(start, *(x for x, _ in cut), *whole), lambda: by_blocks(B, f, size, cut, whole, axis))


def _room(B: Backend, targets: Any, *a_target: Any) -> tuple[Array, Array]:
    """Return whether all targets can be taken at once, and how many of a block."""
    each = math.prod(B.cast(B.asarray(n), "int64") for n in a_target)
    targets = B.cast(B.asarray(targets), "int64")
    size = B.minimum(B.maximum(shapes.A_BLOCK // B.maximum(each, B.asarray(1, "int64")), B.asarray(1, "int64")), targets)
    return each * targets <= shapes.MOST_AT_ONCE, B.cast(B.maximum(size, B.asarray(1, "int64")), "int32")
