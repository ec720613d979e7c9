"""Masks that travel with tensors, as the attribute `_keras_mask`, or beside those that take no attributes."""

import weakref
from typing import Any

_beside: dict[int, tuple[weakref.ref, Any]] = {}


class flag:
    """Whether any tensor of this process was ever given a mask: until then nobody looks for one."""

    in_use = False


def get_mask(x: Any) -> Any:
    """Return the mask that travels with a tensor, None if none does."""
    mask = getattr(x, "_keras_mask", None)
    if mask is None and _beside:
        entry = _beside.get(id(x))
        if entry is not None and entry[0]() is x:
            return entry[1]
    return mask


def set_mask(x: Any, mask: Any) -> None:
    """Let `mask` travel with `x`."""
    if mask is None and get_mask(x) is None:
        return
    flag.in_use = True
    try:
        x._keras_mask = mask
    except AttributeError:
        # JAX tracers have no room for attributes.
        key = id(x)
        _beside[key] = (weakref.ref(x, lambda _: _beside.pop(key, None)), mask)
