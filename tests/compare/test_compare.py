"""`multikeras compare`: what is recorded, what a failure looks like, what is written."""

import io
import json
import math
import re

import pytest
from rich.console import Console

from multikeras import compare
from multikeras.backend import current, installed
from multikeras.compare.curves import Curve, chart, nice_ticks
from multikeras.compare.report import report_html
from multikeras.compare.results import BackendResult, Fit, Results, relative_gap
from multikeras.compare.table import print_results

needs_gradients = pytest.mark.skipif(not current.supports_gradients, reason="trains")

PROGRAM = """
import sys
import numpy as np
import keras
x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
y = x[:, :1] * 2 - x[:, 1:2]
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)])
model.compile("adam", "mse", metrics=["mae"])
model.fit(x, y, epochs=3, batch_size=16, validation_split=0.25, verbose=0)
model.evaluate(x, y, verbose=0)
print("argument", sys.argv[1:])
"""


def program(tmp_path, code=PROGRAM):
    path = tmp_path / "program.py"
    path.write_text(code)
    return path


@needs_gradients
def test_records_what_the_program_did(tmp_path):
    out = tmp_path / "out"
    results = compare.run(program(tmp_path), [current.name], seed=3, out=out, args=["a b"], show_progress=False)
    found = results.backends[current.name]
    assert found.status == "ok", found.traceback
    assert [len(fit.logs) for fit in found.fits] == [3]
    assert found.fits[0].steps == [3, 3, 3]
    assert {"loss", "mae", "val_loss", "val_mae", "test loss", "test mae"} <= set(found.final)
    assert found.import_seconds > 0
    assert found.first_step_seconds > 0
    assert found.steps_per_second > 0
    assert 2**25 < found.peak_bytes < 2**36
    assert "argument ['a b']" in (out / f"{current.name}.log").read_text()
    assert results.exit_status == 0
    written = json.loads((out / "results.json").read_text())
    assert written["seed"] == 3
    assert written["backends"][current.name]["final"]["loss"] == found.final["loss"]
    assert (out / "report.html").read_text().startswith("<!doctype html>")


@needs_gradients
def test_the_same_seed_gives_the_same_curve(tmp_path):
    first, second, other = (
        compare.run(program(tmp_path), [current.name], seed=s, show_progress=False).backends[current.name].fits[0]
        for s in (1, 1, 2)
    )
    assert first.curve("loss") == second.curve("loss")
    assert first.curve("loss") != other.curve("loss")


@needs_gradients
@pytest.mark.skipif(len(installed()) < 3, reason="needs two frameworks")
def test_backends_agree(tmp_path):
    names = [name for name in installed() if name in ("jax", "torch", "tensorflow")]
    results = compare.run(program(tmp_path), names, require_parity=1e-3, show_progress=False)
    assert results.all_ran, [b.traceback for b in results.backends.values()]
    assert results.parity, {name: results.gap(name) for name in names}
    assert results.exit_status == 0


@needs_gradients
@pytest.mark.skipif(len(installed()) < 3, reason="needs two frameworks")
def test_dropout_masks_are_the_same_on_all(tmp_path):
    names = [name for name in installed() if name in ("jax", "torch", "tensorflow")]
    code = PROGRAM.replace('activation="relu"),', 'activation="relu"), keras.layers.Dropout(0.5),')
    results = compare.run(program(tmp_path, code), names, require_parity=1e-3, show_progress=False)
    assert results.parity, {name: results.gap(name) for name in names}


def test_a_failure_has_its_reason_and_the_others_go_on(tmp_path):
    path = program(tmp_path, "import keras\nif keras.backend.backend() == 'numpy':\n    keras.layers.Dense(-1)\n")
    results = compare.run(path, ["numpy"] + [current.name] * (current.name != "numpy"), show_progress=False)
    failed = results.backends["numpy"]
    assert failed.status == "failed"
    assert failed.reason.startswith("ValueError")
    assert any("program.py" in line for line in failed.traceback)
    assert results.exit_status == 1
    if current.name != "numpy":
        assert results.backends[current.name].status == "ok"


def test_exit_status_and_signals_are_told(tmp_path):
    path = program(tmp_path, "import sys\nprint('bye')\nsys.exit(5)\n")
    assert compare.run(path, [current.name], show_progress=False).backends[current.name].reason == "exit status 5: bye"
    path = program(tmp_path, "import os\nos.kill(os.getpid(), 9)\n")
    killed = compare.run(path, [current.name], show_progress=False).backends[current.name]
    assert "SIGKILL" in killed.reason


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"script": "nothing.py"}, FileNotFoundError),
        ({"backends": "jax"}, TypeError),
        ({"backends": ["no_such_backend"]}, ValueError),
        ({"require_parity": -1.0}, ValueError),
    ],
)
def test_wrong_arguments(tmp_path, arguments, error):
    with pytest.raises(error, match="compare"):
        compare.run(**({"script": program(tmp_path)} | arguments))


def made(**curves: list[float]) -> Results:
    """Return results with these loss curves."""
    backends = {
        name: BackendResult(name, "ok", fits=[Fit("m", len(c), [{"loss": v} for v in c], [1.0] * len(c), [5] * len(c))])
        for name, c in curves.items()
    }
    return Results("p.py", [], 0, 1e-3, True, backends)


def test_gap_and_first_epoch_past_the_tolerance():
    results = made(a=[1.0, 0.5, 0.25], b=[1.0, 0.5002, 0.2], c=[1.0, 0.5001, 0.25])
    gap = results.gap("b")
    assert gap.largest == pytest.approx(0.2)
    assert gap.first_epoch_past == 3
    assert results.gap("c").first_epoch_past is None
    assert results.gap("a") is None
    assert not results.parity
    assert results.exit_status == 2
    results.parity_required = False
    assert results.exit_status == 0


def test_curves_of_other_lengths_cannot_agree():
    results = made(a=[1.0, 0.5], b=[1.0])
    assert results.gap("b").first_epoch_past == 2
    assert not results.gap("b").same_epochs
    assert not results.parity


def test_nan_against_a_number_is_no_agreement():
    assert relative_gap(math.nan, 1.0) == math.inf
    assert relative_gap(math.nan, math.nan) == 0


def test_report_is_one_file_and_escapes_what_it_shows():
    results = made(a=[1.0, 0.5], b=[1.0, 0.5])
    results.script = "<script>.py"
    results.backends["c"] = BackendResult("c", reason="Error: <b>&", traceback=["<frame>"])
    page = report_html(results)
    assert "<script>" not in page
    assert "&lt;script&gt;.py" in page
    assert "Error: &lt;b&gt;&amp;" in page
    assert not re.search(r"(src|href)=|@import|url\(", page)
    assert page.count("<svg") == 1  # the gap is 0 throughout: nothing to draw on a logarithmic scale
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


def test_chart_leaves_holes_out():
    drawing = chart("loss", [Curve("a", [1.0, math.nan, 0.5, 0.4], 0)])
    assert drawing.count("<polyline") == 1
    assert drawing.count("<circle") == 1
    assert chart("nothing", [Curve("a", [math.nan], 0)]) == ""


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.0, 7.5), (0.11, 0.12), (5.0, 5.0), (0.0, 0.0), (1e-9, 1e9)])
def test_ticks_cover_the_range(low, high):
    ticks = nice_ticks(low, high)
    assert ticks[0] <= low + 1e-9
    assert ticks[-1] >= high * (1 - 1e-9)
    assert len(ticks) <= 12


@pytest.mark.parametrize("width", [80, 200])
def test_the_table_is_readable_in_any_terminal(width):
    fits = [Fit("m", logs=[{"loss": 0.123, "val_accuracy": 0.98765}])]
    backends = {name: BackendResult(name, status="ok", fits=fits) for name in ("jax", "tensorflow")}
    backends["torch"] = BackendResult("torch", reason="RuntimeError: something long was said by somebody")
    results = Results(script="x.py", args=[], seed=0, tolerance=1e-3, parity_required=False, backends=backends)
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    print_results(results, console)
    text = console.file.getvalue()
    assert text.count("0.98765") == 2
    assert "…" not in text
    assert "somebody" in text
