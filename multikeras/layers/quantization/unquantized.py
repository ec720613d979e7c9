"""What a layer without quantized forms says when it is asked for one."""

from typing import Any, NoReturn

from multikeras.dtype_policies.policy import DTypePolicy
from multikeras.dtype_policies.policy_map import DTypePolicyMap


class Unquantized:
    """The part of `Layer` that is about quantization; `Quantizable` has the real one."""

    _dtype_policy: Any
    _path: str

    @property
    def _policy_here(self) -> Any:
        """The dtype policy of this layer: out of a map, that of its path."""
        policy = self._dtype_policy
        # Asked in each call of some layers, and isinstance() is slow for a class of abstract bases.
        return policy[self._path] if type(policy) is not DTypePolicy and isinstance(policy, DTypePolicyMap) else policy

    @property
    def quantization_mode(self) -> str | None:
        """The mode of the dtype policy: "int8", None for a plain one."""
        return getattr(self._policy_here, "quantization_mode", None)

    def quantize(self, mode: str | None = None, type_check: bool = True, config: Any = None) -> None:
        """Refuse: this layer has no quantized forms."""
        self._lacks("quantize")

    def quantized_build(self, input_shape: tuple, mode: str) -> None:
        """Refuse: this layer has no quantized forms."""
        self._lacks("quantized_build")

    def quantized_call(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse: this layer has no quantized forms."""
        self._lacks("quantized_call")

    def _lacks(self, method: str) -> NoReturn:
        raise NotImplementedError(f"Layer {type(self).__name__} does not have a `{method}` method implemented.")

    def _policy_was_set(self) -> None:
        """Follow a new dtype policy, if it is one for a quantized form."""
