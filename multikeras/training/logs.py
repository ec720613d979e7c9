"""Results of steps as callbacks and users get them."""

from typing import Any

import numpy as np

from multikeras import metrics
from multikeras.backend import current
from multikeras.training.compile import CompiledMetrics


class CompileMetricsFace(metrics.Metric):
    """The metrics of `compile` as the one entry they are in `model.metrics`."""

    def __init__(self, compiled: CompiledMetrics):
        object.__setattr__(self, "compiled", compiled)
        object.__setattr__(self, "name", "compile_metrics")

    @property
    def variables(self):
        return [v for metric in self.compiled.metrics for v in metric.variables]

    @property
    def metrics(self):
        return self.compiled.metrics

    def result(self):
        return self.compiled.result()

    def reset_state(self):
        self.compiled.reset_state()

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.compiled.update_state(y_true, y_pred, sample_weight)

    def names(self) -> list[str]:
        """Return the names of the values."""
        return list(self.compiled.result())


class Lazy(dict):
    """Logs that nobody looks at: tensors, not waited for."""


def floats(logs: Any) -> dict[str, Any]:
    """Return logs as Python numbers, by sorted name; those of a dict, as metrics together give it, by their own names."""
    if not isinstance(logs, dict):
        return {}
    values = {}
    for name in sorted(logs):
        value = logs[name]
        if isinstance(value, dict):
            values.update(floats(value))
            continue
        if current.is_tensor(value):
            value = current.to_numpy(value)
        try:
            value = float(value)
        except (TypeError, ValueError):
            pass
        values[name] = value
    return values


def joined(parts: tuple) -> np.ndarray:
    """Return outputs of batches as one numpy array."""
    arrays = [current.to_numpy(p) for p in parts]
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
