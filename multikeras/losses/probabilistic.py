"""Losses between distributions over classes. Functions return one loss a sample."""

import warnings
from typing import Any

import numpy as np

from multikeras import config, ops
from multikeras.core.masking import set_mask
from multikeras.losses.loss import LossFunctionWrapper
from multikeras.losses.regression import _BATCH_MEAN, pair


def kl_divergence(y_true: Any, y_pred: Any) -> Any:
    """Return the Kullback-Leibler divergence of `y_pred` from `y_true` over the last axis."""
    y_pred = ops.convert_to_tensor(y_pred)
    low = config.epsilon()
    y_true = ops.clip(ops.convert_to_tensor(y_true, dtype=y_pred.dtype), low, 1.0)
    return ops.sum(y_true * ops.log(y_true / ops.clip(y_pred, low, 1.0)), axis=-1)


def binary_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Any:
    """Return the mean over `axis` of the crossentropy of yes-or-no labels.

    Args:
        y_true: Labels 0 and 1, or probabilities.
        y_pred: Probabilities; logits if `from_logits`.
        from_logits: Whether `y_pred` still needs a sigmoid.
        label_smoothing: Fraction by which labels move towards 0.5.
        axis: What to take the mean over.

    >>> from multikeras import losses
    >>> [round(float(v), 4) for v in losses.binary_crossentropy([[1.0, 0.0]], [[0.5, 0.5]])]
    [0.6931]
    """
    y_true, y_pred = pair(y_true, y_pred)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    return ops.mean(ops.binary_crossentropy(y_true, y_pred, from_logits=from_logits), axis=axis)


def binary_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """Return the binary crossentropy, each term times (1 - probability of the truth) ** gamma (Lin et al., 2018).

    With `apply_class_balancing`, terms of label 1 weigh `alpha`, of label 0 the rest.
    """
    y_true, y_pred = pair(y_true, y_pred)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    p = ops.sigmoid(y_pred) if from_logits else y_pred
    right = y_true * p + (1.0 - y_true) * (1.0 - p)
    terms = (1.0 - right) ** gamma * ops.binary_crossentropy(y_true, p)
    if apply_class_balancing:
        terms = terms * (y_true * alpha + (1.0 - y_true) * (1.0 - alpha))
    return ops.mean(terms, axis=axis)


def _one_hot_pair(name: str, y_true: Any, y_pred: Any, label_smoothing: float, axis: int) -> tuple[Any, Any]:
    if not isinstance(axis, int):
        raise ValueError(f"{name}: axis must be an int, got {axis!r} of type {type(axis).__name__}.")
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.cast(y_true, y_pred.dtype)
    classes = y_pred.shape[axis]
    if classes == 1:
        warnings.warn(
            f"{name}: y_pred has the shape {tuple(y_pred.shape)}, a single class along axis {axis}, so that the loss says "
            "nothing. binary_crossentropy is the loss of yes-or-no labels.",
            SyntaxWarning,
            stacklevel=3,
        )
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + label_smoothing / classes
    return y_true, y_pred


def categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1
) -> Any:
    """Return the crossentropy of one-hot labels along `axis`.

    Args:
        y_true: One-hot labels, or probabilities of classes.
        y_pred: Probabilities of classes; logits if `from_logits`.
        from_logits: Whether `y_pred` still needs a softmax.
        label_smoothing: Fraction by which labels move towards all classes alike.
        axis: Axis of the classes.

    >>> from multikeras import losses
    >>> [round(float(v), 4) for v in losses.categorical_crossentropy([[0.0, 1.0]], [[0.5, 0.5]])]
    [0.6931]
    """
    y_true, y_pred = _one_hot_pair("categorical_crossentropy", y_true, y_pred, label_smoothing, axis)
    return ops.categorical_crossentropy(y_true, y_pred, from_logits=from_logits, axis=axis)


def categorical_focal_crossentropy(
    y_true: Any,
    y_pred: Any,
    alpha: Any = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """Return the crossentropy of one-hot labels, each term times alpha * (1 - probability) ** gamma (Lin et al., 2018)."""
    y_true, y_pred = _one_hot_pair("categorical_focal_crossentropy", y_true, y_pred, label_smoothing, axis)
    p = ops.softmax(y_pred, axis=axis) if from_logits else y_pred
    p = p / ops.sum(p, axis=axis, keepdims=True)
    p = ops.clip(p, config.epsilon(), 1.0 - config.epsilon())
    alpha = ops.convert_to_tensor(alpha, dtype=p.dtype)
    return ops.sum(alpha * (1.0 - p) ** gamma * -y_true * ops.log(p), axis=axis)


def sparse_categorical_crossentropy(
    y_true: Any, y_pred: Any, from_logits: bool = False, ignore_class: int | None = None, axis: int = -1
) -> Any:
    """Return the crossentropy of labels given as class numbers.

    Args:
        y_true: Class numbers.
        y_pred: Probabilities of classes; logits if `from_logits`.
        from_logits: Whether `y_pred` still needs a softmax.
        ignore_class: A label whose samples are masked and have the loss 0.
        axis: Axis of the classes.

    >>> from multikeras import losses
    >>> [round(float(v), 4) for v in losses.sparse_categorical_crossentropy([1], [[0.5, 0.5]])]
    [0.6931]
    """
    y_true = ops.convert_to_tensor(y_true)
    y_pred = ops.convert_to_tensor(y_pred)
    if len(y_true.shape) == len(y_pred.shape):
        singletons = [a for a in (axis, -1) if y_true.shape[a] == 1]
        y_true = ops.squeeze(y_true, singletons[0]) if singletons else y_true
    if ignore_class is None:
        return ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits=from_logits, axis=axis)
    counted = ops.not_equal(y_true, ops.cast(ignore_class, y_true.dtype))
    y_true = ops.where(counted, y_true, ops.zeros_like(y_true))
    losses = ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits=from_logits, axis=axis)
    losses = ops.where(counted, losses, ops.zeros_like(losses))
    set_mask(losses, counted)
    return losses


def categorical_generalized_cross_entropy(y_true: Any, y_pred: Any, q: float) -> Any:
    """Return (1 - p ** q) / q, p the probability of the true class number (Zhang and Sabuncu, 2018): kind to wrong labels."""
    if not 0 < q < 1:
        raise ValueError(f"categorical_generalized_cross_entropy: q must be in the interval (0, 1). Received: q={q}")
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.cast(y_true, "int32")
    if len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == 1:
        y_true = ops.squeeze(y_true, -1)
    p = ops.sum(y_pred * ops.one_hot(y_true, y_pred.shape[-1], dtype=y_pred.dtype), axis=-1)
    return (1.0 - p**q) / q


def ctc(y_true: Any, y_pred: Any) -> Any:
    """Return the connectionist temporal classification loss.

    Args:
        y_true: (batch, longest) class numbers, 0 after the end.
        y_pred: (batch, time, classes) logits; class 0 is the blank.
    """
    if len(ops.shape(y_true)) != 2:
        raise ValueError(
            "ctc: `y_true` must have the shape (batch_size, max_length). Received: "
            f"y_true.shape={tuple(ops.shape(y_true))}"
        )
    if len(ops.shape(y_pred)) != 3:
        raise ValueError(
            "ctc: `y_pred` must have the shape (batch_size, time, classes). Received: "
            f"y_pred.shape={tuple(ops.shape(y_pred))}"
        )
    y_true = ops.cast(y_true, "int32")
    batch, time, _ = ops.shape(y_pred)
    lengths = ops.sum(ops.cast(y_true != 0, "int32"), axis=-1)
    return ops.ctc_loss(y_true, y_pred, lengths, ops.broadcast_to(ops.cast(time, "int32"), (batch,)), mask_index=0)


class KLDivergence(LossFunctionWrapper):
    """Take the Kullback-Leibler divergence of predicted from true probabilities."""

    def __init__(self, reduction=_BATCH_MEAN, name="kl_divergence", dtype=None):
        super().__init__(kl_divergence, reduction, name, dtype)


class BinaryCrossentropy(LossFunctionWrapper):
    """Take the crossentropy of yes-or-no labels; arguments as for `binary_crossentropy`.

    >>> from multikeras import losses
    >>> round(float(losses.BinaryCrossentropy(from_logits=True)([[1.0]], [[0.0]])), 4)
    0.6931
    """

    def __init__(
        self, from_logits=False, label_smoothing=0.0, axis=-1, reduction=_BATCH_MEAN, name="binary_crossentropy", dtype=None
    ):
        arguments = {"from_logits": from_logits, "label_smoothing": label_smoothing, "axis": axis}
        super().__init__(binary_crossentropy, reduction, name, dtype, **arguments)


class BinaryFocalCrossentropy(LossFunctionWrapper):
    """Take the focal crossentropy of yes-or-no labels; arguments as for `binary_focal_crossentropy`."""

    def __init__(
        self,
        apply_class_balancing=False,
        alpha=0.25,
        gamma=2.0,
        from_logits=False,
        label_smoothing=0.0,
        axis=-1,
        reduction=_BATCH_MEAN,
        name="binary_focal_crossentropy",
        dtype=None,
    ):
        arguments = {"apply_class_balancing": apply_class_balancing, "alpha": alpha, "gamma": gamma}
        arguments |= {"from_logits": from_logits, "label_smoothing": label_smoothing, "axis": axis}
        super().__init__(binary_focal_crossentropy, reduction, name, dtype, **arguments)


class CategoricalCrossentropy(LossFunctionWrapper):
    """Take the crossentropy of one-hot labels; arguments as for `categorical_crossentropy`."""

    def __init__(
        self, from_logits=False, label_smoothing=0.0, axis=-1, reduction=_BATCH_MEAN, name="categorical_crossentropy", dtype=None
    ):
        arguments = {"from_logits": from_logits, "label_smoothing": label_smoothing, "axis": axis}
        super().__init__(categorical_crossentropy, reduction, name, dtype, **arguments)


class CategoricalFocalCrossentropy(LossFunctionWrapper):
    """Take the focal crossentropy of one-hot labels; arguments as for `categorical_focal_crossentropy`."""

    def __init__(
        self,
        alpha=0.25,
        gamma=2.0,
        from_logits=False,
        label_smoothing=0.0,
        axis=-1,
        reduction=_BATCH_MEAN,
        name="categorical_focal_crossentropy",
        dtype=None,
    ):
        arguments = {"alpha": alpha, "gamma": gamma, "from_logits": from_logits}
        arguments |= {"label_smoothing": label_smoothing, "axis": axis}
        super().__init__(categorical_focal_crossentropy, reduction, name, dtype, **arguments)


class SparseCategoricalCrossentropy(LossFunctionWrapper):
    """Take the crossentropy of class numbers; arguments as for `sparse_categorical_crossentropy`.

    >>> from multikeras import losses
    >>> round(float(losses.SparseCategoricalCrossentropy()([1, 0], [[0.5, 0.5], [1.0, 0.0]])), 4)
    0.3466
    """

    def __init__(
        self,
        from_logits=False,
        ignore_class=None,
        reduction=_BATCH_MEAN,
        axis=-1,
        name="sparse_categorical_crossentropy",
        dtype=None,
    ):
        arguments = {"from_logits": from_logits, "ignore_class": ignore_class, "axis": axis}
        super().__init__(sparse_categorical_crossentropy, reduction, name, dtype, **arguments)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        if isinstance(y_true, np.ndarray) and hasattr(y_pred, "shape"):
            # A tensor's values may not be there yet, and looking at them is not free.
            _check_labels(y_true, y_pred.shape[self._fn_kwargs["axis"]], self._fn_kwargs["ignore_class"])
        return super().__call__(y_true, y_pred, sample_weight)


def _check_labels(labels: Any, classes: int | None, ignored: int | None) -> None:
    wrong = labels[(labels < 0) | (labels >= classes)] if classes is not None else labels[:0]
    wrong = wrong[wrong != ignored] if ignored is not None else wrong
    if wrong.size:
        raise ValueError(
            f"SparseCategoricalCrossentropy: y_true holds the label {wrong.flat[0]}, but y_pred has {classes} classes: labels "
            f"are 0 to {classes - 1}."
        )


class CategoricalGeneralizedCrossEntropy(LossFunctionWrapper):
    """Take the generalized crossentropy of class numbers."""

    def __init__(self, q=0.5, reduction=_BATCH_MEAN, name="categorical_generalized_cross_entropy", dtype=None):
        if not 0 < q < 1:
            raise ValueError(f"CategoricalGeneralizedCrossEntropy: q must be in the interval (0, 1). Received: q={q}")
        super().__init__(categorical_generalized_cross_entropy, reduction, name, dtype, q=q)


class CTC(LossFunctionWrapper):
    """Take the connectionist temporal classification loss."""

    def __init__(self, reduction=_BATCH_MEAN, name="ctc", dtype=None):
        super().__init__(ctc, reduction, name, dtype)
