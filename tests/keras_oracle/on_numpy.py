"""Compute a grid, of layers, losses or metrics, on the backend of this process: `on_numpy.py KIND FILE` saves the numbers.

What runs here on the numpy backend is what each framework must agree with, so that they agree with each other.
"""

import sys

import numpy as np
from keras_oracle.layer_grid import CASES as LAYERS
from keras_oracle.layer_grid import built, outputs
from keras_oracle.test_losses import LOSSES
from keras_oracle.test_metrics import CASES as METRICS

from multikeras import layers, losses, metrics, ops


class Ours:
    layers, ops = layers, ops


def numbers(x):
    return np.asarray(ops.convert_to_numpy(x))


def of_layers():
    """Return the outputs of each layer."""
    return {f"{i} {case}": outputs(Ours, built(Ours, case), case) for i, case in enumerate(LAYERS)}


def of_losses():
    """Return each loss."""
    return {
        f"{i} {name}": [numbers(getattr(losses, name)(**arguments)(true, predicted))]
        for i, (name, arguments, true, predicted) in enumerate(LOSSES)
    }


def of_metrics():
    """Return the result of each metric for one batch."""
    found = {}
    for i, (name, arguments, true, predicted) in enumerate(METRICS):
        metric = getattr(metrics, name)(**arguments)
        metric.update_state(true.astype("float32"), predicted)
        found[f"{i} {name}"] = [numbers(metric.result())]
    return found


KINDS = {"layers": of_layers, "losses": of_losses, "metrics": of_metrics}

if __name__ == "__main__":
    found = KINDS[sys.argv[1]]()
    np.savez(sys.argv[2], **{f"{name.replace('/', '_')} {k}": y for name, ys in found.items() for k, y in enumerate(ys)})
