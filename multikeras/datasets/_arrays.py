"""Where the files are, and how arrays are shuffled and split."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from multikeras.utils.files import get_file

GOOGLE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"


def npz(path: str, file: str, file_hash: str, names: Sequence[str], pickled: bool = False) -> list[np.ndarray]:
    """Return the named arrays of an .npz that is downloaded if need be; its hash is checked before it is read."""
    place = get_file(path, origin=GOOGLE + file, file_hash=file_hash)
    with np.load(place, allow_pickle=pickled) as found:
        return [found[name] for name in names]


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
