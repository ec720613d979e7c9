"""`python -m multikeras`: scripts, modules, arguments, errors, the report, KERAS_BACKEND."""

import os
import subprocess
import sys

import pytest

from multikeras.backend import current, installed


def multikeras(*args, cwd=None, backend=current.name, **environment):
    """Run the command line; `backend` None leaves the choice to it."""
    variables = {k: v for k, v in os.environ.items() if k not in ("MULTIKERAS_BACKEND", "KERAS_BACKEND")}
    chosen = {} if backend is None else {"MULTIKERAS_BACKEND": backend}
    return subprocess.run(
        [sys.executable, "-m", "multikeras", *map(str, args)], capture_output=True, text=True, timeout=300, cwd=cwd,
        env=variables | chosen | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": os.pathsep.join(sys.path)} | environment,
    )  # fmt: skip


def written(path, code):
    path.write_text(code)
    return path


def test_script_gets_its_arguments_and_its_folder(tmp_path):
    (tmp_path / "beside.py").write_text("value = 3\n")
    script = written(tmp_path / "program.py", "import sys, keras, beside\nprint(__name__, sys.argv[1:], beside.value)\n")
    done = multikeras(script, "a", "--report", "-m")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["__main__ ['a', '--report', '-m'] 3"]


def test_module(tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "tool.py").write_text("import sys, keras\nprint(keras.__version__[0], sys.argv[1:])\n")
    done = multikeras("-m", "package.tool", "x", cwd=tmp_path)
    assert done.stdout.splitlines() == ["3 ['x']"], done.stderr


def test_exit_status_is_the_programs(tmp_path):
    script = written(tmp_path / "program.py", "import sys\nsys.exit(7)\n")
    assert multikeras(script).returncode == 7


def test_traceback_begins_at_the_program(tmp_path):
    script = written(tmp_path / "program.py", "def f():\n    raise OSError('disk')\nf()\n")
    done = multikeras(script)
    assert done.returncode == 1
    assert done.stderr.count('File "') == 2
    assert "OSError: disk" in done.stderr


def test_report_lists_missing_names_with_their_place(tmp_path):
    code = (
        "import keras\nprint(hasattr(keras.layers, 'Nonesuch'))\n"
        "try:\n    from keras import nonesuch\nexcept ImportError:\n    pass\n"
    )
    done = multikeras("--report", written(tmp_path / "program.py", code))
    assert done.returncode == 0
    lines = [line.split() for line in done.stderr.splitlines()]
    assert ["keras.layers.Nonesuch", f"{tmp_path / 'program.py'}:2"] in lines
    assert ["keras.nonesuch", f"{tmp_path / 'program.py'}:4"] in lines


def test_no_file_and_no_arguments(tmp_path):
    assert "no file" in multikeras(tmp_path / "nothing.py").stderr
    assert multikeras().returncode == 2


@pytest.mark.parametrize("name", [n for n in installed() if n in ("jax", "torch", "tensorflow")])
def test_keras_backend_is_honoured_by_the_runner(tmp_path, name):
    script = written(tmp_path / "program.py", "import keras\nprint(keras.backend.backend())\n")
    assert multikeras(script, backend=None, KERAS_BACKEND=name).stdout.splitlines() == [name]
    # The project's own variable is stronger.
    assert multikeras(script, KERAS_BACKEND="nonesuch").stdout.splitlines() == [current.name]


def test_epochs_and_steps_are_capped(tmp_path):
    if not current.supports_gradients:
        pytest.skip("trains")
    code = (
        "import numpy as np, keras\n"
        "m = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])\n"
        "m.compile('sgd', 'mse')\n"
        "h = m.fit(np.ones((40, 2)), np.ones((40, 1)), batch_size=4, epochs=9, verbose=0)\n"
        "print(len(h.epoch), int(m.optimizer.iterations.numpy()))\n"
    )
    done = multikeras(written(tmp_path / "program.py", code), KERAS_MAX_EPOCHS="2", KERAS_MAX_STEPS_PER_EPOCH="3")
    assert done.stdout.splitlines() == ["2 6"], done.stderr


def test_env_names_the_backend_and_why():
    done = multikeras("env")
    assert done.returncode == 0, done.stderr
    found = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if len(line.split()) > 1)
    assert found["backend"].strip() == current.name
    assert "MULTIKERAS_BACKEND" in done.stdout
    assert "numpy" in found
