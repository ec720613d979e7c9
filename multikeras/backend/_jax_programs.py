"""JAX's control flow, derivatives and compiled functions over Python that reads and writes Variables.

Functions are lifted into pure ones by `scope.Scope`: inside it a read of a Variable gives a tracer, a write stays in
the scope, and what was written leaves the traced function as one more result. Which Variables a function touches is
known after it was traced once; if it touched some that were not handed in, it is traced again with them.
"""

import functools
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from multikeras.backend import dtypes
from multikeras.backend._jax_compiled import AS_THEY_ARE, Compiled, Outcome, Touched, join, read, write
from multikeras.backend.interface import Backend
from multikeras.backend.scope import Scope, SymbolicScope
from multikeras.backend.shapes import Spec


class Names(dict):
    """Names of numpy dtypes: `dtype.name` builds its string anew each time."""

    def __missing__(self, dtype):
        self[dtype] = name = dtype.name
        return name


dtype_names = Names()
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


def _write_all(variables=(), values=()) -> None:
    for variable, value in zip(variables, values):
        write(variable, value)


class _Convolves(Exception):
    """A loop contains convolutions, for which XLA on CPUs has its fast kernels only outside loops (30 times faster)."""


def _carrying(attempt: Callable, variables=()) -> Any:
    """Return `attempt(carried)`, tried again with more until all Variables that it writes are carried."""
    carried = list(variables)
    while True:
        try:
            return attempt(carried)
        except Touched as touched:
            carried = carried + touched.variables


def _values_after(inner: Scope, carried: list) -> list:
    """Return the values of the Variables carried into a scope, refusing writes of others."""
    known = set(map(id, carried))
    if missing := [v for i, v in inner.written.items() if i not in known]:
        raise Touched(missing)
    return [inner.current_value(v) for v in carried]


def _number(i: int) -> np.ndarray:
    """Return an integer as compiled functions take it fastest: as an array, not as a scalar of numpy."""
    return np.array(i, "int32")


def _is_array(x: Any) -> bool:
    return isinstance(x, (jax.Array, np.ndarray, np.generic, JaxVariable))


def _cotangent(backend, gradient, x):
    """Return a gradient as JAX expects it for `x`: of its dtype, zeros for None, of the empty dtype for integers."""
    if not dtypes.is_inexact(dtype_names[x.dtype]):
        return np.zeros(x.shape, jax.dtypes.float0)
    return jnp.zeros(x.shape, x.dtype) if gradient is None else backend.asarray(gradient, dtype_names[x.dtype])


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

            before = [read(v) for v in carried]
            return self._finish(lax.cond(predicate, branch(true_fn), branch(false_fn), before), carried)

        return _carrying(attempt)

    def while_loop(self, condition, body, state, maximum_iterations):
        return self._while_loop(condition, body, state, maximum_iterations)

    def _while_loop(self, condition, body, state, maximum_iterations=None, variables=()):
        """Do the same; the body is traced once where it writes only `variables`."""
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

            before = jnp.zeros((), "int32"), state, [read(v) for v in carried]
            _, after, values = lax.while_loop(goes_on, step, before)
            _write_all(*zip(*((v, value) for v, value in zip(carried, values) if id(v) in written)))
            return after

        return _carrying(attempt, variables)

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

            before = init, [read(v) for v in carried]
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

            before = [read(v) for v in carried]
            ys, values = jax.vmap(one, in_axes=(0, None), out_axes=(0, None))(self._tensors(xs), before)
            _write_all(carried, values)
            return ys

        return _carrying(attempt)

    def custom_gradient(self, f):
        @functools.wraps(f)
        def wrapped(*args, **kwargs):
            arrays, form = self._split(args)

            def with_rule(*arrays):
                output, grad = f(*join(form, arrays), **kwargs)

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
                    args, kwargs = join(form, arrays)
                    return self._pure(lambda: f(*args, **kwargs), carried, values)

                return self._finish(jax.checkpoint(pure)([read(v) for v in carried], arrays), carried)

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
        """Return the `Outcome` of `f()` with the Variables `carried` redirected to `values`."""
        with Scope(zip(carried, values)) as inner:
            result = f()
        arrays, form = self._split(result)
        return Outcome([*arrays, *_values_after(inner, carried)], form)

    def _finish(self, outcome, carried):
        """Write the Variables `carried` and return the result of `_pure`."""
        count = len(outcome.arrays) - len(carried)
        _write_all(carried, outcome.arrays[count:])
        return join(outcome.form, outcome.arrays[:count])

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

            values = [read(v) for v in floating]
            with _precision_of(values):
                (loss, (arrays, written)), grads = jax.value_and_grad(pure, has_aux=True)(values)
            _write_all(seen["written"], written)
            by_id = {id(v): g for v, g in zip(floating, grads) if id(v) in seen["read"]}
            grads = [by_id.get(id(v)) for v in variables]
            return ((loss, join(seen["form"], arrays)) if has_aux else loss), grads

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
        return Compiled(self, f, variables or (), quickly=pure)

    def argument(self, x):
        return x if type(x) is np.ndarray and x.dtype in AS_THEY_ARE else self.asarray(x)

    def lend(self, array):
        # Programs for the CPU read it where it lies: 3 us, to make an array of JAX takes 25, and 300 after a pause.
        return self.argument(array) if jax.default_backend() == "cpu" else self.adopt(array)

    results_with_steps = True

    def repeat(self, step, variables, compile="auto", pure=False, done=None, result=None):
        variables = list({id(v): v for v in variables}.values())

        def slice_of(xs, i):
            return jax.tree.map(lambda x: lax.dynamic_index_in_dim(x, i, keepdims=False), xs)

        def many(xs, start, stop, shared):
            def one(i):
                step(slice_of(xs, i), *shared)
                return (i + 1,)

            before = self.convolutions
            done = self._while_loop(lambda i: i < stop, one, (start,), variables=variables)
            # XLA on CPU runs convolutions inside loops on one thread, tens of times slower.
            if self.convolutions > before and jax.default_backend() == "cpu":
                raise _Convolves
            return done if result is None else result()

        def turn(xs, i, shared):
            step(slice_of(xs, i), *shared)
            return i if result is None else result()

        whole, single = (Compiled(self, f, variables, quickly=pure, cuts=True) for f in (many, turn))
        loops = False

        def run(xs, start, stop, *shared):
            nonlocal loops
            if not loops:
                try:
                    return whole(xs, _number(start), _number(stop), shared)
                except _Convolves:
                    loops = True
            done = None
            for i in range(start, stop):
                done = single(xs, _number(i), shared)
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
                outputs = whole(xs, _number(first), _number(count), like, size, most)
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
                return Outcome(*self._split(result))

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
        return join(small.form, outputs)

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
