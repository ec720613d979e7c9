"""Derivatives of Python functions, with respect to arguments (nested structures too) or to Variables.

They nest: `grad(grad(f))` is the second derivative.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeGuard

from multikeras.backend import SPEC, current, dtypes
from multikeras.core import tree
from multikeras.core.node import as_keras_tensor, as_spec
from multikeras.core.variable import Variable
from multikeras.ops._op import convert, is_symbolic


def _to_differentiate(x: Any, op_name: str) -> Any:
    x = convert(current, x)
    if not dtypes.is_inexact(current.dtype(x)):
        raise TypeError(
            f"{op_name}: an argument of dtype {current.dtype(x)} has no derivative, cast it to a float "
            "first."
        )
    return x


def _scalar(x: Any, op_name: str) -> Any:
    x = convert(current, x)
    if tuple(x.shape) != ():
        raise ValueError(f"{op_name}: the function must return a scalar, it returned shape {tuple(x.shape)}.")
    return x


def _tensors(structure: Any) -> Any:
    return tree.map_structure(lambda x: convert(current, x), structure)


def _zeros(structure: Any) -> Any:
    return tree.map_structure(lambda x: x if x is None else current.full(current.shape(x), 0, current.dtype(x)), structure)


def _split(result: Any, has_aux: bool, op_name: str) -> tuple:
    if not has_aux:
        return result, ()
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise ValueError(
            f"{op_name}: with has_aux=True the function "
            f"must return a pair, it returned {type(result).__name__}."
        )
    return tuple(result)


def _on_leaves(f: Callable, structure: Any, op_name: str) -> tuple[list, Callable, Callable]:
    """Return the tensors of `structure`, `f` as a function of them, and how to arrange their like in that structure."""
    given = tree.flatten(structure)
    places = [i for i, x in enumerate(given) if x is not None]

    def arranged(leaves):
        filled: list[Any] = [None] * len(given)
        for place, leaf in zip(places, leaves, strict=True):
            filled[place] = leaf
        return tree.pack_sequence_as(structure, filled)

    return [_to_differentiate(given[i], op_name) for i in places], lambda *leaves: f(arranged(leaves)), arranged


def _are_variables(x: Any) -> TypeGuard[Sequence]:
    return isinstance(x, (list, tuple)) and all(isinstance(v, Variable) for v in x)


def value_and_grad(fn: Callable, argnums: int | Sequence = 0, has_aux: bool = False) -> Callable:
    """Return a function that computes `fn`, a scalar, and its gradient.

    Args:
        fn: Returns a scalar; with `has_aux` a pair of it and anything else, which is handed on.
        argnums: Which positional arguments to differentiate: an int, or several; these may be nested structures.
            Or a list of Variables that `fn` reads: the gradients are then a list, None for one it does not depend on.
        has_aux: Whether `fn` returns a pair.

    >>> from multikeras import ops
    >>> value, slope = ops.value_and_grad(lambda x: x * x)(3.0)
    >>> float(value), float(slope)
    (9.0, 6.0)
    >>> import multikeras
    >>> v = multikeras.Variable(3.0)
    >>> value, (slope,) = ops.value_and_grad(lambda: v * v, [v])()
    >>> float(value), float(slope)
    (9.0, 6.0)
    """
    if not callable(fn):
        raise TypeError(f"value_and_grad: fn must be callable, got {fn!r}.")
    if isinstance(argnums, Variable):
        raise TypeError("value_and_grad: give Variables in a list.")
    if _are_variables(argnums):
        return _with_variables(fn, list(argnums), has_aux)
    numbers: tuple[Any, ...] = tuple(argnums) if isinstance(argnums, Sequence) else (argnums,)
    if not all(isinstance(n, int) for n in numbers):
        raise TypeError(f"value_and_grad: argnums must be ints, or a list of Variables, got {argnums!r}.")

    @functools.wraps(fn)
    def run(*args, **kwargs):
        for n in numbers:
            if not -len(args) <= n < len(args):
                raise ValueError(
                    f"value_and_grad: argnums={argnums} but only {len(args)} positional arguments were "
                    "given."
                )

        def of_chosen(chosen):
            full = list(args)
            for n, x in zip(numbers, chosen):
                full[n] = x
            value, aux = _split(fn(*full, **kwargs), has_aux, "value_and_grad")
            return _scalar(value, "value_and_grad"), _tensors(aux)

        xs, f, arranged = _on_leaves(of_chosen, [args[n] for n in numbers], "value_and_grad")
        (value, aux), pullback = current.vjp(f, xs)
        one = current.full((), 1, current.dtype(value))
        grads = arranged(pullback((one, _zeros(aux))))
        return ((value, aux) if has_aux else value), (tuple(grads) if isinstance(argnums, Sequence) else grads[0])

    return run


def _with_variables(fn: Callable, variables: list, has_aux: bool) -> Callable:
    def f(*args, **kwargs):
        value, aux = _split(fn(*args, **kwargs), has_aux, "value_and_grad")
        value = _scalar(value, "value_and_grad")
        return (value, aux) if has_aux else value

    return current.value_and_grad(f, variables, has_aux=has_aux)


def grad(fn: Callable, argnums: int | Sequence = 0, has_aux: bool = False) -> Callable:
    """Return a function that computes the gradient of `fn`, a scalar; arguments as for `value_and_grad`.

    >>> from multikeras import ops
    >>> float(ops.grad(ops.grad(lambda x: x * x * x))(2.0))
    12.0
    """
    both = value_and_grad(fn, argnums, has_aux)

    @functools.wraps(fn)
    def run(*args, **kwargs):
        value, grads = both(*args, **kwargs)
        return (grads, value[1]) if has_aux else grads

    return run


def vjp(fun: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """Return `fun(*primals)` and the function that takes a cotangent of it back to those of the primals, a tuple.

    >>> from multikeras import ops
    >>> y, pullback = ops.vjp(lambda x: ops.sum(x * x), ops.convert_to_tensor([1.0, 2.0]))
    >>> ops.convert_to_numpy(pullback(ops.ones(()))[0]).tolist()
    [2.0, 4.0]
    """

    def of_all(structure):
        out, aux = _split(fun(*structure), has_aux, "vjp")
        return _tensors(out), _tensors(aux)

    xs, f, arranged = _on_leaves(of_all, list(primals), "vjp")
    (out, aux), pullback = current.vjp(f, xs)

    def back(cotangents):
        return tuple(arranged(pullback((_tensors(cotangents), _zeros(aux)))))

    return (out, back, aux) if has_aux else (out, back)


def jvp(fun: Callable, primals: Sequence, tangents: Sequence, has_aux: bool = False) -> tuple:
    """Return `fun(*primals)` and its derivative in the direction of `tangents`.

    >>> from multikeras import ops
    >>> y, slope = ops.jvp(lambda x: x * x, (3.0,), (1.0,))
    >>> float(y), float(slope)
    (9.0, 6.0)
    """
    if not isinstance(primals, (list, tuple)) or not isinstance(tangents, (list, tuple)):
        raise TypeError("jvp: primals and tangents must be tuples or lists, an entry for each argument of fun.")
    tree.assert_same_structure(list(primals), list(tangents))
    if is_symbolic(primals):
        out, aux = _split(fun(*primals), has_aux, "jvp")
        slopes = tree.map_structure(lambda y: as_keras_tensor(as_spec(y)), out)
        return (out, slopes, aux) if has_aux else (out, slopes)

    def of_all(structure):
        out, aux = _split(fun(*structure), has_aux, "jvp")
        return _tensors(out), _tensors(aux)

    xs, f, _ = _on_leaves(of_all, list(primals), "jvp")
    directions = [
        current.broadcast_to(current.asarray(t, current.dtype(x)), current.shape(x))
        for t, x in zip([t for t in tree.flatten(list(tangents)) if t is not None], xs, strict=True)
    ]
    (out, aux), (slopes, _) = current.jvp(f, xs, directions)
    return (out, slopes, aux) if has_aux else (out, slopes)


def custom_gradient(f: Callable) -> Callable:
    """Give a function its own derivative: it returns its result and a function from upstream to the gradients.

    >>> from multikeras import ops
    >>> @ops.custom_gradient
    ... def clipped(x):
    ...     return x * x, lambda *args, upstream=None: ops.minimum(args[0] if upstream is None else upstream, 1.0)
    >>> float(ops.grad(clipped)(3.0))
    1.0
    """
    if not callable(f):
        raise TypeError(f"custom_gradient: f must be callable, got {f!r}.")
    native = current.custom_gradient(f)

    @functools.wraps(f)
    def call(*args, **kwargs):
        if is_symbolic(args):
            return SPEC.custom_gradient(f)(*args, **kwargs)
        return native(*[x.value if isinstance(x, Variable) else x for x in args], **kwargs)

    return call


def jit(fn: Callable, variables: Sequence | None = None, compile: bool | str = "auto") -> Callable:
    """Return `fn` compiled by the framework; it may read and write Variables.

    Args:
        fn: Function of trees of tensors; other arguments are constants of the compiled program.
        variables: The Variables `fn` touches; found out if None.
        compile: True for the strongest compiler, False for none beyond tracing, "auto" for what usually pays.

    >>> import multikeras as mk
    >>> double = mk.jit(lambda x: x * 2)
    >>> float(double(mk.ops.ones(())))
    2.0
    """
    return current.jit(fn, variables, compile)
