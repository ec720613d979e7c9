"""A program on one backend imports no other framework and never keras; `import multikeras` adds little time to its framework."""

import os
import statistics
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
    env |= {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": str(where / "pycache"), "MULTIKERAS_BACKEND": current.name}
    done = subprocess.run([sys.executable, "-c", code], env=env | environment, cwd=where, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_other_framework_is_imported(tmp_path):
    # TensorFlow by itself imports jax where that is installed.
    own = run(f"import sys, {current.name}; print(*sys.modules)", tmp_path).split()
    run(PROGRAM.format(others=FRAMEWORKS - {current.name, *own} | {"keras"}, trains=current.supports_gradients), tmp_path)


def test_importing_is_quiet(tmp_path):
    assert run("import multikeras", tmp_path) == ""


@pytest.mark.slow
def test_import_adds_little_time(tmp_path):
    """At most 0.2 s more than the framework itself: the middle of five runs each, in CPU time, bytecode cached."""
    clock = "import time, {}; print(time.process_time())"

    def seconds(module):
        run(clock.format(module), tmp_path)
        return statistics.median(float(run(clock.format(module), tmp_path)) for _ in range(5))

    framework, ours = seconds(current.name), seconds("multikeras")
    assert ours <= framework + 0.2, f"{current.name} takes {framework:.2f} s, multikeras {ours:.2f} s"
