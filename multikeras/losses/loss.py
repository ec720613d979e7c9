"""`Loss`: how losses a sample are weighted, masked and brought to one number."""

from collections.abc import Callable
from typing import Any

from multikeras import config, ops
from multikeras.backend import current
from multikeras.backend.shapes import broadcast
from multikeras.core import naming, tree
from multikeras.core.arguments import guard
from multikeras.core.masking import get_mask
from multikeras.core.serialization import deserialize_keras_object, serialize_keras_object

REDUCTIONS = ("sum", "mean", "sum_over_batch_size", "mean_with_sample_weight", "none", None)


def squeeze_or_expand_to_same_rank(x1: Any, x2: Any, expand_rank_1: bool = True) -> tuple[Any, Any]:
    """Return both at one rank where they differ by a last dimension of size 1.

    The dimension is dropped; it is added to the other one instead if that is of rank 1 and `expand_rank_1`.
    """
    difference = len(x1.shape) - len(x2.shape)
    if difference == -1:
        x2, x1 = squeeze_or_expand_to_same_rank(x2, x1, expand_rank_1)
    elif difference == 1 and x1.shape[-1] == 1:
        if len(x2.shape) == 1 and expand_rank_1:
            x2 = ops.expand_dims(x2, -1)
        else:
            x1 = ops.squeeze(x1, -1)
    return x1, x2


def mask_of(x: Any) -> Any:
    """Return the Keras mask of a tensor, None if it carries none."""
    return get_mask(x)


def _count(x: Any, dtype: str) -> Any:
    return ops.cast(ops.size(x), dtype)


def reduce_values(values: Any, sample_weight: Any = None, reduction: str | None = "sum_over_batch_size") -> Any:
    """Return losses a sample as one number; "none" as they are."""
    if reduction in ("none", None):
        return values
    if len(values.shape) == 0:
        return values
    total = ops.sum(values)
    if reduction == "sum":
        return total
    if reduction == "mean_with_sample_weight" and sample_weight is not None:
        weight = ops.sum(sample_weight)
    else:
        weight = _count(values, values.dtype)
    return shared(ops.divide_no_nan(total, weight))


def shared(loss: Any) -> Any:
    """Return the share of a replica in a loss that is a mean over samples: what replicas compute is added up."""
    replicas = current.number_of_replicas()
    return loss if replicas == 1 else loss / replicas


def whole(loss: Any) -> Any:
    """Return the loss of which `shared` is the share."""
    replicas = current.number_of_replicas()
    return loss if replicas == 1 else loss * replicas


def _may_broadcast(x1: Any, x2: Any) -> bool:
    """Return False for two tensors whose shapes tell that they do not fit each other."""
    if tree.is_nested(x1) or tree.is_nested(x2):
        return True
    try:
        broadcast(tuple(x1.shape), tuple(x2.shape))
    except ValueError:
        return False
    return True


def reduce_weighted_values(
    values: Any,
    sample_weight: Any = None,
    mask: Any = None,
    reduction: str | None = "sum_over_batch_size",
    dtype: Any = None,
) -> Any:
    """Return losses a sample, weighted and without masked ones, as one number.

    A mean is over the samples that are not masked, whatever their weights.
    """
    dtype = dtype or config.floatx()
    values = ops.convert_to_tensor(values, dtype=dtype)
    if sample_weight is not None:
        sample_weight = ops.convert_to_tensor(sample_weight, dtype=dtype)
    if mask is not None:
        mask = ops.convert_to_tensor(mask, dtype=dtype)
        if reduction in ("mean", "sum_over_batch_size"):  # what masked samples leave out, the others make up for
            mask = mask * ops.divide_no_nan(_count(mask, dtype), ops.sum(mask))
        if sample_weight is not None:
            sample_weight, mask = squeeze_or_expand_to_same_rank(sample_weight, mask)
            mask = sample_weight * mask
        sample_weight = mask
    if sample_weight is not None:
        values, sample_weight = squeeze_or_expand_to_same_rank(values, sample_weight)
        values = values * sample_weight
    return reduce_values(values, sample_weight, reduction)


class Loss:
    """Map true and predicted values to a loss: subclasses define `call(y_true, y_pred)`, losses a sample.

    Args:
        name: Name, made up from the class if None.
        reduction: "sum_over_batch_size" or "mean": mean over samples; "sum"; "mean_with_sample_weight": sum divided by that of
            the weights as given; "none" or None: one loss a sample.
        dtype: Dtype or policy to compute in, `floatx` if None.

    >>> from multikeras import losses
    >>> float(losses.MeanSquaredError()([[0.0, 1.0]], [[1.0, 1.0]], sample_weight=[3.0]))
    1.5
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        guard(cls)

    def __init__(self, name: str | None = None, reduction: str | None = "sum_over_batch_size", dtype: Any = None):
        if reduction not in REDUCTIONS:
            raise ValueError(
                f"Invalid value for argument `reduction`. Expected one of {REDUCTIONS}. Received: reduction={reduction!r}"
            )
        self.name = name or naming.auto_name(type(self).__name__)
        self.reduction = reduction
        self._dtype_policy = config.policy_from_name(config.floatx() if dtype is None else dtype)
        self._dtype = self._dtype_policy.compute_dtype

    @property
    def dtype(self) -> str:
        """The dtype losses are computed in."""
        return self._dtype

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Return the loss.

        A sample masked in `y_pred`, or by `call`, counts for nothing.
        """
        masks = [mask_of(x) for x in tree.flatten(y_pred)]
        mask = masks[0] if len(masks) == 1 else None
        dtype = self._dtype
        y_true, y_pred = tree.map_structure(lambda x: ops.convert_to_tensor(x, dtype=dtype), (y_true, y_pred))
        try:
            losses = self.call(y_true, y_pred)
        except Exception as error:
            if _may_broadcast(y_true, y_pred):
                raise
            raise ValueError(
                f"The loss {self.name!r} cannot compare targets of shape {tuple(y_true.shape)} with outputs of shape "
                f"{tuple(y_pred.shape)}: {error}"
            ) from error
        own_mask = mask_of(losses)
        if own_mask is not None:
            mask = own_mask if mask is None else ops.logical_and(mask, own_mask)
        return reduce_weighted_values(losses, sample_weight, mask, self.reduction, dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define call(y_true, y_pred).")

    def get_config(self) -> dict[str, Any]:
        """Return name and reduction."""
        return {"name": self.name, "reduction": self.reduction}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Loss":
        return cls(**config)


guard(Loss)


def argument_of_function(wrapper: Any, name: str) -> Any:
    """Return, as an attribute of a wrapper, an argument of the function in it."""
    arguments = wrapper.__dict__.get("_fn_kwargs", {})
    if name not in arguments:
        raise AttributeError(f"{type(wrapper).__name__!r} object has no attribute {name!r}")
    return arguments[name]


class LossFunctionWrapper(Loss):
    """Make a `Loss` of a function of true and predicted values; other arguments go to the function.

    >>> from multikeras.losses.loss import LossFunctionWrapper
    >>> import numpy as np
    >>> float(LossFunctionWrapper(lambda t, p: t * p, reduction="sum")(np.array([0.0, 1.0]), np.array([1.0, 3.0])))
    3.0
    """

    def __init__(
        self,
        fn: Callable,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
        **kwargs,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.fn, self._fn_kwargs = fn, kwargs

    __getattr__ = argument_of_function

    def call(self, y_true: Any, y_pred: Any) -> Any:
        if not tree.is_nested(y_true) and not tree.is_nested(y_pred):
            y_true, y_pred = squeeze_or_expand_to_same_rank(y_true, y_pred)
        return self.fn(y_true, y_pred, **self._fn_kwargs)

    def get_config(self) -> dict[str, Any]:
        """Return name, reduction and the function's arguments, for this class itself the function too."""
        wrapped = {"fn": serialize_keras_object(self.fn)} if type(self) is LossFunctionWrapper else {}
        return {**super().get_config(), **wrapped, **serialize_keras_object(self._fn_kwargs)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Loss":
        if isinstance(config.get("fn"), dict):
            config = {**config, "fn": deserialize_keras_object(config["fn"])}
        return cls(**config)

    def __repr__(self):
        return f"<LossFunctionWrapper({self.fn}, kwargs={self._fn_kwargs})>"
