"""Configs of operations from the signatures of their constructors; `Operation` itself knows nothing of configs."""

import inspect
from typing import Any

from multikeras.core import serialization
from multikeras.core.node import Operation


def get_config(self: Operation) -> dict[str, Any]:
    """Return the constructor's arguments and the name; a class with a `get_config` of its own gets the name only."""
    cls = type(self)
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    named = any(p.name == "name" or p.kind is p.VAR_KEYWORD for p in parameters)
    config: dict[str, Any] = {}
    if cls.get_config is get_config:  # type: ignore[attr-defined]
        if any(p.kind in (p.VAR_POSITIONAL, p.POSITIONAL_ONLY) for p in parameters if cls.__init__ is not Operation.__init__):
            raise NotImplementedError(
                f"{cls.__name__}: arguments by position only, or *args, of a constructor do not go into a config by themselves. "
                "Define get_config() and from_config()."
            )
        try:
            given = serialization.given_arguments(self)
            config = {k: serialization.serialize_argument(v) for k, v in given.items() if k != "name"}
        except (TypeError, ValueError) as error:
            raise NotImplementedError(f"{cls.__name__}: {error} Define get_config() and from_config().") from error
    return {**config, "name": self.name} if named else config


def from_config(cls: type, config: dict[str, Any]) -> Operation:
    """Return an operation made from `get_config()` of another."""
    return cls(**config)


Operation.get_config = get_config  # type: ignore[attr-defined]
Operation.from_config = classmethod(from_config)  # type: ignore[attr-defined]
