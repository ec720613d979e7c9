"""Conversion of colours."""

from multikeras import config
from multikeras.backend import dtypes
from multikeras.backend.shapes import known
from multikeras.ops._common import constant
from multikeras.ops._op import op


def require_images(op_name, images):
    """Refuse all but a single image (rank 3) or a batch of images (rank 4)."""
    if len(images.shape) not in (3, 4):
        raise ValueError(
            f"{op_name}: Invalid images rank: expected rank 3 (single image) or rank 4 (batch of images). "
            f"Received input with shape: images.shape={tuple(images.shape)}"
        )


def channel_axis(data_format):
    """Return the axis of the channels, counted from the end."""
    return -3 if config.standardize_data_format(data_format) == "channels_first" else -1


def _channels(B, images, axis):
    """Return the channels, each with a dimension of size 1 in their place."""
    after = (slice(None),) * (-axis - 1)
    return [B.getitem(images, (..., slice(i, i + 1), *after)) for i in range(3)]


@op
def rgb_to_grayscale(B, images, data_format=None):
    """Return the luminance of RGB images, one channel (ITU-R BT.601).

    >>> from multikeras import ops
    >>> ops.image.rgb_to_grayscale(ops.ones((4, 4, 3))).shape == (4, 4, 1)
    True
    """
    require_images("rgb_to_grayscale", images)
    axis = channel_axis(data_format)
    channels = images.shape[axis]
    if known(channels) and channels not in (1, 3):
        raise ValueError(
            "rgb_to_grayscale: Invalid channel size: expected 3 (RGB) or 1 (Grayscale). "
            f"Received input with shape: images.shape={tuple(images.shape)}"
        )
    if channels == 1:
        return images
    dtype = B.dtype(images)
    red, green, blue = _channels(B, images if dtypes.is_float(dtype) else B.cast(images, config.floatx()), axis)
    r, g, b = (constant(B, red, share) for share in (0.2989, 0.587, 0.114))
    return B.cast(red * r + green * g + blue * b, dtype)


def _require_rgb(B, op_name, images, axis):
    require_images(op_name, images)
    if not dtypes.is_float(B.dtype(images)):
        raise ValueError(
            f"{op_name}: Invalid images dtype: expected float dtype. "
            f"Received: images.dtype={B.dtype(images)}"
        )
    if known(images.shape[axis]) and images.shape[axis] != 3:
        raise ValueError(
            f"{op_name}: Input images must have 3 channels, but received images with {images.shape[axis]} channels."
        )


@op
def rgb_to_hsv(B, images, data_format=None):
    """Convert RGB images, 0 to 1, to hue, saturation and value, 0 to 1.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.image.rgb_to_hsv([[[1.0, 0.0, 0.0]]])).tolist()
    [[[0.0, 1.0, 1.0]]]
    """
    axis = channel_axis(data_format)
    _require_rgb(B, "rgb_to_hsv", images, axis)
    red, green, blue = _channels(B, images, axis)
    value, low = B.max(images, axis, True), B.min(images, axis, True)
    zero, one = (B.asarray(v, B.dtype(images)) for v in (0, 1))
    spread = value - low
    grey = B.equal(spread, zero)
    divisor = B.where(grey, one, spread)
    # Sixths of the circle, from red.
    hue = B.where(
        B.equal(value, red), B.divide(green - blue, divisor),
        B.where(B.equal(value, green), B.divide(blue - red, divisor) + 2.0, B.divide(red - green, divisor) + 4.0),
    ) / 6.0  # fmt: skip
    hue = B.where(grey, zero, B.where(hue < 0, hue + 1.0, hue))
    saturation = B.where(value > 0, B.divide(spread, B.where(value > 0, value, one)), zero)
    return B.concatenate([hue, saturation, value], axis)


@op
def hsv_to_rgb(B, images, data_format=None):
    """Convert hue, saturation and value, 0 to 1, to RGB, 0 to 1.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.image.hsv_to_rgb([[[0.0, 1.0, 1.0]]])).tolist()
    [[[1.0, 0.0, 0.0]]]
    """
    axis = channel_axis(data_format)
    _require_rgb(B, "hsv_to_rgb", images, axis)
    hue, saturation, value = _channels(B, images, axis)
    zero, one, six = (B.asarray(v, B.dtype(images)) for v in (0, 1, 6))

    def channel(offset):
        # How far this colour is from full, going around the circle.
        sixth = B.mod(hue * 6.0 + offset, six)
        fall = B.minimum(B.maximum(B.minimum(sixth, 4.0 - sixth), zero), one)
        return value - value * saturation * fall

    return B.concatenate([channel(offset) for offset in (5.0, 3.0, 1.0)], axis)
