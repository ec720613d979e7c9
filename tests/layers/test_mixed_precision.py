"""Computing in half precision: variables stay float32, losses fall, gradients that overflow change nothing."""

import numpy as np
import pytest

import multikeras as mk
from multikeras import layers, ops, optimizers
from multikeras.backend import current

pytestmark = pytest.mark.gradients
RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 8)).astype("float32")
Y = (X @ RNG.normal(size=(8, 1))).astype("float32")
HALVES = {"mixed_float16": "float16", "mixed_bfloat16": "bfloat16"}
each_policy = pytest.mark.parametrize("policy", HALVES)


def model_of(policy, optimizer=None):
    mk.utils.set_random_seed(0)
    seen = []

    class Spy(layers.Layer):
        def call(self, x):
            seen.append(current.dtype(x) if current.is_tensor(x) else x.dtype)
            return x

    model = mk.Sequential([
        mk.Input((8,)), layers.Dense(16, "relu", dtype=policy), layers.LayerNormalization(dtype=policy), Spy(dtype=policy),
        layers.Dense(1, dtype=policy), layers.Activation("linear", dtype="float32"),
    ])  # fmt: skip
    model.compile(optimizer or optimizers.Adam(0.02), "mse")
    return model, seen


@each_policy
def test_losses_fall_and_only_variables_are_float32(policy):
    model, seen = model_of(policy)
    losses = model.fit(X, Y, epochs=12, batch_size=16, verbose=0).history["loss"]
    assert losses[-1] < 0.6 * losses[0]
    assert set(seen) == {HALVES[policy]}
    assert {v.dtype for v in model.trainable_variables} == {"float32"}
    assert all(v.dtype in ("float32", "int32", "int64") for v in model.optimizer.variables)
    assert model.predict(X, verbose=0).dtype == np.float32


@each_policy
def test_layers_return_half_precision(policy):
    layer = layers.Dense(3, dtype=policy)
    y = layer(X)
    assert (layer.compute_dtype, layer.variable_dtype, current.dtype(y)) == (HALVES[policy], "float32", HALVES[policy])
    assert layer(mk.Input((8,))).dtype == HALVES[policy]
    np.testing.assert_allclose(
        ops.convert_to_numpy(ops.cast(y, "float32")), X @ layer.get_weights()[0], atol=0.15, rtol=0.05
    )


def test_a_global_policy_scales_losses_in_float16():
    before = mk.config.dtype_policy()
    try:
        mk.config.set_dtype_policy("mixed_float16")
        model = mk.Sequential([mk.Input((8,)), layers.Dense(1)])
        model.compile("sgd", "mse")
    finally:
        mk.config.set_dtype_policy(before)
    assert isinstance(model.optimizer, optimizers.LossScaleOptimizer)
    assert model.layers[0].compute_dtype == "float16"


def test_tiny_gradients_survive_float16_only_when_scaled():
    """Gradients near 1e-8 vanish in float16, unless the loss is multiplied first."""

    def updated(optimizer):
        layer = layers.Dense(1, use_bias=False, kernel_initializer="ones", dtype="mixed_float16")
        model = mk.Sequential([mk.Input((1,)), layer])
        model.compile(optimizer, loss=lambda y, p: ops.mean(p) * 1e-8)
        model.fit(np.ones((4, 1), "float32"), np.zeros((4, 1), "float32"), verbose=0)
        return float(layer.get_weights()[0][0, 0])

    assert updated(optimizers.SGD(1e6)) == 1.0
    scaled = optimizers.LossScaleOptimizer(optimizers.SGD(1e6), initial_scale=2.0**12)
    assert updated(scaled) == pytest.approx(1.0 - 0.01, rel=1e-3)


def test_a_gradient_that_overflows_skips_its_step():
    inner = optimizers.SGD(0.01, momentum=0.9)
    model, _ = model_of("mixed_float16", optimizers.LossScaleOptimizer(inner, initial_scale=2.0**4))
    model.fit(X, Y, epochs=1, batch_size=32, verbose=0)
    weights, state, steps = model.get_weights(), [v.numpy() for v in inner.variables], int(inner.iterations)
    bad = X.copy()
    bad[0, 0] = np.inf
    model.fit(bad, Y, epochs=1, batch_size=32, verbose=0)
    for a, b in zip([*weights, *state], [*model.get_weights(), *(v.numpy() for v in inner.variables)], strict=True):
        np.testing.assert_array_equal(a, b)
    assert int(inner.iterations) == steps
    assert float(model.optimizer.dynamic_scale) == 2.0**3
    model.fit(X, Y, epochs=1, batch_size=32, verbose=0)
    assert int(inner.iterations) == steps + 1
