"""Handwritten digits: 60,000 to train and 10,000 to test, 28 x 28 gray values (http://yann.lecun.com/exdb/mnist)."""

import numpy as np

from multikeras.datasets._arrays import npz

_HASH = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"


def load_data(path: str = "mnist.npz") -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return (x_train, y_train), (x_test, y_test): uint8 images (n, 28, 28) and digits (n,)."""
    found = npz(path, "mnist.npz", _HASH, ("x_train", "y_train", "x_test", "y_test"))
    return (found[0], found[1]), (found[2], found[3])
