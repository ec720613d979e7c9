"""Functions over Python that reads and writes Variables, compiled by JAX: lifted into pure ones, traced, kept."""

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax
from jax._src.array import ArrayImpl  # the only spelling that does not start a device at import
from jax._src.core import jaxpr_as_fun  # that of `jax.extend` takes 17 ms to import

from multikeras.backend.scope import Scope, stack

if jax.__version_info__[:2] == (0, 10):  # what XLA of another release does with what is in a kernel is not known
    from jax.experimental.scheduling_groups import xla_metadata_call
else:
    xla_metadata_call = None  # type: ignore[assignment]

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
_ONE_KERNEL = {**_QUICKLY, "xla_cpu_experimental_ynn_fusion_type": "", "xla_backend_optimization_level": 1}
"""Options for programs that are one kernel: that has no calls of libraries; further levels take longer and gain nothing."""
_KERNELS_HOLD = frozenset(
    "abs add add_any and argmax argmin atan2 bitcast_convert_type broadcast_in_dim ceil clamp closed_call concatenate cond "
    "convert_element_type copy copy_p cos custom_jvp_call custom_vjp_call div dot_general dynamic_slice "
    "dynamic_update_slice eq erf erf_inv erfc exp exp2 expand_dims expm1 floor gather ge gt integer_pow iota is_finite jit "
    "le log log1p logistic lt max min mul ne neg not or pad pjit pow random_bits random_wrap reduce_and reduce_max "
    "reduce_min reduce_or reduce_prod reduce_sum rem reshape rev round rsqrt scan scatter scatter-add select_n shift_left "
    "shift_right_arithmetic shift_right_logical sign sin slice split sqrt square squeeze stop_gradient sub tan tanh "
    "threefry2x32 transpose while xor".split()
)
"""Operations that are known to become part of a kernel. On some others XLA would end the process."""
_KERNELS_COMPUTE = frozenset("bool float32 float64 int8 int32 int64 key<fry> uint8 uint32".split())
_MOST_OPERATIONS = 800
"""How many operations a kernel has at most: it takes longer to compile than they do one by one from there on."""


def _is_small(jaxpr) -> bool:
    """Tell whether all that a program computes are small arrays."""
    return all(
        all(math.prod(x.aval.shape) <= _SMALL for x in equation.outvars if hasattr(x.aval, "shape"))
        for equation in _operations(jaxpr)
    )


def _gains_as_one_kernel(jaxpr) -> bool:
    """Tell whether a program is one that gains by being one kernel: few operations, and products of tiny matrices."""
    operations = list(itertools.islice(_operations(jaxpr), _MOST_OPERATIONS + 1))
    return len(operations) <= _MOST_OPERATIONS and all(
        x.primitive.name in _KERNELS_HOLD
        and not x.effects
        and all(y.aval.dtype.name in _KERNELS_COMPUTE for y in x.outvars)
        and (x.primitive.name != "dot_general" or _is_tiny_product(x))
        for x in operations
    )


def _is_tiny_product(equation) -> bool:
    """Tell whether plain loops compute a product of matrices as fast as a library: XLA unrolls them to a length of 32."""
    x, (result,) = equation.invars[0].aval, equation.outvars
    length = math.prod(x.shape[i] for i in equation.params["dimension_numbers"][0][0])
    return length * math.prod(result.aval.shape) <= (16384 if length <= 32 else 4096)


def _operations(jaxpr):
    """Yield the operations of a program and of the programs inside them: bodies of loops, functions called."""
    for equation in jaxpr.eqns:
        yield equation
        for x in jax.tree.leaves(list(equation.params.values())):
            inside = getattr(x, "jaxpr", x)
            if hasattr(inside, "eqns"):
                yield from _operations(inside)


class _OtherWay(Exception):
    """A program that is not to be compiled in the way that was tried."""


def _one_kernel(program: Any, values: list, leaves: list) -> tuple[Any, jax.Array]:
    """Return what `program` does, as a call that XLA compiles to a single kernel, and a number that depends on each argument.

    XLA's own way is a kernel for each few operations, called one after the other. For arrays of 100 numbers the calls cost
    most: a step of a Dense network 8-10-10-1 with Adam takes 2.3 us as one kernel, 6.8 us as 60.
    """
    traced = program.trace(values, leaves)
    arguments = jax.tree.leaves((values, leaves))
    possible = xla_metadata_call is not None and jax.device_count() == 1
    known = all(x.size and x.dtype.name in _KERNELS_COMPUTE for x in arguments)
    if not (possible and known and _is_small(traced.jaxpr) and _gains_as_one_kernel(traced.jaxpr)):
        raise _OtherWay

    def whole(*arguments):
        # XLA ends the process where nothing in the call uses an argument; what is left of it depends on optimizations.
        used = sum(lax.slice(x, (0,) * x.ndim, (1,) * x.ndim).reshape(()).astype("float32") for x in arguments)
        return jaxpr_as_fun(traced.jaxpr)(*arguments), used

    call = xla_metadata_call(whole, xla_cpu_small_call="true", inlineable="false")  # type: ignore[misc]
    results, used = call(*arguments)
    return jax.tree.unflatten(jax.tree.structure(traced.out_info), results), used


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
            for way in (self._as_one_kernel(key, program), quick):
                try:
                    outcome = way(values, leaves)
                except _OtherWay:
                    continue
                except jax.errors.JaxRuntimeError as error:
                    if "compile option" not in str(error):  # another XLA, which has no such option
                        raise
                else:
                    self.programs[key] = way
                    return outcome
        return program(values, leaves)

    def _as_one_kernel(self, key, program):
        """Return a program compiled as one kernel, which gives its place up when called with larger arrays."""
        kernel = jax.jit(functools.partial(_one_kernel, program), compiler_options=_ONE_KERNEL)

        def run(values, leaves):
            try:
                return kernel(values, leaves)[0]
            except _OtherWay:
                if self.programs[key] is not run:
                    raise
                self.programs[key] = program
                return program(values, leaves)

        return run

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
