"""The data that a layer takes its state from: `adapt(data)`."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from multikeras import ops
from multikeras.layers.layer import Layer
from multikeras.utils.py_dataset import PyDataset


def batches(layer: Layer, data: Any) -> Iterator[np.ndarray]:
    """Give the inputs in `data` as arrays: one array whole, or those of each batch of a data set.

    Of batches that are tuples (inputs, targets, weights) the inputs are taken.
    """
    if isinstance(data, list) and data and not any(hasattr(_inputs(d), "shape") for d in data):
        data = np.asarray(data)
    if hasattr(data, "shape"):
        yield _array(layer, data)
        return
    if isinstance(data, PyDataset):
        if data.num_batches is None:
            raise ValueError(f"{layer.path}: adapt(data) reads all data, got a PyDataset without end.")
        data = map(data.__getitem__, range(data.num_batches))
    if not hasattr(data, "__iter__") or isinstance(data, (str, bytes, dict)):
        raise TypeError(
            f"{layer.path}: adapt(data) takes an array, a tensor, or batches of them (a tf.data.Dataset, a PyDataset, a "
            f"DataLoader, a list, a generator), got {type(data).__name__}."
        )
    empty = True
    for batch in data:
        empty = False
        yield _array(layer, _inputs(batch))
    if empty:
        raise ValueError(f"{layer.path}: adapt(data) needs data, got an empty iterable ({type(data).__name__}).")


def _inputs(batch: Any) -> Any:
    return batch[0] if isinstance(batch, (tuple, list)) and batch else batch


def _array(layer: Layer, batch: Any) -> np.ndarray:
    if not hasattr(batch, "shape"):
        raise TypeError(f"{layer.path}: adapt(data) takes batches that are arrays, with a `.shape`, got {batch!r:.100}.")
    array = batch if isinstance(batch, np.ndarray) else np.asarray(ops.convert_to_numpy(batch))
    if not array.size:
        raise ValueError(f"{layer.path}: adapt(data) needs data, got an array of shape {array.shape}.")
    return array
