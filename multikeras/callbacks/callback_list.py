"""Callbacks called as one."""

from collections.abc import Callable
from typing import Any

from multikeras.callbacks.callback import Callback, observes
from multikeras.callbacks.history import History
from multikeras.callbacks.progbar_logger import ProgbarLogger
from multikeras.core import tree

_BATCH = {
    "train": ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end"),
    "test": ("on_test_batch_begin", "on_test_batch_end"),
    "predict": ("on_predict_batch_begin", "on_predict_batch_end"),
}


class CallbackList(Callback):
    """A list of callbacks, called in order.

    Args:
        callbacks: The callbacks.
        add_history: Whether to add a `History` if there is none.
        add_progbar: Whether to add a `ProgbarLogger` if there is none.
        model: The model they look at.
        params: What they are told of the run.
    """

    def __init__(self, callbacks=None, add_history=False, add_progbar=False, model=None, **params):
        super().__init__()
        self.callbacks: list[Callback] = tree.flatten(callbacks) if callbacks else []
        for callback in self.callbacks:
            if isinstance(callback, type) or not hasattr(callback, "on_epoch_end"):
                hint = f" Make one of it: {callback.__name__}(...)." if isinstance(callback, type) else ""
                raise TypeError(f"callbacks must be Callback objects, got {callback!r}.{hint}")
        self._history = next((c for c in self.callbacks if isinstance(c, History)), None)
        if add_progbar and not any(isinstance(c, ProgbarLogger) for c in self.callbacks):
            self.callbacks.append(ProgbarLogger())
        if add_history and self._history is None:
            self._history = History()
            self.callbacks.append(self._history)
        if model is not None:
            self.set_model(model)
        if params:
            self.set_params(params)

    @classmethod
    def of(cls, callbacks: Any, model: Any, **options: Any) -> "CallbackList":
        """Return `callbacks` if they are a CallbackList already, else one made of them."""
        return callbacks if isinstance(callbacks, CallbackList) else cls(callbacks, model=model, **options)

    def set_params(self, params):
        self.params = params
        for callback in self.callbacks:
            callback.set_params(params)

    def set_model(self, model):
        super().set_model(model)
        if self._history is not None:
            model.history = self._history
        for callback in self.callbacks:
            callback.set_model(model)

    def append(self, callback: Callback) -> None:
        """Add a callback."""
        self.callbacks.append(callback)

    def observes_batches(self, mode: str) -> bool:
        """Tell whether anybody looks at single batches of "train", "test" or "predict"."""
        return any(
            not getattr(c, "takes_chunks", False) and getattr(c, "observes_batches_now", observes(c, *_BATCH[mode]))
            for c in self.callbacks
        )

    def on_chunk_end(self, mode: str, batch: int, results: Callable[[], dict]) -> None:
        """Tell those who look at progress only that all batches up to `batch` are done."""
        for callback in self.callbacks:
            if getattr(callback, "takes_chunks", False):
                callback.on_chunk_end(mode, batch, results)


def _forwarded(name: str) -> Callable:
    if "epoch" in name or "batch" in name:

        def call(self, index, logs=None):
            for callback in self.callbacks:
                getattr(callback, name)(index, logs)
    else:

        def call(self, logs=None):
            for callback in self.callbacks:
                getattr(callback, name)(logs)

    call.__name__, call.__doc__ = name, f"Call `{name}` of every callback."
    return call


for _name in [n for n in vars(Callback) if n.startswith("on_")]:
    setattr(CallbackList, _name, _forwarded(_name))
