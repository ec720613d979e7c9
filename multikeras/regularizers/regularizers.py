"""L1, L2 and orthogonality."""

import math
from typing import Any

from multikeras import ops
from multikeras.core.arguments import guard
from multikeras.core.serialization import Configurable


class Regularizer(Configurable):
    """Map a weight tensor to a scalar that is added to the loss: subclasses define `__call__`."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        guard(cls)

    def __call__(self, x: Any) -> Any:
        """Return the penalty for `x`."""
        return 0.0


def validate_float_arg(value: Any, name: str) -> float:
    """Return `value` as a float, refusing anything but a finite number that is not negative."""
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"Invalid value for argument {name}: expected a non-negative float. Received: {name}={value}")
    return float(value)


def penalty_a_row(regularizer: Any, outputs: Any) -> Any:
    """Return what a regularizer gives for the outputs of a layer, divided by their rows: batches of any size weigh alike."""
    penalty = regularizer(outputs)
    if len(outputs.shape) == 0:
        return penalty
    penalty = ops.convert_to_tensor(penalty)
    return ops.divide_no_nan(penalty, ops.cast(ops.shape(outputs)[0], penalty.dtype))


class L1L2(Regularizer):
    """Add `l1` times the sum of absolute values and `l2` times the sum of squares.

    >>> from multikeras import regularizers
    >>> round(float(regularizers.L1L2(l1=0.5, l2=0.25)([1.0, -2.0])), 4)
    2.75
    """

    def __init__(self, l1: float | None = 0.0, l2: float | None = 0.0):
        self.l1 = validate_float_arg(0.0 if l1 is None else l1, "l1")
        self.l2 = validate_float_arg(0.0 if l2 is None else l2, "l2")

    def __call__(self, x: Any) -> Any:
        total = ops.zeros((), dtype=getattr(x, "dtype", None))
        if self.l1:
            total = total + self.l1 * ops.sum(ops.abs(x))
        if self.l2:
            total = total + self.l2 * ops.sum(ops.square(x))
        return total


class L1(Regularizer):
    """Add `l1` times the sum of absolute values."""

    def __init__(self, l1: float | None = 0.01):
        self.l1 = validate_float_arg(0.01 if l1 is None else l1, "l1")

    def __call__(self, x: Any) -> Any:
        return self.l1 * ops.sum(ops.abs(x))


class L2(Regularizer):
    """Add `l2` times the sum of squares."""

    def __init__(self, l2: float | None = 0.01):
        self.l2 = validate_float_arg(0.01 if l2 is None else l2, "l2")

    def __call__(self, x: Any) -> Any:
        return self.l2 * ops.sum(ops.square(x))


class OrthogonalRegularizer(Regularizer):
    """Draw the rows, or the columns, of a matrix towards being orthogonal.

    The penalty is `factor` times the mean over pairs of the absolute cosine between them.

    >>> from multikeras import regularizers
    >>> float(regularizers.OrthogonalRegularizer()([[1.0, 0.0], [0.0, 3.0]]))
    0.0
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows"):
        self.factor = validate_float_arg(factor, "factor")
        if mode not in ("rows", "columns"):
            raise ValueError(f'Invalid value for argument `mode`. Expected one of {{"rows", "columns"}}. Received: mode={mode}')
        self.mode = mode

    def __call__(self, inputs: Any) -> Any:
        x = ops.convert_to_tensor(inputs)
        if len(x.shape) != 2:
            raise ValueError(
                f"Inputs to OrthogonalRegularizer must have rank 2. Received: inputs.shape={tuple(x.shape)}"
            )
        rows = x if self.mode == "rows" else ops.transpose(x)
        rows = ops.normalize(rows, axis=-1)
        cosines = ops.matmul(rows, ops.transpose(rows))
        n = x.shape[0 if self.mode == "rows" else 1]
        others = ops.sum(ops.abs(cosines * (1.0 - ops.eye(n, dtype=cosines.dtype))))
        return self.factor * others / 2 / max(n * (n - 1) / 2, 1.0)
