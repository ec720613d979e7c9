"""Every public op explains itself in one line and shows an example that holds on every backend."""

import doctest
import inspect

import pytest

import multikeras
from multikeras import ops
from multikeras.backend import current

GRADIENTS = {"custom_gradient", "grad", "jvp", "stop_gradient", "value_and_grad", "vjp"}
PUBLIC = {name: f for name, f in vars(ops).items() if inspect.isfunction(f) and not name.startswith("_")}


@pytest.mark.parametrize("name", sorted(PUBLIC if current.supports_gradients else PUBLIC.keys() - GRADIENTS))
def test_example_holds(name):
    function = PUBLIC[name]
    line, *rest = (function.__doc__ or "").splitlines()
    assert line.endswith("."), f"{name} has no line that says what it does"
    assert not rest or not rest[0].strip(), f"{name}: the first line is followed by an empty one"
    examples = doctest.DocTestFinder().find(function, name, module=False, globs={"ops": ops, "multikeras": multikeras})
    assert any(test.examples for test in examples), f"{name} shows no example"
    runner = doctest.DocTestRunner(verbose=False)
    out: list[str] = []
    for test in examples:
        runner.run(test, out=out.append)
    assert runner.failures == 0, "".join(out)
