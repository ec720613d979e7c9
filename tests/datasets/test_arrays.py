"""Files of data are read without running what a pickle may say."""

import pickle

import numpy as np
import pytest

from multikeras.datasets import _arrays


class Evil:
    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return open, (str(self.place), "w")


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Return a function that writes arrays to an .npz and reads them."""
    monkeypatch.setattr(_arrays, "get_file", lambda path, **_: tmp_path / path)

    def written(**arrays):
        np.savez(tmp_path / "data.npz", **arrays)
        return _arrays.npz("data.npz", "data.npz", "", list(arrays))

    return written


def test_arrays_and_rows_of_different_lengths(read):
    rows = np.empty(2, dtype=object)
    rows[:] = [[1, 2], [3]]
    x, y, z = read(x=rows, y=np.arange(6.0).reshape(2, 3), z=np.asfortranarray(np.arange(6).reshape(2, 3)))
    assert x.tolist() == [[1, 2], [3]]
    np.testing.assert_array_equal(y, [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(z, [[0, 1, 2], [3, 4, 5]])


def test_a_pickle_that_names_more_than_arrays(read, tmp_path):
    rows = np.empty(1, dtype=object)
    rows[0] = Evil(tmp_path / "owned")
    with pytest.raises(pickle.UnpicklingError, match="open"):
        read(x=rows)
    assert not (tmp_path / "owned").exists()
