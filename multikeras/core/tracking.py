"""What an object's attributes hold: found by walking them, in the order they were first assigned."""

from collections.abc import Iterator
from typing import Any

_CONTAINERS = (list, tuple, dict, set)


def leaves(value: Any, around: tuple = ()) -> Iterator[Any]:
    """Give what nested lists, tuples, sets and dicts hold; a container inside itself (it is one `around`) once."""
    if not isinstance(value, _CONTAINERS):
        yield value
    elif not any(value is container for container in around):
        around = (*around, value)
        for v in value.values() if isinstance(value, dict) else value:
            if isinstance(v, _CONTAINERS):
                yield from leaves(v, around)
            else:
                yield v


class Tracker:
    """Remembers those attributes whose values are, or may come to hold, instances of `kinds`."""

    __slots__ = ("kinds", "values")
    changes = 0
    """How often any tracker took note of an instance of its kinds: what was compiled before may lack something since."""

    def __init__(self, *kinds: type):
        self.kinds = kinds
        self.values: dict[str, Any] = {}

    def note(self, name: str, value: Any) -> bool:
        """Take note that attribute `name` became `value`; tell whether it is one of the kinds itself."""
        if isinstance(value, self.kinds):
            self.values.pop(name, None)
            self.values[name] = value
            Tracker.changes += 1
            return True
        if isinstance(value, _CONTAINERS):
            self.values.pop(name, None)
            self.values[name] = value
        elif name in self.values:
            del self.values[name]
        return False

    def forget(self, name: str) -> None:
        """Take note that attribute `name` is gone."""
        self.values.pop(name, None)

    def holds(self, value: Any) -> bool:
        """Tell whether `value` is among what is tracked."""
        return any(leaf is value for leaf in leaves(self.values))

    def find(self, kind: type | tuple[type, ...]) -> list:
        """Return the instances of `kind`, each once."""
        found: dict[int, Any] = {}
        for value in self.values.values():
            if isinstance(value, kind):
                found[id(value)] = value
            elif isinstance(value, _CONTAINERS):
                for leaf in leaves(value):
                    if isinstance(leaf, kind):
                        found[id(leaf)] = leaf
        return list(found.values())

    def listed(self, kind: type) -> Iterator[Any]:
        """Give the instances of `kind` that lists, dicts and other containers hold."""
        for value in self.values.values():
            if isinstance(value, _CONTAINERS):
                for leaf in leaves(value):
                    if isinstance(leaf, kind):
                        yield leaf

    def named(self) -> Iterator[tuple[str, Any]]:
        """Give (dotted name, instance) for all that is tracked, containers unrolled."""
        for name, value in self.values.items():
            yield from _unroll(name, value, self.kinds)


def _unroll(name: str, value: Any, kinds: tuple, around: tuple = ()) -> Iterator[tuple[str, Any]]:
    if isinstance(value, kinds):
        yield name, value
    elif isinstance(value, (dict, list, tuple)) and not any(value is container for container in around):
        for k, v in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _unroll(f"{name}.{k}", v, kinds, (*around, value))


def unique(items) -> list:
    """Return the items in order, each object once."""
    return list({id(x): x for x in items}.values())
