"""What came out of each epoch."""

import math
from typing import Any

import numpy as np

from multikeras.callbacks.callback import Callback
from multikeras.utils.chart import chart


class History(Callback):
    """Keep the metrics of every epoch; `fit` returns one.

    A notebook shows it as curves.

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

    def _repr_html_(self) -> str:
        names = [n for n in self.history if not n.startswith("val_") or n.removeprefix("val_") not in self.history]
        pictures = []
        for name in names:
            curves = {n: [*zip(self._epochs(), self._numbers(n))] for n in (name, f"val_{name}") if n in self.history}
            pictures.append(chart(curves, title=name, x_label="epoch", width=420, height=260))
        return f'<div style="display:flex;flex-wrap:wrap">{"".join(pictures)}</div>' if self.epoch else "no epoch yet"

    def _epochs(self) -> list[float]:
        return [epoch + 1.0 for epoch in self.epoch]

    def _numbers(self, name: str) -> list[float]:
        """Return the values of a metric as numbers, NaN for what is none."""
        return [float(v) if np.ndim(v) == 0 else math.nan for v in self.history[name]]
