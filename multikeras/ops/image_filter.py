"""Filters over neighbourhoods of pixels: blur, edges, similarity, patches."""

import math

import numpy as np

from multikeras import config
from multikeras.backend import dtypes
from multikeras.backend.shapes import UNKNOWN, Spec, known
from multikeras.ops._op import convert, op
from multikeras.ops._sizes import from_value
from multikeras.ops.image_color import require_images


def _batched(B, images, data_format):
    """Return images as (batch, height, width, channels), and the function that brings results back to their layout."""
    first, single = config.standardize_data_format(data_format) == "channels_first", len(images.shape) == 3
    x = B.expand_dims(images, 0) if single else images

    def back(y):
        y = B.transpose(y, (0, 3, 1, 2, *range(4, len(y.shape)))) if first else y
        return B.squeeze(y, (0,)) if single else y

    return (B.transpose(x, (0, 2, 3, 1)) if first else x), back


def _bell(B, size, sigma, dtype):
    """Return a Gaussian of `size` entries that add up to 1; `sigma` may be a scalar tensor."""
    at = B.divide(B.arange(0, size, 1, dtype) - (size - 1) * 0.5, B.cast(convert(B, sigma), dtype))
    g = B.exp(at * at * -0.5)
    return B.divide(g, B.sum(g))


def _filtered(B, x, kernels, padding):
    """Correlate each channel of (batch, height, width, channels) with matrices: (..., channels * kernels)."""
    kernel = B.concatenate([B.expand_dims(B.expand_dims(B.asarray(k, B.dtype(x)), 2), 3) for k in kernels], 3)
    rows, columns, _, count = B.shape(kernel)
    kernel = B.broadcast_to(kernel, (rows, columns, B.shape(x)[3], count))
    return B.depthwise_conv(x, kernel, 1, padding, "channels_last")


def _two(B, value):
    """Return one value for rows and one for columns."""
    if isinstance(value, (int, float)):
        return value, value
    return value if isinstance(value, (tuple, list)) else B.unstacked(convert(B, value))


@op
def gaussian_blur(B, images, kernel_size=(3, 3), sigma=(1.0, 1.0), data_format=None):
    """Blur images with a Gaussian of deviation `sigma`, cut off at `kernel_size`; outside is zero.

    >>> from multikeras import ops
    >>> ops.image.gaussian_blur(ops.ones((8, 8, 3))).shape == (8, 8, 3)
    True
    """
    require_images("gaussian_blur", images)
    dtype = B.dtype(images)
    kernel_size, sigma = (_two(B, v) for v in (kernel_size, sigma))
    x, back = _batched(B, images if dtypes.is_float(dtype) else B.cast(images, config.floatx()), data_format)
    for axis, (size, deviation) in enumerate(zip(kernel_size, sigma)):
        size = UNKNOWN if isinstance(size, Spec) else from_value(size)
        x = _filtered(B, x, [B.expand_dims(_bell(B, size, deviation, B.dtype(x)), 1 - axis)], "same")
    return back(B.cast(x, dtype))


_SOBEL = np.array([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])


@op(inexact=True)
def sobel_edges(B, images, data_format=None):
    """Return the slopes of images by Sobel's operator, down and to the right, in a new last dimension.

    >>> from multikeras import ops
    >>> ops.image.sobel_edges(ops.ones((1, 8, 8, 3))).shape == (1, 8, 8, 3, 2)
    True
    """
    require_images("sobel_edges", images)
    x, back = _batched(B, images, data_format)
    return back(B.reshape(_filtered(B, x, [_SOBEL.T, _SOBEL], "same"), (*B.shape(x), 2)))


@op(tensors=2, promote=True, inexact=True)
def ssim(B, image1, image2, max_val=1.0, filter_size=11, filter_sigma=1.5, k1=0.01, k2=0.03, data_format=None):
    """Return the structural similarity of images, 1 for equal ones (Wang et al., 2004): a number an image.

    >>> from multikeras import ops
    >>> round(float(ops.image.ssim(ops.ones((16, 16, 3)), ops.ones((16, 16, 3)))), 3)
    1.0
    """
    require_images("ssim", image1)
    require_images("ssim", image2)
    bell = _bell(B, filter_size, filter_sigma, B.dtype(image1))
    x, _ = _batched(B, image1, data_format)
    y, _ = _batched(B, image2, data_format)

    def local(z):
        return _filtered(B, _filtered(B, z, [B.expand_dims(bell, 1)], "valid"), [B.expand_dims(bell, 0)], "valid")

    c1, c2 = float((k1 * max_val) ** 2), float((k2 * max_val) ** 2)
    mean_x, mean_y = local(x), local(y)
    squares = mean_x * mean_x + mean_y * mean_y
    product = mean_x * mean_y
    luminance = B.divide(product * 2.0 + c1, squares + c1)
    structure = B.divide((local(x * y) - product) * 2.0 + c2, local(x * x + y * y) - squares + c2)
    similarity = B.mean(luminance * structure, (1, 2, 3))
    return B.squeeze(similarity, (0,)) if len(image1.shape) == 3 else similarity


def _patch_sizes(op_name, argument, value, rank):
    if not isinstance(value, (int, tuple, list)):
        raise TypeError(
            f"{op_name}: Invalid `{argument}` argument. Expected an int or a tuple of length {rank}. "
            f"Received: {argument}={value}"
        )
    sizes = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(sizes) != rank:
        raise ValueError(
            f"{op_name}: Invalid `{argument}` argument. Expected a tuple of length {rank}. "
            f"Received: {argument}={value}"
        )
    if any(s < 1 for s in sizes):
        raise ValueError(f"{op_name}: `{argument}` must be positive. Received: {argument}={value}")
    return sizes


def _patches(B, op_name, x, size, strides, dilation_rate, padding, data_format, rank):
    """Cut `rank` spatial dimensions into patches, each one a vector with the channels last."""
    size = _patch_sizes(op_name, "size", size, rank)
    strides = size if strides is None else _patch_sizes(op_name, "strides", strides, rank)
    dilation = _patch_sizes(op_name, "dilation_rate", dilation_rate, rank)
    if len(x.shape) not in (rank + 1, rank + 2):
        raise ValueError(
            f"{op_name}: expected rank {rank + 1} (single) or {rank + 2} (batch),"
            f" got shape {tuple(x.shape)}."
        )
    data_format = config.standardize_data_format(data_format)
    single, channel_axis = len(x.shape) == rank + 1, -rank - 1 if data_format == "channels_first" else -1
    channels = x.shape[channel_axis]
    if not known(channels):
        raise ValueError(f"{op_name}: the number of channels must be known, got shape {tuple(x.shape)}.")
    x = B.expand_dims(x, 0) if single else x
    # Each output channel of this convolution picks one entry of the window.
    kernel = B.eye(math.prod(size) * channels, None, 0, B.dtype(x))
    kernel = B.reshape(kernel, (*size, channels, math.prod(size) * channels))
    y = B.conv(x, kernel, strides, padding.lower(), dilation, 1, data_format)
    return B.squeeze(y, (0,)) if single else y


@op
def extract_patches(B, images, size, strides=None, dilation_rate=1, padding="valid", data_format=None):
    """Cut images into patches of `size`; each becomes a vector of its pixels in the channel dimension.

    A `size` of three numbers cuts volumes.

    >>> from multikeras import ops
    >>> ops.image.extract_patches(ops.ones((1, 8, 8, 3)), (2, 2)).shape == (1, 4, 4, 12)
    True
    """
    if not isinstance(size, (int, tuple, list)):
        raise TypeError(
            "extract_patches: Invalid `size` argument. Expected an int or a tuple of length 2 or 3. "
            f"Received: size={size}"
        )
    rank = 2 if isinstance(size, int) else len(size)
    if rank not in (2, 3):
        raise ValueError(
            "extract_patches: Invalid `size` argument. Expected a tuple of length 2 or 3. "
            f"Received: size={size}"
        )
    return _patches(B, "extract_patches", images, size, strides, dilation_rate, padding, data_format, rank)


@op
def extract_patches_3d(B, volumes, size, strides=None, dilation_rate=1, padding="valid", data_format=None):
    """Cut volumes into patches of `size`; each becomes a vector of its voxels in the channel dimension.

    >>> from multikeras import ops
    >>> ops.image.extract_patches_3d(ops.ones((1, 4, 4, 4, 3)), 2).shape == (1, 2, 2, 2, 24)
    True
    """
    return _patches(B, "extract_patches_3d", volumes, size, strides, dilation_rate, padding, data_format, 3)
