"""Images seen through a map of coordinates."""

import itertools

from multikeras import config
from multikeras.backend import dtypes
from multikeras.ops._op import op
from multikeras.ops._sizes import product
from multikeras.ops.image_color import require_images

_MODES = ("constant", "nearest", "wrap", "mirror", "reflect")
_ORDERS = {"nearest": 0, "bilinear": 1}


def _folded(B, index, size, mode):
    """Return integer positions brought into 0 ... size - 1: wrapped around, mirrored or clipped."""
    zero, last = B.asarray(0, "int32"), size - 1
    if mode == "wrap":
        return B.mod(index, size)
    if mode == "mirror":  # the edge pixel is the axis: c b a b c
        period = B.maximum(last * 2, B.asarray(1, "int32"))
        index = B.mod(index, period)
        return B.minimum(index, B.maximum(period - index, zero))
    if mode == "reflect":  # the edge itself is the axis: b a a b
        period = size * 2
        index = B.mod(index, period)
        return B.minimum(index, period - 1 - index)
    return B.minimum(B.maximum(index, zero), last)


def _sampled(B, flat, sizes, coordinates, order, mode, fill_value, base=None):
    """Return interpolated values at `coordinates`, a float tensor for each dimension of `sizes`.

    `flat` has these dimensions merged into its first; `base` is added to the positions there. What follows the first
    dimension follows the shape of the coordinates in the result.
    """
    dtype = B.dtype(coordinates[0])
    sizes = [B.asarray(s, "int32") for s in sizes]
    if order == 0:
        # Halves go away from zero.
        lows = [B.sign(c) * B.floor(B.abs(c) + 0.5) for c in coordinates]
        corners = [((low, None),) for low in lows]
    else:
        lows = [B.floor(c) for c in coordinates]
        corners = [((low, 1.0 - (c - low)), (low + 1.0, c - low)) for c, low in zip(coordinates, lows)]
    fill = B.asarray(fill_value, dtype)
    total = None
    for corner in itertools.product(*corners):
        position, inside, weight = base, None, None
        for (at, w), size in zip(corner, sizes):
            index = B.cast(at, "int32")
            valid = B.bitwise_and(index >= 0, index < size)
            inside = valid if inside is None else B.bitwise_and(inside, valid)
            index = _folded(B, index, size, mode)
            position = index if position is None else position * size + index
            weight = w if weight is None else weight if w is None else weight * w
        values = B.cast(B.take(flat, position, 0), dtype)
        extra = len(flat.shape) - 1
        if mode == "constant":
            values = B.where(_trailing(B, inside, extra), values, fill)
        values = values if weight is None else values * _trailing(B, weight, extra)
        total = values if total is None else total + values
    return total


def _trailing(B, x, count):
    return B.reshape(x, (*B.shape(x), *(1,) * count)) if count else x


def _finished(B, x, dtype):
    return B.cast(x, dtype) if dtypes.is_inexact(dtype) else B.cast(B.sign(x) * B.floor(B.abs(x) + 0.5), dtype)


def _check_mode(op_name, fill_mode):
    if fill_mode not in _MODES:
        raise ValueError(
            f"{op_name}: Invalid value for argument `fill_mode`. Expected of one {set(_MODES)}. "
            f"Received: fill_mode={fill_mode}"
        )


def _check_interpolation(op_name, interpolation):
    if interpolation not in _ORDERS:
        raise ValueError(
            f"{op_name}: Invalid value for argument `interpolation`. Expected of one {set(_ORDERS)}. "
            f"Received: interpolation={interpolation}"
        )


@op(tensors=2)
def map_coordinates(B, inputs, coordinates, order, fill_mode="constant", fill_value=0):
    """Return `inputs` interpolated at `coordinates`, (rank of inputs, ...).

    Args:
        order: 0, the nearest entry, or 1, linear.
        fill_mode: What is outside: "constant" (`fill_value`), "nearest", "wrap", "mirror" or "reflect".

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.image.map_coordinates([0.0, 10.0, 20.0], [[0.5, 1.25]], order=1)).tolist()
    [5.0, 12.5]
    """
    rank = len(inputs.shape)
    if len(coordinates.shape) < 2:
        raise ValueError(
            "map_coordinates: Invalid coordinates rank: expected at least rank 2. "
            f"Received input with shape: {tuple(coordinates.shape)}"
        )
    if coordinates.shape[0] != rank:
        raise ValueError(
            "map_coordinates: First dim of `coordinates` must be the same as the rank of `inputs`. "
            f"Received inputs with shape: {tuple(inputs.shape)} and coordinate leading dim of {coordinates.shape[0]}"
        )
    if order not in (0, 1):
        raise ValueError(
            "map_coordinates: Invalid value for argument `order`. Expected one of [0, 1]. "
            f"Received: order={order}"
        )
    _check_mode("map_coordinates", fill_mode)
    dtype = B.dtype(inputs)
    work = dtypes.result_type(dtype, "float32") if not dtypes.is_complex(dtype) else "float32"
    coordinates = B.cast(coordinates, work)
    sizes = B.shape(inputs)
    flat = B.reshape(inputs, (product(sizes),))
    x = _sampled(B, flat, sizes, [B.getitem(coordinates, i) for i in range(rank)], order, fill_mode, fill_value)
    return _finished(B, x, dtype)


def _warped(B, images, rows, columns, order, fill_mode, fill_value, data_format):
    """Return images read at `rows` and `columns`, (batch, height, width)."""
    first, single = config.standardize_data_format(data_format) == "channels_first", len(images.shape) == 3
    dtype = B.dtype(images)
    x = B.expand_dims(images, 0) if single else images
    x = B.transpose(x, (0, 2, 3, 1)) if first else x
    batch, height, width, channels = B.shape(x)
    base = B.reshape(B.arange(0, batch, 1, "int32"), (batch, 1, 1))
    flat = B.reshape(x, (batch * height * width, channels))
    x = _finished(B, _sampled(B, flat, (height, width), [rows, columns], order, fill_mode, fill_value, base), dtype)
    x = B.transpose(x, (0, 3, 1, 2)) if first else x
    return B.squeeze(x, (0,)) if single else x


def _grid(B, images, data_format, dtype):
    """Return row and column of each pixel, (1, height, 1) and (1, 1, width)."""
    first = config.standardize_data_format(data_format) == "channels_first"
    height, width = B.shape(images)[-2:] if first else B.shape(images)[-3:-1]
    rows, columns = (B.cast(B.arange(0, n, 1, "int32"), dtype) for n in (height, width))
    return B.reshape(rows, (1, height, 1)), B.reshape(columns, (1, 1, width))


def _work_dtype(B, images):
    return dtypes.result_type(B.dtype(images), "float32")


def _projected(B, images, transform, interpolation, fill_mode, fill_value, data_format):
    """Return images read where `transform`, (batch, 8), takes each pixel."""
    dtype = _work_dtype(B, images)
    rows, columns = _grid(B, images, data_format, dtype)
    a0, a1, a2, b0, b1, b2, c0, c1 = (
        B.reshape(B.getitem(B.cast(transform, dtype), (slice(None), i)), (-1, 1, 1)) for i in range(8)
    )
    k = c0 * columns + c1 * rows + 1.0
    x, y = B.divide(a0 * columns + a1 * rows + a2, k), B.divide(b0 * columns + b1 * rows + b2, k)
    if len(images.shape) == 4:
        shape = (B.shape(images)[0], *B.shape(x)[1:])
        x, y = B.broadcast_to(x, shape), B.broadcast_to(y, shape)
    return _warped(B, images, y, x, _ORDERS[interpolation], fill_mode, fill_value, data_format)


@op(tensors=2)
def affine_transform(B, images, transform, interpolation="bilinear", fill_mode="constant", fill_value=0, data_format=None):
    """Return images whose pixel (x, y) is that of `images` at ((a0 x + a1 y + a2) / k, (b0 x + b1 y + b2) / k).

    `transform` is (a0, a1, a2, b0, b1, b2, c0, c1), or one for each image; k = c0 x + c1 y + 1.

    >>> from multikeras import ops
    >>> x = ops.reshape(ops.arange(4, dtype="float32"), (1, 4, 1))
    >>> ops.convert_to_numpy(ops.image.affine_transform(x, [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0])[0, :, 0]).tolist()
    [1.0, 2.0, 3.0, 0.0]
    """
    _check_interpolation("affine_transform", interpolation)
    _check_mode("affine_transform", fill_mode)
    require_images("affine_transform", images)
    if len(transform.shape) not in (1, 2):
        raise ValueError(
            "affine_transform: Invalid transform rank: expected rank 1 (single transform) or rank 2 (batch of transforms). "
            f"Received input with shape: transform.shape={tuple(transform.shape)}"
        )
    transform = B.expand_dims(transform, 0) if len(transform.shape) == 1 else transform
    return _projected(B, images, transform, interpolation, fill_mode, fill_value, data_format)


def _homography(B, source, target):
    """Return the 8 numbers, (batch, 8), of the projection that takes 4 points, (batch, 4, 2), to 4 others."""
    x, y = (B.getitem(source, (..., slice(i, i + 1))) for i in range(2))
    zero = x * 0.0
    one = zero + 1.0
    rows = []
    for i, before in ((0, [x, y, one, zero, zero, zero]), (1, [zero, zero, zero, x, y, one])):
        goal = B.getitem(target, (..., slice(i, i + 1)))
        rows.append(B.concatenate([*before, -(goal * x), -(goal * y)], 2))
    goals = B.concatenate([B.getitem(target, (..., slice(i, i + 1))) for i in range(2)], 1)
    return B.getitem(B.solve(B.concatenate(rows, 1), goals), (..., 0))


@op(tensors=3)
def perspective_transform(B, images, start_points, end_points, interpolation="bilinear", fill_value=0, data_format=None):
    """Return images in which what was at 4 `start_points` (x, y) is at `end_points`.

    Both are (4, 2), or (batch, 4, 2) with points for each image.

    >>> from multikeras import ops
    >>> corners = [[0.0, 0.0], [3.0, 0.0], [0.0, 3.0], [3.0, 3.0]]
    >>> ops.image.perspective_transform(ops.ones((4, 4, 1)), corners, corners).shape == (4, 4, 1)
    True
    """
    require_images("perspective_transform", images)
    _check_interpolation("perspective_transform", interpolation)
    for name, points in (("start_points", start_points), ("end_points", end_points)):
        if len(points.shape) not in (2, 3) or tuple(points.shape[-2:]) != (4, 2):
            raise ValueError(
                f"perspective_transform: Invalid {name} shape: expected (4,2) for a single image or (N,4,2) for a batch. "
                f"Received shape: {tuple(points.shape)}"
            )
    dtype = _work_dtype(B, images)
    points = [B.cast(p, dtype) for p in (end_points, start_points)]
    transform = _homography(B, *(B.expand_dims(p, 0) if len(p.shape) == 2 else p for p in points))
    return _projected(B, images, transform, interpolation, "constant", fill_value, data_format)


@op
def elastic_transform(B, images, alpha=20.0, sigma=5.0, interpolation="bilinear", fill_mode="reflect", fill_value=0.0,
                      seed=None, data_format=None):  # fmt: skip
    """Shift pixels by smooth random amounts: noise blurred by `sigma`, times `alpha` (Simard et al., 2003).

    >>> from multikeras import ops
    >>> ops.image.elastic_transform(ops.ones((8, 8, 3)), seed=1).shape == (8, 8, 3)
    True
    """
    require_images("elastic_transform", images)
    _check_interpolation("elastic_transform", interpolation)
    _check_mode("elastic_transform", fill_mode)
    dtype = _work_dtype(B, images)
    rows, columns = _grid(B, images, data_format, dtype)
    batch = B.shape(images)[0] if len(images.shape) == 4 else 1
    window = (int(6 * sigma) | 1,) * 2
    noise = B.normal((batch, B.shape(rows)[1], B.shape(columns)[2], 2), 0.0, sigma, dtype, seed)
    shift = B.gaussian_blur(noise, window, (sigma, sigma), "channels_last") * alpha
    rows, columns = rows + B.getitem(shift, (..., 0)), columns + B.getitem(shift, (..., 1))
    return _warped(B, images, rows, columns, _ORDERS[interpolation], fill_mode, fill_value, data_format)


