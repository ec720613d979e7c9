"""`Callback`: what fit, evaluate and predict call as they go on."""

import inspect
from typing import Any

from multikeras.saving.snapshot import is_plain

_BATCH = {
    "train": ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end"),
    "test": ("on_test_batch_begin", "on_test_batch_end"),
    "predict": ("on_predict_batch_begin", "on_predict_batch_end"),
}


class Callback:
    """Base of callbacks: override the methods of the moments you want to see.

    As soon as one callback overrides a method of single training batches, fit runs batch by batch instead of many
    steps a dispatch.

    A backup of training holds `get_state()` of every callback. A callback that holds files or threads closes them in
    `on_train_end`, and in `on_train_interrupt`, which takes its place when an exception ends training.

    Attributes:
        params: Dict with `epochs`, `steps` and `verbose`.
        model: The model.
        takes_chunks: Whether `on_chunk_end` does what the methods of single batches do, so that these need not be called.
        writes_files: Whether it writes files, so that a trial run (`config.set_fast_dev_run`) leaves it out.

    >>> import multikeras as mk
    >>> class Count(mk.callbacks.Callback):
    ...     epochs = 0
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         self.epochs += 1
    >>> Count().epochs
    0
    """

    takes_chunks = False
    writes_files = False

    def __init__(self):
        self.params: dict[str, Any] | None = None
        self._model: Any = None

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "takes_chunks" not in vars(cls) and any(m in vars(cls) for names in _BATCH.values() for m in names):
            cls.takes_chunks = False  # its own methods of single batches want to be called

    @property
    def model(self) -> Any:
        return getattr(self, "_model", None)

    def set_params(self, params: dict[str, Any]) -> None:
        """Take the parameters of a run."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Take the model of a run."""
        self._model = model

    def get_state(self) -> dict[str, Any]:
        """Return what a resumed run needs: attributes of plain data and arrays that are no arguments of the constructor."""
        given = {"params", "_model", *inspect.signature(type(self).__init__).parameters}
        return {k: v for k, v in vars(self).items() if k not in given and is_plain(v)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take what `get_state` returned in the run that is resumed; comes after `on_train_begin`."""
        vars(self).update(state)

    def batches_until_due(self) -> int | None:
        """Return how many batches may run before `on_chunk_end` has to come, None for any number."""
        return None

    def on_chunk_end(self, mode, batch, results):
        """Do something after several batches; those up to `batch` are done, `results()` returns the metrics so far."""

    def on_batch_begin(self, batch, logs=None):
        """Do something before a training batch."""

    def on_batch_end(self, batch, logs=None):
        """Do something after a training batch."""

    def on_train_batch_begin(self, batch, logs=None):
        """Do something before a training batch."""
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch, logs=None):
        """Do something after a training batch; `logs` holds the metrics so far."""
        self.on_batch_end(batch, logs=logs)

    def on_test_batch_begin(self, batch, logs=None):
        """Do something before a batch of evaluation."""

    def on_test_batch_end(self, batch, logs=None):
        """Do something after a batch of evaluation."""

    def on_predict_batch_begin(self, batch, logs=None):
        """Do something before a batch of prediction."""

    def on_predict_batch_end(self, batch, logs=None):
        """Do something after a batch of prediction; `logs["outputs"]` holds the outputs."""

    def on_epoch_begin(self, epoch, logs=None):
        """Do something before an epoch."""

    def on_epoch_end(self, epoch, logs=None):
        """Do something after an epoch; `logs` holds its metrics, those of validation under `val_` names."""

    def on_train_begin(self, logs=None):
        """Do something before training."""

    def on_train_end(self, logs=None):
        """Do something after training."""

    def on_train_interrupt(self, error):
        """Do something when an exception ends training: close files, undo what is half done."""

    def on_test_begin(self, logs=None):
        """Do something before evaluation."""

    def on_test_end(self, logs=None):
        """Do something after evaluation."""

    def on_predict_begin(self, logs=None):
        """Do something before prediction."""

    def on_predict_end(self, logs=None):
        """Do something after prediction."""


def observes(callback: Callback, mode: str) -> bool:
    """Tell whether a callback wants to see single batches of "train", "test" or "predict"."""
    if getattr(callback, "takes_chunks", False):
        return False
    own = getattr(callback, "observes_batches_now", None)
    if own is not None:
        return own
    methods = _BATCH[mode]
    return any(getattr(type(callback), m, None) is not getattr(Callback, m) or m in vars(callback) for m in methods)
