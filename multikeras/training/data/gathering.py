"""Batches that come one by one, copied together into one array each: steps over them run in one dispatch."""

import functools
import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from multikeras import config
from multikeras.backend import current, dtypes, memory
from multikeras.core import tree
from multikeras.training.data.arrays import is_foreign

_BYTES = 8 << 20
"""What a group of batches holds at most."""
_MOST, _FEWEST = 256, 4
"""Batches of a group; where fewer than that many fit in, each batch goes by itself."""
_FIRST, _GROWTH = 2, 16
"""Batches of the first group, for the device not to wait, and how many times as many the next one has. A group costs JAX 1 ms
and TensorFlow 2 ms for 8 MB of variables: that of a second small one is more than what the first gains."""
_WAIT = 0.05
"""Seconds after which what came so far is a group."""


class Group(NamedTuple):
    """Some batches; `positions` is where each of them leaves the data.

    Attributes:
        batches: The leaves of `count` batches along a new first axis, which may be longer; one batch where `count` is None.
    """

    batches: Any
    count: int | None
    positions: list


class Kind(NamedTuple):
    """What batches have in common that can be put together."""

    form: Any
    leaves: tuple

    @property
    def most(self) -> int:
        """How many make a group: it follows from their size alone, so that programs for groups are few."""
        sizes = [math.prod(shape) * np.dtype(dtypes.numpy_dtype(dtype)).itemsize for shape, dtype in filter(None, self.leaves)]
        return min(_MOST, _BYTES // max(sum(sizes), 1))


def kind_of(batch: Any) -> tuple[Kind, list] | None:
    """Return the kind of a batch and its arrays in the memory of the CPU; None if it is made of something else."""
    arrays, leaves = [], []
    for x in tree.flatten(batch):
        array = None if x is None else _array(x)
        if array is not None:
            floats = array.dtype.kind == "f" and (array is x or not current.is_tensor(x))
            leaves.append((array.shape, config.floatx() if floats else _name(array.dtype)))
        elif x is not None:
            return None
        else:
            leaves.append(None)
        arrays.append(array)
    return Kind(tree.form(batch), tuple(leaves)), arrays


@functools.cache
def _name(dtype: np.dtype) -> str:
    """Return the name of a dtype, which takes numpy 2.5 us to find."""
    return dtype.name


def _array(x: Any) -> np.ndarray | None:
    """Return `x` as an array on the same memory, None where it has none of the CPU's."""
    if type(x) is not np.ndarray:
        if not ((current.is_tensor(x) or is_foreign(x)) and _is_here(x)):
            return None
        try:
            x = np.asarray(x)
        except (TypeError, ValueError, RuntimeError):  # numpy has no such dtype, or torch follows it for a derivative
            return None
    kind = x.dtype.kind
    return x if x.ndim and (kind in "iub" or (kind == "f" and dtypes.is_float(_name(x.dtype)))) else None


def _is_here(x: Any) -> bool:
    try:
        return int(x.__dlpack_device__()[0]) == 1
    except (AttributeError, TypeError, ValueError, RuntimeError, BufferError):
        return False


_SETS = 5
"""How many groups' memory is kept: what waits, what is computed, what is filled."""


def _held(arrays: list) -> list:
    """Return how often the memory of each array of `memory.blank` is referred to: as it is or by other views."""
    return [sys.getrefcount(array) + sys.getrefcount(array.base) for array in arrays if array is not None]


_FREE = _held([memory.blank((1,), "uint8")])[0]


class Usual:
    """What a step groups: batches of the kind that came first, for which groups are compiled; and memory for them."""

    def __init__(self) -> None:
        self.seen = self.fits = False
        self.kind: Kind | None = None
        self._kept: list[list] = []

    def see(self, found: tuple[Kind, list] | None) -> bool:
        """Tell whether a batch of which `kind_of` found this is grouped."""
        if not self.seen:
            self.seen, self.kind = True, found and found[0]
            self.fits = self.kind is not None and self.kind.most >= _FEWEST
        return self.fits and found is not None and found[0] == self.kind

    def take(self) -> list:
        """Return memory for a group: that of one which nobody holds any more, as new pages cost more than copying into old."""
        for i in reversed(range(len(self._kept))):  # the last one used, which may still be in caches
            if all(count == _FREE for count in _held(self._kept[i])):
                return self._kept.pop(i)
        assert self.kind is not None
        return [leaf and memory.blank((self.kind.most, *leaf[0]), leaf[1]) for leaf in self.kind.leaves]

    def keep(self, arrays: list) -> None:
        """Keep the memory of a group for `take`."""
        self._kept = [*self._kept[1 - _SETS :], arrays]


class _Filling:
    """A group that grows.

    Args:
        usual: Where its memory comes from.
        kind: The kind of its batches.
        count: How many it is to have.
    """

    def __init__(self, usual: Usual, kind: Kind, count: int):
        self.usual, self.kind, self.count, self.began = usual, kind, count, time.perf_counter()
        self.buffers = usual.take()
        self.positions: list[Any] = []

    def add(self, arrays: list, position: Any) -> bool:
        """Copy a batch into it; return whether that was the last."""
        i = len(self.positions)
        for buffer, array in zip(self.buffers, arrays):
            if buffer is not None:
                buffer[i] = array
        self.positions.append(position)
        return i + 1 == self.count or time.perf_counter() - self.began > _WAIT

    def group(self) -> Group:
        """Return it for the device."""
        leaves = [b if b is None else current.asarray(b) if b.dtype.itemsize == 8 else current.lend(b) for b in self.buffers]
        self.usual.keep(self.buffers)
        return Group(self.kind.form.unflatten(leaves), len(self.positions), self.positions)


def gathered(
    batches: Iterator[Any], single: Callable, state: Callable, usual: Usual, count: Callable, check: Callable
) -> Iterator[Group]:
    """Give batches in groups of one kind, and those of other kinds by themselves.

    Args:
        batches: The batches.
        single: Makes a batch by itself one of native tensors, and refuses a wrong one.
        state: Tells the position in the data.
        usual: What is grouped.
        count: Tells how many batches the next group should have.
        check: Refuses a batch that is to be grouped, of arrays: what made them of tensors need not be done twice.
    """
    filling: _Filling | None = None
    batches, most = iter(batches), _FIRST
    while True:
        try:
            batch = next(batches)
            found = kind_of(batch)
            if not usual.see(found):
                found = None
            if found is not None:
                check(found[0].form.unflatten(found[1]))
        except Exception as error:
            if filling is not None:
                yield filling.group()  # what came before counts
            if isinstance(error, StopIteration):
                return
            raise
        position = state()
        if found is not None:
            if filling is None:
                filling = _Filling(usual, found[0], min(found[0].most, max(count(), 1), most))
                most *= _GROWTH
            if filling.add(found[1], position):
                full, filling = filling, None
                yield full.group()
            continue
        if filling is not None:
            full, filling = filling, None
            yield full.group()
        yield Group(single(batch), None, [position])
