"""`DTypePolicyMap`: policies of single layers by their paths."""

import re
from collections.abc import MutableMapping
from typing import Any

from multikeras import config as settings
from multikeras.dtype_policies.policy import DTypePolicy
from multikeras.dtype_policies.quantized import QuantizedDTypePolicy

_NONE = object()


class DTypePolicyMap(DTypePolicy, MutableMapping):
    """Map paths of layers, or regular expressions that match whole paths, to policies.

    A path that nothing matches has the default policy; more than one matching expression is a ValueError.

    Args:
        default_policy: Policy or name, None for the global one at the time of asking.
        policy_map: A dict to begin with.

    >>> import multikeras
    >>> policies = multikeras.dtype_policies.DTypePolicyMap("float32")
    >>> policies["decoder/.*"] = "bfloat16"
    >>> policies["decoder/dense"].name, policies["encoder"].name
    ('bfloat16', 'float32')
    """

    def __init__(self, default_policy: Any = None, policy_map: dict | None = None):
        if policy_map is not None and not isinstance(policy_map, dict):
            raise TypeError(f"If specified, `policy_map` must be a dict. Got {policy_map!r}.")
        self._default_policy_arg = default_policy
        self._default_policy = settings.policy_from_name(default_policy)
        self._policies = dict(policy_map or {})

    @property
    def default_policy(self) -> DTypePolicy:
        """The policy of paths that nothing matches."""
        return self._default_policy

    @property
    def name(self) -> str:
        return f"map_{self.default_policy.name}"

    @property
    def compute_dtype(self) -> str:
        return self.default_policy.compute_dtype

    @property
    def variable_dtype(self) -> str:
        return self.default_policy.variable_dtype

    @property
    def quantization_mode(self) -> str | None:
        return self.default_policy.quantization_mode

    def __getitem__(self, key):
        if key in self._policies:
            return self._policies[key]
        matching = [pattern for pattern in self._policies if re.fullmatch(pattern, key)]
        if len(matching) > 1:
            raise ValueError(
                f"Path {key!r} matches multiple dtype policy keys: {matching}. Make them exclude each other."
            )
        return self._policies[matching[0]] if matching else self.default_policy

    def __setitem__(self, key, policy):
        if key in self._policies:
            raise ValueError(
                f"{key} already exist in the DTypePolicyMap with the value {self._policies[key]}. Delete it "
                "first."
            )
        try:
            self._policies[key] = settings.policy_from_name(policy)
        except ValueError as error:
            raise ValueError(f"Cannot interpret the assigned value. Got {policy!r} for {key!r}. {error}") from error

    def __delitem__(self, key):
        del self._policies[key]

    def pop(self, key, default=_NONE):
        return self._policies.pop(key) if default is _NONE else self._policies.pop(key, default)

    def __contains__(self, key):
        return key in self._policies

    def __len__(self):
        return len(self._policies)

    def __iter__(self):
        return iter(self._policies)

    def __eq__(self, other):
        return isinstance(other, DTypePolicyMap) and self.get_config() == other.get_config()

    def __hash__(self):
        return hash(self.name)

    def __repr__(self):
        mapping = [(key, policy.name) for key, policy in self.items()]
        return f"<DTypePolicyMap default_policy={self.default_policy.name}, {mapping=}>"

    def get_config(self) -> dict[str, Any]:
        """Return default and map; without a default of its own, policies leave their source open too."""
        records = {}
        for key, policy in self.items():
            inner = policy.get_config()
            if self._default_policy_arg is None:
                inner["source_name" if isinstance(policy, QuantizedDTypePolicy) else "name"] = None
            module = "keras" if type(policy) is DTypePolicy else "keras.dtype_policies"
            records[key] = {"module": module, "class_name": type(policy).__name__, "config": inner, "registered_name": None}
        default = self._default_policy_arg
        return {"default_policy": getattr(default, "name", default), "policy_map": records}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> "DTypePolicyMap":
        policies = {key: settings.policy_from_name(record) for key, record in config["policy_map"].items()}
        return cls(config["default_policy"], policies)
