"""How a backend is chosen, and what is said when it cannot be had."""

import json
import os
import subprocess
import sys

import pytest

from multikeras import backend

PRINT = "import multikeras; print(multikeras.backend.backend(), multikeras.backend.reason)"


def run(code, home, **environment):
    env = {k: v for k, v in os.environ.items() if k not in ("MULTIKERAS_BACKEND", "KERAS_BACKEND")}
    env.update(MULTIKERAS_HOME=str(home), TF_CPP_MIN_LOG_LEVEL="3", **environment)
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)


def test_the_environment_comes_first(tmp_path):
    (tmp_path / "multikeras.json").write_text(json.dumps({"backend": "torch"}))
    out = run(PRINT, tmp_path, MULTIKERAS_BACKEND="numpy").stdout
    assert out.split() == ["numpy", "MULTIKERAS_BACKEND"]


def test_then_the_settings_file(tmp_path):
    (tmp_path / "multikeras.json").write_text(json.dumps({"backend": "numpy", "floatx": "float64", "epsilon": 1e-3}))
    out = run(PRINT + "; print(multikeras.config.floatx(), multikeras.config.epsilon())", tmp_path).stdout
    assert out.split()[0] == "numpy"
    assert "multikeras.json" in out
    assert out.split()[-2:] == ["float64", "0.001"]


def test_then_the_first_installed(tmp_path):
    code = "import multikeras.backend as b; print(b.choose()[0], b.installed()[0])"
    chosen, first = run(code, tmp_path, JAX_PLATFORMS="cpu").stdout.split()
    assert chosen == first == backend.installed()[0]


def test_keras_backend_is_not_asked(tmp_path):
    assert run(PRINT, tmp_path, MULTIKERAS_BACKEND="numpy", KERAS_BACKEND="nonsense").stdout.startswith("numpy")


def test_an_unknown_name(tmp_path):
    error = run(PRINT, tmp_path, MULTIKERAS_BACKEND="theano").stderr
    assert "backend='theano' (MULTIKERAS_BACKEND) is unknown. Valid: jax, torch, tensorflow, numpy" in error
    assert "Installed here:" in error


def test_a_framework_that_is_not_installed(monkeypatch):
    find = backend.find_spec
    monkeypatch.setattr(backend, "find_spec", lambda name: None if name == "torch" else find(name))
    with pytest.raises(ImportError, match=r'needs torch, which is not installed.*pip install "multikeras\[torch\]"'):
        backend.load("torch", "asked for in a test")


def test_a_damaged_settings_file(tmp_path):
    (tmp_path / "multikeras.json").write_text("{")
    assert "multikeras.json is not valid JSON" in run(PRINT, tmp_path, MULTIKERAS_BACKEND="numpy").stderr


def test_backends_of_other_packages(tmp_path):
    """A package with an entry point in the group `multikeras.backends` is found without any change here."""
    (tmp_path / "other.py").write_text(
        "from multikeras.backend.numpy_backend import NumpyBackend\n"
        "class Other(NumpyBackend):\n    name = 'other'\n"
    )
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[multikeras.backends]\nother = other:Other\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    result = run(PRINT, tmp_path, MULTIKERAS_BACKEND="other", PYTHONPATH=path)
    assert result.stdout.split() == ["other", "MULTIKERAS_BACKEND"], result.stderr


def test_devices():
    names = backend.current.devices()
    assert "cpu:0" in names
    with backend.current.device_scope("cpu:0"):
        assert backend.current.full((2,), 1.0, "float32").shape[0] == 2
