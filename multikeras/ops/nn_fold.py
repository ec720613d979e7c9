"""Rearranging patches: `unfold` and `fold`, depth and space."""

import math

from multikeras import config
from multikeras.backend.shapes import known
from multikeras.ops._op import op


def _pairs(op_name, **sizes):
    for name, value in sizes.items():
        pair = (value, value) if isinstance(value, int) else tuple(value)
        if len(pair) != 2:
            raise ValueError(f"{op_name}: {name} must be an integer or two of them, got {value!r}.")
        yield pair


def _blocks(size, window, stride, padding, dilation):
    return (size + 2 * padding - dilation * (window - 1) - 1) // stride + 1


def _window_slices(window, counts, stride, dilation):
    """Give, for each position in the window, the slices of its entries in all blocks."""
    for position in range(math.prod(window)):
        at = (position // window[1], position % window[1])
        yield tuple(
            slice(a * d, a * d + (n - 1) * s + 1, s) for a, n, s, d in zip(at, counts, stride, dilation)
        )  # fmt: skip


@op
def unfold(B, x, kernel_size, dilation=1, padding=0, stride=1):
    """Return all blocks of a (batch, channels, height, width) tensor as columns, (batch, channels * window, blocks).

    >>> from multikeras import ops
    >>> ops.unfold(ops.ones((1, 3, 4, 4)), 2, stride=2).shape == (1, 12, 4)
    True
    """
    if len(x.shape) != 4:
        raise ValueError(f"unfold: x must have rank 4 (batch, channels, height, width), got shape {tuple(x.shape)}.")
    window, dilation, padding, stride = _pairs(
        "unfold", kernel_size=kernel_size, dilation=dilation, padding=padding, stride=stride
    )
    batch, channels, *spatial = B.shape(x)
    counts = [_blocks(*sizes) for sizes in zip(spatial, window, stride, padding, dilation)]
    x = B.pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)))
    whole = (slice(None), slice(None))
    parts = [B.expand_dims(B.getitem(x, whole + at), 2) for at in _window_slices(window, counts, stride, dilation)]
    return B.reshape(B.concatenate(parts, 2), (batch, channels * math.prod(window), counts[0] * counts[1]))


@op
def fold(B, x, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Add the blocks that are the columns of `x` up to a (batch, channels, *output_size) tensor: undoes `unfold`.

    >>> from multikeras import ops
    >>> ops.fold(ops.ones((1, 12, 4)), 4, 2, stride=2).shape == (1, 3, 4, 4)
    True
    """
    if len(x.shape) != 3:
        raise ValueError(f"fold: x must have rank 3 (batch, channels * window, blocks), got shape {tuple(x.shape)}.")
    output, window, dilation, padding, stride = _pairs(
        "fold", output_size=output_size, kernel_size=kernel_size, dilation=dilation, padding=padding, stride=stride
    )
    counts = [_blocks(*sizes) for sizes in zip(output, window, stride, padding, dilation)]
    area, blocks = math.prod(window), x.shape[2]
    if known(blocks) and blocks != counts[0] * counts[1]:
        raise ValueError(f"fold: x has {blocks} blocks, output_size={output} holds {counts[0]} x {counts[1]}.")
    if known(x.shape[1]) and x.shape[1] % area:
        raise ValueError(f"fold: x.shape[1]={x.shape[1]} is no multiple of the {area} entries of a window.")
    batch, columns, _ = B.shape(x)
    channels = columns // area
    x = B.reshape(x, (batch, channels, area, *counts))
    padded = [size + 2 * p for size, p in zip(output, padding)]
    total = None
    for i, at in enumerate(_window_slices(window, counts, stride, dilation)):
        part = _spread(B, _spread(B, B.getitem(x, (slice(None), slice(None), i)), 2, at[0], padded[0]), 3, at[1], padded[1])
        total = part if total is None else B.add(total, part)
    crop = tuple(slice(p, p + size) for p, size in zip(padding, output))
    return B.getitem(total, (slice(None), slice(None), *crop))


def _spread(B, x, axis, where, size):
    """Return zeros of `size` along `axis` with the entries of `x` at the slice `where`."""
    n, step = x.shape[axis], where.step
    sizes, rank = B.shape(x), len(x.shape)
    x = B.pad(B.expand_dims(x, axis + 1), tuple((0, step - 1 if i == axis + 1 else 0) for i in range(rank + 1)))
    x = B.reshape(x, (*sizes[:axis], n * step, *sizes[axis + 1 :]))
    x = B.getitem(x, (slice(None),) * axis + (slice(0, (n - 1) * step + 1),))
    after = size - where.start - (n - 1) * step - 1
    return B.pad(x, tuple((where.start, after) if i == axis else (0, 0) for i in range(rank)))


def _check_block(op_name, x, block_size):
    if len(x.shape) != 4:
        raise ValueError(f"{op_name}: x must have rank 4, got shape {tuple(x.shape)}.")
    if not isinstance(block_size, int) or block_size < 2:
        raise ValueError(f"{op_name}: `block_size` must be at least 2, got {block_size!r}.")


def _channels_last(B, x, data_format):
    return B.transpose(x, (0, 2, 3, 1)) if data_format == "channels_first" else x


def _back(B, x, data_format):
    return B.transpose(x, (0, 3, 1, 2)) if data_format == "channels_first" else x


@op
def depth_to_space(B, x, block_size, data_format="channels_last"):
    """Move channels into `block_size` times as many rows and columns.

    >>> from multikeras import ops
    >>> ops.depth_to_space(ops.ones((1, 2, 2, 12)), 2).shape == (1, 4, 4, 3)
    True
    """
    _check_block("depth_to_space", x, block_size)
    data_format = config.standardize_data_format(data_format)
    x = _channels_last(B, x, data_format)
    channels = x.shape[3]
    if known(channels) and channels % block_size**2:
        raise ValueError(f"depth_to_space: {channels} channels are no multiple of block_size ** 2 = {block_size**2}.")
    batch, height, width, channels = B.shape(x)
    depth = channels // block_size**2
    x = B.transpose(B.reshape(x, (batch, height, width, block_size, block_size, depth)), (0, 1, 3, 2, 4, 5))
    return _back(B, B.reshape(x, (batch, height * block_size, width * block_size, depth)), data_format)


@op
def space_to_depth(B, x, block_size, data_format="channels_last"):
    """Move blocks of rows and columns into channels: undoes `depth_to_space`.

    >>> from multikeras import ops
    >>> ops.space_to_depth(ops.ones((1, 4, 4, 3)), 2).shape == (1, 2, 2, 12)
    True
    """
    _check_block("space_to_depth", x, block_size)
    data_format = config.standardize_data_format(data_format)
    x = _channels_last(B, x, data_format)
    if any(known(s) and s % block_size for s in x.shape[1:3]):
        raise ValueError(
            f"space_to_depth: height and width of {tuple(x.shape)} "
            f"must be multiples of block_size={block_size}."
        )
    batch, height, width, channels = B.shape(x)
    rows, columns = height // block_size, width // block_size
    x = B.transpose(B.reshape(x, (batch, rows, block_size, columns, block_size, channels)), (0, 1, 3, 2, 4, 5))
    return _back(B, B.reshape(x, (batch, rows, columns, channels * block_size**2)), data_format)
