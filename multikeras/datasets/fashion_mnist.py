"""Zalando's articles of clothing in ten classes, in the format of MNIST (https://arxiv.org/abs/1708.07747)."""

import gzip

import numpy as np

from multikeras.datasets._arrays import GOOGLE
from multikeras.utils.files import get_file


def _idx(file: str) -> np.ndarray:
    """Read a file of the IDX format: two zeros, a type, the rank, the sizes as big-endian integers, the values."""
    with gzip.open(get_file(file, origin=GOOGLE + file, cache_subdir="datasets/fashion-mnist"), "rb") as opened:
        content = opened.read()
    if content[:3] != b"\0\0\x08":
        raise ValueError(f"fashion_mnist: {file} is no IDX file of bytes. Delete it and load again.")
    rank = content[3]
    sizes = np.frombuffer(content, ">i4", rank, offset=4)
    return np.frombuffer(content, "uint8", offset=4 + 4 * rank).reshape(sizes)


def load_data() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return (x_train, y_train), (x_test, y_test): uint8 images (n, 28, 28) and classes (n,)."""
    images, labels = "images-idx3-ubyte.gz", "labels-idx1-ubyte.gz"
    train, test = ((_idx(f"{part}-{images}"), _idx(f"{part}-{labels}")) for part in ("train", "t10k"))
    return train, test
