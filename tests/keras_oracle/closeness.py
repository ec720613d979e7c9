"""When numbers of ours and of Keras count as equal."""

import numpy as np


def assert_close(found, expected, tolerance=1e-5, scale=1e-3):
    """Compare floats relative to the largest entry, at least `scale`: sums of many terms have no more digits than that."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    scale = np.abs(expected).max(initial=scale) if expected.dtype.kind == "f" else 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale)
