"""A program on one backend imports no other framework and never keras; `import multikeras` adds little time to its framework."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from multikeras.backend import current

FRAMEWORKS = {"jax", "torch", "tensorflow", "keras"}
ROOT = Path(__file__).parents[2]

PROGRAM = """
import sys
import numpy as np
import multikeras

def check(when):
    others = {others} & set(sys.modules)
    assert not others, f"{{when}}: {{sorted(others)}} imported"

check("import")
multikeras.utils.set_random_seed(1)
model = multikeras.Sequential([multikeras.Input((4,)), multikeras.layers.Dense(3, "relu"), multikeras.layers.Dense(1)])
check("build")
x, y = np.ones((16, 4), "float32"), np.zeros((16, 1), "float32")
if {trains}:
    model.compile("adam", "mse")
    model.fit(x, y, batch_size=8, epochs=2, verbose=0)
    check("fit")
before = model.predict(x, verbose=0)
model.save("model.keras")
check("save")
after = multikeras.saving.load_model("model.keras").predict(x, verbose=0)
assert (before == after).all()
check("load")
"""


def run(code: str, where: Path, **environment: str) -> str:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHONDONTWRITE", "COV_"))}
    env |= {"PYTHONPATH": str(ROOT), "MULTIKERAS_BACKEND": current.name}
    done = subprocess.run([sys.executable, "-c", code], env=env | environment, cwd=where, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_other_framework_is_imported(tmp_path):
    run(PROGRAM.format(others=FRAMEWORKS - {current.name}, trains=current.supports_gradients), tmp_path)


CONVERSION = """
import sys
import multikeras
assert "jax" not in sys.modules
import tensorflow as tf
import jax.numpy as jnp
inputs = [[("x", jnp.ones((2, 3)))]]
assert tf.lite.TFLiteConverter.experimental_from_jax([lambda x: 2 * x], inputs).convert()
"""


@pytest.mark.skipif(current.name != "tensorflow", reason="for TensorFlow's converter")
def test_tensorflow_loads_jax_when_it_needs_it(tmp_path):
    pytest.importorskip("jax")
    run(CONVERSION, tmp_path)


def test_importing_is_quiet(tmp_path):
    assert run("import multikeras", tmp_path) == ""


def test_importing_does_not_import_what_only_tables_and_files_need(tmp_path):
    program = f"import sys, {current.name}; before = {{*sys.modules}}; import multikeras; print({{*sys.modules}} - before)"
    assert not {"rich", "h5py"} & eval(run(program, tmp_path))


@pytest.mark.slow
def test_import_adds_little_time(tmp_path, monkeypatch):
    """About 0.2 s over the framework itself: the best of five runs, in CPU time, bytecode cached."""
    framework = "jax.numpy" if current.name == "jax" else current.name
    clock = f"import time, {framework}; t = time.process_time(); import multikeras; print(time.process_time() - t)"
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    run(clock, tmp_path)  # writes the bytecode
    seconds = min(float(run(clock, tmp_path)) for _ in range(5))
    assert seconds <= 0.25, f"multikeras takes {seconds:.2f} s over {framework}"
