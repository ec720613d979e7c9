"""The progress bar of fit, evaluate and predict."""

import time

from multikeras.callbacks.callback import Callback
from multikeras.utils.progbar import Progbar, print_msg

_REDRAW_SECONDS = 0.1


class ProgbarLogger(Callback):
    """Show progress and metrics: a bar for verbose=1, a line an epoch for verbose=2.

    Raises ValueError for a verbosity that is neither 0, 1 nor 2.
    """

    takes_chunks = True

    def __init__(self):
        super().__init__()
        self.seen, self.target, self.epochs, self.verbose = 0, None, 1, 1
        self.progbar: Progbar | None = None
        self._in_fit = False
        self._drawn = 0.0

    def get_state(self):
        return {}

    def set_params(self, params):
        super().set_params(params)
        verbose = params.get("verbose", 1)
        self.verbose = 1 if verbose == "auto" else verbose
        self.epochs, self.target = params.get("epochs", 1), params.get("steps")

    def on_train_begin(self, logs=None):
        self._in_fit = True

    def on_train_end(self, logs=None):
        self._in_fit = False

    def on_epoch_begin(self, epoch, logs=None):
        self._new()
        if self.verbose and self.epochs > 1:
            print_msg(f"Epoch {epoch + 1}/{self.epochs}")

    def on_test_begin(self, logs=None):
        if not self._in_fit:
            self._new()

    def on_predict_begin(self, logs=None):
        self._new()

    def _new(self):
        self.seen = 0
        self.progbar = Progbar(target=self.target, verbose=self.verbose, unit_name="step", stateless_metrics=())

    def _bar(self) -> Progbar:
        if self.progbar is None:
            self._new()
        return self.progbar  # type: ignore[return-value]

    def on_train_batch_end(self, batch, logs=None):
        self._move(batch, logs)

    def on_test_batch_end(self, batch, logs=None):
        if not self._in_fit:
            self._move(batch, logs)

    def on_predict_batch_end(self, batch, logs=None):
        self._move(batch, None)

    def _move(self, batch, logs):
        self.seen = batch + 1
        if self.verbose != 1 or not self._due():
            return
        self._bar().update(self.seen, list(_numbers(logs)), finalize=False)

    def on_chunk_end(self, mode, batch, results):
        """Draw the bar after a chunk of batches, if it is time."""
        if mode == "test" and self._in_fit:
            return
        self.seen = batch + 1
        if self.verbose == 1 and self._due():
            self._bar().update(self.seen, list(_numbers(results())), finalize=False)

    def _due(self) -> bool:
        now = time.perf_counter()
        if now - self._drawn < _REDRAW_SECONDS:
            return False
        self._drawn = now
        return True

    def _finish(self, logs):
        if self.target is None or self.seen > self.target:
            self.target = self.seen
        bar = self._bar()
        bar.target = self.target = self.seen or self.target
        bar.update(self.target or 0, list(_numbers(logs)), finalize=True)

    def on_epoch_end(self, epoch, logs=None):
        self._finish(logs)

    def on_test_end(self, logs=None):
        if not self._in_fit:
            self._finish(logs)

    def on_predict_end(self, logs=None):
        self._finish(logs)


def _numbers(logs):
    """Give the logs as pairs of name and float."""
    for name, value in sorted((logs or {}).items()):
        if name != "outputs":
            try:
                yield name, float(value)
            except (TypeError, ValueError):
                continue
