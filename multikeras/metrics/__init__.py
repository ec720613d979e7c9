"""What training is judged by."""

from typing import Any

from multikeras.core.serialization import Kind as _Kind
from multikeras.core.serialization import by_both_names as _by_both_names
from multikeras.core.serialization import serialize_keras_object as _serialize
from multikeras.losses import binary_crossentropy as binary_crossentropy
from multikeras.losses import binary_focal_crossentropy as binary_focal_crossentropy
from multikeras.losses import categorical_crossentropy as categorical_crossentropy
from multikeras.losses import categorical_focal_crossentropy as categorical_focal_crossentropy
from multikeras.losses import categorical_hinge as categorical_hinge
from multikeras.losses import hinge as hinge
from multikeras.losses import huber as huber
from multikeras.losses import kl_divergence as kl_divergence
from multikeras.losses import log_cosh as log_cosh
from multikeras.losses import mean_absolute_error as mean_absolute_error
from multikeras.losses import mean_absolute_percentage_error as mean_absolute_percentage_error
from multikeras.losses import mean_squared_error as mean_squared_error
from multikeras.losses import mean_squared_logarithmic_error as mean_squared_logarithmic_error
from multikeras.losses import poisson as poisson
from multikeras.losses import sparse_categorical_crossentropy as sparse_categorical_crossentropy
from multikeras.losses import squared_hinge as squared_hinge
from multikeras.metrics.accuracy import Accuracy as Accuracy
from multikeras.metrics.accuracy import BinaryAccuracy as BinaryAccuracy
from multikeras.metrics.accuracy import CategoricalAccuracy as CategoricalAccuracy
from multikeras.metrics.accuracy import SparseCategoricalAccuracy as SparseCategoricalAccuracy
from multikeras.metrics.accuracy import SparseTopKCategoricalAccuracy as SparseTopKCategoricalAccuracy
from multikeras.metrics.accuracy import TopKCategoricalAccuracy as TopKCategoricalAccuracy
from multikeras.metrics.accuracy import binary_accuracy as binary_accuracy
from multikeras.metrics.accuracy import categorical_accuracy as categorical_accuracy
from multikeras.metrics.accuracy import sparse_categorical_accuracy as sparse_categorical_accuracy
from multikeras.metrics.accuracy import sparse_top_k_categorical_accuracy as sparse_top_k_categorical_accuracy
from multikeras.metrics.accuracy import top_k_categorical_accuracy as top_k_categorical_accuracy
from multikeras.metrics.confusion import FalseNegatives as FalseNegatives
from multikeras.metrics.confusion import FalsePositives as FalsePositives
from multikeras.metrics.confusion import Precision as Precision
from multikeras.metrics.confusion import Recall as Recall
from multikeras.metrics.confusion import TrueNegatives as TrueNegatives
from multikeras.metrics.confusion import TruePositives as TruePositives
from multikeras.metrics.curves import AUC as AUC
from multikeras.metrics.curves import PrecisionAtRecall as PrecisionAtRecall
from multikeras.metrics.curves import RecallAtPrecision as RecallAtPrecision
from multikeras.metrics.curves import SensitivityAtSpecificity as SensitivityAtSpecificity
from multikeras.metrics.curves import SpecificityAtSensitivity as SpecificityAtSensitivity
from multikeras.metrics.errors import BinaryCrossentropy as BinaryCrossentropy
from multikeras.metrics.errors import CategoricalCrossentropy as CategoricalCrossentropy
from multikeras.metrics.errors import CategoricalHinge as CategoricalHinge
from multikeras.metrics.errors import ConcordanceCorrelation as ConcordanceCorrelation
from multikeras.metrics.errors import CosineSimilarity as CosineSimilarity
from multikeras.metrics.errors import Hinge as Hinge
from multikeras.metrics.errors import KLDivergence as KLDivergence
from multikeras.metrics.errors import LogCoshError as LogCoshError
from multikeras.metrics.errors import MeanAbsoluteError as MeanAbsoluteError
from multikeras.metrics.errors import MeanAbsolutePercentageError as MeanAbsolutePercentageError
from multikeras.metrics.errors import MeanSquaredError as MeanSquaredError
from multikeras.metrics.errors import MeanSquaredLogarithmicError as MeanSquaredLogarithmicError
from multikeras.metrics.errors import PearsonCorrelation as PearsonCorrelation
from multikeras.metrics.errors import Poisson as Poisson
from multikeras.metrics.errors import SparseCategoricalCrossentropy as SparseCategoricalCrossentropy
from multikeras.metrics.errors import SquaredHinge as SquaredHinge
from multikeras.metrics.errors import concordance_correlation as concordance_correlation
from multikeras.metrics.errors import pearson_correlation as pearson_correlation
from multikeras.metrics.f_score import F1Score as F1Score
from multikeras.metrics.f_score import FBetaScore as FBetaScore
from multikeras.metrics.iou import BinaryIoU as BinaryIoU
from multikeras.metrics.iou import IoU as IoU
from multikeras.metrics.iou import MeanIoU as MeanIoU
from multikeras.metrics.iou import OneHotIoU as OneHotIoU
from multikeras.metrics.iou import OneHotMeanIoU as OneHotMeanIoU
from multikeras.metrics.metric import Metric as Metric
from multikeras.metrics.reductions import Mean as Mean
from multikeras.metrics.reductions import MeanMetricWrapper as MeanMetricWrapper
from multikeras.metrics.reductions import R2Score as R2Score
from multikeras.metrics.reductions import RootMeanSquaredError as RootMeanSquaredError
from multikeras.metrics.reductions import Sum as Sum

_CLASSES = (
    AUC, Accuracy, BinaryAccuracy, BinaryCrossentropy, BinaryIoU, CategoricalAccuracy, CategoricalCrossentropy,
    CategoricalHinge, ConcordanceCorrelation, CosineSimilarity, F1Score, FBetaScore, FalseNegatives, FalsePositives,
    Hinge, IoU, KLDivergence, LogCoshError, Mean, MeanAbsoluteError, MeanAbsolutePercentageError, MeanIoU,
    MeanMetricWrapper, MeanSquaredError, MeanSquaredLogarithmicError, Metric, OneHotIoU, OneHotMeanIoU,
    PearsonCorrelation, Poisson, Precision, PrecisionAtRecall, R2Score, Recall, RecallAtPrecision,
    RootMeanSquaredError, SensitivityAtSpecificity, SparseCategoricalAccuracy, SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy, SpecificityAtSensitivity, SquaredHinge, Sum, TopKCategoricalAccuracy,
    TrueNegatives, TruePositives,
)  # fmt: skip
_SHORT = {
    "bce": BinaryCrossentropy, "mse": MeanSquaredError, "mae": MeanAbsoluteError,
    "mape": MeanAbsolutePercentageError, "msle": MeanSquaredLogarithmicError,
}  # fmt: skip
_KIND = _Kind("metric", {**_by_both_names(*_CLASSES), **_SHORT, **{name.upper(): c for name, c in _SHORT.items()}})


def serialize(metric: Any) -> Any:
    """Return the config of a metric."""
    return _serialize(metric)


def deserialize(config: Any, custom_objects: dict | None = None) -> Any:
    """Return the metric of a config or name."""
    return _KIND.deserialize(config, custom_objects)


def get(identifier: Any) -> Any:
    """Return the metric that a name, config, class or callable stands for, None for None.

    >>> from multikeras import metrics
    >>> metrics.get("mse").name
    'mean_squared_error'
    """
    return _KIND.get(identifier)
