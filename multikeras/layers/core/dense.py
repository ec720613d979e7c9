"""`Dense`: a matrix, a bias, an activation."""

from typing import Any

from multikeras import ops
from multikeras.layers._arguments import keep, positive, weight
from multikeras.layers.input_spec import InputSpec
from multikeras.layers.layer import Layer
from multikeras.layers.quantization import calibrated
from multikeras.layers.quantization import dense as quantized
from multikeras.layers.quantization.quantizable import Quantizable
from multikeras.ops.affine import affine


class Dense(Quantizable, Layer):
    """Compute `activation(inputs @ kernel + bias)` over the last axis.

    Args:
        units: Size of the last axis of the output.
        activation: Function or its name; None for none.
        use_bias: Whether to add a bias.
        kernel_initializer, bias_initializer: How the weights start.
        kernel_regularizer, bias_regularizer, activity_regularizer: Penalties added to the loss.
        kernel_constraint, bias_constraint: Projections applied after each update.
        lora_rank: Train a low-rank correction of the kernel instead of the kernel.
        lora_alpha: The correction is scaled by `lora_alpha / lora_rank`.

    Shapes: (batch, ..., features) to (batch, ..., units).

    >>> import multikeras
    >>> layer = multikeras.layers.Dense(4, kernel_initializer="ones")
    >>> y = layer(multikeras.ops.ones((1, 3)))
    >>> multikeras.ops.convert_to_numpy(y).tolist()
    [[3.0, 3.0, 3.0, 3.0]]
    """

    not_in_config = ("lora_rank", "lora_alpha")
    quantized_forms = quantized.FORMS | calibrated.FORMS
    name_of_zero = "kernel_zero"

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        quantization_config: Any = None,
        **kwargs: Any,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        keep(self, locals())
        self.units = positive(self, "units", units)
        self.input_spec = InputSpec(min_ndim=2)
        self.supports_masking = True

    def build(self, input_shape):
        features = input_shape[-1]
        if features is None:
            raise ValueError(f"Dense {self.name!r}: the last axis of its input must be known, got shape {input_shape}.")
        self.build_weight((features, self.units))
        self.bias = weight(self, "bias", (self.units,)) if self.use_bias else None
        self.input_spec = InputSpec(min_ndim=2, axes={-1: features})
        self.built = True
        self.adapt_if_asked()

    def _lay_out(self, shape):
        super()._lay_out(shape)
        self.geometry = quantized.Matrix(shape)

    @property
    def kernel(self):
        """The matrix (features, units), with its low-rank correction if there is one."""
        return self.with_lora(self._kernel)

    def call(self, inputs, training=None):
        kernel, bias = self.kernel, self.bias
        x = ops.matmul(inputs, kernel) if bias is None else affine(inputs, kernel, bias)
        return x if self.activation is None else self.activation(x)
