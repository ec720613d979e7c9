"""Checkpoints that Orbax keeps."""

import builtins

import numpy as np
import pytest

import multikeras as mk
from multikeras import backend, callbacks, layers, saving

pytestmark = pytest.mark.skipif(not backend.current.supports_gradients, reason="this backend computes no gradients")

X, Y = np.random.RandomState(0).normal(size=(40, 4)).astype("float32"), np.ones((40, 1), "float32")


def model():
    mk.utils.set_random_seed(0)
    made = mk.Sequential([mk.Input((4,)), layers.Dense(3, activation="tanh"), layers.BatchNormalization(), layers.Dense(1)])
    made.compile("adam", "mse")
    return made


@pytest.mark.parametrize("background", [True, False])
def test_the_last_steps_are_kept_and_come_back_whole(background, tmp_path):
    pytest.importorskip("orbax.checkpoint")
    made = model()
    keep = callbacks.OrbaxCheckpoint(tmp_path / "steps", max_to_keep=2, save_on_background=background)
    made.fit(X, Y, epochs=4, verbose=0, callbacks=[keep])
    assert sorted(p.name for p in (tmp_path / "steps").iterdir()) == ["2", "3"]
    loaded = saving.load_model(tmp_path / "steps")
    for a, b in zip(made.get_weights(), loaded.get_weights()):
        np.testing.assert_array_equal(a, b)
    assert int(loaded.optimizer.iterations.numpy()) == 8
    np.testing.assert_allclose(made.fit(X, Y, shuffle=False, verbose=0).history["loss"],
                               loaded.fit(X, Y, shuffle=False, verbose=0).history["loss"], rtol=1e-5)  # fmt: skip


def test_weights_alone_and_best_only(tmp_path):
    pytest.importorskip("orbax.checkpoint")
    made = model()
    best = callbacks.OrbaxCheckpoint(tmp_path / "best", "loss", save_best_only=True, save_weights_only=True, save_freq="epoch")
    made.fit(X, Y, epochs=1, verbose=0, callbacks=[best])
    assert best.best == made.history.history["loss"][0]
    other = model()
    other.load_weights(tmp_path / "best")
    for a, b in zip(made.get_weights(), other.get_weights()):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="weights only"):
        saving.load_model(tmp_path / "best")
    wrong = mk.Sequential([mk.Input((4,)), layers.Dense(5), layers.BatchNormalization(), layers.Dense(1)])
    before = wrong.get_weights()
    with pytest.raises(ValueError, match="shape"):
        wrong.load_weights(tmp_path / "best")
    for a, b in zip(before, wrong.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_a_step_is_checked_as_any_file(tmp_path):
    pytest.importorskip("orbax.checkpoint")
    keep = callbacks.OrbaxCheckpoint(tmp_path / "steps", save_on_background=False)
    model().fit(X, Y, epochs=1, verbose=0, callbacks=[keep])
    config = next((tmp_path / "steps").glob("*/model/metadata"))
    good = config.read_text()
    config.write_text(good.replace('\\"units\\": 3', '\\"units\\": 3000000000'))
    assert config.read_text() != good
    with pytest.raises(ValueError, match=r"steps.*takes \d+ bytes"):
        saving.load_model(tmp_path / "steps")


def test_without_orbax_the_error_says_how_to_get_it(monkeypatch, tmp_path):
    real = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.startswith("orbax"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match="pip install orbax-checkpoint"):
        callbacks.OrbaxCheckpoint(tmp_path)
