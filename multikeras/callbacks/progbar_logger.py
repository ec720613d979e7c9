"""The progress bar of fit, evaluate and predict."""

import time

from multikeras.callbacks.callback import Callback
from multikeras.utils.progbar import Progbar
from multikeras.utils.progress import Lines, screen

_REDRAW_SECONDS = 0.1


class ProgbarLogger(Callback):
    """Show progress and metrics: a bar for verbose=1, a line an epoch for verbose=2.

    In a terminal the bar is redrawn, also while validation goes on, and a loss that is the lowest so far stands out; a
    notebook gets a table of the epochs; a file or pipe one line an epoch.

    Raises ValueError for a verbosity that is neither 0, 1 nor 2.
    """

    takes_chunks = True

    def __init__(self):
        super().__init__()
        self.seen, self.target, self.epochs, self.verbose = 0, None, 1, 1
        self.progbar: Progbar | None = None
        self._in_fit = False
        self._drawn = 0.0
        self._screen: Lines | None = None
        self._lowest: dict[str, float] = {}

    def get_state(self):
        return {}

    def set_params(self, params):
        super().set_params(params)
        verbose = params.get("verbose", 1)
        self.verbose = 1 if verbose == "auto" else verbose
        self.epochs, self.target = params.get("epochs", 1), params.get("steps")

    def on_train_begin(self, logs=None):
        self._in_fit, self._screen, self._lowest = True, screen(), {}

    def on_train_end(self, logs=None):
        self._in_fit = False

    def on_epoch_begin(self, epoch, logs=None):
        self._new()
        if self.verbose and self.epochs > 1:
            self._bar().screen.title(f"Epoch {epoch + 1}/{self.epochs}")

    def on_test_begin(self, logs=None):
        if self._in_fit:
            self._validated(0)
        else:
            self._new()

    def on_predict_begin(self, logs=None):
        self._new()

    def _new(self):
        self.seen = 0
        self.progbar = Progbar(target=self.target, verbose=self.verbose, unit_name="step", stateless_metrics=())
        if self._in_fit and self._screen is not None:
            self.progbar.screen = self._screen

    def _bar(self) -> Progbar:
        if self.progbar is None:
            self._new()
        return self.progbar  # type: ignore[return-value]

    def on_train_batch_end(self, batch, logs=None):
        self._move(batch, logs)

    def on_test_batch_end(self, batch, logs=None):
        if self._in_fit:
            self._validated(batch + 1)
        else:
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
            self._validated(batch + 1)
            return
        self.seen = batch + 1
        if self.verbose == 1 and self._due():
            self._bar().update(self.seen, list(_numbers(results())), finalize=False)

    def _validated(self, batches: int) -> None:
        """Tell how far the validation of an epoch is."""
        if self.verbose == 1 and self._due():
            run = getattr(self.model, "_run", None)
            total = getattr(run, "validation_steps", None)
            self._bar().remark(f"validation {batches}" + (f"/{total}" if total else ""))

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
        bar.good = self._best(logs) if self._in_fit and self.epochs > 1 else frozenset()
        bar.target = self.target = self.seen or self.target
        bar.update(self.target or 0, list(_numbers(logs)), finalize=True)

    def _best(self, logs) -> frozenset[str]:
        """Return the names of the losses that are lower than in all epochs before."""
        values = [(name, value) for name, value in _numbers(logs) if name.endswith("loss")]
        best = frozenset(name for name, value in values if value < self._lowest.get(name, float("inf")))
        self._lowest.update((name, value) for name, value in values if name in best)
        return best

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
