"""Losses between numbers. Functions return one loss a sample: the mean over the last axis."""

import math
from typing import Any

from multikeras import config, ops
from multikeras.losses.loss import LossFunctionWrapper, squeeze_or_expand_to_same_rank

_BATCH_MEAN = "sum_over_batch_size"


def pair(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Return both as tensors of the dtype of `y_pred` and of one rank."""
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.convert_to_tensor(y_true, dtype=y_pred.dtype)
    return squeeze_or_expand_to_same_rank(y_true, y_pred)


def _mean(x: Any) -> Any:
    return ops.mean(x, axis=-1)


def mean_squared_error(y_true: Any, y_pred: Any) -> Any:
    """Return the mean of squared differences.

    >>> from multikeras import losses, ops
    >>> ops.convert_to_numpy(losses.mean_squared_error([[0.0, 1.0]], [[1.0, 3.0]])).tolist()
    [2.5]
    """
    y_true, y_pred = pair(y_true, y_pred)
    return _mean(ops.square(y_true - y_pred))


def mean_absolute_error(y_true: Any, y_pred: Any) -> Any:
    """Return the mean of absolute differences."""
    y_true, y_pred = pair(y_true, y_pred)
    return _mean(ops.abs(y_true - y_pred))


def mean_absolute_percentage_error(y_true: Any, y_pred: Any) -> Any:
    """Return the mean of absolute differences in percent of the true values."""
    y_true, y_pred = pair(y_true, y_pred)
    return 100.0 * _mean(ops.abs(y_true - y_pred) / ops.maximum(ops.abs(y_true), config.epsilon()))


def mean_squared_logarithmic_error(y_true: Any, y_pred: Any) -> Any:
    """Return the mean of squared differences between logarithms of 1 + the values, negative ones taken as 0."""
    y_true, y_pred = pair(y_true, y_pred)
    low = config.epsilon()
    return _mean(ops.square(ops.log(ops.maximum(y_pred, low) + 1.0) - ops.log(ops.maximum(y_true, low) + 1.0)))


def huber(y_true: Any, y_pred: Any, delta: float = 1.0) -> Any:
    """Return the mean of half the squared differences, growing linearly from `delta` on.

    >>> from multikeras import losses, ops
    >>> ops.convert_to_numpy(losses.huber([[0.0, 0.0]], [[1.0, 3.0]])).tolist()
    [1.5]
    """
    y_true, y_pred = pair(y_true, y_pred)
    error = ops.abs(y_true - y_pred)
    near = ops.minimum(error, delta)
    return _mean(near * (error - 0.5 * near))


def log_cosh(y_true: Any, y_pred: Any) -> Any:
    """Return the mean of logarithms of the hyperbolic cosine of the differences."""
    y_true, y_pred = pair(y_true, y_pred)
    error = ops.abs(y_pred - y_true)
    return _mean(error + ops.softplus(-2.0 * error) - math.log(2.0))


def poisson(y_true: Any, y_pred: Any) -> Any:
    """Return the mean of y_pred - y_true * log(y_pred): counts against rates."""
    y_true, y_pred = pair(y_true, y_pred)
    return _mean(y_pred - y_true * ops.log(y_pred + config.epsilon()))


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """Return minus the cosine of the angle between vectors along `axis`: -1 for the same direction."""
    y_true, y_pred = pair(y_true, y_pred)
    return -ops.sum(ops.normalize(y_true, axis=axis) * ops.normalize(y_pred, axis=axis), axis=axis)


def _signs(y_true: Any) -> Any:
    """Return labels from {0, 1} as {-1, 1}, others as they are."""
    binary = ops.all(ops.logical_or(y_true == 0, y_true == 1))
    return ops.where(binary, 2.0 * y_true - 1.0, y_true)


def hinge(y_true: Any, y_pred: Any) -> Any:
    """Return the mean of max(1 - y_true * y_pred, 0); true labels are -1 and 1, or 0 and 1."""
    y_true, y_pred = pair(y_true, y_pred)
    return _mean(ops.maximum(1.0 - _signs(y_true) * y_pred, 0.0))


def squared_hinge(y_true: Any, y_pred: Any) -> Any:
    """Return the mean of max(1 - y_true * y_pred, 0) squared; true labels are -1 and 1, or 0 and 1."""
    y_true, y_pred = pair(y_true, y_pred)
    return _mean(ops.square(ops.maximum(1.0 - _signs(y_true) * y_pred, 0.0)))


def categorical_hinge(y_true: Any, y_pred: Any) -> Any:
    """Return by how much the best wrong class comes within 1 of the right one; `y_true` is one-hot."""
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.cast(y_true, y_pred.dtype)
    right = ops.sum(y_true * y_pred, axis=-1)
    wrong = ops.max((1.0 - y_true) * y_pred, axis=-1)
    return ops.maximum(wrong - right + 1.0, 0.0)


class MeanSquaredError(LossFunctionWrapper):
    """Take the mean of squared differences.

    >>> from multikeras import losses
    >>> float(losses.MeanSquaredError()([[0.0, 1.0]], [[1.0, 3.0]]))
    2.5
    """

    def __init__(self, reduction=_BATCH_MEAN, name="mean_squared_error", dtype=None):
        super().__init__(mean_squared_error, reduction, name, dtype)


class MeanAbsoluteError(LossFunctionWrapper):
    """Take the mean of absolute differences."""

    def __init__(self, reduction=_BATCH_MEAN, name="mean_absolute_error", dtype=None):
        super().__init__(mean_absolute_error, reduction, name, dtype)


class MeanAbsolutePercentageError(LossFunctionWrapper):
    """Take the mean of absolute differences in percent of the true values."""

    def __init__(self, reduction=_BATCH_MEAN, name="mean_absolute_percentage_error", dtype=None):
        super().__init__(mean_absolute_percentage_error, reduction, name, dtype)


class MeanSquaredLogarithmicError(LossFunctionWrapper):
    """Take the mean of squared differences between logarithms of 1 + the values."""

    def __init__(self, reduction=_BATCH_MEAN, name="mean_squared_logarithmic_error", dtype=None):
        super().__init__(mean_squared_logarithmic_error, reduction, name, dtype)


class CosineSimilarity(LossFunctionWrapper):
    """Take minus the cosine of the angle between vectors along `axis`."""

    def __init__(self, axis=-1, reduction=_BATCH_MEAN, name="cosine_similarity", dtype=None):
        super().__init__(cosine_similarity, reduction, name, dtype, axis=axis)


class Huber(LossFunctionWrapper):
    """Take half the squared differences, growing linearly from `delta` on (Huber, 1964)."""

    def __init__(self, delta=1.0, reduction=_BATCH_MEAN, name="huber_loss", dtype=None):
        super().__init__(huber, reduction, name, dtype, delta=delta)


class LogCosh(LossFunctionWrapper):
    """Take logarithms of the hyperbolic cosine of differences."""

    def __init__(self, reduction=_BATCH_MEAN, name="log_cosh", dtype=None):
        super().__init__(log_cosh, reduction, name, dtype)


class Poisson(LossFunctionWrapper):
    """Take the negative log-likelihood of counts under predicted rates, up to a constant."""

    def __init__(self, reduction=_BATCH_MEAN, name="poisson", dtype=None):
        super().__init__(poisson, reduction, name, dtype)


class Hinge(LossFunctionWrapper):
    """Take max(1 - y_true * y_pred, 0) for labels -1 and 1, or 0 and 1."""

    def __init__(self, reduction=_BATCH_MEAN, name="hinge", dtype=None):
        super().__init__(hinge, reduction, name, dtype)


class SquaredHinge(LossFunctionWrapper):
    """Take the square of max(1 - y_true * y_pred, 0) for labels -1 and 1, or 0 and 1."""

    def __init__(self, reduction=_BATCH_MEAN, name="squared_hinge", dtype=None):
        super().__init__(squared_hinge, reduction, name, dtype)


class CategoricalHinge(LossFunctionWrapper):
    """Take by how much the best wrong class comes within 1 of the right one."""

    def __init__(self, reduction=_BATCH_MEAN, name="categorical_hinge", dtype=None):
        super().__init__(categorical_hinge, reduction, name, dtype)
