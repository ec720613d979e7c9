"""Data that comes batch by batch: generators, PyDatasets, `tf.data`, torch loaders."""

import itertools
import queue
import threading
from collections.abc import Iterator
from typing import Any

from multikeras.core import tree
from multikeras.random import host
from multikeras.training.data.arrays import class_weights_of
from multikeras.training.data.source import Source
from multikeras.utils.arrays import unpack_x_y_sample_weight
from multikeras.utils.py_dataset import PyDataset

_END = object()


def weighted(batches: Iterator[Any], class_weight: dict | None) -> Iterator[Any]:
    """Give batches with the sample weights that class weights make."""
    for batch in batches:
        x, y, sample_weight = unpack_x_y_sample_weight(batch)
        if sample_weight is not None:
            raise ValueError("class_weight cannot be used with data that carries sample weights.")
        yield x, y, class_weights_of(y, class_weight or {})


class Stream(Source):
    """An iterable that starts anew when iterated again: a `tf.data` set, a torch loader, a list of batches."""

    def __init__(self, iterable: Any, class_weight: dict | None = None):
        self.iterable, self.class_weight = iterable, class_weight
        self.batch_size = getattr(iterable, "batch_size", None)
        try:
            self.num_batches = len(iterable)
        except (TypeError, NotImplementedError):
            size = getattr(iterable, "cardinality", None)
            size = int(size()) if callable(size) else -1
            self.num_batches = size if size >= 0 else None
        self.num_batches = self.num_batches if self.num_batches and self.num_batches > 0 else None

    def batches(self, epoch):
        batches = map(_tuples, iter(self.iterable))
        return weighted(batches, self.class_weight) if self.class_weight else batches


def _tuples(batch: Any) -> Any:
    """Return a batch that came as a list, as torch loaders give it, as the tuple it means."""
    return tuple(batch) if isinstance(batch, list) else batch


class Generator(Source):
    """A Python iterator: an epoch goes on where the last one ended."""

    restarts = False

    def __init__(self, generator: Any, class_weight: dict | None = None):
        self.iterator = iter(generator)
        if class_weight:
            self.iterator = weighted(self.iterator, class_weight)
        self.first: list[Any] = []

    def peek(self):
        if not self.first:
            try:
                self.first.append(next(self.iterator))
            except StopIteration:
                raise ValueError("The generator ended before its first batch: there is nothing to work on.") from None
        return self.first[0]

    def batches(self, epoch):
        while self.first:
            yield self.first.pop()
        for batch in self.iterator:  # noqa: UP028 - `yield from` would close a generator that later epochs go on with
            yield batch


class PyDatasetSource(Source):
    """A `PyDataset`, its batches fetched ahead by threads."""

    def __init__(self, dataset: PyDataset, shuffle: bool = False, seed: int = 0, class_weight: dict | None = None):
        for name, default in (("workers", 1), ("max_queue_size", 10), ("use_multiprocessing", False)):
            if not hasattr(dataset, name):
                setattr(dataset, name, default)  # a subclass that never called super().__init__()
        self.dataset, self.shuffle, self.seed, self.class_weight = dataset, shuffle, seed, class_weight
        self.num_batches = dataset.num_batches

    def peek(self):
        return _checked(self.dataset[0])

    def on_epoch_begin(self):
        self.dataset.on_epoch_begin()

    def on_epoch_end(self):
        self.dataset.on_epoch_end()
        self.num_batches = self.dataset.num_batches

    def batches(self, epoch):
        indices: Any = itertools.count() if self.num_batches is None else range(self.num_batches)
        if self.shuffle and self.num_batches:
            indices = host.permutation(self.seed, epoch, self.num_batches).tolist()
        batches = ahead(lambda i: _checked(self.dataset[i]), indices, max(self.dataset.workers, 1), self.dataset.max_queue_size) \
            if self.dataset.workers > 1 else (_checked(self.dataset[i]) for i in indices)  # fmt: skip
        return weighted(batches, self.class_weight) if self.class_weight else batches


def _checked(batch: Any) -> Any:
    if not isinstance(batch, (tuple, list)):
        raise ValueError(
            f"A PyDataset must return a tuple (x,), (x, y) or (x, y, sample_weight) from __getitem__, got {type(batch).__name__}."
        )
    return tuple(batch)


def ahead(fetch: Any, indices: Any, workers: int, size: int) -> Iterator[Any]:
    """Give `fetch(i)` for each index, in order, fetched by threads up to `size` ahead; its exceptions come out here."""
    tasks: queue.Queue = queue.Queue(maxsize=max(size, 1))
    stop = threading.Event()
    source = iter(indices)
    lock = threading.Lock()

    def feed():
        # One slot a task, made in order: workers fill it when they are done.
        with lock:
            if stop.is_set():
                return None
            index = next(source, _END)
            if index is _END:
                return None
            slot: queue.Queue = queue.Queue(maxsize=1)
            tasks.put((slot,))
            return index, slot

    def work():
        while (task := feed()) is not None:
            index, slot = task
            try:
                slot.put((fetch(index), None))
            except BaseException as error:
                slot.put((None, error))
                return

    threads = [threading.Thread(target=work, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    try:
        while any(t.is_alive() for t in threads) or not tasks.empty():
            try:
                (slot,) = tasks.get(timeout=0.05)
            except queue.Empty:
                continue
            batch, error = slot.get()
            if error is not None:
                raise error
            yield batch
    finally:
        stop.set()
        while not tasks.empty():
            tasks.get_nowait()


def is_stream(x: Any) -> bool:
    """Tell whether `x` gives batches when iterated."""
    return hasattr(x, "__iter__") and not isinstance(x, (dict, str, bytes))


def flat_rows(batch: Any) -> int | None:
    """Return the number of rows of a batch."""
    for leaf in tree.flatten(batch):
        if hasattr(leaf, "shape") and len(leaf.shape):
            return leaf.shape[0]
    return None
