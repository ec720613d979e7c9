"""The files of CIFAR: pickled dictionaries of images and labels (https://www.cs.toronto.edu/~kriz/cifar.html)."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from multikeras import config

_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype"),
    ("numpy._core.multiarray", "_reconstruct"), ("_codecs", "encode"),
}  # fmt: skip


class _Arrays(pickle.Unpickler):
    """Reads plain values and numpy arrays, and refuses all else that a pickle can do."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"A CIFAR file holds arrays only, this one names {module}.{name}.")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def batch(path: Path, label: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return images (n, 3, 32, 32) and labels (n, 1) of one file."""
    with open(path, "rb") as file:
        found = _Arrays(file, encoding="bytes").load()
    return np.asarray(found[b"data"], "uint8").reshape(-1, 3, 32, 32), np.asarray(found[label], "uint8").reshape(-1, 1)


def laid_out(images: np.ndarray) -> np.ndarray:
    """Return images in the global layout."""
    return images.transpose(0, 2, 3, 1) if config.image_data_format() == "channels_last" else images
