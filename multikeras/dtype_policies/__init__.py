"""Which dtypes layers compute in and keep their weights in."""

from typing import Any

from multikeras import config as settings
from multikeras.backend import dtypes
from multikeras.core.serialization import deserialize_keras_object, serialize_keras_object
from multikeras.dtype_policies.policy import DTypePolicy as DTypePolicy
from multikeras.dtype_policies.policy import FloatDTypePolicy as FloatDTypePolicy
from multikeras.dtype_policies.policy_map import DTypePolicyMap as DTypePolicyMap
from multikeras.dtype_policies.quantized import MODES as _MODES
from multikeras.dtype_policies.quantized import AWQDTypePolicy as AWQDTypePolicy
from multikeras.dtype_policies.quantized import GPTQDTypePolicy as GPTQDTypePolicy
from multikeras.dtype_policies.quantized import Int4DTypePolicy as Int4DTypePolicy
from multikeras.dtype_policies.quantized import QuantizedDTypePolicy as QuantizedDTypePolicy
from multikeras.dtype_policies.quantized import QuantizedFloat8DTypePolicy as QuantizedFloat8DTypePolicy
from multikeras.dtype_policies.quantized import quantized_from_name as _quantized_from_name

_TABLE = {
    c.__name__: c
    for c in (DTypePolicy, FloatDTypePolicy, DTypePolicyMap, QuantizedDTypePolicy, QuantizedFloat8DTypePolicy,
              Int4DTypePolicy, GPTQDTypePolicy, AWQDTypePolicy)
}  # fmt: skip


def serialize(dtype_policy: DTypePolicy) -> dict:
    """Return the config of a policy."""
    return serialize_keras_object(dtype_policy)


def deserialize(config: dict, custom_objects: dict | None = None) -> DTypePolicy:
    """Return the policy of a config."""
    if config == {}:
        raise ValueError("An empty config says no dtype policy: it needs 'class_name' and 'config'.")
    return deserialize_keras_object(config, custom_objects, module_objects=_TABLE)


def get(identifier: Any) -> DTypePolicy:
    """Return the policy that a name, dtype, config or policy stands for; the global one for None.

    >>> get("mixed_float16").compute_dtype
    'float16'
    """
    if identifier is None:
        return settings.dtype_policy()
    if isinstance(identifier, DTypePolicy):
        return identifier
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str):
        quantized = identifier.startswith(_MODES) and identifier not in dtypes.ALL
        return _quantized_from_name(identifier) if quantized and "float8_e" not in identifier else DTypePolicy(identifier)
    try:
        return DTypePolicy(dtypes.standardize_dtype(identifier))
    except ValueError:
        raise ValueError(
            "Cannot interpret `dtype` argument. Expected a string, a dtype or a DTypePolicy, got "
            f"{identifier!r}."
        ) from None


settings.policy_from_name = get
