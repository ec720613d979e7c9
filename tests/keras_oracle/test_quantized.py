"""Quantized layers beside Keras: the same weights give the same integers, outputs, gradients, configs and files."""

import warnings

import numpy as np
import pytest

import multikeras
from multikeras.backend import current

RANDOM = np.random.default_rng(7)

LAYERS = {
    "dense": ("Dense", {"units": 6}, (2, 4), "float32"),
    "dense deep": ("Dense", {"units": 5, "use_bias": False, "activation": "tanh"}, (2, 3, 7), "float32"),
    "projection": ("EinsumDense", {"equation": "abc,cde->abde", "output_shape": (None, 3, 6), "bias_axes": "e"}, (2, 5, 4),
                   "float32"),
    "turned": ("EinsumDense", {"equation": "btd,ndh->btnh", "output_shape": (None, 2, 8)}, (2, 3, 4), "float32"),
    "two summed": ("EinsumDense", {"equation": "btnh,nhd->btd", "output_shape": (None, 8)}, (2, 3, 2, 4), "float32"),
    "shuffled": ("EinsumDense", {"equation": "abcde,afce->acdbf", "output_shape": (2, 4, 8, 6), "bias_axes": "d"},
                 (1, 8, 2, 4, 5), "float32"),
    "embedding": ("Embedding", {"input_dim": 7, "output_dim": 6}, (2, 3), "int32"),
    "tied": ("ReversibleEmbedding", {"input_dim": 7, "output_dim": 6}, (2, 3), "int32"),
    "untied": ("ReversibleEmbedding", {"input_dim": 7, "output_dim": 6, "tie_weights": False}, (2, 3), "int32"),
}  # fmt: skip


def _configs(library, mode):
    q = library.quantizers
    if mode == "float8":
        return {"plain": None}
    if mode == "int8":
        return {
            "plain": None,
            "weights only": q.Int8QuantizationConfig(activation_quantizer=None),
            "narrow": q.Int8QuantizationConfig(activation_quantizer=q.AbsMaxQuantizer(value_range=(-5, 5))),
        }
    return {
        "plain": None,
        "by column": q.Int4QuantizationConfig(block_size=None),
        "by two": q.Int4QuantizationConfig(block_size=2),
        "inputs too": q.Int4QuantizationConfig(block_size=None, activation_quantizer=q.AbsMaxQuantizer()),
    }


QUICK = ("dense", "embedding")
CASES = [
    pytest.param(
        name, mode, config, id=f"{name}-{mode}-{config}", marks=() if name in QUICK and config == "plain" else pytest.mark.slow
    )
    for name, (layer, *_) in LAYERS.items()
    for mode in ("int8", "int4", "float8")
    for config in _configs(multikeras, mode)
    if not ("Embedding" in layer and mode == "float8")
]  # fmt: skip


def _slow(*names):
    return [pytest.param(name, marks=pytest.mark.slow) for name in names]


def _inputs(name):
    _, _, shape, dtype = LAYERS[name]
    return RANDOM.integers(0, 7, shape).astype("int32") if dtype == "int32" else RANDOM.normal(size=shape).astype(dtype)


def _pair(keras, name, x, **more):
    kind, arguments, *_ = LAYERS[name]
    pair = [getattr(library.layers, kind)(**arguments, name="quantized", **more) for library in (multikeras, keras)]
    for layer in pair:
        layer.build(x.shape)
    return pair


def _to_numpy(keras, x):
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(x, "float32")))


def _assert_same_variables(ours, theirs):
    assert [(v.name, tuple(v.shape), str(v.dtype), v.trainable) for v in ours.variables] == [
        (v.name, tuple(v.shape), str(v.dtype), v.trainable) for v in theirs.variables
    ]
    for a, b in zip(ours.get_weights(), theirs.get_weights()):
        np.testing.assert_allclose(a.astype("float32"), np.asarray(b).astype("float32"), rtol=1e-6, atol=1e-7)


def _assert_same_outputs(keras, ours, theirs, x, **arguments):
    np.testing.assert_allclose(
        multikeras.ops.convert_to_numpy(ours(x, **arguments)), _to_numpy(keras, theirs(x, **arguments)), rtol=1e-5, atol=1e-5
    )


def _plain(config):
    """Return a config with lists for tuples, as JSON has it."""
    if isinstance(config, dict):
        return {k: _plain(v) for k, v in config.items()}
    return [_plain(v) for v in config] if isinstance(config, (list, tuple)) else config


@pytest.mark.parametrize(("name", "mode", "config"), CASES)
def test_same_numbers_and_files(keras, tmp_path, name, mode, config):
    x = _inputs(name)
    ours, theirs = _pair(keras, name, x)
    values = [RANDOM.normal(size=v.shape).astype("float32") for v in ours.variables]
    ours.set_weights(values)
    theirs.set_weights(values)
    ours.quantize(mode, config=_configs(multikeras, mode)[config])
    theirs.quantize(mode, config=_configs(keras, mode)[config])
    _assert_same_variables(ours, theirs)
    assert ours.dtype_policy.name == theirs.dtype_policy.name
    _assert_same_outputs(keras, ours, theirs, x)
    if "Reversible" in type(ours).__name__:
        back = RANDOM.normal(size=(2, 6)).astype("float32")
        _assert_same_outputs(keras, ours, theirs, back, reverse=True)
    mine, other = _plain(ours.get_config()), _plain(theirs.get_config())
    assert mine["dtype"] == other["dtype"]
    assert mine["quantization_config"] == other["quantization_config"]

    dtype = LAYERS[name][3]
    models = [library.Sequential([library.Input(x.shape[1:], batch_size=x.shape[0], dtype=dtype), layer], name="m")
              for library, layer in ((multikeras, ours), (keras, theirs))]  # fmt: skip
    expected = multikeras.ops.convert_to_numpy(models[0](x))
    models[0].save(tmp_path / "ours.keras")
    models[1].save(tmp_path / "theirs.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from_them = multikeras.models.load_model(tmp_path / "theirs.keras")
        from_us = keras.models.load_model(tmp_path / "ours.keras")
    np.testing.assert_allclose(multikeras.ops.convert_to_numpy(from_them(x)), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(_to_numpy(keras, from_us(x)), expected, rtol=1e-5, atol=1e-5)
    models[0].save_weights(tmp_path / "ours.weights.h5")
    models[1].save_weights(tmp_path / "theirs.weights.h5")
    models[1].load_weights(tmp_path / "ours.weights.h5")
    models[0].load_weights(tmp_path / "theirs.weights.h5")
    np.testing.assert_allclose(multikeras.ops.convert_to_numpy(models[0](x)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mode", ["int8", "int4"])
@pytest.mark.parametrize("name", ["dense", *_slow("projection", "embedding", "tied")])
def test_low_rank_correction_on_top(keras, name, mode):
    x = _inputs(name)
    ours, theirs = _pair(keras, name, x)
    values = [RANDOM.normal(size=v.shape).astype("float32") for v in ours.variables]
    for layer in (ours, theirs):
        layer.set_weights(values)
        layer.quantize(mode)
        layer.enable_lora(2)
    target = "embeddings" if hasattr(theirs, "embeddings") else "kernel"
    for letter in "ab":
        a, b = (getattr(layer, f"lora_{target}_{letter}") for layer in (ours, theirs))
        value = RANDOM.normal(size=a.shape).astype("float32")
        a.assign(value)
        b.assign(value)
    assert [v.name for v in ours.variables] == [v.name for v in theirs.variables]
    _assert_same_outputs(keras, ours, theirs, x)
    mine, other = {}, {}
    ours.save_own_variables(mine)
    theirs.save_own_variables(other)
    assert mine.keys() == other.keys()
    for key, value in mine.items():
        wrong = np.abs(value.astype("float32") - np.asarray(keras.ops.convert_to_numpy(other[key])).astype("float32"))
        # A value half way between two integers may go either way.
        assert np.mean(wrong > 1e-5) < 0.02, key
        assert wrong.max() <= (16 if value.dtype == np.int8 else 1e-4), key


@pytest.mark.parametrize("policy", ["int8_from_float32", "int4_from_float32", "int4/2_from_float32", "float8_from_float32"])
@pytest.mark.parametrize("name", ["dense", *_slow("projection", "untied")])
def test_built_under_a_policy(keras, name, policy):
    if name == "untied" and "float8" in policy:
        pytest.skip("embeddings have no float8 form")
    x = _inputs(name)
    ours, theirs = _pair(keras, name, x, dtype=policy)
    theirs.set_weights([np.asarray(v, str(t.dtype)) for v, t in zip(ours.get_weights(), theirs.variables)])
    _assert_same_variables(ours, theirs)


def _train(library, layer, x, y, backend):
    model = library.Sequential([library.Input(x.shape[1:]), layer])
    model.compile(optimizer=library.optimizers.SGD(0.1), loss="mse")
    model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)
    return model


@pytest.mark.parametrize("mode", ["float8", "int8"])
def test_same_training(keras, mode):
    x, y = RANDOM.normal(size=(8, 4)).astype("float32"), RANDOM.normal(size=(8, 6)).astype("float32")
    ours, theirs = _pair(keras, "dense", x)
    values = [RANDOM.normal(size=v.shape).astype("float32") for v in ours.variables]
    for layer in (ours, theirs):
        layer.set_weights(values)
        layer.quantize(mode)
        if mode == "int8":
            layer.enable_lora(2, a_initializer="ones")
    for library, layer in ((multikeras, ours), (keras, theirs)):
        _train(library, layer, x, y, current.name)
    for a, b in zip(ours.variables, theirs.variables):
        np.testing.assert_allclose(a.numpy(), np.asarray(b.numpy()), rtol=2e-3, atol=2e-4, err_msg=a.name)


CALIBRATED = {
    "gptq": {}, "gptq by four": {"group_size": 4}, "gptq large first": {"group_size": 4, "activation_order": True},
    "gptq of 8 bits": {"weight_bits": 8, "symmetric": True}, "awq": {"group_size": -1}, "awq by four": {"group_size": 4},
}  # fmt: skip


class _Letters:
    def tokenize(self, text):
        return [ord(c) for c in text]


@pytest.mark.parametrize("name", [n if n in ("gptq", "awq") else pytest.param(n, marks=pytest.mark.slow) for n in CALIBRATED])
def test_calibration_loses_no_more_than_keras(keras, name):
    mode, random = name[:4].strip(), np.random.default_rng(7)
    table, kernel = random.normal(size=(24, 12)), random.normal(size=(12, 10))
    table = (table @ random.normal(size=(12, 12)) * np.exp(random.normal(size=12))).astype("float32")
    tokens = random.integers(0, 24, (16, 6)).astype("int32")
    exact, changes, forms = table[tokens] @ kernel, [], []
    for library in (multikeras, keras):
        embedding, dense = library.layers.Embedding(24, 12), library.layers.Dense(10, use_bias=False)
        model = library.Sequential([library.Input((6,), dtype="int32"), embedding, dense])
        model.set_weights([table, kernel.astype("float32")])
        config = {"gptq": library.quantizers.GPTQConfig, "awq": library.quantizers.AWQConfig}[mode]
        block = library.Sequential([dense])
        block.build((None, 6, 12))
        structure = {"pre_block_layers": [embedding], "sequential_blocks": [block]}
        text = ["".join(map(chr, row)) for row in tokens]
        config = config(text, _Letters(), num_samples=16, sequence_length=6,
                        quantization_layer_structure=structure, **CALIBRATED[name])  # fmt: skip
        model.quantize(mode, config=config)
        result = library.ops.convert_to_numpy(dense(library.ops.convert_to_numpy(embedding(tokens))))
        changes.append(np.square(result - exact).mean() / np.square(exact).mean())
        forms.append([(v.name, tuple(v.shape), str(v.dtype)) for v in dense.variables])
    assert forms[0] == forms[1]
    assert changes[0] <= 1.02 * changes[1]
    assert changes[0] < 0.02
