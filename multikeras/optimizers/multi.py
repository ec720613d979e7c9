"""Several optimizers for parts of a model."""

import functools
import re
from collections.abc import Callable, MutableMapping
from typing import Any

from multikeras.core.serialization import deserialize_keras_object, serialize_keras_object
from multikeras.optimizers.loss_scale import LossScaleOptimizer
from multikeras.optimizers.optimizer import Optimizer


class OptimizerMap(MutableMapping):
    """Map paths of variables, by regular expressions, to optimizers.

    Args:
        default_optimizer: The optimizer of variables that nothing matches.
        optimizer_map: A dict to begin with.

    >>> from multikeras import optimizers
    >>> parts = optimizers.OptimizerMap(optimizers.SGD(), {"embedding/.*": optimizers.Adam()})
    >>> list(parts)
    ['embedding/.*']
    """

    def __init__(self, default_optimizer: Optimizer, optimizer_map: dict | None = None):
        if not isinstance(default_optimizer, Optimizer):
            raise ValueError(f"OptimizerMap: default_optimizer must be an optimizer, got {default_optimizer!r}.")
        self.default_optimizer = default_optimizer
        self._optimizer_map: dict[str, Optimizer] = {}
        for key, optimizer in (optimizer_map or {}).items():
            self[key] = optimizer

    def __getitem__(self, key):
        """Return the optimizer of a path: that of this very key, of the one key that matches all of it, or the default."""
        if key in self._optimizer_map:
            return self._optimizer_map[key]
        matching = [pattern for pattern in self._optimizer_map if re.fullmatch(pattern, key)]
        if len(matching) > 1:
            raise ValueError(
                f"OptimizerMap: the variable {key!r} matches several keys: {matching}. Make them exclude each other."
            )
        return self._optimizer_map[matching[0]] if matching else self.default_optimizer

    def __contains__(self, key):
        return key in self._optimizer_map

    def __setitem__(self, key, optimizer):
        if key in self._optimizer_map:
            raise ValueError(f"OptimizerMap: {key!r} is in the map already. Delete it first.")
        if not isinstance(key, str):
            raise ValueError(f"OptimizerMap: keys are paths or regular expressions for them, got {key!r}.")
        if isinstance(optimizer, (LossScaleOptimizer, MultiOptimizer)):
            raise ValueError(f"OptimizerMap: the optimizer cannot be {type(optimizer).__name__}.")
        if not isinstance(optimizer, Optimizer):
            raise ValueError(f"OptimizerMap: expected an optimizer for {key!r}, got {optimizer!r}.")
        self._optimizer_map[key] = optimizer

    def __delitem__(self, key):
        del self._optimizer_map[key]

    def __len__(self):
        return len(self._optimizer_map)

    def __iter__(self):
        return iter(self._optimizer_map)

    def __call__(self, variable: Any) -> Optimizer:
        """Return the optimizer of a variable."""
        return self[variable.path]

    def get_config(self) -> dict[str, Any]:
        """Return default and map."""
        return {
            "default_optimizer": serialize_keras_object(self.default_optimizer),
            "optimizer_map": {key: serialize_keras_object(o) for key, o in self.items()},
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> "OptimizerMap":
        revived = functools.partial(deserialize_keras_object, custom_objects=custom_objects)
        parts = {key: revived(o) for key, o in config["optimizer_map"].items()}
        return cls(revived(config["default_optimizer"]), parts)


class MultiOptimizer(Optimizer):
    """Update each variable by the optimizer that a map gives for it.

    Args:
        optimizer_map: An `OptimizerMap`, a function from a variable to an optimizer, or one optimizer for all.
        loss_scale_factor: What the loss was multiplied by, for all of them.
        name: Name.

    >>> import multikeras
    >>> from multikeras import optimizers
    >>> slow, fast = multikeras.Variable(1.0, name="slow"), multikeras.Variable(1.0, name="fast")
    >>> both = optimizers.MultiOptimizer(optimizers.OptimizerMap(optimizers.SGD(0.5), {"slow": optimizers.SGD(0.25)}))
    >>> both.apply([multikeras.ops.ones(())] * 2, [slow, fast])
    >>> float(slow), float(fast)
    (0.75, 0.5)
    """

    def __init__(self, optimizer_map: Any, loss_scale_factor: float | None = None, name: str | None = None):
        if isinstance(optimizer_map, Optimizer):
            optimizer_map = OptimizerMap(optimizer_map)
        if not callable(optimizer_map):
            raise ValueError(
                "MultiOptimizer: optimizer_map must be an OptimizerMap, a function or an optimizer, got "
                f"{optimizer_map!r}."
            )
        self._optimizers: list[Optimizer] = []
        super().__init__(0.0, name=name)
        self._map: Callable = optimizer_map
        self._part: dict[int, Optimizer] = {}
        self.loss_scale_factor = loss_scale_factor
        if isinstance(optimizer_map, OptimizerMap):
            for optimizer in (*optimizer_map.values(), optimizer_map.default_optimizer):
                self._add(optimizer)

    def _add(self, optimizer: Optimizer) -> None:
        if all(optimizer is not o for o in self._optimizers):
            self._optimizers.append(optimizer)

    @property
    def loss_scale_factor(self) -> float | None:
        """What the loss was multiplied by; parts are told None."""
        return self._loss_scale_factor

    @loss_scale_factor.setter
    def loss_scale_factor(self, value):
        self._loss_scale_factor = value
        for optimizer in self._optimizers:
            optimizer.loss_scale_factor = None

    @property
    def takes_rows(self) -> bool:  # type: ignore[override]
        """Whether one of the parts looks at the rows of sparse gradients only."""
        return any(o.takes_rows for o in self._optimizers)

    @property
    def optimizers(self) -> list[Optimizer]:
        """The optimizers, each once."""
        return list(self._optimizers)

    @property
    def variables(self):
        return [v for part in (super().variables, *(o.variables for o in self._optimizers)) for v in part]

    @property
    def learning_rate(self):
        """There is none: each part has its own."""
        raise AttributeError("A MultiOptimizer has no learning rate of its own: use those of its `optimizers`.")

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        raise AttributeError("A MultiOptimizer has no learning rate of its own: set those of its `optimizers`.")

    def build(self, var_list):
        if self.built:
            return
        groups: dict[int, list] = {}
        for v in var_list:
            optimizer = self._map(v)
            if isinstance(optimizer, (LossScaleOptimizer, MultiOptimizer)):
                raise ValueError(f"{type(optimizer).__name__} cannot be used inside an MultiOptimizer.")
            self._add(optimizer)
            self._part[id(v)] = optimizer
            groups.setdefault(id(optimizer), []).append(v)
        for optimizer in self._optimizers:
            optimizer.loss_scale_factor = None
            optimizer.build(groups.get(id(optimizer), []))
        super().build(var_list)

    def _groups(self, grads: list, variables: list) -> list[tuple[Optimizer, list, list]]:
        found = []
        for optimizer in self._optimizers:
            pairs = [(g, v) for g, v in zip(grads, variables) if self._part[id(v)] is optimizer]
            if pairs:
                found.append((optimizer, [g for g, _ in pairs], [v for _, v in pairs]))
        return found

    def _update(self, grads, variables):
        for optimizer, its_grads, its_variables in self._groups(grads, variables):
            optimizer.apply(its_grads, its_variables)

    def finalize_variable_values(self, var_list: Any) -> None:
        for optimizer, _, variables in self._groups([None] * len(var_list), list(var_list)):
            optimizer.finalize_variable_values(variables)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "optimizer_map": serialize_keras_object(self._map),
            "loss_scale_factor": self.loss_scale_factor,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> "MultiOptimizer":
        optimizers = deserialize_keras_object(config["optimizer_map"], custom_objects=custom_objects)
        return cls(**{**config, "optimizer_map": optimizers})
