"""Losses, and correlations, as metrics: means over all batches."""

from typing import Any

from multikeras import losses, ops
from multikeras.losses.regression import pair
from multikeras.metrics.reductions import MeanMetricWrapper


def cosine_similarity(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """Return the cosine of the angle between vectors along `axis`: 1 for the same direction."""
    return -losses.cosine_similarity(y_true, y_pred, axis=axis)


def _centered(y_true: Any, y_pred: Any, axis: int) -> tuple[Any, Any, Any]:
    y_true, y_pred = pair(y_true, y_pred)
    means = ops.mean(y_true, axis=axis, keepdims=True), ops.mean(y_pred, axis=axis, keepdims=True)
    return y_true - means[0], y_pred - means[1], ops.squeeze(means[0] - means[1], axis)


def pearson_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """Return Pearson's correlation of each sample's entries along `axis`.

    >>> from multikeras import metrics, ops
    >>> ops.convert_to_numpy(metrics.pearson_correlation([[0.0, 1.0, 0.5]], [[0.1, 0.9, 0.5]])).round(4).tolist()
    [1.0]
    """
    true, pred, _ = _centered(y_true, y_pred, axis)
    true = true / ops.sqrt(ops.mean(ops.square(true), axis=axis, keepdims=True))
    pred = pred / ops.sqrt(ops.mean(ops.square(pred), axis=axis, keepdims=True))
    return ops.mean(true * pred, axis=axis)


def concordance_correlation(y_true: Any, y_pred: Any, axis: int = -1) -> Any:
    """Return Lin's concordance of each sample's entries along `axis`: correlation that also asks for equal mean and spread."""
    true, pred, shift = _centered(y_true, y_pred, axis)
    spread = ops.mean(ops.square(true), axis=axis) + ops.mean(ops.square(pred), axis=axis)
    return 2.0 * ops.mean(true * pred, axis=axis) / (spread + ops.square(shift))


class MeanSquaredError(MeanMetricWrapper):
    """Take the mean of squared differences.

    >>> from multikeras import metrics
    >>> float(metrics.MeanSquaredError()([[0.0, 1.0]], [[1.0, 3.0]]))
    2.5
    """

    def __init__(self, name="mean_squared_error", dtype=None):
        super().__init__(losses.mean_squared_error, name, dtype)


class MeanAbsoluteError(MeanMetricWrapper):
    """Take the mean of absolute differences."""

    def __init__(self, name="mean_absolute_error", dtype=None):
        super().__init__(losses.mean_absolute_error, name, dtype)


class MeanAbsolutePercentageError(MeanMetricWrapper):
    """Take the mean of absolute differences in percent of the true values."""

    def __init__(self, name="mean_absolute_percentage_error", dtype=None):
        super().__init__(losses.mean_absolute_percentage_error, name, dtype)


class MeanSquaredLogarithmicError(MeanMetricWrapper):
    """Take the mean of squared differences between logarithms of 1 + the values."""

    def __init__(self, name="mean_squared_logarithmic_error", dtype=None):
        super().__init__(losses.mean_squared_logarithmic_error, name, dtype)


class LogCoshError(MeanMetricWrapper):
    """Take the mean of logarithms of the hyperbolic cosine of differences."""

    def __init__(self, name="logcosh", dtype=None):
        super().__init__(losses.log_cosh, name, dtype)


class CosineSimilarity(MeanMetricWrapper):
    """Take the mean cosine of the angles between vectors along `axis`."""

    def __init__(self, name="cosine_similarity", dtype=None, axis=-1):
        super().__init__(cosine_similarity, name, dtype, axis=axis)


class PearsonCorrelation(MeanMetricWrapper):
    """Take the mean over samples of Pearson's correlation along `axis`."""

    def __init__(self, name="pearson_correlation", dtype=None, axis=-1):
        super().__init__(pearson_correlation, name, dtype, axis=axis)


class ConcordanceCorrelation(MeanMetricWrapper):
    """Take the mean over samples of Lin's concordance correlation along `axis`."""

    def __init__(self, name="concordance_correlation", dtype=None, axis=-1):
        super().__init__(concordance_correlation, name, dtype, axis=axis)


class Hinge(MeanMetricWrapper):
    """Take the mean of max(1 - y_true * y_pred, 0)."""

    def __init__(self, name="hinge", dtype=None):
        super().__init__(losses.hinge, name, dtype)


class SquaredHinge(MeanMetricWrapper):
    """Take the mean of max(1 - y_true * y_pred, 0) squared."""

    def __init__(self, name="squared_hinge", dtype=None):
        super().__init__(losses.squared_hinge, name, dtype)


class CategoricalHinge(MeanMetricWrapper):
    """Take by how much, on average, the best wrong class comes within 1 of the right one."""

    def __init__(self, name="categorical_hinge", dtype=None):
        super().__init__(losses.categorical_hinge, name, dtype)


class KLDivergence(MeanMetricWrapper):
    """Take the mean Kullback-Leibler divergence of predicted from true probabilities."""

    def __init__(self, name="kl_divergence", dtype=None):
        super().__init__(losses.kl_divergence, name, dtype)


class Poisson(MeanMetricWrapper):
    """Take the mean negative log-likelihood of counts under predicted rates, up to a constant."""

    def __init__(self, name="poisson", dtype=None):
        super().__init__(losses.poisson, name, dtype)


class BinaryCrossentropy(MeanMetricWrapper):
    """Take the mean crossentropy of yes-or-no labels."""

    def __init__(self, name="binary_crossentropy", dtype=None, from_logits=False, label_smoothing=0):
        super().__init__(losses.binary_crossentropy, name, dtype, from_logits=from_logits, label_smoothing=label_smoothing)


class CategoricalCrossentropy(MeanMetricWrapper):
    """Take the mean crossentropy of one-hot labels."""

    def __init__(self, name="categorical_crossentropy", dtype=None, from_logits=False, label_smoothing=0, axis=-1):
        arguments = {"from_logits": from_logits, "label_smoothing": label_smoothing, "axis": axis}
        super().__init__(losses.categorical_crossentropy, name, dtype, **arguments)


class SparseCategoricalCrossentropy(MeanMetricWrapper):
    """Take the mean crossentropy of class numbers."""

    def __init__(self, name="sparse_categorical_crossentropy", dtype=None, from_logits=False, ignore_class=None, axis=-1):
        arguments = {"from_logits": from_logits, "ignore_class": ignore_class, "axis": axis}
        super().__init__(losses.sparse_categorical_crossentropy, name, dtype, **arguments)
