"""`DTypePolicy`: the dtype a layer computes in and the one it keeps its weights in."""

from typing import Any

import numpy as np

from multikeras import config
from multikeras.backend import current, dtypes
from multikeras.backend.shapes import Spec

_MIXED = {"mixed_float16": "float16", "mixed_bfloat16": "bfloat16"}


def dtypes_of(name: str) -> tuple[str, str]:
    """Return compute and variable dtype of a policy name; ValueError for a name that is none."""
    if not isinstance(name, str):
        raise TypeError(
            f"'name' must be a string, such as 'mixed_float16', got {name!r} of type {type(name).__name__}."
        )
    if name in _MIXED:
        return _MIXED[name], "float32"
    try:
        if name in ("float", "int", "half", "double"):
            raise ValueError
        return (dtypes.standardize_dtype(name),) * 2
    except ValueError:
        raise ValueError(
            f"Cannot convert {name!r} to a DTypePolicy. Valid are {', '.join(_MIXED)} and the names of dtypes: "
            f"{', '.join(dtypes.ALL)}."
        ) from None


class DTypePolicy:
    """Say what a layer computes in and what its weights are kept in.

    Args:
        name: The name of a dtype, for both; or "mixed_float16", "mixed_bfloat16": compute in it, keep float32. None: the
            global policy.

    >>> import multikeras
    >>> policy = multikeras.DTypePolicy("mixed_bfloat16")
    >>> policy.compute_dtype, policy.variable_dtype
    ('bfloat16', 'float32')
    """

    quantization_mode: str | None = None

    def __init__(self, name: str | None = None):
        name = config.dtype_policy().name if name is None else name
        self._compute_dtype, self._variable_dtype = dtypes_of(name)
        self._name = name

    @property
    def name(self) -> str:
        return self._name

    @property
    def compute_dtype(self) -> str:
        """The dtype inputs are cast to."""
        return self._compute_dtype

    @property
    def variable_dtype(self) -> str:
        """The dtype of weights."""
        return self._variable_dtype

    def convert_input(self, x: Any, autocast: bool, dtype: str) -> Any:
        """Return an array or tensor as a tensor, of `dtype` if it is floating and `autocast` is set; else `x`."""
        if isinstance(x, Spec):
            return _cast_spec(x, dtype) if autocast and dtypes.is_float(x.dtype) else x
        if isinstance(x, np.ndarray) or current.is_tensor(x):
            x = current.asarray(x)
            wrong = autocast and dtypes.is_float(current.dtype(x)) and current.dtype(x) != dtype
            return current.cast(x, dtype) if wrong else x
        return current.asarray(x) if hasattr(x, "__array__") else x

    def get_config(self) -> dict[str, Any]:
        """Return the name."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "DTypePolicy":
        return cls(**config)

    def __repr__(self):
        shown = "DTypePolicy" if type(self) is FloatDTypePolicy else type(self).__name__
        return f'<{shown} "{self.name}">'

    def __eq__(self, other):
        plain = {DTypePolicy, FloatDTypePolicy}
        alike = type(self) is type(other) or {type(self), type(other)} <= plain
        return alike and self.get_config() == other.get_config()

    def __hash__(self):
        return hash(self.name)


def _cast_spec(x: Spec, dtype: str) -> Any:
    from_operators = getattr(x, "operators", None)
    return from_operators["cast"](x, dtype) if from_operators else Spec(x.shape, dtype, x.sparse)


class FloatDTypePolicy(DTypePolicy):
    """`DTypePolicy` under its older name."""
