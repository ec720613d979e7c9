"""Nested dicts, lists and tuples: optree with None as a leaf, plus what Keras's `tree` adds.

>>> from multikeras import tree
>>> tree.map_structure(lambda x: x + 1, {"a": 1, "b": (2, [3])})
{'a': 2, 'b': (3, [4])}
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import optree

from multikeras.backend import current

_CONTAINERS = (list, tuple, dict)
_LEAVES = frozenset((np.ndarray, current.Tensor, type(None), bool, int, float, str))
"""Types that surely are leaves: what a batch is made of needs no general walk."""


def is_nested(structure: Any) -> bool:
    """Tell whether `structure` is a container and not a leaf."""
    kind = type(structure)
    if kind in _CONTAINERS or kind in _LEAVES:  # at a glance: a tenth of the time
        return kind in _CONTAINERS
    return not optree.tree_is_leaf(structure, none_is_leaf=True, namespace="multikeras")


def flatten(structure: Any) -> list:
    """Return the leaves in order; dicts by sorted key."""
    if type(structure) in _LEAVES or (not isinstance(structure, _CONTAINERS) and not is_nested(structure)):
        return [structure]
    return optree.tree_leaves(structure, none_is_leaf=True, namespace="multikeras")  # pyright: ignore[reportArgumentType]


def form(structure: Any) -> Any:
    """Return how `structure` is nested, whatever its leaves: equal and hashed alike for equal forms."""
    return optree.tree_structure(structure, none_is_leaf=True, namespace="multikeras")  # pyright: ignore[reportArgumentType]


def pack_sequence_as(structure: Any, flat_sequence: Iterable) -> Any:
    """Return leaves arranged like `structure`."""
    leaves = list(flat_sequence)
    spec = optree.tree_structure(structure, none_is_leaf=True, namespace="multikeras")
    if len(leaves) != spec.num_leaves:
        raise ValueError(
            f"pack_sequence_as: flat_sequence has {len(leaves)} entries, structure {structure!r} has {spec.num_leaves}."
        )
    return optree.tree_unflatten(spec, leaves)


def map_structure(func: Callable, *structures: Any, none_is_leaf: bool = True) -> Any:
    """Apply `func` leaf by leaf to structures of one shape."""
    if not callable(func):
        raise TypeError(f"map_structure: func must be callable, got {func!r}.")
    if not structures:
        raise ValueError("map_structure: at least one structure is needed.")
    structure, *others = structures
    if others:
        assert_same_structure(structure, others[0])
    elif none_is_leaf:
        if type(structure) in _LEAVES:
            return func(structure)
        if type(structure) is tuple and all(type(leaf) in _LEAVES for leaf in structure):
            return tuple(map(func, structure))
    return optree.tree_map(func, *structures, none_is_leaf=none_is_leaf, namespace="multikeras")


def flatten_with_path(structure: Any) -> list[tuple[tuple, Any]]:
    """Return (path, leaf) pairs in order."""
    if not is_nested(structure):
        return [((), structure)]
    paths, leaves, _ = optree.tree_flatten_with_path(structure, none_is_leaf=True, namespace="multikeras")
    return list(zip(paths, leaves))


def assert_same_paths(a: Any, b: Any) -> None:
    """Raise ValueError unless both structures have the same paths to leaves."""
    ours, theirs = ({path for path, _ in flatten_with_path(s)} for s in (a, b))
    if ours != theirs:
        raise ValueError(
            f"The structures differ. Only in the first: {ours - theirs}; only in the second: {theirs - ours}."
        )


def assert_same_structure(a: Any, b: Any) -> None:
    """Raise ValueError unless both nest alike, with the same kinds of container."""
    ours, theirs = (optree.tree_structure(s, none_is_leaf=True, namespace="multikeras") for s in (a, b))
    if ours != theirs:
        raise ValueError(f"The structures differ: {a!r} is not nested like {b!r}.")


def lists_to_tuples(structure: Any) -> Any:
    """Return `structure` with every list turned into a tuple."""
    if isinstance(structure, dict):
        return {k: lists_to_tuples(v) for k, v in structure.items()}
    if isinstance(structure, (list, tuple)) and not hasattr(structure, "_fields"):
        return tuple(lists_to_tuples(v) for v in structure)
    return structure


MAP_TO_NONE = type("MapToNone", (), {"__doc__": "Returned by `func` of `traverse` to put None in place of a subtree."})


def traverse(func: Callable, structure: Any, top_down: bool = True) -> Any:
    """Apply `func` to every subtree; where it returns other than None, that takes the subtree's place."""
    if top_down:
        replaced = func(structure)
        if replaced is not None:
            return None if replaced is MAP_TO_NONE or isinstance(replaced, MAP_TO_NONE) else replaced
    if is_nested(structure):
        children, spec = optree.tree_flatten(
            structure, none_is_leaf=True, namespace="multikeras", is_leaf=lambda x: x is not structure
        )
        structure = optree.tree_unflatten(spec, [traverse(func, c, top_down) for c in children])
    if not top_down:
        replaced = func(structure)
        if replaced is not None:
            return None if replaced is MAP_TO_NONE or isinstance(replaced, MAP_TO_NONE) else replaced
    return structure


def map_structure_up_to(shallow_structure: Any, func: Callable, *structures: Any) -> Any:
    """Apply `func` to the subtrees of `structures` at the leaves of `shallow_structure`."""
    spec = optree.tree_structure(shallow_structure, none_is_leaf=True, namespace="multikeras")
    rows = zip(*(spec.flatten_up_to(s) for s in structures))
    return optree.tree_unflatten(spec, [func(*row) for row in rows])


def map_shape_structure(func: Callable, structure: Any) -> Any:
    """Apply `func` to the shapes of a structure: tuples and lists of nothing but ints and Nones.

    >>> from multikeras import tree
    >>> tree.map_shape_structure(len, [(2, None), {"a": (1, 2, 3)}])
    [2, {'a': 3}]
    """

    def mapped(x):
        if isinstance(x, (list, tuple)) and all(isinstance(d, (int, type(None))) for d in x):
            return func(x)
        if isinstance(x, dict):
            return {k: mapped(v) for k, v in x.items()}
        if isinstance(x, (list, tuple)):
            return type(x)(map(mapped, x))
        return func(x)

    return mapped(structure)
