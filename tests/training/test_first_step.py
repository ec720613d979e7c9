"""What stands between a new model and its first step: traces, programs, how long these take to compile."""

import functools
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


@pytest.fixture
def options(monkeypatch):
    """The options of all programs that are compiled."""
    given = []
    real = _compiled().jax.jit

    def jit(f, **options):
        compiled = real(f, **options)

        def run(*args):
            result = compiled(*args)  # raises where it is not to be compiled in this way
            given.append(options)
            return result

        return functools.update_wrapper(run, compiled) if "compiler_options" in options else compiled

    monkeypatch.setattr(_compiled().jax, "jit", jit)
    return given


@only_jax
@pytest.mark.parametrize("callback", [False, True])
def test_small_programs_compute_the_same_in_every_way(monkeypatch, callback, options):
    watch = [K.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)] if callback else []
    one_kernel = _trained(_model(), watch)
    assert {"compiler_options": _compiled()._ONE_KERNEL} in options
    options.clear()
    monkeypatch.setattr(_compiled(), "xla_metadata_call", None)
    quickly = _trained(_model(), watch)
    assert options
    assert all(given == {"compiler_options": _compiled()._QUICKLY} for given in options)
    monkeypatch.setattr(_compiled(), "_SMALL", 0)
    options.clear()
    at_leisure = _trained(_model(), watch)
    assert not options
    _assert_alike(one_kernel, at_leisure)
    _assert_alike(quickly, at_leisure)


@only_jax
def test_a_kernel_gives_way_when_batches_become_large(options):
    def fitted(batch):
        x, y = _data(rows=2 * batch)
        return model.fit(x, y, batch_size=batch, verbose=0).history["loss"][0]

    kernels, model = [], _model()
    for batch in (4, 2000, 5):
        options.clear()
        assert np.isfinite(fitted(batch))
        kernels.append({"compiler_options": _compiled()._ONE_KERNEL} in options)
    assert kernels == [True, False, False]


@only_jax
@pytest.mark.parametrize(
    "layers",
    [
        lambda L: [L.Dropout(0.5)],
        lambda L: [L.BatchNormalization(), L.GaussianNoise(0.1)],
        lambda L: [L.Reshape((5, 1)), L.LSTM(3)],
        lambda L: [L.Reshape((5, 1)), L.GRU(3, return_sequences=True), L.GlobalMaxPooling1D()],
        lambda L: [L.Activation("relu"), L.Embedding(9, 3), L.Flatten()],
        lambda L: [L.LayerNormalization(), L.Dense(4, "gelu"), L.Dense(4, "softplus")],
    ],
    ids=["dropout", "normalization", "lstm", "gru", "embedding", "activations"],
)
def test_kernels_of_many_kinds_of_layers(monkeypatch, layers, options):
    def trained():
        K.utils.set_random_seed(3)
        model = K.Sequential([K.Input((5,)), *layers(K.layers), K.layers.Dense(2, "softmax")])
        model.compile(K.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return _trained(model)

    one_kernel = trained()
    assert {"compiler_options": _compiled()._ONE_KERNEL} in options
    monkeypatch.setattr(_compiled(), "_SMALL", 0)
    _assert_alike(one_kernel, trained())


@only_jax
def test_arguments_without_use_become_part_of_a_kernel(options):
    x, y = _data()
    model = _model()
    model.fit(x, y, batch_size=4, verbose=0)
    options.clear()
    model.evaluate(x, y, batch_size=4, verbose=0)  # reads nothing of the optimizer
    model.fit(x, y, batch_size=4, verbose=0, sample_weight=np.zeros(len(x)))
    assert {"compiler_options": _compiled()._ONE_KERNEL} in options


@only_jax
def test_large_arrays_and_predictions_are_compiled_at_leisure(options):
    _trained(_model(width=2000))
    small = _model()
    small.predict(_data()[0], verbose=0)
    assert not options


@only_jax
def test_an_xla_without_the_option_is_asked_without_it(monkeypatch):
    expected = _trained(_model())
    for options in ("_ONE_KERNEL", "_QUICKLY"):
        monkeypatch.setattr(_compiled(), options, {"xla_cpu_no_such_option": True})
    _assert_alike(_trained(_model()), expected)
