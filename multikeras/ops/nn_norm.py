"""Normalization: by batch, layer, root mean square or norm. Half precision is computed in float32."""

from typing import Any

from multikeras import config
from multikeras.backend import dtypes
from multikeras.backend.shapes import canonical_axes
from multikeras.ops._op import convert, op


def _wide(dtype: str) -> str:
    """Return the dtype in which sums of `dtype` keep enough digits."""
    return dtypes.result_type(dtype, "float32")


def _aligned(B, x, like, axes):
    """Return `x`, whose dimensions are the `axes` of `like`, shaped to broadcast with it."""
    sizes = B.shape(like)
    return B.reshape(x, tuple(sizes[i] if i in axes else 1 for i in range(len(sizes))))


@op(inexact=True)
def batch_normalization(B, x, mean, variance: Any, axis, offset=None, scale=None, epsilon=1e-3):
    """Subtract `mean`, divide by the root of `variance` + `epsilon`, multiply by `scale` and add `offset`.

    These have one entry for each of the positions along `axis`.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.batch_normalization([[1.0, 5.0]], [1.0, 3.0], [1.0, 4.0], -1, epsilon=0.0)).tolist()
    [[0.0, 1.0]]
    """
    axes = canonical_axes(axis, len(x.shape), "batch_normalization")
    dtype = B.dtype(x)
    mean, variance, offset, scale = (
        None if v is None else _aligned(B, B.cast(convert(B, v), _wide(dtype)), x, axes)
        for v in (mean, variance, offset, scale)
    )
    factor = B.rsqrt(variance + epsilon)
    factor = factor if scale is None else factor * scale
    y = (B.cast(x, _wide(dtype)) - mean) * factor
    return B.cast(y if offset is None else y + offset, dtype)


@op(inexact=True)
def normalization_by_batch(B, x, axis, offset=None, scale=None, epsilon=1e-3):
    """Normalize by the batch's own mean and variance, over all axes but `axis`; return the result and both.

    No gradient need flow through the two.

    >>> from multikeras.ops.nn_norm import normalization_by_batch
    >>> y, mean, variance = normalization_by_batch([[1.0], [3.0]], -1, epsilon=0.0)
    >>> float(y[0, 0]), float(mean[0]), float(variance[0])
    (-1.0, 2.0, 1.0)
    """
    (axis,) = canonical_axes(axis, len(x.shape), "normalization_by_batch")
    mean, variance = B.moments(x, [a for a in range(len(x.shape)) if a != axis])
    return B.batch_normalization(x, mean, variance, axis, offset, scale, epsilon), mean, variance


@op(tensors=3, inexact=True)
def layer_normalization(B, x, gamma=None, beta=None, axis=-1, epsilon=None, **kwargs):
    """Bring each slice over `axis` to mean 0 and variance 1, multiply by `gamma` and add `beta`.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.layer_normalization([[1.0, 3.0]], epsilon=0.0)).tolist()
    [[-1.0, 1.0]]
    """
    rms_scaling = kwargs.pop("rms_scaling", False)
    if kwargs:
        raise ValueError(f"layer_normalization: unknown arguments {sorted(kwargs)}.")
    axes, dtype = canonical_axes(axis, len(x.shape), "layer_normalization"), B.dtype(x)
    epsilon = config.epsilon() if epsilon is None else epsilon
    gamma, beta = (None if v is None else _aligned(B, B.cast(v, _wide(dtype)), x, axes) for v in (gamma, beta))
    wide = B.cast(x, _wide(dtype))
    centred = wide - B.mean(wide, axes, True)
    y = (wide if rms_scaling else centred) * B.rsqrt(B.mean(centred * centred, axes, True) + epsilon)
    y = y if gamma is None else y * gamma
    return B.cast(y if beta is None else y + beta, dtype)


@op(inexact=True)
def rms_normalization(B, x, scale=None, axis=-1, epsilon=None):
    """Divide each slice over `axis` by its root mean square and multiply by `scale`.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.rms_normalization([[3.0, -3.0]], epsilon=0.0)).tolist()
    [[1.0, -1.0]]
    """
    axes, dtype = canonical_axes(axis, len(x.shape), "rms_normalization"), B.dtype(x)
    epsilon = config.epsilon() if epsilon is None else epsilon
    wide = B.cast(x, _wide(dtype))
    y = wide * B.rsqrt(B.mean(wide * wide, axes, True) + epsilon)
    if scale is not None:
        scale = B.cast(convert(B, scale), _wide(dtype))
        y = y * (_aligned(B, scale, x, axes) if len(scale.shape) == len(axes) else scale)
    return B.cast(y, dtype)


@op(inexact=True)
def moments(B, x, axes, keepdims=False, synchronized=False):
    """Return mean and variance over `axes`.

    >>> from multikeras import ops
    >>> [float(m) for m in ops.moments([1.0, 3.0], axes=0)]
    [2.0, 1.0]
    """
    dtype = B.dtype(x)
    wide = B.cast(x, _wide(dtype))
    mean = B.mean(wide, axes, True)
    centred = wide - mean
    variance = B.mean(centred * centred, axes, keepdims)
    mean = mean if keepdims else B.squeeze(mean, canonical_axes(axes, len(x.shape), "moments"))
    return B.saturate_cast(mean, dtype), B.saturate_cast(variance, dtype)


@op(inexact=True)
def normalize(B, x, axis=-1, order=2, epsilon=None):
    """Divide by the norm of the given order over `axis`, but never by less than `epsilon`.

    >>> from multikeras import ops
    >>> [round(float(v), 3) for v in ops.normalize([3.0, 4.0])]
    [0.6, 0.8]
    """
    if not isinstance(order, int) or order < 1:
        raise ValueError(f"normalize: order must be a positive integer, got {order!r}.")
    epsilon = B.asarray(config.epsilon() if epsilon is None else epsilon, B.dtype(x))
    norm = B.norm(x, order, axis, True)
    return B.divide(x, B.maximum(norm, epsilon))
