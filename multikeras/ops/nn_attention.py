"""Scaled dot-product attention."""


from multikeras.backend import dtypes
from multikeras.backend.shapes import known
from multikeras.ops._op import convert, op


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

    def attended(query, key, value, rows, bias, allowed):
        logits = B.cast(B.einsum("btnh,bsnh->bnts", query, key), wide)
        if attn_logits_soft_cap is not None:
            logits = B.tanh(logits * (1.0 / attn_logits_soft_cap)) * float(attn_logits_soft_cap)
        if bias is not None:
            logits = logits + bias
        if is_causal:
            seen = B.reshape(B.expand_dims(rows, 1) >= B.arange(0, source, 1, "int32"), (1, 1, -1, source))
            allowed = seen if allowed is None else B.bitwise_and(allowed, seen)
        if allowed is not None:
            # Finite, so that a row that sees nothing stays a number.
            logits = B.where(allowed, logits, B.asarray(-1e30 if wide == "float32" else -1e300, wide))
        return B.einsum("bnts,bsnh->btnh", B.cast(B.softmax(logits, -1), dtype), value)

    a_row = heads * source * (batch if isinstance(batch, int) else 1) if isinstance(source, int) else None
    if B.has_values and a_row is not None and isinstance(target, int) and a_row * target > MOST_LOGITS:
        return _by_blocks(B, attended, max(_BLOCK // a_row, 1), query, key, value, bias, allowed)
    return attended(query, key, value, B.arange(0, target, 1, "int32"), bias, allowed)


MOST_LOGITS = 2**26
"""So many are computed at once, more of them block by block, which takes longer, as the backward pass computes them again."""
_BLOCK = 2**23
"""Logits of a block: 32 MB, a size at which C libraries give memory back instead of keeping it in pieces."""


def _by_blocks(B, attended, size, query, key, value, bias, allowed):
    """Return `attended` of blocks of `size` targets, one after the other, each computed again in the backward pass.

    No more than the logits of one block are ever kept: memory grows with the length, not with its square.
    """
    target = query.shape[1]
    blocks = -(-target // size)

    def cut(x, axis):
        """Return the blocks along `axis` of `x`, stacked in front."""
        x = B.pad(x, [(0, (blocks * size - target) * (i == axis)) for i in range(len(x.shape))])
        sizes = B.shape(x)
        x = B.reshape(x, (*sizes[:axis], blocks, size, *sizes[axis + 1 :]))
        return B.transpose(x, (axis, *(i for i in range(len(sizes) + 1) if i != axis)))

    by_row = [x if x is None else B.reshape(x, ((1,) * (4 - len(x.shape)) + tuple(B.shape(x)))) for x in (bias, allowed)]
    varying = [x is not None and x.shape[2] != 1 for x in by_row]
    block = B.remat(attended)

    def step(_, slices):
        query, rows, *rest = slices
        bias, allowed = (rest.pop(0) if varies else x for x, varies in zip(by_row, varying))
        return (), block(query, key, value, rows, bias, allowed)

    rows = B.reshape(B.arange(0, blocks * size, 1, "int32"), (blocks, size))
    xs = [cut(query, 1), rows, *(cut(x, 2) for x, varies in zip(by_row, varying) if varies)]
    _, out = B.scan(step, (), xs, None)
    batch, _, heads, _ = B.shape(query)
    out = B.reshape(B.transpose(out, (1, 0, 2, 3, 4)), (batch, blocks * size, heads, B.shape(value)[-1]))
    return B.getitem(out, (slice(None), slice(0, target)))
