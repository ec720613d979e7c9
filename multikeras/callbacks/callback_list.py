"""Callbacks called as one."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from multikeras import config
from multikeras.callbacks.callback import Callback, observes
from multikeras.callbacks.history import History
from multikeras.callbacks.progbar_logger import ProgbarLogger
from multikeras.core import tree


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
        if config.fast_dev_run():
            self.callbacks = [c for c in self.callbacks if not getattr(c, "writes_files", False)]
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
        return any(observes(callback, mode) for callback in self.callbacks)

    def batches_until_due(self) -> int | None:
        due = [n for c in self._chunked() if (n := c.batches_until_due()) is not None]
        return max(min(due), 1) if due else None

    def on_chunk_end(self, mode, batch, results):
        for callback in self._chunked():
            callback.on_chunk_end(mode, batch, results)
        self._save()

    def _chunked(self) -> list[Callback]:
        return [c for c in self.callbacks if getattr(c, "takes_chunks", False)]

    def _save(self) -> None:
        # When every callback has done its part: a backup holds the state of all.
        for callback in self.callbacks:
            if hasattr(callback, "save_if_due"):
                callback.save_if_due()

    def on_train_interrupt(self, error):
        for callback in self.callbacks:
            try:
                getattr(callback, "on_train_interrupt", _nothing)(error)
            except Exception as another:  # the first error is the one to report
                warnings.warn(f"{type(callback).__name__}.on_train_interrupt raised {another!r}.", stacklevel=3)

    def get_state(self):
        return {name: c.get_state() for name, c in self._named() if hasattr(c, "get_state")}

    def set_state(self, state):
        for name, callback in self._named():
            if name in state:
                callback.set_state(state[name])

    def _named(self) -> Iterator[tuple[str, Any]]:
        """Give each callback with its class and its number among those of that class."""
        counts: Counter[str] = Counter()
        for callback in self.callbacks:
            name = type(callback).__name__
            yield f"{name}_{counts[name]}", callback
            counts[name] += 1


def _nothing(*_) -> None:
    """Do nothing."""


_SAVED_AFTER = ("on_epoch_end", "on_train_batch_end", "on_test_batch_end")


def _forwarded(name: str) -> Callable:
    if "epoch" in name or "batch" in name:

        def call(self, index, logs=None):
            logs = {} if logs is None else logs  # users ask for its keys
            for callback in self.callbacks:
                getattr(callback, name)(index, logs)
            if name in _SAVED_AFTER:
                self._save()
    else:

        def call(self, logs=None):
            logs = {} if logs is None else logs
            for callback in self.callbacks:
                getattr(callback, name)(logs)

    call.__name__, call.__doc__ = name, f"Call `{name}` of every callback."
    return call


for _name in [n for n in vars(Callback) if n.startswith("on_") and n not in vars(CallbackList)]:
    setattr(CallbackList, _name, _forwarded(_name))
