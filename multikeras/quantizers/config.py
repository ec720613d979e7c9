"""What `quantize` shall do: a mode, and the quantizers of weights and activations."""

from typing import Any, ClassVar

from multikeras.core.serialization import deserialize_keras_object, serialize_keras_object
from multikeras.quantizers.quantizer import AbsMaxQuantizer

MODES = ("int8", "float8", "int4", "gptq", "awq")


class QuantizationConfig:
    """Arguments of a way to quantize. Subclasses have a mode.

    Args:
        weight_quantizer: Quantizer of weights, None for that of the layer.
        activation_quantizer: Quantizer of inputs, None to leave them as floats.

    >>> from multikeras import quantizers
    >>> quantizers.Int8QuantizationConfig().mode
    'int8'
    """

    kind: ClassVar[str | None] = None

    def __init__(self, weight_quantizer: Any = None, activation_quantizer: Any = None):
        self.weight_quantizer = _revived(weight_quantizer)
        self.activation_quantizer = _revived(activation_quantizer)

    @property
    def mode(self) -> str:
        """The name of the way."""
        if self.kind is None:
            raise NotImplementedError(f"{type(self).__name__} has no mode. Do not instantiate QuantizationConfig directly.")
        return self.kind

    def get_config(self) -> dict:
        """Return the constructor's arguments."""
        return {
            "weight_quantizer": serialize_keras_object(self.weight_quantizer),
            "activation_quantizer": serialize_keras_object(self.activation_quantizer),
        }

    @classmethod
    def from_config(cls, config: dict) -> "QuantizationConfig":
        """Make a config from what `get_config` returned."""
        return cls(**config)

    @staticmethod
    def weight_quantizer_or_default(config: Any, default: Any) -> Any:
        """Return the quantizer of weights of a config, `default` if it or the config is None."""
        chosen = None if config is None else config.weight_quantizer
        return default if chosen is None else chosen

    @staticmethod
    def activation_quantizer_or_default(config: Any, default: Any) -> Any:
        """Return the quantizer of activations of a config, which may be None; `default` without a config."""
        return default if config is None else config.activation_quantizer

    def policy_mode(self) -> str:
        """Return the mode as it stands in the name of a dtype policy."""
        return self.mode

    def _refuse_dtype(self, quantizer: Any) -> None:
        if quantizer is not None and getattr(quantizer, "output_dtype", "int8") != "int8":
            raise ValueError(
                f"{type(self).__name__} needs a weight_quantizer with output_dtype='int8', got "
                f"output_dtype={quantizer.output_dtype!r}."
            )


class Int8QuantizationConfig(QuantizationConfig):
    """Keep weights in 8 bits, and by default multiply them with inputs rounded to 8 bits too.

    Args:
        weight_quantizer: Quantizer of weights, with int8 results.
        activation_quantizer: Quantizer of inputs; None leaves them as floats.

    >>> from multikeras import quantizers
    >>> quantizers.Int8QuantizationConfig(activation_quantizer=None).get_config()["activation_quantizer"] is None
    True
    """

    kind = "int8"

    def __init__(self, weight_quantizer: Any = None, activation_quantizer: Any = "default"):
        default = isinstance(activation_quantizer, str) and activation_quantizer == "default"
        super().__init__(weight_quantizer, AbsMaxQuantizer() if default else activation_quantizer)
        self._refuse_dtype(self.weight_quantizer)


class Int4QuantizationConfig(QuantizationConfig):
    """Keep weights in 4 bits, with a scale and a zero point for each block of inputs, or one scale a channel.

    Args:
        weight_quantizer, activation_quantizer: Only without blocks; weights lie between -8 and 7.
        block_size: Rows that share a scale; None or -1 for all of a channel.

    >>> from multikeras import quantizers
    >>> quantizers.Int4QuantizationConfig().block_size
    128
    """

    kind = "int4"

    def __init__(self, weight_quantizer: Any = None, activation_quantizer: Any = "default", block_size: int | None = 128):
        default = isinstance(activation_quantizer, str) and activation_quantizer == "default"
        super().__init__(weight_quantizer, None if default else activation_quantizer)
        if block_size is not None and (not isinstance(block_size, int) or (block_size < 1 and block_size != -1)):
            raise ValueError(f"block_size must be None, -1 or a positive integer, got block_size={block_size!r}.")
        self.block_size = block_size
        self._refuse_dtype(self.weight_quantizer)
        if self.in_blocks and (self.weight_quantizer is not None or self.activation_quantizer is not None):
            raise ValueError(
                f"Int4 sub-channel quantization (block_size={block_size}) does not support quantizers of your own. Leave them "
                "out, or set block_size to None for one scale a channel."
            )
        allowed = getattr(self.weight_quantizer, "value_range", (-8, 7))
        if tuple(allowed) != (-8, 7):
            raise ValueError(f"Int4QuantizationConfig needs a weight_quantizer with value_range=(-8, 7), got {allowed!r}.")

    @property
    def in_blocks(self) -> bool:
        """Whether there is more than one scale a channel."""
        return self.block_size not in (None, -1)

    def get_config(self) -> dict:
        return {**super().get_config(), "block_size": self.block_size}

    def policy_mode(self) -> str:
        return f"int4/{self.block_size if self.in_blocks else -1}"


class Float8QuantizationConfig(QuantizationConfig):
    """Train with products in float8.

    >>> from multikeras import quantizers
    >>> quantizers.Float8QuantizationConfig().mode
    'float8'
    """

    kind = "float8"

    def __init__(self):
        super().__init__()

    def get_config(self) -> dict:
        return {}


def _revived(quantizer: Any) -> Any:
    return deserialize_keras_object(quantizer) if isinstance(quantizer, dict) else quantizer


_NEEDED: dict[str, type[QuantizationConfig] | None] = {
    "int8": Int8QuantizationConfig, "int4": Int4QuantizationConfig, "float8": Float8QuantizationConfig,
}  # fmt: skip
_CALIBRATED: dict[str, type[QuantizationConfig]] = {}
"""Configs of modes that need one from the caller, as they need data."""


def needs_data(cls: type) -> type:
    """Note the class of configs of a mode that cannot do without one."""
    _CALIBRATED[cls.kind] = cls
    return cls


def check_mode(mode: Any) -> str:
    """Return `mode` if there is such a one, else raise ValueError."""
    if mode not in MODES:
        raise ValueError(f"Invalid quantization mode. Expected one of {MODES}, got mode={mode!r}.")
    return mode


def resolve(mode: str | None, config: QuantizationConfig | None) -> QuantizationConfig:
    """Return the config that arguments of `quantize` mean."""
    if mode is None and config is None:
        raise ValueError("quantize: give either a mode, such as 'int8', or a config.")
    if mode is not None:
        check_mode(mode)
    if config is None:
        if mode in _CALIBRATED:
            name = _CALIBRATED[mode].__name__
            raise ValueError(f"For {mode.upper()}, you must pass a `{name}` object in the `config` argument: it has the data.")
        return _NEEDED[mode]()  # type: ignore[index,misc]
    if not isinstance(config, QuantizationConfig):
        what = f"Received: config={config!r} (of type {type(config).__name__})"
        raise ValueError(f"Argument `config` must be an instance of `QuantizationConfig`, such as Int8QuantizationConfig. {what}")
    if mode is not None and config.mode != mode:
        raise ValueError(f"Contradictory arguments: mode={mode!r}, but config.mode={config.mode!r}.")
    if config.mode in _CALIBRATED and not isinstance(config, _CALIBRATED[config.mode]):
        name = _CALIBRATED[config.mode].__name__
        raise ValueError(f"Mode {config.mode!r} requires a valid `config` of type {name}, got {type(config).__name__}.")
    return config
