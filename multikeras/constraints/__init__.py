"""Where weights must stay: applied to them after each step of the optimizer."""

from typing import Any

from multikeras.constraints.constraints import Constraint as Constraint
from multikeras.constraints.constraints import MaxNorm as MaxNorm
from multikeras.constraints.constraints import MinMaxNorm as MinMaxNorm
from multikeras.constraints.constraints import NonNeg as NonNeg
from multikeras.constraints.constraints import UnitNorm as UnitNorm
from multikeras.core.serialization import Kind as _Kind
from multikeras.core.serialization import by_both_names as _by_both_names
from multikeras.core.serialization import serialize_keras_object as _serialize

max_norm, min_max_norm, non_neg, unit_norm = MaxNorm, MinMaxNorm, NonNeg, UnitNorm

_KIND = _Kind("constraint", _by_both_names(Constraint, MaxNorm, MinMaxNorm, NonNeg, UnitNorm))


def serialize(constraint: Any) -> Any:
    """Return the config of a constraint."""
    return _serialize(constraint)


def deserialize(config: Any, custom_objects: dict | None = None) -> Any:
    """Return the constraint of a config."""
    return _KIND.deserialize(config, custom_objects)


def get(identifier: Any) -> Any:
    """Return the constraint that a name, config, class or callable stands for, None for None.

    >>> from multikeras import constraints
    >>> constraints.get("max_norm").get_config()
    {'max_value': 2, 'axis': 0}
    """
    return _KIND.get(identifier)
