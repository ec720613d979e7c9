"""Dense layers whose weights were rounded by GPTQ or AWQ: groups of inputs with a scale and a zero point for each output."""

from typing import Any

from multikeras import ops
from multikeras.layers.quantization.dense import DenseForm
from multikeras.layers.quantization.form import constant
from multikeras.quantizers.packing import pack_int4, unpack_int4
from multikeras.quantizers.rounding import Seen, awq, gptq


class Grouped(DenseForm):
    """A kernel of few bits, transposed, that is used once it is calibrated; until then the floats are.

    Args:
        mode: "gptq" or "awq".
        scaled_inputs: Whether weights were multiplied by a factor for each input before they were rounded.
    """

    loads_plainly = False

    def __init__(self, mode: str, scaled_inputs: bool):
        self.mode, self.scaled_inputs = mode, scaled_inputs

    def build(self, layer, shape, config):
        source = layer._policy_here if config is None else config
        inputs, outputs = layer.geometry.as_matrix()
        groups = 1 if source.group_size == -1 else -(-inputs // source.group_size)
        layer.quantized_bits = source.weight_bits
        setattr(layer, f"is_{self.mode}_calibrated", False)
        kept = -(-outputs // 2) if source.weight_bits == 4 else outputs
        layer.quantized_kernel = constant(layer, "kernel", (kept, inputs), "uint8")
        layer.kernel_scale = constant(layer, "kernel_scale", (outputs, groups), None, "ones")
        layer.kernel_zero = constant(layer, layer.name_of_zero, (outputs, groups), "uint8")
        if self.scaled_inputs:
            layer.awq_scales = constant(layer, "awq_scales", (inputs,), None, "ones")
        layer.g_idx = constant(layer, "g_idx", (inputs,), "float32")

    def converted(self, layer, config):
        return {}

    def forget(self, layer):
        """Keep the floats: they are what calibration begins with."""

    def calibrate(self, layer: Any, seen: Seen, config: Any) -> None:
        """Round the weights for inputs such as those seen, and let go of the floats."""
        outputs = layer.geometry.as_matrix()[1]
        weights = ops.convert_to_numpy(ops.cast(layer._kernel, "float32")).reshape(-1, outputs).T
        if self.mode == "gptq":
            rounded = gptq(
                weights, seen, config.weight_bits, config.group_size, config.hessian_damping, config.symmetric,
                config.per_channel, config.activation_order,
            )  # fmt: skip
        else:
            rounded = awq(weights, seen, config.weight_bits, config.group_size, config.num_grid_points)
        integers = rounded.integers.astype("uint8")
        if layer.quantized_bits == 4:
            integers = pack_int4(integers, axis=0, dtype="uint8")[0]
        layer.quantized_kernel.assign(integers)
        layer.kernel_scale.assign(rounded.scale)
        layer.kernel_zero.assign(rounded.zero)
        layer.g_idx.assign(rounded.groups)
        if self.scaled_inputs:
            layer.awq_scales.assign(rounded.factors)
        self.was_loaded(layer)

    def is_calibrated(self, layer: Any) -> bool:
        """Tell whether the integers are the weights."""
        return getattr(layer, f"is_{self.mode}_calibrated")

    def integers(self, layer: Any) -> Any:
        """Return the weights as (outputs, inputs)."""
        if layer.quantized_bits != 4:
            return ops.convert_to_tensor(layer.quantized_kernel)
        return unpack_int4(layer.quantized_kernel, layer.geometry.as_matrix()[1], axis=0, dtype="uint8")

    def product(self, layer, inputs, training):
        if not self.is_calibrated(layer):
            if not hasattr(layer, "_kernel"):
                raise ValueError(
                    f"Layer {layer.name!r} was built under the dtype policy {layer._policy_here.name!r} and has no weights yet: "
                    "load those of a layer that was calibrated."
                )
            return layer.geometry.at(inputs).product(inputs, layer._kernel)
        dtype, groups = ops.dtype(inputs), ops.cast(layer.g_idx, "int32")
        scale, zero = (ops.take(ops.cast(v, dtype), groups, axis=1) for v in (layer.kernel_scale, layer.kernel_zero))
        kernel = ops.multiply(ops.subtract(ops.cast(self.integers(layer), dtype), zero), scale)
        if self.scaled_inputs:
            kernel = ops.divide(kernel, ops.cast(layer.awq_scales, dtype))
        kernel = ops.reshape(ops.transpose(kernel), layer.geometry.shape)
        return layer.geometry.at(inputs).product(inputs, ops.stop_gradient(kernel))

    def stored(self, layer):
        return ["bias", "quantized_kernel", "kernel_scale", "kernel_zero", "awq_scales", "g_idx"]

    def was_loaded(self, layer):
        setattr(layer, f"is_{self.mode}_calibrated", True)
        if hasattr(layer, "_kernel"):
            del layer._kernel

    def shown(self, layer):
        return self.integers(layer) if self.is_calibrated(layer) else layer._kernel


FORMS = {"gptq": Grouped("gptq", scaled_inputs=False), "awq": Grouped("awq", scaled_inputs=True)}
