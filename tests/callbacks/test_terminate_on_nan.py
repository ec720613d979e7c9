"""Training that leaves the finite numbers is stopped, and where it left them is found."""

import numpy as np
import pytest

import multikeras as mk
from multikeras import backend, callbacks, layers, ops

pytestmark = [
    pytest.mark.skipif(not backend.current.supports_gradients, reason="this backend computes no gradients"),
    pytest.mark.filterwarnings("ignore:The loss is nan"),
]

X = np.abs(np.random.RandomState(0).normal(size=(80, 4))).astype("float32")
Y = X[:, :1]
SPOILED = X.copy()
SPOILED[43, 2] = np.nan


class Log(layers.Layer):
    def call(self, x):
        return ops.log(x)


class NormOfZero(layers.Layer):
    """Has a value everywhere and no derivative at 0."""

    def call(self, x):
        return x + ops.sqrt(ops.sum(ops.square(x * 0.0), -1, keepdims=True))


class Native(layers.Layer):
    """Computes with the framework's own operators."""

    def call(self, x):
        return x / (x - x)


class Masked(layers.Layer):
    """Has infinities that are meant, and then a fault."""

    def call(self, x):
        x = ops.softmax(ops.where(ops.arange(8) < 4, x, -np.inf))
        return ops.log(x - 2.0)


def model_of(*middle, optimizer="sgd", loss="mse", cls=mk.Sequential, **options):
    mk.utils.set_random_seed(1)
    model = cls([mk.Input((4,)), layers.Dense(8, name="first"), *middle, layers.Dense(1, name="last")], name="model")
    model.compile(optimizer, loss, **options)
    return model


def fit(model, x=X, y=Y, more=(), **options):
    watch = callbacks.TerminateOnNaN(explain=True)
    history = model.fit(x, y, batch_size=8, epochs=3, verbose=0, shuffle=False, callbacks=[watch, *more], **options)
    assert len(history.epoch) == 1
    return watch.finding


CASES = {
    "op": (lambda: model_of(Log(name="log")), "forward", "op 'log'", ("model", "model/log"), 1),
    "native": (lambda: model_of(Native(name="native")), "forward", "layer 'model/native' (Native)", None, 1),
    "derivative": (lambda: model_of(NormOfZero(name="norm")), "gradient", "op 'sqrt'", ("model", "model/norm"), 1),
    "update": (lambda: model_of(optimizer=mk.optimizers.SGD(1e38)), "update", "variable 'model/first/kernel'", (), 1),
    "loss": (lambda: model_of(loss=lambda y, p: ops.log(ops.abs(y - p) * 0)), "forward", "op 'log'", (), 1),
    "nested": (
        lambda: model_of(mk.Sequential([layers.Dense(3), Log(name="log")], name="inner")),
        "forward", "op 'log'", ("model", "model/inner", "model/inner/log"), 1,
    ),
    "meant": (lambda: model_of(Masked(name="masked")), "forward", "op 'log'", ("model", "model/masked"), 1),
    "recurrent": (
        lambda: model_of(layers.Reshape((4, 2)), layers.GRU(3), layers.Dropout(0.2), Log(name="log")),
        "forward", "op 'log'", ("model", "model/log"), 1,
    ),
}  # fmt: skip


SLOW = ("native", "nested", "recurrent", "loss")


@pytest.mark.parametrize("case", [pytest.param(c, marks=[pytest.mark.slow] * (c in SLOW)) for c in CASES])
def test_the_first_op_or_layer_is_named_with_the_range_of_its_input(case):
    make, stage, name, around, inputs = CASES[case]
    found = fit(make())
    assert (found.stage, found.name, found.epoch, found.batch) == (stage, name, 0, 0)
    assert around is None or found.layers == around
    assert len(found.inputs) == inputs
    assert found.inputs[0].low is not None
    assert found.inputs[0].bad == 0
    assert found.result.bad > 0
    assert name in str(found)
    assert f"from {found.inputs[0].low:.6g} to" in str(found)


def test_a_bad_batch_is_found_within_many_steps_of_one_dispatch():
    model = model_of()
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0)  # how long a step takes is known now: chunks are long
    found = fit(model, SPOILED)
    assert (found.stage, found.name, found.batch) == ("data", "x", 5)
    assert found.result.bad == 1


@pytest.mark.parametrize("options", [{"steps_per_execution": 4}, pytest.param({"run_eagerly": True}, marks=pytest.mark.slow)])
def test_a_bad_batch_of_a_generator_is_found_though_it_cannot_be_drawn_again(options):
    batches = ((SPOILED[i : i + 8], Y[i : i + 8]) for i in range(0, 80, 8))
    watch = callbacks.TerminateOnNaN(explain=True)
    model_of(**options).fit(batches, verbose=0, callbacks=[watch])
    assert (watch.finding.name, watch.finding.batch) == ("x", 5)


def test_looking_changes_nothing():
    results = []
    for explain in (False, True):
        model = model_of(layers.Dropout(0.5), Log())
        history = model.fit(X, Y, verbose=0, batch_size=40, callbacks=[callbacks.TerminateOnNaN(explain=explain)])
        results.append([history.history["loss"], *model.get_weights(), mk.random.uniform((3,))])
    for a, b in zip(*results):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
    assert "call" not in vars(model.layers[0])
    assert "value_and_grad" not in vars(backend.current)


class OwnStep(mk.Sequential):
    def train_step(self, data):
        x, y = data

        def loss_of():
            return ops.mean(ops.square(self(x, training=True) - y))

        loss, gradients = ops.value_and_grad(loss_of, self.trainable_variables)()
        self.optimizer.apply(gradients, self.trainable_variables)
        return {"loss": loss}


class NativeStep(mk.Sequential):
    """A step in the framework's own idiom."""

    if backend.current.name == "tensorflow":

        def train_step(self, data):
            import tensorflow as tf

            x, y = data
            with tf.GradientTape() as tape:
                loss = self.compute_loss(x, y, self(x, training=True))
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables))
            return {"loss": loss}

    elif backend.current.name == "torch":

        def train_step(self, data):
            x, y = data
            self.zero_grad()
            loss = self.compute_loss(x, y, self(x, training=True))
            loss.backward()
            self.optimizer.apply([v.value.grad for v in self.trainable_weights], self.trainable_weights)
            return {"loss": loss}

    else:

        def train_step(self, state, data):
            import jax

            trainable, non_trainable, optimizer, metrics = state
            x, y = data

            def loss_of(trainable):
                y_pred, after = self.stateless_call(trainable, non_trainable, x, training=True)
                loss, _ = self.stateless_compute_loss(trainable, after, metrics, x=x, y=y, y_pred=y_pred)
                return loss, after

            (loss, after), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable)
            trainable, optimizer = self.optimizer.stateless_apply(optimizer, gradients, trainable)
            return {"loss": loss}, (trainable, after, optimizer, metrics)


@pytest.mark.parametrize(
    ("cls", "layer"),
    [
        (OwnStep, Log),
        (NativeStep, NormOfZero),
        pytest.param(OwnStep, NormOfZero, marks=pytest.mark.slow),
        pytest.param(NativeStep, Log, marks=pytest.mark.slow),
    ],
)
def test_steps_of_ones_own_are_looked_into_as_well(cls, layer):
    found = fit(model_of(layer(name="bad"), cls=cls))
    assert (found.stage, found.name) == (("forward", "op 'log'") if layer is Log else ("gradient", "op 'sqrt'"))
    assert found.layers == ("model", "model/bad")


def test_an_error_names_it_too():
    with pytest.raises(RuntimeError, match="NaN or Inf loss.*batch 0(.|\n)*op 'log' made it so"):
        model_of(Log()).fit(X, Y, verbose=0, callbacks=[callbacks.TerminateOnNaN(raise_error=True, explain=True)])
