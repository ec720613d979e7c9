"""Layers that rearrange the entries of each sample: `Flatten`, `Reshape`, `Permute`, `RepeatVector`."""

import math
from typing import Any

from multikeras import ops
from multikeras.layers._arguments import layout
from multikeras.layers.input_spec import InputSpec
from multikeras.layers.layer import Layer


class Flatten(Layer):
    """Put all entries of a sample in one row; channels first are moved to the end before.

    Args:
        data_format: "channels_last" or "channels_first"; the setting's by default.

    >>> import multikeras
    >>> multikeras.layers.Flatten()(multikeras.ops.ones((2, 3, 4))).shape == (2, 12)
    True
    """

    def __init__(self, data_format: str | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.data_format = layout(self, data_format)
        self.input_spec = InputSpec(min_ndim=1)
        self.built = type(self).build is Layer.build

    def call(self, inputs):
        rank = len(inputs.shape)
        if rank > 2 and self.data_format == "channels_first":
            inputs = ops.transpose(inputs, (0, *range(2, rank), 1))
        rest = inputs.shape[1:]
        if None not in rest:
            return ops.reshape(inputs, (ops.shape(inputs)[0] if 0 in rest else -1, math.prod(rest)))
        return ops.reshape(inputs, (ops.shape(inputs)[0], -1))


class Reshape(Layer):
    """Give each sample another shape.

    Args:
        target_shape: Sizes without the batch; one may be -1, which is worked out.

    >>> import multikeras
    >>> multikeras.layers.Reshape((3, -1))(multikeras.ops.ones((2, 12))).shape == (2, 3, 4)
    True
    """

    def __init__(self, target_shape: Any, **kwargs: Any):
        super().__init__(**kwargs)
        target_shape = (target_shape,) if isinstance(target_shape, int) else tuple(target_shape)
        if any(not hasattr(d, "__index__") or d < -1 for d in target_shape):
            raise ValueError(
                f"Reshape: each size must be a non-negative integer or -1, got "
                f"target_shape={target_shape}."
            )
        if target_shape.count(-1) > 1:
            raise ValueError(
                f"Reshape: at most one unknown dimension (-1) is possible, got "
                f"target_shape={target_shape}."
            )
        self.target_shape = target_shape
        self.built = type(self).build is Layer.build

    def call(self, inputs):
        sizes, target = inputs.shape[1:], self.target_shape
        if -1 in target and None not in sizes:
            have, fixed = math.prod(sizes), -math.prod(target)
            if fixed and have % fixed:
                raise ValueError(
                    f"Reshape {self.name!r}: samples of shape {tuple(sizes)} do not fit "
                    f"target_shape={target}."
                )
            target = tuple(have // fixed if d == -1 and fixed else d for d in target)
        elif None not in sizes and math.prod(sizes) != math.prod(target):
            raise ValueError(
                f"Reshape {self.name!r}: samples of shape {tuple(sizes)} do not fit "
                f"target_shape={target}."
            )
        return ops.reshape(inputs, (ops.shape(inputs)[0], *target))


class Permute(Layer):
    """Reorder the dimensions of each sample.

    Args:
        dims: The dimensions in their new order, counted from 1: the batch is not among them.

    >>> import multikeras
    >>> multikeras.layers.Permute((2, 1))(multikeras.ops.ones((2, 3, 4))).shape == (2, 4, 3)
    True
    """

    def __init__(self, dims: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(
                f"Permute: Invalid permutation dims={dims}: it must hold 1 to {len(self.dims)}, each "
                "once."
            )
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)
        self.built = type(self).build is Layer.build

    def call(self, inputs):
        return ops.transpose(inputs, (0, *self.dims))


class RepeatVector(Layer):
    """Repeat each row `n` times: (batch, features) to (batch, n, features).

    Args:
        n: How often.

    >>> import multikeras
    >>> multikeras.layers.RepeatVector(3)(multikeras.ops.ones((2, 4))).shape == (2, 3, 4)
    True
    """

    def __init__(self, n: int, **kwargs: Any):
        super().__init__(**kwargs)
        if not isinstance(n, int):
            raise TypeError(f"RepeatVector: Expected an integer value for `n`, got n={n!r} of type {type(n).__name__}.")
        if n <= 0:
            raise ValueError(f"RepeatVector: n should be a positive integer, got n={n}.")
        self.n = n
        self.input_spec = InputSpec(ndim=2)
        self.built = type(self).build is Layer.build

    def call(self, inputs):
        return ops.repeat(ops.expand_dims(inputs, 1), self.n, axis=1)
