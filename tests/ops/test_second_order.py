"""Derivatives of derivatives: the gradient penalty of a WGAN-GP against numbers worked out by numpy."""

import numpy as np
import pytest

import multikeras
from multikeras import layers, ops

pytestmark = pytest.mark.gradients
STEP = 1e-6


def weights():
    rng = np.random.default_rng(11)
    return [rng.normal(size=s) * 0.7 for s in ((4, 6), (6,), (6, 1))], rng.normal(size=(5, 4))


def penalty_by_hand(w1, b1, w2, x):
    """Return mean((|d critic / d x| - 1)^2) of the critic tanh(x w1 + b1) w2, its inner derivative by the chain rule."""
    h = np.tanh(x @ w1 + b1)
    slope = ((1 - h * h) * w2[:, 0]) @ w1.T
    return np.mean((np.sqrt((slope * slope).sum(1)) - 1) ** 2)


def expected_gradients(ws, x):
    """Return the derivatives of the penalty by central differences."""
    found = []
    for i, w in enumerate(ws):
        g = np.zeros_like(w)
        for at in np.ndindex(w.shape):
            ends = []
            for step in (STEP, -STEP):
                moved = w.copy()
                moved[at] += step
                ends.append(penalty_by_hand(*ws[:i], moved, *ws[i + 1 :], x))
            g[at] = (ends[0] - ends[1]) / (2 * STEP)
        found.append(g)
    return found


def penalty(critic, x):
    slope = ops.grad(lambda x: ops.sum(critic(x)))(x)
    return ops.mean(ops.square(ops.sqrt(ops.sum(ops.square(slope), axis=1)) - 1.0))


@pytest.mark.parametrize("compiled", [False, True])
def test_gradient_penalty_in_float64(compiled):
    ws, x = weights()
    w1, b1, w2 = variables = [multikeras.Variable(w, dtype="float64") for w in ws]
    loss = ops.value_and_grad(lambda x: penalty(lambda x: ops.matmul(ops.tanh(ops.matmul(x, w1) + b1), w2), x), variables)
    value, gradients = (multikeras.jit(loss) if compiled else loss)(ops.convert_to_tensor(x, dtype="float64"))
    np.testing.assert_allclose(float(value), penalty_by_hand(*ws, x), rtol=1e-12)
    for found, wanted in zip(gradients, expected_gradients(ws, x)):
        np.testing.assert_allclose(ops.convert_to_numpy(found), wanted, atol=1e-8)


def test_gradient_penalty_of_a_model():
    ws, x = weights()
    critic = multikeras.Sequential([layers.Input((4,)), layers.Dense(6, "tanh"), layers.Dense(1, use_bias=False)])
    critic.set_weights([w.astype("float32") for w in ws])
    value, gradients = ops.value_and_grad(lambda x: penalty(critic, x), critic.trainable_variables)(
        ops.convert_to_tensor(x.astype("float32"))
    )
    np.testing.assert_allclose(float(value), penalty_by_hand(*ws, x), rtol=1e-5)
    for found, wanted in zip(gradients, expected_gradients(ws, x)):
        np.testing.assert_allclose(ops.convert_to_numpy(found), wanted, atol=1e-5)


def test_hessian_by_grad_of_grad_and_by_jvp():
    x = ops.convert_to_tensor([0.3, -1.2, 2.0])

    def f(x):
        return ops.sum(ops.sin(x) * ops.exp(x[0]))

    a, b, c = 0.3, -1.2, 2.0
    e = np.exp(a)
    expected = np.array([
        [e * (2 * np.cos(a) + np.sin(b) + np.sin(c)), e * np.cos(b), e * np.cos(c)],
        [e * np.cos(b), -e * np.sin(b), 0], [e * np.cos(c), 0, -e * np.sin(c)],
    ])  # fmt: skip
    for i in range(3):
        unit = ops.one_hot(i, 3)
        by_grad = ops.grad(lambda x: ops.sum(ops.grad(f)(x) * unit))(x)  # noqa: B023
        _, by_jvp = ops.jvp(ops.grad(f), (x,), (unit,))
        np.testing.assert_allclose(ops.convert_to_numpy(by_grad), expected[i], atol=1e-5)
        np.testing.assert_allclose(ops.convert_to_numpy(by_jvp), expected[i], atol=1e-5)


LOOPS = {
    "scan": lambda x: ops.scan(lambda c, v: (c * v + v, c), ops.ones_like(x[0]), x)[0],
    "fori_loop": lambda x: ops.fori_loop(0, 3, lambda i, c: c * x[0] + x[1], ops.ones_like(x[0])),
    "cond": lambda x: ops.cond(x[0] > 0, lambda: x[0] ** 3, lambda: x[1]),
    "switch": lambda x: ops.switch(1, [lambda x: x[0], lambda x: x[0] * x[1] ** 2], x),
    "associative_scan": lambda x: ops.sum(ops.associative_scan(ops.multiply, x)),
    "vectorized_map": lambda x: ops.sum(ops.vectorized_map(lambda v: v**3, x)),
    "map": lambda x: ops.sum(ops.map(lambda v: v**3, x)),
}
BY_HAND = {
    "scan": lambda a, b, c: ((1 * a + a) * b + b) * c + c,
    "fori_loop": lambda a, b, c: ((1 * a + b) * a + b) * a + b,
    "cond": lambda a, b, c: a**3,
    "switch": lambda a, b, c: a * b**2,
    "associative_scan": lambda a, b, c: a + a * b + a * b * c,
    "vectorized_map": lambda a, b, c: a**3 + b**3 + c**3,
    "map": lambda a, b, c: a**3 + b**3 + c**3,
}


@pytest.mark.parametrize("name", LOOPS)
def test_first_and_second_derivatives_through_control_flow(name):
    point = np.array([0.7, 1.3, -0.4])
    x = ops.convert_to_tensor(point, dtype="float64")

    def moved(*steps):
        return BY_HAND[name](*(point + np.array(steps)))

    h = 1e-4
    units = np.eye(3) * h
    first = [(moved(*u) - moved(*-u)) / (2 * h) for u in units]
    second = [sum((moved(*(u + v)) - moved(*(u - v)) - moved(*(v - u)) + moved(*-(u + v))) / (4 * h * h) for v in units)
              for u in units]  # fmt: skip
    np.testing.assert_allclose(float(LOOPS[name](x)), moved(0, 0, 0), rtol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(ops.grad(LOOPS[name])(x)), first, atol=1e-4)
    rows = ops.grad(lambda x: ops.sum(ops.grad(LOOPS[name])(x)))(x)
    np.testing.assert_allclose(ops.convert_to_numpy(rows), second, atol=1e-4)
