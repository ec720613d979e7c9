"""Damaged and made-up files of every format: each loads, or gives one clear error with its name."""

import collections
import os
import subprocess
import sys
import warnings
from pathlib import Path

import fuzz_child
import mutations
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from multikeras.backend import current

pytestmark = pytest.mark.gradients  # the files hold an optimizer

NAMES = sorted(mutations.STRUCTURAL)
few = settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


class Originals:
    """The files, what is in them, and the weights they give; in a class of its own for a short repr."""

    def __init__(self, folder):
        self.folder = folder
        self.model, self.files = mutations.originals(folder)
        self.weights = {name: mutations.load(folder / name, self.model) for name in NAMES}


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Originals(tmp_path_factory.mktemp("originals"))


def check(originals, name, content, expected):
    model, files = originals.model, originals.files
    path = originals.folder / name
    path.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = fuzz_child.outcome(path, model, expected)
    finally:
        path.write_bytes(files[name])
    assert not result.startswith("WRONG"), result


@pytest.mark.parametrize("name", NAMES)
@given(r=st.randoms(use_true_random=False))
@few
def test_content_that_was_changed(originals, name, r):
    check(originals, name, mutations.STRUCTURAL[name](originals.files[name], r), None)


@pytest.mark.parametrize("name", [n for n in NAMES if not n.startswith("bare")])
@given(r=st.randoms(use_true_random=False))
@few
def test_bytes_that_were_damaged(originals, name, r):
    """What has checksums gives its own numbers or none."""
    check(originals, name, mutations.damaged(originals.files[name], r), originals.weights[name])


@pytest.mark.parametrize("name", [n for n in NAMES if not n.startswith("bare") and n != "m.json"])
def test_files_cut_off_anywhere(originals, name):
    content = originals.files[name]
    for size in sorted({*range(0, len(content), max(1, len(content) // 40)), 1, 7, 8, len(content) - 1}):
        with pytest.raises(ValueError, match=name):
            mutations.load(_written(originals.folder / name, content[:size]), originals.model)
    _written(originals.folder / name, content)


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


CASES = int(os.environ.get("MULTIKERAS_FUZZ_CASES", "200"))
"""Of each kind, for each file: 3,200 in sum."""
PATIENCE = 900


@pytest.mark.slow
def test_thousands_of_files_in_a_process_of_little_memory():
    """One process after the other takes what the one before left: a case that ends a process is one of the wrong ones."""
    jobs = [(name, kind) for name in NAMES for kind in ("structural", "bytes")]
    outcomes, wrong, first = collections.Counter(), [], 0
    environment = {**os.environ, "MULTIKERAS_BACKEND": current.name, "PYTHONPATH": os.pathsep.join(sys.path)}
    while first < len(jobs) * CASES:
        command = [sys.executable, fuzz_child.__file__, str(CASES), str(first), *(f"{name}={kind}" for name, kind in jobs)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=PATIENCE)
        lines = [line.split(" ", 2) for line in done.stdout.splitlines()]
        assert lines, done.stderr[-2000:]
        ends = [line for line in lines if line[0] == "end"]
        outcomes.update(line[2].split(" ")[0] for line in ends)
        wrong += [f"case {line[1]}: {line[2]}" for line in ends if line[2].startswith("WRONG")]
        if done.returncode == 0:
            break
        case = int(lines[-1][1])
        wrong.append(f"case {case}: the process ended with {done.returncode}: {done.stderr[-500:]}")
        first = case + 1
    print(dict(outcomes))
    assert not wrong, "\n".join(wrong[:20])
    assert sum(outcomes.values()) == len(jobs) * CASES
