"""Functions of targets computed block by block, in memory that grows with their number, not with its square."""

from collections.abc import Callable, Sequence
from typing import Any

from multikeras.backend.interface import Array, Backend


def by_blocks(
    B: Backend, f: Callable[..., Array], size: int, cut: Sequence[tuple[Any, int]], whole: Sequence[Any] = (), axis: int = 1
) -> Array:
    """Return `f(first, *blocks, *whole)` of blocks of `size` targets, one after the other, put together along `axis`.

    Each block is computed again in the backward pass: no more than one is ever kept.

    Args:
        f: Its first argument is the number of the block's first target, a scalar tensor.
        size: Targets of a block.
        cut: What is cut into blocks, each with its axis of targets; None and what has size 1 there is given as it is.
        whole: More arguments, None among them.
    """
    # Gradients of variables read inside a loop are not TensorFlow's strength.
    cut, whole = [(x if x is None else B.read(x), along) for x, along in cut], [x if x is None else B.read(x) for x in whole]
    targets = max(x.shape[along] for x, along in cut if x is not None)
    blocks = -(-targets // size)
    varying = [x is not None and x.shape[along] != 1 for x, along in cut]

    def stacked(x, along):
        """Return the blocks along an axis of `x`, stacked in front."""
        x = B.pad(x, [(0, (blocks * size - targets) * (i == along)) for i in range(len(x.shape))])
        sizes = B.shape(x)
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
