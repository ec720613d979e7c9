"""The files of CIFAR: pickled dictionaries of images and labels (https://www.cs.toronto.edu/~kriz/cifar.html)."""

from pathlib import Path

import numpy as np

from multikeras import config
from multikeras.datasets._arrays import PickledArrays


def batch(path: Path, label: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Return images (n, 3, 32, 32) and labels (n, 1) of one file."""
    with open(path, "rb") as file:
        found = PickledArrays(file, encoding="bytes").load()
    return np.asarray(found[b"data"], "uint8").reshape(-1, 3, 32, 32), np.asarray(found[label], "uint8").reshape(-1, 1)


def laid_out(images: np.ndarray) -> np.ndarray:
    """Return images in the global layout."""
    return images.transpose(0, 2, 3, 1) if config.image_data_format() == "channels_last" else images
