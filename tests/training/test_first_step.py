"""What stands between a new model and its first step: traces, programs, how long these take to compile."""

import sys

import numpy as np
import pytest

import multikeras as K
from multikeras.backend import current

pytestmark = pytest.mark.skipif(not current.supports_gradients, reason="this backend computes no gradients")
only_jax = pytest.mark.skipif(current.name != "jax", reason="about programs of JAX")


def _model(width=6, layer=None):
    K.utils.set_random_seed(3)
    layers = [K.Input((5,)), layer, K.layers.Dense(width, "relu"), K.layers.Dense(2, "softmax")]
    model = K.Sequential([layer for layer in layers if layer is not None])
    model.compile(K.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _data(rows=24):
    random = np.random.default_rng(0)
    return random.normal(size=(rows, 5)).astype("float32"), random.integers(0, 2, rows)


def _trained(model, callbacks=()):
    history = model.fit(*_data(), batch_size=4, epochs=2, verbose=0, callbacks=list(callbacks))
    return history.history, model.get_weights()


def _assert_alike(first, second):
    for one, other in zip([*first[0].values(), *first[1]], [*second[0].values(), *second[1]], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def _compiled():
    return sys.modules["multikeras.backend._jax_compiled"]


@only_jax
def test_a_loop_of_steps_is_traced_once():
    class Counting(K.layers.Layer):
        calls = 0

        def call(self, x):
            type(self).calls += not isinstance(x, K.KerasTensor) and hasattr(x, "aval")
            return x

    _trained(_model(layer=Counting()))
    assert Counting.calls == 1


def test_metrics_of_chunks_are_those_of_single_steps():
    class Watching(K.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            assert set(logs) == {"loss", "accuracy"}

    model = _model()
    (chunked, _), (watched, _) = _trained(model), _trained(_model(), [Watching()])
    for name in watched:
        np.testing.assert_allclose(chunked[name], watched[name], rtol=1e-6)
    assert not (current.results_with_steps and "results" in model._programs.compiled)


@only_jax
@pytest.mark.parametrize("callback", [False, True])
def test_options_that_compile_quickly_compute_the_same(monkeypatch, callback):
    given = []
    real = _compiled().jax.jit
    monkeypatch.setattr(_compiled().jax, "jit", lambda f, **options: given.append(options) or real(f, **options))
    watch = [K.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)] if callback else []
    quickly = _trained(_model(), watch)
    assert {"compiler_options": _compiled()._QUICKLY} in given
    monkeypatch.setattr(_compiled(), "_SMALL", 0)
    given.clear()
    _assert_alike(_trained(_model(), watch), quickly)
    assert not any(given)


@only_jax
def test_large_arrays_and_predictions_are_compiled_at_leisure(monkeypatch):
    given = []
    real = _compiled().jax.jit
    monkeypatch.setattr(_compiled().jax, "jit", lambda f, **options: given.append(options) or real(f, **options))
    _trained(_model(width=2000))
    small = _model()
    small.predict(_data()[0], verbose=0)
    assert given
    assert not any(given)


@only_jax
def test_an_xla_without_the_option_is_asked_without_it(monkeypatch):
    expected = _trained(_model())
    monkeypatch.setattr(_compiled(), "_QUICKLY", {"xla_cpu_no_such_option": True})
    _assert_alike(_trained(_model()), expected)
