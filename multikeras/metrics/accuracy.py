"""How often predictions are right."""

from typing import Any

from multikeras import config, ops
from multikeras.losses.loss import squeeze_or_expand_to_same_rank
from multikeras.metrics.reductions import MeanMetricWrapper


def accuracy(y_true: Any, y_pred: Any) -> Any:
    """Return 1 where entries are equal, else 0."""
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.convert_to_tensor(y_true, dtype=y_pred.dtype)
    y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
    return ops.cast(ops.equal(y_true, y_pred), config.floatx())


def binary_accuracy(y_true: Any, y_pred: Any, threshold: float = 0.5) -> Any:
    """Return 1 where yes-or-no labels are right, else 0; above `threshold` is yes.

    >>> from multikeras import metrics, ops
    >>> ops.convert_to_numpy(metrics.binary_accuracy([[1, 0, 1, 1]], [[0.9, 0.2, 0.4, 0.6]])).tolist()
    [[1.0, 1.0, 0.0, 1.0]]
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.convert_to_tensor(y_true)
    y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
    y_true, y_pred = ops.cast(y_true, config.floatx()), ops.cast(y_pred, config.floatx())
    return ops.cast(ops.equal(y_true, ops.cast(y_pred > threshold, y_true.dtype)), config.floatx())


def categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """Return 1 where the largest prediction is that of the one-hot label, else 0."""
    return sparse_categorical_accuracy(ops.argmax(y_true, axis=-1), y_pred)


def sparse_categorical_accuracy(y_true: Any, y_pred: Any) -> Any:
    """Return 1 where the largest prediction is that of the class number, else 0.

    >>> from multikeras import metrics, ops
    >>> ops.convert_to_numpy(metrics.sparse_categorical_accuracy([1, 0], [[0.1, 0.9], [0.2, 0.8]])).tolist()
    [1.0, 0.0]
    """
    y_pred, y_true = ops.convert_to_tensor(y_pred), _class_numbers(y_true, y_pred)
    return ops.cast(ops.equal(ops.cast(y_true, "int32"), ops.argmax(y_pred, axis=-1)), config.floatx())


def _class_numbers(y_true: Any, y_pred: Any) -> Any:
    """Return class numbers without a last dimension of size 1 that predictions have for classes."""
    y_true = ops.convert_to_tensor(y_true)
    column = len(y_true.shape) == len(ops.shape(y_pred)) and y_true.shape[-1] == 1
    return ops.squeeze(y_true, -1) if column else y_true


def top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5) -> Any:
    """Return 1 where the prediction of the one-hot label is among the `k` largest, else 0."""
    return sparse_top_k_categorical_accuracy(ops.argmax(y_true, axis=-1), y_pred, k=k)


def sparse_top_k_categorical_accuracy(y_true: Any, y_pred: Any, k: int = 5, from_sorted_ids: bool = False) -> Any:
    """Return 1 where the class number is among the `k` best, else 0.

    `from_sorted_ids`: predictions are class numbers already, the best first.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = _class_numbers(y_true, y_pred)
    shape = ops.shape(y_true)
    classes = ops.shape(y_pred)[-1]
    y_pred = ops.reshape(y_pred, (-1, classes))
    y_true = ops.cast(ops.reshape(y_true, (-1,)), "int32")
    if from_sorted_ids:
        best = ops.cast(y_pred[:, :k], "int32")
        right = ops.any(ops.equal(best, ops.expand_dims(y_true, -1)), axis=-1)
    else:
        right = ops.in_top_k(y_true, ops.cast(y_pred, config.floatx()), k=k)
    return ops.reshape(ops.cast(right, config.floatx()), shape)


class Accuracy(MeanMetricWrapper):
    """Count how often predictions equal labels."""

    def __init__(self, name="accuracy", dtype=None):
        super().__init__(accuracy, name, dtype)


class BinaryAccuracy(MeanMetricWrapper):
    """Count how often predictions, above `threshold` taken as 1, equal labels 0 and 1.

    >>> from multikeras import metrics
    >>> float(metrics.BinaryAccuracy()([[1], [1], [0], [0]], [[0.98], [1.0], [0.0], [0.6]]))
    0.75
    """

    def __init__(self, name="binary_accuracy", dtype=None, threshold=0.5):
        if threshold is not None and (threshold <= 0 or threshold >= 1):
            raise ValueError(
                "BinaryAccuracy: Invalid value for argument `threshold`. Expected a value in the interval (0, "
                f"1). Received: {threshold=}"
            )
        super().__init__(binary_accuracy, name, dtype, threshold=threshold)


class CategoricalAccuracy(MeanMetricWrapper):
    """Count how often the largest prediction is that of the one-hot label."""

    def __init__(self, name="categorical_accuracy", dtype=None):
        super().__init__(categorical_accuracy, name, dtype)


class SparseCategoricalAccuracy(MeanMetricWrapper):
    """Count how often the largest prediction is that of the class number.

    >>> from multikeras import metrics
    >>> float(metrics.SparseCategoricalAccuracy()([1, 0], [[0.1, 0.9], [0.2, 0.8]]))
    0.5
    """

    def __init__(self, name="sparse_categorical_accuracy", dtype=None):
        super().__init__(sparse_categorical_accuracy, name, dtype)


class TopKCategoricalAccuracy(MeanMetricWrapper):
    """Count how often the one-hot label is among the `k` largest predictions."""

    def __init__(self, k=5, name="top_k_categorical_accuracy", dtype=None):
        super().__init__(top_k_categorical_accuracy, name, dtype, k=k)


class SparseTopKCategoricalAccuracy(MeanMetricWrapper):
    """Count how often the class number is among the `k` largest predictions, or the first of `from_sorted_ids`."""

    def __init__(self, k=5, name="sparse_top_k_categorical_accuracy", dtype=None, from_sorted_ids=False):
        super().__init__(sparse_top_k_categorical_accuracy, name, dtype, k=k, from_sorted_ids=from_sorted_ids)
