"""Every layer over a grid of arguments against Keras on the same backend: the same weights in, the same out."""

import contextlib
import functools
import inspect
import json
import os
import warnings

import numpy as np
import pytest
from keras_oracle.closeness import assert_close
from keras_oracle.layer_grid import (
    ARGUMENTS_NOT_VARIED,
    NOT_IN_THE_GRID,
    arrays,
    built,
    double,
    flat,
    outputs,
    passed_on,
    set_weights,
)  # fmt: skip
from keras_oracle.layer_grid import CASES as GRID

from multikeras import layers, ops, saving
from multikeras.backend import current
from multikeras.core.masking import get_mask

os.environ["KERAS_BACKEND"] = current.name
keras = pytest.importorskip("keras")

# Keras's own shape rule gives other sizes than its call here: it takes those of value for the sources. Of a stateful
# layer, whose batch size is fixed, it says None.
OTHER_SYMBOLIC_SHAPES = ("value_dim=5", "attention_axes=(1,2)", "stateful=True")


class Ours:
    layers, ops = layers, ops


@functools.lru_cache(maxsize=4)
def pair(index: int):
    return built(Ours, CASES[index]), built(keras, CASES[index])


def config(layer):
    """Return the config without names of layers, which are counted up, and shapes that inner layers were built for."""

    def nameless(x):
        if isinstance(x, dict):
            return {k: nameless(v) for k, v in x.items() if k != "build_config" and (k != "name" or "trainable" not in x)}
        return x

    return nameless(json.loads(json.dumps(layer.get_config())))


# Keras on torch hands the sizes of other axes than the last to torch's layer_norm, which refuses them.
ORACLE_FAILS = {"torch": ("LayerNormalization(1)",)}
CASES = [c for c in GRID if str(c) not in ORACLE_FAILS.get(current.name, ())]
each_case = pytest.mark.parametrize("index", range(len(CASES)), ids=[str(c) for c in CASES])


def assert_same_weights(ours, theirs):
    for w, expected in zip(ours.weights, theirs.weights, strict=True):
        expected = keras.ops.convert_to_numpy(expected)
        if w.dtype == "int32":  # which Keras makes int64 on TensorFlow
            expected = expected.astype("int32")
        assert_close(ops.convert_to_numpy(w), expected)


@each_case
def test_weights_have_the_same_order_names_shapes(index):
    ours, theirs = ([(w.name, tuple(w.shape), w.trainable) for w in layer.weights] for layer in pair(index))
    assert ours == theirs


@contextlib.contextmanager
def restored(*layers):
    """Put the weights back in the end."""
    before = [layer.get_weights() for layer in layers]
    try:
        yield
    finally:
        for layer, weights in zip(layers, before):
            set_weights(layer, weights)


@each_case
def test_outputs_and_state_agree(index):
    ours, theirs = pair(index)
    with restored(ours, theirs):
        for y, expected in zip(outputs(Ours, ours, CASES[index]), outputs(keras, theirs, CASES[index]), strict=True):
            assert_close(y, expected)
        assert_same_weights(ours, theirs)


@each_case
def test_shapes_of_symbolic_outputs_agree(index):
    case, shapes = CASES[index], []
    if any(part in str(case) for part in OTHER_SYMBOLIC_SHAPES):
        pytest.skip("Keras states other shapes than it returns")
    for package, layer in zip((Ours, keras), pair(index)):

        def symbolic(x, package=package):
            if isinstance(x, list):
                return [symbolic(one) for one in x]
            return package.layers.Input(batch_shape=(None, *x.shape[1:]), dtype=case.dtype)

        shapes.append([tuple(y.shape) for y in flat(layer(*map(symbolic, arrays(case)), **case.call))])
    assert shapes[0] == shapes[1]


@each_case
def test_configs_agree_and_come_back(index):
    ours, theirs = pair(index)
    assert config(ours) == config(theirs)
    with saving.custom_object_scope({"double": double, "passed_on": passed_on}):
        assert config(type(ours).from_config(ours.get_config())) == config(ours)


def _gradients_jax(layer, case, total):
    import jax

    def loss(values):
        others = [v.value for v in layer.non_trainable_variables]
        outputs, others = layer.stateless_call(values, others, *arrays(case), **case.call)
        return total(outputs), others

    gradients, others = jax.grad(loss, has_aux=True)([v.value for v in layer.trainable_variables])
    for variable, value in zip(layer.non_trainable_variables, others):
        variable.assign(value)
    return gradients


def _gradients_torch(layer, case, total):
    layer.zero_grad()
    total(layer(*arrays(case), **case.call)).backward()
    return [v.value.grad for v in layer.trainable_variables]


def _gradients_tensorflow(layer, case, total):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        loss = total(layer(*arrays(case), **case.call))
    gradients = tape.gradient(loss, [v.value for v in layer.trainable_variables])
    return [None if g is None else tf.convert_to_tensor(g) for g in gradients]


# Keras on torch overwrites the states that its backward pass needs; on jax its stateless calls lose what a layer writes
# to a trainable variable.
ORACLE_HAS_NO_GRADIENTS = {
    "torch": ("LSTM(3,stateful=True)", "GRU(3,stateful=True)"),
    "jax": (
        "SpectralNormalization(Dense(4),power_iterations=2,training=True)",
        "SpectralNormalization(Conv2D(4,2),training=True)",
    ),
}
ORACLE_GRADIENTS = {"jax": _gradients_jax, "torch": _gradients_torch, "tensorflow": _gradients_tensorflow}


FIRST_OF_CLASS = {case.layer: i for i, case in reversed(list(enumerate(CASES)))}.values()


def cases_with_gradients():
    """Return all cases; those beyond the first of a class are slow where each step compiles or traces anew."""
    slow = [] if current.name == "torch" else [pytest.mark.slow]
    return [pytest.param(i, id=str(c), marks=[] if i in FIRST_OF_CLASS else slow) for i, c in enumerate(CASES)]


def updates(index):
    """Return how many updates are compared: five, but fewer where each of them compiles a loop over time.

    Keras's stateless calls lose the states between batches: one.
    """
    if current.name == "jax" and CASES[index].kwargs.get("stateful"):
        return 1
    loops = issubclass(getattr(layers, CASES[index].layer), (layers.RNN, layers.Bidirectional))
    return 2 if loops and current.name == "jax" and index not in FIRST_OF_CLASS else 5


@pytest.mark.parametrize("index", cases_with_gradients())
@pytest.mark.gradients
def test_updates_agree(index):
    """Gradients are compared relative to the largest of the layer: that of a bias of keys is zero but for rounding."""
    case, (ours, theirs) = CASES[index], pair(index)
    if not ours.trainable_variables:
        pytest.skip("nothing to train")
    if str(case) in ORACLE_HAS_NO_GRADIENTS.get(current.name, ()):
        pytest.skip("Keras fails")

    def total(package):
        def of(x):
            factors = package.ops.convert_to_tensor(np.cos(np.arange(x.shape[-1], dtype="float32")))
            return package.ops.sum(x * factors)  # linear: no function of large outputs keeps their digits

        return lambda y: sum(map(of, flat(y)))

    gradient = current.value_and_grad(lambda: total(Ours)(ours(*arrays(case), **case.call)), ours.trainable_variables)
    with restored(ours, theirs):
        for _ in range(updates(index)):
            _, gradients = gradient()
            expected = ORACLE_GRADIENTS[current.name](theirs, case, total(keras))
            pairs = [
                tuple(np.zeros(v.shape, v.dtype) if x is None else keras.ops.convert_to_numpy(x) for x in pair)
                for v, *pair in zip(ours.trainable_variables, gradients, expected, strict=True)
            ]
            scale = max(np.abs(e).max() for _, e in pairs)
            for v, w, (g, e) in zip(ours.trainable_variables, theirs.trainable_variables, pairs):
                assert_close(g, e, scale=scale)
                v.assign(ops.convert_to_numpy(v) - 0.001 * g)
                w.assign(keras.ops.convert_to_numpy(w) - 0.001 * e)
        assert_same_weights(ours, theirs)


# Softmax refuses a mask of steps, as Keras's does: its mask is of entries.
MASKABLE = [i for i in FIRST_OF_CLASS if CASES[i].inputs == (2, 5, 6) and CASES[i].layer != "Softmax"]


@pytest.mark.parametrize("index", MASKABLE, ids=[CASES[i].layer for i in MASKABLE])
def test_masks_are_used_and_passed_on(index):
    case, (ours, theirs) = CASES[index], pair(index)
    (x,) = arrays(case)
    x[0, 3:] = x[1, 1] = 0.0
    with restored(ours, theirs), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of masks that end there
        found, expected = (
            layer(package.layers.Masking()(x), **case.call) for package, layer in ((Ours, ours), (keras, theirs))
        )
    for y, e in zip(flat(found), flat(expected), strict=True):
        assert_close(ops.convert_to_numpy(y), keras.ops.convert_to_numpy(e))
        mask, wanted = get_mask(y), getattr(e, "_keras_mask", None)
        assert (mask is None) == (wanted is None)
        if mask is not None:
            np.testing.assert_array_equal(ops.convert_to_numpy(mask), keras.ops.convert_to_numpy(wanted))


def test_a_wrong_layer_is_found():
    index = next(i for i, c in enumerate(CASES) if c.layer == "Dense")
    ours, theirs = pair(index)
    with restored(ours, theirs):
        set_weights(ours, [w + 0.01 for w in ours.get_weights()])
        with pytest.raises(AssertionError):
            test_outputs_and_state_agree(index)


# -- what the grid covers ----------------------------------------------------------------------------------------------


def classes():
    """Return the public layers but those of preprocessing, each once, by one of its names."""
    found = {getattr(layers, n): n for n in dir(layers) if inspect.isclass(getattr(layers, n))}
    return {c: n for c, n in found.items() if issubclass(c, layers.Layer) and ".preprocessing." not in c.__module__}


def test_every_public_layer_is_in_the_grid():
    tested = {getattr(layers, c.layer) for c in GRID} | {getattr(layers, n) for n in NOT_IN_THE_GRID}
    assert sorted(n for c, n in classes().items() if c not in tested) == []


def test_every_argument_is_varied():
    given = {}
    for case in GRID:
        cls = getattr(layers, case.layer)
        names = list(inspect.signature(cls).parameters)
        given.setdefault(cls, set()).update(case.kwargs, names[: len(case.args)])
    left_out = {cls.__name__: [
        p for p in inspect.signature(cls).parameters
        if p not in names and p not in ARGUMENTS_NOT_VARIED and not p.endswith(tuple(ROLES))
    ] for cls, names in given.items()}  # fmt: skip
    assert {cls: names for cls, names in left_out.items() if names} == {}


ROLES = {"_initializer": "ones", "_regularizer": "l2", "_constraint": "non_neg"}


@pytest.mark.parametrize("index", FIRST_OF_CLASS, ids=[CASES[i].layer for i in FIRST_OF_CLASS])
def test_initializers_regularizers_and_constraints_reach_their_weights(index):
    case = CASES[index]
    names = inspect.signature(getattr(layers, case.layer)).parameters
    roles = {n: v for n in names for end, v in ROLES.items() if n.endswith(end) and n != "activity_regularizer"}
    if not roles:
        pytest.skip("none of them among the arguments")
    seen = []
    for package in (Ours, keras):
        layer = case.make(package.layers, **{k: v for k, v in roles.items() if k not in case.kwargs})
        layer(*arrays(case), **case.call)
        values = [np.asarray(package.ops.convert_to_numpy(w)) for w in layer.weights]
        ones = [(w.name, bool((v == 1).all())) for w, v in zip(layer.weights, values)]
        rules = [(type(w.regularizer).__name__, type(w.constraint).__name__) for w in layer.weights]
        penalties = sorted(float(package.ops.convert_to_numpy(x)) for x in layer.losses)
        seen.append((ones, rules, np.round(penalties, 4).tolist(), config(layer)))
    for ours, theirs in zip(*seen, strict=True):
        assert ours == theirs


def test_a_convolution_of_a_user_takes_the_place_of_ours():
    x, found = np.linspace(-1, 1, 64).reshape(1, 4, 4, 4).astype("float32"), []
    for package in (Ours, keras):

        class Halved(package.layers.Conv2D):
            def convolution_op(self, inputs, kernel):
                return super().convolution_op(inputs, kernel * 0.5)

        layer = Halved(2, 2, activation="relu", kernel_initializer="ones", bias_initializer="ones")
        found.append(np.asarray(package.ops.convert_to_numpy(layer(x))))
    assert_close(*found)
