"""Metrics of each epoch in a CSV file."""

import csv
import os
from collections.abc import Iterable

import numpy as np

from multikeras.callbacks.callback import Callback


class CSVLogger(Callback):
    """Write a line of metrics for each epoch.

    Args:
        filename: Path of the file.
        separator: What stands between fields.
        append: Whether to add to a file that is there.
    """

    writes_files = True

    def __init__(self, filename, separator=",", append=False):
        super().__init__()
        self.filename, self.sep, self.append = os.fspath(filename), separator, append
        self.keys: list[str] | None = None
        self.writer = self.csv_file = None

    def on_train_begin(self, logs=None):
        # A file that is there is emptied when the first line is written: a run that is resumed goes on with it.
        self.csv_file = open(self.filename, "a", newline="")  # closed at the end
        self.writer, self.keys = None, None
        self._keep = os.path.getsize(self.filename) if self.append else 0

    def get_state(self):
        return {"keys": self.keys, "size": self.csv_file.tell() if self.writer else self._keep}

    def set_state(self, state):
        self.keys, self._keep = state["keys"], min(state["size"], os.path.getsize(self.filename))

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        if self.keys is None:
            # Values of validation may be missing in this epoch only.
            later = set() if any(k.startswith("val_") for k in logs) else {f"val_{k}" for k in logs}
            self.keys = sorted({*logs, *later})
        if self.writer is None:
            self.csv_file.truncate(self._keep)
            self.writer = csv.DictWriter(self.csv_file, ["epoch", *self.keys], delimiter=self.sep, extrasaction="ignore")
            if not self._keep:
                self.writer.writeheader()
        missing = "NA"
        self.writer.writerow({"epoch": epoch, **{k: _spelled(logs.get(k, missing)) for k in self.keys}})
        self.csv_file.flush()

    def on_train_end(self, logs=None):
        self.csv_file.close()
        self.csv_file = self.writer = None

    def on_train_interrupt(self, error):
        if self.csv_file is not None:
            self.on_train_end()


def _spelled(value):
    """Return a value as one field."""
    if isinstance(value, str) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0:
        return value
    return f'"[{", ".join(map(str, np.asarray(value).tolist()))}]"'
