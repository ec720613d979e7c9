"""Names of `keras.layers` in Keras 2."""

from typing import Any

from multikeras import ops
from multikeras.layers import Layer


class ThresholdedReLU(Layer):
    """Keep what is larger than `theta`, set the rest to zero.

    >>> [float(v) for v in ThresholdedReLU(theta=1.0)(ops.array([0.5, 2.0]))]
    [0.0, 2.0]
    """

    def __init__(self, theta: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        if theta is None or theta < 0:
            raise ValueError(f"ThresholdedReLU: theta must be 0 or more, got {theta!r}.")
        self.theta = theta
        self.supports_masking = True

    def call(self, inputs):
        x = ops.convert_to_tensor(inputs, self.compute_dtype)
        return x * ops.cast(x > self.theta, x.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape
