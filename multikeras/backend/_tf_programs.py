"""The TensorFlow backend's control flow, differentiation, compilation and variables."""

import importlib
import os
import re
import sys
import threading
from contextlib import nullcontext
from functools import partial

import numpy as np

from multikeras.backend import dtypes, memory, scope
from multikeras.backend.interface import Backend, PlainModule
from multikeras.backend.shapes import Spec

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# TensorFlow loads Keras, where it is installed, only to register its optimizers, JAX only for a converter of TFLite, SciPy only
# for a Keras of its own that nobody sees: None makes it go without, in 0.7 of the time and with 120 MB less.
_skipped = ("keras.src.optimizers", "jax", "scipy")
_skipped = [name for name in _skipped if not {name, name.partition(".")[0]} & sys.modules.keys()]
sys.modules.update(dict.fromkeys(_skipped))  # type: ignore[arg-type]
try:
    import tensorflow as tf
finally:
    for _name in _skipped:
        del sys.modules[_name]


def _jit(f):
    """Compile `f` by JAX, which the converter of TFLite loads where somebody calls it."""
    return importlib.import_module("jax").jit(f)


_converters = sys.modules.get("tensorflow.lite.python.lite")
if _converters is not None and getattr(_converters, "_jit", _jit) is None:
    _converters._jit = _jit  # type: ignore[attr-defined]

try:
    from tensorflow.python.framework.config import is_op_determinism_enabled as deterministic
except ImportError:
    def deterministic():
        return False

try:
    from tensorflow.python.eager.record import could_possibly_record as recorded
except ImportError:
    def recorded():
        return True

# A tf.function of the user must not rewrite our code, as it does not rewrite Keras's: there is no public way to say so.
try:
    from tensorflow.python.autograph.core import config as _autograph

    _autograph.CONVERSION_RULES = (_autograph.DoNotConvert("multikeras"), *_autograph.CONVERSION_RULES)
except (ImportError, AttributeError):
    pass

_STEPS_BEFORE_XLA = 16
"""Steps that a loop takes as a plain graph: XLA's compilation takes seconds, which a short run does not get back."""

nest = tf.nest
_AGGREGATIONS = {"mean": "MEAN", "sum": "SUM", "only_first_replica": "ONLY_FIRST_REPLICA"}
DTYPE = {name: tf.as_dtype(name) for name in dtypes.ALL}


def _given(tree):
    """Return the leaves of `tree` that are not None and the function that puts others in their places."""
    leaves = nest.flatten(tree)
    there = [i for i, leaf in enumerate(leaves) if leaf is not None]

    def rebuilt(new):
        out = [None] * len(leaves)
        for i, leaf in zip(there, new):
            out[i] = leaf
        return nest.pack_sequence_as(tree, out)

    return [leaves[i] for i in there], rebuilt


def _static_size(leaves, length):
    for leaf in leaves:
        if leaf.shape[0] is not None:
            return leaf.shape[0]
    return length


class _Within(threading.local):
    """A `with` block, in a thread, whose inside can be told from its outside by `depth`."""

    depth = 0

    def __enter__(self):
        self.depth += 1

    def __exit__(self, *exc):
        self.depth -= 1


_forward = _Within()
"""Inside, nothing is kept for a backward pass."""
_for_xla = _Within()
"""Inside, what XLA compiles is traced."""


def forward_only():
    """Tell whether nobody takes a derivative."""
    return bool(_forward.depth) and not recorded()


def for_xla():
    """Tell whether XLA compiles what is traced."""
    return bool(_for_xla.depth)


class Saved(tf.__internal__.tracking.Trackable):
    """Base of what TensorFlow's savers keep: they ask for variables and functions, and may know values before these are."""

    def _stores(self):
        """Give (name, native variable or object to save) in an order that stays."""
        for i, variable in enumerate(getattr(self, "variables", ())):
            yield str(i), variable.store

    def _trackable_children(self, save_type="checkpoint", **kwargs):
        children = dict(super()._trackable_children(save_type, **kwargs)) | dict(self._stores())
        if save_type == "savedmodel":
            kinds = (tf.types.experimental.GenericFunction, tf.types.experimental.ConcreteFunction)
            children.update({k: v for k, v in vars(self).items() if isinstance(v, kinds)})
        return children

    def _lookup_dependency(self, name, cached_dependencies=None):
        return dict(self._stores() if cached_dependencies is None else cached_dependencies).get(name)


class Module(PlainModule, Saved):
    """Base of layers: parts go by the names of their attributes, which another model of the same code has, too."""

    def hold(self, name, tensor):
        if not any(v.store is tensor for v in self.variables):
            self._own_native(name, tensor, tensor.trainable)
        return False  # the attribute is the user's

    def _stores(self):
        if "_tracker" not in self.__dict__:
            return
        names = set()
        for name, part in self._named_parts():
            part = getattr(part, "state", part)
            names.add(id(part))
            if isinstance(part, (VariableBase, Module)):
                yield name, getattr(part, "store", part)
        for i, variable in enumerate(self._owned()):
            if id(variable) not in names:
                yield f"{variable.name}.{i}", variable.store


class VariableBase(tf.__internal__.types.Tensor):
    """What lets TensorFlow's functions and tapes take a `Variable` for the `tf.Variable` in it."""

    _should_act_as_resource_variable = True

    @property
    def handle(self):
        return self._store.handle

    _handle = handle

    @property
    def _unique_id(self):
        return self._store._unique_id

    @property
    def _shared_name(self):
        return self._store._shared_name

    @property
    def _in_graph_mode(self):
        return self._store._in_graph_mode

    def __tf_tensor__(self, dtype=None, name=None):
        return tf.convert_to_tensor(self.value, dtype, name=name)


class Programs(Backend):
    """Control flow, programs, devices and variables."""

    Module = Module
    Saved = Saved
    VariableBase = VariableBase
    native_weights = (tf.Variable,)
    variables_in_place = True

    def register(self, module, name, value):
        value = getattr(value, "store", value)
        if isinstance(value, (tf.Variable, Module)):
            module._handle_deferred_dependencies(name, value)

    convolutions = 0
    """How many convolutions ran or were traced; XLA slows them on CPUs."""

    draws = 0
    """How many random draws ran or were traced; XLA draws other numbers from the same key."""

    # -- control ---------------------------------------------------------------------------------------------------

    def _branch(self, f):
        """Return `f` as a function giving its leaves and the variables it wrote, with writes kept from the outside."""
        inner = scope.Scope()
        with inner:
            out = f()
        return out, inner

    def cond(self, predicate, true_fn, false_fn):
        if isinstance(predicate, (bool, int)):
            return true_fn() if predicate else false_fn()
        predicate = self.cast(self.asarray(predicate), "bool")
        if tf.executing_eagerly():
            return true_fn() if predicate else false_fn()
        if scope.stack.redirect is None or scope.stack.redirect.discard_writes:
            return tf.cond(predicate, lambda: self._tensors(true_fn()), lambda: self._tensors(false_fn()))
        written = {**self._written(true_fn), **self._written(false_fn)}
        variables = list(written.values())

        def lifted(f):
            out, inner = self._branch(f)
            values = [inner.current_value(v) for v in variables]
            return self._tensors(out), [self.asarray(v.value) if x is None else x for v, x in zip(variables, values)]

        out, values = tf.cond(predicate, lambda: lifted(true_fn), lambda: lifted(false_fn))
        for variable, value in zip(variables, values):
            scope.stack.redirect.set(variable, value)
        return out

    def _tensors(self, tree):
        return nest.map_structure(lambda x: None if x is None else self.asarray(x), tree)

    def _written(self, f, *args):
        """Return the variables that `f` writes, found by tracing it aside."""
        with tf.__internal__.FuncGraph("aside").as_default(), scope.Scope() as inner:
            f(*nest.map_structure(lambda x: x if x is None else tf.compat.v1.placeholder(x.dtype, x.shape), args))
        return inner.written

    def _lifted_loop(self, body, state):
        """Return `body` and `state` with the redirected variables that `body` writes as part of the state."""
        variables = []
        if scope.stack.redirect is not None and not tf.executing_eagerly():
            variables = list(self._written(lambda *s: body(*s), *state).values())

        def lifted(values, *state):
            if not variables:
                return [], body(*state)
            with scope.Scope(list(zip(variables, values))) as inner:
                out = body(*state)
            return [inner.current_value(v) for v in variables], out

        return variables, [self.asarray(v.value) for v in variables], lifted

    def while_loop(self, condition, body, state, maximum_iterations):
        state = tuple(self._tensors(s) for s in state)
        variables, values, lifted = self._lifted_loop(body, state)
        dtype_of = [None if x is None else x.dtype for x in nest.flatten(state)]

        def step(values, state):
            values, out = lifted(values, *state)
            leaves = nest.flatten(out if isinstance(out, tuple) else (out,))
            leaves = [x if d is None else self.asarray(x, d.name) for x, d in zip(leaves, dtype_of)]
            return values, nest.pack_sequence_as(state, leaves)

        def test(values, state):
            with scope.Scope(list(zip(variables, values))) if variables else nullcontext():
                return self.cast(self.asarray(condition(*state)), "bool")

        values, state = tf.while_loop(test, step, (values, state), maximum_iterations=maximum_iterations)
        for variable, value in zip(variables, values):
            scope.stack.redirect.set(variable, value)
        return state

    def scan(self, f, init, xs, length, reverse=False, unroll=1):
        init = self._tensors(init)
        inputs, x_of = _given(self._tensors(xs))
        n = _static_size(inputs, length)
        size = n if n is not None else tf.shape(inputs[0])[0]
        if n is not None and (tf.executing_eagerly() or n <= max(int(unroll), 1)) and n > 0:
            carry, ys = init, [None] * n
            columns = [tf.unstack(x, n) for x in inputs]
            for i in reversed(range(n)) if reverse else range(n):
                carry, ys[i] = f(carry, x_of([c[i] for c in columns]))
            stacked = [None if row[0] is None else tf.stack(row) for row in zip(*(nest.flatten(y) for y in ys))]
            return carry, nest.pack_sequence_as(ys[0], stacked)

        # The gradient of an array's element is written into an array; that of a tensor's part would be a whole tensor each step.
        # Where nobody takes one, parts are faster: 6 % of the forward pass of LSTM(128) over 64 x 50 x 32.
        # Eagerly there are no elements here, and arrays have no place in the graphs below.
        def reading(x):
            if tf.executing_eagerly():
                return partial(tf.gather, x)
            if forward_only():
                return x.__getitem__
            return tf.TensorArray(x.dtype, size, element_shape=x.shape[1:]).unstack(x).read

        reads = [reading(x) for x in inputs]

        def step(i, carry):
            return f(carry, x_of([read(i) for read in reads]))

        variables, values, lifted = self._lifted_loop(step, (tf.constant(0), init))
        carried, carry_of = _given(init)
        with tf.__internal__.FuncGraph("aside").as_default(), scope.SymbolicScope():
            _, y = step(tf.constant(0), nest.map_structure(lambda x: x if x is None else tf.identity(x), init))
            outputs, y_of = _given(self._tensors(y))
            specs = [(o.dtype, o.shape) for o in outputs]
        arrays = [tf.TensorArray(d, size, element_shape=s, infer_shape=True) for d, s in specs]

        def body(k, values, carried, arrays):
            i = size - 1 - k if reverse else k
            values, (carry, y) = lifted(values, i, carry_of(carried))
            new = [self.asarray(c, d.dtype.name) for c, d in zip(_given(carry)[0], carried)]
            return k + 1, values, new, [a.write(i, o) for a, o in zip(arrays, _given(self._tensors(y))[0])]

        _, values, carried, arrays = tf.while_loop(
            lambda k, *_: k < size, body, (tf.constant(0), values, carried, arrays), maximum_iterations=size
        )
        for variable, value in zip(variables, values):
            scope.stack.redirect.set(variable, value)
        return carry_of(carried), y_of([a.stack() for a in arrays])

    def vectorized_map(self, f, xs):
        xs = self._tensors(xs)
        try:
            return tf.vectorized_map(lambda x: self._tensors(f(x)), xs)
        except (ValueError, NotImplementedError):
            return self.scan(lambda c, x: (c, f(x)), (), xs, None)[1]

    def stop_gradient(self, x):
        return tf.stop_gradient(x)

    def custom_gradient(self, f):
        def called(*args, **kwargs):
            output, grad = f(*args, **kwargs)

            def with_variables(*upstream, variables=None):
                grads = grad(*upstream)
                return grads if variables is None else (grads, [None] * len(variables))

            return output, with_variables

        return tf.custom_gradient(called)

    def remat(self, f):
        def rematerialized(*args, **kwargs):
            leaves = nest.flatten((args, kwargs))
            where = [i for i, x in enumerate(leaves) if isinstance(x, tf.Tensor) and x.dtype in self.native_inexact]

            def called(tensors):
                new = list(leaves)
                for i, x in zip(where, tensors):
                    new[i] = x
                args_, kwargs_ = nest.pack_sequence_as((args, kwargs), new)
                return f(*args_, **kwargs_)

            before, rebuild = {}, []

            @tf.custom_gradient
            def run(*tensors):
                # What f writes must be written once, and the second run must start from the same values.
                with scope.Scope() as first:
                    out = called(tensors)
                for variable in first.written.values():
                    before[id(variable)] = (variable, tf.identity(self.asarray(variable.value)))
                    variable.assign(first.current_value(variable))
                flat, rebuilt = _given(self._tensors(out))
                rebuild.append(rebuilt)

                def grad(*upstream, variables=None):
                    variables = list(variables or ())
                    with tf.control_dependencies(upstream), tf.GradientTape() as tape:
                        again = [tf.identity(x) for x in tensors]
                        tape.watch(again)
                        tape.watch(variables)
                        with scope.Scope(before.values()):
                            flat, _ = _given(self._tensors(called(again)))
                    grads = tape.gradient(flat, [*again, *variables], list(upstream))
                    of_tensors, of_variables = grads[: len(again)], grads[len(again) :]
                    return (of_tensors, of_variables) if variables else of_tensors

                return flat, grad

            out = run(*(leaves[i] for i in where))
            return rebuild[-1](out if isinstance(out, (list, tuple)) else [out])

        return rematerialized

    # -- programs --------------------------------------------------------------------------------------------------

    def value_and_grad(self, f, variables, has_aux=False, rows=False):
        variables = list(variables)

        def run(*args, **kwargs):
            redirect = scope.stack.redirect
            sources = [None if redirect is None else redirect.get(v) for v in variables]
            sources = [getattr(v, "store", v) if s is None else s for v, s in zip(variables, sources)]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                for s in sources:
                    if s.dtype in self.native_inexact:
                        tape.watch(s)
                out = f(*args, **kwargs)
                loss = self.asarray(out[0] if has_aux else out)
            grads = tape.gradient(loss, sources)
            if rows:
                return out, grads
            return out, [g if g is None or isinstance(g, tf.Tensor) else tf.convert_to_tensor(g) for g in grads]

        return run

    def no_gradients(self):
        return _forward

    def vjp(self, f, xs):
        xs = [tf.identity(x) for x in xs]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(xs)
            out = f(*xs)
        leaves, _ = _given(out)

        def pull(cotangents):
            given = [self.asarray(c, x.dtype.name) for c, x in zip(_given(cotangents)[0], leaves)]
            grads = tape.gradient(leaves, xs, given, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            return [tf.convert_to_tensor(g) for g in grads]

        return out, pull

    def jvp(self, f, xs, tangents):
        xs = [tf.identity(x) for x in xs]
        # The derivative of the vector-Jacobian product, which is linear in u, in the direction of the tangents.
        with tf.GradientTape() as outer:
            with tf.GradientTape() as tape:
                tape.watch(xs)
                out = f(*xs)
            leaves, rebuilt = _given(out)
            us = [tf.ones_like(x) for x in leaves]
            outer.watch(us)
            grads = tape.gradient(leaves, xs, us, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            grads = [tf.convert_to_tensor(g) for g in grads]
        return out, rebuilt(outer.gradient(grads, us, list(tangents), tf.UnconnectedGradients.ZERO))

    @property
    def compiles_by_default(self):
        return not deterministic()

    def _compiled(self, f, compile):
        def known_to_be(*args):
            with _for_xla:
                return f(*args)

        traced = known_to_be if compile is True else f
        compiled = tf.function(traced, autograph=False, reduce_retracing=True, jit_compile=compile is True or None)
        # One trace for each shape is meant: the warning counts those of all models together.
        compiled._omit_frequent_tracing_warning = True
        return compiled

    def jit(self, f, variables=None, compile="auto", pure=False):
        traces = []  # for each trace, what f returned with None in place of tensors

        def traced(given):
            out = f(*given[0], **given[1])
            leaves = [tf.sparse.to_dense(x) if isinstance(x, tf.SparseTensor) else x for x in nest.flatten(out)]
            is_static = [not isinstance(x, self.tensor_types) for x in leaves]
            shape = nest.map_structure(lambda _: None, out)
            traces.append((shape, [x if s else None for x, s in zip(leaves, is_static)], is_static))
            tensors = [x if self.is_ragged(x) else self.asarray(x) for x, s in zip(leaves, is_static) if not s]
            return tensors, tf.constant(len(traces) - 1)

        compiled = self._compiled(traced, compile)

        def run(*args, **kwargs):
            # Redirected variables are values of this moment: a trace would freeze them.
            if scope.stack.redirect is not None or not tf.executing_eagerly():
                return nest.map_structure(lambda x: self.read(x), f(*args, **kwargs))
            tensors, index = compiled((args, kwargs))
            structure, leaves, is_static = traces[0] if len(traces) == 1 else traces[int(index)]
            tensors = iter(tensors)
            return nest.pack_sequence_as(structure, [x if s else next(tensors) for x, s in zip(leaves, is_static)])

        return run

    def repeat(self, step, variables, compile="auto", pure=False, done=None, result=None):
        def many(xs, start, stop, shared):
            def one(i):
                step(nest.map_structure(lambda x: None if x is None else tf.gather(x, i), xs), *shared)
                return (i + 1,)

            return tf.while_loop(lambda i: i < stop, one, (start,), parallel_iterations=1)

        decided = compile != "auto" or not self.compiles_by_default
        program, compiled = self._compiled(many, compile is True), self._compiled(many, True)
        pays, taken = None, _STEPS_BEFORE_XLA if done is None else done

        def run(xs, start, stop, *shared):
            nonlocal decided, program, pays, taken
            given = self._tensors(xs), tf.constant(start), tf.constant(stop), self._tensors(shared)
            if not decided and pays is None:
                # XLA is not slower and computes the same, but for convolutions on CPUs and random numbers.
                convolutions, draws = self.convolutions, self.draws
                (program if taken < _STEPS_BEFORE_XLA else compiled).get_concrete_function(*given)
                pays = self.draws == draws and (self.convolutions == convolutions or bool(self.devices("gpu")))
            if not decided and pays and taken + stop - start > _STEPS_BEFORE_XLA:
                decided, between = True, max(start, start + _STEPS_BEFORE_XLA - taken)
                if between > start:
                    program(given[0], given[1], tf.constant(between), given[3])
                given = given[0], tf.constant(between), *given[2:]
                try:
                    turn = compiled(*given)
                except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
                    pass  # XLA cannot, and says so before it starts
                else:
                    program = compiled
                    return turn
            taken += stop - start
            return program(*given)

        return run

    def map_batches(self, f, variables):
        def many(xs, first, count, size, like):
            def one(i, outputs):
                def batch(x):
                    rows = x[first + i * size : first + (i + 1) * size]
                    return tf.ensure_shape(rows, (size, *x.shape[1:]))

                ys = nest.flatten(f(nest.map_structure(lambda x: None if x is None else batch(x), xs)))
                return i + 1, [out.write(i, self.asarray(y)) for out, y in zip(outputs, ys, strict=True)]

            outputs = [tf.TensorArray(y.dtype, count, element_shape=y.shape) for y in nest.flatten(like)]
            # Without XLA, which would round otherwise than the predictions of single batches are rounded.
            _, outputs = tf.while_loop(lambda i, _: i < count, one, (0, outputs), parallel_iterations=1)
            return [out.concat() for out in outputs]

        program = self._compiled(many, False)

        def run(xs, first, count, size, like):
            if any(not isinstance(y, self.Tensor) for y in nest.flatten(like)):
                return None
            outputs = program(self._tensors(xs), tf.constant(first), tf.constant(count), size, like)
            return nest.pack_sequence_as(like, outputs)

        return run

    def eval_shape(self, f, *specs):
        def placeholder(x):
            return tf.compat.v1.placeholder(DTYPE[x.dtype], x.shape) if isinstance(x, Spec) else x

        def spec(x):
            return Spec(tuple(x.shape), x.dtype.name) if isinstance(x, self.tensor_types) else x

        with tf.__internal__.FuncGraph("shapes").as_default(), scope.SymbolicScope():
            return nest.map_structure(spec, f(*nest.map_structure(placeholder, specs)))

    # -- devices, variables ----------------------------------------------------------------------------------------

    def devices(self, kind=None):
        found = [d.name.rpartition("device:")[2].lower() for d in tf.config.list_logical_devices()]
        return [d for d in found if kind is None or d.startswith(kind.lower() + ":")]

    def device_scope(self, device):
        name = device.lower().lstrip("/").removeprefix("device:").replace("cuda", "gpu")
        name = name if ":" in name else f"{name}:0"
        if name not in self.devices():
            raise ValueError(f"device={device!r} is not there. Devices: {', '.join(self.devices())}.")
        return tf.device(name)

    def synchronize(self, tree):
        tf.test.experimental.sync_devices()

    def make_variable(self, value, trainable, name, aggregation="none", synchronization="auto"):
        if not isinstance(value, self.Tensor):
            constant = tf.get_static_value(value)
            if constant is None:
                raise ValueError(f"Variable {name!r} is made inside a compiled function of a value computed there.")
            value = constant
        name = re.sub(r"[^\w./>-]", "_", name)
        name = name if name[:1].isalnum() else f"v{name}"
        # TensorFlow prepares an operation anew for each name it makes a variable by, which takes most of its time: where
        # there is one variable and not a copy for each device, it gets its name afterwards.
        alone = not tf.distribute.has_strategy()
        with tf.init_scope():
            variable = tf.Variable(
                value, trainable=trainable, name="v" if alone else name,
                aggregation=getattr(tf.VariableAggregation, _AGGREGATIONS.get(aggregation, "NONE")),
                synchronization=getattr(tf.VariableSynchronization, synchronization.upper()),
            )  # fmt: skip
        if alone:
            variable._handle_name = f"{name}:0"
        return variable

    def set_trainable(self, store, trainable):
        store._trainable = bool(trainable)

    def outside_trace(self, f):
        if tf.executing_eagerly():
            return f()
        with tf.init_scope():
            return f()

    def read(self, store):
        return store.value() if isinstance(store, tf.Variable) else store

    def assign(self, store, value):
        store.assign(value, read_value=False)
        return store

    def adopt(self, array):
        if not memory.aligned(array):
            return self.asarray(array)
        try:
            return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
        except (TypeError, BufferError, RuntimeError, tf.errors.OpError):  # no such dtype in DLPack, or not on the CPU
            return self.asarray(array)

    def peek(self, store):
        try:
            return np.asarray(memoryview(self.read(store)))
        except (TypeError, ValueError):  # no such dtype in Python's buffers
            return self.to_numpy(self.read(store))

    def seed(self, seed):
        tf.random.set_seed(seed)

    def profiler(self, folder):
        return tf.profiler.experimental.Profile(folder)

    def device_memory(self):
        devices = tf.config.list_logical_devices("GPU")
        return tf.config.experimental.get_memory_info(devices[0].name)["peak"] if devices else None

    bridges = frozenset(("saved_model",))

    def load_endpoints(self, path):
        loaded = tf.saved_model.load(path)
        functions = {name: f for name, f in vars(loaded).items() if isinstance(f, tf.types.experimental.GenericFunction)}
        endpoints = {name: (f, [v for c in f.concrete_functions for v in c.variables]) for name, f in functions.items()}
        return loaded, {**{name: (f, list(f.variables)) for name, f in loaded.signatures.items()}, **endpoints}
