"""Recurrent layers where no derivative is taken: the loops of `predict` and `evaluate` give what the layers do by themselves."""

import importlib

import numpy as np
import pytest

import multikeras as mk
from multikeras import backend, layers

X = np.random.default_rng(0).normal(size=(10, 7, 3)).astype("float32")
X[2:, 4:] = X[5:, 1] = 0


@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("kind", [layers.LSTM, layers.GRU, layers.SimpleRNN])
def test_predictions_are_what_calls_give(kind, return_sequences, go_backwards):
    inputs = mk.Input((7, 3))
    layer = kind(4, return_sequences=return_sequences, go_backwards=go_backwards)
    model = mk.Model(inputs, [layer(inputs), layer(layers.Masking()(inputs))])
    for predicted, called in zip(model.predict(X, batch_size=4, verbose=0), model(X), strict=True):
        np.testing.assert_allclose(predicted, mk.ops.convert_to_numpy(called), atol=1e-6)


@pytest.mark.skipif(backend.current.name != "tensorflow", reason="is about TensorFlow's tapes")
def test_a_test_step_may_take_derivatives():
    tf = importlib.import_module("tensorflow")

    def slope(model, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(model(x))
        return tf.reduce_sum(tape.gradient(y, x) ** 2)

    class Watched(mk.Model):
        def test_step(self, data):
            return {"slope": slope(self, data[0])}

    inputs = mk.Input((7, 3))
    model = Watched(inputs, layers.LSTM(4)(inputs))
    model.compile(loss="mse")
    found = model.evaluate(X, np.zeros((10, 4)), batch_size=10, verbose=0, return_dict=True)["slope"]
    np.testing.assert_allclose(found, slope(model, tf.constant(X)), rtol=1e-5)
