"""Losses of segmentation and of embeddings: Dice, Tversky, circle."""

from typing import Any

from multikeras import config, ops
from multikeras.core.masking import set_mask
from multikeras.losses.loss import LossFunctionWrapper, squeeze_or_expand_to_same_rank
from multikeras.losses.regression import _BATCH_MEAN


def _counts(y_true: Any, y_pred: Any, axis: Any) -> tuple[Any, Any, Any]:
    """Return what both mark, what only the truth and what only the prediction marks, in fractions of pixels."""
    y_pred = ops.convert_to_tensor(y_pred)
    y_true = ops.cast(y_true, y_pred.dtype)
    if axis is None:
        y_true, y_pred = ops.reshape(y_true, (-1,)), ops.reshape(y_pred, (-1,))
    both = ops.sum(y_true * y_pred, axis=axis)
    return both, ops.sum(y_true * (1.0 - y_pred), axis=axis), ops.sum((1.0 - y_true) * y_pred, axis=axis)


def tversky(y_true: Any, y_pred: Any, alpha: float = 0.5, beta: float = 0.5, axis: Any = None) -> Any:
    """Return 1 - overlap / (overlap + alpha * false negatives + beta * false positives) (Salehi et al., 2017).

    `axis`: what to sum over, all if None.
    """
    both, missed, extra = _counts(y_true, y_pred, axis)
    small = config.epsilon()
    return 1.0 - both / (both + alpha * missed + beta * extra + small)


def dice(y_true: Any, y_pred: Any, axis: Any = None) -> Any:
    """Return 1 - 2 * overlap / (sum of both): 0 where they agree.

    >>> from multikeras import losses
    >>> round(float(losses.dice([[1.0, 0.0]], [[0.0, 1.0]])), 4)
    1.0
    """
    both, missed, extra = _counts(y_true, y_pred, axis)
    return 1.0 - 2.0 * both / (2.0 * both + missed + extra + config.epsilon())


def circle(
    y_true: Any,
    y_pred: Any,
    ref_labels: Any = None,
    ref_embeddings: Any = None,
    remove_diagonal: bool = True,
    gamma: float = 80,
    margin: float = 0.4,
) -> Any:
    """Return the circle loss of embeddings (Sun et al., 2020): like ones near, others far.

    Args:
        y_true: (batch,) class numbers.
        y_pred: (batch, dim) embeddings of norm 1.
        ref_labels: Labels of the embeddings to compare with, `y_true` itself if None.
        ref_embeddings: These embeddings, `y_pred` if None.
        remove_diagonal: Whether an embedding is not compared with itself.
        gamma: Scale of the exponents.
        margin: How far from the ideal similarities one may stay.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    labels = ops.cast(y_true, "int32")
    references = labels if ref_labels is None else ops.cast(ref_labels, "int32")
    embeddings = y_pred if ref_embeddings is None else ops.cast(ref_embeddings, y_pred.dtype)
    labels, references = ops.reshape(labels, (-1, 1)), ops.reshape(references, (1, -1))
    alike = labels == references
    unlike = ops.logical_not(alike)
    if remove_diagonal and ref_labels is None:
        alike = ops.logical_and(alike, ops.logical_not(ops.eye(y_pred.shape[0], dtype="bool")))
    distance = ops.maximum(1.0 - ops.matmul(y_pred, ops.transpose(embeddings)), 0.0)
    pull = gamma * ops.maximum(margin + distance, 0.0) * (distance - margin)
    push = gamma * ops.maximum(1.0 + margin - distance, 0.0) * (1.0 - margin - distance)
    far_below = ops.full_like(distance, -1e9)
    pull = ops.logsumexp(ops.where(alike, pull, far_below), axis=1)
    push = ops.logsumexp(ops.where(unlike, push, far_below), axis=1)
    losses = ops.softplus(pull + push)
    set_mask(losses, ops.logical_and(ops.any(alike, axis=1), ops.any(unlike, axis=1)))
    return losses


class Dice(LossFunctionWrapper):
    """Take 1 - the Dice coefficient, of the whole batch unless `axis` says what to sum over."""

    def __init__(self, reduction=_BATCH_MEAN, name="dice", axis=None, dtype=None):
        super().__init__(dice, reduction, name, dtype, axis=axis)


class Tversky(LossFunctionWrapper):
    """Take 1 - the Tversky index: `alpha` weighs false negatives, `beta` false positives."""

    def __init__(self, alpha=0.5, beta=0.5, reduction=_BATCH_MEAN, name="tversky", axis=None, dtype=None):
        super().__init__(tversky, reduction, name, dtype, alpha=alpha, beta=beta, axis=axis)


class Circle(LossFunctionWrapper):
    """Take the circle loss of embeddings: `call(y_true, y_pred, ref_labels=None, ref_embeddings=None)`."""

    def __init__(self, gamma=80.0, margin=0.4, remove_diagonal=True, reduction=_BATCH_MEAN, name="circle", dtype=None):
        super().__init__(circle, reduction, name, dtype, gamma=gamma, margin=margin, remove_diagonal=remove_diagonal)

    def call(self, y_true: Any, y_pred: Any, ref_labels: Any = None, ref_embeddings: Any = None) -> Any:
        y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
        return circle(y_true, y_pred, ref_labels, ref_embeddings, **self._fn_kwargs)
