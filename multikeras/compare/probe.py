"""The program in a comparison's child process: run a script on multikeras and tell the parent what happens.

    python probe.py ROOT EVENTS SEED SCRIPT [args]

Each event is one line of JSON in the file EVENTS, so that what was found survives a crash. Nothing here observes single
batches: that would keep the trainer from running many steps in one dispatch.
"""

import importlib
import importlib.util
import json
import platform
import sys
import time

_here, _root, _events, _seed, *_program = sys.argv
# Python put this file's folder first on the path; `run.py` and `table.py` are no modules of the script's.
sys.path.pop(0)
if importlib.util.find_spec("multikeras") is None:
    sys.path.append(_root)

_started = time.perf_counter()
importlib.import_module("multikeras")
_import_seconds = time.perf_counter() - _started

import functools  # noqa: E402
import inspect  # noqa: E402
import resource  # noqa: E402
from collections.abc import Callable  # noqa: E402
from importlib import metadata  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from multikeras import callbacks, models, utils  # noqa: E402
from multikeras.dropin import missing  # noqa: E402
from multikeras.dropin.run import run_script  # noqa: E402


def send(event: str, **content: Any) -> None:
    """Tell the parent about an event."""
    with open(_events, "a") as file:
        file.write(json.dumps({"event": event, **content}) + "\n")


def numbers(logs: Any) -> dict[str, float]:
    """Return the scalar values of `logs` as floats."""
    return {k: float(v) for k, v in (logs or {}).items() if not hasattr(v, "__len__") or getattr(v, "shape", 1) == ()}


class Recorder(callbacks.Callback):
    """Sends an event for each epoch."""

    takes_chunks = True
    """Told of many batches at once, so that they still run in one dispatch."""

    def __init__(self, started: float):
        super().__init__()
        self.started = started
        self.steps = 0
        self.first_step_seconds: float | None = None

    def _steps_done(self) -> int:
        optimizer = getattr(self.model, "optimizer", None)
        return int(optimizer.iterations.numpy()) if optimizer is not None else 0

    def on_train_begin(self, logs=None):
        self.steps = self._steps_done()
        send("fit", model=self.model.name, epochs=self.params.get("epochs"))

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch_started = time.perf_counter()
        self.training_ended: float | None = None

    def on_test_begin(self, logs=None):
        self.training_ended = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        if self.first_step_seconds is None:
            self.first_step_seconds = time.perf_counter() - self.started

    def on_chunk_end(self, mode, batch, results):
        """Note when the first steps were done."""
        if mode == "train":
            self.on_train_batch_end(batch)

    def on_epoch_end(self, epoch, logs=None):
        now = time.perf_counter() if self.training_ended is None else self.training_ended
        steps = self._steps_done()
        send(
            "epoch", logs=numbers(logs), seconds=now - self.epoch_started, steps=steps - self.steps,
            first_step_seconds=now - self.started if self.first_step_seconds is None else self.first_step_seconds,
        )  # fmt: skip
        self.steps = steps


def record_fits(model_class: type) -> None:
    """Have every `fit` of the process add a `Recorder` to its callbacks, every `evaluate` outside send its result."""
    owner = next(c for c in model_class.__mro__ if "fit" in vars(c))
    fit, evaluate = owner.fit, owner.evaluate
    signature = inspect.signature(fit)
    fitting: list[Any] = []

    @functools.wraps(fit)
    def recorded_fit(self, *args, **kwargs):
        bound = signature.bind(self, *args, **kwargs)
        recorder = Recorder(time.perf_counter())
        given = bound.arguments.get("callbacks")
        if hasattr(given, "append") and not isinstance(given, list):
            given.append(recorder)
        else:
            bound.arguments["callbacks"] = [*_as_list(given), recorder]
        fitting.append(self)
        try:
            return fit(*bound.args, **bound.kwargs)
        finally:
            fitting.pop()

    @functools.wraps(evaluate)
    def recorded_evaluate(self, *args, **kwargs):
        result = evaluate(self, *args, **kwargs)
        if not fitting:
            send("evaluate", logs=numbers(self.get_metrics_result()))
        return result

    owner.fit, owner.evaluate = recorded_fit, recorded_evaluate


def _as_list(given: Any) -> list:
    return [] if given is None else list(given) if isinstance(given, (list, tuple)) else [given]


def peak_bytes() -> int:
    """Return the largest resident size of this process so far."""
    status = Path("/proc/self/status")
    if status.exists():  # there ru_maxrss may be the parent's
        line = next((line for line in status.read_text().splitlines() if line.startswith("VmHWM")), None)
        if line is not None:
            return int(line.split()[1]) * 1024
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def versions() -> dict[str, str]:
    """Return the versions that matter to this run."""
    found = {"python": platform.python_version()}
    for name in ("multikeras", "numpy", "jax", "torch", "tensorflow", "tensorflow-cpu"):
        if name.partition("-")[0] in sys.modules or name == "multikeras":
            try:
                found[name.partition("-")[0]] = metadata.version(name)
            except metadata.PackageNotFoundError:
                continue
    return found


def main() -> int:
    """Run the script; return its exit status."""
    send("imported", seconds=_import_seconds, versions=versions())
    record_fits(models.Model)
    utils.set_random_seed(int(_seed))
    run: Callable[[], int] = functools.partial(run_script, *_program[:1], _program[1:])
    try:
        return run()
    finally:
        send("end", peak_bytes=peak_bytes(), missing=sorted(missing.missing_names()))


if __name__ == "__main__":
    sys.exit(main())
