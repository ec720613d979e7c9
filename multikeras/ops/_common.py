"""What several families of ops share: tables of primitives, and dtype rules of a line."""

from collections.abc import Callable
from typing import Any

from multikeras.backend import dtypes
from multikeras.ops._op import face

Tensor = Any


def _document(function: Callable, name: str, line: str, example: str) -> Callable:
    call, result = example.split(" -> ")
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{line}\n\n    >>> {call}\n    {result}\n    "
    return function


def unary(name: str, line: str, example: str, inexact: bool = True) -> Callable[[Any], Tensor]:
    """Make the public op of a primitive of one tensor; integers become floats if `inexact`."""

    def function(B, x):
        return getattr(B, name)(x)

    return face(inexact=inexact, direct=True)(_document(function, name, line, example))


def binary(name: str, line: str, example: str, inexact: bool = False) -> Callable[[Any, Any], Tensor]:
    """Make the public op of a primitive of two tensors, which are brought to a common dtype."""

    def function(B, x1, x2):
        return getattr(B, name)(x1, x2)

    return face(tensors=2, promote=True, inexact=inexact, direct=True)(_document(function, name, line, example))


def bits(name: str, line: str, example: str) -> Callable[[Any, Any], Tensor]:
    """Make the public op of a primitive on the bits of two tensors of bools or integers."""

    def function(B, x, y):
        return getattr(B, name)(x, y)

    return face(tensors=2, promote=True, direct=True)(_document(function, name, line, example))


def constant(B: Any, x: Tensor, value: Any) -> Tensor:
    """Return a scalar of the dtype of `x`."""
    return B.asarray(value, B.dtype(x))


def odd(B: Any, x: Tensor, f: Callable) -> Tensor:
    """Return an odd function of `x`, given for numbers that are not negative, with its derivative at 0."""
    negative = x < 0
    y = f(B.where(negative, -x, x))
    return B.where(negative, -y, y)


def is_value(B: Any, x: Tensor, value: Any) -> Tensor:
    """Tell where `x` is `value`."""
    return B.equal(x, B.asarray(value, B.dtype(x)))


def as_bool(B: Any, x: Tensor) -> Tensor:
    """Tell where `x` is true or not zero."""
    return x if B.dtype(x) == "bool" else B.cast(x, "bool")


def not_bool(B: Any, x: Tensor, dtype: str = "int32") -> Tensor:
    """Return bools as integers, other tensors as they are."""
    return B.cast(x, dtype) if B.dtype(x) == "bool" else x


def integers(B: Any, op: str, x: Tensor) -> None:
    """Refuse floats."""
    if dtypes.is_inexact(B.dtype(x)):
        raise TypeError(f"{op}: needs integers or bools, got {B.dtype(x)}.")


def together(B: Any, *xs: Tensor) -> list[Tensor]:
    """Cast tensors to their common dtype."""
    dtype = dtypes.result_type(*(B.dtype(x) for x in xs))
    return [x if B.dtype(x) == dtype else B.cast(x, dtype) for x in xs]
