"""The convolutions by number of spatial dimensions."""

from typing import Any

from multikeras.layers.convolution.base_conv import Conv, ConvTranspose
from multikeras.layers.convolution.depthwise import DepthwiseConv, SeparableConv


class Conv1D(Conv):
    """Convolve over time: (batch, steps, channels). Arguments as for `Conv2D`, and padding "causal".

    >>> import multikeras
    >>> multikeras.layers.Conv1D(4, 3, padding="causal")(multikeras.ops.ones((2, 8, 3))).shape == (2, 8, 4)
    True
    """

    rank = 1
    paddings = ("valid", "same", "causal")


class Conv2D(Conv):
    """Convolve over images: (batch, height, width, channels).

    Args:
        filters: Number of learned windows: channels of the output.
        kernel_size, strides, dilation_rate: An int, or one each for height and width.
        padding: "valid" (none) or "same" (output of the size of the input, divided by the strides).
        data_format: "channels_last" or "channels_first"; the setting's by default.
        groups: Number of groups into which the channels are split.
        activation: Function or its name.
        use_bias: Whether to add a bias.

    >>> import multikeras
    >>> layer = multikeras.layers.Conv2D(8, 3, strides=2, padding="same")
    >>> layer(multikeras.ops.ones((2, 9, 9, 3))).shape == (2, 5, 5, 8)
    True
    """

    rank = 2


class Conv3D(Conv):
    """Convolve over volumes: (batch, depth, height, width, channels). Arguments as for `Conv2D`.

    >>> import multikeras
    >>> multikeras.layers.Conv3D(2, 2)(multikeras.ops.ones((1, 4, 4, 4, 3))).shape == (1, 3, 3, 3, 2)
    True
    """

    rank = 3


class Conv1DTranspose(ConvTranspose):
    """Apply the transpose of a convolution over time. Arguments as for `Conv2DTranspose`.

    >>> import multikeras
    >>> multikeras.layers.Conv1DTranspose(4, 3, strides=2)(multikeras.ops.ones((2, 5, 3))).shape == (2, 11, 4)
    True
    """

    rank = 1


class Conv2DTranspose(ConvTranspose):
    """Apply the transpose of a convolution over images: a learned enlargement.

    Args:
        filters: Channels of the output.
        kernel_size, strides, dilation_rate: An int, or one each for height and width.
        padding: "valid" or "same".
        output_padding: Size added to one side of the output; by default what makes the size come out right.
        data_format: "channels_last" or "channels_first"; the setting's by default.
        activation: Function or its name.
        use_bias: Whether to add a bias.

    >>> import multikeras
    >>> layer = multikeras.layers.Conv2DTranspose(4, 3, strides=2, padding="same")
    >>> layer(multikeras.ops.ones((2, 5, 5, 3))).shape == (2, 10, 10, 4)
    True
    """

    rank = 2


class Conv3DTranspose(ConvTranspose):
    """Apply the transpose of a convolution over volumes. As `Conv2DTranspose`, but `data_format` precedes `output_padding`.

    >>> import multikeras
    >>> multikeras.layers.Conv3DTranspose(2, 2)(multikeras.ops.ones((1, 3, 3, 3, 3))).shape == (1, 4, 4, 4, 2)
    True
    """

    rank = 3

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        output_padding: Any = None,
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
        super().__init__(
            filters, kernel_size, strides, padding, output_padding, data_format, dilation_rate, activation, use_bias,
            kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer,
            kernel_constraint, bias_constraint, **kwargs,
        )  # fmt: skip


class DepthwiseConv1D(DepthwiseConv):
    """Convolve each channel over time on its own. Arguments as for `DepthwiseConv2D`.

    >>> import multikeras
    >>> multikeras.layers.DepthwiseConv1D(3, depth_multiplier=2)(multikeras.ops.ones((2, 8, 3))).shape == (2, 6, 6)
    True
    """

    rank = 1


class DepthwiseConv2D(DepthwiseConv):
    """Convolve each channel of images on its own.

    Args:
        kernel_size, strides, dilation_rate: An int, or one each for height and width.
        padding: "valid" or "same".
        depth_multiplier: Number of windows a channel.
        data_format: "channels_last" or "channels_first"; the setting's by default.
        activation: Function or its name.
        use_bias: Whether to add a bias.

    >>> import multikeras
    >>> multikeras.layers.DepthwiseConv2D(3)(multikeras.ops.ones((2, 8, 8, 3))).shape == (2, 6, 6, 3)
    True
    """

    rank = 2


class SeparableConv1D(SeparableConv):
    """Convolve each channel over time on its own, then mix channels. Arguments as for `SeparableConv2D`.

    >>> import multikeras
    >>> multikeras.layers.SeparableConv1D(4, 3)(multikeras.ops.ones((2, 8, 3))).shape == (2, 6, 4)
    True
    """

    rank = 1


class SeparableConv2D(SeparableConv):
    """Convolve each channel of images on its own, then mix channels point by point.

    Args:
        filters: Channels of the output.
        kernel_size, strides, dilation_rate: An int, or one each for height and width.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first"; the setting's by default.
        depth_multiplier: Number of windows a channel in the first step.
        activation: Function or its name.
        use_bias: Whether to add a bias.

    >>> import multikeras
    >>> multikeras.layers.SeparableConv2D(4, 3)(multikeras.ops.ones((2, 8, 8, 3))).shape == (2, 6, 6, 4)
    True
    """

    rank = 2
