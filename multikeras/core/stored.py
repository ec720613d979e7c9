"""What `save_own_variables` and `load_own_variables` exchange with a file: arrays by name.

Any mapping will do for a user's own method. A file offers a `Stored`, whose arrays go directly into the memory of the variables
where that works, and which can be held against variables without reading anything.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np


class Stored(Mapping):
    """The arrays of one part, by name. Formats define `names`, `spec` and `read_into`."""

    place = ""
    """Where in the file, for errors."""
    only_checks = False

    def names(self) -> list[str]:
        raise NotImplementedError

    def spec(self, name: str) -> tuple[tuple[int, ...], str]:
        """Return shape and dtype."""
        raise NotImplementedError

    def read_into(self, name: str, array: np.ndarray) -> None:
        """Write what is stored into an array of the same shape and dtype."""
        raise NotImplementedError

    def read(self, name: str) -> np.ndarray:
        """Return what is stored in memory of its own."""
        raise NotImplementedError

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.names():
            raise KeyError(f"{name!r} is missing in {self.place or 'the file'}.")
        return self.read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def fill(self, variables: Sequence[Any]) -> None:
        """Assign the variables what is stored as "0", "1", ..."""
        present = set(self.names())
        for i, variable in enumerate(variables):
            if str(i) not in present:
                raise KeyError(f"{str(i)!r}, the value of {variable.path!r}, is missing in {self.place or 'the file'}.")
            shape, _ = self.spec(str(i))
            if tuple(shape) != tuple(variable.shape):
                raise ValueError(
                    f"Variable {variable.path!r} has shape {tuple(variable.shape)}, the file holds shape {tuple(shape)} in "
                    f"{self.place}/{i}."
                )
        if self.only_checks:
            return
        for i, variable in enumerate(variables):
            if self.spec(str(i))[1] == variable.dtype:
                variable.fill(lambda array, name=str(i): self.read_into(name, array))
            else:
                variable.assign(self.read(str(i)))


def save(store: Any, variables: Sequence[Any]) -> None:
    """Put the values of variables into a store of weights under "0", "1", ..."""
    put = getattr(store, "put", None)
    for i, variable in enumerate(variables):
        if put is None:
            store[str(i)] = variable.numpy()
        else:
            put(str(i), variable.peek())


def load(store: Any, variables: Sequence[Any]) -> None:
    """Assign variables what a store of weights has under "0", "1", ..."""
    if isinstance(store, Stored):
        store.fill(variables)
        return
    for i, variable in enumerate(variables):
        variable.assign(store[str(i)])


def by_position(method: Callable) -> Callable:
    """Mark a `load_own_variables` that does nothing but `load`, so that it can be tried without effect."""
    return by_position_if(lambda part: True)(method)


def by_position_if(condition: Callable[[Any], bool]) -> Callable:
    """Return a decorator like `by_position`, for parts of which `condition` holds."""

    def mark(method: Callable) -> Callable:
        method.by_position = condition  # type: ignore[attr-defined]
        return method

    return mark


def is_by_position(part: Any) -> bool:
    """Tell whether loading a part is nothing but `load` of its own variables."""
    condition = getattr(part.load_own_variables, "by_position", None)
    return condition is not None and condition(part)
