"""The derivative of every op agrees with finite differences in float64; see `op_cases.py`."""

import zlib

import numpy as np
import pytest
from helpers import assert_gradients_match
from op_cases import TABLE, Tame, op_of

from multikeras import ops
from multikeras.backend import current
from multikeras.core import tree

pytestmark = [pytest.mark.gradients, *([pytest.mark.slow] if current.name == "jax" else [])]  # it compiles for each shape

WITHOUT = {
    "size": "a number", "ndim": "a number", "stop_gradient": "its derivative is 0 whatever its value does",
    "cast": "to half precision: steps of the differences vanish in rounding",
    "segment_max": "-inf for a segment without rows: see test_composites.py", "segment_min": "inf, as above",
    "view": "bits have no derivative", "nextafter": "moves by one bit: JAX has no derivative", "view_as_complex": "in 32 bits",
}  # fmt: skip
"""Rows that say nothing about derivatives, and why."""

PREPARED = {
    **dict.fromkeys("arcsin arccos arctanh".split(), lambda x: 0.6 * x), "arccosh": lambda x: 1.1 + np.abs(x),
    **dict.fromkeys("sqrt log log2 log10 log1p rsqrt reciprocal".split(), lambda x: 0.1 + np.abs(x)),
}  # fmt: skip
"""How to bring what a row draws to where the op has a derivative."""

FUNCTIONS = {"cholesky": lambda x: ops.cholesky((x + ops.swapaxes(x, -1, -2)) / 2)}
"""What to differentiate instead: kernels read one triangle of a symmetric matrix."""

NATIVE = {
    "gammainc": (1,) if current.name == "torch" else (0, 1),  # torch has no derivative with respect to the first
}
"""Arguments to differentiate by, where not all."""


def check(name, number):
    make, dtypes = TABLE[name]
    dtype = "float64" if "float64" in dtypes else dtypes[0]
    rng = Tame(np.random.PCG64([zlib.crc32(name.encode()), number]))
    args, kwargs = make(rng, dtype)
    leaves = tree.flatten(args)
    places = [i for i, x in enumerate(leaves) if isinstance(x, np.ndarray) and x.dtype == np.float64]
    places = [i for i in places if i in NATIVE.get(name, places)]
    if not places:
        return
    op, prepared = FUNCTIONS.get(name, op_of(name)), PREPARED.get(name, lambda x: x)

    def function(*tensors):
        given = list(leaves)
        for i, x in zip(places, tensors):
            given[i] = x
        return op(*tree.pack_sequence_as(args, given), **kwargs)

    assert_gradients_match(function, [prepared(leaves[i]) for i in places], seed=name, tolerance=2e-5)


@pytest.mark.parametrize("name", [n for n in TABLE if n not in WITHOUT])
def test_op(name):
    check(name, 0)


@pytest.mark.slow
@pytest.mark.skipif(current.name == "jax", reason="it compiles each op for each shape, for half an hour")
@pytest.mark.parametrize("name", [n for n in TABLE if n not in WITHOUT])
def test_op_at_more_points(name):
    for number in range(1, 5):
        check(name, number)
