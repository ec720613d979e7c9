"""`Variable`: a named tensor that layers and optimizers read and write, on any backend."""

import math
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from multikeras.backend import current, dtypes, memory, scope
from multikeras.backend.shapes import Spec
from multikeras.core import budget, naming
from multikeras.core.node import standardize_shape

_AGGREGATIONS = (None, "none", "mean", "sum", "max", "min", "only_first_replica")
_MEMORY = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else math.inf
_SYNCHRONIZATIONS = (None, "none", "on_read", "on_write", "auto")


class Variable(current.VariableBase):
    """A tensor with a name that can be assigned.

    Args:
        initializer: The value, or a function of (shape, dtype) that gives it.
        shape: Needed for a function.
        dtype: Name of the dtype; the value's own, or `floatx`.
        trainable: Whether gradients are taken with respect to it.
        autocast: Whether layers of mixed precision read it cast.
        aggregation: How replicas combine it: "none", "mean", "sum", "max", "min" or "only_first_replica".
        name: Name; its path is this after the names of the open scopes.

    >>> import multikeras
    >>> v = multikeras.Variable([1.0, 2.0])
    >>> _ = v.assign_add([10.0, 10.0])
    >>> v.numpy().tolist()
    [11.0, 12.0]
    """

    def __init__(
        self,
        initializer: Any,
        shape: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        autocast: bool = True,
        aggregation: str | None = "none",
        synchronization: str | None = "auto",
        name: str | None = None,
        layout: Any = None,
        **kwargs,
    ):
        if kwargs:
            raise TypeError(f"Variable: unknown argument {next(iter(kwargs))!r}.")
        name = name or naming.auto_name(type(self).__name__)
        if not isinstance(name, str) or "/" in name:
            raise ValueError(f"Variable: name must be a string without '/', got {name!r}.")
        if aggregation not in _AGGREGATIONS:
            raise ValueError(f"Variable: aggregation must be one of {_AGGREGATIONS}, got {aggregation!r}.")
        if synchronization not in _SYNCHRONIZATIONS:
            raise ValueError(f"Variable: synchronization must be one of {_SYNCHRONIZATIONS}, got {synchronization!r}.")
        self._name = name
        path = naming.current_path()
        self._path = f"{path}/{name}" if path else name
        self._trainable = bool(trainable)
        self._autocast = bool(autocast)
        self._aggregation = aggregation or "none"
        self._synchronization = synchronization or "none"
        self._layout = layout
        self._overwrite_with_gradient = False
        self._regularizer: Callable | None = None
        self._constraint: Callable | None = None
        if isinstance(initializer, str):
            initializer = initializers_get(initializer)
        if isinstance(initializer, type):
            initializer = initializer()
        self._initializer: Any = None
        if callable(initializer) and not hasattr(initializer, "shape"):
            if shape is None:
                raise ValueError(f"Variable {name!r}: an initializer that is a function needs shape=.")
            self._dtype = dtypes.standardize_dtype(dtype)
            self._shape = standardize_shape(shape)
            if None in self._shape:
                raise ValueError(f"Variable {name!r}: shape={self._shape} must be fully known.")
            self._refuse_absurd()
            if scope.refuses_variables():
                raise ValueError(
                    f"Variable {name!r} cannot be created here: variables are redirected. Create it before, "
                    "for a layer in build() or __init__()."
                )
            self._initializer = initializer
            size = math.prod(self._shape) * dtypes.numpy_dtype(self._dtype).itemsize
            budget.take(size, f"Variable {self._path!r} of shape {self._shape}")
            value = current.outside_trace(lambda: self._compute_initial()) if scope.stack.blank is None else self._blank()
        else:
            given = None if dtype is None else dtypes.standardize_dtype(dtype)
            if current.is_tensor(initializer):
                value = current.copy_tensor(current.asarray(initializer, given))
            else:
                value = current.outside_trace(lambda: current.copy_tensor(current.asarray(initializer, given)))
            if shape is not None and tuple(value.shape) != tuple(shape):
                raise ValueError(f"Variable {name!r}: shape={tuple(shape)} but the value has {tuple(value.shape)}.")
            self._dtype, self._shape = current.dtype(value), tuple(value.shape)
        self._store = current.make_variable(
            value, self._trainable, self._path, self._aggregation, self._synchronization
        )

    @classmethod
    def around(cls, store: Any, trainable: bool, name: str) -> "Variable":
        """Return a variable that reads and writes a native one which is there already."""
        variable = cls(current.read(store), trainable=trainable, name=name)
        variable._store = store
        return variable

    def _refuse_absurd(self):
        """Refuse what no memory holds before a framework tries, as some end the process then."""
        size = math.prod(self._shape) * dtypes.numpy_dtype(self._dtype).itemsize
        if size > 4 * _MEMORY:
            raise MemoryError(
                f"Variable {self._path!r} of shape {self._shape} and dtype {self._dtype} needs {size / 2**30:,.0f} GiB; this "
                f"machine has {_MEMORY / 2**30:,.0f} GiB. Look for a size that is too large, e.g. units or input_dim."
            )

    def _compute_initial(self):
        return self.converted(self._initializer(self._shape, dtype=self._dtype))

    def _blank(self):
        """Return a value for the time until the real one is loaded."""
        scope.stack.blank[id(self)] = self  # type: ignore[index]
        return current.outside_trace(lambda: current.adopt(memory.blank(self._shape, self._dtype)))

    def initialize(self) -> None:
        """Assign the value that the initializer gives."""
        self.assign(current.outside_trace(lambda: self._compute_initial()))

    @property
    def value(self):
        """The native tensor: as redirected by scopes, and cast under mixed precision."""
        value = self._store
        stack = scope.stack
        if stack.redirect is not None:
            redirected = stack.redirect.get(self)
            if redirected is not None:
                value = redirected
        if stack.autocast is not None and self._autocast and self._dtype != stack.autocast and "float" in self._dtype:
            return current.cast(current.read(value) if value is self._store else value, stack.autocast)
        return value

    @property
    def store(self):
        """The framework's own variable: `tf.Variable`, `torch.nn.Parameter` or `jax.Array`."""
        return self._store

    def converted(self, value: Any):
        """Return `value` as a native tensor of this variable's dtype and shape, refusing another shape."""
        value = current.asarray(value.value if isinstance(value, Variable) else value, self._dtype)
        if tuple(value.shape) != self._shape and None not in tuple(value.shape):
            raise ValueError(
                f"Variable {self._path!r} has shape {self._shape}, a value of shape {tuple(value.shape)} does not fit."
            )
        return value

    def assign(self, value: Any):
        """Replace the value by one of the same shape; return it."""
        redirect = scope.stack.redirect
        if redirect is not None:
            if redirect.discard_writes:
                return value
            value = self.converted(value)
            redirect.set(self, value)
            return value
        value = self.converted(value)
        self._store = current.assign(self._store, value)
        return value

    def add_rows(self, indices: Any, values: Any) -> None:
        """Add `values` (n, *shape[1:]) to the rows `indices` (n,), once for each time that a row is named."""
        if scope.stack.redirect is None:
            self._store = current.add_rows(self._store, indices, values)
        else:
            self.assign(current.scatter(current.read(self.value), current.expand_dims(indices, 1), values, "add"))

    def fill(self, read: Callable[[np.ndarray], None]) -> None:
        """Let `read(array)` write the value into an array of this shape and dtype: this variable's memory if possible."""
        self._store = current.fill(self._store, self._shape, self._dtype, read)

    def peek(self) -> np.ndarray:
        """Return the value as an array to read at once: later writes to the variable may show in it."""
        return self.numpy() if scope.stack.redirect is not None else current.peek(self._store)

    def assign_add(self, value: Any):
        """Add to the value; return the sum."""
        return self.assign(self + value)

    def assign_sub(self, value: Any):
        """Subtract from the value; return the difference."""
        return self.assign(self - value)

    @property
    def name(self) -> str:
        return self._name

    @property
    def path(self) -> str:
        """The name after those of the scopes it was made in: "dense/kernel"."""
        return self._path

    @property
    def shape(self) -> tuple[int, ...]:
        return self._shape

    @property
    def ndim(self) -> int:
        return len(self._shape)

    @property
    def dtype(self) -> str:
        autocast = scope.stack.autocast
        return autocast if autocast is not None and self._autocast and "float" in self._dtype else self._dtype

    @property
    def trainable(self) -> bool:
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool):
        self._trainable = bool(value)
        current.set_trainable(self._store, bool(value))

    @property
    def aggregation(self) -> str:
        return self._aggregation

    @property
    def synchronization(self) -> str:
        return self._synchronization

    @property
    def overwrite_with_gradient(self) -> bool:
        """Whether the optimizer puts the gradient in place of the value."""
        return self._overwrite_with_gradient

    @overwrite_with_gradient.setter
    def overwrite_with_gradient(self, value: bool):
        if not isinstance(value, bool):
            raise TypeError(f"overwrite_with_gradient must be a bool, got {value!r}.")
        self._overwrite_with_gradient = value

    @property
    def regularizer(self):
        return self._regularizer

    @regularizer.setter
    def regularizer(self, value):
        self._regularizer = _callable_or_none("regularizer", value)

    @property
    def constraint(self):
        return self._constraint

    @constraint.setter
    def constraint(self, value):
        self._constraint = _callable_or_none("constraint", value)

    def numpy(self):
        """Return the value as a numpy array."""
        return current.to_numpy(self.value)

    def __array__(self, dtype=None, copy=None):
        array = self.numpy()
        return array if dtype is None else array.astype(dtype)

    def __float__(self):
        return float(self.numpy())

    def __int__(self):
        return int(self.numpy())

    def __bool__(self):
        return bool(self.numpy())

    def __index__(self):
        return self.numpy().__index__()

    def __len__(self):
        if not self._shape:
            raise TypeError("A variable of rank 0 has no length.")
        return self._shape[0]

    def __repr__(self):
        value = "" if scope.in_stateless_scope() else f", value={self.numpy()}"
        return f"<Variable path={self._path}, shape={self._shape}, dtype={self._dtype}{value}>"

    def spec(self) -> Spec:
        """Return shape and dtype."""
        return Spec(self._shape, self.dtype)


def _callable_or_none(argument: str, value: Any):
    if value is not None and not callable(value):
        raise ValueError(f"{argument} must be callable or None, got {value!r}.")
    return value


# Installed by multikeras.initializers: from a name to an initializer.
initializers_get: Callable[[str], Callable] = lambda name: name  # type: ignore[assignment,return-value] # noqa: E731
