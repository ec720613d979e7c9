"""Rounding a matrix of weights so that its products with typical inputs change little: GPTQ and AWQ, on the host in numpy."""

from typing import NamedTuple

import numpy as np


class Rounded(NamedTuple):
    """Integers (outputs, inputs); scale and zero point (outputs, groups); the group of each input; factors of inputs."""

    integers: np.ndarray
    scale: np.ndarray
    zero: np.ndarray
    groups: np.ndarray
    factors: np.ndarray

    def floats(self) -> np.ndarray:
        """Return the weights that the integers stand for."""
        return (self.integers - self.zero[:, self.groups]) * self.scale[:, self.groups] / self.factors


class Seen:
    """What is remembered of the inputs of a layer: their second moments and their mean sizes.

    >>> seen = Seen(2)
    >>> seen.add(np.array([[1.0, 2.0], [3.0, 0.0]]))
    >>> seen.moments.tolist(), seen.sizes.tolist()
    ([[5.0, 1.0], [1.0, 2.0]], [2.0, 1.0])
    """

    def __init__(self, inputs: int):
        self.count = 0
        self._moments, self._sizes = np.zeros((inputs, inputs)), np.zeros(inputs)

    def add(self, x: np.ndarray) -> None:
        """Take note of rows of inputs."""
        x = x.astype("float64")
        self.count += len(x)
        self._moments += x.T @ x
        self._sizes += np.abs(x).sum(0)

    @property
    def moments(self) -> np.ndarray:
        """The mean of products of each two inputs; all inputs count alike if none was seen."""
        return self._moments / self.count if self.count else np.eye(len(self._sizes))

    @property
    def sizes(self) -> np.ndarray:
        """The mean absolute value of each input."""
        return self._sizes / self.count if self.count else np.ones(len(self._sizes))


def levels_of(weights: np.ndarray, bits: int, symmetric: bool = False, per_channel: bool = True) -> tuple:
    """Return scale and zero point (outputs, 1) so that the integers of `bits` bits reach all weights, zero among them.

    >>> scale, zero = levels_of(np.array([[-5.0, 10.0]]), bits=4)
    >>> scale.tolist(), zero.tolist()
    ([[1.0]], [[5.0]])
    """
    most = 2**bits - 1
    rows = weights if per_channel else weights.reshape(1, -1)
    low, high = np.minimum(rows.min(1, keepdims=True), 0), np.maximum(rows.max(1, keepdims=True), 0)
    if symmetric:
        high = np.maximum(-low, high)
        low = -high
    flat = low == high
    low, high = np.where(flat, -1.0, low), np.where(flat, 1.0, high)
    scale = (high - low) / most
    zero = np.full_like(scale, (most + 1) // 2) if symmetric else np.clip(np.round(-low / scale), 0, most)
    shape = (len(weights), 1)
    return np.broadcast_to(scale, shape).copy(), np.broadcast_to(zero, shape).copy()


def gptq(
    weights: np.ndarray, seen: Seen, bits: int = 4, group_size: int = -1, damping: float = 0.01, symmetric: bool = False,
    per_channel: bool = True, largest_first: bool = False,
) -> Rounded:  # fmt: skip
    """Round the weights of one input after the other; those of later inputs make up for the error (arXiv:2210.17323).

    Args:
        weights: (outputs, inputs).
        seen: Inputs of the layer.
        group_size: Inputs that share a scale, in the order of rounding; -1 for all.
        damping: Part of the mean second moment that is added to each.
        largest_first: Whether inputs with large moments are rounded first.
    """
    weights = weights.astype("float64")
    outputs, inputs = weights.shape
    moments = seen.moments.copy()
    unused = np.diag(moments) == 0
    weights[:, unused] = 0
    moments[unused, unused] = 1
    order = np.argsort(-np.diag(moments), kind="stable") if largest_first else np.arange(inputs)
    weights, moments = weights[:, order], moments[np.ix_(order, order)]
    moments[np.diag_indices(inputs)] += damping * np.diag(moments).mean()
    influence = np.linalg.cholesky(np.linalg.inv(moments)).T

    group = inputs if group_size == -1 else group_size
    integers = np.zeros((outputs, inputs))
    scales, zeros = [], []
    for i in range(inputs):
        if i % group == 0:
            scale, zero = levels_of(weights[:, i : i + group], bits, symmetric, per_channel)
            scales.append(scale)
            zeros.append(zero)
        column = weights[:, i : i + 1]
        integers[:, i : i + 1] = level = np.clip(np.round(column / scale) + zero, 0, 2**bits - 1)
        error = (column - (level - zero) * scale) / influence[i, i]
        weights[:, i + 1 :] -= error * influence[i, i + 1 :]
    back = np.argsort(order)
    groups = (np.arange(inputs) // group)[back]
    return Rounded(integers[:, back], np.hstack(scales), np.hstack(zeros), groups, np.ones(inputs))


def awq(weights: np.ndarray, seen: Seen, bits: int = 4, group_size: int = -1, grid: int = 20) -> Rounded:
    """Round weights that are scaled up where inputs are large, by the strength that serves best (arXiv:2306.00978).

    Args:
        weights, seen, bits, group_size: As for `gptq`.
        grid: How many strengths are tried, from none on.
    """
    weights, moments = weights.astype("float64"), seen.moments
    sizes = np.maximum(seen.sizes, 1e-8)
    best, least = None, np.inf
    for strength in np.arange(grid) / grid:
        factors = sizes**strength
        rounded = _to_nearest(weights, factors / np.sqrt(factors.max() * factors.min()), bits, group_size)
        change = rounded.floats() - weights
        error = float(np.sum((change @ moments) * change))
        if best is None or error < least:
            best, least = rounded, error
    assert best is not None
    return best


def _to_nearest(weights: np.ndarray, factors: np.ndarray, bits: int, group_size: int) -> Rounded:
    inputs = weights.shape[1]
    group = inputs if group_size == -1 else group_size
    scaled = weights * factors
    levels = [levels_of(scaled[:, i : i + group], bits) for i in range(0, inputs, group)]
    scale, zero = (np.hstack(parts) for parts in zip(*levels))
    groups = np.arange(inputs) // group
    integers = np.clip(np.round(scaled / scale[:, groups]) + zero[:, groups], 0, 2**bits - 1)
    return Rounded(integers, scale, zero, groups, factors)
