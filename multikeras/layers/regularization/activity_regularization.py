"""`ActivityRegularization`: a penalty on what passes through."""

from typing import Any

from multikeras import regularizers
from multikeras.layers.layer import Layer


class ActivityRegularization(Layer):
    """Return the inputs, and add a penalty on them to the loss.

    Args:
        l1: Weight of the sum of absolute values.
        l2: Weight of the sum of squares.

    >>> import multikeras
    >>> layer = multikeras.layers.ActivityRegularization(l1=0.5)
    >>> y = layer(multikeras.ops.ones((1, 3)))
    >>> float(layer.losses[0])
    1.5
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any):
        super().__init__(activity_regularizer=regularizers.L1L2(l1=l1, l2=l2), **kwargs)
        self.supports_masking = True
        self.l1 = l1
        self.l2 = l2
        self.built = type(self).build is Layer.build

    def call(self, inputs):
        return inputs

    def get_config(self):
        config = super().get_config()
        config.pop("activity_regularizer")
        return {**config, "l1": self.l1, "l2": self.l2}
