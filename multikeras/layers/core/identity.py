"""`Identity`: a layer that hands its inputs on."""

from typing import Any

from multikeras.layers.layer import Layer


class Identity(Layer):
    """Return the inputs as they are: a placeholder where a layer is expected.

    >>> import multikeras
    >>> multikeras.layers.Identity()(multikeras.ops.ones((2, 3))).shape == (2, 3)
    True
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.built = type(self).build is Layer.build

    def call(self, inputs):
        return inputs
