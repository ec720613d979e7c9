"""Sorting, and what is made of it: search, quantiles, distinct values, counts."""

import math
from typing import Any

from multikeras.backend.shapes import canonical_axes, canonical_axis, known
from multikeras.ops import _sizes
from multikeras.ops._common import Tensor, constant, integers, is_value, not_bool, together
from multikeras.ops._op import convert, face, op

METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


def _ordered(arrange: Any, name: str, B, x: Tensor, axis: Any) -> Tensor:
    if axis is None:
        return arrange(B.reshape(x, (-1,)), 0)
    axis = canonical_axis(axis, max(len(x.shape), 1), name)
    return arrange(x, axis) if len(x.shape) else B.reshape(arrange(B.reshape(x, (1,)), 0), ())


@face
def sort(B, x: Any, axis: int | None = -1) -> Tensor:
    """Sort upwards along an axis, NaN last; None sorts all entries.

    >>> [int(v) for v in ops.sort([3, 1, 2])]
    [1, 2, 3]
    """
    return _ordered(B.sort, "sort", B, x, axis)


@face
def argsort(B, x: Any, axis: int | None = -1) -> Tensor:
    """Return the indices that sort upwards along an axis; equals keep their order.

    >>> [int(v) for v in ops.argsort([3, 1, 2])]
    [1, 2, 0]
    """
    return _ordered(B.argsort, "argsort", B, not_bool(B, x), axis)


@op
def argpartition(B, x: Any, kth: int, axis: int | None = -1) -> Tensor:
    """Return indices with that of the `kth` smallest in its place, smaller ones before it, larger ones after.

    >>> int(ops.argpartition([3, 1, 2], 1)[1])
    2
    """
    if not isinstance(kth, int):
        raise ValueError(f"argpartition: kth must be an int, got {kth!r}.")
    return _ordered(B.argsort, "argpartition", B, not_bool(B, x), axis)


@face(tensors=2, promote=True)
def searchsorted(B, sorted_sequence: Any, values: Any, side: str = "left") -> Tensor:
    """Return where to insert `values` into a 1-D sorted tensor: before ("left") or after ("right") equals.

    >>> int(ops.searchsorted([1, 2, 2, 3], 2)), int(ops.searchsorted([1, 2, 2, 3], 2, side="right"))
    (1, 3)
    """
    if len(sorted_sequence.shape) != 1:
        raise ValueError(
            f"searchsorted: sorted_sequence must be 1-D, got shape {tuple(sorted_sequence.shape)}. "
            "Map over further dimensions with vectorized_map."
        )
    if side not in ("left", "right"):
        raise ValueError(f'searchsorted: side must be "left" or "right", got {side!r}.')
    return B.searchsorted(not_bool(B, sorted_sequence), not_bool(B, values), side)


@op(tensors=2)
def digitize(B, x: Any, bins: Any) -> Tensor:
    """Return the index of the bin of each entry: i where `bins[i - 1] <= x < bins[i]`.

    >>> [int(v) for v in ops.digitize([0.5, 1.0, 5.0], [1.0, 2.0])]
    [0, 1, 2]
    """
    if len(bins.shape) != 1:
        raise ValueError(f"digitize: bins must be 1-D, got shape {tuple(bins.shape)}.")
    x, bins = together(B, x, bins)
    return B.searchsorted(not_bool(B, bins), not_bool(B, x), "right")


# -- quantiles ---------------------------------------------------------------------------------------------------------


def _lines(B, x: Tensor, axis: Any, op_name: str) -> tuple[Tensor, tuple[int, ...], tuple]:
    """Return `x` with the axes put last and made one, the axes, and the sizes of the others."""
    axes = canonical_axes(axis, len(x.shape), op_name)
    kept = [a for a in range(len(x.shape)) if a not in axes]
    sizes = B.shape(x)
    outer = tuple(sizes[a] for a in kept)
    x = B.transpose(x, (*kept, *axes)) if axes != tuple(range(len(kept), len(x.shape))) else x
    return B.reshape(x, (*outer, _sizes.product(sizes[a] for a in axes))), axes, outer


def _between(B, position: Tensor, method: str) -> tuple[Tensor, Tensor, Any]:
    """Return the two places next to `position`, and how far it is from the first."""
    low, high = B.floor(position), B.ceil(position)
    if method == "nearest":
        low = high = B.round(position)
    part = {"lower": 0, "higher": 1, "midpoint": None, "nearest": 0}.get(method, position - low)
    if part is None:
        part = B.minimum(high - low, constant(B, position, 0.5))
    return B.cast(low, "int32"), B.cast(high, "int32"), part


def _quantile(B, x: Tensor, q: Tensor, axis: Any, method: str, keepdims: bool, op_name: str, skip_nan: bool) -> Tensor:
    if method not in METHODS:
        raise ValueError(f"{op_name}: method must be one of {', '.join(METHODS)}, got {method!r}.")
    if len(q.shape) > 1:
        raise ValueError(f"{op_name}: q must be a scalar or 1-D, got shape {tuple(q.shape)}.")
    dtype = B.dtype(x)
    wide = "float64" if dtype == "float64" else "float32"
    scalar, rank = len(q.shape) == 0, len(x.shape)
    q = B.reshape(B.cast(q, wide), (-1,))
    rows, axes, outer = _lines(B, x, axis, op_name)
    rows = B.sort(B.cast(rows, wide), -1)
    nan = B.isnan(rows)
    there = B.sum(B.cast(B.bitwise_not(nan), wide), -1, True) if skip_nan else None
    last = _sizes.count(B, rows, -1) - 1 if there is None else B.maximum(there - 1, there * 0)
    low, high, part = _between(B, q * last, method)
    if there is None:
        low, high = B.take(rows, low, -1), B.take(rows, high, -1)
    else:
        low, high = B.take_along_axis(rows, low, -1), B.take_along_axis(rows, high, -1)
    found = low + (high - low) * part if method in ("linear", "midpoint") else high if method == "higher" else low
    found = B.where(B.equal(low, high), low, found)  # not inf - inf
    if there is None:
        found = B.where(B.any(nan, -1, True), constant(B, found, math.nan), found)
    lead = len(outer)
    found = B.transpose(B.cast(found, dtype), (lead, *range(lead)))
    if keepdims:
        sizes = iter(outer)
        found = B.reshape(found, (B.shape(q)[0], *(1 if a in axes else next(sizes) for a in range(rank))))
    return B.squeeze(found, (0,)) if scalar else found


@op(tensors=2, inexact=True)
def quantile(B, x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    """Return the values below which the fractions `q` (0 to 1, scalar or 1-D) of the entries lie.

    A 1-D `q` gives the result a first dimension. `method` says what lies between two entries: "linear",
    "lower", "higher", "midpoint" or "nearest". NaN anywhere gives NaN.

    >>> float(ops.quantile([1, 2, 3, 4], 0.5))
    2.5
    """
    return _quantile(B, x, q, axis, method, keepdims, "quantile", skip_nan=False)


@op(tensors=2, inexact=True)
def percentile(B, x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    """Return the values below which `q` percent of the entries lie; see `quantile`.

    >>> float(ops.percentile([1, 2, 3, 4], 50))
    2.5
    """
    return _quantile(B, x, q / 100, axis, method, keepdims, "percentile", skip_nan=False)


@op(inexact=True)
def median(B, x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return the middle values along axes, halfway between two if there is no middle one.

    >>> float(ops.median([3, 1, 2]))
    2.0
    """
    return B.quantile(x, B.asarray(0.5, "float32"), axis, "linear", keepdims)


@op(tensors=2, inexact=True)
def nanquantile(B, x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    """Return quantiles of the entries that are not NaN; see `quantile`.

    >>> float(ops.nanquantile([1.0, float("nan"), 3.0], 0.5))
    2.0
    """
    return _quantile(B, x, q, axis, method, keepdims, "nanquantile", skip_nan=True)


@op(tensors=2, inexact=True)
def nanpercentile(B, x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Tensor:
    """Return percentiles of the entries that are not NaN; see `quantile`.

    >>> float(ops.nanpercentile([1.0, float("nan"), 3.0], 50))
    2.0
    """
    return _quantile(B, x, q / 100, axis, method, keepdims, "nanpercentile", skip_nan=True)


@op(inexact=True)
def nanmedian(B, x: Any, axis: Any = None, keepdims: bool = False) -> Tensor:
    """Return medians of the entries that are not NaN.

    >>> float(ops.nanmedian([1.0, float("nan"), 3.0]))
    2.0
    """
    return B.nanquantile(x, B.asarray(0.5, "float32"), axis, "linear", keepdims)


# -- counting and distinct values --------------------------------------------------------------------------------------


@op
def bincount(B, x: Any, weights: Any = None, minlength: int = 0, sparse: bool = False) -> Tensor:
    """Count how often each of 0, 1, 2, ... is in `x`, of rank 1, or in each row of rank 2.

    With `weights` of the same shape, entries count by their weight. The result is as long as the largest
    entry needs, at least `minlength`.

    >>> [int(v) for v in ops.bincount([1, 2, 2])]
    [0, 1, 2]
    """
    integers(B, "bincount", x)
    if len(x.shape) not in (1, 2):
        raise ValueError(f"bincount: x must have rank 1 or 2, got shape {tuple(x.shape)}.")
    x = B.cast(x, "int32")
    longest = 0 if 0 in x.shape else _sizes.from_value(B.max(x) + 1)
    length = _sizes.at_least(B, longest, minlength)
    if weights is None:
        weights = B.full(B.shape(x), 1, "int32")
    else:
        weights = not_bool(B, convert(B, weights))
    counts = B.full((*B.shape(x)[:-1], length), 0, B.dtype(weights))
    at = B.expand_dims(x, -1)
    if len(x.shape) == 2:
        rows = B.broadcast_to(B.reshape(B.arange(0, B.shape(x)[0], 1, "int32"), (-1, 1, 1)), B.shape(at))
        at = B.concatenate([rows, at], -1)
    counts = B.scatter(counts, at, weights, "add")
    if not sparse or not B.supports_sparse:
        return counts
    places = B.meshgrid(*(B.arange(0, n, 1, "int32") for n in B.shape(counts)), indexing="ij")
    return B.sparse(B.stack([B.reshape(p, (-1,)) for p in places], 1), B.reshape(counts, (-1,)), tuple(B.shape(counts)))


@op(inexact=True)
def histogram(B, x: Any, bins: int = 10, range: Any = None) -> tuple[Tensor, Tensor]:
    """Count the entries of a 1-D tensor in bins of equal width; return counts and the `bins + 1` edges.

    `range` is a pair of ends, by default those of `x`; entries outside do not count.

    >>> counts, edges = ops.histogram([1.0, 2.0, 2.5, 3.0], bins=2)
    >>> [int(c) for c in counts], [float(e) for e in edges]
    ([1, 3], [1.0, 2.0, 3.0])
    """
    if len(x.shape) != 1:
        raise ValueError(f"histogram: x must be 1-D, got shape {tuple(x.shape)}.")
    if not isinstance(bins, int) or isinstance(bins, bool) or bins < 1:
        raise ValueError(f"histogram: bins must be a positive int, got {bins!r}.")
    if range is not None and (len(range) != 2 or range[0] > range[1]):
        raise ValueError(f"histogram: range must be a pair (low, high), got {range!r}.")
    if range is None and 0 in x.shape:
        range = (0.0, 1.0)
    low, high = (B.min(x), B.max(x)) if range is None else (constant(B, x, float(end)) for end in range)
    flat = B.equal(low, high)
    low, high = B.where(flat, low - 0.5, low), B.where(flat, high + 0.5, high)
    edges = B.linspace(low, high, bins + 1)
    place = B.searchsorted(edges, x, "right") - 1
    place = B.where(B.equal(x, high), constant(B, place, bins - 1), place)
    inside = B.less_equal(low, x) & B.less_equal(x, high)
    place = B.where(inside, place, constant(B, place, bins))
    counts = B.scatter(B.full((bins,), 0, B.dtype(x)), B.expand_dims(place, -1), B.cast(inside, B.dtype(x)), "add")
    return counts, edges


@op(tensors=2, promote=True)
def isin(B, x1: Any, x2: Any, assume_unique: bool = False, invert: bool = False) -> Tensor:
    """Tell which entries of `x1` are among those of `x2`; with `invert`, which are not.

    >>> [bool(v) for v in ops.isin([1, 2, 3], [3, 1])]
    [True, False, True]
    """
    x1, x2 = not_bool(B, x1), not_bool(B, x2)
    if 0 in x2.shape:
        return B.full(B.shape(x1), invert, "bool")
    candidates = B.sort(B.reshape(x2, (-1,)), 0)
    place = B.searchsorted(candidates, B.reshape(x1, (-1,)), "left")
    place = B.minimum(place, B.asarray(B.shape(candidates)[0], "int32") - 1)
    found = B.equal(B.reshape(B.take(candidates, place, 0), B.shape(x1)), x1)
    return B.bitwise_not(found) if invert else found


def _sorted_rows(B, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the order that sorts rows by their first column, then the second, ... and which of them are new."""
    n = B.shape(rows)[0]
    number = B.arange(0, n, 1, "int32")
    order = number
    for column in reversed(range(rows.shape[1])):
        order = B.take(order, B.argsort(B.take(B.getitem(rows, (slice(None), column)), order, 0), 0), 0)
    rows = B.take(rows, order, 0)
    before = B.take(rows, B.maximum(number - 1, number * 0), 0)
    return order, B.bitwise_or(is_value(B, number, 0), B.any(B.bitwise_not(B.equal(rows, before)), 1))


@face
def unique(
    B,
    x: Any,
    sorted: bool = True,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """Return the distinct entries, sorted; with `axis`, the distinct slices along it.

    Each NaN is distinct. `size` fixes how many are returned (needed in compiled functions on JAX): fewer are filled up with
    `fill_value`, by default the first. On request the indices of first occurrences, the index into the
    result for each entry, and the counts follow.

    >>> values, counts = ops.unique([3, 1, 3], return_counts=True)
    >>> [int(v) for v in values], [int(c) for c in counts]
    ([1, 3], [1, 2])
    """
    if axis is None:
        rows, rest = B.reshape(x, (-1, 1)), ()
    else:
        x = B.moveaxis(x, axis, 0)
        rest = B.shape(x)[1:]
        rows = B.reshape(x, (B.shape(x)[0], _sizes.product(rest)))
        if not known(_sizes.product(rest)):
            raise ValueError(f"unique: the sizes other than along axis={axis} must be known, shape {tuple(x.shape)}.")
    plain = not_bool(B, rows)
    n = B.shape(rows)[0]
    order, new = _sorted_rows(B, plain)
    group = B.cumsum(B.cast(new, "int32"), 0) - 1
    length = _sizes.from_value(B.sum(B.cast(new, "int32"))) if size is None else size
    at = B.expand_dims(group, -1)
    picked = B.take(rows, order, 0)
    if fill_value is None:
        values = B.broadcast_to(B.getitem(picked, slice(0, 1)), (length, rows.shape[1])) if n != 0 else rows
    else:
        values = B.full((length, rows.shape[1]), fill_value, B.dtype(rows))
    values = B.scatter(values, at, picked) if n != 0 else rows
    values = B.reshape(values, (length, *rest))
    results = [values if axis is None else B.moveaxis(values, 0, axis)]
    if return_index:
        first = B.full((length,), n, "int32")
        first = B.scatter(first, at, order, "min")
        results.append(B.where(B.equal(first, B.asarray(n, "int32")), B.getitem(first, slice(0, 1)), first))
    if return_inverse:
        inverse = B.scatter(order * 0, B.expand_dims(order, -1), group)
        results.append(B.reshape(inverse, B.shape(x)) if axis is None else inverse)
    if return_counts:
        results.append(B.scatter(B.full((length,), 0, "int32"), at, order * 0 + 1, "add"))
    return tuple(results) if len(results) > 1 else results[0]
