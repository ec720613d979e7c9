"""A layer as a notebook shows it."""

import inspect
from typing import Any

import numpy as np

from multikeras.utils.tables import table


def html_of(layer: Any) -> str:
    """Return the arguments of a layer that are not the default ones, and its weights, as HTML."""
    title = f"{type(layer).__name__} {layer.path or layer.name!s}"
    rows = [
        (v.path, str(tuple(v.shape)), v.dtype, "yes" if v.trainable else "no", f"{int(np.prod(v.shape)):,}")
        for v in layer.weights
    ]
    arguments = [f"{k} = {v}" for k, v in _chosen(layer).items()]
    if not rows:
        return table(["", ""], [], title, [*arguments, "no weights" if layer.built else "not built yet"])
    return table(["weight", "shape", "dtype", "trainable", "numbers #"], rows, title, arguments)


def _chosen(layer: Any) -> dict[str, str]:
    """Return the arguments that differ from the defaults, as texts."""
    try:
        config = layer.get_config()
    except NotImplementedError:
        return {}
    parameters = inspect.signature(type(layer).__init__).parameters
    chosen = {}
    for name, value in config.items():
        default = parameters[name].default if name in parameters else None
        if isinstance(value, dict) and "class_name" in value:
            inner = value.get("config") or {}
            short = inner if isinstance(inner, str) else value["class_name"]
            value = short if short != "DTypePolicy" else inner.get("name", short)
        if name not in ("name", "trainable") and value not in (default, None, "float32") and _snake(value) != default:
            chosen[name] = str(value)
    return chosen


def _snake(value: Any) -> Any:
    """Return the class of an initializer as users spell it: GlorotUniform is "glorot_uniform"."""
    if not isinstance(value, str):
        return value
    return "".join(f"_{c.lower()}" if c.isupper() and i else c.lower() for i, c in enumerate(value))
