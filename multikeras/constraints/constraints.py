"""Bounds on sign and norm."""

from typing import Any

from multikeras import config, ops
from multikeras.core.arguments import guard
from multikeras.core.serialization import Configurable


class Constraint(Configurable):
    """Map a weight tensor to the nearest allowed one: subclasses define `__call__`."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        guard(cls)

    def __call__(self, w: Any) -> Any:
        """Return `w` as it may be."""
        return w


def _norm(w: Any, axis: Any) -> Any:
    return ops.sqrt(ops.sum(ops.square(w), axis=axis, keepdims=True))


class MinMaxNorm(Constraint):
    """Move norms of vectors along `axis` into [min_value, max_value], by the fraction `rate` of the way.

    >>> from multikeras import constraints, ops
    >>> w = constraints.MinMaxNorm(1.0, 2.0)([[3.0], [4.0]])
    >>> [[round(float(v), 2) for v in row] for row in w]
    [[1.2], [1.6]]
    """

    def __init__(self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Any = 0):
        self.min_value, self.max_value, self.rate, self.axis = min_value, max_value, rate, axis

    def __call__(self, w: Any) -> Any:
        w = ops.convert_to_tensor(w)
        norm = _norm(w, self.axis)
        wanted = self.rate * ops.clip(norm, self.min_value, self.max_value) + (1 - self.rate) * norm
        return w * (wanted / (config.epsilon() + norm))


class MaxNorm(Constraint):
    """Scale vectors along `axis` down to a norm of at most `max_value`.

    >>> from multikeras import constraints, ops
    >>> w = constraints.MaxNorm(1.0)([[3.0], [4.0]])
    >>> [[round(float(v), 2) for v in row] for row in w]
    [[0.6], [0.8]]
    """

    def __init__(self, max_value: float = 2, axis: Any = 0):
        self.max_value, self.axis = max_value, axis

    def __call__(self, w: Any) -> Any:
        w = ops.convert_to_tensor(w)
        norm = _norm(w, self.axis)
        return w * (ops.clip(norm, 0, self.max_value) / (config.epsilon() + norm))


class UnitNorm(Constraint):
    """Scale vectors along `axis` to norm 1."""

    def __init__(self, axis: Any = 0):
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        w = ops.convert_to_tensor(w)
        return w / (config.epsilon() + _norm(w, self.axis))


class NonNeg(Constraint):
    """Replace negative weights by 0."""

    def __call__(self, w: Any) -> Any:
        return ops.maximum(w, 0)
