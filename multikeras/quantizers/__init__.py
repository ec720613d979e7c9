"""Numbers in few bits: how tensors become integers and scales, and what `Layer.quantize` is told."""

from typing import Any

from multikeras.core.serialization import Kind as _Kind
from multikeras.core.serialization import by_both_names as _by_both_names
from multikeras.core.serialization import serialize_keras_object as _serialize
from multikeras.quantizers.calibrated import AWQConfig as AWQConfig
from multikeras.quantizers.calibrated import GPTQConfig as GPTQConfig
from multikeras.quantizers.config import Float8QuantizationConfig as Float8QuantizationConfig
from multikeras.quantizers.config import Int4QuantizationConfig as Int4QuantizationConfig
from multikeras.quantizers.config import Int8QuantizationConfig as Int8QuantizationConfig
from multikeras.quantizers.config import QuantizationConfig as QuantizationConfig
from multikeras.quantizers.fake import fake_quant_with_min_max_vars as fake_quant_with_min_max_vars
from multikeras.quantizers.float8 import compute_float8_amax_history as compute_float8_amax_history
from multikeras.quantizers.float8 import compute_float8_scale as compute_float8_scale
from multikeras.quantizers.float8 import quantize_and_dequantize as quantize_and_dequantize
from multikeras.quantizers.packing import pack_int4 as pack_int4
from multikeras.quantizers.packing import unpack_int4 as unpack_int4
from multikeras.quantizers.quantizer import AbsMaxQuantizer as AbsMaxQuantizer
from multikeras.quantizers.quantizer import Quantizer as Quantizer
from multikeras.quantizers.scaling import abs_max_quantize as abs_max_quantize
from multikeras.quantizers.scaling import (
    abs_max_quantize_grouped_with_zero_point as abs_max_quantize_grouped_with_zero_point,
)

_KIND = _Kind(
    "quantizer",
    _by_both_names(
        Quantizer, AbsMaxQuantizer, QuantizationConfig, Int8QuantizationConfig, Int4QuantizationConfig,
        Float8QuantizationConfig, GPTQConfig, AWQConfig,
    ),
)  # fmt: skip


def serialize(initializer: Any) -> Any:
    """Return the config of a quantizer or of a quantization config."""
    return _serialize(initializer)


def deserialize(config: Any, custom_objects: dict | None = None) -> Any:
    """Return the quantizer, or quantization config, of a config."""
    return _KIND.deserialize(config, custom_objects)


def get(identifier: Any, **kwargs: Any) -> Any:
    """Return the quantizer that a name, config, class or callable stands for, None for None.

    Args:
        kwargs: Arguments of the constructor for a name or class.

    >>> from multikeras import quantizers
    >>> quantizers.get("abs_max_quantizer", axis=0).axis
    (0,)
    """
    if kwargs and isinstance(identifier, (str, type)):
        found = _KIND.table.get(identifier, identifier) if isinstance(identifier, str) else identifier
        return found(**kwargs) if isinstance(found, type) else _KIND.refuse(identifier)
    return _KIND.get(identifier)
