"""Small photographs of a hundred kinds of things: 50,000 to train and 10,000 to test, 32 x 32 pixels in colour."""

from pathlib import Path

import numpy as np

from multikeras.datasets._cifar import batch, laid_out
from multikeras.utils.files import get_file

_ORIGIN = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
_HASH = "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"


def load_data(label_mode: str = "fine") -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return (x_train, y_train), (x_test, y_test): uint8 images (n, 32, 32, 3) and classes (n, 1).

    Args:
        label_mode: `"fine"` for a hundred classes, `"coarse"` for twenty groups of them.
    """
    if label_mode not in ("fine", "coarse"):
        raise ValueError(f'cifar100.load_data: label_mode must be "fine" or "coarse", got {label_mode!r}.')
    place = get_file("cifar-100-python-target", origin=_ORIGIN, extract=True, file_hash=_HASH)
    folder, label = Path(place) / "cifar-100-python", f"{label_mode}_labels".encode()
    (x_train, y_train), (x_test, y_test) = batch(folder / "train", label), batch(folder / "test", label)
    return (laid_out(x_train), y_train), (laid_out(x_test), y_test)
