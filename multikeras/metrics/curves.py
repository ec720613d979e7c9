"""What is read off curves over thresholds."""

from typing import Any

from multikeras import config, ops
from multikeras.core import budget
from multikeras.core.serialization import deserialize_keras_object
from multikeras.metrics.confusion import KINDS, _Counting

_CURVES = ("PR", "ROC", "PRGAIN")
_SUMMATIONS = ("interpolation", "majoring", "minoring")


def _choice(what: str, value: Any, valid: tuple[str, ...]) -> str:
    found = [v for v in valid if str(value).lower() == v.lower()]
    if not found:
        raise ValueError(f'Invalid AUC {what} value: "{value}". Expected values are {list(valid)}')
    return found[0]


class AUC(_Counting):
    """Take the area under a curve that thresholds trace out.

    Args:
        num_thresholds: Number of thresholds, evenly in [0, 1].
        curve: "ROC": recall over false positive rate; "PR": precision over recall; "PRGAIN": gains of these.
        summation_method: "interpolation" between thresholds, or the larger ("majoring") or smaller value of two.
        thresholds: Thresholds in (0, 1) in place of even ones; 0 and 1 are added. Predictions are clipped to [0, 1] if all
            together are even.
        multi_label: Whether columns are labels of their own, whose areas are averaged.
        num_labels: Number of labels, if known at once.
        label_weights: Weight of each label.
        from_logits: Whether predictions still need a sigmoid.

    >>> from multikeras import metrics
    >>> round(float(metrics.AUC(num_thresholds=3)([0, 0, 1, 1], [0.0, 0.5, 0.3, 0.9])), 2)
    0.75
    """

    kinds = KINDS

    def __init__(
        self,
        num_thresholds=200,
        curve="ROC",
        summation_method="interpolation",
        name=None,
        dtype=None,
        thresholds=None,
        multi_label=False,
        num_labels=None,
        label_weights=None,
        from_logits=False,
    ):
        self.curve = _choice("curve", curve, _CURVES)
        self.summation_method = _choice("summation method", summation_method, _SUMMATIONS)
        super().__init__(name=name, dtype=dtype)
        if thresholds is not None:
            if any(t is None for t in thresholds):
                raise ValueError(f"AUC: thresholds must be numbers, got {list(thresholds)}.")
            inner = sorted(float(t) for t in thresholds)
        else:
            if num_thresholds <= 1:
                raise ValueError(
                    "Argument `num_thresholds` must be an integer > 1. Received: "
                    f"num_thresholds={num_thresholds}"
                )
            budget.loop(num_thresholds, "AUC: num_thresholds")
            inner = [i / (num_thresholds - 1) for i in range(1, num_thresholds - 1)]
        if num_labels is not None and not multi_label:
            raise ValueError("`num_labels` is needed only when `multi_label` is True.")
        self._manual_thresholds = inner if thresholds is not None else None
        edge = config.epsilon()
        self.thresholds = [-edge, *inner, 1.0 + edge]
        self.num_thresholds = len(self.thresholds)
        self.multi_label, self.num_labels, self._from_logits = multi_label, num_labels, from_logits
        self.label_weights = None if label_weights is None else ops.convert_to_tensor(label_weights, dtype=self.dtype)
        self._built = False
        if not multi_label:
            self._build(None)
        elif num_labels:
            self._build((None, num_labels))

    def _build(self, shape: Any) -> None:
        if self.multi_label:
            if len(shape) != 2:
                raise ValueError(
                    "AUC: `y_pred` must have rank 2 when `multi_label=True`. Received: "
                    f"y_pred.shape={tuple(shape)}"
                )
            self.num_labels = shape[1]
        self._built = True
        self._add_counts(self.num_thresholds, *([self.num_labels] if self.multi_label else []))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_pred = ops.convert_to_tensor(y_pred)
        if not self._built:
            self._build(tuple(y_pred.shape))
        if self._from_logits:
            y_pred = ops.sigmoid(y_pred)
        weights = None if self.multi_label else self.label_weights
        how = {"sample_weight": sample_weight, "by_label": self.multi_label, "label_weights": weights}
        self._count(y_true, y_pred, self.thresholds, **how)

    def _interpolated_precision(self, tp: Any, fp: Any, fn: Any) -> Any:
        """Return the area under precision over recall: counts, not precision, are linear between thresholds (Davis, 2006)."""
        positive = tp + fp
        step, width = tp[:-1] - tp[1:], positive[:-1] - positive[1:]
        slope = ops.divide_no_nan(step, ops.maximum(width, 0))
        start = tp[1:] - slope * positive[1:]
        both = ops.logical_and(positive[:-1] > 0, positive[1:] > 0)
        ratio = ops.where(both, ops.divide_no_nan(positive[:-1], ops.maximum(positive[1:], 0)), ops.ones_like(step))
        return ops.divide_no_nan(slope * (step + start * ops.log(ratio)), ops.maximum(tp[1:] + fn[1:], 0))

    def interpolate_pr_auc(self) -> Any:
        """Return the area under precision over recall, whatever curve was asked for."""
        tp, fp, fn = self.true_positives, self.false_positives, self.false_negatives
        return self._over_labels(self._interpolated_precision(*(ops.convert_to_tensor(x) for x in (tp, fp, fn))))

    def _pieces(self) -> Any:
        tp, fp, tn, fn = (ops.convert_to_tensor(getattr(self, kind)) for kind in KINDS)
        if self.curve == "PR" and self.summation_method == "interpolation":
            return self._interpolated_precision(tp, fp, fn)
        recall = ops.divide_no_nan(tp, tp + fn)
        if self.curve == "ROC":
            x, y = ops.divide_no_nan(fp, fp + tn), recall
        else:
            x, y = recall, ops.divide_no_nan(tp, tp + fp)
        if self.curve == "PRGAIN":  # Flach and Kull, 2015
            odds = ops.divide_no_nan(tp + fn, fp + tn)
            x, y = (1.0 - odds * ops.divide_no_nan(fault, tp) for fault in (fn, fp))
            x = ops.where(tp > 0, ops.maximum(x, 0.0), ops.zeros_like(x))
        combine = {
            "interpolation": lambda a, b: (a + b) / 2.0,
            "majoring": ops.maximum,
            "minoring": ops.minimum,
        }[self.summation_method]
        return (x[:-1] - x[1:]) * combine(y[:-1], y[1:])

    def result(self) -> Any:
        return self._over_labels(self._pieces())

    def _over_labels(self, pieces: Any) -> Any:
        if not self.multi_label:
            return ops.sum(pieces)
        by_label = ops.sum(pieces, axis=0)
        if self.label_weights is None:
            return ops.mean(by_label)
        return ops.divide_no_nan(ops.sum(by_label * self.label_weights), ops.sum(self.label_weights))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "AUC":
        return cls(**{**config, "label_weights": deserialize_keras_object(config.get("label_weights"))})

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        weights = self.label_weights
        manual = {} if self._manual_thresholds is None else {"thresholds": self._manual_thresholds}
        return {
            **super().get_config(),
            "num_thresholds": self.num_thresholds,
            "curve": self.curve,
            "summation_method": self.summation_method,
            "multi_label": self.multi_label,
            "num_labels": self.num_labels,
            "label_weights": None if weights is None else ops.convert_to_numpy(weights).tolist(),
            "from_logits": self._from_logits,
            **manual,
        }


class _Constrained(_Counting):
    """Take the best value of one rate among thresholds where another is at least `value`."""

    kinds = KINDS
    constrained: tuple[str, str]  # the rate that is at least the value: first / (first + second)
    dependent: tuple[str, str]
    argument: str

    def __init__(self, value, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        if num_thresholds <= 0:
            raise ValueError(
                f"Argument `num_thresholds` must be an integer > 0. Received: num_thresholds={num_thresholds}"
            )
        if value < 0 or value > 1:
            raise ValueError(
                f"Argument `{self.argument}` must be in the range [0, 1]. Received: {self.argument}={value}"
            )
        setattr(self, self.argument, value)
        self.value, self.class_id, self.num_thresholds = value, class_id, num_thresholds
        budget.loop(num_thresholds, f"{type(self).__name__}: num_thresholds")
        even = [i / (num_thresholds - 1) for i in range(1, num_thresholds - 1)] if num_thresholds > 1 else []
        self.thresholds = [0.5] if num_thresholds == 1 else [0.0, *even, 1.0]
        self._add_counts(len(self.thresholds))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self._count(y_true, y_pred, self.thresholds, sample_weight=sample_weight, class_id=self.class_id)

    def _rate(self, kinds: tuple[str, str]) -> Any:
        first, second = (ops.convert_to_tensor(getattr(self, kind)) for kind in kinds)
        return ops.divide_no_nan(first, first + second)

    def result(self) -> Any:
        dependent = self._rate(self.dependent)
        return ops.max(ops.where(self._rate(self.constrained) >= self.value, dependent, ops.zeros_like(dependent)))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        own = {"class_id": self.class_id, "num_thresholds": self.num_thresholds, self.argument: self.value}
        return {**super().get_config(), **own}


_RECALL, _PRECISION = ("true_positives", "false_negatives"), ("true_positives", "false_positives")
_SPECIFICITY = ("true_negatives", "false_positives")


class SensitivityAtSpecificity(_Constrained):
    """Take the best recall of positives where that of negatives is at least `specificity`."""

    argument, constrained, dependent = "specificity", _SPECIFICITY, _RECALL

    def __init__(self, specificity, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(specificity, num_thresholds, class_id, name, dtype)


class SpecificityAtSensitivity(_Constrained):
    """Take the best recall of negatives where that of positives is at least `sensitivity`."""

    argument, constrained, dependent = "sensitivity", _RECALL, _SPECIFICITY

    def __init__(self, sensitivity, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)


class PrecisionAtRecall(_Constrained):
    """Take the best precision where recall is at least `recall`.

    >>> from multikeras import metrics
    >>> float(metrics.PrecisionAtRecall(0.5)([0, 0, 0, 1, 1], [0.0, 0.3, 0.8, 0.3, 0.8]))
    0.5
    """

    argument, constrained, dependent = "recall", _RECALL, _PRECISION

    def __init__(self, recall, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(recall, num_thresholds, class_id, name, dtype)


class RecallAtPrecision(_Constrained):
    """Take the best recall where precision is at least `precision`."""

    argument, constrained, dependent = "precision", _PRECISION, _RECALL

    def __init__(self, precision, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(precision, num_thresholds, class_id, name, dtype)
