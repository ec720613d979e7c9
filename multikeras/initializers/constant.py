"""Initializers that draw no numbers."""

from typing import Any

import numpy as np

from multikeras.backend import current
from multikeras.backend.dtypes import standardize_dtype
from multikeras.initializers.initializer import Initializer
from multikeras.initializers.windows import window_values


class Constant(Initializer):
    """Fill with `value`, a number or an array that broadcasts."""

    def __init__(self, value: Any = 0.0):
        self.value = value

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        value = current.asarray(self.value, standardize_dtype(dtype))
        return current.broadcast_to(value, tuple(shape))

    @classmethod
    def from_config(cls, config: dict) -> "Constant":
        value = config.get("value", 0.0)
        if isinstance(value, dict) and "config" in value:
            value = np.array(value["config"]["value"])
        return cls(value)


class Zeros(Initializer):
    """Fill with 0."""

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return current.full(tuple(shape), 0, standardize_dtype(dtype))


class Ones(Initializer):
    """Fill with 1."""

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        return current.full(tuple(shape), 1, standardize_dtype(dtype))


class Identity(Initializer):
    """Return `gain` times the identity matrix.

    >>> from multikeras import initializers, ops
    >>> ops.convert_to_numpy(initializers.Identity(2.0)((2, 3))).tolist()
    [[2.0, 0.0, 0.0], [0.0, 2.0, 0.0]]
    """

    def __init__(self, gain: float = 1.0):
        self.gain = gain

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        if len(shape) != 2:
            raise ValueError(
                f"Identity: shape must be that of a matrix. Received: shape={tuple(shape)} of rank {len(shape)}."
            )
        return current.asarray(self.gain * np.eye(*shape), standardize_dtype(dtype))


class STFT(Initializer):
    """Return kernels of a convolution that computes a short-time Fourier transform.

    The shape is (frame length, 1, bins); bin k turns k times in 2 * (bins - 1) samples.

    Args:
        side: "real" or "imag": which part.
        window: A name ("hann", "hamming", "tukey", ...), the weights themselves, or None.
        scaling: "density" (the window's squares sum to 1), "spectrum" (its values do) or None.
        periodic: Whether the window is one period of a longer one.
    """

    def __init__(self, side: str = "real", window: Any = "hann", scaling: str | None = "density", periodic: bool = False):
        if side not in ("real", "imag"):
            raise ValueError(f"STFT: side should be 'real' or 'imag', not {side!r}.")
        if scaling not in (None, "density", "spectrum"):
            raise ValueError(f"STFT: scaling must be None, 'density' or 'spectrum'. Received: scaling={scaling!r}")
        if isinstance(window, str):
            window_values(window, 8, periodic)  # refuses an unknown name now
        self.side, self.window, self.scaling, self.periodic = side, window, scaling, periodic

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        length, _, bins = shape
        turns = np.arange(length)[:, None, None] * np.arange(bins) / (2.0 * (bins - 1))
        waves = np.cos(2 * np.pi * turns) if self.side == "real" else -np.sin(2 * np.pi * turns)
        if self.window is not None:
            window = window_values(self.window, length, self.periodic)
            if self.scaling is not None:
                window = window / (np.sqrt(np.sum(window**2)) if self.scaling == "density" else np.sum(window))
            waves = waves * window[:, None, None]
        return current.asarray(np.broadcast_to(waves, shape), standardize_dtype(dtype))
