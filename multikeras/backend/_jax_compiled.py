"""Functions over Python that reads and writes Variables, compiled by JAX: lifted into pure ones, traced, kept."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax._src.array import ArrayImpl  # the only spelling that does not start a device at import

from multikeras.backend.scope import Scope, stack

AS_THEY_ARE = frozenset(map(np.dtype, ("float32", "int32", "uint32", "bool", "uint8", "int8", "float16")))
"""Numpy arrays that compiled functions take without a change of dtype: faster than those made arrays of JAX before."""


def read(variable: Any) -> Any:
    """Return the value of a Variable as scopes redirect it, never cast."""
    redirect = stack.redirect
    if redirect is not None:
        value = redirect.get(variable)
        if value is not None:
            return value
    return variable._store


def write(variable: Any, value: Any) -> None:
    """Write a value that already has the dtype and shape of the Variable."""
    redirect = stack.redirect
    if redirect is not None:
        redirect.set(variable, value)
    else:
        variable._store = value


class Touched(Exception):
    """Variables that a traced function touched without having been given them."""

    def __init__(self, variables):
        self.variables = variables


@jax.tree_util.register_pytree_node_class
class Outcome:
    """Arrays that leave a traced function, beside what is known of them when it is traced."""

    __slots__ = ("arrays", "form")

    def __init__(self, arrays, form):
        self.arrays, self.form = arrays, form

    def tree_flatten(self):
        return self.arrays, self.form

    @classmethod
    def tree_unflatten(cls, form, arrays):
        return cls(arrays, form)


def join(form: tuple, arrays: Sequence) -> Any:
    """Return the tree that `JaxBackend._split` took apart, with other arrays."""
    structure, statics = form
    leaves = list(arrays)
    for i, leaf in statics:
        leaves.insert(i, leaf)
    return jax.tree.unflatten(structure, leaves)


_SMALL = 4096
"""How many numbers the arrays of a program have at most for which kernels that take long to compile gain nothing."""
_QUICKLY = {"xla_cpu_use_fusion_emitters": False}
"""Options of XLA for CPUs with which it takes half the time to compile; kernels over large arrays are slower by a tenth."""


def _is_small(jaxpr) -> bool:
    """Tell whether all that a program computes are small arrays."""
    return all(
        all(math.prod(x.aval.shape) <= _SMALL for x in equation.outvars if hasattr(x.aval, "shape"))
        and all(map(_is_small, _inside(equation)))
        for equation in jaxpr.eqns
    )


def _inside(equation):
    """Return the programs inside an operation: bodies of loops, functions called."""
    found = (getattr(x, "jaxpr", x) for x in jax.tree.leaves(list(equation.params.values())))
    return [x for x in found if hasattr(x, "eqns")]


class Compiled:
    """A function of trees that reads and writes Variables, compiled for each kind of arguments.

    Args:
        backend: The backend.
        f: The function.
        variables: What it touches, as far as is known.
        quickly: Whether small programs that write are compiled with `_QUICKLY`; then it is never called inside other programs.
        cuts: Whether `f` cuts out of its arguments what it works on, so that their own size does not matter.
    """

    def __init__(self, backend, f, variables, quickly=False, cuts=False):
        self.backend, self.f = backend, f
        self.quickly, self.cuts, self.writes = quickly and jax.default_backend() == "cpu", cuts, False
        self.variables = list({id(v): v for v in variables}.values())
        self.index = {id(v): i for i, v in enumerate(self.variables)}
        self.programs: dict[Any, Callable] = {}
        self.attempts = 0
        functools.update_wrapper(self, f)

    def __call__(self, *args, **kwargs):
        leaves, structure = jax.tree.flatten((args, kwargs))
        statics = ()
        for leaf in leaves:
            if type(leaf) is not ArrayImpl and not (type(leaf) is np.ndarray and leaf.dtype in AS_THEY_ARE):
                leaves, (structure, statics) = self.backend._split((args, kwargs))
                break
        form = structure, statics
        key = structure, statics, tuple([type(s[1]) for s in statics]), stack.autocast
        try:
            program = self.programs.get(key)
        except TypeError as error:
            raise TypeError(f"jit: arguments must be tensors or hashable, got {[s[1] for s in statics]!r}.") from error
        if program is None:
            program = functools.partial(self._first_call, key, jax.jit(functools.partial(self._trace, form)))
        variables = self.variables
        while True:
            if stack.redirect is None:
                values = [v._store for v in variables]
            else:
                values = [read(v) for v in variables]
            try:
                outcome = program(values, leaves)
                break
            except Touched as touched:
                self.attempts += 1
                self.index.update((id(v), len(variables) + i) for i, v in enumerate(touched.variables))
                variables.extend(touched.variables)
        (form, written), arrays = outcome.form, outcome.arrays
        count = len(arrays) - len(written)
        if stack.redirect is None:
            for i, value in zip(written, arrays[count:]):
                variables[i]._store = value
        else:
            for i, value in zip(written, arrays[count:]):
                write(variables[i], value)
        structure, statics = form
        return join(form, arrays[:count]) if statics else structure.unflatten(arrays[:count])

    def _first_call(self, key, program, values, leaves):
        """Call a program that is not compiled yet, and keep it as it should be compiled."""
        self.programs[key] = program
        small = self.quickly and (self.cuts or all(x.size <= _SMALL for x in leaves))
        if small and _is_small(program.trace(values, leaves).jaxpr) and self.writes:
            quick = jax.jit(program.__wrapped__, compiler_options=_QUICKLY)  # what was traced is found again
            try:
                outcome = quick(values, leaves)
            except jax.errors.JaxRuntimeError as error:
                if "compile option" not in str(error):  # another XLA, which has no such option
                    raise
            else:
                self.programs[key] = quick
                return outcome
        return program(values, leaves)

    def _trace(self, form, values, leaves):
        args, kwargs = join(form, leaves)
        with Scope(zip(self.variables, values)) as inner:
            inner.read = {}
            result = self.f(*args, **kwargs)
        missing = [v for i, v in {**inner.read, **inner.written}.items() if i not in self.index]
        # What is still new after some turns is made anew by each call of `f` and dies with it.
        if missing and self.attempts < 4:
            raise Touched(missing)
        arrays, form = self.backend._split(result)
        written = [v for i, v in inner.written.items() if i in self.index]
        self.writes = bool(written)
        after = [inner.current_value(v) for v in written]
        return Outcome([*arrays, *after], (form, tuple(self.index[id(v)] for v in written)))
