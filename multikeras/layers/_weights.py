"""The variables of a layer: making, listing, freezing and setting them."""

from typing import Any

import numpy as np

from multikeras import constraints, initializers, regularizers
from multikeras.backend import dtypes as dtype_names
from multikeras.core.tracking import Tracker, unique
from multikeras.core.variable import Variable
from multikeras.layers._call import calls
from multikeras.metrics.metric import Metric
from multikeras.random.seed_generator import SeedGenerator


class Weights:
    """The half of `Layer` that is about its variables."""

    name: str
    path: str
    built: bool
    _building: bool
    variable_dtype: str
    _tracker: Tracker
    _trainable: bool
    _own_trainable: list[Variable]
    _own_non_trainable: list[Variable]

    def _children(self) -> list[Any]:
        """Return the direct sub-layers."""
        raise NotImplementedError

    def _name_scope(self) -> Any:
        """Return the scope in which variables get their paths."""
        raise NotImplementedError

    def _own(self, variable: Variable) -> None:
        """Count a variable among this layer's own."""
        raise NotImplementedError

    def add_weight(
        self, *args, shape=None, initializer=None, dtype=None, trainable=True, autocast=True, regularizer=None,
        constraint=None, aggregation="none", overwrite_with_gradient=False, name=None,
    ) -> Variable:  # fmt: skip
        """Make a variable of this layer.

        Args:
            shape: Its shape; a scalar if not given.
            initializer: Name, initializer or value; Glorot uniform for floats, zeros otherwise.
            dtype: Its dtype; the policy's variable dtype if not given.
            trainable: Whether it is trained.
            autocast: Whether `call` sees it in the compute dtype.
            regularizer: Penalty on it that joins the loss.
            constraint: Function applied to it after each update.
            aggregation: How replicas combine it.
            overwrite_with_gradient: Whether the optimizer replaces it by its gradient.
            name: Its name.
        """
        for value in args:
            if isinstance(value, str):
                name = value
            else:
                shape = value
        self._refuse_new_state(f"the weight {name!r}")
        dtype = self.variable_dtype if dtype is None else dtype_names.standardize_dtype(dtype)
        if initializer is None:
            initializer = "glorot_uniform" if dtype_names.is_float(dtype) else "zeros"
        with self._name_scope():
            variable = Variable(
                initializers.get(initializer), shape=() if shape is None else shape, dtype=dtype, trainable=trainable,
                autocast=autocast, aggregation=aggregation, name=name,
            )  # fmt: skip
        variable.regularizer = regularizers.get(regularizer)
        variable.constraint = constraints.get(constraint)
        variable.overwrite_with_gradient = overwrite_with_gradient
        self._own(variable)
        if not self._trainable:
            variable.trainable = False
        return variable

    def _refuse_new_state(self, what: str) -> None:
        """Raise ValueError while the `call` of a built layer runs: it would make `what` anew each time."""
        if calls.context is not None and self.built and not self._building:
            raise ValueError(
                f"Layer {self.path!r} cannot add new elements of state in call(), which would make {what} anew each time. "
                "Make variables and sub-layers in __init__() or build()."
            )

    def add_variable(self, *args, **kwargs) -> Variable:
        """Make a variable: another name of `add_weight`."""
        return self.add_weight(*args, **kwargs)

    def _owned(self) -> list[Variable]:
        """Return this layer's own variables, trained ones first, after a look at its lists and dicts for new ones."""
        for variable in self._tracker.listed(Variable):
            self._own(variable)
        return [*self._own_trainable, *self._own_non_trainable]

    @property
    def variables(self) -> list[Variable]:
        """All variables: own ones, states of seed generators, then those of sub-layers."""
        found = self._owned()
        found += [g.state for g in self._tracker.find(SeedGenerator)]
        for layer in self._children():
            found += layer.variables
        return unique(found)

    @property
    def weights(self) -> list[Variable]:
        """All variables but the states of seed generators."""
        found = self._owned()
        for layer in self._children():
            found += layer.weights
        return unique(found)

    @property
    def trainable_variables(self) -> list[Variable]:
        return [v for v in self.variables if v.trainable] if self.trainable else []

    @property
    def non_trainable_variables(self) -> list[Variable]:
        return [v for v in self.variables if not v.trainable] if self.trainable else self.variables

    @property
    def trainable_weights(self) -> list[Variable]:
        return [v for v in self.weights if v.trainable] if self.trainable else []

    @property
    def non_trainable_weights(self) -> list[Variable]:
        return [v for v in self.weights if not v.trainable] if self.trainable else self.weights

    @property
    def metrics(self) -> list[Metric]:
        """The metrics of this layer and those inside it."""
        return unique(self._tracker.find(Metric) + self._inner_metrics())

    _metrics: Any = ()
    """Metrics that a program hangs on a layer from outside."""

    def _inner_metrics(self) -> list[Metric]:
        return [metric for layer in self._children() for metric in layer._metrics_as_part()]

    def _metrics_as_part(self) -> list[Metric]:
        """Return what the layer adds to the metrics of the one it is part of."""
        return self.metrics

    @property
    def metrics_variables(self) -> list[Variable]:
        """The variables of `metrics`."""
        return [v for metric in self.metrics for v in metric.variables]

    @property
    def trainable(self) -> bool:
        """Whether the weights are trained; setting it sets it for all sub-layers."""
        return self._trainable

    @trainable.setter
    def trainable(self, value):
        value = bool(value)
        self._trainable = value
        self._owned()
        for variable in self._own_trainable:
            variable.trainable = value
        for layer in self._children():
            layer.trainable = value

    def get_weights(self) -> list[np.ndarray]:
        """Return the values of `weights` as numpy arrays."""
        return [v.numpy() for v in self.weights]

    def set_weights(self, weights: list) -> None:
        """Assign the values of `weights`, in their order."""
        variables = self.weights
        if len(variables) != len(weights):
            raise ValueError(
                f"set_weights: layer {self.name!r} has {len(variables)} weights, {len(weights)} values were given."
            )
        for variable, value in zip(variables, weights):
            if tuple(variable.shape) != tuple(value.shape):
                raise ValueError(
                    f"set_weights: {variable.path!r} of layer {self.name!r} has shape {variable.shape}, the value given "
                    f"for it has shape {tuple(value.shape)}."
                )
            variable.assign(value)

    def count_params(self) -> int:
        """Return the number of entries of all weights."""
        if not self.built:
            raise ValueError(
                f"count_params: layer {self.name!r} is not built, so it has no weights yet. Call it or build() it."
            )
        return sum(int(np.prod(v.shape)) for v in self.weights)
