"""Images put together from patches."""

import math
from typing import Any

from multikeras import config
from multikeras.backend.shapes import known
from multikeras.ops._op import op


def _sizes(name: str, value: Any, rank: int) -> tuple[int, ...]:
    sizes = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(sizes) != rank or not all(isinstance(n, int) and n > 0 for n in sizes):
        raise ValueError(f"reconstruct_patches: {name} must be a positive int or {rank} of them, got {value!r}.")
    return sizes


@op
def reconstruct_patches(B, patches, size, output_size=None, strides=None, padding="valid", data_format=None):
    """Put images together from their patches, side by side: undoes `extract_patches`, of volumes with three sizes too.

    Args:
        patches: (batch, *grid, pixels of a patch * channels), or without batch; channels first (batch, pixels, *grid).
        size: Of a patch: two numbers, three for volumes, or one int for squares.
        output_size: Of the image. None: that of the grid. Needed with "same" padding, which is cut off.
        strides: None or `size`: patches that overlap cannot be put together.
        padding: "valid" or "same", as the patches were cut.
        data_format: "channels_last" or "channels_first".

    >>> from multikeras import ops
    >>> x = ops.reshape(ops.arange(36.0), (1, 6, 6, 1))
    >>> y = ops.image.reconstruct_patches(ops.image.extract_patches(x, 2), 2)
    >>> bool(ops.all(x == y))
    True
    """
    rank = 2 if isinstance(size, int) else len(size)
    if rank not in (2, 3):
        raise ValueError(f"reconstruct_patches: size must be an int or have 2 or 3 entries, got {size!r}.")
    size = _sizes("size", size, rank)
    if strides is not None and _sizes("strides", strides, rank) != size:
        raise ValueError(f"reconstruct_patches: strides must equal size={size} (no overlap), got {strides!r}.")
    if padding not in ("valid", "same"):
        raise ValueError(f'reconstruct_patches: padding must be "valid" or "same", got {padding!r}.')
    if len(patches.shape) not in (rank + 1, rank + 2):
        raise ValueError(
            f"reconstruct_patches: patches of size {size} must have rank {rank + 1} or {rank + 2}, "
            f"got shape {tuple(patches.shape)}."
        )
    first = config.standardize_data_format(data_format) == "channels_first"
    x = patches if len(patches.shape) == rank + 2 else B.expand_dims(patches, 0)
    x = B.transpose(x, (0, *range(2, rank + 2), 1)) if first else x
    batch, *grid, depth = B.shape(x)
    if known(x.shape[-1]) and x.shape[-1] % math.prod(size):
        raise ValueError(f"reconstruct_patches: {x.shape[-1]} entries are not whole patches of {math.prod(size)} pixels.")
    x = B.reshape(x, (batch, *grid, *size, depth // math.prod(size)))
    x = B.transpose(x, (0, *(a for i in range(1, rank + 1) for a in (i, i + rank)), 2 * rank + 1))
    whole = [n * s for n, s in zip(grid, size)]
    x = B.reshape(x, (batch, *whole, depth // math.prod(size)))
    x = _cropped(B, x, whole, output_size, padding)
    x = B.transpose(x, (0, rank + 1, *range(1, rank + 1))) if first else x
    return x if len(patches.shape) == rank + 2 else B.squeeze(x, (0,))


def _cropped(B, x, whole, output_size, padding):
    """Return the image without the padding that the patches had, the odd one at the end."""
    if output_size is None:
        if padding == "same":
            raise ValueError('reconstruct_patches: padding="same" needs output_size, the size of the image.')
        return x
    wanted = _sizes("output_size", output_size, len(whole))
    fits = [n - w >= 0 if padding == "same" else n == w for n, w in zip(whole, wanted) if known(n)]
    if not all(fits):
        raise ValueError(f"reconstruct_patches: output_size={wanted} does not fit patches that cover {tuple(whole)}.")
    lows = [(n - w) // 2 for n, w in zip(whole, wanted)]
    if not all(map(known, lows)):
        raise ValueError("reconstruct_patches: the grid of patches must be known where output_size is given.")
    return B.getitem(x, (slice(None), *(slice(low, low + w) for low, w in zip(lows, wanted))))
