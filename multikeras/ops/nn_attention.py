"""Scaled dot-product attention."""

import functools

from multikeras.backend import dtypes
from multikeras.backend.shapes import block_size, known
from multikeras.ops._op import convert, op
from multikeras.ops.blocks import by_blocks, in_room


@op(tensors=3, promote=True, inexact=True)
def dot_product_attention(B, query, key, value, bias=None, mask=None, scale=None, is_causal=False,
                          flash_attention=None, attn_logits_soft_cap=None):  # fmt: skip
    """Average `value` by the softmax of the products of `query` and `key`.

    Args:
        query: (batch, target, heads, size).
        key: (batch, source, key heads, size); `heads` is a multiple of the key heads, which then serve several.
        value: Like `key`.
        bias: Added to the logits, (batch, heads, target, source) or what broadcasts to it.
        mask: False where a target may not look, shaped like `bias`.
        scale: Of the logits; 1 / sqrt(size) if None.
        is_causal: Whether a target sees no source after itself.
        flash_attention: Whether a fused kernel must (True) or must not (False) be used; here there is none.
        attn_logits_soft_cap: Bound towards which logits are bent by tanh.

    >>> from multikeras import ops
    >>> x = ops.ones((2, 3, 4, 5))
    >>> ops.dot_product_attention(x, x, x).shape == (2, 3, 4, 5)
    True
    """
    for name, x in (("query", query), ("key", key), ("value", value)):
        if len(x.shape) != 4:
            raise ValueError(
                f"dot_product_attention: {name} must have rank 4 (batch, length, heads, size),"
                f" got shape {tuple(x.shape)}."
            )
    dtype = B.dtype(query)
    wide = dtypes.result_type(dtype, "float32")
    (batch, target, heads, size), (_, source, groups, _) = B.shape(query), B.shape(key)
    if known(heads) and known(groups) and heads != groups:
        if heads % groups and B.has_values:
            raise ValueError(
                f"dot_product_attention: {heads} heads of query are no multiple of {groups} heads of "
                "key."
            )
        served = B.floor_divide(B.arange(0, heads, 1, "int32"), B.asarray(heads // groups, "int32"))
        key, value = (B.take(x, served, 2) for x in (key, value))
    scale = size**-0.5 if scale is None and isinstance(size, int) else scale
    query = query * (B.asarray(scale, dtype) if isinstance(scale, float) else B.cast(convert(B, scale), dtype))
    bias = None if bias is None else B.cast(convert(B, bias), wide)
    allowed = None if mask is None else B.cast(convert(B, mask), "bool")
    at_once = functools.partial(_at_once, B, soft_cap=attn_logits_soft_cap)

    def cut():
        return [(query, 1), (_of_rank_4(B, bias), 2), (_of_rank_4(B, allowed), 2)]

    if B.has_values and (B.is_tensor(target) or B.is_tensor(source)):
        block = functools.partial(_block, B, is_causal, at_once)
        return in_room(B, block, (target, batch, heads, source), cut(), [key, value])
    rows = block_size(target, batch, heads, source) if B.has_values else None
    if rows is not None:
        how = {"scale": 1.0, "flash_attention": flash_attention, "attn_logits_soft_cap": attn_logits_soft_cap}
        block = functools.partial(_block, B, is_causal, functools.partial(B.dot_product_attention, **how))
        return by_blocks(B, block, rows, cut(), [key, value])
    return at_once(query, key, value, bias, allowed, is_causal)


def _at_once(B, query, key, value, bias=None, allowed=None, is_causal=False, soft_cap=None):
    """Return the attention of scaled queries by way of all logits."""
    dtype = B.dtype(query)
    wide = dtypes.result_type(dtype, "float32")
    logits = B.cast(B.einsum("btnh,bsnh->bnts", query, key), wide)
    if soft_cap is not None:
        logits = B.tanh(logits * (1.0 / soft_cap)) * float(soft_cap)
    if bias is not None:
        logits = logits + bias
    if is_causal:
        allowed = _not_ahead(B, B.arange(0, B.shape(query)[1], 1, "int32"), B.shape(key)[1], allowed)
    if allowed is not None:
        # Finite, so that a row that sees nothing stays a number.
        logits = B.where(allowed, logits, B.asarray(-1e30 if wide == "float32" else -1e300, wide))
    return B.averaged(logits, value)


@op(tensors=2)
def averaged(B, logits, values):
    """Average values (batch, source, heads, size) by the softmax of logits (batch, heads, target, source)."""
    return B.einsum("bnts,bsnh->btnh", B.cast(B.softmax(logits, -1), B.dtype(values)), values)


def _of_rank_4(B, x):
    return x if x is None else B.reshape(x, (1,) * (4 - len(x.shape)) + tuple(B.shape(x)))


def _not_ahead(B, rows, source, allowed):
    """Return `allowed`, but for sources that come after the targets `rows`."""
    seen = B.expand_dims(rows, 1) >= B.arange(0, source, 1, "int32")
    seen = B.expand_dims(B.expand_dims(seen, 0), 0)
    return seen if allowed is None else B.bitwise_and(allowed, seen)


def _block(B, causal, attention, first, query, bias, allowed, key, value):
    """Return the attention of a few targets, from `first` on."""
    if causal:
        rows = first + B.arange(0, B.shape(query)[1], 1, "int32")
        allowed = _not_ahead(B, rows, B.shape(key)[1], allowed)
    return attention(query, key, value, bias, allowed)
