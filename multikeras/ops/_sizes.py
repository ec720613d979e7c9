"""Arithmetic on sizes, which are ints, UNKNOWN, or scalar tensors in TensorFlow graphs."""

import functools
import operator
from typing import Any

from multikeras.backend.shapes import UNKNOWN, canonical_axes, known


def product(sizes: Any) -> Any:
    """Return the product of sizes, 1 for none."""
    return functools.reduce(operator.mul, sizes, 1)


def smallest(B: Any, *sizes: Any) -> Any:
    """Return the smallest of sizes, UNKNOWN if one of them is."""
    if not all(known(s) for s in sizes):
        return UNKNOWN
    if all(isinstance(s, int) for s in sizes):
        return min(sizes)
    return functools.reduce(B.minimum, (B.asarray(s, "int32") for s in sizes))


def at_least(B: Any, size: Any, bound: int) -> Any:
    """Return `size`, or `bound` if that is larger."""
    if not known(size):
        return UNKNOWN
    return max(size, bound) if isinstance(size, int) else B.maximum(B.asarray(size, "int32"), B.asarray(bound, "int32"))


def from_value(x: Any) -> Any:
    """Return a scalar integer tensor as an int, or as it is where it has no value yet (TensorFlow graphs, Specs)."""
    try:
        return int(x)
    except TypeError:
        return x


def count(B: Any, x: Any, axis: Any = None) -> Any:
    """Return how many entries a reduction over `axis` combines, ready to divide a tensor of the dtype of `x`."""
    sizes = B.shape(x)
    n = product(sizes[a] for a in canonical_axes(axis, len(sizes)))
    return float(n) if type(n) is int else B.cast(B.asarray(n), B.dtype(x))
