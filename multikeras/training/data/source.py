"""What the trainer knows of data: batches of (x, y, sample_weight), epoch after epoch."""

import itertools
from collections.abc import Iterator
from typing import Any


class Source:
    """Batches of data.

    Attributes:
        num_batches: Batches an epoch, None where nobody knows before the end.
        batch_size: Rows of a batch, None where it varies.
        restarts: Whether `batches` begins anew each epoch (else an epoch goes on where the last one ended).
    """

    num_batches: int | None = None
    batch_size: int | None = None
    restarts = True

    def batches(self, epoch: int, skip: int = 0) -> Iterator[Any]:
        """Give the batches of an epoch after the first `skip`: x, (x, y) or (x, y, sample_weight)."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """Return what, with the epoch and the number of batches given in it, tells the position in the data."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go to the position of `state`; `batches` is then asked for the rest of the epoch."""

    def peek(self) -> Any:
        """Return a first batch without using it up."""
        return next(iter(self.batches(0)))

    def first(self, batches: int) -> "Source":
        """Return the first `batches` of the data, again and again in one order."""
        return Batches(list(itertools.islice(self.batches(0), batches)))

    def on_epoch_begin(self) -> None:
        """Take note that an epoch begins."""

    def on_epoch_end(self) -> None:
        """Take note that an epoch is over."""

    def close(self) -> None:
        """Let go of threads and processes."""


class Batches(Source):
    """Batches in a list."""

    def __init__(self, batches: list):
        self.given, self.num_batches = batches, len(batches)

    def batches(self, epoch, skip=0):
        return iter(self.given[skip:])
