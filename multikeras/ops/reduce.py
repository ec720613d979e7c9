"""Ops that combine entries along axes: sums, means, extremes, and their versions without NaN."""

import math
from typing import Any

from multikeras.backend import dtypes
from multikeras.backend.shapes import canonical_axes, canonical_axis, reduced
from multikeras.ops import _sizes
from multikeras.ops._common import Tensor, as_bool, constant, is_value, not_bool, together
from multikeras.ops._op import convert, face, op

Axis = int | tuple[int, ...] | None
_SUMMED = {"bool": "int32", "int8": "int32", "int16": "int32", "uint8": "uint32", "uint16": "uint32"}


def _axes(axis: Any) -> Axis:
    return tuple(axis) if isinstance(axis, list) else axis


def widened(B, x: Tensor, dtype: Any = None) -> Tensor:
    """Return `x` in the dtype of its sums, or in `dtype` if given."""
    have = B.dtype(x)
    want = dtypes.standardize_dtype(dtype) if dtype is not None else _SUMMED.get(have, have)
    if want == "uint32" and not B.unsigned_arithmetic:
        want = "int32"
    return x if want == have else B.cast(x, want)


def _half(dtype: str) -> bool:
    return dtype in ("float16", "bfloat16")


@face
def sum(B, x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Add up along axes; bools and small integers in 32 bits.

    >>> int(ops.sum([[1, 2], [3, 4]]))
    10
    """
    return B.sum(widened(B, x), _axes(axis), keepdims)


@face
def prod(B, x: Any, axis: Axis = None, keepdims: bool = False, dtype: Any = None) -> Tensor:
    """Multiply along axes; bools and small integers in 32 bits.

    >>> int(ops.prod([[1, 2], [3, 4]]))
    24
    """
    return B.prod(widened(B, x, dtype), _axes(axis), keepdims)


def _extreme(name, B, x, axis, keepdims, initial):
    axis = _axes(axis)
    result = reduced(tuple(x.shape), axis, keepdims)
    if 0 in x.shape and 0 not in result:
        if initial is None:
            raise ValueError(f"{name}: shape {tuple(x.shape)} leaves no entries to choose from; pass initial=.")
        return B.full(result, initial, B.dtype(x))
    x = getattr(B, name)(x, axis, keepdims)
    return x if initial is None else {"max": B.maximum, "min": B.minimum}[name](x, constant(B, x, initial))


@face
def max(B, x: Any, axis: Axis = None, keepdims: bool = False, initial: Any = None) -> Tensor:
    """Return the largest entries along axes, at least `initial` if given; NaN wins.

    >>> int(ops.max([[1, 2], [3, 4]]))
    4
    """
    return _extreme("max", B, x, axis, keepdims, initial)


@face
def min(B, x: Any, axis: Axis = None, keepdims: bool = False, initial: Any = None) -> Tensor:
    """Return the smallest entries along axes, at most `initial` if given; NaN wins.

    >>> int(ops.min([[1, 2], [3, 4]]))
    1
    """
    return _extreme("min", B, x, axis, keepdims, initial)


@op
def amax(B, x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the largest entries along axes.

    >>> int(ops.amax([1, 3, 2]))
    3
    """
    return _extreme("max", B, x, axis, keepdims, None)


@op
def amin(B, x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the smallest entries along axes.

    >>> int(ops.amin([1, 3, 2]))
    1
    """
    return _extreme("min", B, x, axis, keepdims, None)


@op
def ptp(B, x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the largest entries less the smallest along axes.

    >>> int(ops.ptp([1, 5, 3]))
    4
    """
    return B.subtract(B.max(x, _axes(axis), keepdims), B.min(x, _axes(axis), keepdims))


@op
def any(B, x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Tell whether some entry along axes is true or not zero.

    >>> bool(ops.any([False, True]))
    True
    """
    return B.sum(B.cast(as_bool(B, x), "int32"), _axes(axis), keepdims) > 0


@op
def all(B, x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Tell whether every entry along axes is true or not zero.

    >>> bool(ops.all([False, True]))
    False
    """
    return B.bitwise_not(B.any(B.bitwise_not(as_bool(B, x)), axis, keepdims))


@op
def count_nonzero(B, x: Any, axis: Axis = None) -> Tensor:
    """Count the entries along axes that are not zero.

    >>> int(ops.count_nonzero([0, 1, 2]))
    2
    """
    return B.sum(B.cast(as_bool(B, x), "int32"), _axes(axis))


def _place(find, B, x, axis, keepdims):
    rank = len(x.shape)
    axis = axis if axis is None else canonical_axis(axis, rank)
    index = find(not_bool(B, x if axis is not None else B.reshape(x, (-1,))), 0 if axis is None else axis)
    if not keepdims:
        return index
    return B.reshape(index, (1,) * rank) if axis is None else B.expand_dims(index, axis % rank)


@face
def argmax(B, x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the index of the largest entry along an axis, or among all.

    >>> int(ops.argmax([1, 3, 2]))
    1
    """
    return _place(B.argmax, B, x, axis, keepdims)


@face
def argmin(B, x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the index of the smallest entry along an axis, or among all.

    >>> int(ops.argmin([2, 1, 3]))
    1
    """
    return _place(B.argmin, B, x, axis, keepdims)


@op(inexact=True)
def mean(B, x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Take the mean along axes; half precision is summed in 32 bits.

    >>> float(ops.mean([1, 2, 3]))
    2.0
    """
    dtype = B.dtype(x)
    if _half(dtype):
        return B.cast(B.mean(B.cast(x, "float32"), axis, keepdims), dtype)
    return B.sum(x, _axes(axis), keepdims) / _sizes.count(B, x, axis)


@op(inexact=True)
def var(B, x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Take the mean of squared distances from the mean along axes.

    >>> float(ops.var([1, 3]))
    1.0
    """
    dtype = B.dtype(x)
    if _half(dtype):
        return B.cast(B.var(B.cast(x, "float32"), axis, keepdims), dtype)
    off = x - B.mean(x, axis, keepdims=True)
    return B.mean(off * B.conj(off) if dtypes.is_complex(dtype) else off * off, axis, keepdims)


def _root(B, x: Tensor) -> Tensor:
    """Return the root of `x`, whose derivative is 0 where `x` is."""
    none = is_value(B, x, 0)
    return B.where(none, x, B.sqrt(B.where(none, constant(B, x, 1), x)))


@op(inexact=True)
def std(B, x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Take the standard deviation along axes, the root of `var`; where that is 0, so is the derivative.

    >>> float(ops.std([1, 3]))
    1.0
    """
    return _root(B, B.var(x, axis, keepdims))


@op
def average(B, x: Any, axis: Axis = None, weights: Any = None) -> Tensor:
    """Take the mean along axes, each entry counting by its weight.

    `weights` has the shape of `x`, or is 1-D for a single axis.

    >>> float(ops.average([1.0, 2.0], weights=[3.0, 1.0]))
    1.25
    """
    if weights is None:
        return B.mean(x if dtypes.is_inexact(B.dtype(x)) else B.cast(x, dtypes.inexact(B.dtype(x))), axis)
    x, weights = together(B, x, convert(B, weights))
    dtype = dtypes.inexact(B.dtype(x))
    x, weights = B.cast(x, dtype), B.cast(weights, dtype)
    rank = len(x.shape)
    if len(weights.shape) == 1 and rank > 1:
        if not isinstance(axis, int):
            raise ValueError(f"average: 1-D weights for x of shape {tuple(x.shape)} need one axis, got axis={axis}.")
        weights = B.reshape(weights, tuple(-1 if i == axis % rank else 1 for i in range(rank)))
    weights = weights + B.zeros_like(x)
    return B.sum(x * weights, _axes(axis)) / B.sum(weights, _axes(axis))


def _cumulate(add, B, x, axis, dtype):
    x = B.cast(x, dtypes.standardize_dtype(dtype)) if dtype is not None else not_bool(B, x)
    if axis is None:
        return add(B.reshape(x, (-1,)), 0)
    for a in canonical_axes(axis, len(x.shape), "cumulative operation"):
        x = add(x, a)
    return x


@face
def cumsum(B, x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Add up along an axis as far as each entry; without one, over all entries in order.

    >>> int(ops.cumsum([1, 2, 3])[1])
    3
    """
    return _cumulate(B.cumsum, B, x, axis, dtype)


@face
def cumprod(B, x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Multiply along an axis as far as each entry; without one, over all entries in order.

    >>> int(ops.cumprod([1, 2, 3])[2])
    6
    """
    return _cumulate(B.cumprod, B, x, axis, dtype)


# -- passing over NaN --------------------------------------------------------------------------------------------------


def _without_nan(B, x: Tensor, value: float) -> Tensor:
    """Return `x` with `value` in place of NaN."""
    return B.where(B.isnan(x), constant(B, x, value), x) if dtypes.is_inexact(B.dtype(x)) else x


@op
def nansum(B, x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Add up along axes, taking NaN for 0.

    >>> float(ops.nansum([1.0, float("nan")]))
    1.0
    """
    return B.sum(widened(B, _without_nan(B, x, 0)), _axes(axis), keepdims)


@op
def nanprod(B, x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Multiply along axes, taking NaN for 1.

    >>> float(ops.nanprod([2.0, float("nan")]))
    2.0
    """
    return B.prod(widened(B, _without_nan(B, x, 1)), _axes(axis), keepdims)


@op
def nancumsum(B, x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Add up along an axis as far as each entry, taking NaN for 0.

    >>> float(ops.nancumsum([1.0, float("nan"), 2.0])[2])
    3.0
    """
    return _cumulate(B.cumsum, B, _without_nan(B, x, 0), axis, dtype)


@op
def nancumprod(B, x: Any, axis: int | None = None, dtype: Any = None) -> Tensor:
    """Multiply along an axis as far as each entry, taking NaN for 1.

    >>> float(ops.nancumprod([2.0, float("nan"), 3.0])[2])
    6.0
    """
    return _cumulate(B.cumprod, B, _without_nan(B, x, 1), axis, dtype)


def _nan_extreme(find, worst, B, x, axis, keepdims):
    axis = _axes(axis)
    if not dtypes.is_inexact(B.dtype(x)):
        return find(x, axis, keepdims)
    nothing = B.all(B.isnan(x), axis, keepdims)
    return B.where(nothing, constant(B, x, math.nan), find(_without_nan(B, x, worst), axis, keepdims))


@op
def nanmax(B, x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the largest entries along axes that are not NaN; NaN if all are.

    >>> float(ops.nanmax([1.0, float("nan")]))
    1.0
    """
    return _nan_extreme(B.max, -math.inf, B, x, axis, keepdims)


@op
def nanmin(B, x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Return the smallest entries along axes that are not NaN; NaN if all are.

    >>> float(ops.nanmin([1.0, float("nan")]))
    1.0
    """
    return _nan_extreme(B.min, math.inf, B, x, axis, keepdims)


def _nan_place(find, worst, B, x, axis, keepdims):
    if not dtypes.is_inexact(B.dtype(x)):
        return _place(find, B, x, axis, keepdims)
    index = _place(find, B, _without_nan(B, x, worst), axis, keepdims)
    return B.where(B.all(B.isnan(x), axis, keepdims), constant(B, index, -1), index)


@op
def nanargmax(B, x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the index of the largest entry that is not NaN; -1 if all are.

    >>> int(ops.nanargmax([1.0, float("nan"), 2.0]))
    2
    """
    return _nan_place(B.argmax, -math.inf, B, x, axis, keepdims)


@op
def nanargmin(B, x: Any, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Return the index of the smallest entry that is not NaN; -1 if all are.

    >>> int(ops.nanargmin([float("nan"), 1.0, 2.0]))
    1
    """
    return _nan_place(B.argmin, math.inf, B, x, axis, keepdims)


@op(inexact=True)
def nanmean(B, x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Take the mean along axes of the entries that are not NaN.

    >>> float(ops.nanmean([1.0, float("nan"), 3.0]))
    2.0
    """
    dtype = B.dtype(x)
    if _half(dtype):
        return B.cast(B.nanmean(B.cast(x, "float32"), axis, keepdims), dtype)
    there = B.cast(B.bitwise_not(B.isnan(x)), dtype)
    return B.sum(_without_nan(B, x, 0), _axes(axis), keepdims) / B.sum(there, _axes(axis), keepdims)


@op(inexact=True)
def nanvar(B, x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Take the variance along axes of the entries that are not NaN.

    >>> float(ops.nanvar([1.0, float("nan"), 3.0]))
    1.0
    """
    dtype = B.dtype(x)
    if _half(dtype):
        return B.cast(B.nanvar(B.cast(x, "float32"), axis, keepdims), dtype)
    missing = B.isnan(x)
    off = B.where(missing, constant(B, x, 0), x - B.nanmean(x, axis, keepdims=True))
    square = off * B.conj(off) if dtypes.is_complex(dtype) else off * off
    return B.nanmean(B.where(missing, x, square), axis, keepdims)


@op(inexact=True)
def nanstd(B, x: Any, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Take the standard deviation along axes of the entries that are not NaN.

    >>> float(ops.nanstd([1.0, float("nan"), 3.0]))
    1.0
    """
    return _root(B, B.nanvar(x, axis, keepdims))
