"""Layers that repeat entries along spatial dimensions."""

from typing import Any

from multikeras import ops
from multikeras.layers._arguments import layout, one_of, sizes, spatial_axes
from multikeras.layers.input_spec import InputSpec
from multikeras.layers.layer import Layer

_INTERPOLATIONS = ("bicubic", "bilinear", "lanczos3", "lanczos5", "nearest")


def repeated(inputs: Any, axes: tuple[int, ...], size: tuple[int, ...]) -> Any:
    """Return `inputs` with each entry repeated along `axes`."""
    for axis, times in zip(axes, size):
        if times > 1:
            inputs = ops.repeat(inputs, times, axis=axis)
    return inputs


class UpSampling1D(Layer):
    """Repeat each step `size` times.

    Args:
        size: How often.

    >>> import multikeras
    >>> multikeras.layers.UpSampling1D(3)(multikeras.ops.ones((2, 4, 5))).shape == (2, 12, 5)
    True
    """

    def __init__(self, size: int = 2, **kwargs: Any):
        super().__init__(**kwargs)
        if not isinstance(size, int) or isinstance(size, bool):
            raise TypeError(f"UpSampling1D: Expected an integer value for `size`, got size={size!r}.")
        if size <= 0:
            raise ValueError(f"UpSampling1D: size should be a positive integer, got size={size}.")
        self.size = size
        self.input_spec = InputSpec(ndim=3)
        self.built = type(self).build is Layer.build

    def call(self, inputs):
        return repeated(inputs, (1,), (self.size,))


class UpSampling2D(Layer):
    """Enlarge images by whole factors.

    Args:
        size: An int, or one each for height and width.
        data_format: "channels_last" or "channels_first"; the setting's by default.
        interpolation: "nearest" (repeat), "bilinear", "bicubic", "lanczos3" or "lanczos5".

    >>> import multikeras
    >>> multikeras.layers.UpSampling2D((2, 3))(multikeras.ops.ones((1, 2, 2, 3))).shape == (1, 4, 6, 3)
    True
    """

    def __init__(
        self, size: Any = (2, 2), data_format: str | None = None, interpolation: str = "nearest", **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.size = sizes(self, "size", size, 2)
        self.data_format = layout(self, data_format)
        self.interpolation = one_of(self, "interpolation", interpolation, _INTERPOLATIONS)
        self.input_spec = InputSpec(ndim=4)
        self.built = type(self).build is Layer.build

    def call(self, inputs):
        axes = spatial_axes(self.data_format, 2)
        if self.interpolation == "nearest":
            return repeated(inputs, axes, self.size)
        height, width = (ops.shape(inputs)[axis] * times for axis, times in zip(axes, self.size))
        return ops.image.resize(
            inputs, (height, width), interpolation=self.interpolation, data_format=self.data_format
        )


class UpSampling3D(Layer):
    """Repeat the entries of volumes along depth, height and width.

    Args:
        size: An int, or one for each dimension.
        data_format: "channels_last" or "channels_first"; the setting's by default.

    >>> import multikeras
    >>> multikeras.layers.UpSampling3D(2)(multikeras.ops.ones((1, 2, 2, 2, 3))).shape == (1, 4, 4, 4, 3)
    True
    """

    def __init__(self, size: Any = (2, 2, 2), data_format: str | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.size = sizes(self, "size", size, 3)
        self.data_format = layout(self, data_format)
        self.input_spec = InputSpec(ndim=5)
        self.built = type(self).build is Layer.build

    def call(self, inputs):
        return repeated(inputs, spatial_axes(self.data_format, 3), self.size)
