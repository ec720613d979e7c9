"""Save the model as training goes on, with Orbax."""

import os
from pathlib import Path
from typing import Any

from multikeras.callbacks.model_checkpoint import ModelCheckpoint
from multikeras.saving import orbax


class OrbaxCheckpoint(ModelCheckpoint):
    """Save the model or its weights as numbered steps of an Orbax folder, the last ones kept.

    `saving.load_model(directory)` and `model.load_weights(directory)` read the last step. Needs the package
    `orbax-checkpoint`.

    Args:
        directory: The folder.
        monitor: Metric that tells the best.
        verbose: Whether to say what is saved.
        save_best_only: Whether to save only what is best so far.
        mode: "min", "max" or "auto".
        save_freq: "epoch" or a number of batches.
        initial_value_threshold: The value to beat at first.
        max_to_keep: How many steps stay.
        save_on_background: Whether files are written while training goes on.
        save_weights_only: Whether to save weights without architecture and optimizer.
    """

    def __init__(
        self, directory, monitor="val_loss", verbose=0, save_best_only=False, mode="auto", save_freq="epoch",
        initial_value_threshold=None, max_to_keep=1, save_on_background=True, save_weights_only=False,
    ):  # fmt: skip
        library = orbax.checkpoint_library()
        super().__init__("step.keras", monitor, verbose, save_best_only, False, mode, save_freq, initial_value_threshold)
        self.save_weights_only, self.max_to_keep, self.save_on_background = save_weights_only, max_to_keep, save_on_background
        self.directory = os.fspath(directory)
        options = library.CheckpointManagerOptions(
            max_to_keep=max_to_keep, enable_async_checkpointing=save_on_background, create=True
        )
        self.manager: Any = library.CheckpointManager(Path(self.directory).absolute(), options=options)
        self._batches = 0

    def on_train_batch_end(self, batch, logs=None):
        self._batches += max(batch + 1 - self._seen, 0)
        super().on_train_batch_end(batch, logs)

    def on_chunk_end(self, mode, batch, results):
        if mode == "train":
            self._batches += max(batch + 1 - self._seen, 0)
        super().on_chunk_end(mode, batch, results)

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        if self.save_freq == "epoch":
            self._batches = epoch

    def _path(self, epoch, batch, logs):
        return str(Path(self.directory) / str(epoch if batch is None else self._batches))

    def _write(self, path):
        step = int(Path(path).name)
        if step in self.manager.all_steps():
            self.manager.delete(step)  # of a run before this one
        orbax.save(self.manager, step, self.model, self.save_weights_only)

    def wait_until_finished(self) -> None:
        """Wait until all files are written."""
        self.manager.wait_until_finished()

    def on_train_end(self, logs=None):
        self.wait_until_finished()

    def on_train_interrupt(self, error):
        self.wait_until_finished()
