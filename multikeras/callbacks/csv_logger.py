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

    def __init__(self, filename, separator=",", append=False):
        super().__init__()
        self.filename, self.sep, self.append = os.fspath(filename), separator, append
        self.keys: list[str] | None = None
        self.writer = self.csv_file = None

    def on_train_begin(self, logs=None):
        has_header = False
        if self.append and os.path.exists(self.filename):
            with open(self.filename) as file:
                has_header = bool(file.readline())
        self.csv_file = open(self.filename, "a" if self.append else "w", newline="")  # closed at the end
        self.writer, self.keys, self._has_header = None, None, has_header

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        if self.keys is None:
            # Values of validation may be missing in this epoch only.
            later = set() if any(k.startswith("val_") for k in logs) else {f"val_{k}" for k in logs}
            self.keys = sorted({*logs, *later})
        if self.writer is None:
            self.writer = csv.DictWriter(self.csv_file, ["epoch", *self.keys], delimiter=self.sep, extrasaction="ignore")
            if not self._has_header:
                self.writer.writeheader()
        missing = "NA"
        self.writer.writerow({"epoch": epoch, **{k: _spelled(logs.get(k, missing)) for k in self.keys}})
        self.csv_file.flush()

    def on_train_end(self, logs=None):
        self.csv_file.close()
        self.writer = None


def _spelled(value):
    """Return a value as one field."""
    if isinstance(value, str) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) == 0:
        return value
    return f'"[{", ".join(map(str, np.asarray(value).tolist()))}]"'
