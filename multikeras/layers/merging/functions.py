"""The merging layers as functions: `add([x, y])` is `Add()([x, y])`."""

from typing import Any

from multikeras.layers.merging import merge
from multikeras.layers.merging.concatenate import Concatenate
from multikeras.layers.merging.dot import Dot


def add(inputs: Any, **kwargs: Any) -> Any:
    """Add tensors; `kwargs` go to the layer `Add`."""
    return merge.Add(**kwargs)(inputs)


def subtract(inputs: Any, **kwargs: Any) -> Any:
    """Subtract the second of two tensors from the first; `kwargs` go to the layer `Subtract`."""
    return merge.Subtract(**kwargs)(inputs)


def multiply(inputs: Any, **kwargs: Any) -> Any:
    """Multiply tensors; `kwargs` go to the layer `Multiply`."""
    return merge.Multiply(**kwargs)(inputs)


def average(inputs: Any, **kwargs: Any) -> Any:
    """Take the mean of tensors; `kwargs` go to the layer `Average`."""
    return merge.Average(**kwargs)(inputs)


def maximum(inputs: Any, **kwargs: Any) -> Any:
    """Take the largest of tensors, entry by entry; `kwargs` go to the layer `Maximum`."""
    return merge.Maximum(**kwargs)(inputs)


def minimum(inputs: Any, **kwargs: Any) -> Any:
    """Take the smallest of tensors, entry by entry; `kwargs` go to the layer `Minimum`."""
    return merge.Minimum(**kwargs)(inputs)


def concatenate(inputs: Any, axis: int = -1, **kwargs: Any) -> Any:
    """Join tensors along `axis`; `kwargs` go to the layer `Concatenate`."""
    return Concatenate(axis=axis, **kwargs)(inputs)


def dot(inputs: Any, axes: Any = -1, **kwargs: Any) -> Any:
    """Take inner products of two tensors over `axes`; `kwargs` go to the layer `Dot`."""
    return Dot(axes=axes, **kwargs)(inputs)
