"""Laws that many tests check."""

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from multikeras.backend import current
from multikeras.core import tree

STEP = 1e-5


def case_rng(name: str) -> np.random.Generator:
    """Return a generator that gives a test the same numbers in every run and on every backend."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def sparse(x: np.ndarray) -> Any:
    """Return the entries of an array that are not zero as a sparse tensor of the framework."""
    at = np.argwhere(x).astype("int64" if current.name == "tensorflow" else "int32")
    return current.sparse(current.asarray(at), current.asarray(x[tuple(at.T)]), x.shape)


def numbers(result: Any) -> list[np.ndarray]:
    """Return the floating leaves of a result as float64 arrays; complex ones as their real and imaginary parts."""
    arrays = [np.asarray(current.to_numpy(x)) for x in tree.flatten(result) if current.is_tensor(x)]
    parts = [part for a in arrays for part in ((a.real, a.imag) if a.dtype.kind == "c" else (a,))]
    return [part.astype("float64") for part in parts if part.dtype.kind == "f"]


def assert_gradients_match(
    f: Callable, args: Sequence[np.ndarray], tolerance: float = 1e-5, directions: int = 2, seed: str = ""
) -> None:
    """Compare the reverse derivative of `f(*tensors)` with central differences in float64.

    Each argument is moved in random directions by itself; the result, a tree, is weighted at random. A gradient that is
    wrong anywhere disagrees with probability 1.
    """
    rng = case_rng(seed or repr([a.shape for a in args]))
    args = [np.asarray(a, "float64") for a in args]

    def split(x):
        is_complex = current.dtype(x).startswith("complex")
        return [current.real(x), current.imag(x)] if is_complex else x

    def real_valued(*xs):
        result = tree.map_structure(split, f(*xs))
        return [x for x in tree.flatten(result) if "float" in current.dtype(x)]

    result, pull = current.vjp(real_valued, [current.asarray(a) for a in args])
    weights = [rng.uniform(0.5, 1.5, tuple(x.shape)) * rng.choice([-1, 1]) for x in result]
    given = [current.asarray(w, current.dtype(x)) for w, x in zip(weights, result)]
    gradients = [np.asarray(current.to_numpy(g), "float64") for g in pull(given)]

    def weighted(xs):
        values = numbers(f(*[current.asarray(x) for x in xs]))
        return sum(np.sum(w * v) for w, v in zip(weights, values, strict=True))

    for position, (arg, gradient) in enumerate(zip(args, gradients, strict=True)):
        assert gradient.shape == arg.shape, f"argument {position}: gradient of shape {gradient.shape} for {arg.shape}"
        for _ in range(directions):
            direction = rng.choice([-1.0, 1.0], arg.shape) * rng.uniform(0.5, 1.5, arg.shape)
            ends = [[*args[:position], arg + move * direction, *args[position + 1 :]] for move in (STEP, -STEP)]
            expected = (weighted(ends[0]) - weighted(ends[1])) / (2 * STEP)
            found = np.sum(gradient * direction)
            error = f"argument {position}: the derivative is {expected:.8g}, the gradient says {found:.8g}"
            assert abs(found - expected) <= tolerance * (1 + abs(expected)), error
