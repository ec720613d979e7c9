"""Windows of the short-time Fourier transform, by name."""

from collections.abc import Callable
from typing import Any

import numpy as np

# Coefficients of cosine sums: Harris, "On the use of windows for harmonic analysis", 1978; Nuttall, 1981; D'Antona, 2006.
_COSINE_SUMS = {
    "boxcar": (1.0,),
    "hann": (0.5, 0.5),
    "hamming": (0.54, 0.46),
    "blackman": (0.42, 0.50, 0.08),
    "nuttall": (0.3635819, 0.4891775, 0.1365995, 0.0106411),
    "blackmanharris": (0.35875, 0.48829, 0.14128, 0.01168),
    "flattop": (0.21557895, 0.41663158, 0.277263158, 0.083578947, 0.006947368),
}


def _tukey(t: np.ndarray, taper: float = 0.5) -> np.ndarray:
    edge = np.minimum(t, 1 - t) / (taper / 2)
    return np.where(edge < 1, 0.5 * (1 - np.cos(np.pi * edge)), 1.0)


def _off(t: np.ndarray) -> np.ndarray:
    """Return the distance from the middle: 1 at both ends."""
    return np.abs(2 * t - 1)


def _parzen(length: int, periodic: bool) -> np.ndarray:
    size = length + periodic
    off = np.abs(np.arange(length) - (size - 1) / 2) / (size / 2)
    return np.where(off * size <= (size - 1) / 2, 1 - 6 * off**2 * (1 - off), 2 * (1 - off) ** 3)


_SHAPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # of t from 0 to 1
    "tukey": _tukey,
    "bartlett": lambda t: 1 - _off(t),
    "bohman": lambda t: (1 - _off(t)) * np.cos(np.pi * _off(t)) + np.sin(np.pi * _off(t)) / np.pi,
}


def window_values(window: Any, length: int, periodic: bool) -> np.ndarray:
    """Return `length` weights: of a window by name, called with the length, or given.

    >>> window_values("hann", 4, True).round(2).tolist()
    [0.0, 0.5, 1.0, 0.5]
    """
    if callable(window):
        window = window(length)
    if not isinstance(window, str):
        values = np.asarray(window, "float64")
        if values.shape != (length,):
            raise ValueError(f"window: expected {length} weights, got an array of shape {values.shape}.")
        return values
    name = {"hanning": "hann", "ones": "boxcar", "rect": "boxcar", "rectangular": "boxcar"}.get(window, window)
    t = np.arange(length) / max(length if periodic else length - 1, 1)
    if name in _COSINE_SUMS:
        return sum((-1) ** k * a * np.cos(2 * np.pi * k * t) for k, a in enumerate(_COSINE_SUMS[name]))
    if name == "parzen":
        return _parzen(length, periodic)
    if name not in _SHAPES:
        raise ValueError(
            f"window={window!r} is unknown. Expected one of {', '.join((*_COSINE_SUMS, *_SHAPES, 'parzen'))}, or the "
            "weights."
        )
    return _SHAPES[name](t)
