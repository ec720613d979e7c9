"""Data that comes batch by batch: generators, `tf.data` sets, torch loaders, lists of batches."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from multikeras.training.data.arrays import class_weights_of
from multikeras.training.data.loaders import batches_of
from multikeras.training.data.source import Source
from multikeras.utils.arrays import unpack_x_y_sample_weight

_STATES = (("state_dict", "load_state_dict"), ("get_state", "set_state"))


def weighted(batches: Iterator[Any], class_weight: dict | None) -> Iterator[Any]:
    """Give batches with the sample weights that class weights make, if there are any."""
    return (_weighted(batch, class_weight) for batch in batches) if class_weight else batches


def _weighted(batch: Any, class_weight: dict) -> Any:
    x, y, sample_weight = unpack_x_y_sample_weight(batch)
    if sample_weight is not None:
        raise ValueError("class_weight cannot be used with data that carries sample weights.")
    return x, y, class_weights_of(y, class_weight)


def state_methods(*candidates: Any) -> tuple[Callable, Callable] | None:
    """Return how to read and set the state of the first of `candidates` that offers it."""
    for x in candidates:
        for get, put in _STATES:
            if callable(getattr(x, get, None)) and callable(getattr(x, put, None)):
                return getattr(x, get), getattr(x, put)
    return None


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
        self._opened, self._replay = 0, 0
        self._own: Any = None
        self._methods: Any = None

    def batches(self, epoch, skip=0):
        for _ in range(self._replay - (skip > 0)):
            next(batches_of(self.iterable), None)  # what a pass does to the generators of shuffles happens at its begin
        self._replay = 0
        self._opened += skip == 0
        iterator = batches_of(self.iterable)
        self._methods = state_methods(iterator)
        if skip and self._own is not None and self._methods:
            self._methods[1](self._own)
        else:
            for _ in range(skip):
                next(iterator, None)
        self._own = None
        return weighted(map(_tuples, iterator), self.class_weight)

    def state(self):
        return {"opened": self._opened, "own": self._methods[0]() if self._methods else None}

    def load_state(self, state):
        self._replay, self._opened = state["opened"] - self._opened, state["opened"]
        self._own = state["own"]


def _tuples(batch: Any) -> Any:
    """Return a batch that came as a list, as torch loaders give it, as the tuple it means."""
    return tuple(batch) if isinstance(batch, list) else batch


class Generator(Source):
    """A Python iterator: an epoch goes on where the last one ended."""

    restarts = False

    def __init__(self, generator: Any, class_weight: dict | None = None):
        self.iterator = iter(generator)
        self._methods = state_methods(generator, self.iterator)
        self.class_weight = class_weight
        self._peeked: list[Any] = []
        self._given = 0

    def peek(self):
        if not self._peeked:
            try:
                self._peeked.append(next(self.iterator))
            except StopIteration:
                raise ValueError("The generator ended before its first batch: there is nothing to work on.") from None
        return self._peeked[0]

    def batches(self, epoch, skip=0):
        return weighted(self._rest(), self.class_weight)

    def _rest(self) -> Iterator[Any]:
        while self._peeked:
            self._given += 1
            yield self._peeked.pop()
        for batch in self.iterator:
            self._given += 1
            yield batch

    def state(self):
        return {"given": self._given, "own": self._methods[0]() if self._methods else None}

    def load_state(self, state):
        if self._methods and state["own"] is not None:
            self._peeked.clear()
            self._methods[1](state["own"])
            self._given = state["given"]
            return
        rest = self._rest()
        while self._given < state["given"]:
            if next(rest, _END) is _END:
                raise ValueError(
                    f"The backup was made after {state['given']} batches, the generator gives only {self._given}. It must give "
                    "the same batches each time the program runs, or have state_dict() and load_state_dict()."
                )


class Replayed(Source):
    """The batches of a generator, kept as they first come: an evaluation sees the same ones each time."""

    def __init__(self, generator: Generator):
        self._rest = generator.batches(0)
        self._kept: list[Any] = []

    def peek(self):
        for batch in self.batches(0):
            return batch
        raise ValueError("The generator of validation data ended before its first batch.")

    def batches(self, epoch, skip=0):
        for i in itertools.count(skip):
            while len(self._kept) <= i:
                batch = next(self._rest, _END)
                if batch is _END:
                    return
                self._kept.append(batch)
            yield self._kept[i]


_END = object()


def is_stream(x: Any) -> bool:
    """Tell whether `x` gives batches when iterated."""
    return hasattr(x, "__iter__") and not isinstance(x, (dict, str, bytes))
