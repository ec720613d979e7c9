"""`tf.distribute`: replicas together train as one device does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from multikeras import backend

if backend.backend() != "tensorflow":
    pytest.skip("only TensorFlow has strategies of its own", allow_module_level=True)

from training import replicas

HERE = Path(__file__).parent
QUICK = ("accumulated", "regularized", "distributed_dataset")


def program(*cases):
    """Run in a process of its own: the number of devices is settled once."""
    env = {**os.environ, "KERAS_BACKEND": "tensorflow", "PYTHONPATH": str(HERE.parent.parent)}
    command = [sys.executable, str(HERE / "replicas.py"), *cases]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=HERE, timeout=400)
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT")]
    assert lines, done.stderr[-3000:]
    return json.loads(lines[0].removeprefix("RESULT"))


@pytest.fixture(scope="module")
def some():
    return program(*QUICK)


@pytest.fixture(scope="module")
def found():
    return program()


def close(a, b, what, rtol=1e-4, atol=1e-5):
    assert a.keys() == b.keys(), (a.get("error"), b.get("error"))
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=rtol, atol=atol, err_msg=f"{what}: {name}")


@pytest.mark.parametrize("case", QUICK)
def test_replicas_train_as_one_device(case, some):
    alike(case, some)


@pytest.mark.slow
@pytest.mark.parametrize("case", replicas.CASES)
def test_replicas_train_as_one_device_whatever_the_case(case, found):
    alike(case, found)


def alike(case, results):
    together, alone = (results[f"{case}_{how}"] for how in ("replicas", "alone"))
    assert "error" not in together, together
    if case not in replicas.UNLIKE_ONE:
        close(together, alone, case)
        assert together["iterations"] == alone["iterations"]


def test_a_model_saved_under_a_strategy_goes_on_with_and_without_one(some):
    kinds, differences = some["saved"]["kinds"], some["saved"]["differences"]
    assert [kind == "MirroredVariable" for kind in kinds] == [True, False]
    assert differences[0] == 0
    assert differences[1] < 1e-4
