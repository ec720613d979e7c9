"""JAX's control flow, derivatives and compiled functions over Python that reads and writes Variables.

Functions are lifted into pure ones by `scope.Scope`: inside it a read of a Variable gives a tracer, a write stays in
the scope, and what was written leaves the traced function as one more result. Which Variables a function touches is
known after it was traced once; if it touched some that were not handed in, it is traced again with them.
"""

import functools
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax._src.array import ArrayImpl  # the only spelling that does not start a device at import

from multikeras.backend import dtypes
from multikeras.backend.interface import Backend
from multikeras.backend.scope import Scope, SymbolicScope, stack
from multikeras.backend.shapes import Spec


class Names(dict):
    """Names of numpy dtypes: `dtype.name` builds its string anew each time."""

    def __missing__(self, dtype):
        self[dtype] = name = dtype.name
        return name


dtype_names = Names()


_AS_THEY_ARE = frozenset(map(np.dtype, ("float32", "int32", "uint32", "bool", "uint8", "int8", "float16")))
"""Numpy arrays that compiled functions take without a change of dtype: faster than those made arrays of JAX before."""
WIDE = frozenset(("float64", "int64", "uint64", "complex128"))


def precision(*names: str):
    """Return a context in which JAX's own helpers compute in 64 bits if one of the dtypes `names` has them.

    Outside of it some of its functions, and more of their derivatives, mix in 32-bit constants and fail.
    """
    return jax.enable_x64(True) if WIDE.intersection(names) else nullcontext()


def _precision_of(arrays):
    return precision(*(dtype_names[x.dtype] for x in arrays))


class JaxVariable:
    """What a Variable is to JAX: something that `jnp.asarray` and the operators of arrays accept."""

    _store: jax.Array

    def __jax_array__(self):
        return self.value  # type: ignore[attr-defined]


def _read(variable: Any) -> Any:
    """Return the value of a Variable as scopes redirect it, never cast."""
    redirect = stack.redirect
    if redirect is not None:
        value = redirect.get(variable)
        if value is not None:
            return value
    return variable._store


def _write(variable: Any, value: Any) -> None:
    """Write a value that already has the dtype and shape of the Variable."""
    redirect = stack.redirect
    if redirect is not None:
        redirect.set(variable, value)
    else:
        variable._store = value


def _write_all(variables=(), values=()) -> None:
    for variable, value in zip(variables, values):
        _write(variable, value)


class _Touched(Exception):
    """Variables that a traced function touched without having been given them."""

    def __init__(self, variables):
        self.variables = variables


class _Convolves(Exception):
    """A loop contains convolutions, for which XLA on CPUs has its fast kernels only outside loops (30 times faster)."""


def _carrying(attempt: Callable, variables=()) -> Any:
    """Return `attempt(carried)`, tried again with more until all Variables that it writes are carried."""
    carried = list(variables)
    while True:
        try:
            return attempt(carried)
        except _Touched as touched:
            carried = carried + touched.variables


def _values_after(inner: Scope, carried: list) -> list:
    """Return the values of the Variables carried into a scope, refusing writes of others."""
    known = set(map(id, carried))
    if missing := [v for i, v in inner.written.items() if i not in known]:
        raise _Touched(missing)
    return [inner.current_value(v) for v in carried]


@jax.tree_util.register_pytree_node_class
class _Outcome:
    """Arrays that leave a traced function, beside what is known of them when it is traced."""

    __slots__ = ("arrays", "form")

    def __init__(self, arrays, form):
        self.arrays, self.form = arrays, form

    def tree_flatten(self):
        return self.arrays, self.form

    @classmethod
    def tree_unflatten(cls, form, arrays):
        return cls(arrays, form)


def _is_array(x: Any) -> bool:
    return isinstance(x, (jax.Array, np.ndarray, np.generic, JaxVariable))


def _join(form: tuple, arrays: Sequence) -> Any:
    """Return the tree that `JaxBackend._split` took apart, with other arrays."""
    structure, statics = form
    leaves = list(arrays)
    for i, leaf in statics:
        leaves.insert(i, leaf)
    return jax.tree.unflatten(structure, leaves)


def _cotangent(backend, gradient, x):
    """Return a gradient as JAX expects it for `x`: of its dtype, zeros for None, of the empty dtype for integers."""
    if not dtypes.is_inexact(dtype_names[x.dtype]):
        return np.zeros(x.shape, jax.dtypes.float0)
    return jnp.zeros(x.shape, x.dtype) if gradient is None else backend.asarray(gradient, dtype_names[x.dtype])


class _Compiled:
    """A function of trees that reads and writes Variables, compiled for each kind of arguments."""

    def __init__(self, backend, f, variables):
        self.backend, self.f = backend, f
        self.variables = list({id(v): v for v in variables}.values())
        self.index = {id(v): i for i, v in enumerate(self.variables)}
        self.programs: dict[Any, Callable] = {}
        self.attempts = 0
        functools.update_wrapper(self, f)

    def __call__(self, *args, **kwargs):
        leaves, structure = jax.tree.flatten((args, kwargs))
        statics = ()
        for leaf in leaves:
            if type(leaf) is not ArrayImpl and not (type(leaf) is np.ndarray and leaf.dtype in _AS_THEY_ARE):
                leaves, (structure, statics) = self.backend._split((args, kwargs))
                break
        form = structure, statics
        key = structure, statics, tuple([type(s[1]) for s in statics]), stack.autocast
        try:
            program = self.programs.get(key)
        except TypeError as error:
            raise TypeError(f"jit: arguments must be tensors or hashable, got {[s[1] for s in statics]!r}.") from error
        if program is None:
            program = self.programs[key] = jax.jit(functools.partial(self._trace, form))
        variables = self.variables
        while True:
            if stack.redirect is None:
                values = [v._store for v in variables]
            else:
                values = [_read(v) for v in variables]
            try:
                outcome = program(values, leaves)
                break
            except _Touched as touched:
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
                _write(variables[i], value)
        structure, statics = form
        return _join(form, arrays[:count]) if statics else structure.unflatten(arrays[:count])

    def _trace(self, form, values, leaves):
        args, kwargs = _join(form, leaves)
        with Scope(zip(self.variables, values)) as inner:
            inner.read = {}
            result = self.f(*args, **kwargs)
        missing = [v for i, v in {**inner.read, **inner.written}.items() if i not in self.index]
        # What is still new after some turns is made anew by each call of `f` and dies with it.
        if missing and self.attempts < 4:
            raise _Touched(missing)
        arrays, form = self.backend._split(result)
        written = [v for i, v in inner.written.items() if i in self.index]
        after = [inner.current_value(v) for v in written]
        return _Outcome([*arrays, *after], (form, tuple(self.index[id(v)] for v in written)))


class JaxPrograms(Backend):
    """The half of the JAX backend that runs functions."""

    convolutions = 0
    """How many convolutions ran or were traced."""

    # -- control ---------------------------------------------------------------------------------------------------

    stop_gradient = staticmethod(lax.stop_gradient)

    def cond(self, predicate, true_fn, false_fn):
        if not isinstance(predicate, jax.core.Tracer):
            return true_fn() if predicate else false_fn()

        def attempt(carried):
            def branch(f):
                return lambda values: self._pure(f, carried, values)

            before = [_read(v) for v in carried]
            return self._finish(lax.cond(predicate, branch(true_fn), branch(false_fn), before), carried)

        return _carrying(attempt)

    def while_loop(self, condition, body, state, maximum_iterations):
        state = self._tensors(tuple(state))
        structure = jax.tree.structure(state)

        def attempt(carried):
            def goes_on(loop):
                count, state, values = loop
                with Scope(zip(carried, values)):
                    going = jnp.reshape(condition(*state), ())
                return going if maximum_iterations is None else going & (count < maximum_iterations)

            written: dict[int, Any] = {}

            def step(loop):
                count, state, values = loop
                state, values = self._step(lambda: body(*state), structure, carried, values, written)
                return count + 1, state, values

            before = jnp.zeros((), "int32"), state, [_read(v) for v in carried]
            _, after, values = lax.while_loop(goes_on, step, before)
            _write_all(*zip(*((v, value) for v, value in zip(carried, values) if id(v) in written)))
            return after

        return _carrying(attempt)

    def scan(self, f, init, xs, length, reverse=False, unroll=1):
        return self._scan(f, init, xs, length, reverse, unroll)

    def _scan(self, f, init, xs, length=None, reverse=False, unroll=1, variables=()):
        init, xs = self._tensors(init), self._tensors(xs)
        structure = jax.tree.structure((init, 0))
        written: dict[int, Any] = {}

        def attempt(carried):
            def step(loop, x):
                ys = []

                def run():
                    state, y = f(loop[0], x)
                    ys.append(self._tensors(y))
                    return state, 0

                (state, _), values = self._step(run, structure, carried, loop[1], written)
                return (state, values), ys[0]

            before = init, [_read(v) for v in carried]
            (after, values), ys = lax.scan(step, before, xs, length, reverse=reverse, unroll=unroll)
            _write_all(*zip(*((v, value) for v, value in zip(carried, values) if id(v) in written)))
            return after, ys

        return _carrying(attempt, variables)

    def vectorized_map(self, f, xs):
        def attempt(carried):
            def one(x, values):
                with Scope(zip(carried, values)) as inner:
                    y = self._tensors(f(x))
                return y, _values_after(inner, carried)

            before = [_read(v) for v in carried]
            ys, values = jax.vmap(one, in_axes=(0, None), out_axes=(0, None))(self._tensors(xs), before)
            _write_all(carried, values)
            return ys

        return _carrying(attempt)

    def custom_gradient(self, f):
        @functools.wraps(f)
        def wrapped(*args, **kwargs):
            arrays, form = self._split(args)

            def with_rule(*arrays):
                output, grad = f(*_join(form, arrays), **kwargs)

                def rule(upstream):
                    grads = grad(*upstream) if isinstance(upstream, tuple) else grad(upstream)
                    grads = list(grads) if isinstance(grads, (list, tuple)) else [grads]
                    if len(grads) == len(args) and len(arrays) < len(args):
                        grads = [g for g, arg in zip(grads, args) if _is_array(arg)]
                    return tuple(_cotangent(self, g, x) for g, x in zip(grads, arrays, strict=True))

                return output, rule

            return jax.custom_gradient(with_rule)(*arrays)

        return wrapped

    def remat(self, f):
        @functools.wraps(f)
        def wrapped(*args, **kwargs):
            arrays, form = self._split((args, kwargs))

            def attempt(carried):
                def pure(values, arrays):
                    args, kwargs = _join(form, arrays)
                    return self._pure(lambda: f(*args, **kwargs), carried, values)

                return self._finish(jax.checkpoint(pure)([_read(v) for v in carried], arrays), carried)

            return _carrying(attempt)

        return wrapped

    # -- programs --------------------------------------------------------------------------------------------------

    def _tensors(self, tree):
        """Return a tree whose leaves are arrays."""
        return jax.tree.map(self.asarray, tree)

    def _split(self, tree):
        """Return the arrays of a tree and its form: structure and the other leaves, which must be hashable."""
        leaves, structure = jax.tree.flatten(tree)
        statics = tuple((i, leaf) for i, leaf in enumerate(leaves) if not _is_array(leaf))
        return [self.asarray(leaf) for leaf in leaves if _is_array(leaf)], (structure, statics)

    def _pure(self, f, carried, values):
        """Return the `_Outcome` of `f()` with the Variables `carried` redirected to `values`."""
        with Scope(zip(carried, values)) as inner:
            result = f()
        arrays, form = self._split(result)
        return _Outcome([*arrays, *_values_after(inner, carried)], form)

    def _finish(self, outcome, carried):
        """Write the Variables `carried` and return the result of `_pure`."""
        count = len(outcome.arrays) - len(carried)
        _write_all(carried, outcome.arrays[count:])
        return _join(outcome.form, outcome.arrays[:count])

    def _step(self, run, structure, carried, values, written=None):
        """Return what one turn of a loop makes of its state, nested as before, and of the Variables carried along."""
        with Scope(zip(carried, values)) as inner:
            state = self._tensors(run())
        if written is not None:
            written.update(inner.written)
        return jax.tree.unflatten(structure, jax.tree.leaves(state)), _values_after(inner, carried)

    def value_and_grad(self, f, variables, has_aux=False, rows=False):
        variables = list(variables)
        floating = [v for v in variables if dtypes.is_inexact(v._dtype)]

        def run(*args, **kwargs):
            seen: dict[str, Any] = {}

            def pure(values):
                with Scope(zip(floating, values)) as inner:
                    inner.read = {}
                    result = f(*args, **kwargs)
                loss, aux = result if has_aux else (result, None)
                arrays, seen["form"] = self._split(aux)
                seen["read"], seen["written"] = inner.read, list(inner.written.values())
                return self.asarray(loss), (arrays, [inner.current_value(v) for v in seen["written"]])

            values = [_read(v) for v in floating]
            with _precision_of(values):
                (loss, (arrays, written)), grads = jax.value_and_grad(pure, has_aux=True)(values)
            _write_all(seen["written"], written)
            by_id = {id(v): g for v, g in zip(floating, grads) if id(v) in seen["read"]}
            grads = [by_id.get(id(v)) for v in variables]
            return ((loss, _join(seen["form"], arrays)) if has_aux else loss), grads

        return run

    def vjp(self, f, xs):
        written = []

        def pure(*xs):
            with Scope() as inner:
                result = self._tensors(f(*xs))
            written[:] = inner.written.values()
            return result, [inner.current_value(v) for v in written]

        with _precision_of(xs):
            result, pullback, values = jax.vjp(pure, *xs, has_aux=True)
        _write_all(written, values)

        def cotangents(upstream):
            upstream = jax.tree.map(lambda u, y: _cotangent(self, u, y), upstream, result)
            with _precision_of(xs):
                grads = zip(pullback(upstream), xs)
            return [jnp.zeros(x.shape, x.dtype) if g.dtype == jax.dtypes.float0 else g for g, x in grads]

        return result, cotangents

    def jvp(self, f, xs, tangents):
        written = []

        def pure(*xs):
            with Scope() as inner:
                result = self._tensors(f(*xs))
            written[:] = inner.written.values()
            return result, [inner.current_value(v) for v in written]

        tangents = tuple(_cotangent(self, t, x) for t, x in zip(tangents, xs))
        with _precision_of(xs):
            result, directions, values = jax.jvp(pure, tuple(xs), tangents, has_aux=True)
        _write_all(written, values)
        return result, directions

    def jit(self, f, variables=None, compile="auto", pure=False):
        return _Compiled(self, f, variables or ())

    def argument(self, x):
        return x if type(x) is np.ndarray and x.dtype in _AS_THEY_ARE else self.asarray(x)

    def repeat(self, step, variables, compile="auto", pure=False, done=None):
        variables = list({id(v): v for v in variables}.values())

        def slice_of(xs, i):
            return jax.tree.map(lambda x: lax.dynamic_index_in_dim(x, i, keepdims=False), xs)

        def many(xs, start, stop, shared):
            def one(i):
                step(slice_of(xs, i), *shared)
                return (i + 1,)

            before = self.convolutions
            done = self.while_loop(lambda i: i < stop, one, (start,), None)
            # XLA on CPU runs convolutions inside loops on one thread, tens of times slower.
            if self.convolutions > before and jax.default_backend() == "cpu":
                raise _Convolves
            return done

        def turn(xs, i, shared):
            step(slice_of(xs, i), *shared)
            return i

        whole, single = self.jit(many, variables), self.jit(turn, variables)
        loops = False

        def run(xs, start, stop, *shared):
            nonlocal loops
            if not loops:
                try:
                    return whole(xs, np.int32(start), np.int32(stop), shared)
                except _Convolves:
                    loops = True
            done = None
            for i in range(start, stop):
                done = single(xs, np.int32(i), shared)
            return done

        return run

    def map_batches(self, f, variables):
        def many(xs, first, count, like, size, most):
            def one(i, outputs):
                ys = f(jax.tree.map(lambda x: lax.dynamic_slice_in_dim(x, first + i * size, size), xs))
                return i + 1, jax.tree.map(lambda out, y: lax.dynamic_update_index_in_dim(out, y, i, 0), outputs, ys)

            before = self.convolutions
            outputs = jax.tree.map(lambda y: jnp.zeros((most, *y.shape), y.dtype), like)
            _, outputs = self.while_loop(lambda i, _: i < count, one, (jnp.int32(0), outputs), None)
            if self.convolutions > before and jax.default_backend() == "cpu":
                raise _Convolves
            return jax.tree.map(lambda y: y.reshape(-1, *y.shape[2:]), outputs)

        whole = self.jit(many, variables)

        def run(xs, first, count, size, like):
            most = 1 << (count - 1).bit_length()  # few programs serve all counts
            try:
                outputs = whole(xs, np.int32(first), np.int32(count), like, size, most)
            except _Convolves:
                return None
            return jax.tree.map(lambda y: y[: count * size], outputs)

        return run

    def eval_shape(self, f, *specs):
        leaves, structure = jax.tree.flatten(specs)
        places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Spec)]

        def run(size):
            def pure(arrays):
                given = list(leaves)
                for i, x in zip(places, arrays):
                    given[i] = x
                with SymbolicScope():
                    result = f(*jax.tree.unflatten(structure, given))
                return _Outcome(*self._split(result))

            shapes = ([size if d is None else d for d in leaves[i].shape] for i in places)
            arrays = [jax.ShapeDtypeStruct(shape, leaves[i].dtype) for i, shape in zip(places, shapes)]
            return jax.eval_shape(pure, arrays)

        # Both divide by much, so that unknown sizes can be reshaped, and stay apart after strides.
        small = run(240)
        large = run(720) if any(None in leaves[i].shape for i in places) else small
        outputs = [
            Spec([d if d == e else None for d, e in zip(a.shape, b.shape)], dtype_names[a.dtype])
            for a, b in zip(small.arrays, large.arrays)
        ]
        return _join(small.form, outputs)

    def observe(self, x, see):
        if isinstance(x, jax.core.Tracer):
            jax.debug.callback(lambda x: see(np.asarray(x)), x)
        else:
            see(np.asarray(x))

    def observed(self, x, see, see_gradient):
        # jax.custom_gradient would compile the rule anew each time, custom_vjp calls it on values.
        @jax.custom_vjp
        def identity(x):
            return x

        def forward(x):
            self.observe(x, see)
            return x, None

        def backward(_, upstream):
            self.observe(upstream, see_gradient)
            return (upstream,)

        identity.defvjp(forward, backward)
        return identity(x)

    def finish_observing(self):
        jax.effects_barrier()

    bridges = frozenset(("jax",))

    def map_leaves(self, f, *trees):
        return jax.tree.map(f, *trees)
