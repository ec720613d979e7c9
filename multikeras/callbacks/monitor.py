"""What callbacks that watch one metric share."""

import math
import warnings
from typing import Any

from multikeras.callbacks.callback import Callback

_UP = (
    "acc",
    "accuracy",
    "auc",
    "precision",
    "recall",
    "f1",
    "fbeta",
    "iou",
    "r2",
    "cosine_similarity",
    "top_k",
    "dice",
)


class MonitorCallback(Callback):
    """Base of callbacks that ask whether a metric got better.

    Args:
        monitor: Name of the metric.
        mode: "min", "max" or "auto" (by the metric's own direction or its name).
        baseline: The value to beat at first.
        min_delta: Least change that counts.
    """

    def __init__(
        self, monitor: str = "val_loss", mode: str = "auto", baseline: float | None = None, min_delta: float = 0
    ):
        super().__init__()
        if mode not in ("auto", "min", "max"):
            warnings.warn(f"{type(self).__name__} mode {mode!r} is unknown, 'auto' is used in its place.", stacklevel=3)
            mode = "auto"
        self.monitor, self.mode, self.best, self.min_delta = monitor, mode, baseline, abs(min_delta)
        self.monitor_op: Any = None

    def _set_monitor_op(self) -> None:
        """Work out the direction, once the metrics are known."""
        if self.mode != "auto":
            upwards = self.mode == "max"
        else:
            upwards = self._direction_of_metric()
        self.upwards = upwards
        self.monitor_op = (lambda a, b: a > b) if upwards else (lambda a, b: a < b)

    def _direction_of_metric(self) -> bool:
        name = self.monitor.removeprefix("val_")
        if name == "loss":
            return False
        for metric in getattr(self.model, "metrics", None) or ():
            for inner in getattr(metric, "metrics", None) or [metric]:
                if inner.name == name or name.endswith(f"_{inner.name}"):
                    direction = getattr(inner, "_direction", None)
                    if direction in ("up", "down"):
                        return direction == "up"
        if name.endswith(("loss", "error", "mse", "mae", "mape", "msle", "crossentropy", "divergence")):
            return False
        if any(part in name for part in _UP):
            return True
        raise ValueError(
            f"{type(self).__name__} callback received monitor={self.monitor}, but it is not known whether more or less of "
            "it is better. Give mode='min' or mode='max'."
        )

    def _is_improvement(self, value: float, reference: float | None) -> bool:
        """Tell whether `value` beats `reference` by more than `min_delta`; NaN never does."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return False
        if reference is None:
            return True
        return value - self.min_delta > reference if self.upwards else value + self.min_delta < reference

    def _value(self, logs: dict | None) -> Any:
        value = (logs or {}).get(self.monitor)
        if value is None:
            warnings.warn(
                f"{type(self).__name__}: metric {self.monitor!r} is not there. Available: {', '.join(logs or {}) or 'none'}.",
                stacklevel=3,
            )
        return value
