"""`Rescaling`: numbers brought to another range."""

from typing import Any

import numpy as np

from multikeras import config, ops
from multikeras.layers.preprocessing.data_layer import DataLayer


class Rescaling(DataLayer):
    """Multiply by a scale, then add an offset: `Rescaling(1 / 127.5, -1)` brings bytes to [-1, 1].

    Args:
        scale: A number, or one for each channel.
        offset: A number, or one for each channel.

    >>> import multikeras
    >>> layer = multikeras.layers.Rescaling(0.5, offset=-1)
    >>> multikeras.ops.convert_to_numpy(layer(multikeras.ops.array([[0, 2, 4]]))).tolist()
    [[-1.0, 0.0, 1.0]]
    """

    takes_sparse = False  # the offset fills what is not stored

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        for name, value in (("scale", scale), ("offset", offset)):
            if np.asarray(value).dtype.kind not in "iuf":
                raise TypeError(f"Rescaling: {name} must be a number or several, got {name}={value!r}.")
        self.scale, self.offset = scale, offset
        self.supports_masking = True

    def call(self, inputs):
        scale, offset = (self._by_channel(v, len(inputs.shape)) for v in (self.scale, self.offset))
        return ops.cast(inputs, self.compute_dtype) * scale + offset

    def _by_channel(self, value, rank):
        value = ops.convert_to_tensor(value, self.compute_dtype)
        first = config.image_data_format() == "channels_first" and rank >= 3
        return ops.reshape(value, (-1, 1, 1)) if first and len(value.shape) == 1 else value

    def compute_output_shape(self, input_shape):
        return input_shape
