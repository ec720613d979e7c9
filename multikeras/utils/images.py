"""Images on disk and as arrays; needs Pillow."""

import io
import os
import pathlib
from typing import Any

import numpy as np

from multikeras import config

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_COLORS = {"grayscale": "L", "rgb": "RGB", "rgba": "RGBA"}
_FILTERS = ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos")


def _pillow() -> Any:
    try:
        from PIL import Image  # slow to import, and few need it
    except ImportError as error:
        raise ImportError("Reading and writing images needs Pillow. Install it with: pip install pillow") from error
    return Image


def array_to_img(x: Any, data_format: str | None = None, scale: bool = True, dtype: Any = None) -> Any:
    """Turn an array of rank 3 into a Pillow image.

    Args:
        x: Array `(height, width, channels)`, or channels first; 1, 3 or 4 channels.
        data_format: `"channels_last"` or `"channels_first"`, the global default if not given.
        scale: Stretch the values to 0...255.
        dtype: dtype to compute in, floatx if not given.

    >>> array_to_img(np.zeros((4, 2, 3))).size
    (2, 4)
    """
    image = _pillow()
    x = np.array(x, dtype or config.floatx())
    if x.ndim != 3:
        raise ValueError(f"array_to_img: x must have rank 3 (one image), its shape is {x.shape}.")
    if config.standardize_data_format(data_format) == "channels_first":
        x = x.transpose(1, 2, 0)
    if x.shape[2] not in _MODES:
        raise ValueError(f"array_to_img: expected 1, 3 or 4 channels, x has {x.shape[2]} (shape {x.shape}).")
    if scale:
        x -= x.min()
        largest = x.max()
        x = x * (255 / largest) if largest else x
    if x.shape[2] == 1:
        x = x[:, :, 0]
        return image.fromarray(x.astype("int32")) if x.size and x.max() > 255 else image.fromarray(x.astype("uint8"))
    return image.fromarray(x.astype("uint8"))


def img_to_array(img: Any, data_format: str | None = None, dtype: Any = None) -> np.ndarray:
    """Turn a Pillow image into an array of rank 3, floatx by default.

    >>> img_to_array(array_to_img(np.zeros((4, 2, 1)))).shape
    (4, 2, 1)
    """
    x = np.asarray(img, dtype or config.floatx())
    if x.ndim == 2:
        x = x[:, :, None]
    if x.ndim != 3:
        raise ValueError(f"img_to_array: an image has rank 2 or 3, got shape {x.shape}.")
    return x.transpose(2, 0, 1) if config.standardize_data_format(data_format) == "channels_first" else x


def load_img(
    path: Any,
    color_mode: str = "rgb",
    target_size: tuple[int, int] | None = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
) -> Any:
    """Read an image file.

    Args:
        path: A path, or an `io.BytesIO` with the file's content.
        color_mode: `"grayscale"`, `"rgb"` or `"rgba"`.
        target_size: `(height, width)` to resize to.
        interpolation: One of nearest, bilinear, bicubic, hamming, box, lanczos.
        keep_aspect_ratio: Cut out the middle part of the target's proportions before resizing.
    """
    image = _pillow()
    if color_mode not in _COLORS:
        raise ValueError(f"load_img: color_mode must be one of {', '.join(_COLORS)}, got {color_mode!r}.")
    if not isinstance(path, (str, bytes, os.PathLike, io.BytesIO)):
        raise TypeError(f"load_img: path must be a path or io.BytesIO, got {type(path).__name__}.")
    with image.open(path) as file:
        # 16- and 32-bit gray images keep their depth.
        deep = color_mode == "grayscale" and file.mode in ("I;16", "I")
        img = file.copy() if deep else file.convert(_COLORS[color_mode])
    if target_size is None or img.size == (target_size[1], target_size[0]):
        return img
    if interpolation not in _FILTERS:
        raise ValueError(f"load_img: interpolation must be one of {', '.join(_FILTERS)}, got {interpolation!r}.")
    resampling = getattr(image.Resampling, interpolation.upper())
    height, width = target_size
    box = centered_box(img.size[1], img.size[0], height, width) if keep_aspect_ratio else None
    return img.resize((width, height), resampling, box=box)


def centered_box(height: int, width: int, to_height: int, to_width: int) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of the largest middle part with the target's proportions.

    >>> centered_box(100, 50, 10, 10)
    (0, 25, 50, 75)
    """
    crop_height = min(height, width * to_height // to_width)
    crop_width = min(width, height * to_width // to_height)
    top, left = (height - crop_height) // 2, (width - crop_width) // 2
    return left, top, left + crop_width, top + crop_height


def save_img(
    path: Any, x: Any, data_format: str | None = None, file_format: str | None = None, scale: bool = True, **kwargs
) -> None:
    """Write an array of rank 3 as an image file; further arguments go to Pillow."""
    img = array_to_img(x, data_format, scale)
    name = file_format or (pathlib.Path(path).suffix.lstrip(".") if isinstance(path, (str, os.PathLike)) else "")
    if name.lower() in ("jpg", "jpeg"):
        file_format = "jpeg"
        img = img.convert("RGB") if img.mode == "RGBA" else img
    img.save(path, format=file_format, **kwargs)
