"""Names of layers, operations and variables: snake case, counted up, nested by scopes."""

import re
import threading
from collections import Counter

from multikeras.backend import scope


class _Counts(threading.local):
    def __init__(self):
        self.counts: Counter[str] = Counter()


_names = _Counts()


def to_snake_case(name: str) -> str:
    """Return a class name as Keras spells instance names.

    >>> to_snake_case("Conv2DTranspose"), to_snake_case("ReLU"), to_snake_case("LSTM")
    ('conv2d_transpose', 're_lu', 'lstm')
    """
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def uniquify(name: str) -> str:
    """Return `name`, with _1, _2 ... appended when it was given before."""
    count = _names.counts[name]
    _names.counts[name] += 1
    return f"{name}_{count}" if count else name


def auto_name(prefix: str) -> str:
    """Return a fresh name made from a class name."""
    return uniquify(to_snake_case(prefix))


def get_uid(prefix: str = "") -> int:
    """Return how often `prefix` was asked for, from 1."""
    _names.counts[prefix] += 1
    return _names.counts[prefix]


def reset_uids() -> None:
    """Forget all names given so far."""
    _names.counts.clear()


class name_scope:
    """Put `name` in front of the paths of variables made inside.

    >>> import multikeras
    >>> with multikeras.name_scope("outer"):
    ...     v = multikeras.Variable(0.0, name="v")
    >>> v.path
    'outer/v'
    """

    def __init__(self, name: str, caller=None, deduplicate: bool = True, override_parent: str | None = None):
        if not isinstance(name, str) or "/" in name:
            raise ValueError(f"name_scope: name must be a string without '/', got {name!r}.")
        self.name, self.caller = name, caller
        self.deduplicate, self.override_parent = deduplicate, override_parent

    def __enter__(self):
        self._before = stack = scope.stack.name_scopes
        if self.override_parent is not None:
            stack = tuple((part, None) for part in self.override_parent.split("/") if part)
        # A layer whose call builds it a second time is not nested in itself.
        inside = self.deduplicate and self.caller is not None and stack and stack[-1][1] is self.caller
        scope.stack.name_scopes = stack if inside else stack + ((self.name, self.caller),)
        return self

    def __exit__(self, *exc):
        scope.stack.name_scopes = self._before


def current_path() -> str:
    """Return the names of the open scopes joined by '/'."""
    return "/".join(name for name, _ in scope.stack.name_scopes)
