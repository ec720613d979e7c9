"""`Conv`: convolution over any number of spatial dimensions; and what its transposed kin share with it."""

from typing import Any

from multikeras import ops
from multikeras.layers._arguments import (
    channel_axis,
    keep,
    layout,
    one_of,
    positive,
    sizes,
    spatial_axes,
    weight,
)
from multikeras.layers.input_spec import InputSpec
from multikeras.layers.layer import Layer
from multikeras.layers.lora import LowRankAdapted
from multikeras.ops.affine import biased_conv


class Windowed(Layer):
    """What all convolutions share: windows over `rank` spatial dimensions, channels, bias and activation."""

    rank: int
    paddings: tuple[str, ...] = ("valid", "same")
    also_in_config = ("activity_regularizer",)

    def _check(self) -> None:
        """Bring the arguments kept so far into their standard form, refusing wrong ones."""
        rank = self.rank
        if getattr(self, "filters", None) is not None:
            positive(self, "filters", self.filters)
        self.kernel_size = sizes(self, "kernel_size", self.kernel_size, rank)
        self.strides = sizes(self, "strides", self.strides, rank)
        self.dilation_rate = sizes(self, "dilation_rate", self.dilation_rate, rank)
        self.padding = one_of(self, "padding", self.padding, self.paddings)
        self.data_format = layout(self, self.data_format)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: `strides > 1` not supported in conjunction with "
                "`dilation_rate > 1`. "
                f"Received: strides={self.strides} and dilation_rate={self.dilation_rate}."
            )
        self.input_spec = InputSpec(min_ndim=rank + 2)

    def _channels(self, input_shape) -> int:
        """Return the number of channels, and require it from now on."""
        axis = channel_axis(self.data_format)
        channels = input_shape[axis]
        if channels is None:
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: the channels of its input (axis {axis}) must be known, "
                f"got shape {tuple(input_shape)}."
            )
        self.input_spec = InputSpec(min_ndim=self.rank + 2, axes={axis: channels})
        return channels

    def _check_fit(self, inputs) -> None:
        """Raise ValueError where a window is larger than what it moves over."""
        axes = spatial_axes(self.data_format, self.rank)
        for axis, size, dilation in zip(axes, self.kernel_size, self.dilation_rate):
            have = inputs.shape[axis]
            if self.padding == "valid" and have is not None and have <= (size - 1) * dilation:
                raise ValueError(
                    f"{type(self).__name__} {self.name!r}: Computed output size would be zero or negative. A window of "
                    f"kernel_size={self.kernel_size} with dilation_rate={self.dilation_rate} does not fit into inputs of "
                    f"shape {tuple(inputs.shape)}."
                )

    def _finish(self, outputs):
        """Add the bias and apply the activation."""
        if self.use_bias:
            shape = (1,) * (self.rank + 1) + (self.bias.shape[0],)
            if self.data_format == "channels_first":
                shape = (1, self.bias.shape[0]) + (1,) * self.rank
            outputs = ops.add(outputs, ops.reshape(self.bias, shape))
        return outputs if self.activation is None else self.activation(outputs)


class Conv(LowRankAdapted, Windowed):
    """Correlate the input with `filters` learned windows, add a bias, apply an activation.

    Args:
        filters: Number of windows: channels of the output.
        kernel_size, strides, dilation_rate: An int, or one for each spatial dimension.
        padding: "valid" or "same"; "causal" too in one dimension.
        data_format: "channels_last" or "channels_first"; the setting's by default.
        groups: Number of groups into which the channels are split.
        activation: Function or its name.
        use_bias: Whether to add a bias.
        lora_rank, lora_alpha: As for `Dense`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ):
        lora_rank, lora_alpha = kwargs.pop("lora_rank", None), kwargs.pop("lora_alpha", None)
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        keep(self, locals())
        positive(self, "groups", groups)
        self._check()
        if filters is not None and filters % groups:
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: filters={filters} must be a multiple of groups={groups}."
            )

    def build(self, input_shape):
        channels = self._channels(input_shape)
        if channels % self.groups:
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: the {channels} channels of its input (shape "
                f"{tuple(input_shape)}) "
                f"must be a multiple of groups={self.groups}."
            )
        self._kernel = weight(self, "kernel", (*self.kernel_size, channels // self.groups, self.filters))
        self.bias = weight(self, "bias", (self.filters,)) if self.use_bias else None
        self.built = True
        self.adapt_if_asked()

    @property
    def kernel(self):
        """The windows (*kernel_size, channels // groups, filters), with their low-rank correction if there is one."""
        return self.with_lora(self._kernel)

    def call(self, inputs):
        self._check_fit(inputs)
        padding = self.padding
        if padding == "causal":
            before = self.dilation_rate[0] * (self.kernel_size[0] - 1)
            time = 1 if self.data_format == "channels_last" else 2
            inputs = ops.pad(inputs, [(before if axis == time else 0, 0) for axis in range(self.rank + 2)])
            padding = "valid"
        how = self.strides, padding, self.data_format, self.dilation_rate
        if type(self).convolution_op is not Conv.convolution_op:
            return self._finish(self.convolution_op(inputs, self.kernel))
        if self.bias is None:
            outputs = ops.conv(inputs, self.kernel, *how)
        else:
            outputs = biased_conv(inputs, self.kernel, self.bias, *how)
        return outputs if self.activation is None else self.activation(outputs)

    def convolution_op(self, inputs, kernel):
        """Return the convolution without bias and activation, causal inputs being padded: for subclasses to override."""
        padding = "valid" if self.padding == "causal" else self.padding
        return ops.conv(inputs, kernel, self.strides, padding, self.data_format, self.dilation_rate)


class ConvTranspose(Windowed):
    """Apply the transpose of a convolution: from the shape of its output to that of its input.

    Args:
        filters: Channels of the output.
        kernel_size, strides, dilation_rate: An int, or one for each spatial dimension.
        padding: "valid" or "same".
        output_padding: Size added to one side of the output; by default what makes the size come out right.
        data_format: "channels_last" or "channels_first"; the setting's by default.
        activation: Function or its name.
        use_bias: Whether to add a bias.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        output_padding: Any = None,
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        keep(self, locals())
        self._check()
        if output_padding is not None:
            self.output_padding = sizes(self, "output_padding", output_padding, self.rank, least=0)
            if any(extra >= stride for extra, stride in zip(self.output_padding, self.strides)):
                raise ValueError(
                    f"{type(self).__name__} {self.name!r}: output_padding must be smaller than strides, got "
                    f"output_padding={self.output_padding} and strides={self.strides}."
                )

    def build(self, input_shape):
        channels = self._channels(input_shape)
        self.kernel = weight(self, "kernel", (*self.kernel_size, self.filters, channels))
        self.bias = weight(self, "bias", (self.filters,)) if self.use_bias else None

    def call(self, inputs):
        outputs = ops.conv_transpose(
            inputs, self.kernel, self.strides, self.padding, self.output_padding, self.data_format, self.dilation_rate
        )
        return self._finish(outputs)
