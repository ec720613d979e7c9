"""Images as arrays."""

from typing import Any

import numpy as np

from multikeras import config, ops
from multikeras.utils.images import array_to_img as array_to_img
from multikeras.utils.images import centered_box
from multikeras.utils.images import img_to_array as img_to_array
from multikeras.utils.images import load_img as load_img
from multikeras.utils.images import save_img as save_img


def smart_resize(
    x: Any, size: tuple[int, int], interpolation: str = "bilinear", data_format: str = "channels_last"
) -> Any:
    """Resize images without distorting them: cut out the middle part of the target's proportions, then resize it.

    Args:
        x: One image or a batch; numpy gives numpy, a tensor a tensor.
        size: `(height, width)` of the result.
        interpolation: bilinear, nearest, bicubic, lanczos3 or lanczos5.
        data_format: `"channels_last"` or `"channels_first"`.

    >>> smart_resize(np.zeros((100, 50, 3)), (20, 20)).shape
    (20, 20, 3)
    """
    if len(size) != 2:
        raise ValueError(f"smart_resize: size must be (height, width), got {size!r}.")
    rank = len(x.shape)
    if rank not in (3, 4):
        raise ValueError(f"smart_resize: x must have rank 3 or 4, its shape is {tuple(x.shape)}.")
    data_format = config.standardize_data_format(data_format)
    rows = rank - 3 if data_format == "channels_last" else rank - 2
    height, width = x.shape[rows], x.shape[rows + 1]
    left, top, right, bottom = centered_box(height, width, *size)
    part = [slice(None)] * rank
    part[rows], part[rows + 1] = slice(top, bottom), slice(left, right)
    tensor = ops.convert_to_tensor(x, config.floatx() if isinstance(x, np.ndarray) else None)
    found = ops.image.resize(tensor[tuple(part)], size, interpolation, data_format=data_format)
    return ops.convert_to_numpy(found) if isinstance(x, np.ndarray) else found
