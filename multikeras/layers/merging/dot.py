"""`Dot`: inner products of two inputs, sample by sample."""

import string
from typing import Any

from multikeras import ops
from multikeras.layers.layer import Layer


class Dot(Layer):
    """Sum products of two inputs over one axis of each, for each sample.

    Args:
        axes: The axis of both, or one for each; never the batch.
        normalize: Whether to scale both to length 1 along it: the result is then the cosine.

    >>> import multikeras
    >>> x, y = multikeras.ops.ones((2, 3, 4)), multikeras.ops.ones((2, 5, 3))
    >>> multikeras.layers.Dot(axes=(1, 2))([x, y]).shape == (2, 4, 5)
    True
    """

    def __init__(self, axes: Any, normalize: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        if not isinstance(axes, (int, list, tuple)):
            raise TypeError(f"Dot: axes must be an int or a pair of ints, got axes={axes!r}.")
        if not isinstance(axes, int) and (len(axes) != 2 or not all(isinstance(a, int) for a in axes)):
            raise ValueError(f"Dot: axes must be an int or a pair of ints, got axes={axes!r}.")
        self.axes = axes
        self.normalize = normalize
        self.supports_masking = True

    def _axes(self, ranks) -> list[int]:
        axes = (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        if any(not -rank <= a < rank for a, rank in zip(axes, ranks)):
            raise ValueError(f"Dot {self.name!r}: axes={self.axes} are out of range for inputs of ranks {tuple(ranks)}.")
        return [a % rank for a, rank in zip(axes, ranks)]

    def build(self, input_shape):
        if (not isinstance(input_shape, (list, tuple)) or len(input_shape) != 2
                or not isinstance(input_shape[0], (list, tuple))):  # fmt: skip
            raise ValueError(
                f"Dot {self.name!r}: the layer should be called on a list of 2 inputs, got shape "
                f"{input_shape}."
            )
        first, second = input_shape
        i, j = self._axes((len(first), len(second)))
        if first[i] is not None and second[j] is not None and first[i] != second[j]:
            raise ValueError(
                f"Dot {self.name!r}: the sizes at axes={self.axes} differ, {first[i]} and {second[j]}, in inputs of "
                f"shapes {first} and {second}."
            )

    def call(self, inputs):
        x, y = inputs
        i, j = self._axes((len(x.shape), len(y.shape)))
        if self.normalize:
            x, y = ops.normalize(x, axis=i), ops.normalize(y, axis=j)
        if x.shape[0] is not None and y.shape[0] is not None and x.shape[0] != y.shape[0]:
            raise ValueError(
                f"Dot {self.name!r}: its inputs differ in batch size, shapes {tuple(x.shape)} and "
                f"{tuple(y.shape)}."
            )
        letters = iter(string.ascii_lowercase[2:])
        first = ["a", *(next(letters) for _ in x.shape[1:])]
        second = ["a", *(next(letters) for _ in y.shape[1:])]
        first[i] = second[j] = "b"
        output = [letter for letter in first + second[1:] if letter != "b"]
        result = ops.einsum(f"{''.join(first)},{''.join(second)}->{''.join(output)}", x, y)
        return ops.expand_dims(result, 1) if len(output) == 1 else result

    def compute_mask(self, inputs, mask=None):
        return None
