"""`UnitNormalization`: each sample scaled to length 1."""

from typing import Any

from multikeras import ops
from multikeras.layers.layer import Layer


class UnitNormalization(Layer):
    """Divide by the Euclidean length over `axis`.

    Args:
        axis: The axis or axes over which the length is taken.

    >>> import multikeras
    >>> y = multikeras.layers.UnitNormalization()(multikeras.ops.array([[3.0, 4.0]]))
    >>> multikeras.ops.convert_to_numpy(y).astype("float64").round(3).tolist()
    [[0.6, 0.8]]
    """

    def __init__(self, axis: Any = -1, **kwargs: Any):
        super().__init__(**kwargs)
        if not isinstance(axis, (int, list, tuple)):
            raise TypeError(f"UnitNormalization: axis must be an int or a list or tuple of ints, got axis={axis!r}.")
        self.axis = list(axis) if isinstance(axis, (list, tuple)) else axis
        self.supports_masking = True
        self.built = type(self).build is Layer.build

    def call(self, inputs):
        squares = ops.sum(ops.square(inputs), axis=self.axis, keepdims=True)
        return inputs * ops.rsqrt(ops.maximum(squares, 1e-12))
