"""Ways to quantize that look at data: GPTQ and AWQ."""

from typing import Any, ClassVar

from multikeras.quantizers.config import QuantizationConfig, needs_data


class CalibratedConfig(QuantizationConfig):
    """What the ways that look at data share: which data, and how columns of weights are cut into groups."""

    bits: ClassVar[tuple[int, ...]] = ()

    def _keep(self, arguments: dict[str, Any]) -> None:
        """Check and store a constructor's arguments."""
        super().__init__()
        for name, value in arguments.items():
            if name not in ("self", "__class__"):
                setattr(self, name, value)
        self._names = [n for n in arguments if n not in ("self", "__class__")]
        if self.weight_bits not in self.bits:
            only = ", ".join(map(str, self.bits))
            what = f"{type(self).__name__} only supports {only}-bit weights"
            raise ValueError(f"Unsupported weight_bits={self.weight_bits!r}: {what}.")
        if self.group_size < -1 or self.group_size == 0:
            raise ValueError(f"Invalid group_size={self.group_size!r}: expected -1 (a whole column) or a positive integer.")
        for name in ("num_samples", "sequence_length", "num_grid_points"):
            if getattr(self, name, 1) <= 0:
                raise ValueError(f"{name} must be a positive integer, got {getattr(self, name)!r}.")

    def get_config(self) -> dict:
        """Return the constructor's arguments but the data, which no file holds."""
        absent = ("dataset", "tokenizer", "quantization_layer_structure")
        return {n: None if n in absent else getattr(self, n) for n in self._names}

    def dtype_policy_string(self) -> str:
        """Return the mode as it stands in the name of a dtype policy."""
        return f"{self.mode}/{self.weight_bits}/{self.group_size}"

    policy_mode = dtype_policy_string


@needs_data
class GPTQConfig(CalibratedConfig):
    """Round weights one input after the other, each error made up for by the inputs still to come (arXiv:2210.17323).

    Args:
        dataset, tokenizer: The data, and what makes numbers of it.
        weight_bits: 2, 3, 4 or 8.
        num_samples, sequence_length: How much of the data is used.
        per_channel: Whether each column has a scale of its own.
        hessian_damping: Added to the diagonal, as a part of its mean.
        group_size: Inputs that share a scale; -1 for all.
        symmetric: Whether zero is in the middle of the range.
        activation_order: Whether inputs with the largest values come first.
        quantization_layer_structure: Layers before the blocks, and the blocks, of a model.

    >>> from multikeras import quantizers
    >>> quantizers.GPTQConfig(None, None, group_size=64).dtype_policy_string()
    'gptq/4/64'
    """

    kind = "gptq"
    bits = (2, 3, 4, 8)

    def __init__(
        self,
        dataset: Any,
        tokenizer: Any,
        *,
        weight_bits: int = 4,
        num_samples: int = 128,
        per_channel: bool = True,
        sequence_length: int = 512,
        hessian_damping: float = 0.01,
        group_size: int = 128,
        symmetric: bool = False,
        activation_order: bool = False,
        quantization_layer_structure: dict | None = None,
    ):
        self._keep(locals())
        if not 0 <= hessian_damping <= 1:
            raise ValueError(f"hessian_damping must be between 0 and 1, got {hessian_damping!r}.")


@needs_data
class AWQConfig(CalibratedConfig):
    """Round weights after those of inputs with large values have been scaled up (arXiv:2306.00978).

    Args:
        dataset, tokenizer, num_samples, sequence_length, group_size, quantization_layer_structure: As for `GPTQConfig`.
        weight_bits: 4.
        num_grid_points: How many strengths of scaling are tried.

    >>> from multikeras import quantizers
    >>> quantizers.AWQConfig(None, None, group_size=-1).dtype_policy_string()
    'awq/4/-1'
    """

    kind = "awq"
    bits = (4,)

    def __init__(
        self,
        dataset: Any,
        tokenizer: Any,
        *,
        weight_bits: int = 4,
        num_samples: int = 128,
        sequence_length: int = 512,
        group_size: int = 128,
        num_grid_points: int = 20,
        quantization_layer_structure: dict | None = None,
    ):
        self._keep(locals())
