"""The convolutions, poolings and paddings of `keras.backend` in Keras 2."""

from typing import Any

from multikeras import config, ops


def _conv(rank: int, what: str):
    def function(x, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
        data_format = config.standardize_data_format(data_format)
        if padding == "causal":
            if rank != 1:
                raise ValueError(f"{what}: padding='causal' is for one dimension.")
            dilation = dilation_rate if isinstance(dilation_rate, int) else dilation_rate[0]
            x = temporal_padding(x, ((kernel.shape[0] - 1) * dilation, 0), data_format)
            padding = "valid"
        return ops.conv(x, kernel, strides, padding, data_format, dilation_rate)

    function.__name__ = function.__qualname__ = what
    function.__doc__ = f"""Convolve over {rank} dimension{"s" * (rank > 1)}; the kernel is (sizes..., in, out)."""
    return function


conv1d, conv2d, conv3d = _conv(1, "conv1d"), _conv(2, "conv2d"), _conv(3, "conv3d")


def conv2d_transpose(
    x, kernel, output_shape, strides=(1, 1), padding="valid", data_format=None, dilation_rate=(1, 1)
):
    """Convolve with the kernel (height, width, out, in) turned around, to the given output shape."""
    data_format = config.standardize_data_format(data_format)
    strides = (strides, strides) if isinstance(strides, int) else tuple(strides)
    first = 1 if data_format == "channels_last" else 2
    extra = []
    for i, stride in enumerate(strides):
        wanted, window = output_shape[first + i], (kernel.shape[i] - 1) * dilation_rate[i] + 1
        if wanted is None:
            extra.append(None)
            continue
        pad = window // 2 if padding == "same" else 0
        extra.append(wanted - ((x.shape[first + i] - 1) * stride + window - 2 * pad))
    output_padding = None if None in extra else tuple(extra)
    return ops.conv_transpose(x, kernel, strides, padding, output_padding, data_format, dilation_rate)


def depthwise_conv2d(x, depthwise_kernel, strides=(1, 1), padding="valid", data_format=None, dilation_rate=(1, 1)):
    """Convolve each channel for itself."""
    data_format = config.standardize_data_format(data_format)
    return ops.depthwise_conv(x, depthwise_kernel, strides, padding, data_format, dilation_rate)


def separable_conv2d(
    x, depthwise_kernel, pointwise_kernel, strides=(1, 1), padding="valid", data_format=None, dilation_rate=(1, 1)
):
    """Convolve each channel for itself, then mix the channels."""
    data_format = config.standardize_data_format(data_format)
    return ops.separable_conv(x, depthwise_kernel, pointwise_kernel, strides, padding, data_format, dilation_rate)


def _pool(x: Any, pool_size: Any, strides: Any, padding: str, data_format: str | None, pool_mode: str):
    if pool_mode not in ("max", "avg"):
        raise ValueError(f'pool_mode must be "max" or "avg", got {pool_mode!r}.')
    pool = ops.max_pool if pool_mode == "max" else ops.average_pool
    return pool(x, pool_size, strides, padding, config.standardize_data_format(data_format))


def pool2d(x, pool_size, strides=(1, 1), padding="valid", data_format=None, pool_mode="max"):
    """Take the largest entry ("max") or the mean ("avg") of windows of two dimensions."""
    return _pool(x, pool_size, strides, padding, data_format, pool_mode)


def pool3d(x, pool_size, strides=(1, 1, 1), padding="valid", data_format=None, pool_mode="max"):
    """Take the largest entry ("max") or the mean ("avg") of windows of three dimensions."""
    return _pool(x, pool_size, strides, padding, data_format, pool_mode)


def resize_images(x, height_factor, width_factor, data_format, interpolation="nearest"):
    """Enlarge images by whole factors."""
    first = 1 if data_format == "channels_last" else 2
    size = (x.shape[first] * height_factor, x.shape[first + 1] * width_factor)
    return ops.image.resize(x, size, interpolation, data_format=data_format)


def resize_volumes(x, depth_factor, height_factor, width_factor, data_format):
    """Repeat the entries of volumes along their three dimensions."""
    first = 1 if data_format == "channels_last" else 2
    for i, factor in enumerate((depth_factor, height_factor, width_factor)):
        x = ops.repeat(x, factor, axis=first + i)
    return x


def _padded(x: Any, padding: Any, data_format: str | None):
    pairs = [tuple(p) if isinstance(p, (list, tuple)) else (p, p) for p in padding]
    last = config.standardize_data_format(data_format) == "channels_last"
    return ops.pad(x, [(0, 0), *pairs, (0, 0)] if last else [(0, 0), (0, 0), *pairs])


def temporal_padding(x, padding=(1, 1), data_format="channels_last"):
    """Add zeros at both ends of sequences."""
    return _padded(x, (tuple(padding),), data_format)


def spatial_2d_padding(x, padding=((1, 1), (1, 1)), data_format=None):
    """Add zeros around images."""
    return _padded(x, padding, data_format)


def spatial_3d_padding(x, padding=((1, 1), (1, 1), (1, 1)), data_format=None):
    """Add zeros around volumes."""
    return _padded(x, padding, data_format)
