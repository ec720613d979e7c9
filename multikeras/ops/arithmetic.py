"""Arithmetic of two tensors, entry by entry, after promotion to a common dtype."""

import math
from typing import Any

from multikeras.backend import dtypes
from multikeras.ops._common import Tensor, binary, constant, is_value, not_bool, odd
from multikeras.ops._op import face, op

# fmt: off
add = binary("add", "Add; of two bools, or.", "int(ops.add(1, 2)) -> 3")
subtract = binary("subtract", "Subtract the second from the first.", "int(ops.subtract(3, 2)) -> 1")
multiply = binary("multiply", "Multiply; of two bools, and.", "int(ops.multiply(2, 3)) -> 6")
divide = binary("divide", "Divide the first by the second; integers become floats.",
                 "float(ops.divide(1, 2)) -> 0.5", inexact=True)
maximum = binary("maximum", "Choose the larger of two; NaN if either is.", "int(ops.maximum(1, 2)) -> 2")
minimum = binary("minimum", "Choose the smaller of two; NaN if either is.", "int(ops.minimum(1, 2)) -> 1")
arctan2 = binary("arctan2", "Return the angle of the point (x2, x1), -pi to pi.", "float(ops.arctan2(0.0, 1.0)) -> 0.0",
                  inexact=True)
nextafter = binary("nextafter", "Return the next float after the first, towards the second.",
                    "float(ops.nextafter(1.0, 2.0)) > 1 -> True", inexact=True)
# fmt: on
true_divide = divide


@face(tensors=2, promote=True)
def floor_divide(B, x1: Any, x2: Any) -> Tensor:
    """Divide and round towards minus infinity; an integer by 0 gives 0.

    >>> int(ops.floor_divide(-5, 3))
    -2
    """
    if B.dtype(x1) == "bool":
        return B.bitwise_and(x1, x2)
    return _by_zero(B, B.floor_divide, x1, x2)


def _by_zero(B, divide, x1: Tensor, x2: Tensor) -> Tensor:
    """Divide; integers by 0 give 0, where frameworks differ between errors and noise."""
    if dtypes.is_inexact(B.dtype(x1)):
        return divide(x1, x2)
    zero = is_value(B, x2, 0)
    return B.where(zero, constant(B, x1, 0), divide(x1, B.where(zero, constant(B, x2, 1), x2)))


@face(tensors=2, promote=True)
def mod(B, x1: Any, x2: Any) -> Tensor:
    """Return the rest of a division rounded towards minus infinity: it has the sign of `x2`; 0 of integers by 0.

    >>> int(ops.mod(-5, 3))
    1
    """
    return _by_zero(B, B.mod, not_bool(B, x1), not_bool(B, x2))


@face(tensors=2, promote=True)
def power(B, x1: Any, x2: Any) -> Tensor:
    """Raise the first to the power of the second.

    >>> int(ops.power(2, 3))
    8
    """
    return B.power(not_bool(B, x1), not_bool(B, x2))


@op(tensors=2, promote=True)
def float_power(B, x1: Any, x2: Any) -> Tensor:
    """Raise the first to the power of the second, as floats.

    >>> float(ops.float_power(2, -1))
    0.5
    """
    dtype = dtypes.inexact(B.dtype(x1))
    return B.power(B.cast(x1, dtype), B.cast(x2, dtype))


@op(tensors=2, promote=True)
def fmod(B, x1: Any, x2: Any) -> Tensor:
    """Return the rest of a division rounded towards zero: it has the sign of `x1`.

    >>> int(ops.fmod(-5, 3))
    -2
    """
    x1, x2 = not_bool(B, x1), not_bool(B, x2)
    if B.dtype(x1).startswith("uint"):
        return _by_zero(B, B.mod, x1, x2)
    return odd(B, x1, lambda x1: _by_zero(B, B.mod, x1, B.abs(x2)))


@op(tensors=2, promote=True)
def fmax(B, x1: Any, x2: Any) -> Tensor:
    """Choose the larger of two, passing over NaN.

    >>> float(ops.fmax(float("nan"), 1.0))
    1.0
    """
    if not dtypes.is_inexact(B.dtype(x1)):
        return B.maximum(x1, x2)
    return B.where(B.isnan(x1), x2, B.where(B.isnan(x2), x1, B.maximum(x1, x2)))


@op(tensors=2, promote=True)
def fmin(B, x1: Any, x2: Any) -> Tensor:
    """Choose the smaller of two, passing over NaN.

    >>> float(ops.fmin(float("nan"), 1.0))
    1.0
    """
    if not dtypes.is_inexact(B.dtype(x1)):
        return B.minimum(x1, x2)
    return B.where(B.isnan(x1), x2, B.where(B.isnan(x2), x1, B.minimum(x1, x2)))


@op(tensors=2, promote=True, inexact=True)
def divide_no_nan(B, x1: Any, x2: Any) -> Tensor:
    """Divide, giving 0 where the divisor is 0.

    >>> float(ops.divide_no_nan(1, 0))
    0.0
    """
    zero = is_value(B, x2, 0)
    return B.where(zero, constant(B, x1, 0), B.divide(x1, B.where(zero, constant(B, x2, 1), x2)))


def _larger_first(B, x1: Tensor, x2: Tensor) -> tuple[Tensor, Tensor]:
    """Return the larger and the smaller of two, NaN in both: of equals with the derivatives of one and the other."""
    first = B.bitwise_or(x1 >= x2, B.isnan(x1))
    second = B.bitwise_or(x1 >= x2, B.isnan(x2))
    return B.where(first, x1, x2), B.where(B.bitwise_and(second, B.bitwise_not(B.isnan(x1))), x2, x1)


@op(tensors=2, promote=True, inexact=True)
def hypot(B, x1: Any, x2: Any) -> Tensor:
    """Return the hypotenuse of right triangles, without overflow.

    >>> float(ops.hypot(3, 4))
    5.0
    """
    one, long = constant(B, x1, 1), B.maximum(B.abs(x1), B.abs(x2))
    zero, endless = is_value(B, long, 0), B.isinf(x1) | B.isinf(x2)
    scale = B.stop_gradient(B.where(zero | endless, one, long))
    square = B.square(x1 / scale) + B.square(x2 / scale)
    length = B.where(zero, long, scale * B.sqrt(B.where(zero, one, square)))
    return B.where(endless, constant(B, x1, math.inf), length)


@op(tensors=2, promote=True, inexact=True)
def logaddexp(B, x1: Any, x2: Any) -> Tensor:
    """Compute `log(exp(x1) + exp(x2))` without overflow.

    >>> round(float(ops.logaddexp(1000.0, 1000.0)), 3)
    1000.693
    """
    large, small = _larger_first(B, x1, x2)
    apart = small - large
    return B.where(B.isnan(apart), x1 + x2, large + B.log1p(B.exp(apart)))


@op(tensors=2, promote=True, inexact=True)
def logaddexp2(B, x1: Any, x2: Any) -> Tensor:
    """Compute `log2(2**x1 + 2**x2)` without overflow.

    >>> round(float(ops.logaddexp2(3.0, 3.0)), 4)
    4.0
    """
    large, small = _larger_first(B, x1, x2)
    apart = small - large
    more = B.log1p(B.exp2(apart)) * constant(B, apart, 1 / math.log(2))
    return B.where(B.isnan(apart), x1 + x2, large + more)


@op(tensors=2, promote=True, inexact=True)
def heaviside(B, x1: Any, x2: Any) -> Tensor:
    """Step from 0 to 1 as `x1` passes 0, where `x2` is the value.

    >>> float(ops.heaviside(0.0, 0.5)), float(ops.heaviside(2.0, 0.5))
    (0.5, 1.0)
    """
    step = B.where(x1 > 0, constant(B, x1, 1), B.where(B.isnan(x1), x1, constant(B, x1, 0)))
    return B.where(is_value(B, x1, 0), x2, step)


@op(tensors=2, promote=True, inexact=True)
def copysign(B, x1: Any, x2: Any) -> Tensor:
    """Give the first the sign of the second.

    >>> float(ops.copysign(1.0, -0.0))
    -1.0
    """
    return B.where(B.signbit(x2), -B.abs(x1), B.abs(x1))


@op(tensors=2)
def ldexp(B, x1: Any, x2: Any) -> Tensor:
    """Multiply by 2 to the power of the integers `x2`.

    >>> float(ops.ldexp(3.0, 2))
    12.0
    """
    if dtypes.is_inexact(B.dtype(x2)):
        raise TypeError(f"ldexp: x2 must be integers, got {B.dtype(x2)}.")
    dtype = dtypes.inexact(dtypes.result_type(B.dtype(x1), B.dtype(x2)))
    x2 = B.cast(x2, "int32")
    half = B.right_shift(x2, constant(B, x2, 1))  # in two steps, so that no power overflows before the product does
    return B.cast(x1, dtype) * B.exp2(B.cast(half, dtype)) * B.exp2(B.cast(x2 - half, dtype))


@op(tensors=2, promote=True)
def gcd(B, x1: Any, x2: Any) -> Tensor:
    """Return greatest common divisors of integers, never negative.

    >>> int(ops.gcd(12, -18))
    6
    """
    if dtypes.is_inexact(B.dtype(x1)) and B.has_values:  # KerasTensors are floats unless their maker says so
        raise TypeError(f"gcd: needs integers, got {B.dtype(x1)}.")
    if B.dtype(x1) == "bool":
        return B.bitwise_or(x1, x2)

    def euclid(a, b):
        done = is_value(B, b, 0)
        return B.where(done, a, b), B.where(done, b, B.mod(a, B.where(done, constant(B, b, 1), b)))

    signed = not B.dtype(x1).startswith("uint")
    one = B.add(x1, x2) * 0  # of the shape of the result, which a loop cannot change
    x1, x2 = (B.add(B.abs(x) if signed else x, one) for x in (x1, x2))
    return B.while_loop(lambda a, b: B.any(~is_value(B, b, 0)), euclid, (x1, x2), None)[0]


@op(tensors=2, promote=True)
def lcm(B, x1: Any, x2: Any) -> Tensor:
    """Return least common multiples of integers, never negative.

    >>> int(ops.lcm(4, -6))
    12
    """
    if B.dtype(x1) == "bool":
        return B.bitwise_and(x1, x2)
    divisor = B.gcd(x1, x2)
    product = B.floor_divide(x1, B.where(is_value(B, divisor, 0), constant(B, divisor, 1), divisor)) * x2
    return product if B.dtype(x1).startswith("uint") else B.abs(product)
