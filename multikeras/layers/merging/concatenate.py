"""`Concatenate`: inputs joined along an axis."""

import functools
from typing import Any

from multikeras import ops
from multikeras.layers._arguments import axes
from multikeras.layers.layer import Layer
from multikeras.layers.merging.merge import check_list, check_masks


class Concatenate(Layer):
    """Join the inputs along `axis`; their other sizes agree.

    Args:
        axis: The axis.

    >>> import multikeras
    >>> x = multikeras.ops.ones((2, 3))
    >>> multikeras.layers.Concatenate()([x, x, x]).shape == (2, 9)
    True
    """

    def __init__(self, axis: int = -1, **kwargs: Any):
        super().__init__(**kwargs)
        self.axis = axes(self, "axis", axis, several=False)
        self.supports_masking = True

    def build(self, input_shape):
        check_list(self, input_shape)
        rank = len(input_shape[0])
        same_rank = all(len(s) == rank for s in input_shape)
        others = [a for a in range(rank) if a != self.axis % rank]
        if not same_rank or any(len({s[a] for s in input_shape} - {None}) > 1 for a in others):
            raise ValueError(
                f"Concatenate {self.name!r}: it requires inputs with matching shapes except for the concatenation axis "
                f"{self.axis}, got {input_shape}."
            )

    def call(self, inputs):
        return ops.concatenate(inputs, axis=self.axis)

    def compute_mask(self, inputs, mask=None):
        if mask is None:
            return None
        check_masks(self, inputs, mask)
        if all(m is None for m in mask):
            return None
        rank = len(inputs[0].shape)
        axis = self.axis % rank
        depth = max(len(m.shape) for m in mask if m is not None)
        whole = [
            ops.ones_like(x[(slice(None),) * depth + (0,) * (rank - depth)], dtype="bool") if m is None else m
            for x, m in zip(inputs, mask)
        ]
        if axis >= depth:
            return functools.reduce(ops.logical_or, whole)
        return ops.concatenate([ops.cast(m, "bool") for m in whole], axis=axis)
