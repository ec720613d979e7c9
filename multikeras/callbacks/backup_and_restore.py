"""Backups of training that goes on, and going on from them after the process died."""

import contextlib
import os
import signal
import threading
import warnings
from pathlib import Path
from typing import Any

from multikeras.callbacks.callback import Callback
from multikeras.saving import snapshot


class BackupAndRestore(Callback):
    """Back training up, so that the same program started again goes on where it was, with the same result.

    A backup is one file, written whole or not at all: weights, optimizer, seeds, metrics, the state of all callbacks,
    the history, and the position in the data. After a kill in epoch 3 the program runs epochs 3, 4, ... and ends
    with bit for bit the weights of a run that was not killed; on another backend it goes on with the same curve.

    Arrays and a `PyDataset` go on at the exact row, also when shuffled. A generator that has `state_dict()` and
    `load_state_dict(state)` (or `get_state`, `set_state`) is put back by these; any other is drawn from until the
    position is reached, so it must give the same batches each time the program runs. A `tf.data` set or torch loader
    is opened once for each epoch that is over, so that its own shuffles move on too.

    While training runs, SIGTERM, as sent before a machine is taken away, lets the running steps end, writes a backup and
    ends the process with status 143 (`exit_status`).

    Args:
        backup_dir: Folder of the backup; one for each fit of a program.
        save_freq: "epoch" or a number of batches.
        double_checkpoint: Whether to keep the backup before the last one too, and to use it if the last is damaged.
        delete_checkpoint: Whether to remove the backup when training is over.

    Raises ValueError for a backup that is damaged, or one of another model or optimizer.

    >>> from multikeras import callbacks
    >>> callbacks.BackupAndRestore("/tmp/backup", save_freq=100).exit_status
    143
    """

    takes_chunks = True
    writes_files = True
    exit_status = 128 + signal.SIGTERM

    def __init__(self, backup_dir, save_freq="epoch", double_checkpoint=False, delete_checkpoint=True):
        super().__init__()
        if not backup_dir:
            raise ValueError(f"Empty `backup_dir` argument passed: BackupAndRestore needs a folder, got {backup_dir!r}.")
        if save_freq != "epoch" and (isinstance(save_freq, bool) or not isinstance(save_freq, int) or save_freq < 1):
            raise ValueError(
                f"Invalid value for argument `save_freq`: {save_freq!r}. Expected 'epoch' or a positive number of batches."
            )
        self.backup_dir = Path(os.fspath(backup_dir))
        self.save_freq, self.double_checkpoint, self.delete_checkpoint = save_freq, double_checkpoint, delete_checkpoint
        self.path, self.previous_path = self.backup_dir / "latest.backup", self.backup_dir / "previous.backup"
        self._current_epoch, self._last_batch_seen, self._waited = 0, 0, 0
        self._due = self._after_epoch = self._preempted = False
        self._handler: Any = None

    def get_state(self):
        return {}  # it begins anew with each process

    def on_train_begin(self, logs=None):
        self._waited, self._due, self._after_epoch, self._preempted = 0, False, False, False
        if self._run() is None:
            raise RuntimeError("BackupAndRestore works inside fit(): training of another kind has no state to back up.")
        self._run().track()
        self._remove_leftovers()
        self._restore()
        self._listen()

    def _run(self) -> Any:
        return getattr(self.model, "_run", None)

    def _restore(self) -> None:
        there = [p for p in (self.path, self.previous_path) if p.exists()]
        for path in there:
            try:
                state = snapshot.read(path)
            except ValueError as error:
                if path is there[-1]:
                    raise
                warnings.warn(f"{error} The backup before it is used.", stacklevel=4)
                continue
            self._run().restore(state, f"{str(path)!r}")
            self._current_epoch = self._run().epoch
            return

    def batches_until_due(self):
        return None if self.save_freq == "epoch" else self.save_freq - self._waited

    def on_epoch_begin(self, epoch, logs=None):
        self._current_epoch = epoch
        self._last_batch_seen = self._run().batch - 1

    def on_train_batch_end(self, batch, logs=None):
        self._waited += batch - self._last_batch_seen
        self._last_batch_seen = batch
        if self.save_freq != "epoch" and self._waited >= self.save_freq:
            self._due = True

    def on_chunk_end(self, mode, batch, results):
        if mode == "train":
            self.on_train_batch_end(batch)

    def on_epoch_end(self, epoch, logs=None):
        self._current_epoch = epoch + 1
        self._due = self._due or self.save_freq == "epoch"
        self._after_epoch = True

    def save_if_due(self) -> None:
        """Write the backup, if it is time; called when every callback has seen the batch or epoch."""
        if self._due or self._preempted:
            self._write()
        self._due = self._after_epoch = False
        if self._preempted:
            self._leave()

    def _write(self) -> None:
        self._waited = 0
        state = self._run().snapshot(self._after_epoch)
        self.backup_dir.mkdir(parents=True, exist_ok=True)
        if self.double_checkpoint and self.path.exists():
            with contextlib.suppress(FileNotFoundError):
                os.replace(self.path, self.previous_path)
        snapshot.write(self.path, state)

    def on_train_end(self, logs=None):
        self._unlisten()
        if self.delete_checkpoint:
            for path in (self.path, self.previous_path):
                path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self.backup_dir.rmdir()  # stays if something else is in it

    def on_train_interrupt(self, error):
        self._unlisten()

    def _remove_leftovers(self) -> None:
        """Remove what a process that was killed while it wrote has left."""
        for path in self.backup_dir.glob(f".{self.path.name}.tmp-*"):
            path.unlink(missing_ok=True)

    # -- SIGTERM -------------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        # Only the main thread may set handlers; in others SIGTERM is left to whoever runs them.
        if threading.current_thread() is threading.main_thread():
            self._handler = signal.signal(signal.SIGTERM, self._on_signal)

    def _unlisten(self) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGTERM, self._handler)
            self._handler = None

    def _on_signal(self, number, frame) -> None:
        self._preempted = True

    def _leave(self) -> None:
        """End the process, after the program's own handler if it has one."""
        handler = self._handler
        self._unlisten()
        if callable(handler):
            handler(signal.SIGTERM, None)
        raise SystemExit(self.exit_status)
