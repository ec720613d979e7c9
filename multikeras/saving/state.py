"""Which parts of a model have state in a file, and under which path: Keras's layout.

A part is a layer, optimizer or metric reached through attributes, public ones first, each once. In containers a part is
named by its class, counted up: `layers/dense`, `layers/dense_1`.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from multikeras.core import naming
from multikeras.core.node import Operation

_CONTAINERS = (list, tuple, set, dict)
_IGNORED = frozenset(
    ("_tracker", "_own_trainable", "_own_non_trainable", "_plan", "_init_args", "_inbound_nodes", "_outbound_nodes", "_graph",
     "_plan_of_calls", "_all_layers", "_stack", "_functional", "_programs", "_compile_arguments", "inputs", "outputs", "_modules",
     "_parameters", "_buffers", "_trackable_children")
)  # fmt: skip

_ROOT = __name__.partition(".")[0]


def has_state(x: Any) -> bool:
    """Tell whether `x` keeps its variables in a file by itself."""
    return hasattr(x, "save_own_variables") and hasattr(x, "load_own_variables")


def _properties(part: Any) -> Iterator[tuple[str, Any]]:
    """Give the properties that user classes add, with their values; those that raise have none."""
    for cls in type(part).__mro__:
        if cls.__module__.partition(".")[0] != _ROOT:
            for name, value in vars(cls).items():
                if isinstance(value, property) and not name.startswith("__"):
                    try:
                        yield name, getattr(part, name)
                    except Exception:  # whatever the user's code raises
                        continue


def _attributes(part: Any) -> list[tuple[str, Any]]:
    """Return the attributes that may hold parts, private names last."""
    values = {k: v for k, v in vars(part).items() if k not in _IGNORED and not k.startswith("__")}
    # A private attribute that a property offers goes by the name of the property.
    public = {f"_{k}": k for c in type(part).__mro__ for k, v in vars(c).items() if isinstance(v, property)}
    named = {public.get(k, k): v for k, v in values.items()} | dict(_properties(part))
    is_graph = hasattr(part, "_all_layers") or hasattr(part, "_stack")
    if hasattr(part, "get_layer") and not is_graph:
        named["layers"] = part.layers
    ordered = sorted(named.items(), key=lambda pair: ("~" + pair[0]) if pair[0].startswith("_") else pair[0])
    # The layers of a graph come first, whatever other attributes hold them too.
    return [("layers", part.layers), *ordered] if is_graph else ordered


def parts(root: Any, stored: Callable[[str], bool] | None = None) -> Iterator[tuple[str, Any]]:
    """Give (path, part) for `root` and all parts inside it.

    Args:
        root: A model, layer or optimizer.
        stored: Tells whether a file has something at a path. Older versions of Keras did not look into containers inside
            containers: where the file has none, their parts are looked for on other paths.
    """
    return _parts(root, "", {}, stored)


def _parts(part: Any, path: str, seen: dict[int, Any], stored: Callable[[str], bool] | None) -> Iterator[tuple[str, Any]]:
    if id(part) in seen:
        return
    seen[id(part)] = part
    yield path, part
    for name, value in _attributes(part):
        inner = f"{path}/{name}" if path else name
        if has_state(value):
            yield from _parts(value, inner, seen, stored)
        elif isinstance(value, _CONTAINERS):
            yield from _in_container(value, inner, seen, stored)


def _in_container(container: Any, path: str, seen: dict[int, Any], stored: Any) -> Iterator[tuple[str, Any]]:
    if id(container) in seen:
        return
    seen[id(container)] = container  # kept: another one may get the id of one that is gone
    counts: Counter[str] = Counter()
    for value in container.values() if isinstance(container, dict) else container:
        nested = isinstance(value, _CONTAINERS)
        if not nested and not has_state(value):
            continue
        name = "container" if nested else naming.to_snake_case(type(value).__name__)
        inner = f"{path}/{name}_{counts[name]}" if counts[name] else f"{path}/{name}"
        counts[name] += 1
        if not nested:
            yield from _parts(value, inner, seen, stored)
        elif stored is None or stored(inner):
            yield from _in_container(value, inner, seen, stored)
        elif any(True for _ in _in_container(value, inner, dict(seen), None)):
            warnings.warn(
                f"Skipping nested container {inner!r}: the file has nothing there. Its layers are looked for elsewhere, as "
                "files of older versions of Keras have them.",
                stacklevel=2,
            )


def is_layer(x: Any) -> bool:
    """Tell whether `x` is a layer, not an optimizer."""
    return isinstance(x, Operation)


def own_variables(part: Any) -> list:
    """Return the variables a part keeps under its own path, in the order in which it saves them."""
    return [*part._own_trainable, *part._own_non_trainable] if is_layer(part) else list(getattr(part, "variables", ()))
