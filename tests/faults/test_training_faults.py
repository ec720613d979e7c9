"""What training survives: bad data, dead workers, NaN, interruptions, threads."""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import types
from pathlib import Path

import numpy as np
import pytest
from faults import scenarios

import multikeras as mk
from multikeras import backend, callbacks, layers

pytestmark = pytest.mark.skipif(not backend.current.supports_gradients, reason="this backend computes no gradients")

X, Y = scenarios.arrays()


def small(**options):
    mk.utils.set_random_seed(0)
    model = mk.Sequential([mk.Input((6,)), layers.Dense(3, activation="tanh"), layers.Dense(1)])
    model.compile(**{"optimizer": "adam", "loss": "mse", **options})
    return model


@pytest.fixture(scope="module")
def trained():
    model = small()
    model.fit(X, Y, epochs=1, verbose=0)
    return model


def usable(model):
    """Tell whether a model predicts, trains and evaluates."""
    before = model.get_weights()
    assert model.predict(X, verbose=0).shape == (scenarios.ROWS, 1)
    loss = model.fit(X, Y, verbose=0).history["loss"][0]
    assert np.isfinite(loss)
    return any((a != b).any() for a, b in zip(before, model.get_weights())) and np.isfinite(model.evaluate(X, Y, verbose=0))


# -- data ------------------------------------------------------------------------------------------------------------------

REFUSED = {
    "features": ((X[:, :4], Y), {}),
    "rank": ((X[:, None, None], Y), {}),
    "lengths": ((X, Y[:-1]), {}),
    "target_shape": ((X, np.zeros((scenarios.ROWS, 7, 2), "float32")), {}),
    "strings": ((np.array([["a"] * 6] * 3), Y[:3]), {}),
    "no_data": ((None, None), {}),
    "no_rows": ((X[:0], Y[:0]), {}),
    "no_batches": ((iter(()),), {}),
    "objects": ((np.array([[print] * 6]), Y[:1]), {}),
    "ragged": (([[1.0, 2.0], [3.0]], Y[:2]), {}),
    "weights_of_another_length": ((X, Y), {"sample_weight": np.ones(3)}),
    "batch_size": ((X, Y), {"batch_size": 0}),
    "targets_twice": ((iter([(X, Y)]), Y), {}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refused_fit_is_a_clear_error_and_leaves_the_model_as_it_was(trained, case):
    arguments, options = REFUSED[case]
    variables = [*trained.weights, *trained.optimizer.variables]
    before = [v.numpy() for v in variables]
    # A framework that compiles for any number of rows finds some shapes wrong only when it runs.
    kinds = Exception if case == "target_shape" else (ValueError, TypeError)
    with pytest.raises(kinds, match="shape" if case == "target_shape" else None) as error:
        trained.fit(*arguments, verbose=0, **options)
    assert len(str(error.value)) > 20
    after = [v.numpy() for v in variables]
    for a, b in zip(before, after):
        np.testing.assert_array_equal(a, b)
    assert usable(trained)


@pytest.mark.parametrize("method", ["evaluate", "predict"])
def test_arrays_of_no_rows_are_refused_by_all(trained, method):
    with pytest.raises(ValueError, match="0 samples"):
        getattr(trained, method)(X[:0], verbose=0)


def classifier(loss="sparse_categorical_crossentropy", **options):
    mk.utils.set_random_seed(0)
    model = mk.Sequential([mk.Input((6,)), layers.Dense(3, "softmax")])
    model.compile("sgd", loss, **options)
    return model


@pytest.mark.parametrize("label", [3, -1])
def test_a_label_beyond_the_classes_is_an_error_before_it_counts(label):
    model, good = classifier(), np.arange(scenarios.ROWS) % 3
    bad = good.copy()
    bad[20] = label
    before = model.get_weights()
    words = f"holds the label {label} .* 3 classes"
    for call in (
        lambda: model.fit(X, bad, verbose=0),
        lambda: model.fit(X, good, validation_data=(X, bad), verbose=0),
        lambda: model.evaluate(X, bad, verbose=0),
        lambda: model.train_on_batch(X, bad),
        lambda: model.fit(iter([(X[16:], bad[16:])]), verbose=0),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    for a, b in zip(before, model.get_weights()):
        np.testing.assert_array_equal(a, b)
    assert np.isfinite(model.fit(X, good, verbose=0).history["loss"][0])
    lenient = classifier(mk.losses.SparseCategoricalCrossentropy(ignore_class=label))
    rest = np.delete(np.arange(scenarios.ROWS), 20)
    found = lenient.evaluate(X, bad, batch_size=44, verbose=0)
    np.testing.assert_allclose(found, lenient.evaluate(X[rest], good[rest], batch_size=43, verbose=0), rtol=1e-5)


class Boom(Exception):
    pass


def failing(after):
    for _ in range(after):
        yield X[:8], Y[:8]
    raise Boom("in the generator")


class Failing(mk.utils.PyDataset):
    """Raises, ends its process or hangs at a batch."""

    def __init__(self, how, **kwargs):
        super().__init__(**kwargs)
        self.how = how

    @property
    def num_batches(self):
        return 40

    def __getitem__(self, i):
        if i == 5:
            if self.how == "raises":
                raise ValueError("row 17 is broken")
            if self.how == "exits":
                os._exit(3)
            if self.how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
        return X[:8], Y[:8]


def test_an_exception_of_a_generator_comes_out(trained):
    with pytest.raises(Boom, match="in the generator"):
        trained.fit(failing(3), steps_per_epoch=10, verbose=0)
    assert usable(trained)


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_an_exception_in_a_thread_comes_out_at_once(method, trained):
    began = time.monotonic()
    with pytest.raises(ValueError, match="row 17 is broken"):
        getattr(trained, method)(Failing("raises", workers=4), verbose=0)
    assert time.monotonic() - began < 20
    assert usable(trained)


PROCESS = """
    import sys, time
    sys.path.insert(0, {tests!r})
    from faults.test_training_faults import Failing, small
    if __name__ == "__main__":
        import multiprocessing
        model = small(run_eagerly=True)
        began = time.monotonic()
        try:
            model.fit(Failing({how!r}, workers=2, use_multiprocessing=True), verbose=0)
        except Exception as error:
            print(type(error).__name__, "|", error, "|", error.__cause__)
        print("left:", len(multiprocessing.active_children()))
"""


def run_program(tmp_path, text, **options):
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(text))
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)}
    return subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, text=True, env=env, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("raises", ["ValueError | row 17 is broken", "In the worker process", "__getitem__"]),
        ("exits", ["RuntimeError", "ended with status 3"]),
        ("killed", ["RuntimeError", "killed by signal SIGKILL"]),
    ],
)
def test_a_worker_process_that_raises_or_dies_is_an_error(how, words, tmp_path):
    child = run_program(tmp_path, PROCESS.format(how=how, tests=str(Path(__file__).parent.parent)))
    out, _ = child.communicate(timeout=300)
    for word in words:
        assert word in out
    assert "left: 0" in out


TYPED = """
    from multikeras.utils import PyDataset
    import numpy as np
    class Typed(PyDataset):
        num_batches = 4
        def __getitem__(self, i):
            if self.bad == i:
                raise ValueError("row 17 is broken")
            return np.ones((8, 6), "float32") * i, np.ones((8, 1), "float32")
"""


@pytest.mark.parametrize("bad", [None, 2])
def test_worker_processes_of_a_class_typed_into_a_notebook(bad, trained, monkeypatch):
    module = types.ModuleType("typed")
    exec(textwrap.dedent(TYPED), module.__dict__)
    monkeypatch.setitem(sys.modules, "typed", module)
    data = module.Typed(workers=2, use_multiprocessing=True)
    data.bad = bad
    if backend.current.after_fork is None:
        with pytest.raises(ValueError, match="cannot import Typed from 'typed'"):
            trained.fit(data, verbose=0)
    elif bad is not None:
        with pytest.raises(ValueError, match="row 17 is broken"):
            trained.fit(data, verbose=0)
    else:
        assert np.isfinite(trained.fit(data, epochs=2, verbose=0).history["loss"][-1])
    assert not multiprocessing.active_children()
    assert usable(trained)


def test_a_generator_that_ends_early_is_a_warning(trained):
    with pytest.warns(UserWarning, match="ended after 3 of 10"):
        trained.fit(((X[:8], Y[:8]) for _ in range(3)), steps_per_epoch=10, verbose=0)
    assert usable(trained)


# -- numbers ---------------------------------------------------------------------------------------------------------------


def test_nan_stops_keeps_the_best_and_is_no_improvement(tmp_path):
    class Spoil(callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 3:
                self.model.layers[-1].bias.assign([np.nan])

    model = small()
    best = callbacks.ModelCheckpoint(tmp_path / "best.weights.h5", "loss", save_best_only=True, save_weights_only=True)
    stop = callbacks.EarlyStopping("loss", patience=2)
    with pytest.warns(UserWarning, match="nan"):
        history = model.fit(X, Y, epochs=9, verbose=0, callbacks=[Spoil(), best, stop])
    losses = history.history["loss"]
    assert len(losses) == 5  # two epochs of patience
    assert stop.best == best.best == min(losses[:3])
    model.load_weights(tmp_path / "best.weights.h5")
    assert np.isfinite(model.predict(X, verbose=0)).all()
    assert np.isfinite(model.evaluate(X, Y, verbose=0))


def test_means_are_over_samples_also_with_a_smaller_last_batch(trained):
    assert trained.predict(X, batch_size=15, verbose=0).shape == (44, 1)
    whole = trained.evaluate(X, Y, batch_size=44, verbose=0)
    np.testing.assert_allclose(trained.evaluate(X, Y, batch_size=15, verbose=0), whole, rtol=1e-5)
    np.testing.assert_allclose(np.mean((trained.predict(X, verbose=0) - Y) ** 2), whole, rtol=1e-5)


# -- interruptions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt, Boom])
def test_an_interrupted_fit_keeps_its_steps_and_closes_files(error, tmp_path):
    def act():
        raise error

    model = small()
    log, board = callbacks.CSVLogger(tmp_path / "log.csv"), callbacks.TensorBoard(tmp_path / "board")
    before = model.get_weights()
    with pytest.raises(error):
        model.fit(X, Y, batch_size=8, epochs=5, verbose=0, callbacks=[log, board, scenarios.Mayhem(8, act)])
    assert 8 <= int(model.optimizer.iterations.numpy()) <= 12  # several steps may be one dispatch
    assert any((a != b).any() for a, b in zip(before, model.get_weights()))
    assert log.csv_file is None
    assert not board._writers
    assert len((tmp_path / "log.csv").read_text().split()) == 2
    model.save_weights(tmp_path / "model.weights.h5")
    assert usable(model)


INTERRUPTED = """
    import sys, time, os
    sys.path.insert(0, {tests!r})
    from faults.test_training_faults import Failing, small
    if __name__ == "__main__":
        import multiprocessing, signal, types
        from multikeras import callbacks
        if {forked}:  # no other process can import the class
            Failing.__module__, sys.modules["typed"] = "typed", types.ModuleType("typed")
            sys.modules["typed"].Failing = Failing
        signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background of a shell ignores it
        class Tell(callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                if batch == 20:
                    print("pids", *[p.pid for p in multiprocessing.active_children()], flush=True)
        model = small(run_eagerly=True)
        try:
            model.fit(Failing("never", workers=2, use_multiprocessing=True), epochs=10**6, verbose=0, callbacks=[Tell()])
        except KeyboardInterrupt:
            print("interrupted", flush=True)
"""


def host(index, what, ports):
    program = [sys.executable, str(Path(__file__).parent / "hosts.py"), str(index), what, *map(str, ports)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent.parent)}
    return subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env=env)


def free_ports():
    sockets = [socket.socket() for _ in range(2)]
    for s in sockets:
        s.bind(("localhost", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@pytest.mark.slow
def test_hosts_train_together_and_one_that_dies_is_an_error_of_the_other():
    ports = free_ports()
    told = [child.communicate(timeout=120)[0].splitlines()[-1] for child in [host(i, "lives", ports) for i in (0, 1)]]
    assert told[0].startswith("done")
    assert told[0] == told[1]
    ports = free_ports()
    first, second = (host(i, "dies", ports) for i in (0, 1))
    try:
        second.communicate(timeout=120)
        assert second.returncode == -signal.SIGKILL
        began = time.monotonic()
        told = first.communicate(timeout=60)[0].splitlines()
        assert time.monotonic() - began < 20
        assert told[-1].startswith("failed")
        assert "Socket closed" in told[-1] or "Connection" in told[-1]
        assert first.returncode == 1
    finally:
        first.kill()


@pytest.mark.slow
@pytest.mark.parametrize("forked", [False, True])
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_the_program(sent, forked, tmp_path):
    if forked and backend.current.after_fork is None:
        pytest.skip("this framework does not survive a fork")
    text = INTERRUPTED.format(tests=str(Path(__file__).parent.parent), forked=forked)
    child = run_program(tmp_path, text, start_new_session=True)
    pids = [int(p) for p in child.stdout.readline().split()[1:]]
    assert len(pids) == 2
    os.killpg(child.pid, sent) if sent == signal.SIGINT else os.kill(child.pid, sent)
    out, _ = child.communicate(timeout=60)
    assert sent == signal.SIGKILL or "interrupted" in out
    for pid in pids:
        gone = False
        for _ in range(100):
            gone = not Path(f"/proc/{pid}").exists() or "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
            if gone:
                break
            time.sleep(0.1)
        assert gone


def test_weights_that_cannot_be_loaded_leave_the_model_as_it_was(tmp_path):
    other = mk.Sequential([mk.Input((6,)), layers.Dense(3), layers.Dense(2)])
    other.save_weights(tmp_path / "other.weights.h5")
    model = small()
    before = model.get_weights()
    open_files = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with pytest.raises(ValueError, match="shape"):
            model.load_weights(tmp_path / "other.weights.h5")
    for a, b in zip(before, model.get_weights()):
        np.testing.assert_array_equal(a, b)
    for _ in range(10):
        model.save_weights(tmp_path / "own.weights.h5")
        model.load_weights(tmp_path / "own.weights.h5")
    assert len(os.listdir("/proc/self/fd")) <= open_files
    assert sorted(p.name for p in tmp_path.iterdir()) == ["other.weights.h5", "own.weights.h5"]


@pytest.mark.parametrize("weights_only", [True, False])
def test_a_store_that_fails_during_a_checkpoint_stops_training_and_keeps_the_last_one(weights_only, tmp_path, monkeypatch):
    path = tmp_path / ("best.weights.h5" if weights_only else "best.keras")
    model = small()

    class Break(callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                patched.setattr(os, "fsync", full)

    def full(*_):
        raise OSError(28, "No space left on device")

    def fit(**options):
        keep = callbacks.ModelCheckpoint(path, save_weights_only=weights_only)
        model.fit(X, Y, verbose=0, callbacks=[Break(), keep], **options)

    fit(epochs=2)
    before = path.read_bytes()
    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left"):
        fit(initial_epoch=2, epochs=4)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    assert usable(model)
    fit(initial_epoch=3, epochs=4)  # there is room again
    assert path.read_bytes() != before


@pytest.mark.parametrize("built", [True, False])
def test_threads_that_predict_with_one_model_get_one_answer(built):
    mk.utils.set_random_seed(0)
    model = mk.Sequential([layers.Dense(16), layers.BatchNormalization(), layers.Dropout(0.5), layers.Dense(2)])
    wanted = model.predict(X, verbose=0) if built else None
    found, go = [], threading.Barrier(8)

    def predict():
        go.wait()
        try:
            found.append(model.predict(X, batch_size=7, verbose=0))
        except Exception as error:
            found.append(error)

    threads = [threading.Thread(target=predict) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wanted = model.predict(X, verbose=0) if wanted is None else wanted
    for result in found:
        assert isinstance(result, np.ndarray), result
        np.testing.assert_allclose(result, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("initializer", ["glorot_uniform", "zeros", "orthogonal"])
def test_a_layer_of_4_tb_is_an_error_and_the_process_goes_on(trained, initializer):
    with pytest.raises(MemoryError, match=r"dense.*/kernel.*needs 4,096 GiB"):
        mk.Sequential([mk.Input((1 << 20,)), layers.Dense(1 << 20, kernel_initializer=initializer)])
    assert usable(trained)
