"""Steps a second of `fit`: ours, Keras's and a hand-written loop, side by side on each backend.

    python benchmarks/training.py [--backends jax torch tensorflow] [--workloads tiny mlp] [--rounds 5] [--out DIR]

Each backend runs in a process of its own. There the three take turns, half a second each, so that what else the machine does
hits all alike; a figure is the median of the turns, by the clock and by the time of the CPUs, a ratio the median of the ratios
of each turn. Adam(1e-3), accuracy, float32, arrays in memory, shuffled, verbose=0.
"""

import argparse
import gc
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
BACKENDS = ("jax", "torch", "tensorflow")
SECONDS = 0.5


def measure(backend: str, names: list[str], rounds: int) -> dict:
    """Return the figures of one backend, taken in this process."""
    if backend == "torch":
        import torch  # noqa: F401  before tensorflow, which Keras may load
    sys.path.insert(0, str(HERE))
    packages = {"ours": importlib.import_module("multikeras"), "keras": importlib.import_module("keras")}
    native = importlib.import_module(f"loops_{backend}").Native
    workloads = importlib.import_module("workloads").WORKLOADS
    return {name: _workload(name, workloads[name], packages, native, rounds) for name in names}


def _workload(name: str, work, packages: dict, native, rounds: int) -> dict:
    x, y = work.arrays()
    models, train, predict, one, first = {}, {}, {}, {}, {}
    for who, package in packages.items():
        package.utils.set_random_seed(0)
        model = models[who] = work.build(package)
        model.compile(package.optimizers.Adam(1e-3), work.loss, metrics=[work.metric])
        train[who] = lambda n, m=model: m.fit(x, y, batch_size=work.batch, epochs=n, verbose=0)
        predict[who] = lambda m=model: m.predict(x, batch_size=work.batch, verbose=0)
        one[who] = lambda m=model: m.predict(x[:1], verbose=0)
    loop = native(name, x, y, work.batch)
    train["native"], predict["native"], one["native"] = loop.epochs, loop.predict, loop.one()
    for who, run in train.items():
        first[who] = _seconds(lambda run=run: run(1))
    result = {
        "first_fit_seconds": {who: [taken] for who, taken in first.items()},
        "steps_per_second": _rates(train, rounds, work.steps),
        "predict_batches_per_second": _rates(predict, rounds, work.steps, counted=False),
        "predict_one_per_second": _rates(one, rounds, counted=False),
    }
    result["gflops"] = work.flops * statistics.median(rate for rate, _ in result["steps_per_second"]["ours"]) / 1e9
    return result


def _seconds(run) -> tuple[float, float]:
    """Return how long `run()` takes: by the clock, and by the CPUs together."""
    clock, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - clock, time.process_time() - cpu


def _rates(runs: dict, rounds: int, unit: int = 1, counted: bool = True) -> dict[str, list[tuple[float, float]]]:
    """Return how often a second, of the clock and of CPUs, each of `runs` does `unit`: a pair for each turn of `SECONDS`."""

    def repeat(run, n):
        if counted:
            run(n)
            return
        for _ in range(n):
            run()

    lengths = {}
    for who, run in runs.items():
        repeat(run, 2)
        lengths[who] = max(1, round(SECONDS * 2 / _seconds(lambda run=run: repeat(run, 2))[0]))
    taken: dict[str, list[tuple[float, float]]] = {who: [] for who in runs}
    gc.disable()
    for _ in range(rounds):
        for who, run in runs.items():
            gc.collect()
            n = lengths[who]
            taken[who].append(tuple(n * unit / seconds for seconds in _seconds(lambda run=run, n=n: repeat(run, n))))
    gc.enable()
    return taken


def table(results: dict[str, dict], figure: str, higher_is_better: bool = True) -> str:
    """Return one figure of all backends as a Markdown table."""
    lines = [
        f"| {figure} | | ours | Keras | native | ours / Keras | ours / native | by CPU time | |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for backend, found in results.items():
        for name, values in found.items():
            v = values[figure]
            medians = [statistics.median(clock for clock, _ in v[who]) for who in ("ours", "keras", "native")]
            numbers = [f"{m:,.0f}" if m >= 100 else f"{m:.3g}" for m in medians]
            ratios = [_ratio(v["ours"], v[who], i, higher_is_better) for i in (0, 1) for who in ("keras", "native")]
            lines.append(f"| {backend} | {name} | {' | '.join(numbers)} | {' | '.join(f'{r:.2f}' for r in ratios)} |")
    return "\n".join(lines)


def _ratio(ours: list, other: list, i: int, higher_is_better: bool) -> float:
    """Return how many times better we are: the median over turns."""
    ratio = statistics.median(a[i] / b[i] for a, b in zip(ours, other))
    return ratio if higher_is_better else 1 / ratio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=BACKENDS)
    parser.add_argument("--workloads", nargs="+", default=["tiny", "mlp", "cnn", "lstm", "tfm"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="folder for training.json")
    parser.add_argument("--child", choices=BACKENDS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(json.dumps(measure(given.child, given.workloads, given.rounds)))
        return
    results = {}
    for backend in given.backends:
        command = [sys.executable, __file__, "--child", backend, "--rounds", str(given.rounds), "--workloads", *given.workloads]
        environment = os.environ | {
            "MULTIKERAS_BACKEND": backend, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_WAIT_POLICY": "PASSIVE",
        }  # fmt: skip
        output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True).stdout
        results[backend] = json.loads(output.splitlines()[-1])
    for figure, higher in (
        ("steps_per_second", True), ("first_fit_seconds", False), ("predict_batches_per_second", True),
        ("predict_one_per_second", True),
    ):  # fmt: skip
        print(table(results, figure, higher), end="\n\n")
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "training.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
