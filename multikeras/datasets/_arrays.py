"""Where the files are, how they are read, and how arrays are shuffled and split."""

import pickle
import zipfile
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np

from multikeras.utils.files import get_file

GOOGLE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"


_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"), ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"), ("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode"),
}  # fmt: skip


class PickledArrays(pickle.Unpickler):
    """Reads plain values and numpy arrays, and refuses all else that a pickle can do."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"A file of data holds arrays only, this one names {module}.{name}.")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def npz(path: str, file: str, file_hash: str, names: Sequence[str]) -> list[np.ndarray]:
    """Return the named arrays of an .npz that is downloaded if need be; its hash is checked before it is read."""
    with zipfile.ZipFile(get_file(path, origin=GOOGLE + file, file_hash=file_hash)) as archive:
        return [_member(archive, f"{name}.npy") for name in names]


def _member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(name) as file:
        shape, dtype = _header(file)
        if dtype.hasobject:  # lists of different lengths
            return PickledArrays(file).load().reshape(shape)
    with archive.open(name) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def shuffled(seed: int | np.random.RandomState, *arrays: np.ndarray) -> list[np.ndarray]:
    """Return the arrays with their rows in one random order."""
    order = np.arange(len(arrays[0]))
    generator = seed if isinstance(seed, np.random.RandomState) else np.random.RandomState(seed)
    generator.shuffle(order)
    return [array[order] for array in arrays]


def split(test_split: float, x: Any, y: Any) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return (x_train, y_train), (x_test, y_test); the last rows are for the test."""
    if not 0 <= test_split < 1:
        raise ValueError(f"load_data: test_split must be at least 0 and below 1, got {test_split}.")
    first = int(len(x) * (1 - test_split))
    return (np.array(x[:first]), np.array(y[:first])), (np.array(x[first:]), np.array(y[first:]))
