"""Data cut into epochs, and how many steps these have."""

import itertools
import warnings
from typing import Any

import numpy as np

from multikeras import config
from multikeras.backend import current
from multikeras.core import tree
from multikeras.training.data.arrays import Arrays
from multikeras.training.data.source import Source


class Epochs:
    """A source cut into epochs of a number of steps."""

    def __init__(self, source: Source, steps: int | None, first: int = 0):
        self.first = first
        cap = config.max_steps_per_epoch()
        self.source, self.steps = source, steps
        limits = [n for n in (steps, cap) if n]
        self.limit = min(limits) if limits else None
        self.running: Any = None
        self.empty = False

    def chunkable(self) -> Arrays | None:
        """Return the arrays if an epoch is one pass over them."""
        if isinstance(self.source, Arrays) and (self.limit is None or self.limit <= self.source.full_batches):
            return self.source if self.limit is None or self.steps is None else None
        return None

    def batches(self, epoch: int, skip: int = 0):
        """Give the batches of an epoch that come after the first `skip`."""
        if skip:
            if (self.limit is not None and skip >= self.limit) or skip >= self.source.num_batches:
                return
            rest = list(self._last_rows(epoch, skip))
            yield from rest
            return
        if self.steps is None:
            yield from itertools.islice(self.source.batches(epoch), self.limit)
            return
        given = 0
        while given < self.limit:
            if self.running is None:
                self.running = self.source.batches(epoch)
            batch = next(self.running, None)
            if batch is None:
                self.running = None
                if given or not self.source.restarts or self.empty:
                    warnings.warn(
                        f"The data ended after {given} of {self.limit} steps of this epoch. Give it as many batches as "
                        "steps_per_epoch times epochs, or repeat it.",
                        stacklevel=4,
                    )
                    return
                self.empty = True
                continue
            self.empty = False
            given += 1
            yield batch

    def _last_rows(self, epoch, skip):
        source = self.source
        order = source.order(epoch)
        start = skip * source.batch_size
        rows = np.arange(start, source.rows) if order is None else order[start:]
        rows = current.asarray(rows, "int32")
        yield tree.map_structure(lambda a: None if a is None else current.take(a, rows, 0), source.tensors)


def steps_of(source: Source, steps: int | None) -> int | None:
    """Return the number of steps of an epoch, None where nobody knows."""
    limits = [n for n in (steps or source.num_batches, config.max_steps_per_epoch()) if n]
    return min(limits) if limits else None


def validates(epoch: int, frequency: Any) -> bool:
    """Tell whether validation data are evaluated after an epoch."""
    return (epoch + 1) % frequency == 0 if isinstance(frequency, int) else epoch + 1 in frequency
