"""Changing the size of images: resampling, padding and cropping."""

import functools
import math

from multikeras import config
from multikeras.backend import dtypes
from multikeras.backend.shapes import canonical_axis, known
from multikeras.ops._common import constant
from multikeras.ops._op import convert, op
from multikeras.ops._sizes import smallest
from multikeras.ops.image_color import require_images

# -- resampling --------------------------------------------------------------------------------------------------------


def _triangle(B, x):
    return B.maximum(1.0 - x, B.asarray(0, B.dtype(x)))


def _cubic(B, x):
    """The kernel of Keys (1981) with a = -1/2."""
    near, far = ((x * 1.5 - 2.5) * x) * x + 1.0, ((x * -0.5 + 2.5) * x - 4.0) * x + 2.0
    return B.where(x < 1, near, B.where(x < 2, far, B.asarray(0, B.dtype(x))))


def _lanczos(B, x, radius):
    near = constant(B, x, 1e-3)
    fast, slow, size = (constant(B, x, v) for v in (math.pi, math.pi / radius, radius / math.pi**2))
    y = B.maximum(x, near)
    bell = B.divide(B.sin(y * fast) * B.sin(y * slow) * size, y * y)
    bell = B.where(x > near, bell, constant(B, x, 1))
    return B.where(x < radius, bell, B.asarray(0, B.dtype(x)))


_KERNELS = {
    "bilinear": _triangle, "linear": _triangle, "triangle": _triangle, "trilinear": _triangle,
    "bicubic": _cubic, "cubic": _cubic, "tricubic": _cubic,
    "lanczos3": functools.partial(_lanczos, radius=3.0), "lanczos5": functools.partial(_lanczos, radius=5.0),
}  # fmt: skip
_INTERPOLATIONS = ("bilinear", "nearest", "lanczos3", "lanczos5", "bicubic")


def _weights(B, size, new_size, scale, shift, method, antialias):
    """Return how much each entry of a dimension counts for each new one, (new_size, size), in the dtype of `scale`.

    `scale` and `shift` are scalar tensors: the new centre of a pixel is scale * centre + shift.
    """
    dtype = B.dtype(scale)
    one = B.asarray(1, dtype)
    centres = B.cast(B.arange(0, new_size, 1, "int32"), dtype) + 0.5
    at = B.divide(centres - shift, scale) - 0.5
    width = B.maximum(B.divide(one, scale), one) if antialias else one
    distance = B.abs(B.expand_dims(at, 1) - B.cast(B.arange(0, size, 1, "int32"), dtype))
    w = _KERNELS[method](B, B.divide(distance, width))
    total = B.sum(w, 1, True)
    # What is far outside of the image has no weights to speak of.
    some = B.abs(total) > 1e-4
    last = B.cast(B.asarray(size, "int32"), dtype) - 0.5
    inside = B.expand_dims(B.bitwise_and(at >= -0.5, at <= last), 1)
    return B.where(B.bitwise_and(some, inside), B.divide(w, B.where(some, total, one)), B.asarray(0, dtype))


def _resampled(B, x, axis, weights):
    """Return `x` with `weights` (new size, size) applied to one dimension."""
    rank = len(x.shape)
    letters = "abcdefgh"[:rank]
    return B.einsum(f"{letters},z{letters[axis]}->{letters.replace(letters[axis], 'z')}", x, weights)


def _nearest(B, x, axis, new_size):
    size = B.shape(x)[axis]
    centres = B.cast(B.arange(0, new_size, 1, "int32"), "float32") + 0.5
    ratio = B.divide(*(B.cast(B.asarray(s, "int32"), "float32") for s in (size, new_size)))
    return B.take(x, B.minimum(B.cast(B.floor(centres * ratio), "int32"), B.asarray(size, "int32") - 1), axis)


def _wide(dtype):
    """Return the dtype to resample images in."""
    return "float64" if dtype == "float64" else "float32"


def _back_to(B, x, dtype):
    """Return results in the dtype of the images, rounded and within its range."""
    return B.cast(x, dtype) if dtypes.is_inexact(dtype) else B.saturate_cast(B.round(x), dtype)


def _target_size(size):
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise ValueError(f"resize: Expected `size` to be a tuple of 2 integers. Received: size={size}")
    if any(isinstance(s, int) and known(s) and s <= 0 for s in size):
        raise ValueError(f"resize: `size` must have positive height and width. Received: size={size}")
    return tuple(size)


def _to_aspect_ratio(B, x, axes, size, pad, fill_value):
    """Return images cropped, or padded, in the middle so that height / width is as in `size`."""
    height, width = (B.shape(x)[axis] for axis in axes)
    wanted = (width * size[0] // size[1], height * size[1] // size[0])
    for axis, have, want in zip(axes, (height, width), wanted):
        if pad:
            want = -smallest(B, -want, -have)
            before = (want - have) // 2
            parts = [x]
            for at, extra in ((0, before), (1, want - have - before)):
                shape = tuple(extra if i == axis else n for i, n in enumerate(B.shape(x)))
                parts.insert(at * len(parts), B.full(shape, fill_value, B.dtype(x)))
            x = B.concatenate(parts, axis)
        else:
            want = smallest(B, want, have)
            start = (have - want) // 2
            x = B.getitem(x, (slice(None),) * axis + (slice(start, start + want),))
    return x


@op
def resize(B, images, size, interpolation="bilinear", antialias=False, crop_to_aspect_ratio=False,
           pad_to_aspect_ratio=False, fill_mode="constant", fill_value=0.0, data_format=None):  # fmt: skip
    """Resample images to `size`, (height, width); integer images are rounded.

    Args:
        images: (height, width, channels), maybe after a batch dimension; or channels first.
        size: The new height and width.
        interpolation: "bilinear", "nearest", "bicubic", "lanczos3" or "lanczos5".
        antialias: Whether to average over what a new pixel covers when images shrink.
        crop_to_aspect_ratio: Cut off what does not fit instead of distorting.
        pad_to_aspect_ratio: Fill up with `fill_value` instead of distorting.

    >>> from multikeras import ops
    >>> ops.image.resize(ops.ones((8, 6, 3)), (4, 3)).shape == (4, 3, 3)
    True
    """
    size = _target_size(size)
    require_images("resize", images)
    if interpolation not in _INTERPOLATIONS:
        raise ValueError(
            f"resize: Invalid value for argument `interpolation`. Expected of one {_INTERPOLATIONS}. "
            f"Received: interpolation={interpolation}"
        )
    if fill_mode != "constant":
        raise ValueError(
            "resize: Invalid value for argument `fill_mode`. Only `'constant'` is supported. "
            f"Received: fill_mode={fill_mode}"
        )
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError("resize: Only one of `pad_to_aspect_ratio` & `crop_to_aspect_ratio` can be `True`.")
    first = len(images.shape) - (2 if config.standardize_data_format(data_format) == "channels_first" else 3)
    axes, dtype = (first, first + 1), B.dtype(images)
    x = images
    if crop_to_aspect_ratio or pad_to_aspect_ratio:
        x = _to_aspect_ratio(B, x, axes, size, pad_to_aspect_ratio, fill_value)
    if interpolation == "nearest":
        for axis, new_size in zip(axes, size):
            x = _nearest(B, x, axis, new_size)
        return x
    wide = _wide(dtype)
    x = B.cast(x, wide)
    for axis, new_size in zip(axes, size):
        have = B.shape(x)[axis]
        scale = B.divide(*(B.cast(B.asarray(s, "int32"), wide) for s in (new_size, have)))
        x = _resampled(B, x, axis, _weights(B, have, new_size, scale, B.asarray(0.0, wide), interpolation, antialias))
    return _back_to(B, x, dtype)


@op(tensors=1)
def scale_and_translate(B, images, output_shape, scale, translation, spatial_dims, method, antialias=True):
    """Resample along `spatial_dims` so that the point p comes to `scale` * p + `translation`.

    `method` is "linear", "cubic", "lanczos3" or "lanczos5".

    >>> from multikeras import ops
    >>> x = ops.reshape(ops.arange(4, dtype="float32"), (2, 2))
    >>> ops.convert_to_numpy(ops.image.scale_and_translate(x, (2, 2), ops.ones(2), ops.zeros(2), (0, 1), "linear")).tolist()
    [[0.0, 1.0], [2.0, 3.0]]
    """
    if method not in _KERNELS:
        raise ValueError(
            "scale_and_translate: Invalid value for argument `method`. "
            f"Expected of one {sorted(_KERNELS)}. Received: method={method}"
        )
    dtype = B.dtype(images)
    scale, translation = (B.cast(convert(B, v), _wide(dtype)) for v in (scale, translation))
    x = B.cast(images, _wide(dtype))
    for i, dimension in enumerate(spatial_dims):
        axis = canonical_axis(dimension, len(x.shape), "scale_and_translate")
        factor, shift = B.getitem(scale, i), B.getitem(translation, i)
        w = _weights(B, B.shape(x)[axis], output_shape[axis], factor, shift, method, antialias)
        x = _resampled(B, x, axis, w)
    return _back_to(B, x, dtype)


# -- padding, cropping -------------------------------------------------------------------------------------------------


def _ends(op_name, dimension, size, sign, names, low, high, target):
    """Return how much to add (sign 1) or cut off (-1) at the two ends of a dimension, and the size that results.

    Two of `low`, `high` and `target` must be given.
    """
    given = {names[0]: low, names[1]: high, f"target_{dimension}": target}
    if sum(v is None for v in given.values()) != 1:
        text = ", ".join(f"{k}={v}" for k, v in given.items())
        raise ValueError(f"{op_name}: Must specify exactly two of {', '.join(given)}. Received: {text}")
    if not known(size) and target is None and sign < 0:
        raise ValueError(
            f"{op_name}: When the {dimension} of the images is unknown, `target_{dimension}` "
            "must be specified."
        )
    if low is None:
        low = (target - size) * sign - high
    if high is None:
        high = (target - size) * sign - low
    if target is None:
        target = size + (low + high) * sign
    for name, value in ((names[0], low), (names[1], high), (f"target_{dimension}", target)):
        if isinstance(value, int) and known(value) and value < 0:
            raise ValueError(f"{op_name}: {name} must be >= 0. Received: {name}={value}")
    return low, high, target


def _spatial_axes(images, data_format):
    first = len(images.shape) - (2 if config.standardize_data_format(data_format) == "channels_first" else 3)
    return first, first + 1


@op
def pad_images(B, images, top_padding=None, left_padding=None, bottom_padding=None, right_padding=None,
               target_height=None, target_width=None, data_format=None):  # fmt: skip
    """Put zeros around images; of top, bottom and target height two are given, and so for the width.

    >>> from multikeras import ops
    >>> ops.image.pad_images(ops.ones((4, 4, 3)), 1, 2, target_height=8, target_width=9).shape == (8, 9, 3)
    True
    """
    require_images("pad_images", images)
    rows, columns = _spatial_axes(images, data_format)
    sizes = B.shape(images)
    ends = {
        rows: _ends("pad_images", "height", sizes[rows], 1, ("top_padding", "bottom_padding"),
                    top_padding, bottom_padding, target_height),
        columns: _ends("pad_images", "width", sizes[columns], 1, ("left_padding", "right_padding"),
                       left_padding, right_padding, target_width),
    }  # fmt: skip
    x = images
    for axis, (low, high, _) in ends.items():
        x = B.concatenate([_blank(B, x, axis, low), x, _blank(B, x, axis, high)], axis)
    return _with_known(B, x, {axis: target for axis, (_, _, target) in ends.items()})


def _blank(B, x, axis, size):
    return B.full(tuple(size if i == axis else n for i, n in enumerate(B.shape(x))), 0, B.dtype(x))


def _with_known(B, x, targets):
    """Return `x` with the sizes of some axes stated where a graph could not tell."""
    if all(known(x.shape[axis]) for axis in targets):
        return x
    return B.reshape(x, tuple(targets.get(i, n) for i, n in enumerate(B.shape(x))))


@op
def crop_images(B, images, top_cropping=None, left_cropping=None, bottom_cropping=None, right_cropping=None,
                target_height=None, target_width=None, data_format=None):  # fmt: skip
    """Cut off the sides of images; of top, bottom and target height two are given, and so for the width.

    >>> from multikeras import ops
    >>> ops.image.crop_images(ops.ones((8, 9, 3)), 1, 2, target_height=4, target_width=4).shape == (4, 4, 3)
    True
    """
    require_images("crop_images", images)
    rows, columns = _spatial_axes(images, data_format)
    sizes = B.shape(images)
    top, _, height = _ends("crop_images", "height", sizes[rows], -1, ("top_cropping", "bottom_cropping"),
                           top_cropping, bottom_cropping, target_height)  # fmt: skip
    left, _, width = _ends("crop_images", "width", sizes[columns], -1, ("left_cropping", "right_cropping"),
                           left_cropping, right_cropping, target_width)  # fmt: skip
    box = (slice(top, top + height), slice(left, left + width))
    x = B.getitem(images, (slice(None),) * rows + box)
    return _with_known(B, x, {rows: height, columns: width})


