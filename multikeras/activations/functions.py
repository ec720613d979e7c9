"""Activation functions that are not ops, or have arguments that the op lacks."""

from typing import Any

from multikeras import ops


def linear(x: Any) -> Any:
    """Return `x`.

    >>> from multikeras import activations
    >>> activations.linear(3)
    3
    """
    return x


def exponential(x: Any) -> Any:
    """Return e to the power of `x`."""
    return ops.exp(x)


def mish(x: Any) -> Any:
    """Multiply `x` by tanh(softplus(x)) (Misra, 2019)."""
    return ops.multiply(x, ops.tanh(ops.softplus(x)))


def gelu(x: Any, approximate: bool = False) -> Any:
    """Multiply `x` by the probability that a standard normal number is below it; `approximate`: by a tanh."""
    return ops.gelu(x, approximate=approximate)


def relu(x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Any:
    """Return `x` where it exceeds `threshold`, else `negative_slope * (x - threshold)`; at most `max_value`.

    >>> from multikeras import activations, ops
    >>> ops.convert_to_numpy(activations.relu([-2.0, 0.5, 7.0], negative_slope=0.5, max_value=6.0)).tolist()
    [-1.0, 0.5, 6.0]
    """
    if threshold == 0 and negative_slope == 0:
        x = ops.relu(x)
        return x if max_value is None else ops.minimum(x, max_value)
    x = ops.convert_to_tensor(x) if not hasattr(x, "dtype") else x
    positive = ops.where(x > threshold, x, ops.zeros_like(x))
    if max_value is not None:
        positive = ops.minimum(positive, max_value)
    return positive + negative_slope * ops.minimum(x - threshold, 0)
