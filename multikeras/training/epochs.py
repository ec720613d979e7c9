"""Data cut into epochs, and how many steps these have."""

import itertools
import warnings
from collections.abc import Callable
from typing import Any

from multikeras import config
from multikeras.training.data.arrays import Arrays
from multikeras.training.data.gathering import Usual, gathered
from multikeras.training.data.overlap import END, ahead, overlapped
from multikeras.training.data.source import Source


class Epochs:
    """A source cut into epochs of a number of steps; `convert` makes its batches native tensors, after `check`."""

    def __init__(self, source: Source, steps: int | None, convert: Callable, check: Callable | None = None):
        self.first = 0
        self._convert, self._check = convert, check or _unchanged
        cap = config.max_steps_per_epoch()
        self.source, self.steps = source, steps
        limits = [n for n in (steps, cap) if n]
        self.limit = min(limits) if limits else None
        self.running: Any = None
        self.empty = False
        self.began, self.taken = 0, 0
        self.tracked = False
        self._position: dict[str, Any] | None = None

    def native(self, epoch: int, skip: int = 0):
        """Give the batches of an epoch after the first `skip` as native tensors, fetched while the model computes."""
        batches = self.batches(epoch, skip)
        there = isinstance(self.source, Arrays) and not self.source.on_host
        return batches if there else self._following(batches)

    def _following(self, batches):
        state = self._now if self.tracked else _nothing
        try:
            for batch, position in overlapped(batches, self._checked, state):
                self._position = position
                yield batch
        finally:
            self._position = None

    def _checked(self, batch):
        return self._convert(self._check(batch))

    def groups(self, epoch: int, skip: int, usual: Usual, count: Callable):
        """Give the batches of an epoch after the first `skip` in groups, as `gathered` does; `at` follows them."""
        state = self._now if self.tracked else _nothing
        groups = gathered(self.batches(epoch, skip), self._checked, state, usual, count, self._check)
        try:
            yield from ahead(lambda: next(groups, END))
        finally:
            self._position = None

    def at(self, position: dict[str, Any] | None) -> None:
        """Take note that the steps up to a position in the data are done."""
        self._position = position

    def state(self) -> dict[str, Any]:
        """Return what, with the epoch and its batches done, tells the position in the data; needs `tracked` set before."""
        return self._position or self._now()

    def _now(self) -> dict[str, Any]:
        return {"began": self.began, "taken": self.taken, "source": self.source.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go to the position of `state`."""
        self.source.load_state(state["source"])
        self.began, self.taken = state["began"], state["taken"]
        if self.steps is not None and self.taken:
            self.running = self.source.batches(self.began, self.taken)

    def chunkable(self) -> Arrays | None:
        """Return the arrays if an epoch is one pass over them."""
        source = self.source
        if not isinstance(source, Arrays) or source.on_host or (self.limit is not None and self.limit > source.full_batches):
            return None
        return source if self.limit is None or self.steps is None else None

    def batches(self, epoch: int, skip: int = 0):
        """Give the batches of an epoch that come after the first `skip`."""
        if self.steps is None:
            limit = None if self.limit is None else max(self.limit - skip, 0)
            yield from itertools.islice(self.source.batches(epoch, skip), limit)
            return
        given = skip
        while given < self.limit:
            if self.running is None:
                self.running, self.began, self.taken = self.source.batches(epoch), epoch, 0
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
            given, self.taken = given + 1, self.taken + 1
            yield batch


def _unchanged(x: Any) -> Any:
    """Return `x`."""
    return x


def _nothing() -> None:
    """Return nothing: nobody asks for positions."""


def steps_of(source: Source, steps: int | None) -> int | None:
    """Return the number of steps of an epoch, None where nobody knows."""
    limits = [n for n in (steps or source.num_batches, config.max_steps_per_epoch()) if n]
    return min(limits) if limits else None


def validates(epoch: int, frequency: Any) -> bool:
    """Tell whether validation data are evaluated after an epoch."""
    return (epoch + 1) % frequency == 0 if isinstance(frequency, int) else epoch + 1 in frequency
