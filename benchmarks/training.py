"""What `fit` costs: ours, Keras's and a hand-written loop, side by side on each backend, with the bounds we hold ourselves to.

    python benchmarks/training.py [--backends jax torch tensorflow] [--sections fit one ...] [--workloads tiny mlp ...] [--write]

Each backend runs in a process of its own. There the three take turns, so that what else the machine does hits all alike; a
figure is the median of the turns, a ratio the median of the ratios of each turn, by the clock and by the time of the CPUs.
Adam(1e-3), accuracy, float32, arrays in memory, shuffled, verbose=0. `--write` puts the tables into README.md and the figures
into results/: those of this run, and of the last for what this one leaves out.
"""

import argparse
import concurrent.futures
import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import measures
from measures import longer, middle, ratio
from picture import bars

HERE = Path(__file__).parent
BACKENDS = ("jax", "torch", "tensorflow")
WORKLOADS = ("tiny", "mlp", "cnn", "lstm", "tfm")
NOISE = 0.95


@dataclass(frozen=True)
class Bound:
    """A demand on a ratio to Keras or to the hand-written loop.

    Args:
        other: "keras" or "native".
        least: What the ratio must be.
        of: The value of `least` for single (backend, row).
    """

    other: str
    least: float
    of: dict = None  # type: ignore[assignment]

    def at(self, backend: str, row: str) -> float:
        of = self.of or {}
        return of.get((backend, row), of.get(backend, self.least))


@dataclass(frozen=True)
class Section:
    """One table.

    Args:
        title: What the figures are.
        bounds: Demands; ratios are of ours to others where more is better, the other way round for seconds.
        seconds: Whether figures are seconds or bytes, of which fewer are better.
        names: How the columns are called.
    """

    title: str
    bounds: tuple[Bound, ...]
    seconds: bool = False
    names: tuple[str, str, str] = ("ours", "Keras", "native")


SECTIONS = {
    "first": Section("Seconds to the first step, from building the model", (Bound("keras", 1),), seconds=True),
    "fit": Section("Steps a second of `fit`", (
        Bound("keras", 1, {("jax", "tiny"): 20, ("tensorflow", "tiny"): 20, ("torch", "tiny"): 5}), Bound("native", NOISE),
    )),
    "predict": Section("Batches a second of `predict`", (Bound("native", NOISE),)),
    "evaluate": Section("Batches a second of `evaluate`", (Bound("native", NOISE),)),
    "one": Section("Calls a second of `predict` with one row; native: the bare forward function", ()),
    "eager": Section("Calls a second of `model(x)` on torch; native: plain modules", (Bound("native", 1 / 1.05),)),
    "jit": Section("Steps a second of `fit` on torch with jit_compile", (Bound("native", 3),), names=("compiled", "-", "eager")),
    "sources": Section("Steps a second of mlp from", (Bound("native", NOISE),), names=("this", "-", "arrays")),
    "building": Section("Seconds to build a Functional model", (Bound("keras", 2),), seconds=True),
    "memory": Section(
        "Peak memory in GB of a process that trains", (Bound("keras", 1), Bound("native", 1 / 1.15)), seconds=True
    ),
}  # fmt: skip
OVER = {"jax": 250, "torch": 350, "tensorflow": 1000}
"""Microseconds that `predict` of one row may take beyond the bare forward function."""
MEANS = {"jax": 3, "torch": 2.5, "tensorflow": 3}
"""What the geometric mean of the ratios to Keras must be."""


# -- running ---------------------------------------------------------------------------------------------------------


def _child(backend: str, *more: str) -> dict:
    """Run this script in a process of its own that uses `backend`, and return what it prints last."""
    environment = os.environ | {
        "MULTIKERAS_BACKEND": backend, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "OMP_WAIT_POLICY": "PASSIVE",
    }  # fmt: skip
    command = [sys.executable, __file__, "--backends", backend, "--child", *more]
    output = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def _memory(backend: str, workloads: list[str]) -> dict:
    """Return the peaks of memory, several processes at a time: it is not time that is measured."""
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        jobs = {
            (name, who): pool.submit(_child, backend, "--memory", who, "--workloads", name)
            for name in workloads for who in ("ours", "keras", "native")
        }  # fmt: skip
    found: dict = {}
    for (name, who), job in jobs.items():
        found.setdefault(name, {})[who] = [(job.result() / 1e9,) * 2]
    return found


def run(backends: list[str], sections: list[str], workloads: list[str], rounds: int) -> dict:
    """Return the figures: {"machine": ..., backend: {section: {row: {who: turns}}}}."""
    results: dict = {"machine": measures.machine() | {"cores": os.cpu_count(), "kind": platform.machine()}}
    for backend in backends:
        began = time.perf_counter()
        inside = [s for s in sections if s != "memory"]
        results[backend] = {}
        if inside:
            results[backend] |= _child(backend, "--rounds", str(rounds), "--sections", *inside, "--workloads", *workloads)
        if "memory" in sections:
            results[backend]["memory"] = _memory(backend, workloads)
        print(f"{backend}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return results


# -- report ----------------------------------------------------------------------------------------------------------


def _number(x: float) -> str:
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


def _ratio(section: Section, row: dict, other: str, i: int) -> float:
    found = ratio(row["ours"], row[other], i)
    return 1 / found if section.seconds else found


def _rows(results: dict, name: str) -> Iterator[tuple[str, str, dict]]:
    for backend in BACKENDS:
        for row, values in results.get(backend, {}).get(name, {}).items():
            yield backend, row, values


def table(results: dict, name: str) -> str:
    """Return one section as a Markdown table; a ratio that misses its bound is bold, the bound beside it."""
    section = SECTIONS[name]
    rows = list(_rows(results, name))
    if not rows:
        return ""
    here = [(w, n) for w, n in zip(("ours", "keras", "native"), section.names) if w in rows[0][2]]
    others = [(w, n) for w, n in here if w != "ours"]
    heads = [n for _, n in here] + [f"to {n}{how}" for how in ("", ", CPU") for _, n in others]
    if name == "one":
        heads.append("us over native")
    if name == "sources":
        heads += ["possible", "alone"]
    lines = [f"| {section.title} | | {' | '.join(heads)} |", f"|---|---|{'--:|' * len(heads)}"]
    for backend, row, values in rows:
        cells = [_number(middle(values[w])) for w, _ in here]
        for i in (0, 1):
            share = _possible(values, i) if name == "sources" else 1
            cells += [_judged(_ratio(section, values, w, i), share * _least(section, w, backend, row)) for w, _ in others]
        if name == "one":
            over = 1e6 * longer(values["ours"], values["native"])
            cells.append(f"{over:.0f}" if over <= OVER[backend] else f"**{over:.0f}** (of {OVER[backend]})")
        if name == "sources":
            cells += [f"{_possible(values):.2f}", _number(middle(values["alone"]))] if "alone" in values else ["", ""]
        lines.append(f"| {backend} | {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _possible(values: dict, i: int = 0) -> float:
    """Return the share of the array path that is left when the CPUs, which that keeps busy, fetch the data too."""
    return min(ratio(values["beside"], values["native"], i), 1.0) if "beside" in values else 1.0


def _least(section: Section, other: str, backend: str, row: str) -> float:
    return max((bound.at(backend, row) for bound in section.bounds if bound.other == other), default=0.0)


def _judged(value: float, least: float) -> str:
    return f"{value:.2f}" if value >= least else f"**{value:.2f}** (of {least:.3g})"


def across(results: dict) -> str:
    """Return the figures that put several rows together: geometric means, and the slowest of our backends."""
    lines = ["| of all workloads | clock | CPU |", "|---|--:|--:|"]
    for backend in BACKENDS:
        fits = [row for _, _, row in _rows({backend: results.get(backend, {})}, "fit")]
        if fits:
            means = [math.prod(_ratio(SECTIONS["fit"], row, "keras", i) for row in fits) ** (1 / len(fits)) for i in (0, 1)]
            cells = " | ".join(_judged(m, MEANS[backend]) for m in means)
            lines.append(f"| {backend}: geometric mean of the ratios to Keras | {cells} |")
    for name in WORKLOADS:
        rows = [(backend, values["ours"]) for backend, row, values in _rows(results, "fit") if row == name]
        rates = {backend: [middle(turns, i) for i in (0, 1)] for backend, turns in rows}
        if name == "tiny" and "tiny" in results.get("torch", {}).get("jit", {}):
            rates["torch"] = [middle(results["torch"]["jit"]["tiny"]["ours"], i) for i in (0, 1)]
        if len(rates) > 1:
            most = 10 if name == "tiny" else 2.5
            spreads = [max(r[i] for r in rates.values()) / min(r[i] for r in rates.values()) for i in (0, 1)]
            cells = " | ".join(f"{s:.2f}" if s <= most else f"**{s:.2f}** (at most {most})" for s in spreads)
            slowest = min(rates, key=lambda b: rates[b][0])
            lines.append(f"| {name}: our fastest backend over our slowest, {slowest} | {cells} |")
    return "\n".join(lines)


def floors(results: dict) -> str:
    """Return what a step costs at least on this machine, and what ours takes."""
    found: dict[str, dict] = {}
    for backend, row, values in _rows(results, "fit"):
        found.setdefault(row, {})[backend] = values
    rates = results["machine"]
    lines = [
        f"Milliseconds of a step; the machine multiplies {rates['flops'] / 1e9:.0f} Gflop/s and copies "
        f"{rates['bytes'] / 1e9:.1f} GB/s.", "",
        f"| workload | arithmetic | memory of Adam | {' | '.join(BACKENDS)} |", "|---|--:|--:|" + "--:|" * len(BACKENDS),
    ]  # fmt: skip
    for name, rows in found.items():
        any_row = next(iter(rows.values()))
        least = any_row["flops"] / rates["flops"] * 1e3, any_row["weights"] * 7 * 4 / rates["bytes"] * 1e3
        ours = [f"{1e3 / middle(rows[b]['ours']):.3g}" if b in rows else "" for b in BACKENDS]
        lines.append(f"| {name} | {least[0]:.2g} | {least[1]:.2g} | {' | '.join(ours)} |")
    return "\n".join(lines)


def report(results: dict) -> str:
    """Return all tables."""
    kind = results["machine"]
    head = f"{kind['cores']} cores, {kind['kind']}. Bold is what misses its bound."
    parts = [head, across(results), *(table(results, name) for name in SECTIONS), floors(results)]
    return "\n\n".join(part for part in parts if part)


def write(results: dict) -> None:
    """Put figures, picture and tables where they are kept."""
    file = HERE / "results" / "training.json"
    kept = json.loads(file.read_text()) if file.exists() else {}
    for backend in BACKENDS:
        kept[backend] = kept.get(backend, {}) | results.get(backend, {})
    kept["machine"] = results["machine"]
    file.write_text(json.dumps(_short(kept), indent=1) + "\n")
    groups = {b: {row: values for _, row, values in _rows({b: kept[b]}, "fit")} for b in BACKENDS if "fit" in kept[b]}
    ratios = {b: {n: [ratio(v["ours"], v[w]) for w in ("keras", "native")] for n, v in g.items()} for b, g in groups.items()}
    (HERE / "results" / "training.svg").write_text(bars("fit, times as fast as", ("Keras", "native"), ratios))
    readme = HERE / "README.md"
    before, rest = readme.read_text().split("<!-- figures -->\n")
    after = rest.split("<!-- end of figures -->\n")[1]
    readme.write_text(f"{before}<!-- figures -->\n{report(kept)}\n<!-- end of figures -->\n{after}")


def _short(x):
    """Return figures with four digits."""
    if isinstance(x, dict):
        return {k: _short(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [_short(v) for v in x]
    return float(f"{x:.4g}") if isinstance(x, float) else x


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=3, help="turns that each has")
    parser.add_argument("--write", action="store_true", help="renew README.md and results/")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.memory:
        print(json.dumps(measures.memory(given.backends[0], given.workloads[0], given.memory)))
    elif given.child:
        bench = measures.Bench(given.backends[0], given.workloads, given.rounds)
        print(json.dumps({section: _timed(bench, section) for section in given.sections}))
    else:
        results = run(given.backends, given.sections, given.workloads, given.rounds)
        print(report(results))
        if given.write:
            write(results)


def _timed(bench: measures.Bench, section: str) -> dict:
    began = time.perf_counter()
    found = getattr(bench, section)()
    print(f"  {bench.backend} {section}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    return found


if __name__ == "__main__":
    main()
