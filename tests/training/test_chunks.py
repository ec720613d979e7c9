"""Many steps in one dispatch do what the same steps do one by one: each weight, slot, total and seed."""

import functools
import importlib

import numpy as np
import pytest

import multikeras as mk
from multikeras import backend, callbacks, layers
from multikeras.random import host
from multikeras.training.purity import is_pure

pytestmark = pytest.mark.skipif(not backend.current.supports_gradients, reason="this backend computes no gradients")

EAGER = backend.current.name == "torch"


@pytest.fixture(autouse=True)
def recorded_at_once(monkeypatch):
    """Where steps are recorded once training has lasted for a while, record the second one."""
    if EAGER:
        programs = importlib.import_module("multikeras.backend._torch_programs")
        monkeypatch.setattr(programs, "_EAGER_SECONDS", 0.0)
        monkeypatch.setattr(programs, "record", counted(programs.record))


RECORDED = []


def counted(record):
    def run(*args):
        try:
            loop = record(*args)
        except Exception as error:
            RECORDED.append(str(error))
            raise
        RECORDED.append("done")
        return loop

    return run


class Watch(callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        pass


def dense():
    return [layers.Dense(8, activation="relu"), layers.BatchNormalization(), layers.Dropout(0.3), layers.Dense(3, "softmax")]


def convolutions():
    return [
        layers.Reshape((6, 1)), layers.Conv1D(4, 3, padding="same", activation="gelu"), layers.MaxPooling1D(),
        layers.SpatialDropout1D(0.2), layers.GaussianNoise(0.1), layers.Flatten(), layers.Dense(3, activation="softmax"),
    ]  # fmt: skip


def attention():
    x = mk.Input((6,))
    y = layers.Reshape((6, 1))(x)
    y = layers.Dense(8)(y)
    y = layers.LayerNormalization()(y + layers.MultiHeadAttention(2, 4, dropout=0.1)(y, y))
    return mk.Model(x, layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling1D()(y)))


def recurrent():
    return [layers.Reshape((6, 1)), layers.LSTM(4, return_sequences=True), layers.GRU(4), layers.Dense(3, "softmax")]


MODELS = {"dense": dense, "convolutions": convolutions, "attention": attention, "recurrent": recurrent}
OPTIMIZERS = {
    "adam": lambda: mk.optimizers.Adam(1e-2, amsgrad=True, global_clipnorm=1.0),
    "sgd": lambda: mk.optimizers.SGD(mk.optimizers.schedules.ExponentialDecay(0.1, 5, 0.9), momentum=0.9, nesterov=True),
    "rmsprop": lambda: mk.optimizers.RMSprop(1e-2, centered=True, momentum=0.5, weight_decay=1e-3),
    "adamw": lambda: mk.optimizers.AdamW(1e-2, use_ema=True, ema_overwrite_frequency=7),
    "lion": lambda: mk.optimizers.Lion(1e-2, clipvalue=0.5),
    "adadelta": lambda: mk.optimizers.Adadelta(0.1),
    "nadam": lambda: mk.optimizers.Nadam(1e-2),
    "lamb": lambda: mk.optimizers.Lamb(1e-2),
    "ftrl": lambda: mk.optimizers.Ftrl(0.1, beta=0.1, l2_regularization_strength=0.01),
    "adafactor": lambda: mk.optimizers.Adafactor(0.05),
    "schedule free": lambda: mk.optimizers.ScheduleFreeAdamW(1e-2, warmup_steps=5),
    "accumulating": lambda: mk.optimizers.Adam(1e-2, gradient_accumulation_steps=2),
}


def trained(model, optimizer, watch, rows=100, jit_compile="auto", **options):
    mk.utils.set_random_seed(3)
    x = host.normal((1, 0), (rows, 6))
    y = np.arange(rows) % 3
    made = MODELS[model]()
    made = made if isinstance(made, mk.Model) else mk.Sequential([mk.Input((6,)), *made])
    made.compile(OPTIMIZERS[optimizer](), "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=jit_compile)
    assert is_pure(made)
    history = made.fit(x, y, batch_size=16, epochs=3, verbose=0, callbacks=[Watch()] if watch else [], **options).history
    values = [v.numpy() for v in made._state_of_training()]
    return history, values


def cases():
    often = [("dense", "adam"), ("convolutions", "adam")]
    more = [("dense", name) for name in OPTIMIZERS if name != "adam"] + [("attention", "adam"), ("recurrent", "adam")]
    return [*often, *(case if EAGER else pytest.param(*case, marks=pytest.mark.slow) for case in more)]


@pytest.mark.parametrize(("model", "optimizer"), cases())
def test_every_variable_is_the_same(model, optimizer):
    before = len(RECORDED)
    history, together = trained(model, optimizer, watch=False)
    if EAGER and optimizer != "accumulating":  # which asks each time whether it is its turn
        assert "done" in RECORDED[before:], RECORDED[before:]
    single_history, apart = trained(model, optimizer, watch=True, jit_compile=not EAGER and "auto")  # False: never recorded
    assert history.keys() == single_history.keys()
    if EAGER:
        before = len(RECORDED)
        watched_history, watched = trained(model, optimizer, watch=True)
        assert watched_history == single_history
        if optimizer != "accumulating":
            assert RECORDED[before:] == ["done", "done"], RECORDED[before:]  # one for the last, short batch
        together = [*together, *watched]
        apart = apart * 2
    for a, b in zip(together, apart, strict=True):
        if EAGER:
            np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_allclose(a, b, rtol=2e-3, atol=3e-4)


@pytest.mark.parametrize("first", [10, 16, 25])
def test_a_run_that_was_interrupted_takes_the_same_programs(first, tmp_path):
    """TensorFlow's loop changes its program at step 16 of the optimizer, wherever a run begins."""
    numbers = np.random.default_rng(0)
    x, y = numbers.normal(size=(40 * 8, 6)).astype("float32"), numbers.integers(0, 3, 40 * 8)
    mk.utils.set_random_seed(0)
    whole = mk.Sequential([mk.Input((6,)), *dense()[:2], layers.Dense(3, "softmax")])
    whole.compile("adam", "sparse_categorical_crossentropy")
    whole.save(tmp_path / "m.keras")
    whole.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    for rows in (slice(0, first * 8), slice(first * 8, None)):
        part = mk.saving.load_model(tmp_path / "m.keras")
        part.fit(x[rows], y[rows], batch_size=8, shuffle=False, verbose=0)
        part.save(tmp_path / "m.keras")
    for a, b in zip(whole.get_weights(), part.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_sample_weights_and_uneven_batches():
    weights = np.linspace(0.1, 2, 100).astype("float32")
    (_, together), (_, apart) = (
        trained("dense", "adam", watch, sample_weight=weights, jit_compile="auto" if not (watch and EAGER) else False)
        for watch in (False, True)
    )
    for a, b in zip(together, apart):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=3e-4)


@pytest.mark.skipif(not EAGER, reason="Python is traced once here")
def test_user_code_runs_at_each_step():
    class Counting(layers.Layer):
        calls = 0

        def call(self, x):
            Counting.calls += 1
            return x

    model = mk.Sequential([mk.Input((6,)), Counting(), layers.Dense(1)])
    model.compile("sgd", "mse")
    Counting.calls = 0
    x = np.zeros((80, 6), "float32")
    model.fit(x, x[:, :1], batch_size=8, epochs=3, verbose=0)
    assert Counting.calls >= 30


@pytest.mark.slow
@pytest.mark.parametrize("model", ["dense", "attention"])
def test_compiled_steps_train_alike(model, request):
    if not EAGER:  # XLA draws other numbers than TensorFlow does without it
        request.addfinalizer(functools.partial(mk.config.set_random, mk.config.random_mode()))
        mk.config.set_random("portable")
    before = len(RECORDED)
    _, compiled = trained(model, "adam", watch=False, jit_compile=True)
    _, apart = trained(model, "adam", watch=True, jit_compile=not EAGER and "auto")
    if EAGER:
        assert "done" in RECORDED[before:], RECORDED[before:]
    for a, b in zip(compiled, apart):
        np.testing.assert_allclose(a, b, rtol=5e-3, atol=1e-3)


@pytest.mark.slow
def test_compiled_steps_take_arrays_that_lie_otherwise_in_memory():
    x = host.normal((1, 0), (40, 6))
    weights = []
    for second in (x, np.asfortranarray(x)):
        mk.utils.set_random_seed(0)
        model = mk.Sequential([mk.Input((6,)), mk.layers.Dense(4, activation="tanh"), mk.layers.Dense(1)])
        model.compile("adam", "mse", jit_compile=True)
        for rows in (x, second):
            model.fit(rows, x[:, :1], batch_size=8, epochs=2, verbose=0)
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_predictions_together_are_those_of_single_batches(model, monkeypatch):
    made = MODELS[model]()
    made = made if isinstance(made, mk.Model) else mk.Sequential([mk.Input((6,)), *made])
    x = host.normal((1, 0), (105, 6))
    programs = importlib.import_module("multikeras.training.programs")
    monkeypatch.setattr(programs, "_SINGLE_SECONDS", np.inf)
    apart = [made.predict(x, batch_size=10, verbose=0) for _ in range(2)][1]
    monkeypatch.setattr(programs, "_SINGLE_SECONDS", 0.0)
    monkeypatch.setattr(programs, "_FEWEST_TOGETHER", 1)  # also where this machine is slow just now
    before = len(RECORDED)
    together = made.predict(x, batch_size=10, verbose=0)
    if EAGER:
        assert RECORDED[before:] == ["done"]
    np.testing.assert_array_equal(together, apart)
    made.set_weights([w * 0.5 for w in made.get_weights()])
    changed = made.predict(x, batch_size=10, verbose=0)
    assert len(RECORDED) == before + EAGER
    np.testing.assert_array_equal(changed[:10], made.predict_on_batch(x[:10]))


@pytest.mark.parametrize("model", MODELS)
def test_a_repeated_prediction_is_that_of_the_model(model):
    made = MODELS[model]()
    made = made if isinstance(made, mk.Model) else mk.Sequential([mk.Input((6,)), *made])
    x = host.normal((1, 0), (12, 6))
    before = len(RECORDED)
    for rows in (1, 12, 1, 12, 1):
        first, *others = [made.predict(x[:rows], verbose=0) for _ in range(4)]
        for other in others:
            np.testing.assert_array_equal(other, first)
        np.testing.assert_allclose(first, np.asarray(backend.current.to_numpy(made(x[:rows]))), rtol=1e-5, atol=1e-6)
        made.set_weights([w * 0.5 for w in made.get_weights()])
    if EAGER:
        assert RECORDED[before:] == ["done"] * 2


def test_predictions_see_weights_that_layers_got_later():
    model = mk.Sequential([mk.Input((5,)), layers.Dense(4), layers.Dense(2)])
    x = np.ones((3, 5), "float32")
    before = [model.predict(x, verbose=0) for _ in range(3)]
    model.layers[0].enable_lora(2)
    model.layers[0].lora_kernel_b.assign(np.ones((2, 4)))
    after = [model.predict(x, verbose=0) for _ in range(3)]
    assert np.abs(after[0] - before[0]).max() > 1e-3
    for found in after:
        np.testing.assert_allclose(found, np.asarray(backend.current.to_numpy(model(x))), rtol=1e-5)
