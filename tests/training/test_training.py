"""fit, evaluate and predict: the same numbers however the steps are dispatched."""

from functools import partial

import numpy as np
import pytest

import multikeras as mk
from multikeras import backend, callbacks, layers
from multikeras.random import host
from multikeras.training.step import _takes_state

pytestmark = pytest.mark.skipif(not backend.current.supports_gradients, reason="this backend computes no gradients")


def data(n=100):
    x = host.normal((1, 0), (n, 6))
    return x, (x[:, :1] > 0).astype("float32")


def compiled(**options):
    mk.utils.set_random_seed(4)
    model = mk.Sequential(
        [
            mk.Input((6,)),
            layers.Dense(8, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.2),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(**{"optimizer": "adam", "loss": "binary_crossentropy", "metrics": ["accuracy"], **options})
    return model


class Watch(callbacks.Callback):
    """Looks at every batch, so that steps cannot be put together."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append((batch, logs["loss"]))


@pytest.mark.parametrize("rows", [96, 100])
@pytest.mark.parametrize("weights", [False, True])
def test_chunks_and_single_steps_train_alike(rows, weights):
    x, y = data(rows)
    sample_weight = np.linspace(0.1, 2, rows).astype("float32") if weights else None
    results = []
    for options, watch in (({}, []), ({}, [Watch()]), ({"steps_per_execution": 3}, [Watch()]), ({"run_eagerly": True}, [])):
        model = compiled(**options)
        history = model.fit(x, y, batch_size=16, epochs=3, verbose=0, callbacks=watch, sample_weight=sample_weight).history
        results.append((history, model.get_weights()))
    (history, trained), *others = results
    for other_history, other_trained in others:
        for name, values in history.items():
            np.testing.assert_allclose(values, other_history[name], rtol=2e-4, atol=1e-5)
        for a, b in zip(trained, other_trained):
            np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)


def test_batches_are_seen_in_order():
    watch = Watch()
    compiled().fit(*data(50), batch_size=16, epochs=2, verbose=0, callbacks=[watch])
    assert [batch for batch, _ in watch.seen] == [0, 1, 2, 3] * 2
    assert all(isinstance(loss, float) for _, loss in watch.seen)


def test_training_learns_and_evaluate_agrees_with_predict():
    x, y = data(400)
    model = compiled()
    history = model.fit(x, y, epochs=15, verbose=0, validation_split=0.25).history
    assert history["accuracy"][-1] > 0.75
    assert history["loss"][-1] < history["loss"][0]
    assert sorted(history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    predicted = model.predict(x, batch_size=37, verbose=0)
    loss, accuracy = model.evaluate(x, y, batch_size=53, verbose=0)
    clipped = np.clip(predicted, 1e-7, 1 - 1e-7)
    np.testing.assert_allclose(loss, -(y * np.log(clipped) + (1 - y) * np.log(1 - clipped)).mean(), rtol=1e-4)
    np.testing.assert_allclose(accuracy, ((predicted > 0.5) == (y > 0.5)).mean(), rtol=1e-5)
    np.testing.assert_allclose(history["val_loss"][-1], model.evaluate(x[300:], y[300:], verbose=0)[0], rtol=1e-4)


def test_class_weights_are_sample_weights():
    x, y = data(64)
    one, other = compiled(), compiled()
    one.fit(x, y, verbose=0, class_weight={0: 0.3, 1: 2.0})
    other.fit(x, y, verbose=0, sample_weight=np.where(y[:, 0] > 0, 2.0, 0.3))
    for a, b in zip(one.get_weights(), other.get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_generators_and_datasets_of_batches_train_like_arrays():
    x, y = data(64)

    class Batches(mk.utils.PyDataset):
        num_batches = 4

        def __getitem__(self, i):
            return x[16 * i : 16 * i + 16], y[16 * i : 16 * i + 16]

    def batches():
        while True:
            for i in range(4):
                yield x[16 * i : 16 * i + 16], y[16 * i : 16 * i + 16]

    weights = []
    for source, more in (
        ((x, y), dict(batch_size=16)),
        ((Batches(),), {}),
        ((Batches(workers=3),), {}),
        ((batches(),), dict(steps_per_epoch=4)),
    ):
        model = compiled()
        model.fit(*source, epochs=2, shuffle=False, verbose=0, **more)
        weights.append(model.get_weights())
    for other in weights[1:]:
        for a, b in zip(weights[0], other):
            np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-4)


def test_an_exception_in_a_dataset_comes_out():
    class Broken(mk.utils.PyDataset):
        num_batches = 4

        def __getitem__(self, i):
            if i == 2:
                raise RuntimeError("the disk is gone")
            return data(8)

    for workers in (1, 3):
        with pytest.raises(RuntimeError, match="the disk is gone"):
            compiled().fit(Broken(workers=workers), verbose=0, shuffle=False)


def test_early_stopping_restores_the_best():
    x, y = data(64)
    model = compiled()
    stop = callbacks.EarlyStopping(monitor="val_loss", patience=2, restore_best_weights=True, min_delta=10.0)
    history = model.fit(x, y, epochs=20, verbose=0, validation_data=(x, y), callbacks=[stop])
    assert len(history.epoch) == 3
    np.testing.assert_allclose(model.evaluate(x, y, verbose=0)[0], history.history["val_loss"][0], rtol=1e-4)


def test_checkpoints_keep_the_best(tmp_path):
    x, y = data(64)
    model = compiled()
    path = tmp_path / "best.keras"
    checkpoint = callbacks.ModelCheckpoint(path, monitor="loss", save_best_only=True)
    history = model.fit(x, y, epochs=3, verbose=0, callbacks=[checkpoint]).history
    assert checkpoint.best == min(history["loss"])
    assert mk.saving.load_model(path).predict(x, verbose=0).shape == (64, 1)


def test_lambda_callback_and_train_on_batch():
    epochs = []
    x, y = data(32)
    model = compiled()
    note = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epochs.append(epoch))
    model.fit(x, y, epochs=2, verbose=0, callbacks=[note])
    assert epochs == [0, 1]
    losses = [model.train_on_batch(x, y, return_dict=True)["loss"] for _ in range(60)]
    assert np.mean(losses[-20:]) < np.mean(losses[:20])  # of one batch alone it hangs on what dropout drops
    assert model.test_on_batch(x, y)[0] == pytest.approx(model.evaluate(x, y, batch_size=32, verbose=0)[0], rel=1e-5)
    np.testing.assert_allclose(model.predict_on_batch(x), model.predict(x, verbose=0), rtol=1e-5, atol=1e-6)


def test_several_outputs_by_name():
    inputs = mk.Input((6,))
    hidden = layers.Dense(4)(inputs)
    model = mk.Model(inputs, {"p": layers.Dense(1, name="p_layer")(hidden), "q": layers.Dense(2, name="q_layer")(hidden)})
    model.compile("sgd", {"p": "mse", "q": "mae"}, loss_weights={"p": 2.0, "q": 0.5}, metrics={"q": ["mse"]})
    x, _ = data(32)
    history = model.fit(x, {"p": x[:, :1], "q": x[:, :2]}, verbose=0).history
    assert sorted(history) == ["loss", "p_loss", "q_loss", "q_mse"]
    np.testing.assert_allclose(history["loss"][0], 2 * history["p_loss"][0] + 0.5 * history["q_loss"][0], rtol=1e-5)


@pytest.mark.parametrize(("units", "kind"), [(1, "binary"), (3, "sparse_categorical")])
def test_crossentropy_by_the_shapes(units, kind):
    x, y = data(32)
    histories = []
    for loss in ("crossentropy", f"{kind}_crossentropy"):
        mk.utils.set_random_seed(1)
        model = mk.Sequential([mk.Input((6,)), layers.Dense(units, activation="sigmoid" if units == 1 else "softmax")])
        model.compile("sgd", loss)
        histories.append(model.fit(x, y, verbose=0).history["loss"])
    np.testing.assert_allclose(*histories, rtol=1e-6)


def test_progress_is_told_in_words_keras_users_know(capsys):
    compiled().fit(*data(64), epochs=2, verbose=2)
    text = capsys.readouterr().out
    assert "Epoch 1/2" in text
    assert "2/2 - " in text
    assert "- accuracy: 0." in text
    assert "- loss: 0." in text


@pytest.mark.parametrize("steps", [2, None])
def test_a_generator_for_validation_gives_the_same_batches_each_time(steps):
    x, y = data(64)

    def batches(rows):
        while True:
            yield x[:rows], y[:rows]

    def different():
        for i in range(0, 64, 16):
            yield x[i : i + 16], y[i : i + 16]

    model = mk.Sequential([mk.Input((6,)), layers.Dense(1)])
    model.compile(mk.optimizers.SGD(0.0), "mse")
    options = dict(steps_per_epoch=2, epochs=3, verbose=0, validation_steps=steps)
    losses = model.fit(batches(16), validation_data=different(), **options).history["val_loss"]
    rows = 64 if steps is None else 16 * steps
    np.testing.assert_allclose(losses, [model.evaluate(x[:rows], y[:rows], verbose=0)] * 3, rtol=1e-5)


def test_logs_of_all_metrics_of_compile_have_their_own_names():
    class Own(mk.Sequential):
        def test_step(self, data):
            super().test_step(data)
            return {metric.name: metric.result() for metric in self.metrics}

    model = Own([mk.Input((6,)), layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    assert list(model.evaluate(*data(32), verbose=0, return_dict=True)) == ["mae", "loss"]


def test_a_compiled_model_inside_another_keeps_its_metrics_to_itself():
    x, y = data(32)
    critic = mk.Sequential([mk.Input((3,)), layers.Dense(1, activation="sigmoid")])
    critic.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    critic.trainable = False
    inputs = mk.Input((6,))
    both = mk.Model(inputs, critic(layers.Dense(3)(inputs)))
    both.compile("adam", "binary_crossentropy")
    assert both.metrics_names == ["loss"]
    loss = both.train_on_batch(x, y)
    assert isinstance(loss, float)
    assert loss > 0
    assert len(critic.train_on_batch(x[:, :3], y)) == 2


def test_arguments_that_are_no_integers_are_named():
    model, (x, y) = compiled(), data(16)
    for call, name in (
        (lambda: model.fit(x, y, epochs="2"), "epochs"), (lambda: model.fit(x, y, batch_size=2.5), "batch_size"),
        (lambda: model.predict(x, batch_size="3"), "batch_size"), (lambda: model.fit(x, y, initial_epoch=True), "initial_epoch"),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=f"{name} must be an integer"):
            call()


def test_layers_that_became_trainable_after_compile_need_another():
    x, y = data(32)
    model = compiled()
    model.layers[0].trainable = False
    model.compile("adam", "mse")
    model.fit(x, y, verbose=0)
    model.layers[0].trainable = True
    with pytest.raises(ValueError, match="compile"):
        model.fit(x, y, verbose=0)
    model.compile("adam", "mse")
    model.fit(x, y, verbose=0)


def test_a_loss_that_is_nan_is_said_once():
    x, y = data(32)
    model = compiled(loss=lambda truth, predicted: mk.ops.log(mk.ops.mean(predicted) * 0 - 1))
    with pytest.warns(UserWarning, match="The loss is nan") as said:
        model.fit(x, y, epochs=3, verbose=0)
    assert len([w for w in said if "The loss is nan" in str(w.message)]) == 1


def own(**options):
    """A model whose train and test step return logs of their own: a tensor, a number, nested ones."""

    class Own(mk.Sequential):
        def train_step(self, data):
            x, y = data

            def loss_of():
                return mk.ops.mean(mk.ops.square(self(x, training=True) - y))

            loss, gradients = mk.ops.value_and_grad(loss_of, self.trainable_variables)()
            self.optimizer.apply(gradients, self.trainable_variables)
            return {"mine": loss, "constant": 3.0, "nested": {"double": 2 * loss}}

        def test_step(self, data):
            x, y = data
            return {"off": mk.ops.mean(mk.ops.abs(self(x) - y))}

    mk.utils.set_random_seed(2)
    model = Own([mk.Input((6,)), layers.Dense(4, activation="tanh"), layers.Dense(1)])
    model.compile("adam", **options)
    return model


def test_a_train_step_of_ones_own_runs_everywhere():
    history = own().fit(*data(64), epochs=30, batch_size=64, verbose=0).history
    assert list(history) == ["constant", "mine", "double"]
    assert history["mine"][-1] < history["mine"][0]


def test_steps_of_ones_own_give_the_logs_of_the_last_step_however_dispatched():
    x, y = data(112)
    histories = []
    for options, watch in (({}, []), ({}, [Watch]), ({"steps_per_execution": 3}, []), ({"run_eagerly": True}, [])):
        model = own(**options)
        watch = [mk.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: logs["mine"]) for _ in watch]
        histories.append(
            model.fit(x, y, batch_size=16, epochs=3, verbose=0, validation_data=(x, y), callbacks=watch).history
        )
    assert sorted(histories[0]) == ["constant", "double", "mine", "val_off"]
    for other in histories[1:]:
        for name, values in histories[0].items():
            np.testing.assert_allclose(values, other[name], rtol=1e-4)


def test_logs_of_rows_whose_number_is_not_known_beforehand():
    class Rows(mk.Sequential):
        def train_step(self, data):
            x, _ = data
            return {"last": mk.ops.sum(self(x)), "rows": self(x)}

    model = Rows([mk.Input((6,)), layers.Dense(2)])
    model.compile("sgd")
    history = model.fit(*data(20), batch_size=8, verbose=0).history
    assert len(history["last"]) == 1


@pytest.mark.parametrize(("loss", "expected"), [
    (["mse", ["mse", "mae"]], lambda e: (e[0] ** 2).mean() + (e[1] ** 2).mean() + abs(e[1]).mean()),
    ([["mse", "mae"], "mae"], lambda e: (e[0] ** 2).mean() + abs(e[0]).mean() + abs(e[1]).mean()),
    (["mse", None], lambda e: (e[0] ** 2).mean()),
    ("mae", lambda e: abs(e[0]).mean() + abs(e[1]).mean()),
])  # fmt: skip
def test_losses_nested_like_the_outputs_are_losses_of_these(loss, expected):
    x, y = data(8)
    inputs = mk.Input((6,))
    model = mk.Model(inputs, [layers.Dense(1)(inputs), layers.Dense(1)(inputs)])
    errors = [np.asarray(p) - y for p in model.predict(x, verbose=0)]
    model.compile("sgd", loss)
    np.testing.assert_allclose(model.evaluate(x, [y, y], verbose=0, return_dict=True)["loss"], expected(errors), rtol=1e-4)


def test_loss_weights_of_another_length_are_refused():
    x, y = data(8)
    for weights in ([1.0, 2.0], [0.5, 0.5, 3.0]):
        model = compiled(loss_weights=weights)
        with pytest.raises(ValueError, match="loss_weights"):
            model.fit(x, y, verbose=0)
    compiled(loss_weights=[2.0]).fit(x, y, verbose=0)


def test_a_train_step_that_hands_everything_on_is_called_as_keras_calls_it():
    class Own(mk.Sequential):
        def train_step(self, *args, **kwargs):
            return super().train_step(*args, **kwargs)

    histories = []
    for kind in (mk.Sequential, Own):
        mk.utils.set_random_seed(2)
        model = kind([mk.Input((6,)), layers.Dense(1)])
        model.compile("sgd", "mse")
        histories.append(model.fit(*data(64), epochs=2, verbose=0).history["loss"])
    np.testing.assert_allclose(*histories, rtol=1e-6)


def test_a_py_dataset_may_give_dicts_to_a_train_step_of_ones_own():
    class Dicts(mk.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            x, y = data(8)
            return {"features": x, "target": y}

    class Own(mk.Sequential):
        def call(self, features, target=None, training=False):
            return super().call(features)

        def train_step(self, batch):
            def loss_of():
                return mk.ops.mean(mk.ops.square(self(batch["features"], training=True) - batch["target"]))

            loss, gradients = mk.ops.value_and_grad(loss_of, self.trainable_variables)()
            self.optimizer.apply(gradients, self.trainable_variables)
            return {"loss": loss}

    model = Own([mk.Input((6,)), layers.Dense(1)])
    model.compile("sgd")
    losses = model.fit(Dicts(), epochs=3, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_a_step_put_on_a_model_takes_state_by_its_signature():
    def step(state, data):
        raise NotImplementedError

    model = mk.Sequential([mk.Input((2,)), layers.Dense(1)])
    assert _takes_state(step)
    assert _takes_state(partial(step))
    assert not _takes_state(model.train_step)
