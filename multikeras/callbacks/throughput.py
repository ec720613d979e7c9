"""How fast training goes and how much memory it takes."""

import sys
import time

from multikeras.backend import current
from multikeras.callbacks.callback import Callback

try:
    import resource
except ImportError:  # on Windows
    resource = None  # type: ignore[assignment]

_UNIT = 1 if sys.platform == "darwin" else 1024  # of the resident size


class Throughput(Callback):
    """Add speed and memory to the metrics of each epoch, where the history, files and bars after it show them.

    The metrics are `steps_per_second`, `samples_per_second` where batches have a known size, `host_memory_mb` (the most
    so far) and, on an accelerator, `device_memory_mb` (the most so far). Nothing is measured of single batches, so that
    training is not slowed down. The time of validation does not count.

    >>> from multikeras import callbacks
    >>> callbacks.Throughput().takes_chunks
    True
    """

    takes_chunks = True

    def get_state(self):
        return {}

    def on_epoch_begin(self, epoch, logs=None):
        self._began, self._trained = time.perf_counter(), None
        self._first = self._done()

    def _done(self) -> int:
        return self.model._run.batch

    def on_test_begin(self, logs=None):
        self._trained = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        if logs is None:
            return
        seconds = max((self._trained or time.perf_counter()) - self._began, 1e-9)
        source = self.model._run.data.source
        steps, rows = self._done() - self._first, getattr(source, "rows", None)
        logs["steps_per_second"] = steps / seconds
        if source.batch_size:
            samples = steps * source.batch_size
            logs["samples_per_second"] = min(samples, rows or samples) / seconds
        if resource is not None:
            logs["host_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT / 2**20
        device = current.device_memory()
        if device is not None:
            logs["device_memory_mb"] = device / 2**20
