"""`GroupNormalization`: each sample normalized over groups of channels."""

from typing import Any

from multikeras import ops
from multikeras.backend.shapes import UNKNOWN
from multikeras.layers._arguments import axes, keep, weight
from multikeras.layers.input_spec import InputSpec
from multikeras.layers.layer import Layer


class GroupNormalization(Layer):
    """Normalize each sample over groups of neighbouring channels and all positions (Wu and He 2018, arXiv:1803.08494).

    Args:
        groups: Number of groups; -1 for one channel a group. It divides the number of channels.
        axis: The axis of the channels.
        epsilon: Added to the variance.
        center, scale: Whether to add `beta` and multiply by `gamma`, one a channel.

    >>> import multikeras
    >>> y = multikeras.layers.GroupNormalization(2, epsilon=0.0)(multikeras.ops.array([[1.0, 3.0, 10.0, 30.0]]))
    >>> multikeras.ops.convert_to_numpy(y).astype("float64").round(3).tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """

    takes_sparse = False

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
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
        # Inputs are not cast before they are normalized: large ones would overflow half precision.
        super().__init__(**{"autocast": False, **kwargs})
        if not isinstance(groups, int) or (groups < 1 and groups != -1):
            raise ValueError(f"GroupNormalization: argument `groups` must be a positive integer or -1, got {groups!r}.")
        axes(self, "axis", axis, several=False)
        keep(self, locals())
        self.gamma = self.beta = None
        self.supports_masking = True

    def build(self, input_shape):
        channels = input_shape[self.axis]
        what = f"GroupNormalization {self.name!r}"
        if channels is None:
            raise ValueError(f"{what}: axis {self.axis} of its input must be known, got shape {tuple(input_shape)}.")
        if self.groups == -1:
            self.groups = channels
        if channels < self.groups:
            raise ValueError(
                f"{what}: Number of groups ({self.groups}) cannot be more than the number of channels "
                f"({channels})."
            )
        if channels % self.groups:
            raise ValueError(
                f"{what}: Number of groups ({self.groups}) must be a divisor of the number of channels "
                f"({channels})."
            )
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: channels})
        if self.scale:
            self.gamma = weight(self, "gamma", (channels,))
        if self.center:
            self.beta = weight(self, "beta", (channels,))

    def call(self, inputs):
        x = ops.cast(inputs, "float32") if self.compute_dtype in ("float16", "bfloat16") else inputs
        rank, axis = len(x.shape), self.axis % len(x.shape)
        sizes = [UNKNOWN if s is None else s for s in ops.shape(x)]
        grouped = ops.reshape(x, (*sizes[:axis], self.groups, x.shape[axis] // self.groups, *sizes[axis + 1 :]))
        axes = [a for a in range(1, rank + 1) if a != axis]
        mean, variance = ops.moments(grouped, axes=axes, keepdims=True)
        grouped = (grouped - mean) * ops.rsqrt(variance + self.epsilon)
        outputs = ops.reshape(grouped, sizes)
        shape = [x.shape[axis] if a == axis else 1 for a in range(rank)]
        if self.gamma is not None:
            outputs = outputs * ops.cast(ops.reshape(self.gamma, shape), outputs.dtype)
        if self.beta is not None:
            outputs = outputs + ops.cast(ops.reshape(self.beta, shape), outputs.dtype)
        return ops.cast(outputs, self.compute_dtype)
