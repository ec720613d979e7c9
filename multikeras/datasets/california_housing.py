"""House prices in California in 1990: 20,640 districts, 8 columns (Pace and Barry 1997)."""

import numpy as np

from multikeras.datasets._arrays import npz, shuffled, split

_HASH = "1a2e3a52e0398de6463aebe6f4a8da34fb21fbb6b934cf88c3425e766f2a1a6f"


def load_data(
    version: str = "large", path: str = "california_housing.npz", test_split: float = 0.2, seed: int = 113
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return (x_train, y_train), (x_test, y_test): 8 columns, and prices in dollars.

    Args:
        version: `"large"` for all districts, `"small"` for the first 600.
        path: Name of the copy in the cache.
        test_split: Fraction of the test part.
        seed: Seed of the order.
    """
    if version not in ("large", "small"):
        raise ValueError(f'california_housing.load_data: version must be "large" or "small", got {version!r}.')
    x, y = npz(path, "california_housing.npz", _HASH, ("x", "y"))
    if version == "small":
        x, y = x[:600], y[:600]
    return split(test_split, *shuffled(seed, x, y))

