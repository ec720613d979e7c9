"""What a process does that is killed in the middle of it."""

from pathlib import Path

import numpy as np

import multikeras as mk


def save_weights(model, path: Path) -> None:
    """Save weights, a list of files with one large weight each."""
    largest = max(w.nbytes for w in model.get_weights())
    model.save_weights(path, **({"max_shard_size": 1.5 * largest / 2**30} if path.suffix == ".json" else {}))


def forever(path: Path, units: int) -> None:
    """Save models whose weights are all 1, then all 2, ... to one path, and tell each one saved."""
    model = mk.Sequential([mk.Input((units,)), mk.layers.Dense(units), mk.layers.Dense(units)])
    value = 0
    while True:
        value += 1
        model.set_weights([np.full(w.shape, value, "float32") for w in model.get_weights()])
        if path.name.endswith((".weights.h5", ".weights.json", ".safetensors")):
            save_weights(model, path)
        else:
            model.save(path, zipped=None if path.suffix else False)
        print("saved", value, flush=True)
