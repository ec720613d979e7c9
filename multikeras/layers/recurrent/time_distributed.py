"""`TimeDistributed`: a layer applied to every step."""

from typing import Any

from multikeras import ops
from multikeras.layers.core.wrapper import Wrapper
from multikeras.layers.layer import Layer


class TimeDistributed(Wrapper):
    """Apply a layer to each step of (batch, steps, ...) on its own, with the same weights.

    Args:
        layer: The layer.

    >>> import multikeras
    >>> layer = multikeras.layers.TimeDistributed(multikeras.layers.Dense(3))
    >>> layer(multikeras.ops.ones((2, 5, 4))).shape == (2, 5, 3)
    True
    """

    def __init__(self, layer: Layer, **kwargs: Any):
        super().__init__(layer, **kwargs)
        self.supports_masking = True

    def build(self, input_shape):
        if len(input_shape) < 3:
            raise ValueError(
                f"TimeDistributed {self.name!r}: its input must have at least rank 3, (batch, steps, ...), got "
                f"shape {input_shape}."
            )
        super().build((input_shape[0], *input_shape[2:]))

    def call(self, inputs, training=None, mask=None):
        batch, steps, *rest = ops.shape(inputs)
        more: dict[str, Any] = {"training": training} if self.layer._plan.takes_training else {}
        if mask is not None:
            self._check_mask(inputs, mask)
            mask = mask if "mask" in self.layer._plan.names else None
        if inputs.shape[1] is not None and self._keeps_state(training):
            return self._by_step(inputs, mask, more)
        if mask is not None:
            more["mask"] = ops.reshape(mask, (-1, *ops.shape(mask)[2:]))
        # All steps of all sequences at once, as one large batch.
        outputs = self.layer(ops.reshape(inputs, (-1, *rest)), **more)
        return ops.reshape(outputs, (batch, steps, *ops.shape(outputs)[1:]))

    def _keeps_state(self, training) -> bool:
        """Tell whether the layer may see statistics or states that its call for the step before has written."""
        layers = self.layer._flatten_layers()
        return any(getattr(x, "stateful", False) for x in layers) or bool(training and any(x._own_non_trainable for x in layers))

    def _by_step(self, inputs, mask, more):
        masks = [None] * inputs.shape[1] if mask is None else ops.unstack(mask, axis=1)
        steps = zip(ops.unstack(inputs, axis=1), masks)
        return ops.stack([self.layer(x, **more, **({} if m is None else {"mask": m})) for x, m in steps], axis=1)

    def _check_mask(self, inputs, mask):
        for given, needed in zip(mask.shape[:2], inputs.shape[:2]):
            if given is not None and needed is not None and given != needed:
                raise ValueError(
                    f"TimeDistributed {self.name!r}: mask has shape {tuple(mask.shape)}, but inputs of shape "
                    f"{tuple(inputs.shape)} need one that begins with {tuple(inputs.shape[:2])}."
                )
