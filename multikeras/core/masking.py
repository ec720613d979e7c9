"""Masks that travel with tensors, as the attribute `_keras_mask`, or beside those that take no attributes."""

import weakref
from typing import Any

from multikeras.core import tree

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


def masks_of(tensors: Any) -> list | None:
    """Return the masks of the leaves of `tensors`, None if there are none."""
    if not flag.in_use:
        return None
    masks = [get_mask(x) for x in tree.flatten(tensors)]
    return None if all(mask is None for mask in masks) else masks


def put_masks(tensors: Any, masks: list | None) -> None:
    """Let `masks` travel with the leaves of `tensors`."""
    for x, mask in zip(tree.flatten(tensors), masks or ()):
        if mask is not None:
            set_mask(x, mask)
