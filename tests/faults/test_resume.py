"""A fit that was ended half-way and started again ends as if nothing had been."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from faults import scenarios

import multikeras as mk
from multikeras import backend, callbacks, layers
from multikeras.saving import snapshot

pytestmark = pytest.mark.skipif(not backend.current.supports_gradients, reason="this backend computes no gradients")


class Killed(Exception):
    """Stands for a kill: nothing is tidied up for the backup."""


def die():
    raise Killed


def same(a, b):
    assert len(a) == len(b)
    for x, y in zip(a, b):
        np.testing.assert_array_equal(x, y)


QUICK = (("arrays", 4), ("py_dataset", "epoch"), ("stateful", 4))
SLOW = (
    ("in_order", "epoch"), ("steps", 4), ("py_dataset_threads", 4), ("generator", 4), ("stream", "epoch"), ("stream_steps", 4)
)  # fmt: skip
CASES = [*QUICK, *SLOW]
assert {kind for kind, _ in CASES} == set(scenarios.KINDS)


@pytest.mark.parametrize(
    ("kind", "save_freq"), [pytest.param(*c, marks=() if c in QUICK else pytest.mark.slow) for c in CASES]
)
def test_a_resumed_fit_ends_bit_for_bit_as_one_that_was_not_ended(kind, save_freq, tmp_path):
    whole, history = scenarios.fit(kind, tmp_path / "whole", save_freq=save_freq)
    with pytest.raises(Killed):
        scenarios.fit(kind, tmp_path / "killed", at=7 if "steps" in kind else 14, act=die, save_freq=save_freq)
    resumed, resumed_history = scenarios.fit(kind, tmp_path / "killed", save_freq=save_freq)
    same(scenarios.everything(whole), scenarios.everything(resumed))
    assert history.history == resumed_history.history
    assert history.epoch == resumed_history.epoch
    assert not list(tmp_path.iterdir())  # the backups of finished fits are removed


def test_the_scale_of_losses_and_a_schedule_come_back(tmp_path):
    def scaled():
        mk.utils.clear_session()
        mk.utils.set_random_seed(0)
        model = mk.Sequential([mk.Input((6,)), layers.Dense(3), layers.Dense(1)])
        rate = mk.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
        optimizer = mk.optimizers.LossScaleOptimizer(mk.optimizers.SGD(rate), initial_scale=4.0, dynamic_growth_steps=3)
        model.compile(optimizer, "mse")
        return model

    interrupted(tmp_path / "ended", at=10, model=scaled(), save_freq=4)
    whole = go_on(tmp_path / "whole", scaled(), save_freq=4)
    resumed = go_on(tmp_path / "ended", scaled(), save_freq=4)
    assert float(whole.optimizer.dynamic_scale.numpy()) == 4.0 * 2 ** (3 * 6 // 3)
    same(scenarios.everything(whole), scenarios.everything(resumed))


def small():
    mk.utils.clear_session()
    mk.utils.set_random_seed(0)
    model = mk.Sequential([mk.Input((6,)), layers.Dense(3), layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def interrupted(folder, at=7, model=None, **options):
    """Leave a backup of a fit of 6 batches an epoch that was ended at a batch."""
    x, y = scenarios.arrays()
    model = small() if model is None else model
    watch = [callbacks.BackupAndRestore(folder, **options), scenarios.Mayhem(at, die)]
    with pytest.raises(Killed):
        model.fit(x, y, batch_size=8, epochs=3, verbose=0, callbacks=watch)
    return model


def go_on(folder, model=None, epochs=3, **options):
    x, y = scenarios.arrays()
    model = small() if model is None else model
    model.fit(x, y, batch_size=8, epochs=epochs, verbose=0, callbacks=[callbacks.BackupAndRestore(folder, **options)])
    return model


@pytest.mark.parametrize("keep", [0, 10, 0.5, -1])
def test_a_backup_that_is_cut_off_is_an_error_that_names_the_file(tmp_path, keep):
    interrupted(tmp_path)
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    model = small()
    before = model.get_weights()
    with pytest.raises(ValueError, match="latest.backup.*damaged"):
        go_on(tmp_path, model)
    same(before, model.get_weights())
    assert path.exists()


def test_a_backup_with_one_wrong_byte_is_an_error(tmp_path):
    interrupted(tmp_path)
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    for place in np.random.RandomState(0).randint(0, len(data) // 2, 20):
        changed = bytearray(data)
        changed[place] ^= 0x10
        path.write_bytes(changed)
        try:
            state = snapshot.read(path)
        except ValueError:
            continue
        path.write_bytes(data)  # a byte that nothing depends on, such as a date
        good = snapshot.read(path)
        same(state["variables"], good["variables"])
        assert {k: v for k, v in state.items() if k != "variables"} == {k: v for k, v in good.items() if k != "variables"}


def test_the_backup_before_the_last_is_used_if_that_is_damaged(tmp_path):
    options = {"save_freq": 2, "double_checkpoint": True}
    interrupted(tmp_path, **options)
    (tmp_path / "latest.backup").write_bytes(b"no backup")
    with pytest.warns(UserWarning, match="The backup before it is used"):
        resumed = go_on(tmp_path, **options)
    same(resumed.get_weights(), go_on(tmp_path / "whole").get_weights())


def another_layer():
    model = mk.Sequential([mk.Input((6,)), layers.Dense(4), layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def another_optimizer():
    model = mk.Sequential([mk.Input((6,)), layers.Dense(3), layers.Dense(1)])
    model.compile("adam", "mse")
    return model


def one_more_layer():
    model = mk.Sequential([mk.Input((6,)), layers.Dense(3), layers.ReLU(), layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize(
    ("make", "words"), [(another_layer, "shape"), (another_optimizer, "optimizer: SGD; here: Adam"), (one_more_layer, "layers")]
)
def test_a_backup_of_another_model_or_optimizer_is_refused(tmp_path, make, words):
    interrupted(tmp_path)
    model = make()
    before = model.get_weights()
    with pytest.raises(ValueError, match=f"backup of another model.*{words}"):
        go_on(tmp_path, model)
    same(before, model.get_weights())
    model.fit(*scenarios.arrays(), verbose=0)  # it can still be trained


def test_data_of_another_length_are_refused(tmp_path):
    interrupted(tmp_path)
    x, y = scenarios.arrays()
    with pytest.raises(ValueError, match="rows=44, the data here has 40"):
        small().fit(x[:40], y[:40], verbose=0, callbacks=[callbacks.BackupAndRestore(tmp_path)])


def test_what_callbacks_know_comes_back(tmp_path):
    class Own(callbacks.Callback):
        def __init__(self, given):
            super().__init__()
            self.given, self.seen, self.model_before = given, [], None

        def on_epoch_end(self, epoch, logs=None):
            self.seen.append(logs["loss"])

    def watch(given, at=None):
        log = callbacks.CSVLogger(tmp_path / "log.csv")
        best = callbacks.ModelCheckpoint(tmp_path / "best.weights.h5", "loss", save_best_only=True, save_weights_only=True)
        stop = callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True)
        more = [] if at is None else [scenarios.Mayhem(at, die)]
        return [callbacks.BackupAndRestore(tmp_path / "backup"), stop, best, log, Own(given), *more]

    x, y = scenarios.arrays()
    killed = watch("first", at=14)
    with pytest.raises(Killed):
        small().fit(x, y, batch_size=8, epochs=4, verbose=0, callbacks=killed)
    (tmp_path / "log.csv").open("a").write("9,9\n")  # lines after the last backup are not of the run that goes on
    resumed = watch("second")
    history = small().fit(x, y, batch_size=8, epochs=4, verbose=0, callbacks=resumed)
    losses = history.history["loss"]
    assert history.epoch == [0, 1, 2, 3]
    assert len(losses) == 4
    assert resumed[4].seen == losses
    assert resumed[4].given == "second"
    assert resumed[1].best == resumed[2].best == min(losses)
    rows = [line.split(",") for line in (tmp_path / "log.csv").read_text().split()]
    assert [row[0] for row in rows] == ["epoch", "0", "1", "2", "3"]
    assert [float(row[1]) for row in rows[1:]] == losses


def test_sigterm_ends_the_batch_writes_a_backup_and_leaves_with_143(tmp_path):
    x, y = scenarios.arrays()
    handler = signal.getsignal(signal.SIGTERM)
    watch = [
        callbacks.BackupAndRestore(tmp_path / "ended"),
        scenarios.Mayhem(9, lambda: os.kill(os.getpid(), signal.SIGTERM)),
    ]
    model = small()
    with pytest.raises(SystemExit) as status:
        model.fit(x, y, batch_size=8, epochs=3, verbose=0, callbacks=watch)
    assert status.value.code == callbacks.BackupAndRestore.exit_status == 143
    assert signal.getsignal(signal.SIGTERM) is handler
    state = snapshot.read(tmp_path / "ended" / "latest.backup")
    assert state["epoch"] * 6 + state["batch"] >= 9
    same(go_on(tmp_path / "ended").get_weights(), go_on(tmp_path / "whole").get_weights())


def test_sigterm_during_validation_keeps_the_epoch(tmp_path):
    x, y = scenarios.arrays()

    class Ended(callbacks.Callback):
        at = 1

        def on_test_batch_end(self, batch, logs=None):
            if len(self.model.history.epoch) == self.at:
                os.kill(os.getpid(), signal.SIGTERM)

    def fit(folder, more):
        model = small()
        watch = [callbacks.BackupAndRestore(tmp_path / folder), *more]
        history = model.fit(x, y, batch_size=8, epochs=3, verbose=0, callbacks=watch, validation_data=(x[:9], y[:9]))
        return model, history

    with pytest.raises(SystemExit):
        fit("ended", [Ended()])
    assert snapshot.read(tmp_path / "ended" / "latest.backup")["logs"]
    resumed, history = fit("ended", [])
    whole, whole_history = fit("whole", [])
    same(resumed.get_weights(), whole.get_weights())
    assert history.history == whole_history.history


def test_a_disk_that_is_full_stops_training_and_keeps_the_backup(tmp_path, monkeypatch):
    interrupted(tmp_path)
    before = (tmp_path / "latest.backup").read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            go_on(tmp_path)
    assert (tmp_path / "latest.backup").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["latest.backup"]
    same(go_on(tmp_path).get_weights(), go_on(tmp_path / "whole").get_weights())  # and again


# -- processes that die ----------------------------------------------------------------------------------------------------


def start(kind, folder, out, at="-", save_freq="epoch", framework=None):
    here = Path(scenarios.__file__).parent
    names = ("MULTIKERAS_BACKEND", "KERAS_BACKEND") if framework else ()
    return subprocess.Popen(
        [sys.executable, str(here / "scenarios.py"), kind, str(folder), str(out), str(at), str(save_freq)],
        env={**os.environ, **dict.fromkeys(names, framework), "PYTHONPATH": str(here.parent.parent)},
        cwd=here,
    )


def results(path):
    with np.load(path) as found:
        return [found[name] for name in sorted(found.files)]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "save_freq"), [("arrays", 3), ("py_dataset", 3), ("stateful", 3)])
def test_killed_at_random_moments_again_and_again(kind, save_freq, tmp_path):
    random = np.random.RandomState(len(kind))
    assert start(kind, tmp_path / "backup_of_whole", tmp_path / "whole.npz", "-", save_freq).wait() == 0
    whole = results(tmp_path / "whole.npz")
    out = tmp_path / "killed.npz"
    for at in (2, 10):  # in the midst of steps
        child = start(kind, tmp_path / "killed", out, at, save_freq)
        assert child.wait() == -signal.SIGKILL
    for _ in range(2):  # and at any time, also while a backup is written
        child = start(kind, tmp_path / "killed", out, "-", 1)
        steps = Path(f"{out}.steps")
        seen = steps.stat().st_size
        while child.poll() is None and steps.stat().st_size < seen + random.randint(1, 3):
            pass
        child.kill()
        if child.wait() == 0:
            break
    if not out.exists():
        assert start(kind, tmp_path / "killed", out, "-", save_freq).wait() == 0
    same(whole, results(out))


@pytest.mark.slow
@pytest.mark.parametrize("other", ["jax", "torch", "tensorflow"])
def test_a_fit_goes_on_on_another_backend(other, tmp_path):
    pytest.importorskip(other)
    os.environ["MULTIKERAS_RANDOM"] = "portable"  # so that dropout draws the same everywhere
    try:
        assert start("arrays", tmp_path / "a", tmp_path / "whole.npz").wait() == 0
        assert start("arrays", tmp_path / "b", tmp_path / "killed.npz", 14, 4).wait() == -signal.SIGKILL
        assert start("arrays", tmp_path / "b", tmp_path / "other.npz", framework=other).wait() == 0
    finally:
        del os.environ["MULTIKERAS_RANDOM"]
    whole, resumed = np.load(tmp_path / "whole.npz"), np.load(tmp_path / "other.npz")
    np.testing.assert_allclose(whole["loss"], resumed["loss"], rtol=1e-3, atol=1e-3)
    assert whole["epoch"].tolist() == resumed["epoch"].tolist()


@pytest.mark.slow
def test_two_processes_with_one_seed_train_alike(tmp_path):
    for name in ("a", "b"):
        assert start("arrays", tmp_path / name, tmp_path / f"{name}.npz").wait() == 0
    same(results(tmp_path / "a.npz"), results(tmp_path / "b.npz"))
