"""Results of steps as callbacks and users get them."""

from typing import Any

import numpy as np

from multikeras import metrics
from multikeras.backend import current, dtypes
from multikeras.core import tree
from multikeras.core.variable import Variable
from multikeras.training.compiled import CompiledMetrics


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


class UnknownShape(Exception):
    """A log whose shape is not known before the step runs."""


class Kept:
    """What an own step returned last, kept in variables: these outlive a loop on the device."""

    def __init__(self):
        self._variables: dict[int, Variable] = {}
        self._places: list[Any] = []
        self._structure: Any = None

    def keep(self, logs: Any) -> None:
        """Write logs, tensors into variables and anything else as it is; UnknownShape if a tensor has none."""
        self._structure = tree.map_structure(lambda _: None, logs)
        self._places = [self._written(i, leaf) for i, leaf in enumerate(tree.flatten(logs))]

    def _written(self, i: int, leaf: Any) -> Any:
        if not current.is_tensor(leaf) and not isinstance(leaf, Variable):
            return leaf
        shape, dtype = tuple(leaf.shape), current.dtype(leaf)
        if None in shape:
            raise UnknownShape
        variable = self._variables.get(i)
        if variable is None or (variable.shape, variable.dtype) != (shape, dtype):
            zeros = np.zeros(shape, dtypes.numpy_dtype(dtype))
            variable = self._variables[i] = Variable(zeros, dtype=dtype, trainable=False, autocast=False, name=f"log_{i}")
        variable.assign(leaf)
        return variable

    def logs(self) -> Any:
        """Return the logs kept last."""
        return tree.pack_sequence_as(self._structure, [p.value if isinstance(p, Variable) else p for p in self._places])


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


def joined(parts: tuple) -> Any:
    """Return outputs of batches as one numpy array; ragged ones as one ragged tensor."""
    if current.is_ragged(parts[0]):
        return current.concatenate(parts, 0)
    arrays = [current.to_numpy(p) for p in parts]
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
