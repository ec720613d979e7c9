"""What `+`, `[]`, `==` and the other operators mean on Specs, KerasTensors and Variables."""

from collections.abc import Callable
from typing import Any

from multikeras.backend.shapes import Spec
from multikeras.core.node import KerasTensor
from multikeras.core.variable import Variable
from multikeras.ops import arithmetic, contract, elementwise, index, logic, move
from multikeras.ops._common import Tensor


def _reversed(function: Callable) -> Callable:
    return lambda self, other: function(other, self)


def _in_order(self: Any) -> Any:
    """Give the slices along the first axis, whose size must be known."""
    return iter([self[i] for i in range(len(self))])


_BINARY = {
    "add": arithmetic.add, "sub": arithmetic.subtract, "mul": arithmetic.multiply, "truediv": arithmetic.divide,
    "floordiv": arithmetic.floor_divide, "mod": arithmetic.mod, "pow": arithmetic.power, "matmul": contract.matmul,
    "and": logic.logical_and, "or": logic.logical_or, "xor": logic.logical_xor,
    "lshift": logic.left_shift, "rshift": logic.right_shift,
}  # fmt: skip

OPERATORS: dict[str, Callable[..., Tensor]] = {
    **{f"__{name}__": function for name, function in _BINARY.items()},
    **{f"__r{name}__": _reversed(function) for name, function in _BINARY.items()},
    "__neg__": elementwise.negative,
    "__pos__": lambda self: self,
    "__abs__": elementwise.abs,
    "__invert__": logic.logical_not,
    "__round__": lambda self, ndigits=None: elementwise.round(self, ndigits or 0),
    "__lt__": logic.less,
    "__le__": logic.less_equal,
    "__gt__": logic.greater,
    "__ge__": logic.greater_equal,
    "__getitem__": lambda self, key: index.get_item(self, key),
}
"""Operators of every tensor that is not the framework's own."""

# Entry by entry too, while two objects stay different keys of a dict. Plain Specs compare by identity.
_EQUALITY: dict[str, Callable] = {
    "__eq__": lambda self, other: other is not None and logic.equal(self, other),
    "__ne__": lambda self, other: other is None or logic.not_equal(self, other),
    "__hash__": id,
}


def _method(function: Callable) -> Callable:
    return lambda self, *args: function(self, *args)


def install() -> None:
    """Put the operators on Spec, KerasTensor and Variable."""
    for name, function in OPERATORS.items():
        setattr(Spec, name, _method(function))
        setattr(Variable, name, _method(function))
    for name, function in _EQUALITY.items():
        setattr(KerasTensor, name, _method(function))
        setattr(Variable, name, _method(function))
    Spec.__iter__ = _in_order  # pyright: ignore[reportAttributeAccessIssue]
    KerasTensor.operators.update(reshape=move.reshape, squeeze=move.squeeze, transpose=move.transpose)
