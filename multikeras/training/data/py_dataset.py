"""Batches of a `PyDataset`, computed here, in threads or in processes."""

import itertools
from typing import Any

import numpy as np

from multikeras.backend import current
from multikeras.random import host
from multikeras.training.data.source import Source
from multikeras.training.data.streams import state_methods, weighted
from multikeras.training.data.workers import Workers
from multikeras.utils.dataset import in_threads
from multikeras.utils.py_dataset import PyDataset


class PyDatasetSource(Source):
    """A `PyDataset`, its batches computed ahead if it asks for workers."""

    def __init__(self, dataset: PyDataset, shuffle: bool = False, seed: int = 0, class_weight: dict | None = None):
        for name, default in (("workers", 1), ("max_queue_size", 10), ("use_multiprocessing", False)):
            if not hasattr(dataset, name):
                setattr(dataset, name, default)  # a subclass that never called super().__init__()
        self.dataset, self.shuffle, self.seed, self.class_weight = dataset, shuffle, seed, class_weight
        self.num_batches = dataset.num_batches
        self._methods = state_methods(dataset)
        self._begun = self._over = 0
        self._workers: Workers | None = None

    def peek(self):
        return self._batch(0)

    def on_epoch_begin(self):
        self._begun += 1
        self.dataset.on_epoch_begin()

    def on_epoch_end(self):
        self._over += 1
        self.dataset.on_epoch_end()
        self.num_batches = self.dataset.num_batches

    def batches(self, epoch, skip=0):
        indices: Any = itertools.count() if self.num_batches is None else range(self.num_batches)
        if self.shuffle and self.num_batches:
            indices = host.permutation(self.seed, epoch, self.num_batches).tolist()
        indices = itertools.islice(indices, skip, None)
        workers, size = max(self.dataset.workers, 1), max(self.dataset.max_queue_size, 1)
        if self.dataset.use_multiprocessing:
            if self._workers is None:
                self._workers = Workers(workers)
            batches = map(_checked, self._workers.batches(self.dataset, indices, size))
        elif workers > 1:
            batches = in_threads(self._batch, indices, workers, size)
        else:
            batches = map(self._batch, indices)
        return weighted(batches, self.class_weight)

    def _batch(self, index: int) -> Any:
        return _checked(self.dataset[index])

    def state(self):
        own = self._methods[0]() if self._methods else None
        return {"seed": self.seed, "begun": self._begun, "over": self._over, "own": own}

    def load_state(self, state):
        self.seed = state["seed"]
        if self._methods and state["own"] is not None:
            self._methods[1](state["own"])
            self._begun, self._over = state["begun"], state["over"]
        else:  # what the data set does between epochs, e.g. shuffle by a seed of its own, happens again
            for _ in range(state["over"]):
                self.on_epoch_begin()
                self.on_epoch_end()
            if state["begun"] > state["over"]:
                self.on_epoch_begin()
        self.num_batches = self.dataset.num_batches

    def close(self):
        if self._workers is not None:
            self._workers.close()
            self._workers = None


def _checked(batch: Any) -> Any:
    """Return a batch as the tuple it means; a dict is for train steps of one's own."""
    if isinstance(batch, np.ndarray) or current.is_tensor(batch):
        return (batch,)
    if not isinstance(batch, (tuple, list, dict)):
        raise ValueError(
            "A PyDataset must return a tuple (x,), (x, y) or (x, y, sample_weight) from __getitem__, or a dict that your "
            f"train_step takes, got {type(batch).__name__}."
        )
    return tuple(batch) if isinstance(batch, list) else batch
