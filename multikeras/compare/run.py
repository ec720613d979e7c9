"""Running one program on several backends, each in a process of its own."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from multikeras import backend as backends_here
from multikeras.compare.report import write_report
from multikeras.compare.results import DEFAULT_TOLERANCE, BackendResult, Fit, Results

_PROBE = Path(__file__).with_name("probe.py")
_ROOT = Path(__file__).parents[2]
_POLL_SECONDS = 0.1
_TRACEBACK_LINES = 12
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def run(
    script: str | os.PathLike,
    backends: Sequence[str] | None = None,
    seed: int = 0,
    out: str | os.PathLike | None = None,
    require_parity: float | None = None,
    args: Sequence[str] = (),
    show_progress: bool = True,
) -> Results:
    """Run an unmodified Keras program on several backends, one after the other, with the same seed.

    Random numbers, dropout masks too, are the same on all, unless MULTIKERAS_RANDOM=native is set.

    Args:
        script: Path of the program.
        backends: Names; all installed frameworks if not given.
        seed: Given to `utils.set_random_seed` before the program starts.
        out: Folder for results.json, report.html and the output of each run; none are kept if not given.
        require_parity: Relative gap within which the loss curves must agree for `exit_status` 0.
        args: Arguments of the program.
        show_progress: Show on stderr what is running.

    Returns: a record for each backend, also where the program failed or the backend is not installed.
    """
    script = Path(script)
    if not script.is_file():
        raise FileNotFoundError(f"compare: there is no file {str(script)!r}.")
    if require_parity is not None and not require_parity >= 0:
        raise ValueError(f"compare: require_parity must be a relative gap, 0 or more; got {require_parity}.")
    if isinstance(backends, str):
        raise TypeError(f"compare: backends must be a list of names, got the string {backends!r}.")
    unknown = [name for name in backends or () if name not in backends_here.names()]
    if unknown:
        raise ValueError(f"compare: there is no backend {unknown[0]!r}. Backends: {', '.join(backends_here.names())}.")
    names = list(dict.fromkeys(backends or (name for name in backends_here.installed() if name != "numpy")))
    if not names:
        raise RuntimeError('compare: no framework is installed. Install some with: pip install "multikeras[all]"')
    tolerance = DEFAULT_TOLERANCE if require_parity is None else require_parity
    results = Results(str(script), list(args), seed, tolerance, require_parity is not None, {})
    with tempfile.TemporaryDirectory(prefix="multikeras-compare-") as scratch:
        folder = Path(scratch if out is None else out)
        folder.mkdir(parents=True, exist_ok=True)
        with _Display(names, show_progress) as display:
            for name in names:
                results.backends[name] = _run_on(name, results, folder, Path(scratch), display.watch(name))
                display.finished(results.backends[name])
        if out is not None:
            results.write_json(folder / "results.json")
            write_report(results, folder / "report.html")
    return results


def _run_on(
    name: str, results: Results, folder: Path, scratch: Path, watch: Callable[[BackendResult], None]
) -> BackendResult:
    result = BackendResult(name)
    events, log = scratch / f"{name}.jsonl", folder / f"{name}.log"
    events.touch()
    command = [sys.executable, str(_PROBE), str(_ROOT), str(events), str(results.seed), results.script, *results.args]
    # Equal dropout masks on all: what is left of a gap is arithmetic. A caller's own choice is kept.
    # OpenMP threads that spin while they wait make torch ten times slower as soon as anything else wants a core.
    environment = {"MULTIKERAS_RANDOM": "portable", "OMP_WAIT_POLICY": "PASSIVE"} | os.environ
    environment |= {"MULTIKERAS_BACKEND": name, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    started = time.perf_counter()
    with open(log, "wb") as output, open(events, encoding="utf-8") as read_events:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment
        )
        try:
            while True:
                status = child.poll()
                for event in _new_events(read_events):
                    _note(result, event)
                watch(result)
                if status is not None:
                    break
                time.sleep(_POLL_SECONDS)
        except BaseException:
            child.kill()
            child.wait()
            raise
    result.wall_seconds = time.perf_counter() - started
    if status == 0:
        result.status = "ok"
    else:
        lines = _ANSI.sub("", log.read_text("utf-8", errors="replace")).splitlines()
        result.reason, result.traceback = _why(status, lines)
    return result


def _new_events(file: Any) -> Iterator[dict]:
    while True:
        position = file.tell()
        line = file.readline()
        if not line.endswith("\n"):  # being written
            file.seek(position)
            return
        yield json.loads(line)


def _note(result: BackendResult, event: dict[str, Any]) -> None:
    match event["event"]:
        case "imported":
            result.import_seconds, result.versions = event["seconds"], event["versions"]
        case "fit":
            result.fits.append(Fit(event["model"], event["epochs"]))
        case "epoch":
            fit = result.fits[-1]
            fit.logs.append(event["logs"])
            fit.seconds.append(event["seconds"])
            fit.steps.append(event["steps"])
            if fit.first_step_seconds is None:
                fit.first_step_seconds = event["first_step_seconds"]
        case "evaluate":
            result.evaluations.append(event["logs"])
        case "end":
            result.peak_bytes, result.missing_names = event["peak_bytes"], event["missing"]


def _why(status: int, log: list[str]) -> tuple[str, list[str]]:
    """Return in a line why a process failed, and the last lines of its traceback or output."""
    if status < 0:
        name = signal.Signals(-status).name
        more = ", as happens when memory runs out" if name == "SIGKILL" else ""
        return f"ended by {name}{more}", log[-_TRACEBACK_LINES:]
    start = next((i for i in reversed(range(len(log))) if log[i].startswith("Traceback ")), None)
    if start is None:
        said = next((line for line in reversed(log) if line.strip()), "")
        return f"exit status {status}" + (f": {said.strip()}" if said else ""), log[-_TRACEBACK_LINES:]
    lines = log[start:]
    # The message begins at the first line after the frames, which are indented.
    reason = next((line for line in lines[1:] if line and not line.startswith(" ")), f"exit status {status}")
    return reason, lines[-_TRACEBACK_LINES:]


class _Display:
    """What is running: bars on a terminal, a line a backend elsewhere."""

    def __init__(self, names: Sequence[str], shown: bool):
        self.console = Console(stderr=True, quiet=not shown)
        self.progress = Progress(
            TextColumn("{task.description:<11}"), BarColumn(30), TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(), console=self.console, transient=True,
        )  # fmt: skip
        self.tasks: dict[str, TaskID] = {
            name: self.progress.add_task(name, start=False, total=1, state="waits") for name in names
        }

    def __enter__(self) -> "_Display":
        if self.console.is_terminal:
            self.progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.console.is_terminal:
            self.progress.stop()

    def watch(self, name: str) -> Callable[[BackendResult], None]:
        """Start the clock of a backend; return what to call with its result so far."""
        task = self.tasks[name]
        self.progress.start_task(task)

        def update(result: BackendResult) -> None:
            if not result.fits:
                self.progress.update(task, state="starts" if result.import_seconds is None else "runs")
                return
            fit = result.fits[-1]
            loss = fit.logs[-1].get("loss", math.nan) if fit.logs else math.nan
            shown = f"  loss {loss:.4f}" if math.isfinite(loss) else ""
            planned = fit.epochs_planned or len(fit.logs) or 1
            which = f"fit {len(result.fits)}, " if len(result.fits) > 1 else ""
            state = f"{which}epoch {min(len(fit.logs) + 1, planned)} of {planned}{shown}"
            self.progress.update(task, total=planned, completed=len(fit.logs), state=state)

        return update

    def finished(self, result: BackendResult) -> None:
        """Show that a backend is done."""
        task = self.tasks[result.backend]
        outcome = "done" if result.status == "ok" else f"failed: {result.reason}"
        self.progress.update(task, completed=self.progress.tasks[task].total, state=outcome[:70])
        self.progress.stop_task(task)
        if not self.console.is_terminal:
            line = f"{result.backend}: {outcome} ({result.wall_seconds:.1f} s)"
            self.console.print(line, soft_wrap=True, markup=False, highlight=False)
