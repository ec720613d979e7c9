"""Which parts of a model have state in a file, and under which path: Keras's layout.

A part is a layer or an optimizer reached through attributes, public ones first, each once. In containers a part is named
by its class, counted up: `layers/dense`, `layers/dense_1`.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from multikeras.core import naming
from multikeras.core.node import Operation

_CONTAINERS = (list, tuple, set, dict)
_IGNORED = frozenset(
    ("_tracker", "_own_trainable", "_own_non_trainable", "_plan", "_init_args", "_inbound_nodes", "_outbound_nodes", "_graph",
     "_plan_of_calls", "_all_layers", "_stack", "_functional", "_programs", "_compile_arguments", "inputs", "outputs", "_modules",
     "_parameters", "_buffers", "_trackable_children")
)  # fmt: skip


def has_state(x: Any) -> bool:
    """Tell whether `x` keeps its variables in a file by itself."""
    return hasattr(x, "save_own_variables") and hasattr(x, "load_own_variables")


def _attributes(part: Any) -> list[tuple[str, Any]]:
    """Return the attributes that may hold parts, private names last."""
    values = {k: v for k, v in vars(part).items() if k not in _IGNORED and not k.startswith("__")}
    # A private attribute that a property offers goes by the name of the property.
    public = {f"_{k}": k for c in type(part).__mro__ for k, v in vars(c).items() if isinstance(v, property)}
    named = [(public.get(k, k), v) for k, v in values.items()]
    named.sort(key=lambda pair: ("~" + pair[0]) if pair[0].startswith("_") else pair[0])
    # The layers of a graph come first, whatever other attributes hold them too.
    return [("layers", part.layers), *named] if hasattr(part, "_all_layers") or hasattr(part, "_stack") else named


def parts(root: Any, path: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Any]]:
    """Give (path, part) for `root` and all parts inside it."""
    seen = set() if seen is None else seen
    if id(root) in seen:
        return
    seen.add(id(root))
    yield path, root
    for name, value in _attributes(root):
        inner = f"{path}/{name}" if path else name
        if has_state(value):
            yield from parts(value, inner, seen)
        elif isinstance(value, _CONTAINERS):
            yield from _in_container(value, inner, seen)


def _in_container(container: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    if id(container) in seen:
        return
    seen.add(id(container))
    counts: Counter[str] = Counter()
    for value in container.values() if isinstance(container, dict) else container:
        nested = isinstance(value, _CONTAINERS)
        if nested or has_state(value):
            name = "container" if nested else naming.to_snake_case(type(value).__name__)
            inner = f"{path}/{name}_{counts[name]}" if counts[name] else f"{path}/{name}"
            counts[name] += 1
            yield from (_in_container if nested else parts)(value, inner, seen)


def is_layer(x: Any) -> bool:
    """Tell whether `x` is a layer, not an optimizer."""
    return isinstance(x, Operation)
