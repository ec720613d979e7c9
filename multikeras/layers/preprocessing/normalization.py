"""`Normalization`: features shifted and scaled by the mean and variance of a data set."""

from typing import Any

import numpy as np

from multikeras import config, ops
from multikeras.layers.preprocessing.adapting import batches
from multikeras.layers.preprocessing.data_layer import DataLayer


class Normalization(DataLayer):
    """Shift and scale features by a mean and a variance: of data seen by `adapt`, or given.

    Args:
        axis: The axis or axes that have a mean and a variance for each index; None for one of all features.
        mean, variance: To be used as they are, instead of those that `adapt` finds. Both or neither.
        invert: Undo the normalization: scale, then shift back.

    >>> import multikeras
    >>> layer = multikeras.layers.Normalization()
    >>> layer.adapt(multikeras.ops.array([[1.0, 10.0], [3.0, 30.0]]))
    >>> multikeras.ops.convert_to_numpy(layer(multikeras.ops.array([[1.0, 40.0]]))).tolist()
    [[-1.0, 2.0]]
    """

    takes_sparse = False

    def __init__(self, axis: Any = -1, mean: Any = None, variance: Any = None, invert: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.invert = invert
        axes = () if axis is None else (axis,) if isinstance(axis, int) else axis
        if not isinstance(axes, (list, tuple)) or not all(isinstance(a, int) for a in axes):
            raise TypeError(f"Normalization: axis must be an int, several, or None, got axis={axis!r}.")
        if (mean is None) != (variance is None):
            raise ValueError(
                f"Normalization: both `mean` and `variance` must be set, or neither, got mean={mean}, variance={variance}."
            )
        self.axis = tuple(axes)
        self.input_mean, self.input_variance = (None if v is None else np.asarray(v) for v in (mean, variance))
        self.adapt_mean = self.adapt_variance = self.count = None
        self._shape: tuple[int, ...] | None = None
        self._given: list[np.ndarray] = []
        self.supports_masking = True

    def get_config(self):
        mean, variance = (None if v is None else v.tolist() for v in (self.input_mean, self.input_variance))
        own = {"axis": self.axis, "invert": self.invert, "mean": mean, "variance": variance}
        return {**super().get_config(), **own}

    def build(self, input_shape):
        rank = len(input_shape)
        if not all(-rank <= a < rank for a in self.axis):
            raise ValueError(
                f"{self.path}: All `axis` values must be in the range [-{rank}, {rank}), got axis={self.axis} for inputs "
                f"of shape {tuple(input_shape)}."
            )
        kept = sorted(a % rank for a in self.axis)
        unknown = [a for a in kept if input_shape[a] is None]
        if unknown:
            raise ValueError(
                f"{self.path}: All `axis` values to be kept must have a known size, got axis={self.axis} for inputs of "
                f"shape {tuple(input_shape)}, where the sizes of {unknown} are not."
            )
        self._shape = tuple(input_shape[a] if a in kept else 1 for a in range(rank))
        shape = tuple(input_shape[a] for a in kept)
        if self.input_mean is None:
            state = {"shape": shape, "trainable": False}
            self.adapt_mean = self.add_weight(name="mean", initializer="zeros", **state)
            self.adapt_variance = self.add_weight(name="variance", initializer="ones", **state)
            self.count = self.add_weight(name="count", shape=(), initializer="zeros", dtype="int32", trainable=False)
        else:
            self._given = [self._fitting(v, shape) for v in (self.input_mean, self.input_variance)]

    def _fitting(self, value, shape):
        try:
            return np.broadcast_to(value.reshape(self._shape) if value.shape == shape else value, self._shape)
        except ValueError:
            raise ValueError(
                f"{self.path}: mean and variance must be numbers or have the shape {shape}, as axis={self.axis} says for "
                f"these inputs, got shape {value.shape}."
            ) from None

    def adapt(self, data: Any) -> None:
        """Take mean and variance from `data`: an array, a tensor, or a data set of batches; forget earlier ones."""
        if self.input_mean is not None:
            raise ValueError(f"{self.path}: adapt(data) finds a mean and a variance, but this layer was given its own.")
        count, mean, squares = 0, 0.0, 0.0
        for batch in batches(self, data):
            if not self.built:
                self.build(batch.shape)
                self.built = True
            rank = len(self._shape)
            kept = [a % rank for a in self.axis]
            if batch.ndim != rank or any(batch.shape[a] != self._shape[a] for a in kept):
                raise ValueError(
                    f"{self.path}: adapt(data) got an incompatible shape {batch.shape}; this layer normalizes inputs of "
                    f"rank {rank} with sizes {[self._shape[a] for a in kept]} on axes {kept}."
                )
            reduced = tuple(a for a in range(rank) if a not in kept)
            # Chan, Golub and LeVeque 1979: what is known of two parts gives that of both, without cancellation.
            new = batch.size // (np.prod([batch.shape[a] for a in kept], dtype=int) or 1)
            off = batch.mean(reduced, dtype="float64") - mean
            mean = mean + off * (new / (count + new))
            squares = squares + batch.var(reduced, dtype="float64") * new + off**2 * (count * new / (count + new))
            count += new
        self.adapt_mean.assign(mean)
        self.adapt_variance.assign(squares / count)

    def finalize_state(self) -> None:
        """Do nothing: `mean` and `variance` follow what `adapt` found."""

    @property
    def mean(self) -> Any:
        """The mean, of a shape that broadcasts with the inputs; None before `build`."""
        return self._wide(self.adapt_mean, 0)

    @property
    def variance(self) -> Any:
        """The variance, of a shape that broadcasts with the inputs; None before `build`."""
        return self._wide(self.adapt_variance, 1)

    def _wide(self, variable, index):
        if self._shape is None:
            return None
        if variable is None:
            return ops.convert_to_tensor(self._given[index], dtype=self.compute_dtype)
        return ops.reshape(variable, self._shape)

    def call(self, inputs):
        x = ops.cast(inputs, self.compute_dtype)
        mean = ops.cast(self.mean, x.dtype)
        deviation = ops.maximum(ops.sqrt(ops.cast(self.variance, x.dtype)), config.epsilon())
        return mean + x * deviation if self.invert else (x - mean) / deviation
