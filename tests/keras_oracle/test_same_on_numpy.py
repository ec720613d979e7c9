"""The grids give on this backend what they give on numpy: so all backends agree with each other."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from keras_oracle.on_numpy import KINDS

from multikeras.backend import current


@pytest.mark.skipif(current.name == "numpy", reason="numpy is what the others are compared with")
@pytest.mark.parametrize("kind", [pytest.param("layers", marks=pytest.mark.slow), "losses", "metrics"])
def test_same_numbers(kind, tmp_path):
    tests = Path(__file__).parents[1]
    environment = {**os.environ, "MULTIKERAS_BACKEND": "numpy", "PYTHONPATH": os.pathsep.join([str(tests.parent), str(tests)])}
    program = [sys.executable, "-m", "keras_oracle.on_numpy", kind, str(tmp_path / "numpy.npz")]
    subprocess.run(program, env=environment, check=True, cwd=tmp_path)
    expected = np.load(tmp_path / "numpy.npz")
    found = {f"{name.replace('/', '_')} {k}": y for name, ys in KINDS[kind]().items() for k, y in enumerate(ys)}
    assert list(found) == expected.files
    different = []
    for name, y in found.items():
        scale = max(np.abs(expected[name]).max(initial=0), 1e-3)
        if y.shape != expected[name].shape or not np.allclose(y, expected[name], rtol=0, atol=1e-5 * scale):
            different.append(name)
    assert different == []
