"""Telling whether a training step runs code of this package alone, and thus does the same computation each time.

User code may count, print or draw numbers of its own; where a framework runs Python at each step it must go on doing so.
"""

import functools
from typing import Any

from multikeras.backend import current
from multikeras.core.variable import Variable

_PACKAGE = __name__.partition(".")[0]
_OF_A_RUN = ("_run", "history", "_programs")
"""What a model holds of the fit that goes on and of those before: callbacks, data, programs, which are no part of a step."""
_PLAIN = (Variable, str, bytes, int, float, complex, type(None))


def is_pure(model: Any) -> bool:
    """Tell whether all code that a step of `model` runs is of this package: layers, losses, metrics, optimizer, functions.

    >>> model = multikeras.Sequential([multikeras.layers.Dense(2, "relu")])
    >>> is_pure(model)
    True
    >>> is_pure(multikeras.Sequential([multikeras.layers.Dense(2, lambda x: x)]))
    False
    """
    seen: set[int] = set()
    waiting = [model, model._compiled_loss, model._compiled_metrics, model.optimizer]
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, _PLAIN) or id(thing) in seen or current.is_tensor(thing):
            continue
        seen.add(id(thing))
        if isinstance(thing, (list, tuple, set, frozenset)):
            waiting.extend(thing)
        elif isinstance(thing, dict):
            waiting.extend(thing.values())
        elif isinstance(thing, functools.partial):
            waiting.extend((thing.func, thing.args, thing.keywords))
        elif _is_ours(thing):
            waiting.extend(v for k, v in getattr(thing, "__dict__", {}).items() if k not in _OF_A_RUN)
        elif callable(thing):
            return False
    return True


def _is_ours(thing: Any) -> bool:
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return str(getattr(named, "__module__", "")).partition(".")[0] == _PACKAGE
