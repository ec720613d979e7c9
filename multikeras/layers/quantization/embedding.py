"""`Embedding` and `ReversibleEmbedding` in 8 and 4 bits: one scale, or several, for each vector."""

from typing import Any

from multikeras import ops
from multikeras.layers.quantization.dense import block_numbers, product_of_rounded, quantized_to_4_bits
from multikeras.layers.quantization.form import Form, constant, dequantized, quantize_along
from multikeras.layers.quantization.geometry import Matrix
from multikeras.quantizers.config import QuantizationConfig
from multikeras.quantizers.packing import unpack_int4
from multikeras.quantizers.quantizer import AbsMaxQuantizer


class EmbeddingForm(Form):
    """What the modes of embeddings share: few vectors are looked up and only those made floats.

    A layer with vectors of their own for the way back keeps them as (output_dim, input_dim), so a column has a scale.
    """

    names = ("_embeddings", "embeddings_scale", "embeddings_zero", "g_idx")
    back = ("reverse_embeddings", "reverse_embeddings_scale", "reverse_embeddings_zero")

    def forget(self, layer):
        del layer._embeddings
        if self.has_back(layer):
            del layer.reverse_embeddings

    def has_back(self, layer: Any) -> bool:
        """Tell whether the way back has vectors of its own."""
        return not getattr(layer, "tie_weights", True)

    def stored(self, layer):
        return [*self.names, *(self.back if self.has_back(layer) else ())]

    def call(self, layer, inputs, reverse=False):
        if reverse:
            return layer.capped(self.product(layer, layer.for_reverse(inputs)))
        return self.rows(layer, inputs if ops.dtype(inputs) in ("int32", "int64") else ops.cast(inputs, "int32"))

    def rows(self, layer: Any, indices: Any) -> Any:
        """Return the vectors at `indices`."""
        found = self.floats(layer, indices, layer.compute_dtype)
        if layer.lora_enabled:
            low_rank = ops.matmul(ops.take(layer.lora_a, indices, axis=0), layer.lora_b)
            found = ops.add(found, ops.multiply(low_rank, layer.lora_alpha / layer.lora_rank))
        return ops.cast(found, layer.compute_dtype)

    def floats(self, layer: Any, indices: Any, dtype: str) -> Any:
        """Return the vectors at `indices` without a correction, all of them for None."""
        raise NotImplementedError

    def product(self, layer: Any, inputs: Any) -> Any:
        """Multiply inputs and all vectors."""
        y = self.reverse_product(layer, inputs)
        if layer.lora_enabled and not self.has_back(layer):
            low_rank = ops.matmul(ops.matmul(inputs, ops.transpose(layer.lora_b)), ops.transpose(layer.lora_a))
            y = ops.add(y, ops.multiply(low_rank, layer.lora_alpha / layer.lora_rank))
        return y

    def reverse_product(self, layer: Any, inputs: Any) -> Any:
        """Multiply inputs and all vectors, without a correction."""
        raise NotImplementedError

    def _with_correction(self, layer):
        correction = ops.multiply(ops.matmul(layer.lora_a, layer.lora_b), layer.lora_alpha / layer.lora_rank)
        return ops.add(self.floats(layer, None, layer.variable_dtype), correction)


def _chosen(values: Any, indices: Any) -> Any:
    return ops.convert_to_tensor(values) if indices is None else ops.take(values, indices, axis=0)


class Int8(EmbeddingForm):
    """Vectors of int8, each with a scale."""

    def build(self, layer, shape, config):
        rows, size = shape
        layer.inputs_quantizer = QuantizationConfig.activation_quantizer_or_default(config, AbsMaxQuantizer())
        layer._embeddings = constant(layer, "embeddings", shape, "int8")
        layer.embeddings_scale = constant(layer, "embeddings_scale", (rows,), None, "ones")
        if self.has_back(layer):
            layer.reverse_embeddings = constant(layer, "reverse_embeddings", (size, rows), "int8")
            layer.reverse_embeddings_scale = constant(layer, "reverse_embeddings_scale", (rows,), None, "ones")

    def converted(self, layer, config):
        values = self._quantized(ops.convert_to_tensor(layer._embeddings), config)
        if self.has_back(layer):
            quantizer = QuantizationConfig.weight_quantizer_or_default(config, AbsMaxQuantizer())
            quantizer = _turned(quantizer)
            integers, scale = quantize_along(quantizer, ops.convert_to_tensor(layer.reverse_embeddings), 0)
            values |= {"reverse_embeddings": integers, "reverse_embeddings_scale": ops.reshape(scale, (-1,))}
        return values

    def _quantized(self, embeddings, config):
        quantizer = QuantizationConfig.weight_quantizer_or_default(config, AbsMaxQuantizer())
        integers, scale = quantize_along(quantizer, embeddings, -1)
        return {"_embeddings": integers, "embeddings_scale": ops.reshape(scale, (-1,))}

    def floats(self, layer, indices, dtype):
        integers, scale = _chosen(layer._embeddings, indices), _chosen(layer.embeddings_scale, indices)
        return ops.divide(ops.cast(integers, dtype), ops.expand_dims(ops.cast(scale, dtype), -1))

    def reverse_product(self, layer, inputs):
        if self.has_back(layer):
            return product_of_rounded(layer, inputs, layer.reverse_embeddings, layer.reverse_embeddings_scale)
        kernel = ops.transpose(ops.convert_to_tensor(layer._embeddings))
        return product_of_rounded(layer, inputs, kernel, layer.embeddings_scale)

    def shown(self, layer):
        return layer._embeddings

    def merged(self, layer):
        return self._quantized(self._with_correction(layer), layer.quantization_config)


def _turned(quantizer: Any) -> Any:
    """Return a quantizer of rows as one of columns: vectors of the way back are kept the other way round."""
    if isinstance(quantizer, AbsMaxQuantizer) and quantizer.axis is not None:
        return AbsMaxQuantizer(0, quantizer.value_range, quantizer.epsilon, quantizer.output_dtype)
    return quantizer


class Int4(EmbeddingForm):
    """Vectors of 4 bits, two neighbours in a byte, each with a scale or with one a block of its entries."""

    def build(self, layer, shape, config):
        (rows, size), block = shape, layer.int4_block_size(config)
        layer._int4_block_size = None if config is None else config.block_size
        layer.inputs_quantizer = QuantizationConfig.activation_quantizer_or_default(config, None)
        blocks = () if block is None else (-(-size // block),)
        layer._embeddings = constant(layer, "embeddings", (rows, -(-size // 2)), "int8")
        layer.embeddings_scale = constant(layer, "embeddings_scale", (rows, *blocks), None, "ones")
        if blocks:
            layer.embeddings_zero = constant(layer, "embeddings_zero", (rows, *blocks), "int8")
            layer.g_idx = constant(layer, "g_idx", (size,), "float32", block_numbers(block))
        if self.has_back(layer):
            layer.reverse_embeddings = constant(layer, "reverse_embeddings", (-(-size // 2), rows), "int8")
            layer.reverse_embeddings_scale = constant(layer, "reverse_embeddings_scale", (*blocks, rows), None, "ones")
            if blocks:
                layer.reverse_embeddings_zero = constant(layer, "reverse_embeddings_zero", (*blocks, rows), None)

    def converted(self, layer, config):
        block = layer.int4_block_size(config)
        values = self._quantized(ops.convert_to_tensor(layer._embeddings), block, config)
        if self.has_back(layer):
            back = ops.convert_to_tensor(layer.reverse_embeddings)
            turned = self._quantized(ops.transpose(back), block, config)
            values |= {
                "reverse_" + name.lstrip("_"): ops.transpose(value) if len(value.shape) == 2 else value
                for name, value in turned.items()
            }
        return values

    def _quantized(self, embeddings, block, config):
        if block is None:
            config = None if config is None else QuantizationConfig(_turned(config.weight_quantizer))
        # As matrices whose rows share a scale these are (output_dim, input_dim).
        return quantized_to_4_bits(ops.transpose(embeddings), block, config, "embeddings", turned=True)

    def _integers(self, layer, indices=None):
        return unpack_int4(_chosen(layer._embeddings, indices), layer.output_dim, axis=-1)

    def floats(self, layer, indices, dtype):
        integers, scale = self._integers(layer, indices), _chosen(layer.embeddings_scale, indices)
        zero = getattr(layer, "embeddings_zero", None)
        if zero is None:
            return ops.divide(ops.cast(integers, dtype), ops.expand_dims(ops.cast(scale, dtype), -1))
        blocks = ops.cast(layer.g_idx, "int32")
        scale, zero = (ops.take(ops.cast(v, dtype), blocks, axis=-1) for v in (scale, _chosen(zero, indices)))
        return ops.multiply(ops.subtract(ops.cast(integers, dtype), zero), scale)

    def reverse_product(self, layer, inputs):
        dtype = ops.dtype(inputs)
        own = self.has_back(layer)
        name = "reverse_embeddings" if own else "embeddings"
        scale, zero = getattr(layer, f"{name}_scale"), getattr(layer, f"{name}_zero", None)
        packed = layer.reverse_embeddings if own else ops.transpose(ops.convert_to_tensor(layer._embeddings))
        integers = unpack_int4(packed, layer.output_dim, axis=0)
        if layer.inputs_quantizer is not None and zero is None:
            return product_of_rounded(layer, inputs, integers, scale)
        if zero is not None and not own:
            scale, zero = ops.transpose(ops.convert_to_tensor(scale)), ops.transpose(ops.convert_to_tensor(zero))
        kernel = dequantized(integers, scale, zero, getattr(layer, "g_idx", None), dtype)
        return ops.matmul(inputs, ops.stop_gradient(kernel))

    def shown(self, layer):
        return self._integers(layer)

    def merged(self, layer):
        return self._quantized(
            self._with_correction(layer), layer.int4_block_size(layer.quantization_config), layer.quantization_config
        )


FORMS = {"int8": Int8(), "int4": Int4()}
geometry = Matrix
