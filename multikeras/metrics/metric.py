"""`Metric`: a quantity summed up over batches in Variables."""

from collections.abc import Sequence
from typing import Any

from multikeras import config, initializers
from multikeras.backend import current, scope
from multikeras.core import naming
from multikeras.core.arguments import guard
from multikeras.core.node import any_symbolic, as_spec
from multikeras.core.tree import map_structure
from multikeras.core.variable import Variable


class Metric:
    """Sum up over batches: subclasses define `update_state(...)` and `result()`.

    State is made by `add_variable` in `__init__`. A metric that is an attribute, or in a list or dict that is one, has its
    variables counted in.

    Args:
        dtype: Dtype or policy to compute in, `floatx` if None.
        name: Name, made up from the class if None.

    >>> import multikeras
    >>> class Largest(multikeras.metrics.Metric):
    ...     def __init__(self):
    ...         super().__init__(name="largest")
    ...         self.largest = self.add_variable((), name="largest")
    ...     def update_state(self, values):
    ...         self.largest.assign(multikeras.ops.maximum(self.largest, multikeras.ops.max(values)))
    ...     def result(self):
    ...         return self.largest.value
    >>> metric = Largest()
    >>> metric.update_state([1.0, 3.0, 2.0])
    >>> float(metric.result())
    3.0
    """

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        guard(cls)

    def __init__(self, dtype: Any = None, name: str | None = None):
        self.name = name or naming.auto_name(type(self).__name__)
        self._dtype_policy = config.policy_from_name(config.floatx() if dtype is None else dtype)
        self._dtype = self._dtype_policy.compute_dtype
        self._variables: list[Variable] = []

    @property
    def dtype(self) -> str:
        """The dtype results have."""
        return self._dtype

    def add_variable(
        self,
        shape: Sequence[int],
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: str = "sum",
        name: str | None = None,
        layout: Any = None,
    ) -> Variable:
        """Return a new state variable, of `floatx` if `dtype` is None.

        `aggregation` says how replicas, each with its own batches, combine theirs: "sum", "mean", "max", "min"
        or "none".
        """
        with naming.name_scope(self.name, caller=self):
            variable = Variable(
                initializers.get(initializer),
                shape=shape,
                dtype=dtype,
                trainable=False,
                aggregation=aggregation,
                synchronization="on_read",
                layout=layout,
                name=name,
            )
        self._variables.append(variable)
        return variable

    def add_weight(
        self, shape: Sequence[int] = (), initializer: Any = None, dtype: Any = None, name: str | None = None
    ) -> Variable:
        """Return a new state variable: `add_variable` under another name."""
        return self.add_variable(shape, initializer or "zeros", dtype, name=name)

    @property
    def variables(self) -> list[Variable]:
        """All state variables, those of metrics inside last."""
        found, metrics = list(self._variables), []
        known = set(map(id, found))
        for value in vars(self).values():
            for leaf in _leaves(value):
                if isinstance(leaf, Variable) and id(leaf) not in known:
                    known.add(id(leaf))
                    found.append(leaf)
                elif isinstance(leaf, Metric):
                    metrics.append(leaf)
        for metric in metrics:
            found.extend(v for v in metric.variables if id(v) not in known)
        return found

    def reset_state(self) -> None:
        """Set all state variables to 0."""
        for v in self.variables:
            v.assign(current.full(v.shape, 0, v.dtype))

    def update_state(self, *args, **kwargs) -> None:
        """Add a batch."""
        raise NotImplementedError(f"{type(self).__name__} must define update_state().")

    def result(self) -> Any:
        """Return the quantity for all batches so far: a scalar, or a dict of these."""
        raise NotImplementedError(f"{type(self).__name__} must define result().")

    def __call__(self, *args, **kwargs) -> Any:
        """Add a batch and return the result."""
        if any_symbolic(args, kwargs):
            args, kwargs = map_structure(as_spec, (args, kwargs))
            with scope.SymbolicScope():
                self.update_state(*args, **kwargs)
                return self.result()
        self.update_state(*args, **kwargs)
        return self.result()

    def _redirected(self, values: Sequence) -> scope.StatelessScope:
        own = self.variables
        if len(values) != len(own):
            raise ValueError(
                f"Argument `metric_variables` must be {len(own)} tensors, as many as {type(self).__name__} {self.name!r} has "
                f"variables. Received {len(values)}."
            )
        return scope.StatelessScope(zip(own, values))

    def stateless_update_state(self, metric_variables: Sequence, *args, **kwargs) -> list:
        """Return the state after a batch, given that before; change nothing."""
        own = self.variables
        with self._redirected(metric_variables) as values:
            self.update_state(*args, **kwargs)
        return [values.get_current_value(v) for v in own]

    def stateless_result(self, metric_variables: Sequence) -> Any:
        """Return the result of a given state; change nothing."""
        with self._redirected(metric_variables):
            return self.result()

    def stateless_reset_state(self) -> list:
        """Return the state that `reset_state` sets; change nothing."""
        with scope.StatelessScope() as values:
            self.reset_state()
        return [v.value if (new := values.get_current_value(v)) is None else new for v in self.variables]

    def get_config(self) -> dict[str, Any]:
        """Return name and dtype."""
        return {"name": self.name, "dtype": self.dtype}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Metric":
        return cls(**config)

    def __reduce__(self):
        if type(self).__reduce_ex__ is not object.__reduce_ex__ or "<locals>" in type(self).__qualname__:
            return super().__reduce__()
        return _revived, (type(self), self.get_config(), [v.numpy() for v in self._variables])

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}>"

    __str__ = __repr__


guard(Metric)


def _revived(cls: Any, config: dict, values: list) -> Metric:
    metric = cls.from_config(config)
    for variable, value in zip(metric._variables, values):
        variable.assign(value)
    return metric


def _leaves(value: Any) -> list:
    if isinstance(value, (list, tuple)):
        return [leaf for v in value for leaf in _leaves(v)]
    if isinstance(value, dict):
        return [leaf for v in value.values() for leaf in _leaves(v)]
    return [value]
