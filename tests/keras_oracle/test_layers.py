"""Every layer over a grid of arguments against Keras on the same backend: the same weights in, the same out."""

import functools
import json
import os

import numpy as np
import pytest
from keras_oracle.layer_grid import CASES as GRID
from keras_oracle.layer_grid import Case

from multikeras import layers, ops
from multikeras.backend import current

os.environ["KERAS_BACKEND"] = current.name
keras = pytest.importorskip("keras")

# Keras's own shape rule gives other sizes than its call here: it takes those of value for the sources.
OTHER_SYMBOLIC_SHAPES = ("value_dim=5", "attention_axes=(1,2)")


def flat(tree):
    return [leaf for x in tree for leaf in flat(x)] if isinstance(tree, (list, tuple)) else [tree]


def arrays(case: Case):
    """Return the inputs by position, each an array or a list of arrays."""
    rng = np.random.default_rng(0)

    def one(shape):
        if isinstance(shape, list):
            return [one(s) for s in shape]
        if case.dtype == "int32":
            return rng.integers(0, 9, size=shape).astype("int32")
        return rng.normal(size=shape).astype("float32")

    by_position = isinstance(case.inputs, tuple) and isinstance(case.inputs[0], tuple)
    return [one(s) for s in case.inputs] if by_position else [one(case.inputs)]


def built(package, case: Case):
    """Return the layer of a package, called once, its weights set to draws that both packages share."""
    layer = getattr(package.layers, case.layer)(*case.args, **case.kwargs)
    layer(*arrays(case), **case.call)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.uniform(0.1, 1.0, size=w.shape).astype("float32") for w in layer.weights])
    return layer


class Ours:
    layers, ops = layers, ops


@functools.lru_cache(maxsize=4)
def pair(index: int):
    return built(Ours, CASES[index]), built(keras, CASES[index])


def outputs(package, layer, case: Case):
    return [np.asarray(package.ops.convert_to_numpy(y)) for y in flat(layer(*arrays(case), **case.call))]


def config(layer):
    return {k: v for k, v in json.loads(json.dumps(layer.get_config())).items() if k != "name"}


# Keras on torch hands the sizes of other axes than the last to torch's layer_norm, which refuses them.
ORACLE_FAILS = {"torch": ("LayerNormalization(1)",)}
CASES = [c for c in GRID if str(c) not in ORACLE_FAILS.get(current.name, ())]
each_case = pytest.mark.parametrize("index", range(len(CASES)), ids=[str(c) for c in CASES])


@each_case
def test_weights_have_the_same_order_names_shapes(index):
    ours, theirs = ([(w.name, tuple(w.shape), w.trainable) for w in layer.weights] for layer in pair(index))
    assert ours == theirs


@each_case
def test_outputs_and_state_agree(index):
    ours, theirs = pair(index)
    before = ours.get_weights()
    for y, expected in zip(outputs(Ours, ours, CASES[index]), outputs(keras, theirs, CASES[index]), strict=True):
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)
    for w, expected in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(w, expected, rtol=1e-5, atol=1e-6)
    ours.set_weights(before)
    theirs.set_weights(before)


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
    assert config(type(ours).from_config(ours.get_config())) == config(ours)


def _gradients_jax(layer, case, total):
    import jax

    def loss(values):
        others = [v.value for v in layer.non_trainable_variables]
        return total(layer.stateless_call(values, others, *arrays(case), **case.call)[0])

    return jax.grad(loss)([v.value for v in layer.trainable_variables])


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


ORACLE_GRADIENTS = {"jax": _gradients_jax, "torch": _gradients_torch, "tensorflow": _gradients_tensorflow}


@each_case
@pytest.mark.gradients
def test_gradients_of_weights_agree(index):
    case, (ours, theirs) = CASES[index], pair(index)
    if not ours.trainable_variables:
        pytest.skip("nothing to train")
    start = ours.get_weights()

    def total(package):
        return lambda y: sum(package.ops.sum(package.ops.sin(x)) for x in flat(y))

    def loss():
        return total(Ours)(ours(*arrays(case), **case.call))

    _, gradients = current.value_and_grad(loss, ours.trainable_variables)()
    expected = ORACLE_GRADIENTS[current.name](theirs, case, total(keras))
    ours.set_weights(start)
    theirs.set_weights(start)
    for g, e in zip(gradients, expected, strict=True):
        g = 0.0 if g is None else ops.convert_to_numpy(g)
        np.testing.assert_allclose(g, 0.0 if e is None else keras.ops.convert_to_numpy(e), rtol=2e-3, atol=1e-4)


def test_a_wrong_layer_is_found():
    index = next(i for i, c in enumerate(CASES) if c.layer == "Dense")
    ours, theirs = pair(index)
    weights = ours.get_weights()
    ours.set_weights([w + 0.01 for w in weights])
    with pytest.raises(AssertionError):
        test_outputs_and_state_agree(index)
    ours.set_weights(weights)
    theirs.set_weights(weights)
