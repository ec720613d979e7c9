"""The decorator behind every public op: conversion, promotion and symbolic calls, done once.

`@op` takes a composite whose first argument is the backend,

    @op(tensors=2, promote=True)
    def hypot(B, x1, x2): ...

makes it the default method `Backend.hypot`, which a backend may override, and returns the public
function `hypot(x1, x2)`. `@face` does the same for the public spelling of a primitive: nothing is
put on `Backend`, because the primitive of that name is there already.

Inside composites `B.name(...)` skips all of this file: arguments are tensors, dtypes agree.
"""

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, overload

import numpy as np

from multikeras.backend import JUDGE, SPEC, current, dtypes
from multikeras.backend.interface import Backend
from multikeras.backend.shapes import UNKNOWN, Spec
from multikeras.core import operation as operation  # gives operations their configs
from multikeras.core import tree
from multikeras.core.node import KerasTensor, Operation, as_spec
from multikeras.core.serialization import deserialize_keras_object
from multikeras.core.variable import Variable
from multikeras.ops._sparse import RULES

P = ParamSpec("P")
R = TypeVar("R")
_INNER = re.compile(r"^(\w+: )+")
_OF_STRINGS = re.compile(r"(?i)string|[<|][US]\d")
"""In a framework's own words: there the same call may fail for another reason than its strings."""
_SCALARS = (bool, int, float, complex)
_NUMBERS = frozenset((int, float))
_SEQUENCES = frozenset((list, tuple))
_PLAIN = frozenset((bool, int, float, str, type(None)))
_NATIVES = frozenset((current.Tensor, *current.fast_types))

registry: dict[str, Callable] = {}
"""Public ops by name: `registry["softmax"]`."""


def is_symbolic(x: Any) -> bool:
    """Tell whether `x` is or contains a shape without data."""
    if isinstance(x, Spec) or x is UNKNOWN:
        return True
    if isinstance(x, (list, tuple)):
        return any(map(is_symbolic, x))
    return isinstance(x, dict) and any(map(is_symbolic, x.values()))


def all_plain(arguments: Any) -> bool:
    """Tell whether there is no tensor among the arguments: at a glance, for the fast path."""
    for x in arguments:
        if type(x) not in _PLAIN and not (type(x) in _SEQUENCES and _PLAIN.issuperset(map(type, x))):
            return False
    return True


def convert(B: Backend, x: Any) -> Any:
    """Return `x` as a tensor of `B`, None as it is."""
    if x is None or type(x) is B.Tensor:
        return x
    return B.asarray(x.value if isinstance(x, Variable) and B is current else x)


def _fitting(x: Any, dtype: str, saturate: bool) -> Any:
    """Return a Python scalar; an int beyond an integer dtype is refused or, to `saturate`, becomes its end."""
    if type(x) is not int or not dtypes.is_int(dtype):
        return x
    info = np.iinfo(dtype)
    if info.min <= x <= info.max:
        return x
    if not saturate:
        raise ValueError(f"the number {x} is out of the range of {dtype}, {info.min} to {info.max}. Cast the tensor first.")
    return int(info.min) if x < info.min else int(info.max)


def convert_together(B: Backend, xs: Any, inexact: bool, saturate: bool = False) -> list:
    """Return `xs` as tensors of their common dtype; Python scalars follow the tensors, None stays None."""
    xs = [x if x is None or type(x) in _SCALARS else convert(B, x) for x in xs]
    dtype = dtypes.result_type(*(type(x) if type(x) in _SCALARS else B.dtype(x) for x in xs if x is not None))
    if inexact:
        dtype = dtypes.inexact(dtype)
    return [
        x if x is None
        else B.asarray(_fitting(x, dtype, saturate), dtype) if type(x) in _SCALARS
        else x if B.dtype(x) == dtype
        else B.cast(x, dtype)
        for x in xs
    ]  # fmt: skip


def _holds_strings(x: Any) -> bool:
    return isinstance(x, str) or (hasattr(x, "dtype") and dtypes.standardize_dtype(x.dtype) == "string")


class OpCall(Operation):
    """One op with its arguments that are not tensors: a node of a Functional model.

    A subclass is made for each op (`Add`, `Softmax`, ...); its config is those arguments by name.
    """

    public: Callable
    leading: tuple[str, ...]
    at_call: tuple[str, ...] = ()
    """Arguments without tensors that belong to the call all the same: Keras's files have them there."""
    before: tuple[str, ...] = ()
    """Parameters that stand before the tensors of a variadic op."""

    def __init__(self, name=None, **arguments):
        super().__init__(name=name or None)
        self.arguments = arguments

    def __call__(self, *args, **kwargs):
        if not kwargs and not self.arguments and not self.before and _NATIVES.issuperset(map(type, args)):
            return self.public(*args)
        return super().__call__(*args, **kwargs)

    def call(self, *tensors, **more):
        given = {**self.arguments, **more}
        first = [given.pop(name) for name in type(self).before]
        return type(self).public(*first, *tensors, **given)

    def compute_output_spec(self, *tensors, **more):
        tensors, more = tree.map_structure(as_spec, (tensors, more))
        return self.call(*tensors, **more)

    def get_config(self) -> dict:
        """Return the op's arguments that are not tensors, and the name."""
        return {"name": self.name, **self.arguments}

    @classmethod
    def from_config(cls, config: dict) -> "OpCall":
        # Functions among the arguments (`vectorized_map`) come as configs.
        return cls(**{k: deserialize_keras_object(v) if isinstance(v, (dict, list)) else v for k, v in config.items()})


def _kind(error: Exception) -> type[Exception]:
    """Return the class to raise an error anew, with more words: some take more than a message."""
    kind = type(error)
    return kind if kind.__init__ in (ValueError.__init__, TypeError.__init__) else next(
        k for k in (ValueError, TypeError) if isinstance(error, k)
    )  # fmt: skip


def camel_case(name: str) -> str:
    """Return the class name of an op: `conv_transpose` is `ConvTranspose`."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def _symbolic_call(public: Callable, names: tuple, tensors: int, args: tuple, kwargs: dict) -> Any:
    """Record a call of a public op on KerasTensors; arguments without tensors become the node's config."""
    given = dict(zip(names, args))
    if len(args) > len(names):  # a variadic op: einsum(subscripts, *operands)
        return public.node_class(**given, **kwargs).symbolic_call(*args[len(names) :])
    given.update(kwargs)
    positional = []
    for name in names[:tensors]:
        if name not in given:
            break
        positional.append(given.pop(name))
    calls = {k: v for k, v in given.items() if is_symbolic(v) or k in public.node_class.at_call}
    name = given.pop("name", None)
    arguments = {k: v for k, v in given.items() if k not in calls}
    return public.node_class(name=name, **arguments).symbolic_call(*positional, **calls)


def _contains_keras_tensor(x: Any) -> bool:
    if isinstance(x, KerasTensor):
        return True
    if isinstance(x, (list, tuple)):
        return any(map(_contains_keras_tensor, x))
    return isinstance(x, dict) and any(map(_contains_keras_tensor, x.values()))


def _build(
    function: Callable,
    install: bool,
    tensors: int,
    promote: bool,
    inexact: bool,
    sequence: bool,
    direct: bool = False,
    saturate: bool = False,
) -> Callable:
    name = function.__name__
    if install:
        setattr(Backend, name, function)
        implementation = getattr(current, name)
    else:
        implementation = getattr(current, name) if direct else current.bind_face(function, current)
    parameters = list(inspect.signature(function).parameters.values())[1:]
    names = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD)
    natives = _NATIVES
    native_inexact = current.native_inexact
    takes_numbers = name in current.takes_numbers
    sparse_rule = RULES.get(name) if current.supports_sparse else None

    def all_native(xs, alike):
        """Tell whether all are concrete tensors, `alike`: of one dtype."""
        for x in xs:
            if type(x) not in natives or (alike and x.dtype != xs[0].dtype):
                return False
        return True

    def prepare(B, args):
        if sequence:
            first = args[0]
            first = list(first) if isinstance(first, (list, tuple)) else B.unstacked(convert(B, first))
            first = convert_together(B, first, inexact) if promote else [convert(B, x) for x in first]
            return (first, *args[1:])
        if promote:
            xs = convert_together(B, args[:tensors], inexact, saturate)
            if takes_numbers and B is current and all(type(x) in _NUMBERS for x in args[1:3]):
                if dtypes.is_inexact(B.dtype(xs[0])):
                    xs[1:] = map(float, args[1:3])
            return (*xs, *args[tensors:])
        converted = [convert(B, x) for x in args[:tensors]]
        if inexact:
            converted = [
                x if x is None or dtypes.is_inexact(B.dtype(x)) else B.cast(x, dtypes.inexact(B.dtype(x)))
                for x in converted
            ]
        return (*converted, *args[tensors:])

    def on(B, *args, **kwargs):
        """Run the op on `B`, whose own override goes first: SPEC has explicit rules for few composites."""
        try:
            return (getattr(B, name) if install else functools.partial(function, B))(*prepare(B, args), **kwargs)
        except (ValueError, TypeError) as error:
            if str(error).startswith(f"{name}: "):
                raise
            # The names of the ops it is made of say nothing to who called it.
            raise _kind(error)(f"{name}: {_INNER.sub('', str(error))}") from error

    def refuse(error, args, kwargs):
        """Raise what shapes and dtypes alone say of a call that failed, in words that are the same on every backend."""
        if not any(map(callable, (*args, *kwargs.values()))):
            for parameter, x in zip(parameters, args[:tensors]):
                if x is None and parameter.default is not None:
                    raise TypeError(f"{name}: {parameter.name} is None, a tensor is needed.") from error
            try:
                on(JUDGE, *args, **kwargs)
            except (ValueError, TypeError) as better:
                raise better from error
            except Exception:  # the first error says more
                return
            if _OF_STRINGS.search(str(error)):
                for parameter, x in zip(parameters, args[:tensors]):
                    if any(map(_holds_strings, tree.flatten(x))):
                        words = f"{name}: {parameter.name} holds strings, numbers are needed. Map strings to integers first."
                        raise (ValueError if isinstance(error, ValueError) else TypeError)(words) from error

    def slow(*args, **kwargs):
        if len(args) < tensors and kwargs:
            given = dict(kwargs)
            filled = list(args)
            for parameter in names[len(args) : tensors]:
                if parameter not in given:
                    break
                filled.append(given.pop(parameter))
            args, kwargs = tuple(filled), given
        if is_symbolic(args) or (kwargs and is_symbolic(kwargs)):
            if _contains_keras_tensor(args) or _contains_keras_tensor(kwargs):
                return _symbolic_call(public, names, tensors, args, kwargs)
            return on(SPEC, *args, **kwargs)
        if sparse_rule is not None and any(map(current.is_sparse, args[0] if sequence and args else args)):
            result = sparse_rule(current, public, *args, **kwargs)
            if result is not None:
                return result
        try:
            return implementation(*prepare(current, args), **kwargs)
        except Exception as error:
            refuse(error, args, kwargs)
            raise

    # One closure a number of tensors: what an eager call of small tensors costs is decided here.
    if sequence:

        def wrapper(*args, **kwargs) -> Any:
            if args and type(args[0]) in _SEQUENCES and args[0] and (not kwargs or all_plain(kwargs.values())):
                xs = args[0]
                if all_native(xs, promote) and (not inexact or xs[0].dtype in native_inexact):
                    try:
                        return implementation(list(xs), *args[1:], **kwargs)
                    except Exception as error:
                        refuse(error, args, kwargs)
                        raise
            return slow(*args, **kwargs)

    elif tensors == 0:

        def wrapper(*args, **kwargs) -> Any:
            if all_plain(args) and all_plain(kwargs.values()):
                try:
                    return implementation(*args, **kwargs)
                except Exception as error:
                    refuse(error, args, kwargs)
                    raise
            return slow(*args, **kwargs)

    elif tensors == 1:

        def wrapper(*args, **kwargs) -> Any:
            if args:
                x = args[0]
                if type(x) is Variable:
                    x = x.value
                    args = (x, *args[1:])
                if type(x) in natives and (not inexact or x.dtype in native_inexact):
                    # A further argument may be a tensor too, and symbolic.
                    if len(args) == 1 or all_plain(args[1:]) or not is_symbolic(args[1:]):
                        try:
                            if not kwargs:
                                return implementation(*args)
                            if all_plain(kwargs.values()):
                                return implementation(*args, **kwargs)
                        except Exception as error:
                            refuse(error, args, kwargs)
                            raise
            return slow(*args, **kwargs)

    elif tensors == 2:

        def wrapper(*args, **kwargs) -> Any:
            if len(args) == 2 and (not kwargs or all_plain(kwargs.values())):
                a, b = args
                if type(a) is Variable:
                    a = a.value
                if type(b) is Variable:
                    b = b.value
                if type(a) in natives:
                    kind = type(b)
                    if kind in natives:
                        if (not promote or a.dtype == b.dtype) and (
                            not inexact or (a.dtype in native_inexact and (promote or b.dtype in native_inexact))
                        ):
                            try:
                                return implementation(a, b, **kwargs)
                            except Exception as error:
                                refuse(error, args, kwargs)
                                raise
                    elif promote and (kind is float or kind is int) and a.dtype in native_inexact:
                        return implementation(a, current.asarray(b, current.dtype(a)), **kwargs)
                return slow(a, b, **kwargs)
            if len(args) > 1 and all_plain(args[2:]) and all_plain(kwargs.values()):
                xs = [x.value if type(x) is Variable else x for x in args[:2]]
                if all_native(xs, promote) and (not inexact or all(x.dtype in native_inexact for x in xs)):
                    try:
                        return implementation(*xs, *args[2:], **kwargs)
                    except Exception as error:
                        refuse(error, args, kwargs)
                        raise
            return slow(*args, **kwargs)

    else:

        def wrapper(*args, **kwargs) -> Any:
            plain = not kwargs or all_plain(kwargs.values())
            if tensors == 3 <= len(args) and plain and (len(args) == 3 or all_plain(args[3:])):
                a, b, c = args[:3]
                if type(b) is Variable:
                    b = b.value
                if type(c) is Variable:
                    c = c.value
                if type(a) in natives and type(b) in natives and type(c) in natives:
                    dtype = a.dtype
                    if dtype == b.dtype == c.dtype and (not inexact or dtype in native_inexact):
                        try:
                            return implementation(a, b, c, *args[3:], **kwargs)
                        except Exception as error:
                            refuse(error, args, kwargs)
                            raise
            if len(args) >= tensors and plain:
                xs = args[:tensors]
                if Variable in map(type, xs):
                    xs = tuple([x.value if type(x) is Variable else x for x in xs])
                    args = (*xs, *args[tensors:])
                if promote and type(xs[0]) in natives and xs[0].dtype in native_inexact:
                    # Python numbers beside a tensor: bounds of `clip`.
                    if takes_numbers and type(xs[1]) in _NUMBERS and type(xs[2]) in _NUMBERS:
                        try:
                            return implementation(xs[0], float(xs[1]), float(xs[2]), *args[tensors:], **kwargs)
                        except Exception as error:
                            refuse(error, args, kwargs)
                            raise
                    xs = [current.asarray(x, current.dtype(xs[0])) if type(x) in (float, int) else x for x in xs]
                    args = (*xs, *args[tensors:])
                given = [x for x in xs if x is not None]
                if all_native(given, promote) and (not inexact or native_inexact.issuperset([x.dtype for x in given])):
                    try:
                        return implementation(*args, **kwargs)
                    except Exception as error:
                        refuse(error, args, kwargs)
                        raise
            return slow(*args, **kwargs)

    public: Any = functools.wraps(function)(wrapper)
    public.__signature__ = inspect.Signature(parameters)
    public.__module__ = "multikeras.ops"
    public.leading = names[:tensors]
    public.on = on
    variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    public.node_class = type(
        camel_case(name),
        (OpCall,),
        {
            "public": staticmethod(public),
            "leading": names[:tensors],
            "before": names if variadic else (),
            "__doc__": function.__doc__,
        },
    )
    registry[name] = public
    return public


@overload
def op(function: Callable[Concatenate[Any, P], R], /) -> Callable[P, R]: ...
@overload
def op(*, tensors: int = 1, promote: bool = False, inexact: bool = False, sequence: bool = False, saturate: bool = False
       ) -> Callable[[Callable[Concatenate[Any, P], R]], Callable[P, R]]: ...  # fmt: skip
def op(function=None, *, tensors=1, promote=False, inexact=False, sequence=False, saturate=False):
    """Make a public op of a composite and put the composite on `Backend`.

    Args:
        tensors: How many leading parameters are tensors; None passed for one stays None.
        promote: Bring these to their common dtype.
        inexact: Cast integers and bools to the default float.
        sequence: The first parameter is a sequence of tensors instead (or a tensor, taken apart along its first axis).
        saturate: Python ints beyond the dtype become its ends instead of an error.
    """
    if function is None:
        return functools.partial(
            _build,
            install=True,
            tensors=tensors,
            promote=promote,
            inexact=inexact,
            sequence=sequence,
            saturate=saturate,
        )
    return _build(function, True, tensors, promote, inexact, sequence)


@overload
def face(function: Callable[Concatenate[Any, P], R], /) -> Callable[P, R]: ...
@overload
def face(*, tensors: int = 1, promote: bool = False, inexact: bool = False, sequence: bool = False,
         direct: bool = False) -> Callable[[Callable[Concatenate[Any, P], R]], Callable[P, R]]: ...  # fmt: skip
def face(function=None, *, tensors=1, promote=False, inexact=False, sequence=False, direct=False):
    """Make a public op that calls the primitive of the same name; arguments as for `op`.

    Args:
        direct: The body does no more than that, so eager calls go to the primitive without it.
    """
    if function is None:
        return functools.partial(
            _build,
            install=False,
            tensors=tensors,
            promote=promote,
            inexact=inexact,
            sequence=sequence,
            direct=direct,
        )
    return _build(function, False, tensors, promote, inexact, sequence, direct)
