"""Configs of layers from the signatures of their constructors, and the old spellings constructors accept."""

import difflib
import inspect
from typing import Any

from multikeras.core import serialization

_BASE = ("name", "trainable", "dtype", "activity_regularizer", "autocast")


def _owner(cls: type, base: type) -> type:
    """Return the class whose arguments the inherited `get_config` gives: the first above all that override it."""
    line = [c for c in cls.__mro__ if isinstance(c, type) and issubclass(c, base)]
    overriding = [i for i, c in enumerate(line) if c is not base and "get_config" in vars(c)]
    return line[overriding[-1] + 1] if overriding else cls


def _parameters(cls: type, base: type) -> list[str]:
    """Return the names of the constructor's arguments, those reached through **kwargs too."""
    names: list[str] = []
    for c in cls.__mro__:
        if c is base or not issubclass(c, base):
            break
        if "__init__" not in vars(c):
            continue
        parameters = list(inspect.signature(c.__init__).parameters.values())[1:]
        names += [p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and p.name not in names]
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return [n for n in names if n not in _BASE]


def _is_ours(cls: type) -> bool:
    return cls.__module__.startswith("multikeras.") and not cls.__module__.endswith("_test")


def own_arguments(layer: Any, base: type) -> dict[str, Any]:
    """Return the serialized constructor arguments that `base.get_config` adds to name, trainable and dtype."""
    owner = _owner(type(layer), base)
    if owner is base:
        return {}
    if owner is type(layer) and not _is_ours(owner):
        try:
            given = {k: v for k, v in serialization.given_arguments(layer).items() if k not in _BASE}
            return {k: serialization.serialize_argument(v) for k, v in given.items()}
        except (TypeError, ValueError) as error:
            raise NotImplementedError(
                f"{owner.__name__} cannot be written to a config by itself ({error}). Give it a get_config() that returns "
                "its constructor's arguments as plain values, starting from super().get_config()."
            ) from error
    given = serialization.given_arguments(layer) if owner is type(layer) else {}
    names = [n for n in (*_parameters(owner, base), *owner.also_in_config) if n not in owner.not_in_config]
    return {n: serialization.serialize_argument(getattr(layer, n, given.get(n))) for n in names}


def revived(cls: type, base: type, config: dict[str, Any]) -> dict[str, Any]:
    """Return the constructor arguments of a config: objects where the default `get_config` wrote them as data."""
    everything = _is_ours(cls) or _owner(cls, base) is cls
    dtype = config.get("dtype")
    if isinstance(dtype, dict) and dtype.get("class_name") == "DTypePolicy" and isinstance(dtype.get("config"), dict):
        # Its name says all, and constructors that look at their dtype know names.
        if isinstance(name := dtype["config"].get("name"), str):
            config = {**config, "dtype": name}
    return {
        k: serialization.deserialize_keras_object(v)
        if (everything or k == "dtype") and isinstance(v, dict) and "class_name" in v and "config" in v
        else v
        for k, v in config.items()
    }


def unknown_arguments(cls: type, kwargs: dict[str, Any]) -> str:
    """Return the message for constructor arguments that `cls` does not have, with the nearest valid names."""
    valid = [n for c in cls.__mro__ if "__init__" in vars(c) for n in inspect.signature(c.__init__).parameters]
    valid = sorted({n for n in valid if n not in ("self", "args", "kwargs")})
    near = [m for name in kwargs for m in difflib.get_close_matches(name, valid, 1)]
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else f" Valid arguments: {', '.join(valid)}."
    return f"Unrecognized keyword arguments passed to {cls.__name__}: {kwargs}.{hint}"


def old_shape_spelling(kwargs: dict) -> tuple | None:
    """Take `input_shape`, `batch_input_shape`, `input_dim` and their like out of `kwargs`."""
    batch_size = kwargs.pop("batch_size", None) if {"input_shape", "input_dim"} & kwargs.keys() else None
    whole = kwargs.pop("batch_input_shape", None) or kwargs.pop("batch_shape", None)
    shape = kwargs.pop("input_shape", None)
    dim, length = kwargs.pop("input_dim", None), kwargs.pop("input_length", None)
    if whole is not None:
        return tuple(whole)
    if shape is not None:
        return (batch_size, *((shape,) if isinstance(shape, int) else shape))
    if dim is not None:
        return (batch_size, dim) if length is None else (batch_size, length, dim)
    return None
