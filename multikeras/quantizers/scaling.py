"""Floats as few integers: symmetric by the largest value, or in blocks with a zero point."""

from typing import Any

from multikeras.ops._op import op


def check_range(value_range: Any) -> tuple:
    """Return lowest and highest integer; ValueError if it is not two numbers."""
    try:
        low, high = value_range
    except (TypeError, ValueError):
        raise ValueError(f"value_range must be a pair (lowest, highest) of integers, got {value_range!r}.") from None
    return low, high


@op(inexact=True)
def abs_max_quantize(B, inputs, axis, value_range=(-127, 127), dtype="int8", epsilon=1e-7, to_numpy=False):
    """Return `inputs` as integers and the scale they were multiplied by, so that the largest value fills the range.

    Args:
        axis: Axis or axes that share one scale, which keeps them with size 1. None for all, () for none.
        value_range: Lowest and highest integer.
        dtype: Dtype of the integers.
        epsilon: Added to the largest value, for inputs that are zero.
        to_numpy: Taken for programs that pass it; the result does not depend on it.

    >>> from multikeras import ops, quantizers
    >>> integers, scale = quantizers.abs_max_quantize(ops.array([[0.5, -1.0]]), axis=-1)
    >>> ops.convert_to_numpy(integers).tolist(), round(float(scale[0, 0]), 3)
    ([[63, -127]], 127.0)
    """
    low, high = check_range(value_range)
    axes = range(inputs.ndim) if axis is None else axis if isinstance(axis, (list, tuple)) else (axis,)
    size = B.abs(inputs)
    size = B.max(size, tuple(a % inputs.ndim for a in axes), keepdims=True) if axes else size
    scale = B.cast(B.asarray(high), B.dtype(size)) / (size + epsilon)
    return B.cast(B.clip(B.round(inputs * scale), low, high), dtype), scale


@op(inexact=True)
def abs_max_quantize_grouped_with_zero_point(
    B, inputs, block_size, value_range=(-8, 7), dtype="int8", epsilon=1e-7, to_numpy=False
):
    """Return a matrix as integers, with scale and zero point for each block of rows in each column.

    `(integers - zero) * scale` of its block gives a value back.

    Args:
        inputs: Matrix (rows, columns); the last block may be shorter.
        block_size: Rows in a block.
        value_range, dtype, epsilon, to_numpy: As for `abs_max_quantize`.

    Shapes: integers (rows, columns); scale and zero (blocks, columns).

    >>> from multikeras import ops, quantizers
    >>> integers, scale, zero = quantizers.abs_max_quantize_grouped_with_zero_point(ops.array([[0.0], [3.0]]), 2)
    >>> ops.convert_to_numpy(integers).tolist(), round(float(scale[0, 0]), 3), int(zero[0, 0])
    ([[-8], [7]], 0.2, -8)
    """
    low, high = check_range(value_range)
    if not isinstance(block_size, int) or block_size < 1:
        raise ValueError(
            f"abs_max_quantize_grouped_with_zero_point: block_size must be a positive integer, got {block_size!r}."
        )
    rows, columns = inputs.shape
    blocks = -(-rows // block_size)
    padded = B.pad(inputs, ((0, blocks * block_size - rows), (0, 0)))
    padded = B.reshape(padded, (blocks, block_size, columns))
    least, most = B.min(padded, (1,), keepdims=True), B.max(padded, (1,), keepdims=True)
    flat = B.equal(least, most)
    least, most = B.where(flat, least - 1, least), B.where(flat, most + 1, most)
    scale = (most - least + epsilon) / (high - low)
    zero = B.clip(B.round(-least / scale) + low, low, high)
    integers = B.clip(B.round(padded / scale) + zero, low, high)
    integers = B.reshape(integers, (blocks * block_size, columns))[:rows]
    return B.cast(integers, dtype), B.squeeze(scale, (1,)), B.cast(B.squeeze(zero, (1,)), "int8")
