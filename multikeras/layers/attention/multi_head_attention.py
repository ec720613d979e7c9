"""`MultiHeadAttention` and `GroupQueryAttention`: attention of several heads, with projections (arXiv:1706.03762)."""

import string
from typing import Any

from multikeras import ops
from multikeras.config import is_flash_attention_enabled
from multikeras.layers._arguments import fraction, keep, positive
from multikeras.layers.attention.attend import Sight, attend, both
from multikeras.layers.core.einsum_dense import EinsumDense
from multikeras.layers.layer import Layer
from multikeras.layers.regularization.dropout import Dropout


class Attending(Layer):
    """What both share: projections, dropout of scores, masks."""

    not_in_config = ("flash_attention",)
    also_in_config = ("activity_regularizer",)
    _axes: tuple[int, ...] = (1,)
    num_repeats = 1
    """Heads of the query that share one of key and value."""

    def _set_up(self, flash_attention: bool | None, dropout: float, sliding_window: int | None) -> None:
        fraction(self, "dropout", dropout)
        self._flash_attention = is_flash_attention_enabled() if flash_attention is None else flash_attention
        if self._flash_attention and dropout > 0:
            raise ValueError(
                f"{type(self).__name__}: flash attention knows no dropout, got dropout={dropout}. Set it to 0.0, or "
                "flash_attention=False."
            )
        if sliding_window is not None and (not isinstance(sliding_window, int) or sliding_window <= 0):
            raise ValueError(
                f"{type(self).__name__}: sliding_window must be None or a positive integer, got "
                f"sliding_window={sliding_window!r}."
            )
        self.supports_masking = True

    def _projection(self, name: str, rank: int, bound: int, new: tuple) -> EinsumDense:
        """Return a dense layer from the last `bound` axes of a tensor of rank `rank` to axes of sizes `new`."""
        letters = iter(string.ascii_lowercase)
        free = "".join(next(letters) for _ in range(rank - bound))
        summed = "".join(next(letters) for _ in range(bound))
        made = "".join(next(letters) for _ in new)
        return EinsumDense(
            f"{free}{summed},{summed}{made}->{free}{made}",
            output_shape=(*(None,) * (rank - bound - 1), *new),
            bias_axes=made if self.use_bias else None,
            # Each projection starts from draws of its own.
            kernel_initializer=_again(self.kernel_initializer), bias_initializer=_again(self.bias_initializer),
            kernel_regularizer=self.kernel_regularizer, bias_regularizer=self.bias_regularizer,
            activity_regularizer=self.activity_regularizer,
            kernel_constraint=self.kernel_constraint, bias_constraint=self.bias_constraint,
            dtype=self.dtype_policy, name=name,
        )  # fmt: skip

    def _build_projections(self, shapes: dict[str, tuple], heads: dict[str, tuple], output: tuple) -> None:
        for name in ("query", "key", "gate", "value"):
            if name == "gate" and not self.use_gate:
                continue
            shape = shapes["query" if name == "gate" else name]
            layer = self._projection(name, len(shape), 1, heads[name])
            setattr(self, f"_{name}_dense", layer)
            layer.build(shape)
        inner = (*shapes["query"][:-1], *heads["gate"])
        self._output_dense = self._projection("attention_output", len(inner), 2, output)
        self._output_dense.build(inner)
        self._dropout_layer = Dropout(self.dropout, dtype=self.dtype_policy, seed=self.seed)

    def call(self, query, value, key=None, query_mask=None, value_mask=None, key_mask=None, attention_mask=None,
             return_attention_scores=False, training=None, use_causal_mask=False):  # fmt: skip
        sight = Sight(query_mask, both(value_mask, key_mask), attention_mask, use_causal_mask, self.sliding_window)
        gate = self._gate_dense(query) if self.use_gate else None
        inputs, (query, key, value) = (query, value), (
            self._query_dense(query), self._key_dense(value if key is None else key), self._value_dense(value)
        )  # fmt: skip
        if self.num_repeats > 1:
            key, value = (ops.repeat(x, self.num_repeats, axis=2) for x in (key, value))
        if type(self)._compute_attention is Attending._compute_attention:
            output, scores = self._attend(query, key, value, sight, training, return_attention_scores)
        else:  # an override of a subclass gets all in one mask
            more = {"return_attention_scores": True} if return_attention_scores else {}
            output, scores = self._compute_attention(query, key, value, sight.mask(*inputs), training, **more)
        if gate is not None:
            output = output * ops.sigmoid(gate)
        output = self._output_dense(output)
        return (output, scores) if return_attention_scores else output

    def _compute_attention(self, query, key, value, attention_mask=None, training=None,
                           return_attention_scores=False, use_causal_mask=False):  # fmt: skip
        """Return what the projected queries attend to and the scores, or None for these: subclasses may override it."""
        query, key, value = map(ops.convert_to_tensor, (query, key, value))
        sight = Sight(pairs=attention_mask, causal=use_causal_mask)
        return self._attend(query, key, value, sight, training, return_attention_scores)

    def _attend(self, query, key, value, sight, training, scores_too):
        if self._flash_attention and scores_too:
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: flash attention computes no scores. Leave return_attention_scores "
                "False, or make the layer with flash_attention=False."
            )
        rate = self.dropout if training else 0.0
        seed = self._dropout_layer.seed_generator if rate else None
        blank = self.dropout > 0  # else a row would change with `training`
        return attend(query, key, value, self._axes, sight, rate, seed, scores_too, self._flash_attention, blank)

    def compute_mask(self, inputs, previous_mask=None):
        return previous_mask


def _again(initializer: Any) -> Any:
    if not hasattr(initializer, "get_config"):
        return initializer
    return type(initializer).from_config(initializer.get_config())


class MultiHeadAttention(Attending):
    """Let each position of `query` gather from the positions of `value`, by several heads.

    Args:
        num_heads: Number of heads.
        key_dim: Size of a head for query and key.
        value_dim: Size of a head for value; `key_dim` by default.
        dropout: Share of scores to drop in training.
        use_bias: Whether projections have a bias.
        output_shape: Sizes of the output after the positions; the last size of `query` by default.
        attention_axes: Axes attended over; all between batch and features by default.
        sliding_window: Largest distance, exclusive, at which positions see each other.
        flash_attention: Whether the fused kernel is required (True), forbidden (False) or used where it can be.
        use_gate: Whether the result is multiplied by a sigmoid of a projection of the query.
        seed: Where dropout's draws start.

    Call arguments: `query` (batch, targets, features), `value` (batch, sources, features), `key` (`value` by default),
    masks of each, `attention_mask` (batch, targets, sources), `return_attention_scores`, `training`, `use_causal_mask`.

    >>> import multikeras
    >>> layer, x = multikeras.layers.MultiHeadAttention(num_heads=2, key_dim=3), multikeras.ops.ones((2, 5, 8))
    >>> layer(x, x, use_causal_mask=True).shape == (2, 5, 8)
    True
    """

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: Any = None,
        attention_axes: Any = None,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        keep(self, {k: v for k, v in locals().items() if k != "flash_attention"})
        positive(self, "num_heads", num_heads)
        positive(self, "key_dim", key_dim)
        self.value_dim = key_dim if value_dim is None else positive(self, "value_dim", value_dim)
        if output_shape is not None:
            self.output_shape = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        if not isinstance(attention_axes, (int, list, tuple, type(None))):
            raise ValueError(
                f"MultiHeadAttention: attention_axes must be an int, a list or a tuple, got "
                f"{attention_axes!r}."
            )
        if attention_axes is not None:
            self.attention_axes = (attention_axes,) if isinstance(attention_axes, int) else tuple(attention_axes)
        self._set_up(flash_attention, dropout, sliding_window)

    def build(self, query_shape, value_shape, key_shape=None):
        key_shape = value_shape if key_shape is None else key_shape
        if not 3 <= len(query_shape) == len(value_shape) == len(key_shape):
            raise ValueError(
                f"MultiHeadAttention {self.name!r}: query, value and key must have one rank, at least 3: (batch, positions, "
                f"features), got shapes {query_shape}, {value_shape} and {key_shape}."
            )
        if value_shape[1:-1] != key_shape[1:-1]:
            raise ValueError(
                f"MultiHeadAttention {self.name!r}: value and key must agree in all sizes but the last, got shapes "
                f"{value_shape} and {key_shape}."
            )
        rank = len(query_shape)
        if self.attention_axes is None:
            self.attention_axes = tuple(range(1, rank - 1))
        else:
            self.attention_axes = tuple(a % rank for a in self.attention_axes)
        self._axes = self.attention_axes
        query, value = (self.num_heads, self.key_dim), (self.num_heads, self.value_dim)
        self._build_projections(
            {"query": query_shape, "key": key_shape, "value": value_shape},
            {"query": query, "key": query, "gate": value, "value": value},
            (query_shape[-1],) if self.output_shape is None else self.output_shape,
        )

    @property
    def query_dense(self):
        """The projection of queries."""
        return self._query_dense

    @property
    def key_dense(self):
        """The projection of keys."""
        return self._key_dense

    @property
    def value_dense(self):
        """The projection of values."""
        return self._value_dense

    @property
    def output_dense(self):
        """The projection of the heads' results to the output."""
        return self._output_dense


class GroupedQueryAttention(Attending):
    """Attention in which several heads of the query share one of key and value (Ainslie et al. 2023, arXiv:2305.13245).

    Args:
        head_dim: Size of a head.
        num_query_heads: Number of heads of the query.
        num_key_value_heads: Number of heads of key and value; it divides `num_query_heads`.
        dropout, use_bias, sliding_window, flash_attention, use_gate, seed: As for `MultiHeadAttention`.

    Call arguments as for `MultiHeadAttention`.

    >>> import multikeras
    >>> layer, x = multikeras.layers.GroupQueryAttention(3, 4, 2), multikeras.ops.ones((2, 5, 8))
    >>> layer(x, x).shape == (2, 5, 8)
    True
    """

    def __init__(
        self,
        head_dim: int,
        num_query_heads: int,
        num_key_value_heads: int,
        dropout: float = 0.0,
        use_bias: bool = True,
        sliding_window: int | None = None,
        flash_attention: bool | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        use_gate: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        keep(self, {k: v for k, v in locals().items() if k != "flash_attention"})
        for argument in ("head_dim", "num_query_heads", "num_key_value_heads"):
            positive(self, argument, getattr(self, argument))
        if num_query_heads % num_key_value_heads:
            raise ValueError(
                f"GroupedQueryAttention: num_query_heads={num_query_heads} must be a multiple of "
                f"num_key_value_heads={num_key_value_heads}."
            )
        self.num_repeats = num_query_heads // num_key_value_heads
        self._set_up(flash_attention, dropout, sliding_window)

    def build(self, query_shape, value_shape, key_shape=None):
        many, few = (self.num_query_heads, self.head_dim), (self.num_key_value_heads, self.head_dim)
        self._build_projections(
            {"query": query_shape, "key": value_shape if key_shape is None else key_shape, "value": value_shape},
            {"query": many, "key": few, "gate": many, "value": few},
            (query_shape[-1],),
        )
