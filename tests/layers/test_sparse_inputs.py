"""Layers take sparse tensors: the numbers are those of dense ones, and zeros stay unstored where nothing fills them."""

import numpy as np
import pytest
from helpers import sparse
from keras_oracle.layer_grid import CASES, arrays, flat, forget_states

from multikeras import layers, ops
from multikeras.backend import current

FIRST_OF_CLASS = {case.layer: i for i, case in reversed(list(enumerate(CASES)))}
TAKEN = [i for i in FIRST_OF_CLASS.values() if CASES[i].dtype != "int32" and "training" not in CASES[i].call]
pytestmark = pytest.mark.skipif(not current.supports_sparse, reason="this backend has no sparse tensors")


def with_zeros(x):
    return [with_zeros(v) for v in x] if isinstance(x, list) else np.where(x > 0.4, x, 0)


def sparse_all(x):
    return [sparse_all(v) for v in x] if isinstance(x, list) else sparse(x)


@pytest.mark.parametrize("index", TAKEN, ids=[CASES[i].layer for i in TAKEN])
def test_sparse_inputs_give_what_dense_ones_give(index):
    case = CASES[index]
    layer = case.make(layers)
    inputs = [with_zeros(x) for x in arrays(case)]
    found = []
    for given in (inputs, [sparse_all(x) for x in inputs]):
        layer(*given, **case.call)  # built by the first
        forget_states(layer)
        found.append([ops.convert_to_numpy(y) for y in flat(layer(*given, **case.call))])
    for expected, y in zip(*found, strict=True):
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "make", [layers.Flatten, layers.Identity, lambda: layers.Reshape((6,)), lambda: layers.Permute((2, 1))]
)
def test_what_is_only_moved_stays_sparse(make):
    x = np.where(np.arange(24.0).reshape(4, 2, 3) % 5, 0, 1).astype("float32")
    y = make()(sparse(x))
    assert current.is_sparse(y)
    np.testing.assert_array_equal(ops.convert_to_numpy(y), ops.convert_to_numpy(make()(x)))


def test_the_compute_dtype_is_that_of_the_values():
    y = layers.Flatten(dtype="float16")(sparse(np.eye(3, dtype="float32")))
    assert current.is_sparse(y)
    assert ops.convert_to_numpy(y).dtype == "float16"
