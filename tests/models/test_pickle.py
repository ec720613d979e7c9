"""Models through pickle and `copy.deepcopy`: weights, optimizer and classes of users come back."""

import copy
import pickle

import numpy as np
import pytest

import multikeras as mk
from multikeras import layers, ops
from multikeras.backend import current

X, Y = np.random.default_rng(0).normal(size=(8, 4)).astype("float32"), np.ones((8, 2))
WAYS = {"pickle": lambda x: pickle.loads(pickle.dumps(x)), "deepcopy": copy.deepcopy}


class Scale(layers.Layer):
    def build(self, input_shape):
        self.factor = self.add_weight(shape=(input_shape[-1],), initializer="ones")

    def call(self, x):
        return x * self.factor


class Own(mk.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.scale, self.drop, self.last = Scale(), layers.Dropout(0.5), layers.Dense(2)

    def call(self, x, training=None):
        return self.last(self.drop(self.scale(x), training=training))


def _functional():
    inputs = mk.Input((4,))
    x = layers.BatchNormalization()(layers.Dense(3, activation="tanh", kernel_regularizer="l2")(inputs))
    return mk.Model(inputs, layers.Dense(2)(layers.Dropout(0.5)(x)))


MODELS = {
    "functional": _functional,
    "sequential": lambda: mk.Sequential([mk.Input((4,)), Scale(), layers.Lambda(lambda x: x * 2), layers.Dense(2)]),
    "own": Own,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back(name, way):
    model = MODELS[name]()
    before = ops.convert_to_numpy(model(X))
    np.testing.assert_array_equal(ops.convert_to_numpy(WAYS[way](model)(X)), before)


@pytest.mark.gradients
@pytest.mark.skipif(not current.supports_gradients, reason="trains")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MODELS)
def test_a_trained_model_goes_on(name, way):
    model = MODELS[name]()
    model.compile("adam", "mse")
    model.fit(X, Y, batch_size=4, verbose=0)
    twin = WAYS[way](model)
    before = model.get_weights()
    twin.fit(X, Y, batch_size=4, verbose=0)
    assert int(twin.optimizer.iterations.numpy()) == 4
    for a, b in zip(before, model.get_weights()):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(before, twin.get_weights()))


def distance(y, prediction):
    return ops.mean(ops.square(y - prediction), axis=-1)


class Descent(mk.optimizers.SGD):
    pass


@pytest.mark.gradients
@pytest.mark.skipif(not current.supports_gradients, reason="trains")
@pytest.mark.parametrize("part", ["loss", "optimizer", "metrics"])
def test_losses_optimizers_and_metrics_of_users_come_back(part):
    own = {"loss": distance, "optimizer": Descent(0.1), "metrics": [distance]}
    model = _functional()
    model.compile(**{"optimizer": "sgd", "loss": "mse", part: own[part]})
    model.fit(X, Y, verbose=0)
    twin = WAYS["pickle"](model)
    assert twin.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)
    assert type(twin.optimizer) is type(model.optimizer)


def test_random_streams_and_layers_go_through_pickle():
    for part in (mk.random.SeedGenerator(3), layers.Dropout(0.5), layers.LSTM(3, dropout=0.5)):
        assert type(WAYS["pickle"](part)) is type(part)
