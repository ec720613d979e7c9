"""The poolings by number of spatial dimensions."""

from multikeras.layers.pooling.adaptive import AdaptiveAveragePooling, AdaptiveMaxPooling
from multikeras.layers.pooling.global_pool import GlobalAveragePooling, GlobalMaxPooling, MaskedAveragePooling
from multikeras.layers.pooling.pool import AveragePooling, MaxPooling


class MaxPooling1D(MaxPooling):
    """Take the maximum of each window over sequences: (batch, steps, channels).

    Args:
        pool_size: Size of a window: an int, or one for each spatial dimension.
        strides: Step between windows; `pool_size` by default.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first"; the setting's by default.

    >>> import multikeras
    >>> multikeras.layers.MaxPooling1D(2)(multikeras.ops.ones((1, 4, 3))).shape == (1, 2, 3)
    True
    """

    rank = 1


class MaxPooling2D(MaxPooling):
    """Take the maximum of each window over images: (batch, height, width, channels).

    Args:
        pool_size: Size of a window: an int, or one for each spatial dimension.
        strides: Step between windows; `pool_size` by default.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first"; the setting's by default.

    >>> import multikeras
    >>> multikeras.layers.MaxPooling2D(2)(multikeras.ops.ones((1, 4, 4, 3))).shape == (1, 2, 2, 3)
    True
    """

    rank = 2


class MaxPooling3D(MaxPooling):
    """Take the maximum of each window over volumes: (batch, depth, height, width, channels).

    Args:
        pool_size: Size of a window: an int, or one for each spatial dimension.
        strides: Step between windows; `pool_size` by default.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first"; the setting's by default.

    >>> import multikeras
    >>> multikeras.layers.MaxPooling3D(2)(multikeras.ops.ones((1, 4, 4, 4, 3))).shape == (1, 2, 2, 2, 3)
    True
    """

    rank = 3


class AveragePooling1D(AveragePooling):
    """Take the mean of each window over sequences: (batch, steps, channels).

    Args:
        pool_size: Size of a window: an int, or one for each spatial dimension.
        strides: Step between windows; `pool_size` by default.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first"; the setting's by default.

    >>> import multikeras
    >>> multikeras.layers.AveragePooling1D(2)(multikeras.ops.ones((1, 4, 3))).shape == (1, 2, 3)
    True
    """

    rank = 1


class AveragePooling2D(AveragePooling):
    """Take the mean of each window over images: (batch, height, width, channels).

    Args:
        pool_size: Size of a window: an int, or one for each spatial dimension.
        strides: Step between windows; `pool_size` by default.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first"; the setting's by default.

    >>> import multikeras
    >>> multikeras.layers.AveragePooling2D(2)(multikeras.ops.ones((1, 4, 4, 3))).shape == (1, 2, 2, 3)
    True
    """

    rank = 2


class AveragePooling3D(AveragePooling):
    """Take the mean of each window over volumes: (batch, depth, height, width, channels).

    Args:
        pool_size: Size of a window: an int, or one for each spatial dimension.
        strides: Step between windows; `pool_size` by default.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first"; the setting's by default.

    >>> import multikeras
    >>> multikeras.layers.AveragePooling3D(2)(multikeras.ops.ones((1, 4, 4, 4, 3))).shape == (1, 2, 2, 2, 3)
    True
    """

    rank = 3


class GlobalMaxPooling1D(GlobalMaxPooling):
    """Take the maximum over all positions of sequences: (batch, steps, channels).

    Args:
        data_format: "channels_last" or "channels_first"; the setting's by default.
        keepdims: Whether the reduced dimensions stay, with size 1.

    >>> import multikeras
    >>> multikeras.layers.GlobalMaxPooling1D()(multikeras.ops.ones((1, 4, 3))).shape == (1, 3)
    True
    """

    rank = 1


class GlobalMaxPooling2D(GlobalMaxPooling):
    """Take the maximum over all positions of images: (batch, height, width, channels).

    Args:
        data_format: "channels_last" or "channels_first"; the setting's by default.
        keepdims: Whether the reduced dimensions stay, with size 1.

    >>> import multikeras
    >>> multikeras.layers.GlobalMaxPooling2D()(multikeras.ops.ones((1, 4, 4, 3))).shape == (1, 3)
    True
    """

    rank = 2


class GlobalMaxPooling3D(GlobalMaxPooling):
    """Take the maximum over all positions of volumes: (batch, depth, height, width, channels).

    Args:
        data_format: "channels_last" or "channels_first"; the setting's by default.
        keepdims: Whether the reduced dimensions stay, with size 1.

    >>> import multikeras
    >>> multikeras.layers.GlobalMaxPooling3D()(multikeras.ops.ones((1, 4, 4, 4, 3))).shape == (1, 3)
    True
    """

    rank = 3


class GlobalAveragePooling1D(MaskedAveragePooling):
    """Take the mean over all steps that are not masked, of sequences: (batch, steps, channels).

    Args:
        data_format: "channels_last" or "channels_first"; the setting's by default.
        keepdims: Whether the reduced dimensions stay, with size 1.

    >>> import multikeras
    >>> multikeras.layers.GlobalAveragePooling1D()(multikeras.ops.ones((1, 4, 3))).shape == (1, 3)
    True
    """

    rank = 1


class GlobalAveragePooling2D(GlobalAveragePooling):
    """Take the mean over all positions of images: (batch, height, width, channels).

    Args:
        data_format: "channels_last" or "channels_first"; the setting's by default.
        keepdims: Whether the reduced dimensions stay, with size 1.

    >>> import multikeras
    >>> multikeras.layers.GlobalAveragePooling2D()(multikeras.ops.ones((1, 4, 4, 3))).shape == (1, 3)
    True
    """

    rank = 2


class GlobalAveragePooling3D(GlobalAveragePooling):
    """Take the mean over all positions of volumes: (batch, depth, height, width, channels).

    Args:
        data_format: "channels_last" or "channels_first"; the setting's by default.
        keepdims: Whether the reduced dimensions stay, with size 1.

    >>> import multikeras
    >>> multikeras.layers.GlobalAveragePooling3D()(multikeras.ops.ones((1, 4, 4, 4, 3))).shape == (1, 3)
    True
    """

    rank = 3


class AdaptiveMaxPooling1D(AdaptiveMaxPooling):
    """Take maxima so that the result has a given size, over sequences: (batch, steps, channels).

    Args:
        output_size: Sizes of the result: an int, or one for each spatial dimension.
        data_format: "channels_last" or "channels_first"; the setting's by default.

    >>> import multikeras
    >>> multikeras.layers.AdaptiveMaxPooling1D(2)(multikeras.ops.ones((1, 5, 3))).shape == (1, 2, 3)
    True
    """

    rank = 1


class AdaptiveMaxPooling2D(AdaptiveMaxPooling):
    """Take maxima so that the result has a given size, over images: (batch, height, width, channels).

    Args:
        output_size: Sizes of the result: an int, or one for each spatial dimension.
        data_format: "channels_last" or "channels_first"; the setting's by default.

    >>> import multikeras
    >>> multikeras.layers.AdaptiveMaxPooling2D(2)(multikeras.ops.ones((1, 5, 5, 3))).shape == (1, 2, 2, 3)
    True
    """

    rank = 2


class AdaptiveMaxPooling3D(AdaptiveMaxPooling):
    """Take maxima so that the result has a given size, over volumes: (batch, depth, height, width, channels).

    Args:
        output_size: Sizes of the result: an int, or one for each spatial dimension.
        data_format: "channels_last" or "channels_first"; the setting's by default.

    >>> import multikeras
    >>> multikeras.layers.AdaptiveMaxPooling3D(2)(multikeras.ops.ones((1, 5, 5, 5, 3))).shape == (1, 2, 2, 2, 3)
    True
    """

    rank = 3


class AdaptiveAveragePooling1D(AdaptiveAveragePooling):
    """Take means so that the result has a given size, over sequences: (batch, steps, channels).

    Args:
        output_size: Sizes of the result: an int, or one for each spatial dimension.
        data_format: "channels_last" or "channels_first"; the setting's by default.

    >>> import multikeras
    >>> multikeras.layers.AdaptiveAveragePooling1D(2)(multikeras.ops.ones((1, 5, 3))).shape == (1, 2, 3)
    True
    """

    rank = 1


class AdaptiveAveragePooling2D(AdaptiveAveragePooling):
    """Take means so that the result has a given size, over images: (batch, height, width, channels).

    Args:
        output_size: Sizes of the result: an int, or one for each spatial dimension.
        data_format: "channels_last" or "channels_first"; the setting's by default.

    >>> import multikeras
    >>> multikeras.layers.AdaptiveAveragePooling2D(2)(multikeras.ops.ones((1, 5, 5, 3))).shape == (1, 2, 2, 3)
    True
    """

    rank = 2


class AdaptiveAveragePooling3D(AdaptiveAveragePooling):
    """Take means so that the result has a given size, over volumes: (batch, depth, height, width, channels).

    Args:
        output_size: Sizes of the result: an int, or one for each spatial dimension.
        data_format: "channels_last" or "channels_first"; the setting's by default.

    >>> import multikeras
    >>> multikeras.layers.AdaptiveAveragePooling3D(2)(multikeras.ops.ones((1, 5, 5, 5, 3))).shape == (1, 2, 2, 2, 3)
    True
    """

    rank = 3
