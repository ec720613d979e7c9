"""`BatchNormalization`: mean 0 and variance 1 over the batch (Ioffe and Szegedy 2015, arXiv:1502.03167)."""

from typing import Any

from multikeras import ops
from multikeras.layers._arguments import keep, weight
from multikeras.layers.input_spec import InputSpec
from multikeras.layers.layer import Layer
from multikeras.ops.nn_norm import normalization_by_batch

_CLIPS = ("rmax", "rmin", "dmax")


class BatchNormalization(Layer):
    """Normalize each channel by its mean and variance: those of the batch in training, running ones otherwise.

    Args:
        axis: The axis of the channels.
        momentum: Share of the running statistics that each update keeps.
        epsilon: Added to the variance.
        center, scale: Whether to add `beta` and multiply by `gamma`.
        renorm: Correct the batch's statistics towards the running ones (Ioffe 2017, arXiv:1702.03275).
        renorm_clipping: Bounds of the corrections: "rmax", "rmin" of the scale, "dmax" of the shift.
        renorm_momentum: As `momentum`, of the statistics used for renormalization.
        synchronized: Whether replicas share the statistics of the whole batch.

    A layer with `trainable=False` uses the running statistics in training too.

    >>> import multikeras
    >>> x = multikeras.ops.array([[1.0], [3.0]])
    >>> y = multikeras.layers.BatchNormalization(epsilon=0.0)(x, training=True)
    >>> multikeras.ops.convert_to_numpy(y).tolist()
    [[-1.0], [1.0]]
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        renorm: bool = False,
        renorm_clipping: dict[str, float] | None = None,
        renorm_momentum: float = 0.99,
        synchronized: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not isinstance(axis, int):
            raise TypeError(f"BatchNormalization: axis must be an int, got axis={axis!r}.")
        keep(self, locals())
        unknown = set(renorm_clipping or ()) - set(_CLIPS)
        if unknown:
            raise ValueError(
                f"BatchNormalization: Received invalid keys for `renorm_clipping` argument: {sorted(unknown)}. "
                f"Supported values: {list(_CLIPS)}."
            )
        self.gamma = self.beta = self.moving_mean = self.moving_variance = None
        self.supports_masking = True

    def build(self, input_shape):
        rank = len(input_shape)
        if not -rank <= self.axis < rank:
            raise ValueError(
                f"BatchNormalization {self.name!r}: axis={self.axis} is out of range for shape "
                f"{input_shape}."
            )
        channels = input_shape[self.axis]
        if channels is None:
            raise ValueError(
                f"BatchNormalization {self.name!r}: axis {self.axis} of its input must be known, got shape "
                f"{input_shape}."
            )
        shape = (channels,)
        if self.scale:
            self.gamma = weight(self, "gamma", shape)
        if self.center:
            self.beta = weight(self, "beta", shape)
        running = {"trainable": False, "autocast": False}
        self.moving_mean = weight(self, "moving_mean", shape, **running)
        self.moving_variance = weight(self, "moving_variance", shape, **running)
        if self.renorm:
            def deviation(shape, dtype=None):
                return ops.sqrt(self.moving_variance_initializer(shape, dtype=dtype))

            starts = {
                "moving_stddev": deviation, "renorm_mean": self.moving_mean_initializer, "renorm_stddev": deviation
            }  # fmt: skip
            for name, initializer in starts.items():
                setattr(self, name, self.add_weight(shape=shape, name=name, initializer=initializer, **running))
        self.input_spec = InputSpec(ndim=rank, axes={self.axis: channels})

    def call(self, inputs, training=None, mask=None):
        if mask is not None and len(mask.shape) != len(inputs.shape) - 1:
            raise ValueError(
                f"BatchNormalization {self.name!r}: mask must have the shape of the inputs without channels, "
                f"{tuple(inputs.shape[:-1])}, got {tuple(mask.shape)}."
            )
        # Sums over a batch in half precision lose too much.
        x = ops.cast(inputs, "float32") if self.compute_dtype in ("float16", "bfloat16") else inputs
        gamma, beta = self._as_computed(self.gamma, x), self._as_computed(self.beta, x)
        mean, variance = self._as_computed(self.moving_mean, x), self._as_computed(self.moving_variance, x)
        if training and self.trainable:
            if mask is None and not self.renorm and not self.synchronized:
                outputs, mean, variance = normalization_by_batch(x, self.axis, beta, gamma, self.epsilon)
                self._update(self.moving_mean, mean, self.momentum)
                self._update(self.moving_variance, variance, self.momentum)
                return ops.cast(outputs, self.compute_dtype)
            mean, variance = self._moments(x, mask)
            if self.renorm:
                gamma, beta = self._renormalized(mean, variance, gamma, beta)
            else:
                self._update(self.moving_mean, mean, self.momentum)
                self._update(self.moving_variance, variance, self.momentum)
        outputs = ops.batch_normalization(x, mean, variance, self.axis, offset=beta, scale=gamma, epsilon=self.epsilon)
        return ops.cast(outputs, self.compute_dtype)

    def _as_computed(self, variable, x):
        return None if variable is None else ops.cast(variable, x.dtype)

    def _moments(self, x, mask):
        rank = len(x.shape)
        axes = [a for a in range(rank) if a != self.axis % rank]
        if mask is None:
            return ops.moments(x, axes=axes, synchronized=self.synchronized)
        kept = ops.broadcast_to(ops.expand_dims(ops.cast(mask, x.dtype), -1), ops.shape(x))
        count = ops.sum(kept, axis=axes, keepdims=True) + self.epsilon
        mean = ops.sum(kept * x, axis=axes, keepdims=True) / count
        variance = ops.sum(kept * ops.square(x - mean), axis=axes, keepdims=True) / count
        return ops.squeeze(mean, axes), ops.squeeze(variance, axes)

    def _update(self, running, value, momentum):
        running.assign(ops.cast(running * momentum + ops.cast(value, running.dtype) * (1.0 - momentum), running.dtype))

    def _renormalized(self, mean, variance, gamma, beta):
        """Return scale and offset that lead from the batch's statistics to the running ones; update these."""
        deviation = ops.sqrt(variance + self.epsilon)
        clip = self.renorm_clipping or {}
        r = deviation / ops.cast(self.renorm_stddev, deviation.dtype)
        d = (mean - ops.cast(self.renorm_mean, mean.dtype)) / ops.cast(self.renorm_stddev, mean.dtype)
        if "rmin" in clip:
            r = ops.maximum(r, clip["rmin"])
        if "rmax" in clip:
            r = ops.minimum(r, clip["rmax"])
        if "dmax" in clip:
            d = ops.clip(d, -clip["dmax"], clip["dmax"])
        r, d = ops.stop_gradient(r), ops.stop_gradient(d)
        self._update(self.renorm_mean, mean, self.renorm_momentum)
        self._update(self.renorm_stddev, deviation, self.renorm_momentum)
        self._update(self.moving_mean, mean, self.momentum)
        self._update(self.moving_stddev, deviation, self.momentum)
        self.moving_variance.assign(ops.relu(ops.square(self.moving_stddev) - self.epsilon))
        offset = d if gamma is None else d * gamma
        return r if gamma is None else r * gamma, offset if beta is None else offset + beta
