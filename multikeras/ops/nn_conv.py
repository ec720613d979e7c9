"""Convolution and pooling over 1, 2 or 3 spatial dimensions."""

from multikeras import config
from multikeras.backend.shapes import known
from multikeras.ops._op import face, op


def canonical_sizes(op_name, argument, value, rank):
    """Return an int or a sequence of ints as one int for each spatial dimension."""
    if type(value) is int and value > 0:
        return (value,) * rank
    if type(value) is tuple and len(value) == rank and {*map(type, value)} == {int} and min(value) > 0:
        return value
    sizes = (value,) * rank if isinstance(value, int) else tuple(value)
    if len(sizes) == 1:
        sizes = sizes * rank
    if len(sizes) != rank or not all(hasattr(s, "__index__") and s > 0 for s in sizes):
        raise ValueError(f"{op_name}: {argument} must be a positive integer or {rank} of them, got {value!r}.")
    return tuple(map(int, sizes))


def _padding(op_name, padding):
    name = padding.lower() if isinstance(padding, str) else padding
    if name not in ("valid", "same"):
        raise ValueError(f"{op_name}: padding must be 'valid' or 'same', got {padding!r}.")
    return name


def _spatial_rank(op_name, x, data_format):
    rank = len(x.shape) - 2
    if not 1 <= rank <= 3:
        raise ValueError(
            f"{op_name}: inputs must have a batch, 1 to 3 spatial dimensions and channels, got shape {tuple(x.shape)}."
        )
    data_format = config.standardize_data_format(data_format)
    return rank, data_format, 1 if data_format == "channels_first" else rank + 1


def _check_kernel(op_name, kernel, rank):
    if len(kernel.shape) != rank + 2:
        raise ValueError(
            f"{op_name}: kernel must have rank {rank + 2} for these inputs,"
            f" got shape {tuple(kernel.shape)}."
        )


def conv_arguments(inputs, kernel, strides, padding, data_format, dilation_rate):
    """Return strides, padding, dilation, groups and data format of a convolution as primitives take them."""
    rank, data_format, channel_axis = _spatial_rank("conv", inputs, data_format)
    _check_kernel("conv", kernel, rank)
    channels, per_group, filters = inputs.shape[channel_axis], kernel.shape[-2], kernel.shape[-1]
    groups = 1
    if known(channels):
        if channels % per_group:
            raise ValueError(
                f"conv: The number of input channels must be evenly divisible by kernel's in_channels. "
                f"Received input channels {channels} and kernel in_channels {per_group}."
            )
        groups = channels // per_group
        if known(filters) and filters % groups:
            raise ValueError(f"conv: {filters} filters cannot be divided among {groups} groups.")
    strides = canonical_sizes("conv", "strides", strides, rank)
    dilation = canonical_sizes("conv", "dilation_rate", dilation_rate, rank)
    return strides, _padding("conv", padding), dilation, groups, data_format


@face(tensors=2, promote=True, inexact=True)
def conv(B, inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    """Correlate `inputs` with `kernel`, (*window, channels // groups, filters).

    `inputs` is (batch, *spatial, channels) or, with `data_format="channels_first"`, (batch, channels, *spatial). The
    number of groups follows from the channels of both.

    >>> from multikeras import ops
    >>> ops.conv(ops.ones((1, 4, 2)), ops.ones((3, 2, 5))).shape == (1, 2, 5)
    True
    """
    return B.conv(inputs, kernel, *conv_arguments(inputs, kernel, strides, padding, data_format, dilation_rate))


@op(tensors=2, promote=True, inexact=True)
def depthwise_conv(B, inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    """Correlate each channel with its own kernels; `kernel` is (*window, channels, kernels a channel).

    >>> from multikeras import ops
    >>> ops.depthwise_conv(ops.ones((1, 4, 2)), ops.ones((3, 2, 5))).shape == (1, 2, 10)
    True
    """
    rank, data_format, channel_axis = _spatial_rank("depthwise_conv", inputs, data_format)
    _check_kernel("depthwise_conv", kernel, rank)
    *window, channels, multiplier = kernel.shape
    if known(inputs.shape[channel_axis]) and inputs.shape[channel_axis] != channels:
        raise ValueError(
            f"depthwise_conv: inputs have {inputs.shape[channel_axis]} channels, kernel is for "
            f"{channels}."
        )
    kernel = B.reshape(kernel, (*window, 1, channels * multiplier))
    strides = canonical_sizes("depthwise_conv", "strides", strides, rank)
    dilation = canonical_sizes("depthwise_conv", "dilation_rate", dilation_rate, rank)
    return B.conv(inputs, kernel, strides, _padding("depthwise_conv", padding), dilation, channels, data_format)


@op(tensors=3, promote=True, inexact=True)
def separable_conv(B, inputs, depthwise_kernel, pointwise_kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    """Convolve each channel by itself, then mix the channels at each point.

    >>> from multikeras import ops
    >>> ops.separable_conv(ops.ones((1, 4, 2)), ops.ones((3, 2, 5)), ops.ones((1, 10, 7))).shape == (1, 2, 7)
    True
    """
    rank, data_format, _ = _spatial_rank("separable_conv", inputs, data_format)
    x = B.depthwise_conv(inputs, depthwise_kernel, strides, padding, data_format, dilation_rate)
    _check_kernel("separable_conv", pointwise_kernel, rank)
    return B.conv(x, pointwise_kernel, (1,) * rank, "valid", (1,) * rank, 1, data_format)


@face(tensors=2, promote=True, inexact=True)
def conv_transpose(B, inputs, kernel, strides=1, padding="valid", output_padding=None, data_format=None, dilation_rate=1):
    """Spread `inputs` out by `strides` and correlate with `kernel`, (*window, filters, channels).

    >>> from multikeras import ops
    >>> ops.conv_transpose(ops.ones((1, 4, 2)), ops.ones((3, 5, 2)), strides=2).shape == (1, 9, 5)
    True
    """
    rank, data_format, channel_axis = _spatial_rank("conv_transpose", inputs, data_format)
    _check_kernel("conv_transpose", kernel, rank)
    if known(inputs.shape[channel_axis]) and inputs.shape[channel_axis] != kernel.shape[-1]:
        raise ValueError(
            f"conv_transpose: inputs have {inputs.shape[channel_axis]} channels, kernel is for {kernel.shape[-1]}."
        )
    strides = canonical_sizes("conv_transpose", "strides", strides, rank)
    dilation = canonical_sizes("conv_transpose", "dilation_rate", dilation_rate, rank)
    if output_padding is None or isinstance(output_padding, int):
        output_padding = (output_padding,) * rank
    return B.conv_transpose(
        inputs, kernel, strides, _padding("conv_transpose", padding), tuple(output_padding), dilation, data_format
    )


def _pool(pool, op_name, inputs, pool_size, strides, padding, data_format):
    rank, data_format, _ = _spatial_rank(op_name, inputs, data_format)
    window = canonical_sizes(op_name, "pool_size", pool_size, rank)
    strides = window if strides is None else canonical_sizes(op_name, "strides", strides, rank)
    return pool(inputs, window, strides, _padding(op_name, padding), data_format)


@face
def max_pool(B, inputs, pool_size, strides=None, padding="valid", data_format=None):
    """Take the largest value of each window; windows do not overlap unless `strides` says so.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.max_pool(ops.reshape([1.0, 2.0, 3.0, 4.0], (1, 4, 1)), 2)[0, :, 0]).tolist()
    [2.0, 4.0]
    """
    return _pool(B.max_pool, "max_pool", inputs, pool_size, strides, padding, data_format)


@face(inexact=True)
def average_pool(B, inputs, pool_size, strides=None, padding="valid", data_format=None):
    """Take the mean of each window; padding does not count.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.average_pool(ops.reshape([1.0, 2.0, 3.0, 4.0], (1, 4, 1)), 2)[0, :, 0]).tolist()
    [1.5, 3.5]
    """
    return _pool(B.average_pool, "average_pool", inputs, pool_size, strides, padding, data_format)


def _adaptive(B, op_name, x, output_size, data_format, combine):
    """Pool one dimension after the other by windows that cover it as evenly as can be."""
    rank, data_format, channel_axis = _spatial_rank(op_name, x, data_format)
    counts = canonical_sizes(op_name, "output_size", output_size, rank)
    for axis, count in enumerate(counts, 2 if channel_axis == 1 else 1):
        x = combine(x, axis, *_adaptive_windows(B, B.shape(x)[axis], count))
    return x


def _adaptive_windows(B, size, count):
    """Return the entries of each of `count` windows, (count, longest), filled up with the last, and their lengths."""
    numbers = B.arange(0, count, 1, "int32")
    starts = B.floor_divide(numbers * size, B.asarray(count, "int32"))
    stops = -B.floor_divide((numbers + 1) * -size, B.asarray(count, "int32"))
    longest = size // count + (0 if known(size) and isinstance(size, int) and size % count == 0 else 2)
    entries = B.expand_dims(starts, 1) + B.arange(0, longest, 1, "int32")
    return B.minimum(entries, B.expand_dims(stops - 1, 1)), B.expand_dims(stops - starts, 1)


@op
def adaptive_max_pool(B, inputs, output_size, data_format=None):
    """Take the largest value of windows chosen so that `output_size` of them cover each dimension.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.adaptive_max_pool(ops.reshape([1.0, 2.0, 3.0, 4.0], (1, 4, 1)), 2)[0, :, 0]).tolist()
    [2.0, 4.0]
    """

    def combine(x, axis, entries, lengths):
        return B.max(B.take(x, entries, axis), axis + 1)

    return _adaptive(B, "adaptive_max_pool", inputs, output_size, data_format, combine)


@op(inexact=True)
def adaptive_average_pool(B, inputs, output_size, data_format=None):
    """Take the mean of windows chosen so that `output_size` of them cover each dimension.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.adaptive_average_pool(ops.reshape([1.0, 2.0, 3.0, 4.0], (1, 4, 1)), 2)[0, :, 0]).tolist()
    [1.5, 3.5]
    """

    def combine(x, axis, entries, lengths):
        inside = B.arange(0, B.shape(entries)[1], 1, "int32") < lengths
        weights = B.divide(B.cast(inside, B.dtype(x)), B.cast(lengths, B.dtype(x)))
        weights = B.reshape(weights, (*B.shape(weights), *(1,) * (len(x.shape) - axis - 1)))
        return B.sum(B.take(x, entries, axis) * weights, axis + 1)

    return _adaptive(B, "adaptive_average_pool", inputs, output_size, data_format, combine)
