"""Derivatives where a function has a kink, ties or an edge: the same on every backend, as decided here."""

import itertools
import math

import numpy as np
import pytest
from op_cases import TABLE, op_of

from multikeras import ops
from multikeras.backend import current as B

pytestmark = pytest.mark.gradients
grids = pytest.mark.slow if B.name == "jax" else lambda f: f  # JAX compiles for each op

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


@grids
@pytest.mark.parametrize("name", rows("one."))
def test_one_number(name):
    check(name, np.array(POINTS))


@grids
@pytest.mark.parametrize("name", rows("two."))
def test_two_numbers(name):
    check(name, *map(np.array, zip(*itertools.product(PAIRS, PAIRS))))


NAN = math.nan
WEIGHTS = np.array([1.0, 10.0, 100.0], "float32")
TIES = {
    "norm": (lambda x: ops.norm(x, axis=-1), [0, 0, 0], [0, 0, 0]),
    "norm of all": (ops.norm, [0, 0, 0], [0, 0, 0]),
    "norm of order 1": (lambda x: ops.norm(x, ord=1, axis=-1), [0, 2, 0], [0, 1, 0]),
    "norm of order 3": (lambda x: ops.norm(x, ord=3, axis=-1), [0, 0, 0], [0, 0, 0]),
    "norm of order inf": (lambda x: ops.norm(x, ord=INF, axis=-1), [2, -2, 1], [0.5, -0.5, 0]),
    "hypot": (lambda x: ops.hypot(x, x), [0, 1e-30, 1e30], [0, 2**0.5, 2**0.5]),
    "cdist": (lambda x: ops.cdist(ops.reshape(x, (2, 2)), ops.reshape(x, (2, 2)) * 1.0), [1, 1, 1, 1], [0, 0, 0, 0]),
    "abs of complex": (lambda x: ops.abs(ops.view_as_complex(ops.reshape(x, (2, 2)))), [0, 0, 3, 4], [0, 0, 0.6, 0.8]),
    "std": (lambda x: ops.std(x, axis=-1), [2, 2, 2], [0, 0, 0]),
    "nanstd": (lambda x: ops.nanstd(x, axis=-1), [2, 2, NAN], [0, 0, 0]),
    "nanvar": (lambda x: ops.nanvar(x, axis=-1), [1, 2, NAN], [-0.5, 0.5, 0]),
    "nanmean": (lambda x: ops.nanmean(x, axis=-1), [2, 2, NAN], [0.5, 0.5, 0]),
    "nanmax": (lambda x: ops.nanmax(x, axis=-1), [2, 2, NAN], [0.5, 0.5, 0]),
    "nan_to_num": (ops.nan_to_num, [NAN, INF, 1], [0, 0, 1]),
    "max": (lambda x: ops.max(x, axis=-1), [2, 2, 1], [0.5, 0.5, 0]),
    "max of all": (ops.max, [2, 2, 1, 2], [1 / 3, 1 / 3, 0, 1 / 3]),
    "amin": (lambda x: ops.amin(x, axis=-1), [2, 1, 1], [0, 0.5, 0.5]),
    "ptp": (lambda x: ops.ptp(x, axis=-1), [2, 2, 2], [0, 0, 0]),
    "maximum": (lambda x: ops.maximum(x, np.array([1, 2, 3], "float32")), [1, 3, 1], [0.5, 1, 0]),
    "minimum broadcast": (lambda x: ops.minimum(x, ops.reshape(x, (3, 1))), [1, 1, 2], [4, 4, 1]),
    "sort": (lambda x: ops.multiply(ops.sort(x), WEIGHTS), [2, 1, 2], [10, 1, 100]),
    "top_k": (lambda x: ops.multiply(ops.top_k(x, 2)[0], WEIGHTS[:2]), [2, 1, 2, 2], [1, 0, 10, 0]),
    "median": (lambda x: ops.median(x, axis=-1), [2, 2, 2], [0, 1, 0]),
    "max_pool": (lambda x: ops.max_pool(ops.reshape(x, (1, 4, 1)), 2, 2), [1, 1, 2, 1], [1, 0, 1, 0]),
    "adaptive_max_pool": (lambda x: ops.adaptive_max_pool(ops.reshape(x, (1, 4, 1)), 2), [1, 1, 2, 1], [0.5, 0.5, 1, 0]),
    "segment_max": (lambda x: ops.segment_max(x, np.array([0, 0, 1]), 2), [1, 1, 2], [0.5, 0.5, 1]),
    "segment_prod": (lambda x: ops.segment_prod(x, np.array([0, 0, 1]), 2), [0, 3, 2], [3, 0, 1]),
    "prod of one zero": (ops.prod, [0, 2, 3], [6, 0, 0]), "prod of two zeros": (ops.prod, [0, 0, 3], [0, 0, 0]),
    "cumprod": (ops.cumprod, [2, 0, 3], [1, 8, 0]),
    "clip": (lambda x: ops.clip(x, -1, 1), [-1, 1, 0, 2], [1, 1, 1, 0]),
    "clip by tensors": (lambda x: ops.clip(x, np.float32(-1), np.ones(4, "float32")), [-1, 1, 0, 2], [1, 1, 1, 0]),
    "where": (lambda x: ops.where(x > 0, ops.sqrt(ops.where(x > 0, x, ops.ones_like(x))), 0.0), [0, 4, -1], [0, 0.25, 0]),
    "softmax": (ops.softmax, [0, -INF, 0], [0, 0, 0]), "softmax of NaN": (ops.softmax, [0, NAN, 0], [NAN, NAN, NAN]),
    "log_softmax": (ops.log_softmax, [0, -INF, 0], [-0.5, 1, -0.5]), "sparsemax": (ops.sparsemax, [1, 1, 0], [0, 0, 0]),
    "logsumexp": (ops.logsumexp, [0, -INF], [1, 0]), "sinc": (ops.sinc, [0, 1], [0, -1]),
    "power to 0": (lambda x: ops.power(x, np.array([0, 0, 2], "float32")), [0, -1, 0], [0, 0, 0]),
    "power of 0": (lambda x: ops.power(np.zeros(2, "float32"), x), [1, 2], [0, 0]),
    "take out of range": (lambda x: ops.take(x, np.array([5, -9])), [1, 2, 3], [1, 0, 1]),
    "binary_crossentropy": (
        lambda x: ops.binary_crossentropy(np.array([0, 1, 0, 1], "float32"), x, from_logits=True), [0, 0, 100, -100],
        [0.5, -0.5, 1, -1]),
    "crossentropy of probabilities": (
        lambda x: ops.binary_crossentropy(np.array([0, 1, 0, 1], "float32"), x), [0, 0, 1, 1], [0, 0, 0, 0]),
    "diagonal of svd": (lambda x: ops.svd(ops.reshape(x, (2, 2)), compute_uv=False), [1, 0, 0, 1], [1, 0, 0, 1]),
}  # fmt: skip
"""Function, where, and the derivatives of the sum of its entries there."""


@pytest.mark.parametrize("name", TIES)
def test_ties_and_edges(name):
    f, x, expected = TIES[name]
    y, pull = B.vjp(f, [B.asarray(np.array(x, "float32"))])
    (gradient,) = pull(B.full(tuple(y.shape), 1.0, "float32"))
    np.testing.assert_allclose(B.to_numpy(gradient), expected, 1e-5, 1e-6)
