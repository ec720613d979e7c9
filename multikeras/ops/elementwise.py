"""Functions of one tensor, entry by entry.

Those that are primitives stand in a table: name, what it does, an example.
"""

import math
from typing import Any

import ml_dtypes

from multikeras.backend import dtypes
from multikeras.ops._common import Tensor, constant, is_value, not_bool, odd, unary
from multikeras.ops._op import face, op

# fmt: off
negative = unary("negative", "Change the sign of each entry.", "float(ops.negative(2.0)) -> -2.0", inexact=False)
floor = unary("floor", "Round down; integers become floats.", "float(ops.floor(-1.5)) -> -2.0")
ceil = unary("ceil", "Round up; integers become floats.", "float(ops.ceil(1.2)) -> 2.0")
exp = unary("exp", "Raise e to the power of each entry.", "float(ops.exp(0.0)) -> 1.0")
expm1 = unary("expm1", "Compute `exp(x) - 1` exactly for small entries.", "float(ops.expm1(0.0)) -> 0.0")
log = unary("log", "Take natural logarithms.", "float(ops.log(1.0)) -> 0.0")
log1p = unary("log1p", "Compute `log(1 + x)` exactly for small entries.", "float(ops.log1p(0.0)) -> 0.0")
sqrt = unary("sqrt", "Take square roots; NaN for negative entries.", "float(ops.sqrt(9)) -> 3.0")
sin = unary("sin", "Take sines of angles in radians.", "float(ops.sin(0.0)) -> 0.0")
cos = unary("cos", "Take cosines of angles in radians.", "float(ops.cos(0.0)) -> 1.0")
tan = unary("tan", "Take tangents of angles in radians.", "float(ops.tan(0.0)) -> 0.0")
sinh = unary("sinh", "Take hyperbolic sines.", "float(ops.sinh(0.0)) -> 0.0")
cosh = unary("cosh", "Take hyperbolic cosines.", "float(ops.cosh(0.0)) -> 1.0")
tanh = unary("tanh", "Take hyperbolic tangents.", "float(ops.tanh(0.0)) -> 0.0")
arcsin = unary("arcsin", "Return the angles, -pi / 2 to pi / 2, of given sines.", "float(ops.arcsin(0.0)) -> 0.0")
arccos = unary("arccos", "Return the angles, 0 to pi, of given cosines.", "float(ops.arccos(1.0)) -> 0.0")
arctan = unary("arctan", "Return the angles, -pi / 2 to pi / 2, of given tangents.", "float(ops.arctan(0.0)) -> 0.0")
arcsinh = unary("arcsinh", "Invert `sinh`.", "float(ops.arcsinh(0.0)) -> 0.0")
arccosh = unary("arccosh", "Invert `cosh`; NaN below 1.", "float(ops.arccosh(1.0)) -> 0.0")
arctanh = unary("arctanh", "Invert `tanh`; NaN outside -1 to 1.", "float(ops.arctanh(0.0)) -> 0.0")
isfinite = unary("isfinite", "Tell which entries are neither infinite nor NaN.", "bool(ops.isfinite(1.0)) -> True")
isnan = unary("isnan", "Tell which entries are NaN.", "bool(ops.isnan(1.0)) -> False")
# fmt: on


@face
def abs(B, x: Any) -> Tensor:
    """Return absolute values; of complex numbers, their lengths.

    >>> float(ops.abs(-1.5))
    1.5
    """
    return x if B.dtype(x) == "bool" or B.dtype(x).startswith("uint") else B.abs(x)


absolute = abs


@face
def sign(B, x: Any) -> Tensor:
    """Return -1, 0 or 1 for each entry.

    >>> float(ops.sign(-2.5))
    -1.0
    """
    return x if B.dtype(x) == "bool" else B.sign(x)


@op(inexact=True)
def fabs(B, x: Any) -> Tensor:
    """Return absolute values as floats.

    >>> float(ops.fabs(-1))
    1.0
    """
    return B.abs(x)


@face
def round(B, x: Any, decimals: int = 0) -> Tensor:
    """Round to `decimals` places, halves to even; integers stay integers, and negative places are tens.

    >>> float(ops.round(2.5)), float(ops.round(1.26, 1)) < 1.31
    (2.0, True)
    """
    if not dtypes.is_inexact(B.dtype(x)):
        if decimals >= 0:
            return not_bool(B, x)
        return B.cast(B.round(B.cast(x, "float32") * 10.0**decimals) * 10.0**-decimals, B.dtype(x))
    return B.round(x * 10.0**decimals) / 10.0**decimals if decimals else B.round(x)


@op
def trunc(B, x: Any) -> Tensor:
    """Drop the part after the decimal point; integers stay integers.

    >>> float(ops.trunc(-1.7))
    -1.0
    """
    return B.where(x < 0, B.ceil(x), B.floor(x)) if dtypes.is_inexact(B.dtype(x)) else x


@op
def square(B, x: Any) -> Tensor:
    """Multiply each entry by itself.

    >>> int(ops.square(3))
    9
    """
    x = not_bool(B, x)
    return x * x


@op(inexact=True)
def reciprocal(B, x: Any) -> Tensor:
    """Divide 1 by each entry.

    >>> float(ops.reciprocal(4))
    0.25
    """
    return 1 / x


@op(inexact=True)
def cbrt(B, x: Any) -> Tensor:
    """Take cube roots, of negative entries too.

    >>> round(float(ops.cbrt(-8.0)), 4)
    -2.0
    """
    return odd(B, x, lambda x: B.power(x, constant(B, x, 1 / 3)))


@op(inexact=True)
def exp2(B, x: Any) -> Tensor:
    """Raise 2 to the power of each entry.

    >>> float(ops.exp2(3))
    8.0
    """
    return B.power(constant(B, x, 2), x)


@op(inexact=True)
def log2(B, x: Any) -> Tensor:
    """Take logarithms to base 2.

    >>> round(float(ops.log2(8)), 4)
    3.0
    """
    return B.log(x) * constant(B, x, 1 / math.log(2))


@op(inexact=True)
def log10(B, x: Any) -> Tensor:
    """Take logarithms to base 10.

    >>> round(float(ops.log10(100)), 4)
    2.0
    """
    return B.log(x) * constant(B, x, 1 / math.log(10))


@op(inexact=True)
def deg2rad(B, x: Any) -> Tensor:
    """Convert degrees to radians.

    >>> round(float(ops.deg2rad(180)), 4)
    3.1416
    """
    return x * constant(B, x, math.pi / 180)


@op(inexact=True)
def rad2deg(B, x: Any) -> Tensor:
    """Convert radians to degrees.

    >>> round(float(ops.rad2deg(3.14159265)), 3)
    180.0
    """
    return x * constant(B, x, 180 / math.pi)


@op
def nan_to_num(
    B, x: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """Replace NaN by `nan` and infinities by given numbers, or the largest there are.

    >>> float(ops.nan_to_num(float("nan"), nan=3.0))
    3.0
    """
    dtype = B.dtype(x)
    if not dtypes.is_inexact(dtype):
        return x
    limits = ml_dtypes.finfo(dtypes.numpy_dtype(dtype))
    x = B.where(B.isnan(x), constant(B, x, nan), x)
    x = B.where(is_value(B, x, math.inf), constant(B, x, float(limits.max) if posinf is None else posinf), x)
    return B.where(is_value(B, x, -math.inf), constant(B, x, float(limits.min) if neginf is None else neginf), x)


@op(inexact=True)
def isinf(B, x: Any) -> Tensor:
    """Tell which entries are infinite.

    >>> bool(ops.isinf(float("-inf")))
    True
    """
    return ~(B.isfinite(x) | B.isnan(x))


@op(inexact=True)
def isposinf(B, x: Any) -> Tensor:
    """Tell which entries are plus infinity.

    >>> bool(ops.isposinf(float("-inf")))
    False
    """
    return is_value(B, x, math.inf)


@op(inexact=True)
def isneginf(B, x: Any) -> Tensor:
    """Tell which entries are minus infinity.

    >>> bool(ops.isneginf(float("-inf")))
    True
    """
    return is_value(B, x, -math.inf)


@op
def signbit(B, x: Any) -> Tensor:
    """Tell which entries carry a minus sign, -0.0 among them.

    >>> bool(ops.signbit(-0.0)), bool(ops.signbit(1))
    (True, False)
    """
    if B.dtype(x) == "bool":
        return B.cast(B.zeros_like(x), "bool")
    if B.dtype(x).startswith("uint"):
        return B.full(B.shape(x), False, "bool")
    if not dtypes.is_inexact(B.dtype(x)):
        return x < 0
    return (x < 0) | (is_value(B, x, 0) & (1 / x < 0))


@face
def real(B, x: Any) -> Tensor:
    """Return real parts.

    >>> float(ops.real(1 + 2j))
    1.0
    """
    return B.real(x) if dtypes.is_complex(B.dtype(x)) else x


@face
def imag(B, x: Any) -> Tensor:
    """Return imaginary parts, 0 for real tensors.

    >>> float(ops.imag(1 + 2j))
    2.0
    """
    return B.imag(x) if dtypes.is_complex(B.dtype(x)) else B.zeros_like(x)


@face
def conj(B, x: Any) -> Tensor:
    """Change the sign of imaginary parts.

    >>> float(ops.imag(ops.conj(1 + 2j)))
    -2.0
    """
    return B.conj(x) if dtypes.is_complex(B.dtype(x)) else x


conjugate = conj


@op
def isreal(B, x: Any) -> Tensor:
    """Tell which entries have no imaginary part.

    >>> bool(ops.isreal(1j))
    False
    """
    if dtypes.is_complex(B.dtype(x)):
        return is_value(B, B.imag(x), 0)
    return B.full(B.shape(x), True, "bool")


@op(inexact=True)
def angle(B, x: Any) -> Tensor:
    """Return the angles of complex numbers in radians, pi for negative reals.

    >>> round(float(ops.angle(1j)), 4)
    1.5708
    """
    if dtypes.is_complex(B.dtype(x)):
        return B.arctan2(B.imag(x), B.real(x))
    return B.arctan2(B.zeros_like(x), x)


def _bound(B, bound: Any, dtype: str) -> Tensor:
    """Return a bound as a tensor; an int out of the range of integers is as good as the end of the range."""
    if isinstance(bound, int) and dtypes.is_int(dtype):
        info = ml_dtypes.iinfo(dtype)
        return B.asarray(sorted((int(info.min), bound, int(info.max)))[1], dtype)
    return B.asarray(bound, dtype) if isinstance(bound, (int, float)) else not_bool(B, bound)


@op(tensors=3, promote=True, saturate=True)
def clip(B, x: Any, x_min: Any, x_max: Any) -> Tensor:
    """Move entries below `x_min` or above `x_max` to these bounds, NaN if a bound is; None for no bound.

    >>> float(ops.clip(3.5, 0, 1))
    1.0
    """
    x = not_bool(B, x)
    low, high = (b if b is None else _bound(B, b, B.dtype(x)) for b in (x_min, x_max))
    # An entry at a bound keeps the derivative it has inside.
    x = x if low is None else B.where(B.greater_equal(x, low), x, B.maximum(x, low))
    return x if high is None else B.where(B.less_equal(x, high), x, B.minimum(x, high))
