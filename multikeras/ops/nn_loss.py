"""Encodings of classes, cross-entropies and signal-to-noise ratio."""

import math

from multikeras import config
from multikeras.backend import dtypes
from multikeras.backend.shapes import Spec, canonical_axis, known
from multikeras.ops._common import constant
from multikeras.ops._op import convert, op


@op
def one_hot(B, x, num_classes, axis=-1, dtype=None, sparse=False):
    """Return 1 at the position that each integer names along a new axis, 0 elsewhere; all 0 for one out of range.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.one_hot([0, 2], 3)).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    dtype = dtypes.standardize_dtype(dtype)
    x = B.cast(x, "int32") if not dtypes.is_int(B.dtype(x)) else x
    axis = canonical_axis(axis, len(x.shape) + 1, "one_hot")
    if sparse and B.supports_sparse:
        return _one_hot_entries(B, x, num_classes, axis, dtype)
    classes = B.reshape(B.arange(0, num_classes, 1, B.dtype(x)), (num_classes,) + (1,) * (len(x.shape) - axis))
    return B.cast(B.equal(B.expand_dims(x, axis), classes), dtype)


def _one_hot_entries(B, x, num_classes, axis, dtype):
    """Return `one_hot` as a sparse tensor, with a 0 for each entry out of range."""
    sizes = tuple(B.shape(x))
    flat = B.cast(B.reshape(x, (-1,)), "int32")
    inside = B.bitwise_and(flat >= 0, flat < num_classes)
    places = B.meshgrid(*(B.arange(0, n, 1, "int32") for n in sizes), indexing="ij")
    columns = [B.reshape(place, (-1,)) for place in places]
    columns.insert(axis, B.where(inside, flat, B.asarray(0, "int32")))
    return B.sparse(B.stack(columns, 1), B.cast(inside, dtype), (*sizes[:axis], num_classes, *sizes[axis:]), in_order=False)


@op
def multi_hot(B, inputs, num_classes=None, axis=-1, dtype=None, sparse=False, **kwargs):
    """Return 1 at every position that one of a row of integers names.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.multi_hot([[0, 2], [1, 1]], 3)).tolist()
    [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    """
    num_classes = kwargs.pop("num_tokens", num_classes)
    if num_classes is None:
        raise ValueError("multi_hot: give num_classes.")
    x, tokens = B.cast(inputs, "int32"), 1 if len(inputs.shape) > 1 else 0
    if sparse and B.supports_sparse:
        return _multi_hot_entries(B, B.one_hot(x, num_classes, axis, "int32", True), tokens, dtype)
    return B.max(B.one_hot(x, num_classes, axis, dtype), tokens)


def _multi_hot_entries(B, encoded, tokens, dtype):
    """Return a sparse encoding without its dimension `tokens`: 1 where some token has 1."""
    shape = tuple(n for i, n in enumerate(encoded.shape) if i != tokens)
    dtype = dtypes.standardize_dtype(dtype)
    if isinstance(encoded, Spec):
        return Spec(shape, dtype, sparse=True)
    indices, values, _ = B.sparse_parts(encoded)
    kept = B.concatenate([indices[:, :tokens], indices[:, tokens + 1 :]], 1)
    indices, values = B.coalesced(kept, values, shape)
    return B.sparse(indices, B.cast(values > 0, dtype), shape)


def _check_like(op_name, target, output, dimensions=slice(None)):
    ours, theirs = tuple(target.shape)[dimensions], tuple(output.shape)[dimensions]
    if len(target.shape) != len(output.shape) or any(known(a) and known(b) and a != b for a, b in zip(ours, theirs)):
        raise ValueError(
            f"{op_name}: Arguments `target` and `output` must have the same shape. "
            f"Received: target.shape={tuple(target.shape)}, output.shape={tuple(output.shape)}"
        )


def _probabilities(B, x):
    """Return `x` kept away from 0 and 1, where logarithms are infinite."""
    margin = config.epsilon()
    return B.minimum(B.maximum(x, B.asarray(margin, B.dtype(x))), B.asarray(1 - margin, B.dtype(x)))


@op(tensors=2, promote=True, inexact=True)
def binary_crossentropy(B, target, output, from_logits=False):
    """Return the cross-entropy of probabilities (or logits) of single events.

    >>> from multikeras import ops
    >>> round(float(ops.binary_crossentropy([1.0], [0.5])[0]), 4)
    0.6931
    """
    _check_like("binary_crossentropy", target, output)
    if from_logits:
        return B.softplus(output) - output * target
    p = _probabilities(B, output)
    return -(target * B.log(p) + (1.0 - target) * B.log(1.0 - p))


def _log_probabilities(B, output, from_logits, axis):
    if from_logits:
        return B.log_softmax(output, axis)
    return B.log(_probabilities(B, B.divide(output, B.sum(output, axis, True))))


@op(tensors=2, promote=True, inexact=True)
def categorical_crossentropy(B, target, output, from_logits=False, axis=-1):
    """Return the cross-entropy of a distribution over classes along `axis` against `target`, another.

    >>> from multikeras import ops
    >>> round(float(ops.categorical_crossentropy([[1.0, 0.0]], [[0.5, 0.5]])[0]), 4)
    0.6931
    """
    if len(target.shape) < 1:
        raise ValueError(
            "categorical_crossentropy: target and output need a class axis,"
            f" got shape {tuple(target.shape)}."
        )
    _check_like("categorical_crossentropy", target, output)
    return -B.sum(target * _log_probabilities(B, output, from_logits, axis), axis)


@op(tensors=2)
def sparse_categorical_crossentropy(B, target, output, from_logits=False, axis=-1):
    """Return the cross-entropy of a distribution over classes along `axis` against integer classes.

    >>> from multikeras import ops
    >>> round(float(ops.sparse_categorical_crossentropy([1], [[0.5, 0.5]])[0]), 4)
    0.6931
    """
    if not len(output.shape):
        raise ValueError(
            "sparse_categorical_crossentropy: output needs a class axis,"
            f" got shape {tuple(output.shape)}."
        )
    output = output if dtypes.is_inexact(B.dtype(output)) else B.cast(output, config.floatx())
    target = B.cast(target, "int32")
    axis = canonical_axis(axis, len(output.shape), "sparse_categorical_crossentropy")
    if len(target.shape) == len(output.shape) and target.shape[-1] == 1:
        target = B.squeeze(target, (len(target.shape) - 1,))
    rest = tuple(s for i, s in enumerate(output.shape) if i != axis)
    if len(target.shape) != len(rest) or any(known(a) and known(b) and a != b for a, b in zip(target.shape, rest)):
        raise ValueError(
            "sparse_categorical_crossentropy: Argument `output` must have rank (ndim) one more than `target`, with the "
            f"same sizes but for axis {axis}. Received: target.shape={tuple(target.shape)}, "
            f"output.shape={tuple(output.shape)}"
        )
    classes, dtype = B.shape(output)[axis], B.dtype(output)
    chosen = B.one_hot(target, classes, axis, "bool")

    def of_class(values):
        return B.sum(B.where(chosen, values, B.asarray(0, dtype)), axis)

    if from_logits:
        return -of_class(B.log_softmax(output, axis))
    p = _probabilities(B, B.divide(of_class(output), B.sum(output, axis)))  # one logarithm a row, not one a class
    return -B.log(p) * B.cast(B.bitwise_and(target >= 0, target < classes), dtype)


@op(tensors=2, promote=True, inexact=True)
def psnr(B, x1, x2, max_val):
    """Return the peak signal-to-noise ratio of two equal-shaped signals in decibels.

    >>> from multikeras import ops
    >>> float(ops.psnr([0.0, 0.0], [1.0, 1.0], max_val=10.0))
    20.0
    """
    if len(x1.shape) != len(x2.shape) or any(known(a) and known(b) and a != b for a, b in zip(x1.shape, x2.shape)):
        raise ValueError(f"psnr: shapes {tuple(x1.shape)} and {tuple(x2.shape)} differ.")
    error = x1 - x2
    peak = B.cast(convert(B, max_val), B.dtype(x1))
    return (B.log(peak) * 2.0 - B.log(B.mean(error * error))) * constant(B, x1, 10.0 / math.log(10.0))
