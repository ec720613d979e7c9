"""Sums and means over samples."""

from collections.abc import Callable
from typing import Any

from multikeras import ops
from multikeras.core.serialization import deserialize_keras_object, serialize_keras_object
from multikeras.losses.loss import argument_of_function, mask_of, squeeze_or_expand_to_same_rank
from multikeras.losses.regression import pair
from multikeras.metrics.metric import Metric


def samplewise(values: Any, sample_weight: Any, reduce: Callable, dtype: str) -> tuple[Any, Any]:
    """Return values and weights with one entry a sample: other axes are reduced by `reduce`.

    Values are multiplied by weights, which may weigh the entries of a sample differently; masked samples by 0.
    """
    mask = mask_of(values)
    values = ops.cast(values, dtype)
    if sample_weight is None:
        return _over_all_but_first(values, reduce), None
    weights = ops.convert_to_tensor(sample_weight, dtype=dtype)
    if mask is not None:
        weights, mask = squeeze_or_expand_to_same_rank(weights, ops.cast(mask, dtype))
        weights = weights * mask
    values, weights = squeeze_or_expand_to_same_rank(values, weights)
    while len(values.shape) > len(weights.shape):
        values = reduce(values, axis=-1)
    if len(values.shape) > 1:
        weights = ops.broadcast_to(weights, ops.shape(values))
    return _over_all_but_first(values * weights, reduce), _over_all_but_first(weights, reduce)


def _over_all_but_first(x: Any, reduce: Callable) -> Any:
    rank = len(x.shape)
    return reduce(x, axis=tuple(range(1, rank))) if rank > 1 else x


class Sum(Metric):
    """Add values, times their weights.

    >>> from multikeras import metrics
    >>> float(metrics.Sum()([1.0, 3.0], sample_weight=[1.0, 2.0]))
    7.0
    """

    def __init__(self, name="sum", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), dtype=self.dtype, name="total")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        values, _ = samplewise(values, sample_weight, ops.sum, self.dtype)
        self.total.assign(self.total + ops.sum(values))

    def result(self) -> Any:
        return ops.cast(self.total, self.dtype)


class Mean(Metric):
    """Take the mean of values, by weights.

    >>> from multikeras import metrics
    >>> mean = metrics.Mean()
    >>> mean.update_state([1.0, 3.0])
    >>> mean.update_state([8.0])
    >>> float(mean.result())
    4.0
    """

    def __init__(self, name="mean", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), dtype=self.dtype, name="total")
        self.count = self.add_variable((), dtype=self.dtype, name="count")

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        values, weights = samplewise(values, sample_weight, ops.mean, self.dtype)
        if weights is not None:
            count = ops.sum(weights)
        else:
            count = ops.cast(ops.shape(values)[0] if len(values.shape) else 1, self.dtype)
        self.total.assign(self.total + ops.sum(values))
        self.count.assign(self.count + count)

    def result(self) -> Any:
        return ops.divide_no_nan(self.total, ops.cast(self.count, self.dtype))


class MeanMetricWrapper(Mean):
    """Take the mean of a function of true and predicted values; further arguments go to the function.

    >>> from multikeras import losses, metrics
    >>> float(metrics.MeanMetricWrapper(losses.mean_absolute_error)([[0.0, 1.0]], [[1.0, 4.0]]))
    2.0
    """

    def __init__(self, fn, name=None, dtype=None, **kwargs):
        super().__init__(name=name, dtype=dtype)
        self._fn, self._fn_kwargs = fn, kwargs

    __getattr__ = argument_of_function

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        mask = mask_of(y_pred)
        values = self._fn(y_true, y_pred, **self._fn_kwargs)
        if mask is not None:
            mask = ops.cast(mask, self.dtype)
            if sample_weight is not None:
                weights = ops.convert_to_tensor(sample_weight, dtype=self.dtype)
                weights, mask = squeeze_or_expand_to_same_rank(weights, mask)
                mask = weights * mask
            sample_weight = mask
        super().update_state(values, sample_weight=sample_weight)

    def get_config(self) -> dict[str, Any]:
        """Return name, dtype and the function's arguments, for this class itself the function too."""
        wrapped = {"fn": serialize_keras_object(self._fn)} if type(self) is MeanMetricWrapper else {}
        return {"name": self.name, "dtype": self.dtype, **wrapped, **serialize_keras_object(self._fn_kwargs)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Metric":
        if isinstance(config.get("fn"), dict):
            config = {**config, "fn": deserialize_keras_object(config["fn"])}
        return cls(**config)


class RootMeanSquaredError(Mean):
    """Take the root of the mean of squared differences.

    >>> from multikeras import metrics
    >>> float(metrics.RootMeanSquaredError()([0.0, 0.0], [3.0, 3.0]))
    3.0
    """

    def __init__(self, name="root_mean_squared_error", dtype=None):
        super().__init__(name=name, dtype=dtype)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_pred = ops.convert_to_tensor(y_pred, dtype=self.dtype)
        y_true, y_pred = pair(y_true, y_pred)
        super().update_state(ops.square(y_true - y_pred), sample_weight=sample_weight)

    def result(self) -> Any:
        return ops.sqrt(super().result())


class R2Score(Metric):
    """Take the share of variance that predictions explain.

    Args:
        class_aggregation: "uniform_average" of outputs, "variance_weighted_average", or None: each output.
        num_regressors: Number of inputs of the model, for the adjusted score; 0: not adjusted.

    >>> import numpy as np
    >>> from multikeras import metrics
    >>> metric = metrics.R2Score()
    >>> round(float(metric(np.array([[1.0], [4.0], [3.0]], "float32"), np.array([[2.0], [4.0], [4.0]], "float32"))), 4)
    0.5714
    """

    def __init__(self, class_aggregation="uniform_average", num_regressors=0, name="r2_score", dtype=None):
        super().__init__(name=name, dtype=dtype)
        valid = (None, "uniform_average", "variance_weighted_average")
        if class_aggregation not in valid:
            raise ValueError(
                f"R2Score: Invalid value for argument `class_aggregation`. Expected one of {valid}. Received: "
                f"{class_aggregation=}"
            )
        if num_regressors < 0:
            raise ValueError(
                "R2Score: Invalid value for argument `num_regressors`. Expected a value >= 0. Received: "
                f"{num_regressors=}"
            )
        self.class_aggregation, self.num_regressors = class_aggregation, num_regressors
        self.num_samples = self.add_variable((), name="num_samples")
        self._built = False

    def _build(self, outputs: int) -> None:
        self.squared_sum = self.add_variable([outputs], name="squared_sum")
        self.sum = self.add_variable([outputs], name="sum")
        self.total_mse = self.add_variable([outputs], name="residual")
        self.count = self.add_variable([outputs], name="count")
        self._built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_true = ops.convert_to_tensor(y_true, dtype=self.dtype)
        y_pred = ops.convert_to_tensor(y_pred, dtype=self.dtype)
        y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
        shape = tuple(y_pred.shape)
        if len(shape) != 2 or shape[1] is None:
            raise ValueError(
                f"R2Score expects 2D inputs with shape (batch_size, output_dim), got y_pred of shape {shape}."
            )
        if not self._built:
            self._build(shape[1])
        weights = ops.convert_to_tensor(1 if sample_weight is None else sample_weight, dtype=self.dtype)
        if len(weights.shape) == 1:
            weights = ops.expand_dims(weights, 1)
        weights = ops.broadcast_to(weights, ops.shape(y_true))
        weighted = y_true * weights
        self.sum.assign(self.sum + ops.sum(weighted, axis=0))
        self.squared_sum.assign(self.squared_sum + ops.sum(y_true * weighted, axis=0))
        self.total_mse.assign(self.total_mse + ops.sum(ops.square(y_true - y_pred) * weights, axis=0))
        self.count.assign(self.count + ops.sum(weights, axis=0))
        self.num_samples.assign(self.num_samples + ops.cast(ops.size(y_true), self.dtype))

    def result(self) -> Any:
        total = self.squared_sum - self.sum * (self.sum / self.count)
        score = 1 - self.total_mse / total
        score = ops.where(ops.isinf(score), ops.zeros_like(score), score)
        if self.class_aggregation == "uniform_average":
            score = ops.mean(score)
        elif self.class_aggregation == "variance_weighted_average":
            score = ops.sum(score * total) / ops.sum(total)
        if self.num_regressors:
            left = self.num_samples - self.num_regressors - 1
            adjusted = 1 - (1 - score) * (self.num_samples - 1) / ops.where(left > 0, left, ops.ones_like(left))
            score = ops.where(left > 0, adjusted, score)
        return score

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "class_aggregation": self.class_aggregation, "num_regressors": self.num_regressors}
