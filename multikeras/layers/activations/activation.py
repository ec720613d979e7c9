"""Activations as layers."""

from typing import Any

from multikeras import activations, ops
from multikeras.layers._arguments import axes, keep, number, weight
from multikeras.layers.input_spec import InputSpec
from multikeras.layers.layer import Layer


class Elementwise(Layer):
    """What these layers share: no weights, masks pass through."""

    takes_sparse = False

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.built = type(self).build is Layer.build


class Activation(Elementwise):
    """Apply an activation function.

    Args:
        activation: The function or its name.

    >>> import multikeras
    >>> y = multikeras.layers.Activation("relu")(multikeras.ops.array([-1.0, 2.0]))
    >>> multikeras.ops.convert_to_numpy(y).tolist()
    [0.0, 2.0]
    """

    def __init__(self, activation: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.activation = activations.get(activation)

    def call(self, inputs):
        return self.activation(inputs)


def at_least_zero(layer: str, argument: str, value: Any, none_too: bool = False) -> Any:
    """Return `value` if it is a number not below 0 (or None where allowed), else raise ValueError."""
    if value is not None:
        number(layer, argument, value)
    if (value is None and not none_too) or (value is not None and value < 0):
        allowed = "a negative value" if none_too else "None or a negative value"
        raise ValueError(f"{argument} of a {layer} layer cannot be {allowed}, got {argument}={value!r}.")
    return value


class ReLU(Elementwise):
    """Return x from `threshold` up to `max_value`, and a slope below.

    Args:
        max_value: Largest output, None for no bound.
        negative_slope: Slope below `threshold`.
        threshold: Where the activation sets in.

    >>> import multikeras
    >>> y = multikeras.layers.ReLU(max_value=3.0)(multikeras.ops.array([-1.0, 2.0, 5.0]))
    >>> multikeras.ops.convert_to_numpy(y).tolist()
    [0.0, 2.0, 3.0]
    """

    def __init__(
        self, max_value: float | None = None, negative_slope: float = 0.0, threshold: float = 0.0, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.max_value = at_least_zero("ReLU", "max_value", max_value, none_too=True)
        self.negative_slope = at_least_zero("ReLU", "negative_slope", negative_slope)
        self.threshold = at_least_zero("ReLU", "threshold", threshold)

    def call(self, inputs):
        return activations.relu(
            inputs, negative_slope=self.negative_slope, max_value=self.max_value, threshold=self.threshold
        )


class LeakyReLU(Elementwise):
    """Return x above 0 and `negative_slope * x` below.

    Args:
        negative_slope: The slope below 0.

    >>> import multikeras
    >>> y = multikeras.layers.LeakyReLU(negative_slope=0.5)(multikeras.ops.array([-1.0, 2.0]))
    >>> multikeras.ops.convert_to_numpy(y).tolist()
    [-0.5, 2.0]
    """

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any):
        if "alpha" in kwargs:
            negative_slope = kwargs.pop("alpha")
        super().__init__(**kwargs)
        self.negative_slope = at_least_zero("LeakyReLU", "negative_slope", negative_slope)

    def call(self, inputs):
        return activations.leaky_relu(inputs, negative_slope=self.negative_slope)


class ELU(Elementwise):
    """Return x above 0 and `alpha * (exp(x) - 1)` below.

    Args:
        alpha: What the output tends to below 0, negated.

    >>> import multikeras
    >>> y = multikeras.layers.ELU()(multikeras.ops.array([-1.0, 2.0]))
    >>> multikeras.ops.convert_to_numpy(y).astype("float64").round(3).tolist()
    [-0.632, 2.0]
    """

    def __init__(self, alpha: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.alpha = number(self, "alpha", alpha)

    def call(self, inputs):
        return activations.elu(inputs, alpha=self.alpha)


class PReLU(Layer):
    """Return x above 0 and a learned slope times x below.

    Args:
        alpha_initializer, alpha_regularizer, alpha_constraint: For the slopes.
        shared_axes: Axes along which the slope is the same, counted with the batch.

    >>> import multikeras
    >>> y = multikeras.layers.PReLU(alpha_initializer="ones")(multikeras.ops.array([[-1.0, 2.0]]))
    >>> multikeras.ops.convert_to_numpy(y).tolist()
    [[-1.0, 2.0]]
    """

    takes_sparse = False

    def __init__(
        self,
        alpha_initializer: Any = "Zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        keep(self, locals())
        if shared_axes is not None:
            axes(self, "shared_axes", shared_axes)
            self.shared_axes = list(shared_axes) if isinstance(shared_axes, (list, tuple)) else [shared_axes]
        self.supports_masking = True

    def build(self, input_shape):
        if any(not 0 < a < len(input_shape) for a in self.shared_axes or ()):
            raise ValueError(
                f"PReLU {self.name!r}: shared_axes={self.shared_axes} must lie between 1 and the last axis of its input, got "
                f"shape {input_shape}."
            )
        shared = {*(self.shared_axes or ())}
        shape = tuple(1 if a in shared else size for a, size in enumerate(input_shape))[1:]
        if None in shape:
            raise ValueError(
                f"PReLU {self.name!r}: sizes of its input must be known or among shared_axes, got shape {input_shape}."
            )
        self.alpha = weight(self, "alpha", shape)
        self.input_spec = InputSpec(
            ndim=len(input_shape), axes={a: s for a, s in enumerate(input_shape) if a and a not in shared}
        )

    def call(self, inputs):
        return activations.relu(inputs) - self.alpha * activations.relu(-inputs)


class Softmax(Elementwise):
    """Turn scores into probabilities along `axis`; masked entries get 0.

    Args:
        axis: The axis, or axes taken together.

    Call arguments: `inputs`, and `mask`, True where an entry counts, which broadcasts to them.

    >>> import multikeras
    >>> y = multikeras.layers.Softmax()(multikeras.ops.array([[1.0, 1.0, 9.0]]), mask=multikeras.ops.array([[1, 1, 0]]))
    >>> multikeras.ops.convert_to_numpy(y).astype("float64").round(3).tolist()
    [[0.5, 0.5, 0.0]]
    """

    def __init__(self, axis: Any = -1, **kwargs: Any):
        super().__init__(**kwargs)
        self.axis = axes(self, "axis", axis)

    def call(self, inputs, mask=None):
        axis = self.axis[0] if isinstance(self.axis, (list, tuple)) and len(self.axis) == 1 else self.axis
        if mask is None:
            return _softmax(inputs, axis)
        self._check_mask(inputs, mask)
        mask = ops.cast(mask, "bool")
        lowest = -3e4 if ops.dtype(inputs) == "float16" else -1e9
        outputs = _softmax(ops.where(mask, inputs, ops.cast(lowest, inputs.dtype)), axis)
        # A row without any entry that counts would come out uniform.
        return outputs * ops.cast(mask, outputs.dtype)

    def _check_mask(self, inputs, mask):
        if len(mask.shape) > len(inputs.shape):
            raise ValueError(
                f"Softmax {self.name!r}: mask must not have more dimensions than inputs, got shapes "
                f"{tuple(mask.shape)} "
                f"and {tuple(inputs.shape)}."
            )
        for m, size in zip(reversed(mask.shape), reversed(inputs.shape)):
            if None not in (m, size) and m not in (1, size):
                raise ValueError(
                    f"Softmax {self.name!r}: mask of shape {tuple(mask.shape)} is not broadcastable to inputs of shape "
                    f"{tuple(inputs.shape)}."
                )


def _softmax(x: Any, axis: Any) -> Any:
    if isinstance(axis, (list, tuple)):
        return ops.exp(x - ops.logsumexp(x, axis=tuple(axis), keepdims=True))
    return ops.softmax(x, axis=axis)
