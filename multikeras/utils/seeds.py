"""One seed for everything that draws random numbers."""

import random as python_random

import numpy as np

from multikeras.backend import current
from multikeras.random.seed_generator import set_global_seed


def set_random_seed(seed: int) -> None:
    """Seed Python, numpy, the framework in use and all layers made from here on.

    With the same seed initial weights and the order of batches are the same on every backend.

    >>> import multikeras
    >>> set_random_seed(7); a = multikeras.random.uniform((2,))
    >>> set_random_seed(7); b = multikeras.random.uniform((2,))
    >>> bool(multikeras.ops.all(a == b))
    True
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise ValueError(f"set_random_seed: seed must be an integer, got {seed!r}.")
    seed = int(seed)
    python_random.seed(seed)
    # numpy takes 32 bits.
    np.random.seed(seed % 2**32)
    current.seed(seed)
    set_global_seed(seed)
