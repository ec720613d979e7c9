"""Small photographs of ten kinds of things: 50,000 to train and 10,000 to test, 32 x 32 pixels in colour."""

from pathlib import Path

import numpy as np

from multikeras.datasets._cifar import batch, laid_out
from multikeras.utils.files import get_file

_ORIGIN = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
_HASH = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"


def load_data() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return (x_train, y_train), (x_test, y_test): uint8 images (n, 32, 32, 3) and classes (n, 1)."""
    place = get_file("cifar-10-batches-py-target", origin=_ORIGIN, extract=True, file_hash=_HASH)
    folder = Path(place) / "cifar-10-batches-py"
    parts = [batch(folder / f"data_batch_{i}", b"labels") for i in range(1, 6)]
    x_train, y_train = (np.concatenate(part) for part in zip(*parts))
    x_test, y_test = batch(folder / "test_batch", b"labels")
    return (laid_out(x_train), y_train), (laid_out(x_test), y_test)
