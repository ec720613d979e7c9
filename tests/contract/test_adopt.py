"""A tensor on the memory of an array: wherever the array lies, ops may read it."""

import numpy as np
import pytest

from multikeras import ops
from multikeras.backend import current


@pytest.mark.parametrize("offset", [0, 1, 2, 4, 8])
def test_memory_of_any_alignment_is_taken(offset):
    array = np.arange(64 * 8 + offset, dtype="float32")[offset:].reshape(64, 8)
    expected = array.copy()
    tensor = current.adopt(array)
    np.testing.assert_array_equal(ops.convert_to_numpy(ops.take(tensor, ops.array([3, 60]), axis=0)), expected[[3, 60]])
    np.testing.assert_array_equal(ops.convert_to_numpy(ops.matmul(tensor, ops.ones((8, 1))))[:, 0], expected.sum(1))
