"""Pooling to a given output size, whatever the size of the input."""

from typing import Any

from multikeras import ops
from multikeras.layers._arguments import layout, sizes
from multikeras.layers.input_spec import InputSpec
from multikeras.layers.layer import Layer


class AdaptivePooling(Layer):
    """Divide each spatial dimension into `output_size` stretches and reduce each.

    Args:
        output_size: An int, or one for each spatial dimension.
        data_format: "channels_last" or "channels_first"; the setting's by default.
    """

    rank: int

    def __init__(self, output_size: Any, data_format: str | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.output_size = _output_size(self, output_size)
        self.data_format = layout(self, data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)
        self.built = type(self).build is Layer.build


def _output_size(layer: AdaptivePooling, value: Any) -> tuple[int, ...]:
    if not isinstance(value, (int, tuple, list)) or isinstance(value, bool):
        raise TypeError(f"{type(layer).__name__}: output_size must be an int or a tuple of ints, got {value!r}.")
    return sizes(layer, "output_size", value, layer.rank)


class AdaptiveMaxPooling(AdaptivePooling):
    """Take the maximum of each stretch."""

    def call(self, inputs):
        return ops.adaptive_max_pool(inputs, self.output_size, self.data_format)


class AdaptiveAveragePooling(AdaptivePooling):
    """Take the mean of each stretch."""

    def call(self, inputs):
        return ops.adaptive_average_pool(inputs, self.output_size, self.data_format)
