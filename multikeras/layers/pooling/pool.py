"""Pooling over windows: the maximum or the mean of each, in any number of dimensions."""

from typing import Any

from multikeras import ops
from multikeras.layers._arguments import layout, one_of, sizes
from multikeras.layers.input_spec import InputSpec
from multikeras.layers.layer import Layer


class Pooling(Layer):
    """Reduce windows over `rank` spatial dimensions to one value a channel.

    Args:
        pool_size: Size of a window: an int, or one for each spatial dimension.
        strides: Step between windows; `pool_size` by default.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first"; the setting's by default.
    """

    rank: int

    def __init__(
        self,
        pool_size: Any,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.pool_size = sizes(self, "pool_size", pool_size, self.rank)
        self.strides = self.pool_size if strides is None else sizes(self, "strides", strides, self.rank)
        self.padding = one_of(self, "padding", padding, ("valid", "same"))
        self.data_format = layout(self, data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)
        self.built = type(self).build is Layer.build


class MaxPooling(Pooling):
    """Take the maximum of each window."""

    pool_mode = "max"

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(pool_size, strides, padding, data_format, name, **kwargs)

    def call(self, inputs):
        return ops.max_pool(inputs, self.pool_size, self.strides, self.padding, self.data_format)


class AveragePooling(Pooling):
    """Take the mean of each window, padding not counted."""

    pool_mode = "average"

    def call(self, inputs):
        return ops.average_pool(inputs, self.pool_size, self.strides, self.padding, self.data_format)
