"""`Attention` and `AdditiveAttention`: attention without projections."""

from typing import Any

from multikeras import ops, random
from multikeras.backend import current, scope
from multikeras.backend.shapes import block_size
from multikeras.layers._arguments import fraction, one_of
from multikeras.layers.attention.attend import DROPPED, masked_softmax, positions
from multikeras.layers.layer import Layer
from multikeras.ops.blocks import by_blocks, in_room
from multikeras.random import threefry
from multikeras.random.seed_generator import SeedGenerator, key_from


class Attention(Layer):
    """Let each target of `query` gather from the sources of `value`, by products of query and key (arXiv:1508.04025).

    Args:
        use_scale: Whether the scores are multiplied by a learned scalar.
        score_mode: "dot" for the product, "concat" for a sum of tanh(query + key).
        dropout: Share of scores to drop in training.
        seed: Where its draws start.

    Call arguments: `inputs`, [query, value] or [query, value, key], (batch, steps, features) each; `mask`, a list of a
    mask for the query and one for the value; `training`, `return_attention_scores`, `use_causal_mask`.

    >>> import multikeras
    >>> query, value = multikeras.ops.ones((2, 3, 4)), multikeras.ops.ones((2, 5, 4))
    >>> multikeras.layers.Attention()([query, value]).shape == (2, 3, 4)
    True
    """

    takes_sparse = False

    def __init__(
        self,
        use_scale: bool = False,
        score_mode: str = "dot",
        dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.use_scale = use_scale
        self.score_mode = one_of(self, "score_mode", score_mode, ("dot", "concat"))
        self.dropout = fraction(self, "dropout", dropout)
        self.seed = seed
        if dropout > 0:
            self.seed_generator = SeedGenerator(seed)
        self.scale = self.concat_score_weight = None
        self.supports_masking = True

    def build(self, input_shape):
        self._check_inputs(input_shape)
        if self.use_scale:
            self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        if self.score_mode == "concat":
            self.concat_score_weight = self.add_weight(name="concat_score_weight", shape=(), initializer="ones")

    def _check_inputs(self, inputs, mask=None):
        what = f"{type(self).__name__} {self.name!r}"
        first = inputs[0] if isinstance(inputs, (list, tuple)) else None
        if not isinstance(first, (list, tuple)) and not hasattr(first, "shape"):
            raise ValueError(f"{what}: inputs must be a list, [query, value] or [query, value, key].")
        if len(inputs) not in (2, 3):
            raise ValueError(
                f"{what}: inputs must be a list of 2 or 3 tensors, [query, value] or [query, value, key], got "
                f"{len(inputs)}."
            )
        shapes = [tuple(getattr(x, "shape", x)) for x in inputs]
        if any(len(shape) < 3 for shape in shapes):
            raise ValueError(f"{what}: inputs must have shapes (batch, steps, features), got {shapes}.")
        if mask is not None:
            if not isinstance(mask, (list, tuple)):
                raise ValueError(f"{what}: mask must be a list, [query_mask, value_mask], got a {type(mask).__name__}.")
            if len(mask) not in (2, 3):
                raise ValueError(f"{what}: mask must be a list of 2 or 3, [query_mask, value_mask], got {len(mask)}.")

    def scores(self, query, key):
        """Return how much each target attends to each source (batch, targets, sources), before the softmax."""
        if self.score_mode == "dot":
            scores = ops.matmul(query, ops.transpose(key, (0, 2, 1)))
            return scores if self.scale is None else scores * self.scale
        sums = ops.expand_dims(query, -2) + ops.expand_dims(key, -3)
        if self.scale is not None:
            sums = sums * self.scale
        return self.concat_score_weight * ops.sum(ops.tanh(sums), axis=-1)

    def _calculate_score_mask(self, scores, v_mask, use_causal_mask, first=0):
        """Return which sources each target may see, None for all; `first` is the position of the first target."""
        allowed = None if v_mask is None else ops.expand_dims(ops.cast(v_mask, "bool"), -2)
        if not use_causal_mask:
            return allowed
        causal = ops.expand_dims(positions(scores, -2) + first >= ops.transpose(positions(scores, -1)), 0)
        return causal if allowed is None else ops.logical_and(allowed, causal)

    def call(self, inputs, mask=None, training=False, return_attention_scores=False, use_causal_mask=False):
        self._check_inputs(inputs, mask)
        query, value = inputs[0], inputs[1]
        key = inputs[2] if len(inputs) > 2 else value
        query_mask, value_mask = (mask[0], mask[1]) if mask is not None else (None, None)
        rate = self.dropout if training else 0.0
        how = rate, use_causal_mask
        sizes, weights = None if return_attention_scores else self._sizes(query, key, rate), None
        unknown = sizes is not None and any(map(current.is_tensor, sizes))
        if sizes is None or not (unknown or block_size(*sizes)):
            result, weights = self._attended(query, key, value, value_mask, self.seed_generator if rate else None, *how)
        elif not rate and self._by_products:
            result = self._fused(query, key, value, value_mask, use_causal_mask)
        else:
            result = self._by_blocks(sizes, unknown, query, key, value, value_mask, *how)
        if query_mask is not None:
            result = result * ops.cast(ops.expand_dims(query_mask, -1), result.dtype)
        return (result, weights) if return_attention_scores else result

    def _attended(self, query, key, value, value_mask, seed, rate, causal, first=0):
        """Return output and scores of targets from the position `first` on."""
        scores = self.scores(query, key)
        weights = masked_softmax(scores, self._calculate_score_mask(scores, value_mask, causal, first), 1)
        if rate:
            weights = random.dropout(weights, rate, seed=seed)
        return ops.matmul(weights, value), weights

    @property
    def _by_products(self) -> bool:
        return self.score_mode == "dot" and type(self).scores is Attention.scores

    def _sizes(self, query, key, rate):
        """Return the number of targets and sizes of what one takes."""
        if not current.is_tensor(query):
            return None
        (batch, targets, _), sources = current.shape(query), current.shape(key)[1]
        features, copies = 1 if self._by_products else key.shape[2], DROPPED if rate else 1
        if current.is_tensor(batch) and not current.is_tensor(targets) and not current.is_tensor(sources):
            batch = None  # alone no reason to decide as the program runs
        return targets, batch, sources, features, copies

    def _by_blocks(self, sizes, unknown, query, key, value, value_mask, rate, causal):
        """Return the output without having all scores at once."""
        draws, weights = key_from(current, self.seed_generator) if rate else None, self.trainable_variables

        def block(first, query, key, value, value_mask, draws, *values):
            seed = None if draws is None else threefry.folded(current, draws, first)
            with scope.StatelessScope(zip(weights, values)):
                return self._attended(query, key, value, value_mask, seed, rate, causal, first)[0]

        whole = [key, value, value_mask, draws, *(v.value for v in weights)]
        if unknown:
            return in_room(current, block, sizes, [(query, 1)], whole)
        return by_blocks(current, block, block_size(*sizes), [(query, 1)], whole)

    def _fused(self, query, key, value, value_mask, causal):
        """Return the output by the framework's kernel, or block by block where it has none."""
        query, key, value = (ops.expand_dims(ops.cast(x, self.compute_dtype), 2) for x in (query, key, value))
        seen = None if value_mask is None else ops.expand_dims(ops.cast(value_mask, "bool"), (1, 2))
        query = query if self.scale is None else query * self.scale
        result = ops.squeeze(ops.dot_product_attention(query, key, value, mask=seen, scale=1.0, is_causal=causal), 2)
        if value_mask is None:
            return result
        # A target that sees nothing gets nothing; the op gives it the mean of all.
        count = ops.cumsum(ops.cast(value_mask, "int32"), axis=1)
        last = ops.shape(value)[1] - 1
        count = ops.take(count, ops.minimum(ops.arange(ops.shape(query)[1]), last), axis=1) if causal else count[:, last:]
        return ops.where(ops.expand_dims(count > 0, -1), result, ops.zeros((), result.dtype))

    def compute_mask(self, inputs, mask=None):
        self._check_inputs(inputs, mask)
        return None if mask is None or mask[0] is None else ops.convert_to_tensor(mask[0])


class AdditiveAttention(Attention):
    """Let each target of `query` gather from the sources of `value`, by sums of tanh(query + key) (arXiv:1409.0473).

    Args:
        use_scale: Whether the features of the sum are multiplied by learned weights.
        dropout: Share of scores to drop in training.

    Call arguments as for `Attention`.

    >>> import multikeras
    >>> query, value = multikeras.ops.ones((2, 3, 4)), multikeras.ops.ones((2, 5, 4))
    >>> multikeras.layers.AdditiveAttention()([query, value]).shape == (2, 3, 4)
    True
    """

    not_in_config = ("score_mode",)

    def __init__(self, use_scale: bool = True, dropout: float = 0.0, **kwargs: Any):
        super().__init__(use_scale=use_scale, dropout=dropout, **kwargs)

    def build(self, input_shape):
        self._check_inputs(input_shape)
        if self.use_scale:
            self.scale = self.add_weight(name="scale", shape=(input_shape[0][-1],), initializer="glorot_uniform")

    def scores(self, query, key):
        sums = ops.tanh(ops.expand_dims(query, -2) + ops.expand_dims(key, -3))
        return ops.sum(sums if self.scale is None else self.scale * sums, axis=-1)
