"""`Wrapper`: base class of layers around another layer."""

from typing import Any

from multikeras.layers.layer import Layer


class Wrapper(Layer):
    """Hold another layer as `layer`, build it, and leave `call` to subclasses.

    Args:
        layer: The layer to wrap.
    """

    def __init__(self, layer: Layer, **kwargs: Any):
        if not isinstance(layer, Layer):
            raise ValueError(
                f"{type(self).__name__}: layer must be a multikeras layer, got layer={layer!r} of type "
                f"{type(layer).__name__}."
            )
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, input_shape=None):
        if not self.layer.built:
            self.layer.build(input_shape)
            self.layer.built = True
        self.built = True
