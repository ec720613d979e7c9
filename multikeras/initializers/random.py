"""Initializers that draw from the portable random stream: equal bits on every backend."""

import math
from typing import Any

import numpy as np

from multikeras.backend import current
from multikeras.backend.dtypes import is_float, standardize_dtype
from multikeras.core.serialization import config_from_signature, deserialize_keras_object
from multikeras.initializers.initializer import Initializer
from multikeras.random import host
from multikeras.random.seed_generator import SeedGenerator, host_key, make_default_seed


class RandomInitializer(Initializer):
    """Draw values: the same at each call for an integer or no seed, others at each call for a `SeedGenerator`.

    Subclasses define `_draw(key, shape)`, a float64 array.
    """

    def __init__(self, seed: Any = None):
        if isinstance(seed, dict):
            seed = deserialize_keras_object(seed)
        if seed is not None and not isinstance(seed, SeedGenerator) and not hasattr(seed, "__index__"):
            raise ValueError(
                f"{type(self).__name__}: `seed` argument should be a SeedGenerator, an integer or None. "
                f"Received: seed={seed!r}"
            )
        self._init_seed = seed
        self.seed = make_default_seed() if seed is None else seed

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        dtype = standardize_dtype(dtype)
        if not is_float(dtype):
            raise ValueError(f"{type(self).__name__}: dtype must be a floating one, got {dtype}.")
        return current.asarray(self._draw(host_key(self.seed), tuple(shape)), dtype)

    def _draw(self, key: tuple[int, int], shape: tuple[int, ...]) -> np.ndarray:
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments; the seed as it was given."""
        seed = self._init_seed
        if isinstance(seed, SeedGenerator):
            seed = {"module": "keras.random", "class_name": "SeedGenerator", "config": seed.get_config(), "registered_name": None}
        return {"seed": seed, **config_from_signature(self, skip=("seed",))}


class RandomNormal(RandomInitializer):
    """Draw from a normal distribution.

    >>> from multikeras import initializers
    >>> initializers.RandomNormal(stddev=1.0, seed=7)((2, 3)).shape == (2, 3)
    True
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: Any = None):
        self.mean, self.stddev = mean, stddev
        super().__init__(seed)

    def _draw(self, key, shape):
        return self.mean + self.stddev * host.normal(key, shape, "float64")


class TruncatedNormal(RandomInitializer):
    """Draw from a normal distribution cut off at two deviations."""

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: Any = None):
        self.mean, self.stddev = mean, stddev
        super().__init__(seed)

    def _draw(self, key, shape):
        return self.mean + self.stddev * host.truncated_normal(key, shape, "float64")


class RandomUniform(RandomInitializer):
    """Draw from [minval, maxval)."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: Any = None):
        self.minval, self.maxval = minval, maxval
        super().__init__(seed)

    def _draw(self, key, shape):
        return self.minval + (self.maxval - self.minval) * host.uniform(key, shape, "float64")


def compute_fans(shape: Any, input_axes: Any = None, output_axes: Any = None) -> tuple[int, int]:
    """Return how many inputs an output of such a kernel sees, and how many outputs an input reaches.

    By default the last two axes are inputs and outputs; all others are the window of a convolution.

    >>> compute_fans((3, 3, 16, 32))
    (144, 288)
    """
    shape = tuple(shape)
    if input_axes is None and output_axes is None:
        if len(shape) < 2:
            return (math.prod(shape),) * 2
        input_axes, output_axes = (-2,), (-1,)
    inputs = {a % len(shape) for a in input_axes or ()}
    outputs = {a % len(shape) for a in output_axes or ()}
    window = math.prod(s for a, s in enumerate(shape) if a not in inputs | outputs)
    return window * math.prod(shape[a] for a in inputs), window * math.prod(shape[a] for a in outputs)


_CUT_OFF = 0.87962566103423978
"""Deviation of the standard normal distribution cut off at 2."""


class VarianceScaling(RandomInitializer):
    """Draw with variance `scale / n`, n from the shape of the weight.

    Args:
        scale: Positive factor.
        mode: What n is: "fan_in", "fan_out" or their mean, "fan_avg".
        distribution: "truncated_normal", "untruncated_normal" or "uniform".
        seed: Integer, `SeedGenerator` or None.
        input_axes: Axes of inputs, if not the last but one.
        output_axes: Axes of outputs, if not the last.

    >>> from multikeras import initializers, ops
    >>> w = initializers.VarianceScaling(distribution="uniform", seed=1)((300, 2))
    >>> bool(ops.max(ops.abs(w)) <= 0.1)
    True
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: Any = None,
        input_axes: Any = None,
        output_axes: Any = None,
    ):
        if scale <= 0.0:
            raise ValueError(f"Argument `scale` must be positive float. Received: scale={scale}")
        if mode not in ("fan_in", "fan_out", "fan_avg"):
            raise ValueError(f"Invalid `mode` argument: {mode!r}. Expected fan_in, fan_out or fan_avg.")
        distribution = str(distribution).lower()
        distribution = "truncated_normal" if distribution == "normal" else distribution
        if distribution not in ("uniform", "truncated_normal", "untruncated_normal"):
            raise ValueError(
                f"Invalid `distribution` argument: {distribution!r}. Expected uniform, truncated_normal or "
                "untruncated_normal."
            )
        self.scale, self.mode, self.distribution = scale, mode, distribution
        self.input_axes, self.output_axes = input_axes, output_axes
        super().__init__(seed)

    def _draw(self, key, shape):
        fan_in, fan_out = compute_fans(shape, self.input_axes, self.output_axes)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, n)
        if self.distribution == "uniform":
            return math.sqrt(3 * variance) * (2 * host.uniform(key, shape, "float64") - 1)
        if self.distribution == "untruncated_normal":
            return math.sqrt(variance) * host.normal(key, shape, "float64")
        return math.sqrt(variance) / _CUT_OFF * host.truncated_normal(key, shape, "float64")


class _Scaled(VarianceScaling):
    recipe: tuple[float, str, str]

    def __init__(self, seed: Any = None, input_axes: Any = None, output_axes: Any = None):
        super().__init__(*self.recipe, seed, input_axes, output_axes)


class GlorotUniform(_Scaled):
    """Draw uniformly with variance 2 / (inputs + outputs) (Glorot and Bengio, 2010)."""

    recipe = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Scaled):
    """Draw normally with variance 2 / (inputs + outputs) (Glorot and Bengio, 2010)."""

    recipe = (1.0, "fan_avg", "truncated_normal")


class LecunNormal(_Scaled):
    """Draw normally with variance 1 / inputs."""

    recipe = (1.0, "fan_in", "truncated_normal")


class LecunUniform(_Scaled):
    """Draw uniformly with variance 1 / inputs."""

    recipe = (1.0, "fan_in", "uniform")


class HeNormal(_Scaled):
    """Draw normally with variance 2 / inputs (He et al., 2015)."""

    recipe = (2.0, "fan_in", "truncated_normal")


class HeUniform(_Scaled):
    """Draw uniformly with variance 2 / inputs (He et al., 2015)."""

    recipe = (2.0, "fan_in", "uniform")


def _orthonormal(a: np.ndarray) -> np.ndarray:
    """Return the factor Q of `a` = QR for the R with a positive diagonal, which alone makes Q uniform.

    By Cholesky, twice for the rounding: numpy's `qr` lets its threads meet at every column, seconds on a busy machine.
    """
    q = a
    try:
        for _ in range(2):
            q = np.linalg.solve(np.linalg.cholesky(q.T @ q), q.T).T
    except np.linalg.LinAlgError:  # columns that are nearly dependent
        q, r = np.linalg.qr(a)
        q = q * np.sign(np.diag(r))
    return q


class Orthogonal(RandomInitializer):
    """Draw a matrix with orthonormal rows or columns, times `gain`; leading axes count as one (Saxe et al., 2014).

    >>> from multikeras import initializers, ops
    >>> q = initializers.Orthogonal(seed=3)((4, 2))
    >>> ops.convert_to_numpy(ops.matmul(ops.transpose(q), q)).round(4).tolist() == [[1.0, 0.0], [0.0, 1.0]]
    True
    """

    def __init__(self, gain: float = 1.0, seed: Any = None):
        self.gain = gain
        super().__init__(seed)

    def _draw(self, key, shape):
        if len(shape) < 2:
            raise ValueError(
                f"Orthogonal: the tensor must be at least two-dimensional. Received: shape={shape} of rank "
                f"{len(shape)}."
            )
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q = _orthonormal(host.normal(key, (max(rows, columns), min(rows, columns)), "float64"))
        return self.gain * (q.T if rows < columns else q).reshape(shape)
