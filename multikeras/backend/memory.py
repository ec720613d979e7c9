"""Memory of numpy arrays that the frameworks can take over without a copy."""

import math

import numpy as np

from multikeras.backend import dtypes

_ALIGNMENT = 64
"""Bytes: what XLA, TensorFlow and HDF5 want at least."""


def aligned(array: np.ndarray) -> bool:
    """Tell whether a framework may take over the memory: TensorFlow ends the process over one that is not aligned."""
    return array.ctypes.data % _ALIGNMENT == 0


def blank(shape, dtype: str) -> np.ndarray:
    """Return an aligned array of zeros. The operating system hands out its pages when they are first written.

    >>> blank((2, 3), "float32").tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    kind = np.dtype(dtypes.numpy_dtype(dtype))
    size = math.prod(shape) * kind.itemsize
    raw = np.zeros(size + _ALIGNMENT, "uint8")
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + size].view(kind).reshape(shape)
