"""What `Layer.__call__` must know: a call's signature, drawn up once a class, and the calls it is nested in."""

import difflib
import inspect
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

from multikeras import ops
from multikeras.backend import current
from multikeras.backend.shapes import Spec
from multikeras.core import tree
from multikeras.core.masking import flag as masks  # noqa: F401
from multikeras.core.masking import get_mask as get_mask
from multikeras.core.masking import set_mask as set_mask


class CallPlan:
    """The parameters of a layer's `call`, and which of them layers pass on by themselves."""

    def __init__(self, call):
        self.signature = inspect.signature(call)
        parameters = self.signature.parameters.values()
        self.names = tuple(p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))
        self.variadic = any(p.kind is p.VAR_KEYWORD for p in parameters)
        self.takes_training = "training" in self.names
        self.masks = frozenset(n for n in self.names if n == "mask" or n.endswith("_mask"))
        passed_on = {"training", *self.masks}
        self.expects_masks = False
        self.plain = all(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)
        self.required = [p.name for p in parameters if p.default is p.empty and p.name in self.names]
        self.one_is_enough = {*self.required} <= {*self.names[:1], *passed_on}
        default = self.signature.parameters["training"].default if self.takes_training else None
        self.training_default = None if default is inspect.Parameter.empty else default

    def bind(self, args: tuple, kwargs: dict) -> dict[str, Any]:
        """Return the given arguments by name, variadic ones unfolded; TypeError as Python's own."""
        if len(args) == 1 and not kwargs and self.names and self.one_is_enough:
            return {self.names[0]: args[0]}
        if self.plain:
            given = {**dict(zip(self.names, args)), **kwargs}
            known = {name: given[name] for name in self.names if name in given}
            if len(known) == len(args) + len(kwargs) and all(name in known for name in self.required):
                return known
        try:
            bound = self.signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            near = [m for k in kwargs if k not in self.names for m in difflib.get_close_matches(k, self.names, 1)]
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"call() {error}.{hint} It takes {self.signature}.") from None
        flat: dict[str, Any] = {}
        for name, value in bound.items():
            kind = self.signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_KEYWORD:
                flat.update(value)
            else:
                flat[name] = value
        return flat


@cache
def plan_of(function) -> CallPlan:
    """Return the plan of an unbound `call`, its first parameter being the layer."""

    def without_self(self_, *args, **kwargs): ...

    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())
    if parameters and parameters[0].kind in (parameters[0].POSITIONAL_ONLY, parameters[0].POSITIONAL_OR_KEYWORD):
        parameters = parameters[1:]
    without_self.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    plan = CallPlan(without_self)
    # A user's layer that takes several inputs unpacks their masks, though all are None; those of this package ask first.
    plan.expects_masks = "mask" in plan.masks and not str(getattr(function, "__module__", "")).startswith("multikeras.")
    return plan


class CallContext:
    """One call of an outermost layer and what it hands to the layers inside."""

    __slots__ = ("arguments", "entry", "training")

    def __init__(self, entry):
        self.entry, self.training = entry, None
        self.arguments: dict[str, Any] = {}


class _Calls(threading.local):
    def __init__(self):
        self.context: CallContext | None = None


calls = _Calls()


def is_tensor_like(x: Any) -> bool:
    """Tell whether `x` is a native tensor, dense or sparse, or a shape without data."""
    return isinstance(x, Spec) or current.is_tensor(x) or current.is_sparse(x)


def kind_of(args: Sequence, compiling: bool) -> tuple | None:
    """Return dtypes and shapes of arguments that are native tensors or lists of them; None if one is something else.

    Ranks stand for the shapes while something is compiled: sizes that are looked at hold for what is compiled from then on.
    """
    kind: list = []
    for x in args:
        if type(x) is current.Tensor:
            kind += x.dtype, x.ndim if compiling else x.shape
        elif type(x) is list and (inside := kind_of(x, compiling)):
            kind.append(inside)
        else:
            return None
    return tuple(kind) or None


def in_dtype(x: Any, dtype: str) -> Any:
    """Return `x` cast to `dtype`; nothing is called for a tensor that has it."""
    return x if type(x) is current.Tensor and current.dtype(x) == dtype else ops.cast(x, dtype)


def has_tensors(value: Any) -> bool:
    """Tell whether a tensor is among the leaves of `value`."""
    return is_tensor_like(value) or any(map(is_tensor_like, tree.flatten(value)))


def shapes_of(value: Any) -> Any:
    """Return the tree of shapes of a tree of tensors."""
    if is_tensor_like(value):
        return tuple(value.shape)
    return tree.map_structure(lambda x: tuple(x.shape) if hasattr(x, "shape") else None, value)


def is_shape(value: Any) -> bool:
    """Tell whether `value` is one shape rather than a tree of them."""
    return isinstance(value, (tuple, list)) and all(d is None or hasattr(d, "__index__") for d in value)


def map_shapes(function, value: Any) -> Any:
    """Apply `function` to each shape of a tree of shapes."""
    if value is None:
        return None
    if is_shape(value):
        return function(tuple(value))
    if isinstance(value, dict):
        return {k: map_shapes(function, v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map_shapes(function, v) for v in value)
    raise ValueError(f"Expected a shape or nested shapes, got {value!r}.")
