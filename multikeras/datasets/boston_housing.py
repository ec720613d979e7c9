"""House prices in the suburbs of Boston in the 1970s, 506 rows of 13 columns; one column is about race: mind it."""

import numpy as np

from multikeras.datasets._arrays import npz, shuffled, split

_HASH = "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5"


def load_data(
    path: str = "boston_housing.npz", test_split: float = 0.2, seed: int = 113
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return (x_train, y_train), (x_test, y_test): 13 columns, and prices in thousands of dollars."""
    return split(test_split, *shuffled(seed, *npz(path, "boston_housing.npz", _HASH, ("x", "y"))))
