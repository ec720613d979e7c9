"""What a function gives on shapes alone: run on them, or, where its code asks the framework, evaluated abstractly by that."""

from collections.abc import Callable
from typing import Any

import numpy as np

from multikeras.backend import SPEC, current, scope
from multikeras.core import tree
from multikeras.core.node import as_spec
from multikeras.core.variable import Variable


def on_shapes(f: Callable, args: tuple, kwargs: dict[str, Any] | None = None) -> Any:
    """Return the Specs of what `f` gives for arguments among which Specs stand for tensors; writes to variables are dropped.

    >>> from multikeras.core.node import Spec
    >>> on_shapes(lambda x: x + np.ones(3, "float32"), (Spec((None, 3), "float32"),))
    Spec((None, 3), 'float32')
    """
    kwargs = kwargs or {}
    with scope.SymbolicScope():
        try:
            return tree.map_structure(_only_spec, f(*args, **kwargs))
        except Exception as error:
            if isinstance(_root(error), (ValueError, ArithmeticError)) and not _is_of_framework(_root(error)):
                raise
            first = error
        # The code uses the framework, or values: let the framework evaluate it abstractly.
        try:
            return current.eval_shape(lambda a, k: f(*a, **k), args, kwargs)
        except Exception as second:
            raise second from first


def _root(error: BaseException) -> BaseException:
    """Return the error that an error was raised from in the first place."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _is_of_framework(error: BaseException) -> bool:
    """Tell whether the framework raised an error, having been handed a shape for a tensor, rather than our code or the user's."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return place is not None and str(place.tb_frame.f_globals.get("__name__")).partition(".")[0] == current.name


def _only_spec(x: Any) -> Any:
    """Return shape and dtype of a result on shapes: constants may be among them."""
    return SPEC.asarray(x) if current.is_tensor(x) or isinstance(x, (Variable, np.ndarray)) else as_spec(x)
