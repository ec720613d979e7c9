"""Scaled dot-product attention over any axes, and the masks that limit who sees whom."""

import math
import string
from typing import Any

from multikeras import ops


def combined_mask(query: Any, value: Any, query_mask: Any, value_mask: Any, key_mask: Any, attention_mask: Any,
                  causal: bool, window: int | None) -> Any:  # fmt: skip
    """Return the mask (batch, targets, sources) that all the given ones allow, None if none is given."""
    masks = [] if attention_mask is None else [ops.cast(attention_mask, "bool")]
    if query_mask is not None:
        masks.append(ops.expand_dims(ops.cast(query_mask, "bool"), -1))
    for mask in (value_mask, key_mask):
        if mask is not None:
            masks.append(ops.expand_dims(ops.cast(mask, "bool"), -2))
    if causal or window:
        distance = positions(query, 1) - ops.transpose(positions(value, 1))
        if causal:
            masks.append(ops.expand_dims(distance >= 0, 0))
        if window:
            masks.append(ops.expand_dims(ops.abs(distance) < window, 0))
    combined = None
    for mask in masks:
        combined = mask if combined is None else ops.logical_and(combined, mask)
    return combined


def positions(x: Any, axis: int) -> Any:
    """Return 0, 1, 2, ... along the size of `axis`, as a column."""
    return ops.expand_dims(ops.arange(ops.shape(x)[axis], dtype="int32"), -1)


def attend(query: Any, key: Any, value: Any, axes: tuple[int, ...], mask: Any = None, drop: Any = None,
           scores_too: bool = False, flash: bool | None = None, causal: bool = False) -> tuple[Any, Any]:  # fmt: skip
    """Return what each target attends to, and the scores if asked for.

    Args:
        query, key, value: (batch, ..., heads, size); targets and sources lie along `axes`.
        axes: The axes attended over together.
        mask: Bool, True where a source may be seen: (batch, targets..., sources...) or with axes of batch and heads.
        drop: Function applied to the scores.
        scores_too: Whether the scores are wanted.
        flash: Whether the fused kernel is required, forbidden (False) or used where it can be (None).
        causal: Whether a target sees no source after itself.

    Returns output, of the shape of `query` but for the last size, and the scores (batch..., heads, targets...,
    sources...) or None.
    """
    rank = len(query.shape)
    scale = 1.0 / math.sqrt(query.shape[-1])
    if rank == 4 and drop is None and not scores_too and query.shape[-1] == value.shape[-1]:
        if mask is not None and len(mask.shape) == 3:
            mask = ops.expand_dims(mask, 1)
        output = ops.dot_product_attention(
            query, key, value, mask=mask, scale=scale, is_causal=causal, flash_attention=flash
        )
        return output, None
    if causal:
        mask = combined_mask(query, key, None, None, None, mask, True, None)
    letters = iter(string.ascii_lowercase)
    targets = [next(letters) for _ in range(rank - 2)]
    sources = [next(letters) if axis in axes else letter for axis, letter in enumerate(targets)]
    heads, size, out = next(letters), next(letters), next(letters)
    shared = [letter for axis, letter in enumerate(targets) if axis not in axes]
    scores_in = [*shared, heads, *(targets[a] for a in axes), *(sources[a] for a in axes)]
    q, k, s, v, o = ("".join(part) for part in (
        [*targets, heads, size], [*sources, heads, size], scores_in, [*sources, heads, out], [*targets, heads, out],
    ))  # fmt: skip
    scores = ops.einsum(f"{q},{k}->{s}", query * scale, key)
    scores = masked_softmax(scores, mask, len(axes))
    seen = scores if drop is None else drop(scores)
    return ops.einsum(f"{s},{v}->{o}", seen, value), scores if scores_too else None


def masked_softmax(scores: Any, mask: Any, over: int) -> Any:
    """Return the softmax over the last `over` axes, 0 where `mask` is False."""
    if mask is not None:
        mask = ops.cast(mask, "bool")
        while len(mask.shape) < len(scores.shape):
            mask = ops.expand_dims(mask, -2 * over - 1 if len(mask.shape) >= 2 * over else 0)
        lowest = -3e4 if ops.dtype(scores) == "float16" else -1e9
        scores = ops.where(mask, scores, ops.cast(lowest, scores.dtype))
    if over == 1:
        weights = ops.softmax(scores, axis=-1)
    else:
        weights = ops.exp(scores - ops.logsumexp(scores, axis=tuple(range(-over, 0)), keepdims=True))
    return weights if mask is None else weights * ops.cast(mask, weights.dtype)
