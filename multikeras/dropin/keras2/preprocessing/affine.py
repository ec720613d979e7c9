"""Rotating, shifting, shearing and zooming images, in numpy."""

from typing import Any

import numpy as np


def _outside(index: np.ndarray, size: int, fill_mode: str) -> np.ndarray:
    """Return for each index, inside or not, the index whose entry stands there."""
    if fill_mode == "wrap":
        return index % size
    if fill_mode == "reflect":
        index = index % (2 * size)
        return np.where(index < size, index, 2 * size - 1 - index)
    return np.clip(index, 0, size - 1)


def resample(image: np.ndarray, rows: np.ndarray, columns: np.ndarray, fill_mode: str, cval: float, order: int):
    """Return the entries of an image (rows, columns, channels) at fractional places: nearest (0) or bilinear (1)."""
    if fill_mode not in ("nearest", "constant", "reflect", "wrap"):
        raise ValueError(f"fill_mode must be nearest, constant, reflect or wrap, got {fill_mode!r}.")
    if order not in (0, 1):
        raise ValueError(f"interpolation order must be 0 (nearest) or 1 (linear), got {order!r}.")
    height, width = image.shape[:2]

    def at(r, c):
        return image[_outside(r, height, fill_mode), _outside(c, width, fill_mode)]

    if order == 0:
        found = at(np.floor(rows + 0.5).astype(int), np.floor(columns + 0.5).astype(int))
    else:
        top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
        down, right = (rows - top)[..., None], (columns - left)[..., None]
        upper = at(top, left) * (1 - right) + at(top, left + 1) * right
        lower = at(top + 1, left) * (1 - right) + at(top + 1, left + 1) * right
        found = upper * (1 - down) + lower * down
    if fill_mode != "constant":
        return found
    inside = (rows >= 0) & (rows <= height - 1) & (columns >= 0) & (columns <= width - 1)
    return np.where(inside[..., None], found, cval)


def apply_affine_transform(
    x: np.ndarray, theta: float = 0, tx: float = 0, ty: float = 0, shear: float = 0, zx: float = 1, zy: float = 1,
    row_axis: int = 1, col_axis: int = 2, channel_axis: int = 0, fill_mode: str = "nearest", cval: float = 0.0,
    order: int = 1,
) -> np.ndarray:  # fmt: skip
    """Rotate, shift, shear and zoom an image about its middle.

    Args:
        x: Image of rank 3.
        theta: Rotation in degrees.
        tx: Shift to the left, in pixels.
        ty: Shift upwards.
        shear: Shear angle in degrees.
        zx: Zoom of the width; below 1 enlarges.
        zy: Zoom of the height.
        row_axis: Which axis has the rows.
        col_axis: Which axis has the columns.
        channel_axis: Which axis has the channels.
        fill_mode: What stands outside: nearest, constant, reflect, wrap.
        cval: The value of "constant".
        order: 0 for the nearest pixel, 1 for bilinear.
    """
    axes = (row_axis, col_axis, channel_axis)
    if sorted(axes) != [0, 1, 2]:
        raise ValueError(f"apply_affine_transform: row_axis, col_axis, channel_axis must be 0, 1, 2 in some order, got {axes}.")
    matrix = np.eye(3)
    if theta:
        angle = np.deg2rad(theta)
        cos, sin = np.cos(angle), np.sin(angle)
        matrix = matrix @ [[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]
    matrix = matrix @ [[1, 0, tx], [0, 1, ty], [0, 0, 1]]
    if shear:
        angle = np.deg2rad(shear)
        matrix = matrix @ [[1, -np.sin(angle), 0], [0, np.cos(angle), 0], [0, 0, 1]]
    matrix = matrix @ np.diag([zx, zy, 1])
    if np.array_equal(matrix, np.eye(3)):
        return x
    image = np.transpose(x, axes)
    height, width = image.shape[:2]
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1) - middle
    places = grid @ matrix[:2, :2].T + matrix[:2, 2] + middle
    out = resample(image, places[..., 1], places[..., 0], fill_mode, cval, order)
    return np.transpose(out, np.argsort(axes)).astype(x.dtype)


def apply_channel_shift(x: np.ndarray, intensity: float, channel_axis: int = 0) -> np.ndarray:
    """Add `intensity` to each channel, within the channel's range of values."""
    other = tuple(a for a in range(x.ndim) if a != channel_axis % x.ndim)
    return np.clip(x + intensity, x.min(axis=other, keepdims=True).min(), x.max(axis=other, keepdims=True).max())


def apply_brightness_shift(x: Any, brightness: float, scale: bool = True) -> np.ndarray:
    """Multiply the brightness of an image.

    Args:
        x: Image with values from 0 to 255; with others they are stretched to that, and back again after.
        brightness: Factor.
        scale: Stretch the values to 0...255 in any case, and leave them so.
    """
    x = np.asarray(x, "float32")
    low, high = float(x.min()), float(x.max())
    outside = low < 0 or high > 255
    if scale or outside:
        x = (x - low) * (255 / (high - low or 1))
    out = np.floor(np.clip(np.floor(x) * np.float32(brightness), 0, 255))
    return out / 255 * (high - low) + low if outside and not scale else out


def random_rotation(x, rg, row_axis=1, col_axis=2, channel_axis=0, fill_mode="nearest", cval=0.0, interpolation_order=1):
    """Rotate by up to `rg` degrees either way."""
    theta = np.random.uniform(-rg, rg)
    where = {"row_axis": row_axis, "col_axis": col_axis, "channel_axis": channel_axis}
    return apply_affine_transform(x, theta=theta, fill_mode=fill_mode, cval=cval, order=interpolation_order, **where)


def random_shift(x, wrg, hrg, row_axis=1, col_axis=2, channel_axis=0, fill_mode="nearest", cval=0.0, interpolation_order=1):
    """Shift by up to the fractions `wrg` of the width and `hrg` of the height."""
    ty = np.random.uniform(-hrg, hrg) * x.shape[row_axis]
    tx = np.random.uniform(-wrg, wrg) * x.shape[col_axis]
    where = {"row_axis": row_axis, "col_axis": col_axis, "channel_axis": channel_axis}
    return apply_affine_transform(x, tx=tx, ty=ty, fill_mode=fill_mode, cval=cval, order=interpolation_order, **where)


def random_shear(x, intensity, row_axis=1, col_axis=2, channel_axis=0, fill_mode="nearest", cval=0.0, interpolation_order=1):
    """Shear by up to `intensity` degrees either way."""
    shear = np.random.uniform(-intensity, intensity)
    where = {"row_axis": row_axis, "col_axis": col_axis, "channel_axis": channel_axis}
    return apply_affine_transform(x, shear=shear, fill_mode=fill_mode, cval=cval, order=interpolation_order, **where)


def random_zoom(x, zoom_range, row_axis=1, col_axis=2, channel_axis=0, fill_mode="nearest", cval=0.0, interpolation_order=1):
    """Zoom by factors between the two of `zoom_range`."""
    if len(zoom_range) != 2:
        raise ValueError(f"random_zoom: zoom_range must be two numbers, got {zoom_range!r}.")
    zx, zy = np.random.uniform(*zoom_range, 2) if tuple(zoom_range) != (1, 1) else (1, 1)
    where = {"row_axis": row_axis, "col_axis": col_axis, "channel_axis": channel_axis}
    return apply_affine_transform(x, zx=zx, zy=zy, fill_mode=fill_mode, cval=cval, order=interpolation_order, **where)


def random_channel_shift(x, intensity_range, channel_axis=0):
    """Shift the channels by up to `intensity_range` either way."""
    return apply_channel_shift(x, np.random.uniform(-intensity_range, intensity_range), channel_axis)


def random_brightness(x, brightness_range, scale=True):
    """Multiply the brightness by a factor between the two of `brightness_range`."""
    if len(brightness_range) != 2:
        raise ValueError(f"random_brightness: brightness_range must be two numbers, got {brightness_range!r}.")
    return apply_brightness_shift(x, np.random.uniform(*brightness_range), scale)
