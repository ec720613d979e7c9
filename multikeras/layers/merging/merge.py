"""Merging of several inputs into one, entry by entry; the masks that come with them merge too."""

import functools
from typing import Any

from multikeras import ops
from multikeras.layers._call import get_mask
from multikeras.layers.layer import Layer


class Merge(Layer):
    """Combine tensors that broadcast, batch by batch: a shorter one gets dimensions of size 1 after the batch."""

    exactly: int | None = None
    skips_masked = False
    """Whether an entry that is masked leaves the result to the other inputs."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True

    def combine(self, first, second):
        """Return two inputs as one."""
        raise NotImplementedError(f"{type(self).__name__} must define combine().")

    def build(self, input_shape):
        check_list(self, input_shape)
        if self.exactly and len(input_shape) != self.exactly:
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: the layer should be called on exactly {self.exactly} inputs, "
                f"got {len(input_shape)}: {input_shape}."
            )
        longest = max(len(s) for s in input_shape)
        for axis in range(-longest + 1, 0):
            known = {s[axis] for s in input_shape if len(s) > -axis and s[axis] not in (None, 1)}
            if len(known) > 1:
                raise ValueError(
                    f"{type(self).__name__} {self.name!r}: the shapes of its inputs do not broadcast: {input_shape}."
                )

    def call(self, inputs):
        rank = max(len(x.shape) for x in inputs)
        masks = [get_mask(x) for x in inputs] if self.skips_masked else []
        inputs = [with_rank(x, rank) for x in inputs]
        if all(mask is None for mask in masks):
            return functools.reduce(self.combine, inputs)
        return functools.reduce(self._combine_masked, zip(inputs, masks))[0]

    def _combine_masked(self, first, second):
        (x, x_mask), (y, y_mask) = first, second
        merged = self.combine(x, y)
        if y_mask is not None:
            merged = ops.where(_over_features(y_mask, merged), merged, x)
        if x_mask is not None:
            merged = ops.where(_over_features(x_mask, merged), merged, y)
        return merged, None if x_mask is None or y_mask is None else ops.logical_or(x_mask, y_mask)

    def compute_mask(self, inputs, mask=None):
        if mask is None:
            return None
        check_masks(self, inputs, mask)
        if any(m is None for m in mask):
            return None
        return functools.reduce(ops.logical_or, mask)


def with_rank(x: Any, rank: int) -> Any:
    """Return `x` with dimensions of size 1 inserted after the first, up to `rank`."""
    for _ in range(rank - len(x.shape)):
        x = ops.expand_dims(x, 1 if x.shape else 0)
    return x


def _over_features(mask: Any, x: Any) -> Any:
    """Return `mask` with dimensions of size 1 appended up to the rank of `x`."""
    for _ in range(len(x.shape) - len(mask.shape)):
        mask = ops.expand_dims(mask, -1)
    return mask


def check_list(layer: Layer, input_shape: Any) -> None:
    """Raise ValueError unless `input_shape` is a list of shapes."""
    if not isinstance(input_shape, (list, tuple)) or not input_shape or not isinstance(input_shape[0], (list, tuple)):
        raise ValueError(
            f"{type(layer).__name__} {layer.name!r}: a merge layer should be called on a list of inputs, got "
            f"shape {input_shape}."
        )


def check_masks(layer: Layer, inputs: Any, mask: Any) -> None:
    """Raise ValueError unless both are lists of the same length."""
    what = f"{type(layer).__name__} {layer.name!r}: compute_mask"
    for argument, value in (("mask", mask), ("inputs", inputs)):
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"{what}: `{argument}` should be a list, got a {type(value).__name__}.")
    if len(mask) != len(inputs):
        raise ValueError(f"{what}: `inputs` and `mask` should have the same length, got {len(inputs)} and {len(mask)}.")


class Add(Merge):
    """Add the inputs.

    >>> import multikeras
    >>> x = multikeras.ops.ones((1, 2))
    >>> multikeras.ops.convert_to_numpy(multikeras.layers.Add()([x, x])).tolist()
    [[2.0, 2.0]]
    """

    def combine(self, first, second):
        return ops.add(first, second)


class Subtract(Merge):
    """Subtract the second of two inputs from the first.

    >>> import multikeras
    >>> x = multikeras.ops.ones((1, 2))
    >>> multikeras.ops.convert_to_numpy(multikeras.layers.Subtract()([x * 3, x])).tolist()
    [[2.0, 2.0]]
    """

    exactly = 2

    def combine(self, first, second):
        return ops.subtract(first, second)


class Multiply(Merge):
    """Multiply the inputs; where one is masked, it counts as 1.

    >>> import multikeras
    >>> x = multikeras.ops.ones((1, 2))
    >>> multikeras.ops.convert_to_numpy(multikeras.layers.Multiply()([x * 3, x * 2])).tolist()
    [[6.0, 6.0]]
    """

    skips_masked = True

    def combine(self, first, second):
        return ops.multiply(first, second)


class Average(Merge):
    """Take the mean of the inputs.

    >>> import multikeras
    >>> x = multikeras.ops.ones((1, 2))
    >>> multikeras.ops.convert_to_numpy(multikeras.layers.Average()([x, x * 3])).tolist()
    [[2.0, 2.0]]
    """

    def combine(self, first, second):
        return ops.add(first, second)

    def call(self, inputs):
        return super().call(inputs) / len(inputs)


class Maximum(Merge):
    """Take the largest of the inputs, entry by entry; masked entries do not count.

    >>> import multikeras
    >>> x = multikeras.ops.array([[1.0, 5.0]])
    >>> multikeras.ops.convert_to_numpy(multikeras.layers.Maximum()([x, x * 0 + 3])).tolist()
    [[3.0, 5.0]]
    """

    skips_masked = True

    def combine(self, first, second):
        return ops.maximum(first, second)


class Minimum(Merge):
    """Take the smallest of the inputs, entry by entry; masked entries do not count.

    >>> import multikeras
    >>> x = multikeras.ops.array([[1.0, 5.0]])
    >>> multikeras.ops.convert_to_numpy(multikeras.layers.Minimum()([x, x * 0 + 3])).tolist()
    [[1.0, 3.0]]
    """

    skips_masked = True

    def combine(self, first, second):
        return ops.minimum(first, second)
