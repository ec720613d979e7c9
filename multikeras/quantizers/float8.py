"""Products in float8: values scaled into its range, the scale following the largest values of the last steps."""

from typing import Any

from multikeras import ops
from multikeras.ops._op import op

LARGEST = {"float8_e4m3fn": 448.0, "float8_e5m2": 57344.0}
"""Largest finite number of each format: the first for activations and weights, the second for gradients."""


@op(tensors=2, inexact=True)
def compute_float8_scale(B, amax, scale, dtype_max, margin=0):
    """Return the factor by which values up to `amax` are divided to fill a format, or `scale` where that is none.

    Args:
        amax: Largest absolute value seen; zero or not finite keeps the old scale.
        scale: The scale until now.
        dtype_max: Largest number of the format.
        margin: Powers of two to stay below it.

    >>> from multikeras import quantizers
    >>> float(quantizers.compute_float8_scale(7.0, 1.0, 448.0))
    0.015625
    """
    dtype_max = B.cast(B.asarray(dtype_max), B.dtype(amax))
    usable = B.where(B.isfinite(amax), amax, 0 * scale)
    usable = B.where(usable > 0, usable, 0 * usable)
    fresh = 1 / ((dtype_max / B.where(usable > 0, usable, 0 * usable + 1)) / 2.0**margin)
    return B.where(usable > 0, fresh, scale)


@op(tensors=2)
def compute_float8_amax_history(B, x, amax_history):
    """Return the history of largest absolute values with that of `x` put in first place and the oldest left out.

    >>> from multikeras import ops, quantizers
    >>> history = quantizers.compute_float8_amax_history(ops.array([-9.0, 2.0]), ops.array([1.0, 2.0, 3.0]))
    >>> ops.convert_to_numpy(history).tolist()
    [9.0, 3.0, 1.0]
    """
    newest = B.cast(B.max(B.abs(x), tuple(range(x.ndim))), B.dtype(amax_history))
    # All move one place to the front, the first to the end, and what is now first is replaced.
    return B.concatenate([B.reshape(newest, (1,)), amax_history[2:], amax_history[:1]], 0)


@op
def quantize_and_dequantize(B, inputs, scale, quantized_dtype, compute_dtype):
    """Round values to a float8 format in units of `scale` and back: what a product in that format sees.

    >>> from multikeras import ops, quantizers
    >>> y = quantizers.quantize_and_dequantize(ops.array([0.3, 1000.0]), 1.0, "float8_e4m3fn", "float32")
    >>> ops.convert_to_numpy(y).tolist()
    [0.3125, 448.0]
    """
    scale = B.cast(B.asarray(scale), compute_dtype)
    largest = LARGEST[quantized_dtype]
    rounded = B.cast(B.clip(B.cast(inputs, compute_dtype) / scale, -largest, largest), quantized_dtype)
    return B.cast(rounded, compute_dtype) * scale


def on_the_way_in(x: Any, scale: Any, amax_history: Any, training: bool) -> Any:
    """Return `x` rounded to float8; while training the "gradients" of scale and history are their next values."""
    dtype = "float8_e4m3fn"

    @ops.custom_gradient
    def rounded(x, scale, amax_history):
        after = _next(x, scale, amax_history, dtype) if training else (scale, amax_history)
        y = quantize_and_dequantize(x, scale, dtype, ops.dtype(x))
        return y, lambda *args, upstream=None: (args[0] if upstream is None else upstream, *after)

    return rounded(x, scale, amax_history)


def on_the_way_back(y: Any, scale: Any, amax_history: Any) -> Any:
    """Return `y`, whose gradient is rounded to float8; scale and history get their next values as "gradients"."""
    dtype = "float8_e5m2"

    @ops.custom_gradient
    def kept(y, scale, amax_history):
        def grad(*args, upstream=None):
            upstream = args[0] if upstream is None else upstream
            rounded = quantize_and_dequantize(upstream, scale, dtype, ops.dtype(upstream))
            return rounded, *_next(upstream, scale, amax_history, dtype)

        return y, grad

    return kept(y, scale, amax_history)


def _next(x: Any, scale: Any, amax_history: Any, dtype: str) -> tuple:
    new_scale = compute_float8_scale(ops.max(amax_history), scale, LARGEST[dtype])
    return new_scale, compute_float8_amax_history(x, amax_history)
