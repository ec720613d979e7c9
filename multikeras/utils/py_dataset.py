"""Data that a user computes batch by batch."""

from typing import Any


class PyDataset:
    """Batches by index, with `__getitem__` and `num_batches` defined by a subclass.

    Args:
        workers: Threads that fetch batches ahead.
        use_multiprocessing: Fetch in processes instead of threads.
        max_queue_size: Batches fetched ahead at most.
    """

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10):
        self.workers, self.use_multiprocessing, self.max_queue_size = workers, use_multiprocessing, max_queue_size

    def __getitem__(self, index: int) -> Any:
        """Return batch `index`."""
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(index).")

    @property
    def num_batches(self) -> int | None:
        """The number of batches, None for without end."""
        if hasattr(self, "__len__"):
            return len(self)
        raise NotImplementedError(f"{type(self).__name__} must define num_batches.")

    def on_epoch_begin(self) -> None:
        """Take note that an epoch begins."""

    def on_epoch_end(self) -> None:
        """Take note that an epoch is over."""
