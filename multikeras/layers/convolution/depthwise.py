"""`DepthwiseConv` and `SeparableConv`: windows that see one channel each."""

from typing import Any

from multikeras import ops
from multikeras.layers._arguments import keep, positive, weight
from multikeras.layers.convolution.base_conv import Windowed


class DepthwiseConv(Windowed):
    """Correlate each channel with `depth_multiplier` windows of its own.

    Args:
        kernel_size, strides, dilation_rate: An int, or one for each spatial dimension.
        padding: "valid" or "same".
        depth_multiplier: Number of windows a channel.
        data_format: "channels_last" or "channels_first"; the setting's by default.
        activation: Function or its name.
        use_bias: Whether to add a bias.
    """

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Any = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        keep(self, locals())
        positive(self, "depth_multiplier", depth_multiplier)
        self._check()

    def build(self, input_shape):
        channels = self._channels(input_shape)
        self.kernel = weight(self, "kernel", (*self.kernel_size, channels, self.depth_multiplier), kind="depthwise")
        self.bias = weight(self, "bias", (channels * self.depth_multiplier,)) if self.use_bias else None

    def call(self, inputs):
        self._check_fit(inputs)
        outputs = ops.depthwise_conv(
            inputs, self.kernel, self.strides, self.padding, self.data_format, self.dilation_rate
        )
        return self._finish(outputs)


class SeparableConv(Windowed):
    """Correlate each channel with windows of its own, then mix channels point by point.

    Args:
        filters: Channels of the output.
        kernel_size, strides, dilation_rate: An int, or one for each spatial dimension.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first"; the setting's by default.
        depth_multiplier: Number of windows a channel.
        activation: Function or its name.
        use_bias: Whether to add a bias.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        depthwise_regularizer: Any = None,
        pointwise_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        depthwise_constraint: Any = None,
        pointwise_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        keep(self, locals())
        positive(self, "depth_multiplier", depth_multiplier)
        self._check()

    def build(self, input_shape):
        channels = self._channels(input_shape)
        depthwise = (*self.kernel_size, channels, self.depth_multiplier)
        pointwise = (*(1,) * self.rank, channels * self.depth_multiplier, self.filters)
        self.depthwise_kernel = weight(self, "depthwise_kernel", depthwise, kind="depthwise")
        self.pointwise_kernel = weight(self, "pointwise_kernel", pointwise, kind="pointwise")
        self.bias = weight(self, "bias", (self.filters,)) if self.use_bias else None

    def call(self, inputs):
        self._check_fit(inputs)
        outputs = ops.separable_conv(
            inputs, self.depthwise_kernel, self.pointwise_kernel, self.strides, self.padding, self.data_format,
            self.dilation_rate,
        )  # fmt: skip
        return self._finish(outputs)
