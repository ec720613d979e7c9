"""What training makes small."""

from typing import Any

from multikeras.core.serialization import Kind as _Kind
from multikeras.core.serialization import serialize_keras_object as _serialize
from multikeras.losses.loss import Loss as Loss
from multikeras.losses.loss import LossFunctionWrapper as _LossFunctionWrapper
from multikeras.losses.overlap import Circle as Circle
from multikeras.losses.overlap import Dice as Dice
from multikeras.losses.overlap import Tversky as Tversky
from multikeras.losses.overlap import circle as circle
from multikeras.losses.overlap import dice as dice
from multikeras.losses.overlap import tversky as tversky
from multikeras.losses.probabilistic import CTC as CTC
from multikeras.losses.probabilistic import BinaryCrossentropy as BinaryCrossentropy
from multikeras.losses.probabilistic import BinaryFocalCrossentropy as BinaryFocalCrossentropy
from multikeras.losses.probabilistic import CategoricalCrossentropy as CategoricalCrossentropy
from multikeras.losses.probabilistic import CategoricalFocalCrossentropy as CategoricalFocalCrossentropy
from multikeras.losses.probabilistic import CategoricalGeneralizedCrossEntropy as CategoricalGeneralizedCrossEntropy
from multikeras.losses.probabilistic import KLDivergence as KLDivergence
from multikeras.losses.probabilistic import SparseCategoricalCrossentropy as SparseCategoricalCrossentropy
from multikeras.losses.probabilistic import binary_crossentropy as binary_crossentropy
from multikeras.losses.probabilistic import binary_focal_crossentropy as binary_focal_crossentropy
from multikeras.losses.probabilistic import categorical_crossentropy as categorical_crossentropy
from multikeras.losses.probabilistic import categorical_focal_crossentropy as categorical_focal_crossentropy
from multikeras.losses.probabilistic import categorical_generalized_cross_entropy as categorical_generalized_cross_entropy
from multikeras.losses.probabilistic import ctc as ctc
from multikeras.losses.probabilistic import kl_divergence as kl_divergence
from multikeras.losses.probabilistic import sparse_categorical_crossentropy as sparse_categorical_crossentropy
from multikeras.losses.regression import CategoricalHinge as CategoricalHinge
from multikeras.losses.regression import CosineSimilarity as CosineSimilarity
from multikeras.losses.regression import Hinge as Hinge
from multikeras.losses.regression import Huber as Huber
from multikeras.losses.regression import LogCosh as LogCosh
from multikeras.losses.regression import MeanAbsoluteError as MeanAbsoluteError
from multikeras.losses.regression import MeanAbsolutePercentageError as MeanAbsolutePercentageError
from multikeras.losses.regression import MeanSquaredError as MeanSquaredError
from multikeras.losses.regression import MeanSquaredLogarithmicError as MeanSquaredLogarithmicError
from multikeras.losses.regression import Poisson as Poisson
from multikeras.losses.regression import SquaredHinge as SquaredHinge
from multikeras.losses.regression import categorical_hinge as categorical_hinge
from multikeras.losses.regression import cosine_similarity as cosine_similarity
from multikeras.losses.regression import hinge as hinge
from multikeras.losses.regression import huber as huber
from multikeras.losses.regression import log_cosh as log_cosh
from multikeras.losses.regression import mean_absolute_error as mean_absolute_error
from multikeras.losses.regression import mean_absolute_percentage_error as mean_absolute_percentage_error
from multikeras.losses.regression import mean_squared_error as mean_squared_error
from multikeras.losses.regression import mean_squared_logarithmic_error as mean_squared_logarithmic_error
from multikeras.losses.regression import poisson as poisson
from multikeras.losses.regression import squared_hinge as squared_hinge

_SHORT = {
    "bce": binary_crossentropy, "kld": kl_divergence, "mae": mean_absolute_error, "mse": mean_squared_error,
    "mape": mean_absolute_percentage_error, "msle": mean_squared_logarithmic_error,
}  # fmt: skip
_KIND = _Kind(
    "loss",
    {
        f.__name__: f
        for f in (
            Loss, _LossFunctionWrapper, Circle, Dice, Tversky, CTC, BinaryCrossentropy, BinaryFocalCrossentropy,
            CategoricalCrossentropy, CategoricalFocalCrossentropy, CategoricalGeneralizedCrossEntropy, KLDivergence,
            SparseCategoricalCrossentropy, CategoricalHinge, CosineSimilarity, Hinge, Huber, LogCosh, MeanAbsoluteError,
            MeanAbsolutePercentageError, MeanSquaredError, MeanSquaredLogarithmicError, Poisson, SquaredHinge,
            binary_crossentropy, binary_focal_crossentropy, categorical_crossentropy, categorical_focal_crossentropy,
            categorical_generalized_cross_entropy, categorical_hinge, circle, cosine_similarity, ctc, dice, hinge, huber,
            kl_divergence, log_cosh, mean_absolute_error, mean_absolute_percentage_error, mean_squared_error,
            mean_squared_logarithmic_error, poisson, sparse_categorical_crossentropy, squared_hinge, tversky,
        )
    }
    | _SHORT
    | {name.upper(): f for name, f in _SHORT.items()},
)  # fmt: skip


def serialize(loss: Any) -> Any:
    """Return the config of a loss."""
    return _serialize(loss)


def deserialize(name: Any, custom_objects: dict | None = None) -> Any:
    """Return the loss of a config or name."""
    return _KIND.deserialize(name, custom_objects)


def get(identifier: Any) -> Any:
    """Return the loss that a name, config, class or callable stands for, None for None.

    Names of functions give functions ("mse"), names of classes instances ("MeanSquaredError").

    >>> from multikeras import losses
    >>> losses.get("mse").__name__
    'mean_squared_error'
    """
    return _KIND.get(identifier)
