"""Derivatives where a function has a kink, ties or an edge: the same on every backend, as decided here."""

import itertools
import math

import numpy as np
import pytest
from op_cases import TABLE, op_of

from multikeras import ops
from multikeras.backend import current as B

pytestmark = pytest.mark.gradients

INF = math.inf
POINTS = [0.0, 1.0, -1.0, 0.5, -0.5, 2.5, -2.5, 3.0, -3.0, 6.0, -6.0, 20.0, -20.0, 1e-9, 1e4, -1e4]
"""Where tests look at functions of one number: at zeros, halves, and wherever one of them bends."""
PAIRS = [0.0, 1.0, -1.0, 0.5, -2.5, 3.0, 0.2, 100.0]

AT_KINKS = {
    "relu": {0: 0}, "relu6": {0: 0, 6: 0}, "leaky_relu": {0: 0.2}, "selu": {0: 1.7580993}, "hard_tanh": {1: 0, -1: 0},
    "hard_sigmoid": {3: 0, -3: 0}, "hard_silu": {3: 1, -3: 0}, "sparse_sigmoid": {1: 0, -1: 0},
    "soft_shrink": {0.5: 0, -0.5: 0}, "sqrt": {0: INF}, "cbrt": {0: INF}, "arcsin": {1: INF, -1: INF},
    "arccos": {1: -INF, -1: -INF}, "arccosh": {1: INF},
}  # fmt: skip
"""What is decided for kinks where it is not the mean of both sides, and for edges and steep places."""
JUMPS = 1e3
"""Where a side is steeper there is no derivative to agree on, but for what stands above; steps have 0."""
STEPS = "sign round floor ceil trunc signbit logical_not floor_divide".split()


def derivatives(op, dtype, *xs):
    """Return value and derivatives of `op` at arrays of points."""
    y, pull = B.vjp(op, [B.asarray(x.astype(dtype)) for x in xs])
    gradients = pull(B.full(tuple(y.shape), 1.0, B.dtype(y)))
    return [np.asarray(B.to_numpy(a)).astype("float64") for a in (y, *gradients)]


def one_sided(op, xs, position):
    """Return the derivatives from the left and from the right by differences in float64."""
    x = xs[position]
    step = np.maximum(1e-10, 1e-8 * np.abs(x))

    def value(x):
        y = op(*(B.asarray(x if i == position else v) for i, v in enumerate(xs)))
        return np.asarray(B.to_numpy(y)).astype("float64")

    with np.errstate(all="ignore"):
        return [(value(x + s) - value(x)) / s for s in (-step, step)]


def rows(maker):
    """Return the rows of `TABLE` about ops of so many tensors of any shape, entry by entry, that give floats."""
    left = set("size ndim nonzero stop_gradient expand_dims ravel outer append isclose allclose nextafter gammainc".split())
    return [n for n, (make, dtypes) in TABLE.items()
            if make.__qualname__.startswith(maker) and "float64" in dtypes and n not in left]  # fmt: skip


def check(name, *xs):
    make, _ = TABLE[name]
    kwargs = make(np.random.default_rng(0), "float64")[1]
    op, decided = (lambda *xs: op_of(name)(*xs, **kwargs)), AT_KINKS.get(name, {})
    if "float" not in B.dtype(op(*map(B.asarray, xs))):
        return
    for dtype in ("float64", "float32"):
        value, *found = derivatives(op, dtype, *xs)
        for position, gradient in enumerate(found):
            left, right = one_sided(op, xs, position)
            for i, at in enumerate(zip(*xs)):
                if len(at) == 1 and at[0] in decided:
                    expected = decided[at[0]]
                elif name in STEPS:
                    expected = 0
                elif not np.isfinite(value[i]) or not max(abs(left[i]), abs(right[i])) < JUMPS:
                    continue
                else:
                    expected = (left[i] + right[i]) / 2
                error = f"{name} in {dtype} at {at}, argument {position}: {gradient[i]}, not {expected}"
                assert np.isclose(gradient[i], expected, 1e-3, 1e-4), error


@pytest.mark.parametrize("name", rows("one."))
def test_one_number(name):
    check(name, np.array(POINTS))


@pytest.mark.parametrize("name", rows("two."))
def test_two_numbers(name):
    check(name, *map(np.array, zip(*itertools.product(PAIRS, PAIRS))))
