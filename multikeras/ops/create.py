"""Ops that make tensors: filled, counted, spaced, triangular, windows."""

import math
import operator
from typing import Any

from multikeras.backend import dtypes
from multikeras.backend.shapes import known
from multikeras.ops import _sizes
from multikeras.ops._common import Tensor, constant, is_value
from multikeras.ops._op import convert, face, op


def _sizes_of(shape: Any) -> tuple:
    return tuple(shape) if hasattr(shape, "__iter__") or hasattr(shape, "as_list") else (shape,)


def _like(B, x: Tensor, dtype: Any) -> str:
    return B.dtype(x) if dtype is None else dtypes.standardize_dtype(dtype)


@op(tensors=0)
def zeros(B, shape: Any, dtype: Any = None) -> Tensor:
    """Return a tensor of zeros.

    >>> ops.zeros((2, 3)).shape == (2, 3)
    True
    """
    return B.full(_sizes_of(shape), 0, dtypes.standardize_dtype(dtype))


@op(tensors=0)
def ones(B, shape: Any, dtype: Any = None) -> Tensor:
    """Return a tensor of ones.

    >>> float(ops.sum(ops.ones((2, 3))))
    6.0
    """
    return B.full(_sizes_of(shape), 1, dtypes.standardize_dtype(dtype))


@op(tensors=0)
def empty(B, shape: Any, dtype: Any = None) -> Tensor:
    """Return a tensor whose entries do not matter: zeros.

    >>> ops.empty((2, 3)).shape == (2, 3)
    True
    """
    return B.zeros(shape, dtype)


@face(tensors=0)
def full(B, shape: Any, fill_value: Any, dtype: Any = None) -> Tensor:
    """Return a tensor filled with a value, or with a tensor that broadcasts to `shape`.

    >>> float(ops.full((2,), 3)[0])
    3.0
    """
    dtype = dtypes.standardize_dtype(dtype)
    if isinstance(fill_value, (bool, int, float, complex)):
        return B.full(_sizes_of(shape), fill_value, dtype)
    return B.broadcast_to(B.asarray(fill_value, dtype), _sizes_of(shape))


@op
def zeros_like(B, x: Any, dtype: Any = None) -> Tensor:
    """Return zeros of the shape of `x`, and of its dtype if none is given.

    >>> int(ops.zeros_like([1, 2])[0])
    0
    """
    return B.full(B.shape(x), 0, _like(B, x, dtype))


@op
def ones_like(B, x: Any, dtype: Any = None) -> Tensor:
    """Return ones of the shape of `x`, and of its dtype if none is given.

    >>> int(ops.ones_like([1, 2])[0])
    1
    """
    return B.full(B.shape(x), 1, _like(B, x, dtype))


@op
def empty_like(B, x: Any, dtype: Any = None) -> Tensor:
    """Return a tensor like `x` whose entries do not matter: zeros.

    >>> ops.empty_like([1, 2]).shape == (2,)
    True
    """
    return B.zeros_like(x, dtype)


@op
def full_like(B, x: Any, fill_value: Any, dtype: Any = None) -> Tensor:
    """Return a tensor of the shape of `x` filled with a value.

    >>> int(ops.full_like([1, 2], 7)[1])
    7
    """
    return B.broadcast_to(B.cast(convert(B, fill_value), _like(B, x, dtype)), B.shape(x))


@op
def copy(B, x: Any) -> Tensor:
    """Return a tensor equal to `x`.

    >>> int(ops.copy(3))
    3
    """
    return B.multiply(x, constant(B, x, 1))


@face(tensors=0)
def array(B, x: Any, dtype: Any = None) -> Tensor:
    """Make a tensor of numbers, sequences, arrays and tensors.

    >>> ops.array([[1, 2], [3, 4]]).shape == (2, 2)
    True
    """
    x = convert(B, x)
    return x if dtype is None else B.cast(x, dtypes.standardize_dtype(dtype))


@op
def view(B, x: Any, dtype: Any = None) -> Tensor:
    """Read the bytes of `x` as another dtype; the last dimension grows or shrinks as that is narrower or wider.

    >>> int(ops.view(ops.ones((1,)), dtype="int32")[0])
    1065353216
    """
    dtype = dtypes.standardize_dtype(dtype)
    return x if dtype == B.dtype(x) else B.bitcast(x, dtype)


# -- counted and spaced ------------------------------------------------------------------------------------------------


def _counting_dtype(B, ends: tuple, dtype: Any) -> str:
    if dtype is not None:
        return dtypes.standardize_dtype(dtype)
    kinds = [type(e) if type(e) in (int, float) else B.dtype(convert(B, e)) for e in ends if e is not None]
    return dtypes.result_type(*kinds)


@face(tensors=0)
def arange(B, start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Tensor:
    """Count from `start`, or from 0 if only one number is given, to below `stop`.

    >>> [int(v) for v in ops.arange(2, 8, 3)]
    [2, 5]
    """
    dtype = _counting_dtype(B, (start, stop, step), dtype)
    start, stop = (0, start) if stop is None else (start, stop)
    return B.arange(start, stop, 1 if step is None else step, dtype)


def _spacing_dtype(B, start: Any, stop: Any, dtype: Any) -> tuple[str, str]:
    """Return the dtype to compute in and that of the result."""
    kinds = [type(e) if type(e) in (int, float) else B.dtype(convert(B, e)) for e in (start, stop)]
    wanted = dtypes.result_type(*kinds, float) if dtype is None else dtypes.standardize_dtype(dtype)
    return wanted if dtypes.is_inexact(wanted) else dtypes.result_type(*kinds, float), wanted


def _fractions(B, start: Tensor, stop: Tensor, num: int, endpoint: bool) -> tuple[Tensor, Tensor, int]:
    """Return 0, 1, ... shaped to stand before `start` and `stop`, where the last one is, and the number of steps."""
    rank = max(len(start.shape), len(stop.shape))
    number = B.cast(B.arange(0, num, 1, "int32"), B.dtype(start))
    number = B.reshape(number, (num, *(1,) * rank))
    return number, is_value(B, number, num - 1 if endpoint and num > 1 else -1), max(num - endpoint, 1)


def _spaced_last(B, x: Tensor, axis: int, dtype: str) -> Tensor:
    x = B.cast(B.floor(x) if dtypes.is_int(dtype) else x, dtype)
    return x if axis in (0, -len(x.shape)) else B.moveaxis(x, 0, axis)


def _number(op_name: str, num: Any) -> int:
    try:
        num = operator.index(num)
    except TypeError:
        raise TypeError(f"{op_name}: num must be an int, got {num!r}.") from None
    if num < 0:
        raise ValueError(f"{op_name}: num must not be negative, got {num}.")
    return num


@op(tensors=0)
def linspace(
    B,
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """Return `num` values evenly from `start` to `stop`, which is left out if `endpoint` is False.

    Tensors as ends are joined by a new `axis`. With `retstep` the pair (values, step) is returned.

    >>> [float(v) for v in ops.linspace(0, 1, 5)]
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    num = _number("linspace", num)
    wide, dtype = _spacing_dtype(B, start, stop, dtype)
    start, stop = (B.cast(convert(B, end), wide) for end in (start, stop))
    number, last, steps = _fractions(B, start, stop, num, endpoint)
    step = (stop - start) / steps
    values = B.where(last, stop, start + number * step)
    values = _spaced_last(B, values, axis, dtype)
    return (values, step) if retstep else values


@op(tensors=0)
def logspace(
    B, start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10, dtype: Any = None, axis: int = 0
) -> Tensor:
    """Return `num` powers of `base`, the exponents evenly from `start` to `stop`.

    >>> [round(float(v)) for v in ops.logspace(0, 2, 3)]
    [1, 10, 100]
    """
    wide, dtype = _spacing_dtype(B, start, stop, dtype)
    exponents = B.linspace(start, stop, num, endpoint, False, wide, 0)
    return _spaced_last(B, B.power(B.cast(convert(B, base), wide), exponents), axis, dtype)


@op(tensors=0)
def geomspace(
    B, start: Any, stop: Any, num: int = 50, endpoint: bool = True, dtype: Any = None, axis: int = 0
) -> Tensor:
    """Return `num` values from `start` to `stop`, each the same multiple of the one before.

    >>> [round(float(v)) for v in ops.geomspace(1, 1000, 4)]
    [1, 10, 100, 1000]
    """
    num = _number("geomspace", num)
    wide, dtype = _spacing_dtype(B, start, stop, dtype)
    start, stop = (B.cast(convert(B, end), wide) for end in (start, stop))
    number, last, steps = _fractions(B, start, stop, num, endpoint)
    values = start * B.exp(B.log(stop / start) * (number / steps))
    return _spaced_last(B, B.where(last, stop, values), axis, dtype)


# -- matrices ----------------------------------------------------------------------------------------------------------


def _side(op_name: str, B, n: Any) -> Any:
    """Return a size as an int or, in graphs, an integer tensor."""
    if isinstance(n, int) and not isinstance(n, bool):
        return n
    dtype = getattr(n, "dtype", None)
    if dtype is not None and dtypes.is_int(dtypes.standardize_dtype(dtype)):
        return _sizes.from_value(n)
    raise TypeError(f"{op_name}: sizes must be ints or integer tensors, got {n!r}.")


def _offsets(B, rows: Any, columns: Any) -> Tensor:
    """Return column less row at each place of a matrix."""
    return B.expand_dims(B.arange(0, columns, 1, "int32"), 0) - B.expand_dims(B.arange(0, rows, 1, "int32"), 1)


@op(tensors=0)
def eye(B, N: Any, M: Any = None, k: int = 0, dtype: Any = None) -> Tensor:
    """Return a matrix with ones on diagonal `k` (above the main one if positive), else zeros.

    >>> float(ops.sum(ops.eye(3)))
    3.0
    """
    n = _side("eye", B, N)
    m = n if M is None else _side("eye", B, M)
    return B.cast(is_value(B, _offsets(B, n, m), k), dtypes.standardize_dtype(dtype))


@op(tensors=0)
def identity(B, n: Any, dtype: Any = None) -> Tensor:
    """Return the square matrix with ones on its diagonal.

    >>> float(ops.sum(ops.identity(3)))
    3.0
    """
    return B.eye(n, None, 0, dtype)


@op(tensors=0)
def tri(B, N: Any, M: Any = None, k: int = 0, dtype: Any = None) -> Tensor:
    """Return a matrix with ones on and below diagonal `k`.

    >>> float(ops.sum(ops.tri(3)))
    6.0
    """
    n = _side("tri", B, N)
    m = n if M is None else _side("tri", B, M)
    return B.cast(_offsets(B, n, m) < k + 1, dtypes.standardize_dtype(dtype))


def _triangle(op_name: str, B, x: Tensor) -> Tensor:
    if len(x.shape) < 2:
        raise ValueError(f"{op_name}: x must have rank 2 or more, got shape {tuple(x.shape)}.")
    return _offsets(B, *B.shape(x)[-2:])


@op
def tril(B, x: Any, k: int = 0) -> Tensor:
    """Keep what is on and below diagonal `k` of the last two dimensions, zeros above.

    >>> int(ops.sum(ops.tril([[1, 2], [3, 4]])))
    8
    """
    return B.where(_triangle("tril", B, x) < k + 1, x, constant(B, x, 0))


@op
def triu(B, x: Any, k: int = 0) -> Tensor:
    """Keep what is on and above diagonal `k` of the last two dimensions, zeros below.

    >>> int(ops.sum(ops.triu([[1, 2], [3, 4]])))
    7
    """
    return B.where(_triangle("triu", B, x) < k, constant(B, x, 0), x)


@op
def vander(B, x: Any, N: int | None = None, increasing: bool = False) -> Tensor:
    """Return the Vandermonde matrix of a vector: its powers in columns, falling or `increasing`.

    >>> ops.vander([1, 2, 3]).shape == (3, 3)
    True
    """
    if len(x.shape) != 1:
        raise ValueError(f"vander: x must be 1-D, got shape {tuple(x.shape)}.")
    n = B.shape(x)[0] if N is None else N
    powers = B.arange(0, n, 1, "int32")
    if not increasing:
        powers = B.flip(powers, (0,))
    if B.dtype(x) == "bool":
        return B.bitwise_or(B.expand_dims(x, 1), B.expand_dims(is_value(B, powers, 0), 0))
    return B.power(B.expand_dims(x, 1), B.expand_dims(B.cast(powers, B.dtype(x)), 0))


# -- windows -----------------------------------------------------------------------------------------------------------


def _window(B, x: Tensor, shape_of: Any) -> Tensor:
    """Return `shape_of` the places -1 ... 1 of a window of `x` points; one point is 1."""
    dtype = dtypes.standardize_dtype(None)
    n = _sizes.from_value(B.cast(x, "int32"))
    if known(n) and isinstance(n, int) and n <= 1:
        return B.full((max(n, 0),), 1, dtype)
    number = B.cast(B.arange(0, n, 1, "int32"), dtype)
    span = float(n - 1) if isinstance(n, int) else B.cast(B.asarray(n) - 1, dtype)
    return shape_of(number * 2 / span - 1)


@op
def bartlett(B, x: Any) -> Tensor:
    """Return the triangular window of `x` points.

    >>> [float(v) for v in ops.bartlett(5)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    return _window(B, x, lambda t: 1 - B.abs(t))


@op
def hanning(B, x: Any) -> Tensor:
    """Return the window of Hann of `x` points.

    >>> round(float(ops.hanning(5)[1]), 4)
    0.5
    """
    return _window(B, x, lambda t: B.cos(t * math.pi) * 0.5 + 0.5)


@op
def hamming(B, x: Any) -> Tensor:
    """Return the window of Hamming of `x` points.

    >>> round(float(ops.hamming(5)[0]), 4)
    0.08
    """
    return _window(B, x, lambda t: B.cos(t * math.pi) * 0.46 + 0.54)


@op
def blackman(B, x: Any) -> Tensor:
    """Return the window of Blackman of `x` points.

    >>> round(float(ops.blackman(5)[1]), 4)
    0.34
    """
    return _window(B, x, lambda t: B.cos(t * math.pi) * 0.5 + B.cos(t * (2 * math.pi)) * 0.08 + 0.42)


@op
def kaiser(B, x: Any, beta: Any) -> Tensor:
    """Return the window of Kaiser of `x` points; `beta` narrows it.

    >>> round(float(ops.kaiser(5, 2.0)[2]), 4)
    1.0
    """
    beta = B.cast(convert(B, beta), dtypes.standardize_dtype(None))
    return _window(B, x, lambda t: B.i0(B.sqrt(B.maximum(1 - t * t, t * 0)) * beta) / B.i0(beta))
