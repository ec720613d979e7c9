"""`LayerNormalization` and `RMSNormalization`: each sample normalized over its own features."""

import warnings
from typing import Any

from multikeras import ops
from multikeras.layers._arguments import keep, number, weight
from multikeras.layers._call import in_dtype
from multikeras.layers.layer import Layer


class LayerNormalization(Layer):
    """Shift and scale each sample to mean 0 and variance 1 over `axis` (Ba et al. 2016, arXiv:1607.06450).

    Args:
        axis: The axis or axes normalized over together.
        epsilon: Added to the variance.
        center, scale: Whether to add `beta` and multiply by `gamma`, of the sizes of `axis`.

    >>> import multikeras
    >>> y = multikeras.layers.LayerNormalization(epsilon=0.0)(multikeras.ops.array([[1.0, 3.0]]))
    >>> multikeras.ops.convert_to_numpy(y).tolist()
    [[-1.0, 1.0]]
    """

    also_in_config = ("rms_scaling",)

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ):
        self.rms_scaling = rms_scaling = kwargs.pop("rms_scaling", False)
        if rms_scaling:
            warnings.warn("LayerNormalization: rms_scaling is deprecated, use RMSNormalization.", stacklevel=2)
        # Inputs are not cast before they are normalized: large ones would overflow half precision.
        super().__init__(**{"autocast": False, **kwargs})
        keep(self, locals())
        self.axis = checked_axis(self, axis)
        self.gamma = self.beta = None
        self.supports_masking = True

    def build(self, input_shape):
        self.axis = sorted_axes(self, self.axis, input_shape)
        shape = tuple(input_shape[a] for a in self.axis)
        if self.scale or self.rms_scaling:
            self.gamma = weight(self, "gamma", shape)
        if self.center and not self.rms_scaling:
            self.beta = weight(self, "beta", shape)

    def call(self, inputs):
        dtype = self.compute_dtype
        x = ops.cast(inputs, "float32") if dtype in ("float16", "bfloat16") else inputs
        if self.rms_scaling:
            deviation = ops.sqrt(ops.var(x, axis=self.axis, keepdims=True) + self.epsilon)
            outputs = x / deviation * ops.cast(along(self.gamma, self.axis, x), x.dtype)
        else:
            outputs = ops.layer_normalization(x, self.gamma, self.beta, self.axis, self.epsilon)
        return in_dtype(outputs, dtype)


class RMSNormalization(Layer):
    """Scale each sample to a root mean square of 1 over `axis` (Zhang and Sennrich 2019, arXiv:1910.07467).

    Args:
        axis: The axis or axes normalized over together.
        epsilon: Added to the mean square.

    >>> import multikeras
    >>> y = multikeras.layers.RMSNormalization(epsilon=0.0)(multikeras.ops.array([[3.0, -3.0]]))
    >>> multikeras.ops.convert_to_numpy(y).astype("float64").round(3).tolist()
    [[1.0, -1.0]]
    """

    def __init__(self, axis: Any = -1, epsilon: float = 1e-6, **kwargs: Any):
        super().__init__(**kwargs)
        self.axis = checked_axis(self, axis)
        self.epsilon = number(self, "epsilon", epsilon, 0)

    def build(self, input_shape):
        self.axis = sorted_axes(self, self.axis, input_shape)
        self.scale = self.add_weight(
            name="scale", shape=tuple(input_shape[a] for a in self.axis), initializer="ones"
        )

    def call(self, x):
        return ops.rms_normalization(x, scale=self.scale, axis=self.axis, epsilon=self.epsilon)


def checked_axis(layer: Any, axis: Any) -> list[int]:
    """Return `axis`, an int or several, as a list."""
    axes = [axis] if isinstance(axis, int) else axis
    if not isinstance(axes, (list, tuple)) or not all(isinstance(a, int) for a in axes):
        raise TypeError(f"{type(layer).__name__}: axis must be an int or a list or tuple of ints, got axis={axis!r}.")
    return list(axes)


def sorted_axes(layer: Any, axes: list[int], shape: tuple) -> list[int]:
    """Return `axes` in rising order, refusing ones that `shape` lacks or whose size is unknown."""
    for a in axes:
        if not -len(shape) <= a < len(shape):
            raise ValueError(
                f"{type(layer).__name__} {layer.name!r}: axis={a} is out of range for shape "
                f"{tuple(shape)}."
            )
        if shape[a] is None:
            raise ValueError(
                f"{type(layer).__name__} {layer.name!r}: axis {a} of its input must be known, got shape "
                f"{tuple(shape)}."
            )
    return sorted(axes)


def along(value: Any, axes: list[int], x: Any) -> Any:
    """Return a weight of the sizes of `axes` reshaped so that it broadcasts with `x`."""
    rank = len(x.shape)
    positions = {a % rank for a in axes}
    return ops.reshape(value, [x.shape[a] if a in positions else 1 for a in range(rank)])
