"""`Embedding`: a vector for each of a fixed set of integers."""

import warnings
from typing import Any

from multikeras import ops
from multikeras.backend import current
from multikeras.layers._arguments import keep, positive
from multikeras.layers._call import in_dtype
from multikeras.layers.layer import Layer
from multikeras.layers.quantization import embedding as quantized
from multikeras.layers.quantization.quantizable import Quantizable

_PLACES = frozenset(("int32", "int64"))


class Embedding(Quantizable, Layer):
    """Look up a vector for each integer of the input.

    Args:
        input_dim: How many integers there are: inputs lie in [0, input_dim).
        output_dim: Length of a vector.
        embeddings_initializer, embeddings_regularizer, embeddings_constraint: For the table of vectors.
        mask_zero: Whether 0 marks a step to be masked.
        weights: The table to start from.
        lora_rank, lora_alpha: As for `Dense`.

    Shapes: (batch, ...) to (batch, ..., output_dim).

    >>> import multikeras
    >>> multikeras.layers.Embedding(10, 4)(multikeras.ops.array([[1, 2, 3]])).shape == (1, 3, 4)
    True
    """

    lora_target = "embeddings"
    quantized_forms = quantized.FORMS
    not_in_config = ("weights", "lora_rank", "lora_alpha")
    also_in_config = ("activity_regularizer",)

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        weights: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        quantization_config: Any = None,
        **kwargs: Any,
    ):
        if kwargs.pop("input_length", None) is not None:
            warnings.warn("Embedding: input_length is not needed any more and is ignored.", stacklevel=2)
        positive(type(self).__name__, "input_dim", input_dim)
        positive(type(self).__name__, "output_dim", output_dim)
        # Indices must not be cast to the compute dtype.
        super().__init__(**{"autocast": False, **kwargs})
        keep(self, {k: v for k, v in locals().items() if k != "weights"})
        self.supports_masking = mask_zero
        if weights is not None:
            self.build()
            self.set_weights(weights if isinstance(weights, list) and len(weights) == 1 else [weights])

    def build(self, input_shape=None):
        if self.built:
            return
        self.build_weight((self.input_dim, self.output_dim))
        self.built = True
        self.adapt_if_asked()

    def _lay_out(self, shape):
        super()._lay_out(shape)
        self.geometry = quantized.geometry(shape[::-1])

    @property
    def embeddings(self):
        """The table (input_dim, output_dim), with its low-rank correction if there is one."""
        return self.with_lora(self._embeddings)

    def call(self, inputs):
        if (current.dtype if type(inputs) is current.Tensor else ops.dtype)(inputs) not in _PLACES:
            inputs = ops.cast(inputs, "int32")
        if self.lora_enabled:
            rows = ops.matmul(ops.take(self.lora_a, inputs, axis=0), self.lora_b) * (self.lora_alpha / self.lora_rank)
            rows = ops.add(ops.take(self._embeddings, inputs, axis=0), rows)
        elif type(inputs) is current.Tensor:  # what ops.take would look at is known: 2.5 of torch's 175 us, forward and back
            rows = current.take(self._embeddings.value, inputs, 0)
        else:
            rows = ops.take(self._embeddings, inputs, axis=0)
        return in_dtype(rows, self.compute_dtype)

    def compute_mask(self, inputs, mask=None):
        return ops.not_equal(inputs, 0) if self.mask_zero else None
