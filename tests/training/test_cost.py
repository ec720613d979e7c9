"""What training may cost beside its arithmetic: memory that stays flat, programs made once, graphs built in linear time."""

import gc
import importlib
import mmap
import time
from pathlib import Path

import numpy as np
import pytest

import multikeras as mk
from multikeras import backend, callbacks, layers

needs_gradients = pytest.mark.skipif(not backend.current.supports_gradients, reason="this backend computes no gradients")
MEGABYTE = 1 << 20


class Watch(callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        pass


class Counted(layers.Layer):
    calls = 0

    def call(self, x):
        Counted.calls += 1
        return x


def small(*more):
    model = mk.Sequential([mk.Input((8,)), *more, layers.Dense(4, "relu"), layers.Dropout(0.1), layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    return model


def resident() -> int:
    """Return the bytes of memory that this process has."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096


def growth(run, times: int) -> tuple[int, int]:
    """Return how many objects and bytes more there are after `run()` a number of times, without a garbage collector."""
    for _ in range(times // 4):
        run()
    gc.collect()
    gc.disable()
    try:
        objects, size = len(gc.get_objects()), resident()
        for _ in range(times):
            run()
        return len(gc.get_objects()) - objects, resident() - size
    finally:
        gc.enable()


X, Y = np.random.default_rng(0).normal(size=(100, 8)).astype("float32"), np.ones((100, 1), "float32")


def steps(model, watched):
    """Return a function of ten steps."""
    return lambda: model.fit(X, Y, batch_size=10, verbose=0, callbacks=[Watch()] if watched else [])


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="tells memory by /proc")
@pytest.mark.parametrize("what", ["single steps", "chunks", "on_batch", "evaluate", "predict", "call"])
def test_memory_is_flat(what):
    trains = what not in ("predict", "call")
    if trains and not backend.current.supports_gradients:
        pytest.skip("this backend computes no gradients")
    model = small()
    run, times = {
        "single steps": (steps(model, True), 100),
        "chunks": (steps(model, False), 100),
        "on_batch": (lambda: model.train_on_batch(X[:10], Y[:10]), 1000),
        "evaluate": (lambda: model.evaluate(X, Y, batch_size=10, verbose=0), 100),
        "predict": (lambda: model.predict(X[:1], verbose=0), 1000),
        "call": (lambda: model(X[:1]), 1000),
    }[what]
    for _ in range(3):  # what is made once, like the recording of a step, falls into one of them
        objects, size = growth(run, times)
        if objects < 1000 and size < 12 * MEGABYTE:
            return
    assert objects < 1000, f"{objects} objects are left after {times} calls"
    assert size < 12 * MEGABYTE, f"{size / MEGABYTE:.1f} MB are left after {times} calls"


def test_the_measure_sees_a_leak():
    class Knot:
        def __init__(self):
            self.self, self.data = self, mmap.mmap(-1, 32768)  # not of memory that was used before
            self.data.write(b"x" * 32768)

    objects, size = growth(Knot, 1000)
    assert objects >= 1000
    assert size > 12 * MEGABYTE


@needs_gradients
@pytest.mark.skipif(not backend.current.traces, reason="Python runs each time here")
def test_no_program_is_made_twice():
    model = small(Counted())

    def everything(rows):
        for watched in ([], [Watch()]):
            model.fit(X[:rows], Y[:rows], batch_size=16, epochs=3, verbose=0, callbacks=watched)
        model.evaluate(X[:rows], Y[:rows], batch_size=16, verbose=0)
        model.predict(X[:rows], batch_size=16, verbose=0)

    everything(100)
    before = Counted.calls
    everything(100)
    model.optimizer.learning_rate = 0.5
    everything(100)
    everything(84)  # another number of batches, and the same short last one
    shapes = 1  # a batch is tried on shapes where another number of rows comes
    assert Counted.calls - before <= 4 * shapes, f"{Counted.calls - before} more traces"


@needs_gradients
@pytest.mark.skipif(backend.current.name != "torch", reason="here programs are compiled, not recorded")
def test_no_step_is_recorded_twice(monkeypatch):
    programs = importlib.import_module("multikeras.backend._torch_programs")
    made = []
    record = programs.record
    monkeypatch.setattr(programs, "_EAGER_SECONDS", 0.0)
    monkeypatch.setattr(programs, "record", lambda *args: made.append(1) or record(*args))
    model = small()
    steps(model, False)()
    model.evaluate(X, Y, batch_size=10, verbose=0)
    model.evaluate(X, Y, batch_size=10, verbose=0)
    before = len(made)
    assert before >= 2
    steps(model, False)()
    model.optimizer.learning_rate = 0.5
    steps(model, False)()
    model.evaluate(X, Y, batch_size=10, verbose=0)
    assert len(made) == before


def deep(n):
    inputs = x = mk.Input((16,))
    for _ in range(n // 2):
        x = layers.Add()([x, layers.Dense(16, activation="relu")(x)])
    return mk.Model(inputs, x)


def seconds(run) -> float:
    """Return the time of the CPU that `run()` takes at best."""
    found = []
    for _ in range(3):
        began = time.process_time()
        run()
        found.append(time.process_time() - began)
    return min(found)


def test_building_is_linear(capsys):
    small_one, large = deep(40), deep(160)
    pairs = {
        "building": (lambda: deep(40), lambda: deep(160)),
        "summary": (small_one.summary, large.summary),
        "clone_model": (lambda: mk.models.clone_model(small_one), lambda: mk.models.clone_model(large)),
    }
    for name, (once, fourfold) in pairs.items():
        ratios = []
        for _ in range(4):
            ratios.append(seconds(fourfold) / seconds(once))
            if ratios[-1] < 7:
                break
        assert min(ratios) < 7, f"{name} of 4 times as many layers takes {ratios} times as long"
