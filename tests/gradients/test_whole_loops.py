"""What backends compute in another way than as a composite has the same values, and derivatives both ways."""

from functools import partial

import numpy as np
import pytest

from multikeras.backend import current
from multikeras.backend.interface import Backend

pytestmark = pytest.mark.gradients


def arrays(rng, *shapes, dtype="float32"):
    return [current.asarray(rng.normal(size=s) * 0.4, dtype) for s in shapes]


def derivatives(f, xs, rng, around=lambda f: f):
    """Return the values of `f`, its gradient and its change along a direction, and that of its gradient, computed `around`."""
    direction = [current.asarray(rng.normal(size=x.shape), current.dtype(x)) for x in xs]
    one = current.asarray(1.0, current.dtype(xs[0]))

    def gradient(*xs):
        return current.vjp(f, list(xs))[1](one)

    def all_of(*xs):
        changes = current.jvp(f, list(xs), direction)[1], *current.jvp(gradient, list(xs), direction)[1]
        return [f(*xs), *gradient(*xs), *changes]

    values = around(all_of)(*xs)
    return [np.asarray(current.to_numpy(v), "float64") for v in values]


def assert_close(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * max(1, np.abs(b).max()))


@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("name", "gates", "compiled"), [("lstm", 4, False), ("gru", 3, False), ("lstm", 4, True)])
def test_loops_over_time_have_the_derivatives_of_the_composite(name, gates, reverse, sequences, compiled):
    if compiled and (current.name != "tensorflow" or reverse != sequences):
        pytest.skip("only TensorFlow has loops of its own for a compiler; half of the cases take 20 s")
    rng = np.random.default_rng(0)
    states, biases = (2, 1) if name == "lstm" else (1, 2)
    shapes = [(2, 5, 3), *[(2, 4)] * states, (3, gates * 4), (4, gates * 4), *[(gates * 4,)] * biases]
    xs = arrays(rng, *shapes)

    def run(method, around=lambda f: f):
        def total(*xs):
            last, outputs, states = method(*xs, reverse=reverse, sequences=sequences)
            parts = [current.multiply(last, last), *map(current.sin, states)]
            parts += [current.exp(outputs)] if sequences else []
            return sum(current.sum(part) for part in parts)

        return derivatives(total, xs, np.random.default_rng(1), around)

    found = run(getattr(current, name), partial(current.jit, compile=True)) if compiled else run(getattr(current, name))
    assert_close(found, run(getattr(Backend, name).__get__(current)))


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
@pytest.mark.parametrize(("name", "gates"), [("lstm", 4), ("gru", 3)])
def test_gradients_of_loops_have_the_dtype_of_their_inputs(name, gates, dtype):
    states, biases = (2, 1) if name == "lstm" else (1, 2)
    shapes = [(2, 5, 3), *[(2, 4)] * states, (3, gates * 4), (4, gates * 4), *[(gates * 4,)] * biases]
    xs = arrays(np.random.default_rng(0), *shapes, dtype=dtype)
    result, pull = current.vjp(lambda *xs: current.sum(getattr(current, name)(*xs)[0]), xs)
    assert {current.dtype(g) for g in pull(current.asarray(1.0, dtype))} == {current.dtype(result)} == {dtype}


@pytest.mark.parametrize(
    ("window", "padding", "strides", "dilation", "data_format"),
    [
        ((3,), "same", 2, 1, "channels_last"),
        ((3, 2), "valid", 1, 1, "channels_last"),
        ((3, 2), "same", 1, 2, "channels_first"),
        ((1, 1), "valid", 2, 1, "channels_last"),
        ((2, 3, 2), "same", 1, 1, "channels_last"),
    ],
)
def test_convolutions_have_the_derivatives_that_they_have_in_64_bits(window, padding, strides, dilation, data_format):
    if current.name == "tensorflow" and data_format == "channels_first":
        pytest.skip("TensorFlow has no such kernel on CPUs")
    n = len(window)
    size = (6,) * n
    shape = (2, 3, *size) if data_format == "channels_first" else (2, *size, 3)
    how = (strides,) * n, padding, (dilation,) * n, 1, data_format

    def run(dtype):
        xs = arrays(np.random.default_rng(0), shape, (*window, 3, 4), dtype=dtype)
        return derivatives(lambda x, k: current.sum(current.sin(current.conv(x, k, *how))), xs, np.random.default_rng(1))

    assert_close(run("float32"), run("float64"))
