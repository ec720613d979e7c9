"""What `training.py` measures in one process: ours, Keras and a hand-written loop of one backend, in turns."""

import gc
import importlib
import itertools
import statistics
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from workloads import WORKLOADS, Workload

TURN = 0.25
"""Seconds of a turn, at least one epoch."""
WARM = 2.0
"""Seconds and epochs of a fit before it is timed: by then all is compiled or recorded."""
WARM_EPOCHS = 3
FIRST_STEPS = 3
"""How many models take their first step."""
Turns = list[tuple[float, float]]
"""Something a second of the clock and of the CPUs together, for each turn."""


class Bench:
    """The measures of one backend; each method that does not begin with _ is a section of the report.

    Args:
        backend: Name of the backend, which this process uses for ours and for Keras.
        workloads: Names of workloads.
        rounds: How many turns each has.
    """

    def __init__(self, backend: str, workloads: list[str], rounds: int):
        if backend == "torch":
            import torch  # noqa: F401  before tensorflow, which Keras may load
        self.backend, self.rounds = backend, rounds
        self.packages = {"ours": importlib.import_module("multikeras"), "keras": importlib.import_module("keras")}
        self.native = importlib.import_module(f"loops_{backend}").Native
        self.workloads = {name: WORKLOADS[name] for name in workloads}
        self.models: dict[str, dict[str, Any]] = {}
        self.loops: dict[str, Any] = {}
        for package in self.packages.values():  # what a framework does once in a process is nobody's first step
            model = _compiled(package, WORKLOADS["tiny"], width=3)
            model.fit(np.ones((4, 3)), np.ones((4, 1)), verbose=0)
            model.predict(np.ones((4, 3)), verbose=0)

    def first(self) -> dict:
        """Seconds from nothing to the end of the first step of a new model, in turns: one in each process warms the framework."""
        return {name: self._first(name, work) for name, work in self.workloads.items()}

    def _first(self, name: str, work: Workload) -> dict[str, Turns]:
        x, y = work.arrays()
        found: dict[str, Turns] = {who: [] for who in self.packages}
        for who, package in FIRST_STEPS * list(self.packages.items()):
            package.config.set_max_steps_per_epoch(1)

            def step(who=who, package=package):
                self.models.setdefault(name, {})[who] = model = _compiled(package, work)
                model.fit(x, y, batch_size=work.batch, verbose=0)

            found[who].append(_seconds(step))
            package.config.set_max_steps_per_epoch(None)
        return found

    def fit(self) -> dict:
        """Steps a second of fit."""
        return {name: self._fit(name, work) for name, work in self.workloads.items()}

    def _fit(self, name: str, work: Workload) -> dict:
        x, y = work.arrays()
        runs = {who: _fitting(self._model(name, who), work, x, y) for who in self.packages}
        found: dict[str, Any] = _rates(runs | {"native": self._loop(name).epochs}, self.rounds, work.steps, warm=True)
        return found | {"flops": work.flops, "weights": self._model(name, "ours").count_params()}

    def predict(self) -> dict:
        """Batches a second of predict over many."""
        def runs(name, work, x, y):
            own = {who: self._model(name, who) for who in self.packages}
            return {who: lambda m=m: m.predict(x, batch_size=work.batch, verbose=0) for who, m in own.items()} | {
                "native": self._loop(name).predict}  # fmt: skip

        return self._over_batches(runs)

    def evaluate(self) -> dict:
        """Batches a second of evaluate over many."""
        def runs(name, work, x, y):
            own = {who: self._model(name, who) for who in self.packages}
            return {who: lambda m=m: m.evaluate(x, y, batch_size=work.batch, verbose=0) for who, m in own.items()} | {
                "native": self._loop(name).evaluate}  # fmt: skip

        return self._over_batches(runs)

    def _over_batches(self, runs: Callable) -> dict:
        return {
            name: _rates(_repeated(runs(name, work, *work.arrays())), self.rounds, work.steps, warm=True)
            for name, work in self.workloads.items()
        }

    def one(self) -> dict:
        """Calls a second of predict with one row, and of the bare forward function."""
        found = {}
        for name, work in self.workloads.items():
            x = work.arrays()[0][:1]
            own = {who: self._model(name, who) for who in self.packages}
            runs = {who: lambda m=m, x=x: m.predict(x, verbose=0) for who, m in own.items()}
            runs["native"] = self._loop(name).one()
            found[name] = _rates(_repeated(runs), 3 * self.rounds, turn=0.1, warm=True)
        return found

    def eager(self) -> dict:
        """Calls a second of model(x), eagerly, beside plain modules; where modules are what one writes by hand."""
        found = {}
        for name, work in self.workloads.items() if self.backend == "torch" else ():
            loop, runs = self._loop(name), {}
            x = loop.x[: work.batch]
            loop.model.eval()
            for who, package in self.packages.items():
                model, given = self._model(name, who), package.ops.convert_to_tensor(work.arrays()[0][: work.batch])
                runs[who] = lambda model=model, given=given: model(given)
            runs["native"] = lambda x=x, loop=loop: loop.probabilities(x)
            found[name] = _rates(_repeated(runs), 3 * self.rounds, turn=0.1, warm=True)
        return found

    def jit(self) -> dict:
        """Steps a second of torch's compiled step and of the eager one, on tiny."""
        if self.backend != "torch":
            return {}
        work, package = WORKLOADS["tiny"], self.packages["ours"]
        x, y = work.arrays()
        options = {"ours": True, "native": False}
        runs = {who: _fitting(_compiled(package, work, jit_compile=o), work, x, y) for who, o in options.items()}
        return {"tiny": _rates(runs, self.rounds, work.steps, warm=True)}

    def sources(self) -> dict:
        """Steps a second of mlp from other kinds of data ("ours") and from arrays ("native"); from arrays while a thread
        draws as many batches of the other kind and drops them ("beside"); batches a second without a model ("alone").
        """
        work, package = WORKLOADS["mlp"], self.packages["ours"]
        x, y = work.arrays()
        arrays = _fitting(_compiled(package, work), work, x, y, shuffle=False)
        found = {}
        for kind, (data, more) in _sources(package, x, y, work.batch).items():
            model = _compiled(package, work)
            runs = {"ours": lambda n, m=model, d=data, k=more: m.fit(d, epochs=n, verbose=0, **k), "native": arrays}
            runs["beside"] = lambda n, d=data: _beside(lambda: _drawn(d, n * work.steps), lambda: arrays(n))
            alone = {"alone": lambda n, d=data: _drawn(d, n * work.steps)}
            found[kind] = _rates(runs, 3 * self.rounds, work.steps, warm=True) | _rates(alone, self.rounds, work.steps, turn=0.1)
        return found

    def building(self) -> dict:
        """Seconds to build a Functional model of 500 layers."""
        found: dict[str, Turns] = {who: [] for who in self.packages}
        for _ in range(2):
            for who, package in self.packages.items():
                found[who].append(_seconds(lambda package=package: _deep(package, 500)))
        return {"500 layers": found}

    def _model(self, name: str, who: str) -> Any:
        models = self.models.setdefault(name, {})
        if who not in models:
            models[who] = _compiled(self.packages[who], self.workloads[name])
        return models[who]

    def _loop(self, name: str) -> Any:
        if name not in self.loops:
            work = self.workloads[name]
            self.loops[name] = self.native(name, *work.arrays(), work.batch)
        return self.loops[name]


def memory(backend: str, name: str, who: str) -> int:
    """Return the peak of this process's memory in bytes after three epochs of `who` alone."""
    work = WORKLOADS[name]
    x, y = work.arrays()
    if who == "native":
        importlib.import_module(f"loops_{backend}").Native(name, x, y, work.batch).epochs(3)
    else:
        _fitting(_compiled(importlib.import_module({"ours": "multikeras"}.get(who, who)), work), work, x, y)(3)
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


def machine() -> dict[str, float]:
    """Return what the machine does at best: float32 operations a second in products, bytes a second in copies."""
    a, b = np.ones((1024, 1024), "float32"), np.empty(1 << 26, "uint8")
    c = np.ones_like(b)
    product = min(_seconds(lambda: a @ a)[0] for _ in range(20))
    copy = min(_seconds(lambda: np.copyto(b, c))[0] for _ in range(20))
    return {"flops": 2 * 1024**3 / product, "bytes": 2 * b.nbytes / copy}


def _compiled(package: Any, work: Workload, width: int | None = None, **more: Any) -> Any:
    package.utils.set_random_seed(0)
    if width is None:
        model = work.build(package)
    else:
        model = package.Sequential([package.Input((width,)), package.layers.Dense(1, "sigmoid")])
    model.compile(package.optimizers.Adam(1e-3), work.loss, metrics=[work.metric], **more)
    return model


def _fitting(model: Any, work: Workload, x: Any, y: Any, **more: Any) -> Callable[[int], Any]:
    return lambda n: model.fit(x, y, batch_size=work.batch, epochs=n, verbose=0, **more)


def _repeated(runs: dict[str, Callable[[], Any]]) -> dict[str, Callable[[int], None]]:
    def often(run):
        def repeat(n):
            for _ in range(n):
                run()

        return repeat

    return {who: often(run) for who, run in runs.items()}


def _deep(package: Any, count: int) -> Any:
    inputs = x = package.Input((16,))
    for _ in range(count // 2):
        x = package.layers.Add()([x, package.layers.Dense(16, activation="relu")(x)])
    return package.Model(inputs, x)


def _sources(package: Any, x: Any, y: Any, batch: int) -> dict[str, tuple[Any, dict]]:
    """Return the same rows as other kinds of data, and what `fit` needs to know of them."""
    import tensorflow as tf
    import torch

    steps = len(x) // batch

    def cut(i):
        return x[i * batch : (i + 1) * batch], y[i * batch : (i + 1) * batch]

    class Batches(package.utils.PyDataset):
        def __len__(self):
            return steps

        def __getitem__(self, i):
            return cut(i)

    def forever() -> Iterable:
        return map(cut, itertools.cycle(range(steps)))

    tensors = torch.utils.data.TensorDataset(torch.as_tensor(x), torch.as_tensor(y))
    whole = torch.utils.data.TensorDataset(*(t.unflatten(0, (steps, batch)) for t in tensors.tensors))
    return {
        "generator": ((pair for pair in forever()), {"steps_per_epoch": steps}),
        "PyDataset": (Batches(), {"shuffle": False}),
        "tf.data": (tf.data.Dataset.from_tensor_slices((x, y)).batch(batch).prefetch(2), {}),
        "tf.data of batches": (tf.data.Dataset.from_tensor_slices(tuple(map(np.array, whole.tensors))).prefetch(2), {}),
        "DataLoader": (torch.utils.data.DataLoader(tensors, batch), {}),
        "DataLoader of batches": (torch.utils.data.DataLoader(whole, None), {}),
    }


def _drawn(data: Any, count: int) -> None:
    """Draw `count` batches from data that are iterated again as often as needed."""
    while count > 0:
        batches = data if hasattr(data, "__next__") else map(data.__getitem__, range(len(data))) if hasattr(data, "num_batches") \
            else data  # fmt: skip
        count -= sum(1 for _ in itertools.islice(batches, count))


def _beside(other: Callable[[], Any], run: Callable[[], Any]) -> None:
    """Do both, one of them in a thread."""
    thread = threading.Thread(target=other)
    thread.start()
    run()
    thread.join()


def _seconds(run: Callable[[], Any]) -> tuple[float, float]:
    """Return how long `run()` takes: by the clock, and by the CPUs together."""
    clock, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - clock, time.process_time() - cpu


def _rates(runs: dict, rounds: int, unit: int = 1, turn: float = TURN, warm: bool = False) -> dict[str, Turns]:
    """Return how often a second each of `runs` does `unit`, in turns of about `turn` seconds."""
    lengths = {}
    for who, run in runs.items():
        began, epochs = time.perf_counter(), 0
        while epochs < (WARM_EPOCHS if warm else 2) or (warm and time.perf_counter() - began < WARM):
            run(1)
            epochs += 1
        lengths[who] = max(1, round(turn / _seconds(lambda run=run: run(1))[0]))
    taken: dict[str, Turns] = {who: [] for who in runs}
    gc.collect()
    gc.disable()
    order = list(runs)
    for _ in range(rounds):
        for who in order:
            run, n = runs[who], lengths[who]
            taken[who].append(tuple(n * unit / s for s in _seconds(lambda run=run, n=n: run(n))))
        gc.collect()
        order = order[1:] + order[:1]  # who comes first after a collection finds cold caches
    gc.enable()
    return taken


def middle(turns: Turns, i: int = 0) -> float:
    """Return the median over turns, by the clock or (1) by the CPUs."""
    return statistics.median(t[i] for t in turns)


def ratio(ours: Turns, other: Turns, i: int = 0) -> float:
    """Return ours / other: the median of the ratios of each turn."""
    return statistics.median(a[i] / b[i] for a, b in zip(ours, other))


def longer(ours: Turns, other: Turns) -> float:
    """Return how many seconds longer ours takes: the median of the differences of each turn, by the clock."""
    return statistics.median(1 / a[0] - 1 / b[0] for a, b in zip(ours, other))
