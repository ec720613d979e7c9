"""Comparisons, logic and bits."""

from typing import Any

from multikeras.ops._common import Tensor, as_bool, binary, bits, unary
from multikeras.ops._op import op

# fmt: off
equal = binary("equal", "Tell where two are equal.", "bool(ops.equal(1, 1.0)) -> True")
less = binary("less", "Tell where the first is less than the second.", "bool(ops.less(1, 2)) -> True")
# fmt: on


@op(tensors=2, promote=True)
def not_equal(B, x1: Any, x2: Any) -> Tensor:
    """Tell where two differ.

    >>> bool(ops.not_equal(1, 2))
    True
    """
    return B.bitwise_not(B.equal(x1, x2))


@op(tensors=2, promote=True)
def less_equal(B, x1: Any, x2: Any) -> Tensor:
    """Tell where the first is not more than the second.

    >>> bool(ops.less_equal(2, 2))
    True
    """
    return B.bitwise_or(B.less(x1, x2), B.equal(x1, x2))


@op(tensors=2, promote=True)
def greater(B, x1: Any, x2: Any) -> Tensor:
    """Tell where the first is more than the second.

    >>> bool(ops.greater(2, 1))
    True
    """
    return B.less(x2, x1)


@op(tensors=2, promote=True)
def greater_equal(B, x1: Any, x2: Any) -> Tensor:
    """Tell where the first is not less than the second.

    >>> bool(ops.greater_equal(1, 2))
    False
    """
    return B.less_equal(x2, x1)


@op(tensors=2, promote=True, inexact=True)
def isclose(B, x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Tell where `|x1 - x2| <= atol + rtol * |x2|`, or both are the same infinity.

    >>> bool(ops.isclose(1.0, 1.000001))
    True
    """
    near = B.less_equal(B.abs(x1 - x2), B.abs(x2) * rtol + atol)
    close = B.equal(x1, x2) | (near & B.isfinite(x1) & B.isfinite(x2))
    return close | (B.isnan(x1) & B.isnan(x2)) if equal_nan else close


@op(tensors=2, promote=True, inexact=True)
def allclose(B, x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Tell whether `isclose` holds everywhere.

    >>> bool(ops.allclose([1.0, 2.0], [1.0, 2.1]))
    False
    """
    return B.all(B.isclose(x1, x2, rtol, atol, equal_nan))


@op
def logical_not(B, x: Any) -> Tensor:
    """Tell which entries are zero or False.

    >>> bool(ops.logical_not(0))
    True
    """
    return B.bitwise_not(as_bool(B, x))


@op(tensors=2)
def logical_and(B, x1: Any, x2: Any) -> Tensor:
    """Tell where both are true or non-zero.

    >>> bool(ops.logical_and(True, 0))
    False
    """
    return B.bitwise_and(as_bool(B, x1), as_bool(B, x2))


@op(tensors=2)
def logical_or(B, x1: Any, x2: Any) -> Tensor:
    """Tell where at least one is true or non-zero.

    >>> bool(ops.logical_or(True, 0))
    True
    """
    return B.bitwise_or(as_bool(B, x1), as_bool(B, x2))


@op(tensors=2)
def logical_xor(B, x1: Any, x2: Any) -> Tensor:
    """Tell where just one is true or non-zero.

    >>> bool(ops.logical_xor(True, 1))
    False
    """
    return B.bitwise_xor(as_bool(B, x1), as_bool(B, x2))


# fmt: off
bitwise_and = bits("bitwise_and", "Combine bits by and.", "int(ops.bitwise_and(6, 3)) -> 2")
bitwise_or = bits("bitwise_or", "Combine bits by or.", "int(ops.bitwise_or(6, 3)) -> 7")
bitwise_xor = bits("bitwise_xor", "Combine bits by exclusive or.", "int(ops.bitwise_xor(6, 3)) -> 5")
left_shift = bits("left_shift", "Move bits left by `y`: times 2 to the power of y.", "int(ops.left_shift(3, 2)) -> 12")
right_shift = bits("right_shift", "Move bits right by `y`, keeping the sign.", "int(ops.right_shift(-8, 1)) -> -4")
bitwise_not = unary("bitwise_not", "Turn each bit over.", "int(ops.bitwise_not(0)) -> -1", inexact=False)
# fmt: on
bitwise_left_shift = left_shift
bitwise_right_shift = right_shift
bitwise_invert = bitwise_not
