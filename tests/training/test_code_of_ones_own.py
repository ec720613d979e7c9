"""Losses, metrics, layers and models that call the framework, or look at values, train as if they were written with ops."""

import itertools

import numpy as np
import pytest

import multikeras as mk
from multikeras import layers, ops
from multikeras.backend import current

pytestmark = pytest.mark.skipif(not current.supports_gradients, reason="this backend computes no gradients")

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 3)).astype("float32"), RNG.normal(size=(40, 1)).astype("float32")
STYLES = ("ops", "framework", "values")
PLACES = ("loss", "loss class", "loss __call__", "metric", "layer", "model")
METHODS = ("fit", "evaluate", "predict", "train_on_batch", "test_on_batch")


def square(style):
    """Return a function that squares, written in one of the styles."""
    if style == "framework":
        if current.name == "torch":
            return __import__("torch").square
        if current.name == "tensorflow":
            return __import__("tensorflow").math.square
        return __import__("jax").numpy.square
    if style == "values":
        return lambda x: ops.square(x) if float(ops.max(ops.abs(x))) < 1e9 else x * np.nan
    return ops.square


def model_with(place, style, eager):
    def the(this):
        return square(style if this == place else "ops")

    def error(this):
        return lambda y_true, y_pred: ops.mean(the(this)(y_true - y_pred), -1)

    class Loss(mk.losses.Loss):
        def call(self, y_true, y_pred):
            return error("loss class")(y_true, y_pred)

    class WholeLoss(mk.losses.Loss):
        def __call__(self, y_true, y_pred, sample_weight=None):
            return ops.mean(error("loss __call__")(y_true, y_pred))

    class Squares(layers.Layer):
        def call(self, x):
            return the("layer")(x)

    class Model(mk.Model):
        def __init__(self):
            super().__init__()
            self.dense, self.squares = layers.Dense(1), Squares()

        def call(self, x):
            return self.squares(self.dense(x)) - the("model")(x[:, :1])

    mk.utils.set_random_seed(0)
    model = Model()
    loss = Loss() if place == "loss class" else WholeLoss() if place == "loss __call__" else error("loss")
    model.compile(mk.optimizers.SGD(0.01), loss, metrics=[error("metric")], run_eagerly=eager)
    return model


def told(model, method):
    if method == "fit":
        history = model.fit(X, Y, batch_size=16, epochs=2, verbose=0, shuffle=False).history
        return [value for _, values in sorted(history.items()) for value in values]
    if method == "predict":
        return model.predict(X, batch_size=16, verbose=0)
    if method == "evaluate":
        return model.evaluate(X, Y, batch_size=16, verbose=0)
    return getattr(model, method)(X, Y)


@pytest.mark.parametrize(("place", "style"), list(itertools.product(PLACES, STYLES[1:])))
def test_it_does_not_matter_with_what_the_code_is_written(place, style):
    eager = style == "values"  # values are known where steps run as Python alone
    if eager and current.name == "jax":
        pytest.skip("JAX's derivatives trace")
    for method in METHODS:
        given, expected = (told(model_with(place, s, eager), method) for s in (style, "ops"))
        np.testing.assert_allclose(given, expected, rtol=1e-5, err_msg=method)


@pytest.mark.skipif(current.name != "torch", reason="others trace")
@pytest.mark.parametrize("place", PLACES)
def test_torch_has_values_in_every_step(place):
    for method in METHODS:
        given, expected = (told(model_with(place, s, False), method) for s in ("values", "ops"))
        np.testing.assert_allclose(given, expected, rtol=1e-5, err_msg=method)


@pytest.mark.parametrize("style", STYLES[:2])
def test_a_loss_that_cannot_compare_says_so_before_the_first_step(style):
    model = mk.Sequential([mk.Input((3,)), layers.Dense(4)])
    model.compile("sgd", lambda y_true, y_pred: square(style)(y_true - y_pred))
    with pytest.raises(ValueError, match=r"cannot compare targets of shape \(.+, 7\) with outputs of shape \(.+, 4\)"):
        model.fit(X, np.ones((40, 7), "float32"), verbose=0)


class OfKeras2(mk.Model):
    """Has steps as Keras 2 had them, each derivative taken by the means of the framework."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(1)

    def call(self, x):
        return self.dense(x)

    def train_step(self, data):
        x, y = data

        def loss_of():
            y_pred = self(x, training=True)
            return self.compiled_loss(y, y_pred, regularization_losses=self.losses), y_pred

        (_, y_pred), gradients = ops.value_and_grad(loss_of, self.trainable_variables, has_aux=True)()
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables))
        self.compiled_metrics.update_state(y, y_pred)
        return {metric.name: metric.result() for metric in self.metrics}

    def test_step(self, data):
        x, y = data
        y_pred = self(x, training=False)
        self.compiled_loss(y, y_pred)
        self.compiled_metrics.update_state(y, y_pred)
        return {metric.name: metric.result() for metric in self.metrics}


class OfKeras3(OfKeras2):
    train_step, test_step = mk.Model.train_step, mk.Model.test_step


@pytest.mark.filterwarnings("ignore:.*of Keras 2")
@pytest.mark.parametrize("metrics", [[], ["mae"]])
def test_steps_as_in_keras_2_train_alike(metrics):
    found = []
    for kind in (OfKeras2, OfKeras3):
        mk.utils.set_random_seed(0)
        model = kind()
        model.compile("adam", "mse", metrics=metrics)
        history = model.fit(X, Y, batch_size=16, epochs=2, verbose=0, shuffle=False, validation_data=(X, Y)).history
        found.append([[float(value) for value in history[name]] for name in ("loss", "val_loss")] + [model.predict(X, verbose=0)])
    for given, expected in zip(*found):
        np.testing.assert_allclose(given, expected, rtol=1e-5)


class OwnStep(mk.Model):
    """Trains its two layers by a step that takes a batch apart, which `call` does not."""

    def __init__(self):
        super().__init__()
        self.encoder = mk.Sequential([layers.Dense(4), layers.BatchNormalization()])
        self.decoder, self.unused = layers.Dense(1), layers.Dense(2)
        self.tracker = mk.metrics.Mean(name="loss")

    @property
    def metrics(self):
        return [self.tracker]

    def error(self, batch, training):
        found = self.decoder(self.encoder(batch["given"], training=training))
        return ops.mean(ops.square(found - ops.convert_to_tensor(batch["wanted"])))

    def train_step(self, batch):
        def loss_of():
            return self.error(batch, True)

        if not self.encoder.built or not self.decoder.built:
            loss_of()
        variables = self.encoder.trainable_variables + self.decoder.trainable_variables
        loss, gradients = ops.value_and_grad(loss_of, variables)()
        self.optimizer.apply(gradients, variables)
        self.tracker.update_state(loss)
        return {"loss": self.tracker.result()}

    def test_step(self, batch):
        self.tracker.update_state(self.error(batch, False))
        return {"loss": self.tracker.result()}


class CallsOther(OwnStep):
    def call(self, inputs):
        return self.decoder(self.encoder(inputs[0])) + inputs[1]


class CallsNothing(OwnStep):
    def call(self, inputs):
        raise NotImplementedError


@pytest.mark.parametrize("kind", [OwnStep, CallsOther, CallsNothing])
@pytest.mark.parametrize("how", ["arrays", "eager", "evaluate", "on_batch"])
def test_a_step_of_ones_own_makes_what_call_does_not(kind, how):
    if current.name == "jax" and how != "eager":
        pytest.skip("JAX's compiled steps need variables that are there")
    batch = {"given": X, "wanted": Y}
    found = []
    for built in (False, True):
        mk.utils.set_random_seed(0)
        model = kind()
        model.compile("adam", run_eagerly=how == "eager")
        if built:
            model.error(batch, False)
        if how == "evaluate":
            model.evaluate(batch, batch_size=16, verbose=0)
        if how == "on_batch":
            found.append([float(model.train_on_batch(batch)) for _ in range(3)])
        else:
            found.append(model.fit(batch, batch_size=16, epochs=3, shuffle=False, verbose=0).history["loss"])
        assert len(model.optimizer.variables) == 2 + 2 * 6
    np.testing.assert_allclose(*found, rtol=1e-5)


@pytest.mark.parametrize("style", STYLES[:2])
def test_a_loss_may_take_targets_apart_that_do_not_fit_the_outputs(style):
    model = mk.Sequential([mk.Input((3,)), layers.Dense(4)])
    model.compile("sgd", lambda y_true, y_pred: square(style)(y_true[:, :4] - y_pred) * y_true[:, 4:5])
    targets = RNG.normal(size=(40, 7)).astype("float32")
    before = np.mean((targets[:, :4] - model.predict(X, verbose=0)) ** 2 * targets[:, 4:5])
    np.testing.assert_allclose(model.evaluate(X, targets, verbose=0), before, rtol=1e-4, atol=1e-5)
