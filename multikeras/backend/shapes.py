"""Shapes and dtypes without data: `Spec`, sizes not known yet, and the rules by which shapes combine."""

import math
from typing import Any

from multikeras.backend import dtypes


class UnknownSize(int):
    """A dimension whose size is not known: arithmetic on it stays unknown.

    >>> UNKNOWN * 3 + 1
    ?
    """

    def __new__(cls):
        return super().__new__(cls, -1)

    def _absorb(self, *_):
        return UNKNOWN

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _absorb
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __neg__ = __abs__ = _absorb
    __truediv__ = __rtruediv__ = __pow__ = __rpow__ = _absorb  # pyright: ignore[reportAssignmentType]
    __max__ = __min__ = _absorb

    def __eq__(self, other):
        return other is self

    def __ne__(self, other):
        return other is not self

    def __lt__(self, other):
        return False

    __gt__ = __le__ = __ge__ = __lt__

    def __bool__(self):
        return True

    def __hash__(self):
        return hash("UnknownSize")

    def __repr__(self):
        return "?"

    __str__ = __repr__


UNKNOWN = UnknownSize()


class InvalidArgument(ValueError, IndexError, RuntimeError):
    """An argument that does not fit: a ValueError on every backend.

    It is an IndexError, as numpy's for axes, and a RuntimeError, as torch's, too: programs may catch these.
    """


def known(size: Any) -> bool:
    """Tell whether a dimension is a plain integer."""
    return size is not None and size is not UNKNOWN


class Spec:
    """Shape and dtype of a tensor that is not there; dimensions may be None.

    Operators are installed by `multikeras.ops`.
    """

    __slots__ = ("__weakref__", "_keras_mask", "dtype", "shape", "sparse")
    __array_priority__ = 100

    def __init__(self, shape, dtype="float32", sparse=False):
        # A size computed from values, itself a Spec, is as unknown as None.
        self.shape: tuple[int | None, ...] = tuple(
            None if d is None or d is UNKNOWN or isinstance(d, Spec) else int(d) for d in shape
        )
        self.dtype: str = dtype
        self.sparse: bool = sparse

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape with UNKNOWN in place of None, ready for arithmetic."""
        return tuple(UNKNOWN if d is None else d for d in self.shape)

    def __repr__(self):
        return f"Spec({self.shape}, {self.dtype!r})"

    def __len__(self):
        if not self.shape or self.shape[0] is None:
            raise TypeError(f"A tensor of shape {self.shape} has no known length.")
        return self.shape[0]


def broadcast(*shapes: tuple) -> tuple:
    """Return the shape to which `shapes` broadcast; None stands for any size.

    >>> broadcast((None, 1, 3), (5, 3))
    (None, 5, 3)
    """
    rank = max((len(s) for s in shapes), default=0)
    out: list[Any] = []
    for position in range(-rank, 0):
        sizes = [s[position] for s in shapes if -position <= len(s)]
        fixed = {d for d in sizes if known(d) and d != 1}
        if len(fixed) > 1:
            raise ValueError(f"shapes {', '.join(map(str, shapes))} do not broadcast together.")
        out.append(fixed.pop() if fixed else None if not all(known(d) for d in sizes) else 1)
    return tuple(out)


def canonical_axis(axis: int, rank: int, op: str = "") -> int:
    """Return `axis` counted from the front, refusing one that `rank` does not have."""
    if not hasattr(axis, "__index__"):
        raise TypeError(f"{op and op + ': '}axis must be an int, got {axis!r}.")
    if not -rank <= axis < max(rank, 1):
        raise InvalidArgument(f"{op and op + ': '}axis={axis} is out of range for a tensor of rank {rank}.")
    return axis % rank if rank else 0


def canonical_axes(axis, rank: int, op: str = "") -> tuple[int, ...]:
    """Return the axes named by None (all), an int or a sequence, counted from the front."""
    if axis is None:
        return tuple(range(rank))
    axes = tuple(canonical_axis(a, rank, op) for a in (axis if isinstance(axis, (tuple, list)) else (axis,)))
    if len(set(axes)) != len(axes):
        raise InvalidArgument(f"{op and op + ': '}axis={axis} names an axis twice.")
    return axes


def reduced(shape: tuple, axis, keepdims: bool = False) -> tuple:
    """Return the shape left by a reduction over `axis`."""
    axes = canonical_axes(axis, len(shape))
    if keepdims:
        return tuple(1 if i in axes else d for i, d in enumerate(shape))
    return tuple(d for i, d in enumerate(shape) if i not in axes)


def window_size(size, window: int, stride: int, padding, dilation: int = 1):
    """Return the number of windows over a dimension: convolution and pooling.

    `padding` is "valid", "same" or a pair of ints.
    """
    if not known(size):
        return None
    if padding == "same":
        return -(-size // stride)
    low, high = (0, 0) if padding == "valid" else padding
    return max((size + low + high - (window - 1) * dilation - 1) // stride + 1, 0)


def same_padding(size: int, window: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Return the (low, high) padding that makes ceil(size / stride) windows; the odd one goes to the end."""
    total = max((-(-size // stride) - 1) * stride + (window - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


def transposed_size(size, window: int, stride: int, padding: str, output_padding: int | None, dilation: int = 1):
    """Return the size that a transposed convolution gives a dimension, as Keras documents it."""
    if not known(size):
        return None
    window = (window - 1) * dilation + 1
    if output_padding is None:
        return size * stride if padding == "same" else size * stride + max(window - stride, 0)
    pad = window // 2 if padding == "same" else 0
    return (size - 1) * stride + window - 2 * pad + output_padding


def reshaped(shape: tuple, target: tuple) -> tuple:
    """Return `target` with its -1 worked out from `shape` where that can be known."""
    target = tuple(None if t is None or t is UNKNOWN else t for t in target)
    if -1 not in target:
        total, wanted = (math.prod(s) if all(map(known, s)) else None for s in (shape, target))
        if total is not None and wanted is not None and total != wanted:
            raise ValueError(f"reshape: cannot turn shape {shape} ({total} entries) into {target} ({wanted}).")
        unknown = [i for i, t in enumerate(target) if t is None]
        if total is not None and len(unknown) == 1:
            rest = math.prod(t for t in target if t is not None)
            return tuple(total // rest if t is None and rest else t for t in target)
        return target
    rest = [t for t in target if t != -1]
    left = list(shape)
    for t in list(rest):
        # An unknown size kept by the target cancels one of the source.
        if t is None and None in left:
            left.remove(None)
            rest.remove(None)
    if not (all(map(known, left)) and all(map(known, rest))):
        return tuple(None if t == -1 else t for t in target)
    have, fixed = math.prod(left), math.prod(rest)
    if have % fixed if fixed else have:
        raise ValueError(f"reshape: cannot turn shape {shape} into {target}.")
    return tuple((have // fixed if fixed else 0) if t == -1 else t for t in target)


def _sliced(size, key: slice):
    """Return how many entries of a dimension a slice picks, None where that is not known."""
    if key.start is None and key.stop is None and key.step in (None, 1, -1):
        return size
    ends = (key.start, key.stop, key.step)
    if known(size) and all(e is None or (e is not UNKNOWN and hasattr(e, "__index__")) for e in ends):
        try:
            return len(range(*slice(*ends).indices(size)))
        except TypeError:  # A size that only a value tells.
            return None
    return None


def indexed(shape: tuple, key: Any) -> tuple:
    """Return the shape of `x[key]` as numpy has it; what depends on values is None.

    >>> indexed((None, 4, 5), (slice(None), None, -1, slice(1, 3)))
    (None, 1, 2)
    """
    keys = list(key) if isinstance(key, tuple) else [key]
    consumed = sum(_dimensions(k) for k in keys if k is not None and k is not Ellipsis)
    if consumed > len(shape):
        raise ValueError(f"getitem: {consumed} indices for a tensor of shape {shape}.")
    if sum(k is Ellipsis for k in keys) > 1:
        raise ValueError(f"getitem: more than one Ellipsis in {keys}.")
    gap = next((i for i, k in enumerate(keys) if k is Ellipsis), len(keys))
    keys[gap : gap + 1] = [slice(None)] * (len(shape) - consumed)
    out: list[Any] = []
    picked: list[tuple] = []  # shapes of integer and bool tensors, which broadcast together
    places: list[int] = []  # where in `keys` these, and ints, stand
    first = None
    axis = 0
    for place, k in enumerate(keys):
        if k is None:
            out.append(1)
            continue
        size: Any = shape[axis] if axis < len(shape) else None
        axis += _dimensions(k)
        if isinstance(k, slice):
            out.append(_sliced(size, k))
            continue
        if isinstance(k, int) and not isinstance(k, bool) and known(k) and known(size) and not -size <= k < size:
            raise ValueError(f"getitem: index {k} is out of range for a dimension of size {size}, shape {shape}.")
        first = len(out) if first is None else first
        places.append(place)
        picked.append(_index_shape(k))
    if not any(picked):
        return tuple(out)
    together = places == list(range(places[0], places[-1] + 1))
    at = first if together else 0
    return (*out[:at], *broadcast(*picked), *out[at:])


def _is_mask(key: Any) -> bool:
    if isinstance(key, list):
        return bool(key) and _is_mask(key[0])
    return isinstance(key, bool) or (hasattr(key, "dtype") and dtypes.standardize_dtype(key.dtype) == "bool")


def _dimensions(key: Any) -> int:
    """Return how many dimensions an index stands for."""
    if isinstance(key, list):
        return _dimensions(key[0]) + (1 if _is_mask(key) else 0) if key and _is_mask(key) else 1
    return (len(key.shape) if hasattr(key, "shape") else 0) if _is_mask(key) else 1


def _index_shape(key: Any) -> tuple:
    if _is_mask(key):
        return (None,)
    if isinstance(key, (list, tuple)):
        return (len(key), *(_index_shape(key[0]) if len(key) else ()))
    return tuple(getattr(key, "shape", ()))


def spec_of(x: Any) -> Spec:
    """Return the Spec of anything that has shape and dtype."""
    return Spec(x.shape, dtypes.standardize_dtype(x.dtype))


MOST_AT_ONCE = 2**26
"""So many numbers are computed at once, more of them block by block, which takes longer: backward computes them again."""
A_BLOCK = 2**23
"""Numbers of a block: 32 MB, a size at which C libraries give memory back instead of keeping it in pieces."""


def block_size(targets: Any, *a_target: Any) -> int | None:
    """Return how many targets to take at once, None for all.

    Args:
        targets: Their number.
        a_target: Sizes whose product is how many numbers one takes; the first, of the batch, may be unknown.

    >>> block_size(10_000, None, 8, 10_000)
    104
    """
    batch, *others = a_target
    sizes = [batch if isinstance(batch, int) else 1, *others]
    if not all(isinstance(n, int) for n in (targets, *sizes)) or targets < 2:
        return None
    each = math.prod(sizes)
    return max(A_BLOCK // each, 1) if each * targets > MOST_AT_ONCE else None
