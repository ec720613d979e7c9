"""`Dense` and `EinsumDense` in 8 bits, 4 bits and float8."""

from typing import Any

from multikeras import ops
from multikeras.layers.quantization.form import Form, constant, dequantized, given_by_rule, quantize_along
from multikeras.layers.quantization.geometry import Matrix as Matrix
from multikeras.layers.quantization.geometry import einsum as einsum
from multikeras.quantizers.config import QuantizationConfig
from multikeras.quantizers.float8 import on_the_way_back, on_the_way_in
from multikeras.quantizers.packing import pack_int4, unpack_int4
from multikeras.quantizers.quantizer import AbsMaxQuantizer
from multikeras.quantizers.scaling import abs_max_quantize_grouped_with_zero_point


class DenseForm(Form):
    """What the modes of dense layers share: bias, activation and low-rank correction are computed in floats.

    The layer has `geometry`, see `geometry.py`.
    """

    def forget(self, layer):
        del layer._kernel

    def call(self, layer, inputs, training=None):
        x = self.product(layer, inputs, training)
        if layer.lora_enabled:
            low_rank = layer.geometry.low_rank(inputs, layer.lora_kernel_a, layer.lora_kernel_b)
            x = ops.add(x, ops.multiply(low_rank, layer.lora_alpha / layer.lora_rank))
        x = x if layer.bias is None else ops.add(x, self.bias(layer))
        return x if layer.activation is None else layer.activation(x)

    def bias(self, layer: Any) -> Any:
        """Return the bias as it is added."""
        return layer.bias

    def product(self, layer: Any, inputs: Any, training: bool | None) -> Any:
        """Multiply inputs and the layer's weight."""
        raise NotImplementedError

    def _with_correction(self, layer: Any, kernel: Any) -> Any:
        correction = ops.multiply(ops.matmul(layer.lora_kernel_a, layer.lora_kernel_b), layer.lora_alpha / layer.lora_rank)
        return ops.add(kernel, ops.cast(correction, ops.dtype(kernel)))


def product_of_rounded(layer: Any, inputs: Any, kernel: Any, scale: Any = None) -> Any:
    """Multiply inputs and kernel, the inputs rounded to integers if the layer has a quantizer for them.

    Products of small integers are summed in float32: exact up to 1024 of them, and fast on any device.

    Args:
        kernel: Integers with `scale`, which fits the output; or floats without.
    """
    geometry, quantizer = layer.geometry.at(inputs), layer.inputs_quantizer
    dtype = ops.dtype(inputs)
    kernel = ops.stop_gradient(ops.convert_to_tensor(kernel))
    scale = None if scale is None else ops.cast(scale, dtype)

    def scaled(y):
        return y if scale is None else ops.divide(y, scale)

    if quantizer is None:
        return scaled(geometry.product(inputs, ops.cast(kernel, dtype)))

    def product(x):
        integers, scale_of_inputs = quantize_along(quantizer, x, geometry.summed_inputs)
        y = ops.cast(geometry.product(ops.cast(integers, "float32"), ops.cast(kernel, "float32")), dtype)
        divisor = geometry.scale_of_inputs(scale_of_inputs)
        return ops.divide(y, divisor if scale is None else ops.multiply(divisor, scale))

    def slope(upstream):
        # The scale varies along axes of the output, so it divides what comes from there.
        return geometry.slope(scaled(upstream), ops.cast(kernel, ops.dtype(upstream)), inputs)

    return given_by_rule(product, slope, inputs)


class Int8(DenseForm):
    """A kernel of int8 with a scale for each column."""

    def build(self, layer, shape, config):
        geometry = layer.geometry
        layer.inputs_quantizer = QuantizationConfig.activation_quantizer_or_default(config, AbsMaxQuantizer())
        layer._kernel = constant(layer, "kernel", shape, "int8")
        layer.kernel_scale = constant(layer, "kernel_scale", geometry.scale_shape, None, "ones")

    def converted(self, layer, config):
        return self._quantized(layer, ops.convert_to_tensor(layer._kernel), config)

    def _quantized(self, layer, kernel, config):
        quantizer = QuantizationConfig.weight_quantizer_or_default(config, AbsMaxQuantizer())
        kernel, scale = quantize_along(quantizer, kernel, layer.geometry.summed_kernel)
        return {"_kernel": kernel, "kernel_scale": layer.geometry.scale_of_kernel(scale)}

    def product(self, layer, inputs, training):
        return product_of_rounded(layer, inputs, layer._kernel, layer.kernel_scale)

    def stored(self, layer):
        return ["_kernel", "bias", "kernel_scale"]

    def shown(self, layer):
        return layer._kernel

    def merged(self, layer):
        scale = layer.geometry.scale_in_kernel(layer.kernel_scale)
        floats = ops.divide(ops.cast(layer._kernel, layer.variable_dtype), scale)
        return self._quantized(layer, self._with_correction(layer, floats), layer.quantization_config)


class Int4(DenseForm):
    """A kernel of 4 bits as a matrix, two neighbours of a row in a byte; scales by block and column, or by column.

    The matrix is the kernel reshaped, as Keras's files have it: for equations whose summed axes do not come first, its rows
    are not the ones that are summed over. So the scale is applied to the kernel, never to the output.
    """

    def build(self, layer, shape, config):
        geometry, block = layer.geometry, layer.int4_block_size(config)
        layer._int4_block_size = None if config is None else config.block_size
        layer.inputs_quantizer = QuantizationConfig.activation_quantizer_or_default(config, None)
        layer._kernel = constant(layer, "kernel", (geometry.rows, -(-geometry.columns // 2)), "int8")
        blocks = () if block is None else (-(-geometry.rows // block),)
        layer.kernel_scale = constant(layer, "kernel_scale", (*blocks, geometry.columns), None, "ones")
        if block is not None:
            layer.kernel_zero = constant(layer, "kernel_zero", (*blocks, geometry.columns), "int8")
            layer.g_idx = constant(layer, "g_idx", (geometry.rows,), "float32", block_numbers(block))

    def converted(self, layer, config):
        return self._quantized(layer, ops.convert_to_tensor(layer._kernel), config)

    def _quantized(self, layer, kernel, config):
        matrix = ops.reshape(kernel, (layer.geometry.rows, layer.geometry.columns))
        return quantized_to_4_bits(matrix, layer.int4_block_size(config), config, "kernel")

    def product(self, layer, inputs, training):
        return product_of_rounded(layer, inputs, self._floats(layer, ops.dtype(inputs)))

    def _integers(self, layer):
        return unpack_int4(layer._kernel, layer.geometry.columns, axis=-1)

    def _floats(self, layer, dtype):
        zero = getattr(layer, "kernel_zero", None)
        blocks = getattr(layer, "g_idx", None)
        floats = dequantized(self._integers(layer), layer.kernel_scale, zero, blocks, dtype)
        return ops.reshape(floats, layer.geometry.shape)

    def stored(self, layer):
        return ["_kernel", "bias", "kernel_scale", "kernel_zero", "g_idx"]

    def shown(self, layer):
        return ops.reshape(self._integers(layer), layer.geometry.shape)

    def merged(self, layer):
        kernel = self._floats(layer, layer.variable_dtype)
        return self._quantized(layer, self._with_correction(layer, kernel), layer.quantization_config)


def block_numbers(block: int) -> Any:
    """Return an initializer that gives each row the number of its block."""
    return lambda shape, dtype=None: ops.cast(ops.floor_divide(ops.arange(shape[0], dtype="int32"), block), dtype)


def quantized_to_4_bits(
    matrix: Any, block: int | None, config: Any, name: str, turned: bool = False
) -> dict[str, Any]:
    """Return a matrix (rows, columns) in 4 bits: values of `_<name>`, `<name>_scale`, and with blocks `<name>_zero`.

    With `turned` they are kept as (columns, rows), neighbours of a column in a byte.
    """
    as_kept = ops.transpose if turned else lambda x: x
    if block is None:
        default = AbsMaxQuantizer(axis=0, value_range=(-8, 7))
        quantizer = QuantizationConfig.weight_quantizer_or_default(config, default)
        integers, scale = quantize_along(quantizer, matrix, 0)
        values = {f"{name}_scale": ops.reshape(scale, (-1,))}
    else:
        integers, scale, zero = abs_max_quantize_grouped_with_zero_point(matrix, block)
        values = {f"{name}_scale": as_kept(scale), f"{name}_zero": as_kept(zero)}
    return {f"_{name}": pack_int4(as_kept(integers), axis=-1)[0], **values}


class Float8(DenseForm):
    """Floats, whose products are computed as if in float8; the scales are trained by being overwritten."""

    keeps_float = True
    parts = ("inputs", "kernel", "outputs_grad")

    def build(self, layer, shape, config):
        length = getattr(layer._policy_here, "amax_history_length", 1024)
        more = {"dtype": "float32", "autocast": False, "trainable": True, "overwrite_with_gradient": True}
        for part in self.parts:
            scale = layer.add_weight(name=f"{part}_scale", shape=(), initializer="ones", **more)
            history = layer.add_weight(name=f"{part}_amax_history", shape=(length,), initializer="zeros", **more)
            setattr(layer, f"{part}_scale", scale)
            setattr(layer, f"{part}_amax_history", history)

    def converted(self, layer, config):
        return {}

    def forget(self, layer):
        pass

    def product(self, layer, inputs, training):
        kernel = ops.cast(layer._kernel, layer.compute_dtype)
        x = on_the_way_in(inputs, layer.inputs_scale, layer.inputs_amax_history, bool(training))
        kernel = on_the_way_in(kernel, layer.kernel_scale, layer.kernel_amax_history, bool(training))
        y = layer.geometry.at(inputs).product(x, kernel)
        return on_the_way_back(y, layer.outputs_grad_scale, layer.outputs_grad_amax_history)

    def bias(self, layer):
        # Kernels for float8 add a bias of bfloat16 and nothing longer: so the same numbers come out with them and without.
        return ops.cast(ops.cast(layer.bias, "bfloat16"), layer.compute_dtype)

    def stored(self, layer):
        return ["_kernel", "bias", *(f"{part}_{what}" for part in self.parts for what in ("scale", "amax_history"))]

    def shown(self, layer):
        return layer._kernel

    def merged(self, layer):
        return {"_kernel": self._with_correction(layer, ops.convert_to_tensor(layer._kernel))}


FORMS = {"int8": Int8(), "int4": Int4(), "float8": Float8()}
