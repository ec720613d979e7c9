"""Where reads and writes of variables are redirected, and how they are cast on the way.

One stack a thread. A `Scope` maps variables to values: inside it a read gives the mapped
value, a write goes into the map, and the variable itself stays as it was. That one mechanism
is `StatelessScope`, `stateless_call`, JAX's lifting of variables into compiled functions and
the shape-only calls of `SpecBackend`.
"""

import threading
from typing import Any


class _Stack(threading.local):
    def __init__(self):
        self.redirect: Scope | None = None
        self.autocast: str | None = None
        self.name_scopes: tuple = ()
        self.blank: dict[int, Any] | None = None
        """Variables made without their initial values, which are about to be loaded (`BlankScope`)."""


stack = _Stack()


class Scope:
    """Redirect reads and writes of variables to a map for the length of a `with` block.

    Args:
        values: Pairs of variable and value that reads give at first.
        collect_losses: Whether `add_loss` inside adds to `losses` of this scope.
        discard_writes: Whether writes are forgotten (shape-only calls).
    """

    def __init__(self, values=(), collect_losses: bool = False, discard_writes: bool = False):
        self.values: dict[int, tuple[Any, Any]] = {id(v): (v, value) for v, value in values}
        self.written: dict[int, Any] = {}
        self.read: dict[int, Any] | None = None
        self.collect_losses = collect_losses
        self.losses: list[Any] = []
        self.discard_writes = discard_writes
        self.outer: Scope | None = None

    def __enter__(self):
        self.outer, stack.redirect = stack.redirect, self
        return self

    def __exit__(self, *exc):
        stack.redirect = self.outer

    def get(self, variable: Any) -> Any:
        """Return the value of `variable` here, looking outwards; None where no scope holds one."""
        scope: Scope | None = self
        while scope is not None:
            if scope.read is not None:
                scope.read[id(variable)] = variable
            if id(variable) in scope.values:
                return scope.values[id(variable)][1]
            scope = scope.outer
        return None

    def set(self, variable: Any, value: Any) -> None:
        """Record that `variable` was written."""
        if not self.discard_writes:
            self.values[id(variable)] = (variable, value)
            self.written[id(variable)] = variable

    def current_value(self, variable: Any) -> Any:
        """Return the value `variable` has in this scope, None if the scope never saw one."""
        pair = self.values.get(id(variable))
        return None if pair is None else pair[1]


class StatelessScope(Scope):
    """Redirect variables to values given as pairs; `get_current_value` tells what was written.

    >>> import multikeras
    >>> v = multikeras.Variable(1.0)
    >>> with multikeras.StatelessScope([(v, multikeras.ops.ones(()) * 5)]) as scope:
    ...     _ = v.assign(v.value + 1)
    >>> float(scope.get_current_value(v)), float(v.value)
    (6.0, 1.0)
    """

    def __init__(self, state_mapping: Any = None, collect_losses: bool = False, initialize_variables: bool = True):
        self.initialize_variables = initialize_variables
        self.state_mapping_pairs: list[tuple[Any, Any]] = list(state_mapping or ())
        super().__init__((), collect_losses)
        for variable, value in self.state_mapping_pairs:
            self.values[id(variable)] = (variable, variable.converted(value))

    def add_update(self, update):
        variable, value = update
        self.set(variable, value)

    def get_current_value(self, variable):
        """Return the value `variable` was last given in this scope, None if none."""
        return self.current_value(variable)

    def add_loss(self, loss):
        self.losses.append(loss)


class SymbolicScope(Scope):
    """Run code for its shapes: writes to variables are forgotten."""

    def __init__(self):
        super().__init__(discard_writes=True)


class AutocastScope:
    """Cast floating-point variables to `dtype` when they are read inside."""

    def __init__(self, dtype: str | None):
        self.dtype = dtype

    def __enter__(self):
        self.outer, stack.autocast = stack.autocast, self.dtype
        return self

    def __exit__(self, *exc):
        stack.autocast = self.outer


class BlankScope:
    """Make variables without running their initializers; `variables` are those that still need a value."""

    def __init__(self):
        self.variables: dict[int, Any] = {}

    def __enter__(self):
        self.outer, stack.blank = stack.blank, self.variables
        return self

    def __exit__(self, *exc):
        stack.blank = self.outer


def in_stateless_scope() -> bool:
    """Tell whether variables are redirected here."""
    scope = stack.redirect
    return scope is not None and not scope.discard_writes


def refuses_variables() -> bool:
    """Tell whether the user redirected variables, so that none can be made here (scopes of a backend do not refuse)."""
    scope = stack.redirect
    while scope is not None:
        if isinstance(scope, StatelessScope):
            return True
        scope = scope.outer
    return False
