"""Pooling over everything: one value a channel."""

from typing import Any

from multikeras import ops
from multikeras.layers._arguments import layout, spatial_axes
from multikeras.layers.input_spec import InputSpec
from multikeras.layers.layer import Layer


class GlobalPooling(Layer):
    """Reduce all `rank` spatial dimensions.

    Args:
        data_format: "channels_last" or "channels_first"; the setting's by default.
        keepdims: Whether the reduced dimensions stay, with size 1.
    """

    rank: int

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.data_format = layout(self, data_format)
        self.keepdims = keepdims
        self.input_spec = InputSpec(ndim=self.rank + 2)
        self.built = type(self).build is Layer.build

    @property
    def axes(self) -> tuple[int, ...]:
        """The spatial axes of the input."""
        return spatial_axes(self.data_format, self.rank)


class GlobalMaxPooling(GlobalPooling):
    """Take the maximum over all positions."""

    def call(self, inputs):
        return ops.max(inputs, axis=self.axes, keepdims=self.keepdims)


class GlobalAveragePooling(GlobalPooling):
    """Take the mean over all positions."""

    def call(self, inputs):
        return ops.mean(inputs, axis=self.axes, keepdims=self.keepdims)


class MaskedAveragePooling(GlobalPooling):
    """Take the mean over the steps that a mask keeps."""

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any):
        super().__init__(data_format, keepdims, **kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        if mask is None:
            return ops.mean(inputs, axis=self.axes, keepdims=self.keepdims)
        kept = ops.expand_dims(ops.cast(mask, inputs.dtype), 2 if self.data_format == "channels_last" else 1)
        total = ops.sum(inputs * kept, axis=self.axes, keepdims=self.keepdims)
        return total / ops.sum(kept, axis=self.axes, keepdims=self.keepdims)

    def compute_mask(self, inputs, mask=None):
        return None
