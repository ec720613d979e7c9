"""Finding a learning rate, speed and memory, and callbacks that look at some batches only."""

import numpy as np
import pytest

import multikeras as mk
from multikeras import backend, callbacks, layers
from multikeras.optimizers import schedules

pytestmark = pytest.mark.skipif(not backend.current.supports_gradients, reason="this backend computes no gradients")

X = np.random.RandomState(0).normal(size=(400, 6)).astype("float32")
Y = X[:, :1] * 2 + 1


def model():
    mk.utils.set_random_seed(0)
    made = mk.Sequential([mk.Input((6,)), layers.Dense(8, activation="tanh"), layers.Dropout(0.1), layers.Dense(1)])
    made.compile("sgd", "mse")
    return made


def test_the_finder_draws_a_curve_and_leaves_the_model_as_it_was(tmp_path):
    made = model()
    made.fit(X, Y, verbose=0)
    before = [v.numpy() for v in [*made.variables, *made.optimizer.variables]]
    finder = callbacks.LearningRateFinder(1e-4, 10, steps=60, verbose=0)
    made.fit(X, Y, batch_size=8, epochs=9, verbose=0, callbacks=[finder])
    for a, v in zip(before, [*made.variables, *made.optimizer.variables]):
        np.testing.assert_array_equal(a, v.numpy(), err_msg=v.path)
    assert 1e-3 < finder.suggestion < 1
    assert finder.rates == sorted(finder.rates)
    assert finder.rates[0] == 1e-4
    text = finder.text().split("\n")
    assert f"{finder.suggestion:.2e}" in text[0]
    assert len(text) == 20
    for name in ("curve.svg", "curve.html"):
        finder.plot(tmp_path / name)
        assert (tmp_path / name).read_text().count("<polyline") == 1
    with pytest.raises(ValueError, match=r"\.png, \.svg or \.html"):
        finder.plot("curve.gif")


def test_the_finder_draws_a_picture(tmp_path):
    pytest.importorskip("matplotlib")
    finder = callbacks.LearningRateFinder(steps=10)
    finder.rates, finder.losses = [10.0**-n for n in (4, 3, 2, 1)], [3.0, 2.0, 1.0, 9.0]
    finder.plot(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_speed_and_memory_are_metrics_of_the_epoch():
    history = model().fit(X, Y, batch_size=50, epochs=2, verbose=0, callbacks=[callbacks.Throughput()]).history
    assert all(rate > 0 for rate in history["steps_per_second"])
    np.testing.assert_allclose(history["samples_per_second"], np.multiply(history["steps_per_second"], 50), rtol=1e-6)
    assert history["host_memory_mb"][0] > 20


def test_one_cycle_rises_and_falls():
    rate = schedules.OneCycle(0.5, total_steps=40, warmup=0.25)
    values = [float(rate(step)) for step in range(45)]
    top = int(np.argmax(values))
    assert top == 10
    assert values[:11] == sorted(values[:11])
    assert values[10:] == sorted(values[10:], reverse=True)
    assert schedules.deserialize(schedules.serialize(rate)).get_config() == rate.get_config()
    with pytest.raises(ValueError, match="warmup"):
        schedules.OneCycle(0.5, 10, warmup=1.0)


@pytest.mark.parametrize("watched", [False, True])
def test_a_checkpoint_every_few_batches_needs_no_look_at_the_others(watched, tmp_path, monkeypatch):
    saved = []
    made = model()
    monkeypatch.setattr(type(made), "save_weights", lambda self, path, **_: saved.append(int(self.optimizer.iterations.numpy())))
    watch = [callbacks.ModelCheckpoint(tmp_path / "a.weights.h5", save_weights_only=True, save_freq=7)]
    if watched:
        watch.append(callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None))
    made.fit(X, Y, batch_size=40, epochs=3, verbose=0, callbacks=watch)
    assert saved == [7, 14, 21, 28]


def test_an_interrupt_while_averages_are_in_place_puts_the_weights_back():
    class Interrupt(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.trained = self.model.get_weights()

        def on_test_begin(self, logs=None):
            self.averages = self.model.get_weights()
            raise KeyboardInterrupt

    made, stop = model(), Interrupt()
    made.compile(mk.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5), "mse")
    with pytest.raises(KeyboardInterrupt):
        made.fit(X, Y, verbose=0, validation_data=(X, Y), callbacks=[callbacks.SwapEMAWeights(), stop])
    assert any((a != b).any() for a, b in zip(stop.averages, stop.trained))
    for a, b in zip(stop.trained, made.get_weights()):
        np.testing.assert_array_equal(a, b)
