"""What came out of each epoch."""

from typing import Any

from multikeras.callbacks.callback import Callback


class History(Callback):
    """Keep the metrics of every epoch; `fit` returns one.

    Attributes:
        history: Metric by name, a list with one value an epoch.
        epoch: The epochs, in order.
    """

    def __init__(self):
        super().__init__()
        self.history: dict[str, list[Any]] = {}
        self.epoch: list[int] = []

    def on_train_begin(self, logs=None):
        self.epoch = []

    def on_epoch_end(self, epoch, logs=None):
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)
        self.model.history = self
