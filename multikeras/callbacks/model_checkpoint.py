"""Save the model as training goes on."""

import os
import re
import warnings
from pathlib import Path

from multikeras.callbacks.monitor import MonitorCallback
from multikeras.utils.progbar import print_msg


class ModelCheckpoint(MonitorCallback):
    """Save the model or its weights every epoch, or every so many batches.

    Args:
        filepath: Where to; may hold `{epoch:02d}`, `{batch}` and names of metrics. Ends in `.keras`, or in
            `.weights.h5` for weights.
        monitor: Metric that tells the best.
        verbose: Whether to say what is saved.
        save_best_only: Whether to save only what is best so far.
        save_weights_only: Whether to save only weights.
        mode: "min", "max" or "auto".
        save_freq: "epoch" or a number of batches.
        initial_value_threshold: The value to beat at first.
    """

    takes_chunks = True
    writes_files = True

    def __init__(
        self, filepath, monitor="val_loss", verbose=0, save_best_only=False, save_weights_only=False, mode="auto",
        save_freq="epoch", initial_value_threshold=None,
    ):  # fmt: skip
        super().__init__(monitor, mode, baseline=initial_value_threshold)
        self.filepath = os.fspath(filepath)
        self.verbose, self.save_best_only, self.save_weights_only = verbose, save_best_only, save_weights_only
        self.save_freq = save_freq
        if save_freq != "epoch" and not isinstance(save_freq, int):
            raise ValueError(
                f"ModelCheckpoint: Unrecognized save_freq={save_freq!r}. Expected 'epoch' or a number of batches."
            )
        wanted = ".weights.h5" if save_weights_only else ".keras"
        if not self.filepath.endswith((wanted, ".h5") if not save_weights_only else wanted):
            raise ValueError(
                f"ModelCheckpoint: The filepath provided must end in `{wanted}`, got filepath={self.filepath!r}."
            )
        self._epoch, self._seen, self._waited = 0, 0, 0

    def batches_until_due(self):
        return None if self.save_freq == "epoch" else self.save_freq - self._waited

    def on_train_batch_end(self, batch, logs=None):
        if self._is_due(batch):
            self._save(self._epoch, batch, logs)

    def on_chunk_end(self, mode, batch, results):
        if mode == "train" and self._is_due(batch):
            self._save(self._epoch, batch, results())

    def _is_due(self, batch) -> bool:
        if self.save_freq == "epoch":
            return False
        self._waited += batch + 1 - self._seen
        self._seen = batch + 1
        due = self._waited >= self.save_freq
        if due:
            self._waited = 0
        return due

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._seen = epoch, 0

    def on_epoch_end(self, epoch, logs=None):
        if self.save_freq == "epoch":
            self._save(epoch, None, logs)

    def _save(self, epoch, batch, logs):
        path = self._path(epoch, batch, logs or {})
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if self.save_best_only:
            if self.monitor_op is None:
                self._set_monitor_op()
            value = self._value(logs)
            if value is None:
                self._write(path)  # what cannot be compared is kept
                return
            if getattr(value, "ndim", 0):
                warnings.warn(f"ModelCheckpoint: {self.monitor!r} is not a scalar, the model is saved.", stacklevel=3)
                self._write(path)
                return
            if not self._is_improvement(value, self.best):
                if self.verbose > 0:
                    print_msg(f"\nEpoch {epoch + 1}: {self.monitor} did not improve from {self.best:.5f}")
                return
            if self.verbose > 0:
                before = "inf" if self.best is None else f"{self.best:.5f}"
                print_msg(
                    f"\nEpoch {epoch + 1}: {self.monitor} improved from {before} to {value:.5f}, saving model to {path}"
                )
            self.best = value
        elif self.verbose > 0:
            print_msg(f"\nEpoch {epoch + 1}: saving model to {path}")
        self._write(path)

    def _write(self, path):
        if self.save_weights_only:
            self.model.save_weights(path, overwrite=True)
        else:
            self.model.save(path, overwrite=True)

    def _path(self, epoch, batch, logs):
        """Return the path with epoch, batch and metrics filled in."""
        try:
            return self.filepath.format(epoch=epoch + 1, **({} if batch is None else {"batch": batch + 1}), **logs)
        except KeyError as error:
            known = sorted({"epoch", *([] if batch is None else ["batch"]), *logs})
            names = re.findall(r"{(\w+)", self.filepath)
            raise KeyError(
                f'ModelCheckpoint: Failed to format this callback filepath: "{self.filepath}". Reason: {error}. It names '
                f"{names}; known are {known}."
            ) from error
