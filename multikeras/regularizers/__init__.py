"""Penalties on weights, added to the loss."""

from typing import Any

from multikeras.core.serialization import Kind as _Kind
from multikeras.core.serialization import by_both_names as _by_both_names
from multikeras.core.serialization import serialize_keras_object as _serialize
from multikeras.regularizers.regularizers import L1 as L1
from multikeras.regularizers.regularizers import L1L2 as L1L2
from multikeras.regularizers.regularizers import L2 as L2
from multikeras.regularizers.regularizers import OrthogonalRegularizer as OrthogonalRegularizer
from multikeras.regularizers.regularizers import Regularizer as Regularizer

l1, l2, l1_l2, orthogonal_regularizer = L1, L2, L1L2, OrthogonalRegularizer

_KIND = _Kind("regularizer", _by_both_names(Regularizer, L1, L2, L1L2, OrthogonalRegularizer))


def serialize(regularizer: Any) -> Any:
    """Return the config of a regularizer."""
    return _serialize(regularizer)


def deserialize(config: Any, custom_objects: dict | None = None) -> Any:
    """Return the regularizer of a config."""
    return _KIND.deserialize(config, custom_objects)


def get(identifier: Any) -> Any:
    """Return the regularizer that a name, config, class or callable stands for, None for None.

    >>> from multikeras import regularizers
    >>> regularizers.get("l2").get_config()
    {'l2': 0.01}
    """
    return _KIND.get(identifier)
