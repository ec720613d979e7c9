"""Layers that drop entries in training: `Dropout`, whole channels of it, and the kinds that keep statistics."""

import math
from typing import Any

from multikeras import ops, random
from multikeras.layers._arguments import fraction, layout
from multikeras.layers.input_spec import InputSpec
from multikeras.layers.layer import Layer
from multikeras.random.seed_generator import SeedGenerator


class Noisy(Layer):
    """What these layers share: a seed, and nothing to do outside of training."""

    amount = "rate"

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        setattr(self, self.amount, fraction(type(self).__name__, self.amount, rate))
        self.seed = seed
        if rate > 0:
            self.seed_generator = SeedGenerator(seed)
        self.supports_masking = True
        self.built = type(self).build is Layer.build

    def call(self, inputs, training=False):
        return self.perturbed(inputs) if training and getattr(self, self.amount) > 0 else inputs

    def perturbed(self, inputs):
        """Return the inputs as they are in training."""
        raise NotImplementedError(f"{type(self).__name__} must define perturbed().")


class Dropout(Noisy):
    """Set entries to zero at random in training, and scale the others up so that the mean stays.

    Args:
        rate: Share of entries to drop, from 0 to 1.
        noise_shape: Shape of the mask, which broadcasts; None for sizes of the input.
        seed: Where the draws start.

    >>> import multikeras
    >>> y = multikeras.layers.Dropout(0.5, seed=0)(multikeras.ops.ones((100,)), training=True)
    >>> sorted(set(multikeras.ops.convert_to_numpy(y).tolist()))
    [0.0, 2.0]
    """

    def __init__(self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any):
        super().__init__(rate, seed, **kwargs)
        self.noise_shape = checked_noise_shape(type(self).__name__, noise_shape)

    def perturbed(self, inputs):
        return random.dropout(inputs, self.rate, noise_shape=self.noise_shape, seed=self.seed_generator)


class SpatialDropout(Noisy):
    """Drop whole channels of `rank` spatial dimensions."""

    rank: int
    noise_shape = None

    def __init__(
        self,
        rate: float,
        data_format: str | None = None,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ):
        super().__init__(rate, seed, name=name, dtype=dtype)
        self.data_format = layout(self, data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def perturbed(self, inputs):
        batch, *_ = sizes = ops.shape(inputs)
        ones = (1,) * self.rank
        shape = (batch, sizes[1], *ones) if self.data_format == "channels_first" else (batch, *ones, sizes[-1])
        return random.dropout(inputs, self.rate, noise_shape=shape, seed=self.seed_generator)

    def get_config(self):
        config = {"rate": self.rate, "seed": self.seed, "name": self.name, "dtype": self.dtype_policy.name}
        return config if self.rank == 1 else {**config, "data_format": self.data_format}


class SpatialDropout1D(SpatialDropout):
    """Drop whole channels of sequences (batch, steps, channels) in training.

    Args:
        rate: Share of channels to drop.
        seed: Where the draws start.

    >>> import multikeras
    >>> multikeras.layers.SpatialDropout1D(0.5)(multikeras.ops.ones((2, 3, 4)), training=True).shape == (2, 3, 4)
    True
    """

    rank = 1

    def __init__(self, rate: float, seed: int | None = None, name: str | None = None, dtype: Any = None):
        super().__init__(rate, "channels_last", seed, name, dtype)


class SpatialDropout2D(SpatialDropout):
    """Drop whole channels of images in training.

    Args:
        rate: Share of channels to drop.
        data_format: "channels_last" or "channels_first"; the setting's by default.
        seed: Where the draws start.

    >>> import multikeras
    >>> multikeras.layers.SpatialDropout2D(0.5)(multikeras.ops.ones((2, 3, 3, 4)), training=True).shape == (2, 3, 3, 4)
    True
    """

    rank = 2


class SpatialDropout3D(SpatialDropout):
    """Drop whole channels of volumes in training.

    Args:
        rate: Share of channels to drop.
        data_format: "channels_last" or "channels_first"; the setting's by default.
        seed: Where the draws start.

    >>> import multikeras
    >>> layer = multikeras.layers.SpatialDropout3D(0.5)
    >>> layer(multikeras.ops.ones((1, 2, 2, 2, 4)), training=True).shape == (1, 2, 2, 2, 4)
    True
    """

    rank = 3


class GaussianDropout(Noisy):
    """Multiply by noise of mean 1 and deviation sqrt(rate / (1 - rate)) in training.

    Args:
        rate: Share of entries a `Dropout` of the same strength would drop, below 1.
        seed: Where the draws start.

    >>> import multikeras
    >>> multikeras.layers.GaussianDropout(0.5)(multikeras.ops.ones((2, 3)), training=True).shape == (2, 3)
    True
    """

    def perturbed(self, inputs):
        if self.rate >= 1:
            raise ValueError(f"GaussianDropout {self.name!r}: rate={self.rate} must be below 1.")
        deviation = math.sqrt(self.rate / (1.0 - self.rate))
        noise = random.normal(ops.shape(inputs), 1.0, deviation, dtype=self.compute_dtype, seed=self.seed_generator)
        return inputs * noise


class GaussianNoise(Noisy):
    """Add noise of mean 0 in training.

    Args:
        stddev: Its standard deviation, from 0 to 1.
        seed: Where the draws start.

    >>> import multikeras
    >>> multikeras.layers.GaussianNoise(0.5)(multikeras.ops.ones((2, 3)), training=True).shape == (2, 3)
    True
    """

    amount = "stddev"
    not_in_config = ("rate",)

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any):
        super().__init__(stddev, seed, **kwargs)

    def perturbed(self, inputs):
        noise = random.normal(ops.shape(inputs), 0.0, self.stddev, dtype=self.compute_dtype, seed=self.seed_generator)
        return inputs + noise


class AlphaDropout(Noisy):
    """Drop entries in training so that mean and variance of selu's output stay (Klambauer 2017, arXiv:1706.02515).

    Args:
        rate: Share of entries to drop, below 1.
        noise_shape: Shape of the mask, which broadcasts; None for sizes of the input.
        seed: Where the draws start.

    >>> import multikeras
    >>> multikeras.layers.AlphaDropout(0.5)(multikeras.ops.ones((2, 3)), training=True).shape == (2, 3)
    True
    """

    def __init__(self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any):
        super().__init__(rate, seed, **kwargs)
        self.noise_shape = checked_noise_shape(type(self).__name__, noise_shape)

    def perturbed(self, inputs):
        if self.rate >= 1:
            raise ValueError(f"AlphaDropout {self.name!r}: rate={self.rate} must be below 1.")
        sizes = ops.shape(inputs)
        if self.noise_shape is not None:
            sizes = tuple(s if n is None else n for n, s in zip(self.noise_shape, sizes, strict=True))
        kept = random.uniform(sizes, dtype="float32", seed=self.seed_generator) >= self.rate
        lowest = -1.6732632423543772 * 1.0507009873554805  # what selu tends to at minus infinity
        a = ((1 - self.rate) * (1 + self.rate * lowest**2)) ** -0.5
        b = -a * lowest * self.rate
        return ops.where(kept, inputs, ops.cast(lowest, inputs.dtype)) * a + b


def checked_noise_shape(layer: str, value: Any) -> tuple | None:
    """Return `value` as a tuple of positive ints and Nones."""
    if value is None:
        return None
    fits = isinstance(value, (list, tuple)) and all(v is None or (isinstance(v, int) and v > 0) for v in value)
    if not fits:
        raise ValueError(
            f"{layer}: noise_shape must be a tuple or list of positive integers or None, got "
            f"noise_shape={value!r}."
        )
    return tuple(value)
