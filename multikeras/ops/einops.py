"""Rearranging dimensions by a pattern in words."""

import re

from multikeras.backend.shapes import known
from multikeras.ops._op import op


def _groups(pattern, side):
    """Return one list of names for each dimension of a side of a pattern."""
    groups = [(a or b).split() for a, b in re.findall(r"\(([^()]*)\)|(\S+)", side)]
    names = [name for group in groups for name in group]
    if len(set(names)) != len(names):
        raise ValueError(f"rearrange: a name stands twice on one side of {pattern!r}.")
    return groups


def _sizes(x, groups, sizes, pattern, lengths):
    """Return the size of every name on the left side."""
    known_names = dict(lengths)
    for group, size in zip(groups, sizes):
        free = [name for name in group if name not in known_names]
        fixed = 1
        for name in group:
            fixed = fixed * known_names.get(name, 1)
        if len(free) > 1:
            raise ValueError(f"rearrange: the sizes of {free} in {pattern!r} cannot be told apart, give all but one.")
        if known(size) and isinstance(size, int) and (size % fixed if free else size != fixed):
            raise ValueError(
                f"rearrange: a dimension of {tuple(x.shape)} has size {size}, which ({' '.join(group)}) does not "
                "give."
            )
        if free:
            known_names[free[0]] = size if len(group) == 1 else size // fixed
    return known_names


@op
def rearrange(B, tensor, pattern, **axes_lengths):
    """Reorder, merge and split dimensions: "b (h w) c -> b c h w"; sizes that do not follow are given by name.

    >>> from multikeras import ops
    >>> ops.rearrange(ops.ones((2, 6, 3)), "b (h w) c -> b c h w", h=2).shape == (2, 3, 2, 3)
    True
    """
    sides = pattern.split("->")
    if len(sides) != 2:
        raise ValueError(f"rearrange: pattern must have one '->', got {pattern!r}.")
    left, right = (_groups(pattern, side) for side in sides)
    if len(left) != len(tensor.shape):
        raise ValueError(
            f"rearrange: the left side of {pattern!r} has {len(left)} dimensions, the tensor "
            f"{len(tensor.shape)}."
        )
    before, after = ([name for group in side for name in group] for side in (left, right))
    if sorted(before) != sorted(after):
        raise ValueError(f"rearrange: both sides of {pattern!r} must have the same names.")
    sizes = _sizes(tensor, left, B.shape(tensor), pattern, axes_lengths)
    x = B.reshape(tensor, tuple(sizes[name] for name in before))
    x = B.transpose(x, [before.index(name) for name in after])
    merged = []
    for group in right:
        size = 1
        for name in group:
            size = size * sizes[name]
        merged.append(size)
    return B.reshape(x, tuple(merged))
