"""Intersection over union of classes, from a confusion matrix."""

import warnings
from typing import Any

from multikeras import config, ops
from multikeras.backend.dtypes import is_int
from multikeras.metrics.metric import Metric


class IoU(Metric):
    """Take the mean, over some classes, of the overlap of true and predicted regions divided by their union.

    Args:
        num_classes: Number of classes.
        target_class_ids: The classes to take the mean over.
        ignore_class: A label whose entries count for nothing.
        sparse_y_true: Whether labels are class numbers, and not one-hot.
        sparse_y_pred: Whether predictions are class numbers, and not one value a class.
        axis: Axis of classes where they are not numbers.

    Classes that occur nowhere do not count.

    >>> from multikeras import metrics
    >>> round(float(metrics.IoU(num_classes=2, target_class_ids=[0])([0, 0, 1, 1], [0, 1, 0, 1])), 4)
    0.3333
    """

    own_arguments: tuple[str, ...] = ("num_classes", "target_class_ids", "ignore_class", "sparse_y_true", "sparse_y_pred", "axis")

    def __init__(
        self,
        num_classes,
        target_class_ids,
        name=None,
        dtype=None,
        ignore_class=None,
        sparse_y_true=True,
        sparse_y_pred=True,
        axis=-1,
    ):
        super().__init__(name=name, dtype="int32" if dtype in (None, "int") else dtype)
        if not isinstance(num_classes, int) or num_classes < 1:
            raise ValueError(f"{type(self).__name__}: num_classes must be a positive integer, got {num_classes=}.")
        target_class_ids = list(range(num_classes) if target_class_ids is None else target_class_ids)
        wrong = [i for i in target_class_ids if i >= num_classes]
        if wrong:
            raise ValueError(f"Target class id {wrong[0]} is out of range, which is [0, {num_classes}).")
        self.num_classes, self.target_class_ids, self.ignore_class = num_classes, target_class_ids, ignore_class
        self.sparse_y_true, self.sparse_y_pred, self.axis = sparse_y_true, sparse_y_pred, axis
        self.total_cm = self.add_variable((num_classes, num_classes), dtype=self.dtype, name="total_confusion_matrix")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_true = ops.convert_to_tensor(y_true) if self.sparse_y_true else ops.argmax(y_true, axis=self.axis)
        y_pred = ops.convert_to_tensor(y_pred) if self.sparse_y_pred else ops.argmax(y_pred, axis=self.axis)
        n, shape = self.num_classes, ops.shape(y_true)
        y_true, y_pred = (ops.cast(ops.reshape(y, (-1,)), "int32") for y in (y_true, y_pred))
        if sample_weight is None:
            weights = ops.ones(ops.shape(y_true), dtype=self.dtype)
        else:
            weights = ops.convert_to_tensor(sample_weight)
            if is_int(self.dtype) and "float" in str(weights.dtype):
                warnings.warn(
                    f"{type(self).__name__}: sample weight is a float, but dtype is int, so that type casting cuts it off. "
                    "Give the metric a floating dtype.",
                    stacklevel=2,
                )
            while 0 < len(weights.shape) < len(shape):
                weights = ops.expand_dims(weights, -1)
            if len(weights.shape) <= len(shape):
                weights = ops.broadcast_to(weights, shape)
            weights = ops.cast(ops.reshape(weights, (-1,)), self.dtype)
        counted = ops.logical_and(_between(y_true, n), _between(y_pred, n))
        if self.ignore_class is not None:
            counted = ops.logical_and(counted, ops.not_equal(y_true, int(self.ignore_class)))
        cell = ops.where(counted, y_true * n + y_pred, ops.zeros_like(y_true))
        weights = ops.where(counted, weights, ops.zeros_like(weights))
        matrix = ops.reshape(ops.segment_sum(weights, cell, num_segments=n * n), (n, n))
        self.total_cm.assign(self.total_cm + matrix)

    def result(self) -> Any:
        dtype = config.floatx() if is_int(self.dtype) else self.dtype
        matrix = ops.cast(self.total_cm, dtype)
        both = ops.diagonal(matrix)
        union = ops.sum(matrix, axis=0) + ops.sum(matrix, axis=1) - both
        ids = ops.convert_to_tensor(self.target_class_ids, dtype="int32")
        both, union = ops.take(both, ids, axis=0), ops.take(union, ids, axis=0)
        return ops.divide_no_nan(ops.sum(ops.divide_no_nan(both, union)), ops.sum(ops.cast(union > 0, dtype)))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), **{name: getattr(self, name) for name in self.own_arguments}}


def _between(x: Any, n: int) -> Any:
    return ops.logical_and(x >= 0, x < n)


class BinaryIoU(IoU):
    """Take the overlap divided by the union of regions of class 0, 1 or both, predictions cut at `threshold`."""

    own_arguments = ("target_class_ids", "threshold")

    def __init__(self, target_class_ids=(0, 1), threshold=0.5, name=None, dtype=None):
        super().__init__(2, target_class_ids, name, dtype)
        self.threshold = threshold

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_pred = ops.convert_to_tensor(y_pred)
        super().update_state(y_true, ops.cast(y_pred >= self.threshold, self.dtype), sample_weight)


class MeanIoU(IoU):
    """Take the mean over all classes of overlap divided by union; arguments as for `IoU`."""

    own_arguments = ("num_classes", "ignore_class", "sparse_y_true", "sparse_y_pred", "axis")

    def __init__(self, num_classes, name=None, dtype=None, ignore_class=None, sparse_y_true=True, sparse_y_pred=True, axis=-1):
        super().__init__(num_classes, None, name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis)


class OneHotIoU(IoU):
    """Use `IoU` with one-hot labels."""

    own_arguments = ("num_classes", "target_class_ids", "ignore_class", "sparse_y_pred", "axis")

    def __init__(self, num_classes, target_class_ids, name=None, dtype=None, ignore_class=None, sparse_y_pred=False, axis=-1):
        super().__init__(num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis)


class OneHotMeanIoU(MeanIoU):
    """Use `MeanIoU` with one-hot labels."""

    own_arguments = ("num_classes", "ignore_class", "sparse_y_pred", "axis")

    def __init__(self, num_classes, name=None, dtype=None, ignore_class=None, sparse_y_pred=False, axis=-1):
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)
