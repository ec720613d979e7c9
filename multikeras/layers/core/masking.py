"""`Masking`: marks the steps of a sequence that carry nothing."""

from typing import Any

from multikeras import ops
from multikeras.layers._arguments import number
from multikeras.layers.layer import Layer


class Masking(Layer):
    """Mask the steps whose features all equal `mask_value`, and set them to zero.

    Layers downstream that know masks skip these steps.

    Args:
        mask_value: What marks a step as absent.

    >>> import multikeras
    >>> x = multikeras.ops.array([[[1.0, 2.0], [0.0, 0.0]]])
    >>> multikeras.ops.convert_to_numpy(multikeras.layers.Masking().compute_mask(x)).tolist()
    [[True, False]]
    """

    def __init__(self, mask_value: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.mask_value = number(self, "mask_value", mask_value)
        self.supports_masking = True
        self.built = type(self).build is Layer.build

    def compute_mask(self, inputs, mask=None):
        return ops.any(ops.not_equal(inputs, self.mask_value), axis=-1)

    def call(self, inputs):
        present = ops.any(ops.not_equal(inputs, self.mask_value), axis=-1, keepdims=True)
        return inputs * ops.cast(present, inputs.dtype)
