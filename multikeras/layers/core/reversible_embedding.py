"""`ReversibleEmbedding`: an embedding that also maps vectors back to scores of the integers."""

from typing import Any

from multikeras import ops
from multikeras.layers._arguments import keep, weight
from multikeras.layers.core.embedding import Embedding
from multikeras.layers.quantization import embedding as quantized


class ReversibleEmbedding(Embedding):
    """Look up vectors, or with `reverse=True` project vectors onto all of them.

    Args:
        input_dim: How many integers there are.
        output_dim: Length of a vector.
        tie_weights: Whether the projection uses the table itself, else a matrix of its own.
        reverse_dtype: Dtype in which the projection is computed.
        logit_soft_cap: Bound c of the scores: `c * tanh(scores / c)`.

    >>> import multikeras
    >>> layer = multikeras.layers.ReversibleEmbedding(10, 4)
    >>> layer(layer(multikeras.ops.array([[1, 2, 3]])), reverse=True).shape == (1, 3, 10)
    True
    """

    quantized_forms = quantized.FORMS

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        tie_weights: bool = True,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: Any = None,
        mask_zero: bool = False,
        reverse_dtype: Any = None,
        logit_soft_cap: float | None = None,
        **kwargs: Any,
    ):
        super().__init__(
            input_dim, output_dim, embeddings_initializer, embeddings_regularizer, embeddings_constraint, mask_zero,
            **kwargs,
        )  # fmt: skip
        keep(self, {"tie_weights": tie_weights, "reverse_dtype": reverse_dtype, "logit_soft_cap": logit_soft_cap})

    def build(self, input_shape=None):
        if self.built:
            return
        super().build(input_shape)
        if not self.tie_weights and not self._is_quantized:
            shape = (self.output_dim, self.input_dim)
            self.reverse_embeddings = weight(self, "reverse_embeddings", shape, kind="embeddings")

    def compute_mask(self, inputs, mask=None):
        # Floats are vectors to be projected back, not indices.
        return None if "float" in ops.dtype(inputs) else super().compute_mask(inputs, mask)

    def call(self, inputs, reverse=False):
        if not reverse:
            return super().call(inputs)
        kernel = ops.transpose(ops.convert_to_tensor(self.embeddings)) if self.tie_weights else self.reverse_embeddings
        inputs = self.for_reverse(inputs)
        kernel = kernel if self.reverse_dtype is None else ops.cast(kernel, self.reverse_dtype)
        return self.capped(ops.matmul(inputs, kernel))

    def for_reverse(self, inputs):
        """Return vectors in the dtype of the projection."""
        return inputs if self.reverse_dtype is None else ops.cast(inputs, self.reverse_dtype)

    def capped(self, scores):
        """Return scores between the bounds."""
        cap = self.logit_soft_cap
        return scores if cap is None else ops.tanh(scores / cap) * cap

    def saved_weights(self):
        found = super().saved_weights()
        return found if self.tie_weights or self._is_quantized else [*found, self.reverse_embeddings]
