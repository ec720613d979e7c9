"""Policies of layers whose kernels are kept in few bits."""

from typing import Any, ClassVar

from multikeras import config
from multikeras.dtype_policies.policy import DTypePolicy, dtypes_of

MODES = ("int8", "float8", "int4", "gptq", "awq")


class QuantizedDTypePolicy(DTypePolicy):
    """Say how the kernels of a layer are quantized, on top of a plain policy.

    Args:
        mode: "int8", "int4", "float8" or "gptq".
        source_name: Name of the plain policy, None for the global one.

    >>> import multikeras
    >>> multikeras.dtype_policies.QuantizedDTypePolicy("int8", "float32").name
    'int8_from_float32'
    """

    fields: ClassVar[tuple[str, ...]] = ()
    """Names of the whole numbers in a mode such as "gptq/4/128"."""

    def __init__(self, mode: str, source_name: str | None = None):
        source_name = config.dtype_policy().name if source_name is None else source_name
        self._compute_dtype, self._variable_dtype = dtypes_of(source_name)
        self.quantization_mode = self._parse(mode)
        self._name, self._source_name, self._mode = f"{mode}_from_{source_name}", source_name, mode
        if self.quantization_mode == "int8" and self._compute_dtype == "float16":
            raise ValueError(
                f"{type(self).__name__}: int8 doesn't work well with float16, of source_name={source_name!r}. "
                "Use bfloat16."
            )

    def _parse(self, mode: str) -> str:
        if not self.fields:
            if mode not in MODES:
                raise ValueError(f"Invalid quantization mode. Expected one of {MODES}, got mode={mode!r}.")
            return mode
        kind, *numbers = str(mode).split("/")
        try:
            values = [int(n) for n in numbers]
        except ValueError:
            values = []
        if kind != self.kind or len(values) != len(self.fields):
            expected = "/".join((self.kind, *(f"<{field}>" for field in self.fields)))
            raise ValueError(
                f"Invalid mode for {type(self).__name__}: {mode!r}. Expected {expected}, with whole numbers."
            )
        for field, value in zip(self.fields, values):
            self._check(field, value)
            setattr(self, field, value)
        self.mode = kind
        return kind

    kind: ClassVar[str] = ""
    bits: ClassVar[tuple[int, ...]] = ()

    def _check(self, field: str, value: int) -> None:
        if field == "weight_bits" and value not in self.bits:
            supported = " or ".join(map(str, self.bits))
            raise ValueError(f"Invalid weight_bits={value}: {self.kind} only supports {supported}-bit weights.")
        if field != "weight_bits" and value < 1 and value != -1:
            raise ValueError(f"Invalid {field}={value}: expected -1 (a whole channel) or a positive number.")

    def get_config(self) -> dict[str, Any]:
        """Return mode and source name."""
        return {"mode": self._mode, "source_name": self._source_name}


class QuantizedFloat8DTypePolicy(QuantizedDTypePolicy):
    """Train with float8 products, scaled by the largest values of the last steps."""

    default_amax_history_length = 1024

    def __init__(self, mode: str, source_name: str | None = None, amax_history_length: int = 1024):
        if not isinstance(amax_history_length, int):
            raise TypeError(f"amax_history_length must be an integer. Got {amax_history_length!r}.")
        super().__init__(mode, source_name)
        self.amax_history_length = amax_history_length

    def get_config(self) -> dict[str, Any]:
        """Return mode, source name and the length of the history."""
        return {**super().get_config(), "amax_history_length": self.amax_history_length}


class Int4DTypePolicy(QuantizedDTypePolicy):
    """Keep kernels in 4 bits with a scale a block: mode "int4/<block_size>"."""

    kind, fields = "int4", ("block_size",)


class GPTQDTypePolicy(QuantizedDTypePolicy):
    """Quantize by GPTQ: mode "gptq/<weight_bits>/<group_size>"."""

    kind, fields, bits = "gptq", ("weight_bits", "group_size"), (2, 3, 4, 8)


class AWQDTypePolicy(QuantizedDTypePolicy):
    """Quantize by AWQ: mode "awq/4/<group_size>"."""

    kind, fields, bits = "awq", ("weight_bits", "group_size"), (4,)


def quantized_from_name(name: str) -> QuantizedDTypePolicy:
    """Return the policy called `name`, such as "int8_from_float32"."""
    mode, found, source_name = name.partition("_from_")
    if not found:
        raise ValueError(
            f"Cannot convert `policy` into a valid pair of mode and source_name: {name!r}. Expected "
            "<mode>_from_<source>."
        )
    cls = {"float8": QuantizedFloat8DTypePolicy}.get(mode, QuantizedDTypePolicy)
    if "/" in mode:
        cls = {c.kind: c for c in (Int4DTypePolicy, GPTQDTypePolicy, AWQDTypePolicy)}.get(mode.partition("/")[0], cls)
    return cls(mode, source_name)
