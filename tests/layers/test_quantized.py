"""Layers in few bits: close to what they were, saved and loaded, trained around; and refusals that say why."""

import warnings

import numpy as np
import pytest

import multikeras as mk
from multikeras import layers, models, ops, quantizers
from multikeras.backend import current
from multikeras.layers.quantization.geometry import einsum
from multikeras.quantizers import rounding

RANDOM = np.random.default_rng(3)
trains = pytest.mark.skipif(not current.supports_gradients, reason="this backend computes no gradients")
CLOSE = {"int8": 0.03, "int4": 0.4, "float8": 0.2}
"""How far outputs of standard normal inputs and small weights may be off."""
MAKERS = {
    "dense": (lambda **more: layers.Dense(6, **more), (4, 5)),
    "einsum": (lambda **more: layers.EinsumDense("...c,cde->...de", (3, 4), bias_axes="e", **more), (4, 2, 5)),
    "embedding": (lambda **more: layers.Embedding(9, 6, **more), (4, 3)),
    "reversible": (lambda **more: layers.ReversibleEmbedding(9, 6, tie_weights=False, **more), (4, 3)),
}


def _make(name, **more):
    mk.utils.set_random_seed(3)
    make, shape = MAKERS[name]
    layer = make(**more)
    layer.build(shape)
    rng = np.random.default_rng(3)
    indices = "mbedding" in type(layer).__name__
    return layer, rng.integers(0, 9, shape) if indices else rng.normal(size=shape).astype("float32")


CASES = [
    pytest.param(n, mode, marks=() if n == "dense" else pytest.mark.slow)
    for n in MAKERS for mode in CLOSE if n in ("dense", "einsum") or mode != "float8"
]  # fmt: skip


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_outputs_stay_close_and_files_hold_all(tmp_path, name, mode):
    layer, x = _make(name)
    before = ops.convert_to_numpy(layer(x))
    layer.quantize(mode)
    after = ops.convert_to_numpy(layer(x))
    np.testing.assert_allclose(after, before, atol=CLOSE[mode])
    assert layer.quantization_mode == mode
    assert layer.dtype_policy.name.startswith(mode)
    model = models.Sequential([layer])
    model(x)
    model.save(tmp_path / "m.keras")
    again = models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(ops.convert_to_numpy(again(x)), after)
    np.testing.assert_allclose(again.predict(x, verbose=0), after, atol=1e-6)
    other, _ = _make(name)
    other.quantize(mode)
    other.set_weights(layer.get_weights())
    np.testing.assert_array_equal(ops.convert_to_numpy(other(x)), after)


@trains
@pytest.mark.parametrize("mode", ["int8", "int4"])
@pytest.mark.parametrize("name", ["dense", *(pytest.param(n, marks=pytest.mark.slow) for n in ("einsum", "embedding"))])
def test_low_rank_correction_is_trained_and_merged_when_saved(tmp_path, name, mode):
    layer, x = _make(name)
    layer.quantize(mode)
    layer.enable_lora(2)
    model = models.Sequential([layer])
    y = RANDOM.normal(size=tuple(layer(x).shape)).astype("float32")
    frozen = [v.numpy() for v in layer.non_trainable_variables]
    start = layer.lora_b.numpy()
    model.compile("sgd", "mse")
    model.fit(x, y, epochs=2, verbose=0)
    assert not np.array_equal(layer.lora_b.numpy(), start)
    for v, value in zip(layer.non_trainable_variables, frozen):
        np.testing.assert_array_equal(v.numpy(), value)
    model.save_weights(tmp_path / "m.weights.h5")
    plain, _ = _make(name)
    plain.quantize(mode)
    merged = models.Sequential([plain])
    merged(x)
    merged.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_allclose(ops.convert_to_numpy(merged(x)), ops.convert_to_numpy(model(x)), atol=CLOSE[mode])


@trains
@pytest.mark.parametrize("config", [None, quantizers.Int8QuantizationConfig(activation_quantizer=None)])
@pytest.mark.parametrize("name", ["dense", "einsum"])
def test_gradient_is_that_of_the_rounded_weight(name, config):
    layer, x = _make(name)
    layer.quantize("int8", config=config)
    kernel = layer.geometry.scale_in_kernel(layer.kernel_scale)
    kernel = ops.divide(ops.cast(layer._kernel, "float32"), kernel)
    weights = ops.array(RANDOM.normal(size=tuple(layer(x).shape)), "float32")
    slope = ops.grad(lambda x: ops.sum(layer(x) * weights))(ops.convert_to_tensor(x))
    product = (lambda x: ops.matmul(x, kernel)) if name == "dense" else lambda x: ops.einsum(layer.equation, x, kernel)
    expected = ops.grad(lambda x: ops.sum(product(x) * weights))(ops.convert_to_tensor(x))
    np.testing.assert_allclose(ops.convert_to_numpy(slope), ops.convert_to_numpy(expected), rtol=1e-4, atol=1e-5)


@trains
@pytest.mark.parametrize("equation", ["abc,cd->abd", "abc,dc->ad", "ab,b->a", "a,b->ab", "...bc,bc->...b", "abc,acd->abd"])
def test_gradient_of_a_product_by_its_rule(equation):
    sizes = dict(zip("abcdABD", (2, 3, 4, 5, 1, 1, 1)))
    given, kernel = equation.split("->")[0].split(",")
    given = given.replace("...", "A")
    x, k = (ops.array(RANDOM.normal(size=[sizes[c] for c in term]), "float32") for term in (given, kernel))
    geometry = einsum(equation, len(given), k.shape)
    upstream = ops.array(RANDOM.normal(size=tuple(geometry.product(x, k).shape)), "float32")
    expected = ops.grad(lambda x: ops.sum(ops.einsum(equation, x, k) * upstream))(x)
    slope = geometry.slope(upstream, k, x)
    np.testing.assert_allclose(ops.convert_to_numpy(slope), ops.convert_to_numpy(expected), rtol=1e-4, atol=1e-5)


@trains
def test_float8_training_follows_the_largest_values():
    layer, x = _make("dense")
    layer.quantize("float8")
    y = RANDOM.normal(size=(4, 6)).astype("float32")
    model = models.Sequential([layer])
    model.compile("sgd", "mse")
    largest = np.abs(layer._kernel.numpy()).max()
    model.fit(x, y, batch_size=4, epochs=1, verbose=0)
    assert layer.inputs_amax_history.numpy()[0] == np.abs(x).max()
    assert layer.kernel_amax_history.numpy()[0] == largest
    assert float(layer.inputs_scale.numpy()) == 1.0
    model.fit(x, y, batch_size=4, epochs=1, verbose=0)
    np.testing.assert_allclose(float(layer.inputs_scale.numpy()), np.abs(x).max() / 448, rtol=1e-6)
    assert float(layer.outputs_grad_scale.numpy()) != 1.0


@pytest.mark.parametrize(("policy", "block"), [("int8_from_float32", None), ("int4/5_from_float32", 5)])
def test_layers_are_built_under_a_policy_and_exchanged_by_one(policy, block):
    built, x = _make("dense", dtype=policy)
    assert {v.name for v in built.variables} >= {"kernel", "kernel_scale", "bias"}
    assert str(built._kernel.dtype) == "int8"
    exchanged, _ = _make("dense")
    before = ops.convert_to_numpy(exchanged(x))
    exchanged.dtype_policy = policy
    np.testing.assert_allclose(ops.convert_to_numpy(exchanged(x)), before, atol=0.4)
    if block:
        assert exchanged.quantization_config.block_size == block
    built.set_weights(exchanged.get_weights())
    np.testing.assert_array_equal(ops.convert_to_numpy(built(x)), ops.convert_to_numpy(exchanged(x)))


def test_a_map_of_policies_goes_by_paths():
    policies = mk.dtype_policies.DTypePolicyMap("float32")
    policies["outer/.*"] = "int8_from_float32"
    policies["half"] = "mixed_bfloat16"

    class Outer(layers.Layer):
        def __init__(self):
            super().__init__(name="outer")
            self.dense = layers.Dense(2, dtype=policies)

        def call(self, x):
            return self.dense(x)

    layer, half = Outer(), layers.Dense(2, dtype=policies, name="half")
    layer(np.ones((1, 3), "float32"))
    half(np.ones((1, 3), "float32"))
    assert layer.dense.quantization_mode == "int8"
    assert str(layer.dense._kernel.dtype) == "int8"
    assert (half.compute_dtype, half.variable_dtype) == ("bfloat16", "float32")


def _model():
    inputs = mk.Input((4,))
    x = layers.Dense(8, name="first")(inputs)
    x = layers.Dropout(0.5)(x)
    return mk.Model(inputs, layers.Dense(3, name="last")(x))


@pytest.mark.parametrize(
    ("filters", "chosen"),
    [(None, {"first", "last"}), ("fir", {"first"}), (["^last$"], {"last"}), (lambda layer: layer.name == "first", {"first"})],
)
def test_models_quantize_the_layers_that_filters_choose(filters, chosen):
    model, x = _model(), RANDOM.normal(size=(2, 4)).astype("float32")
    before = model.predict(x, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.quantize("int8", filters=filters)
    assert {layer.name for layer in model.layers if layer.quantization_mode == "int8"} == chosen
    after = model.predict(x, verbose=0)
    assert not np.array_equal(after, before)
    np.testing.assert_allclose(after, ops.convert_to_numpy(model(x)), atol=1e-5)


def test_layers_without_a_form_are_warned_of():
    with pytest.warns(UserWarning, match="Dropout does not have a `quantize` method"):
        _model().quantize("int8")


class _Own(layers.Dense):
    pass


@pytest.mark.parametrize(
    ("act", "kind", "message"),
    [
        (lambda: layers.Dense(2).quantize("int8"), ValueError, "isn't yet built"),
        (lambda: _make("dense")[0].quantize("int7"), ValueError, "Invalid quantization mode"),
        (lambda: _make("dense")[0].quantize(), ValueError, "mode"),
        (lambda: _make("dense")[0].quantize("int8", config={"a": 1}), ValueError, "QuantizationConfig"),
        (lambda: _make("dense")[0].quantize("int8", config=quantizers.Int4QuantizationConfig()), ValueError, "Contradictory"),
        (lambda: _make("dense", dtype="int8_from_float32")[0].quantize("int8"), ValueError, "already quantized"),
        (lambda: _make("embedding")[0].quantize("float8"), NotImplementedError, "Invalid quantization mode"),
        (lambda: _model().quantize("int8", other=1), ValueError, "Unrecognized keyword"),
        (lambda: _model().quantize("int8", filters=3), ValueError, "filters"),
        (lambda: models.Sequential([layers.Dense(2)]).quantize("int8"), ValueError, "isn't yet built"),
    ],
)
def test_refusals(act, kind, message):
    with pytest.raises(kind, match=message):
        act()


def test_subclasses_are_quantized_on_demand_only():
    layer = _Own(3)
    layer.build((None, 4))
    policy = layer.dtype_policy
    with pytest.raises(NotImplementedError, match="_Own"):
        layer.quantize("int8")
    assert layer.dtype_policy == policy
    layer.quantize("int8", type_check=False)
    assert layer.quantization_mode == "int8"


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_packing_is_undone(axis, dtype):
    low = -8 if dtype == "int8" else 0
    for shape in ((3, 4), (5, 2, 3)):
        x = RANDOM.integers(low, low + 16, shape).astype(dtype)
        packed, there, length = quantizers.pack_int4(x, axis, dtype)
        assert tuple(packed.shape) == there
        assert there[axis] == -(-shape[axis] // 2)
        back = quantizers.unpack_int4(packed, length, axis, dtype)
        np.testing.assert_array_equal(ops.convert_to_numpy(back), x)


def test_a_quantized_layer_is_copied_with_its_form():
    import copy
    import pickle

    layer, x = _make("dense")
    layer.quantize("int8")
    expected = ops.convert_to_numpy(layer(x))
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert other.call.args[0] is other
        np.testing.assert_array_equal(ops.convert_to_numpy(other(x)), expected)
        other.bias.assign(other.bias + 1)
        assert not np.array_equal(ops.convert_to_numpy(other(x)), expected)


class _Block(layers.Layer):
    def __init__(self):
        super().__init__()
        self.attend = layers.MultiHeadAttention(2, 4)
        self.wide, self.narrow = layers.Dense(16, "relu"), layers.Dense(8)

    def call(self, x):
        x = x + self.attend(x, x)
        return x + self.narrow(self.wide(x))


def _transformer():
    inputs = mk.Input((6,), dtype="int32")
    embedding, block = layers.Embedding(20, 8), _Block()
    outputs = layers.Dense(3)(layers.GlobalAveragePooling1D()(block(embedding(inputs))))
    return mk.Model(inputs, outputs), {"pre_block_layers": [embedding], "sequential_blocks": [block]}, block


CALIBRATED = [
    ("gptq", {}), ("gptq", {"group_size": 4, "activation_order": True}), ("gptq", {"weight_bits": 8, "symmetric": True}),
    ("awq", {"group_size": 4}), ("awq", {"group_size": -1, "num_grid_points": 5}),
]  # fmt: skip


@pytest.mark.parametrize(("mode", "more"), CALIBRATED)
def test_blocks_are_calibrated_by_data(tmp_path, mode, more):
    model, structure, block = _transformer()
    x = RANDOM.integers(0, 20, (8, 6))
    before = model.predict(x, verbose=0)
    config = {"gptq": quantizers.GPTQConfig, "awq": quantizers.AWQConfig}[mode]
    data = ["".join(chr(n) for n in row) for row in x]
    config = config(data, lambda text: [ord(c) for c in text], num_samples=8, sequence_length=6,
                    quantization_layer_structure=structure, **more)  # fmt: skip
    model.quantize(mode, config=config, filters=lambda layer: layer is not block.narrow)
    after = model.predict(x, verbose=0)
    assert block.wide.quantization_mode == mode
    assert block.narrow.quantization_mode is None
    assert not hasattr(block.wide, "_kernel")
    np.testing.assert_allclose(after, before, atol=0.2)
    model.save_weights(tmp_path / "m.weights.h5")
    block.wide.quantized_kernel.assign(ops.zeros_like(block.wide.quantized_kernel))
    model.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_allclose(model.predict(x, verbose=0), after, atol=1e-6)
    fresh = layers.Dense.from_config(block.wide.get_config())
    fresh.build((None, 8))
    rows = RANDOM.normal(size=(2, 8)).astype("float32")
    with pytest.raises(ValueError, match="no weights yet"):
        fresh(rows)
    store = {}
    block.wide.save_own_variables(store)
    fresh.load_own_variables(store)
    np.testing.assert_allclose(ops.convert_to_numpy(fresh(rows)), ops.convert_to_numpy(block.wide(rows)), atol=1e-6)


@pytest.mark.parametrize("group_size", [-1, 4])
def test_calibrated_rounding_serves_its_inputs_better_than_the_nearest(group_size):
    weights = RANDOM.normal(size=(10, 16))
    x = RANDOM.normal(size=(200, 16)) @ RANDOM.normal(size=(16, 16)) * np.exp(RANDOM.normal(size=16))
    seen, nothing = rounding.Seen(16), rounding.Seen(16)
    seen.add(x)

    def error(rounded):
        assert rounded.integers.min() >= 0
        assert rounded.integers.max() <= 15
        return np.square(x @ (rounded.floats() - weights).T).mean()

    nearest = error(rounding.awq(weights, nothing, group_size=group_size))
    assert error(rounding.gptq(weights, seen, group_size=group_size)) < 0.9 * nearest
    assert error(rounding.gptq(weights, seen, group_size=group_size, largest_first=True)) < 0.9 * nearest
    assert error(rounding.awq(weights, seen, group_size=group_size)) <= nearest


@pytest.mark.parametrize("mode", ["gptq", "awq"])
def test_refusals_of_calibration(mode):
    config = {"gptq": quantizers.GPTQConfig, "awq": quantizers.AWQConfig}[mode]
    layer, _ = _make("dense")
    with pytest.raises(ValueError, match="not supported"):
        layer.dtype_policy = f"{mode}/4/-1_from_float32"
    with pytest.raises(ValueError, match="you must pass"):
        _model().quantize(mode)
    with pytest.raises(ValueError, match="quantization structure"):
        _model().quantize(mode, config=config(["a"], lambda x: x))
    layer, _ = _make("dense")
    layer.quantize(mode, config=config(None, None))
    with pytest.raises(NotImplementedError, match="lora"):
        layer.enable_lora(2)
    for arguments in ({"weight_bits": 5}, {"group_size": 0}, {"num_samples": 0}, {"sequence_length": -1}):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            config(None, None, **arguments)
