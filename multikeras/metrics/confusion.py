"""Counts of right and wrong yes-or-no predictions, by threshold."""

import functools
from typing import Any

from multikeras import config, ops
from multikeras.core.tree import is_nested
from multikeras.losses.loss import mask_of, squeeze_or_expand_to_same_rank
from multikeras.metrics.metric import Metric

NEGATIVE_INFINITY = -1e10
"""The threshold when the largest predictions count, whatever they are."""
KINDS = ("true_positives", "false_positives", "true_negatives", "false_negatives")


def checked_thresholds(thresholds: Any, default: float = 0.5) -> list:
    """Return thresholds, one or several, as a list; ValueError unless all are in [0, 1]."""
    if thresholds is None:
        return [default]
    thresholds = list(thresholds) if is_nested(thresholds) else [thresholds]
    wrong = [t for t in thresholds if t is None or t < 0 or t > 1]
    if wrong:
        raise ValueError(f"Threshold values must be in [0, 1]. Received: {wrong}")
    return thresholds


@functools.lru_cache(maxsize=64)
def _are_even(thresholds: tuple) -> bool:
    """Tell whether at least three thresholds divide [0, 1] evenly, the outer ones perhaps a little beyond its ends."""
    n, slack = len(thresholds), 1.01 * config.epsilon()
    return n > 2 and all(abs(t - i / (n - 1)) <= slack for i, t in enumerate(thresholds))


def _largest(y_pred: Any, k: int) -> Any:
    """Return predictions with all but the `k` largest of each sample replaced by minus infinity."""
    least = ops.top_k(y_pred, k, sorted=True)[0][..., k - 1 :]
    first = ops.sum(ops.one_hot(ops.top_k(y_pred, k)[1], y_pred.shape[-1], dtype="int32"), axis=-2)
    return ops.where(ops.logical_and(y_pred >= least, first > 0), y_pred, ops.full_like(y_pred, NEGATIVE_INFINITY))


def counts(
    kinds: Any,
    y_true: Any,
    y_pred: Any,
    thresholds: Any,
    dtype: str,
    sample_weight: Any = None,
    top_k: int | None = None,
    class_id: int | None = None,
    by_label: bool = False,
    label_weights: Any = None,
) -> dict[str, Any]:
    """Return (weighted) counts of each kind, one a threshold; (threshold, label) if `by_label`.

    A prediction is positive above the threshold. Where thresholds divide [0, 1] evenly, predictions beyond its ends count as
    the nearest one, as in Keras.
    """
    mask = mask_of(y_pred)
    y_true, y_pred = ops.cast(y_true, dtype), ops.cast(y_pred, dtype)
    y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
    if top_k is not None:
        y_pred = _largest(y_pred, top_k)
    if class_id is not None:
        if len(y_pred.shape) != 2:
            raise ValueError(
                "When class_id is provided, y_pred must be a 2D array with shape (num_samples, num_classes), found shape: "
                f"{tuple(y_pred.shape)}"
            )
        y_true, y_pred = y_true[..., class_id], y_pred[..., class_id]
    if by_label and len(y_pred.shape) == 1:
        y_true, y_pred = ops.expand_dims(y_true, 0), ops.expand_dims(y_pred, 0)
    weights = ops.ones_like(y_pred)
    for factor in (sample_weight, mask):
        if factor is not None:
            factor = ops.cast(factor, dtype)
            while 0 < len(factor.shape) < len(weights.shape):
                factor = ops.expand_dims(factor, -1)
            while len(factor.shape) > len(weights.shape):
                factor = ops.squeeze(factor, -1)
            weights = weights * factor
    if label_weights is not None and not by_label:
        weights = weights * ops.cast(label_weights, dtype)
    if not by_label:
        y_true, y_pred, weights = (ops.reshape(x, (-1,)) for x in (y_true, y_pred, weights))
    if _are_even(tuple(thresholds)):
        y_pred = ops.clip(y_pred, 0.0, 1.0)
    thresholds = ops.reshape(ops.convert_to_tensor(thresholds, dtype=dtype), (-1,) + (1,) * len(y_pred.shape))
    predicted = ops.expand_dims(y_pred, 0) > thresholds
    actual = ops.expand_dims(ops.cast(y_true, "bool"), 0)
    cases = {
        "true_positives": (actual, predicted),
        "false_positives": (ops.logical_not(actual), predicted),
        "true_negatives": (ops.logical_not(actual), ops.logical_not(predicted)),
        "false_negatives": (actual, ops.logical_not(predicted)),
    }
    return {kind: ops.sum(ops.cast(ops.logical_and(*cases[kind]), dtype) * weights, axis=1) for kind in kinds}


class _Counting(Metric):
    """Keep counts of some kinds, as variables of these names."""

    kinds: tuple[str, ...] = ()

    def _add_counts(self, *shape: int) -> None:
        for kind in self.kinds:
            setattr(self, kind, self.add_variable(shape, name=kind))

    def _count(self, *args, **kwargs) -> None:
        dtype = getattr(self, self.kinds[0]).dtype
        for kind, count in counts(self.kinds, *args, dtype=dtype, **kwargs).items():
            variable = getattr(self, kind)
            variable.assign(variable + count)


class _OneCount(Metric):
    kind: str

    def __init__(self, thresholds=None, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds = thresholds
        self.thresholds = checked_thresholds(thresholds)
        self.accumulator = self.add_variable((len(self.thresholds),), name="accumulator")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        found = counts((self.kind,), y_true, y_pred, self.thresholds, self.accumulator.dtype, sample_weight)
        self.accumulator.assign(self.accumulator + found[self.kind])

    def result(self) -> Any:
        return self.accumulator.value[0] if len(self.thresholds) == 1 else ops.convert_to_tensor(self.accumulator)

    def get_config(self) -> dict[str, Any]:
        """Return name, dtype and thresholds."""
        return {**super().get_config(), "thresholds": self.init_thresholds}


class TruePositives(_OneCount):
    """Count positive predictions (above a threshold, 0.5 if None) of positive samples.

    >>> from multikeras import metrics
    >>> float(metrics.TruePositives()([0, 1, 1, 1], [1, 0, 1, 1]))
    2.0
    """

    kind = "true_positives"


class FalsePositives(_OneCount):
    """Count positive predictions (above a threshold, 0.5 if None) of negative samples."""

    kind = "false_positives"


class TrueNegatives(_OneCount):
    """Count negative predictions (up to a threshold, 0.5 if None) of negative samples."""

    kind = "true_negatives"


class FalseNegatives(_OneCount):
    """Count negative predictions (up to a threshold, 0.5 if None) of positive samples."""

    kind = "false_negatives"


class _Share(_Counting):
    """Divide true positives by these and another count."""

    def __init__(self, thresholds=None, top_k=None, class_id=None, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds, self.top_k, self.class_id = thresholds, top_k, class_id
        self.thresholds = checked_thresholds(thresholds, 0.5 if top_k is None else NEGATIVE_INFINITY)
        self._add_counts(len(self.thresholds))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self._count(y_true, y_pred, self.thresholds, sample_weight=sample_weight, top_k=self.top_k, class_id=self.class_id)

    def result(self) -> Any:
        right, wrong = (ops.convert_to_tensor(getattr(self, kind)) for kind in self.kinds)
        share = ops.divide_no_nan(right, right + wrong)
        return share[0] if len(self.thresholds) == 1 else share

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "thresholds": self.init_thresholds, "top_k": self.top_k, "class_id": self.class_id}


class Precision(_Share):
    """Take the share of positive predictions that are right.

    Args:
        thresholds: Above which a prediction is positive: one or several in [0, 1], 0.5 if None.
        top_k: Count only the k largest predictions of each sample as positive.
        class_id: Look at this class only.

    >>> from multikeras import metrics
    >>> round(float(metrics.Precision()([0, 1, 1, 1], [1, 0, 1, 1])), 4)
    0.6667
    """

    kinds = ("true_positives", "false_positives")


class Recall(_Share):
    """Take the share of positive samples that are predicted so; arguments as for `Precision`.

    >>> from multikeras import metrics
    >>> round(float(metrics.Recall()([0, 1, 1, 1], [1, 0, 1, 1])), 4)
    0.6667
    """

    kinds = ("true_positives", "false_negatives")
