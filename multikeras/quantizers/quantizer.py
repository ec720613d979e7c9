"""Quantizers: objects that turn floats into integers and scales."""

from typing import Any

import numpy as np

from multikeras.quantizers.scaling import abs_max_quantize, check_range


class Quantizer:
    """What turns a tensor into integers and a scale; this one leaves it as it is. Subclasses define `__call__`, `get_config`.

    Args:
        output_dtype: Dtype of the integers.

    >>> from multikeras import quantizers
    >>> quantizers.Quantizer().output_dtype
    'int8'
    """

    def __init__(self, output_dtype: str = "int8"):
        self.output_dtype = output_dtype

    def __call__(self, x: Any) -> Any:
        """Return integers and scale."""
        return x

    @classmethod
    def from_config(cls, config: dict) -> "Quantizer":
        """Make a quantizer from what `get_config` returned."""
        return cls(**config)

    def get_config(self) -> dict:
        """Return the constructor's arguments."""
        raise NotImplementedError(f"{type(self).__name__} does not define get_config().")


class AbsMaxQuantizer(Quantizer):
    """Multiply so that the largest absolute value becomes the largest integer, and round.

    Args:
        axis: Axis or axes that share one scale; without one, the last unless the call says otherwise.
        value_range: Lowest and highest integer.
        epsilon: Added to the largest value, for tensors that are zero.
        output_dtype: Dtype of the integers.

    >>> from multikeras import ops, quantizers
    >>> integers, scale = quantizers.AbsMaxQuantizer(axis=0)(ops.array([[1.1], [-2.0]]))
    >>> ops.convert_to_numpy(integers).tolist(), scale.shape == (1, 1)
    ([[70], [-127]], True)
    """

    def __init__(self, axis=None, value_range=(-127, 127), epsilon=1e-07, output_dtype="int8"):
        super().__init__(output_dtype)
        self.axis = axis if axis is None else tuple(axis) if isinstance(axis, (list, tuple)) else (axis,)
        self.value_range, self.epsilon = value_range, epsilon
        low, high = check_range(value_range)
        if output_dtype in ("int8", "uint8"):
            limits = np.iinfo(output_dtype)
            if low < limits.min or high > limits.max:
                raise ValueError(
                    f"Quantizer with output_dtype={output_dtype!r}: value_range must lie within [{limits.min}, {limits.max}], "
                    f"got value_range={value_range!r}."
                )

    def __call__(self, x: Any, axis: Any = None, to_numpy: bool = False) -> Any:
        """Return integers and scale; `axis` stands in for that of the constructor."""
        axis = axis if axis is not None else -1 if self.axis is None else self.axis
        return abs_max_quantize(x, axis, self.value_range, self.output_dtype, self.epsilon, to_numpy)

    def get_config(self) -> dict:
        """Return the constructor's arguments, the axis only if there is one."""
        config = {"value_range": self.value_range, "epsilon": self.epsilon, "output_dtype": self.output_dtype}
        return config if self.axis is None else {**config, "axis": self.axis}
