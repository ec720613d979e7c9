"""What a file may make us do: sizes, counts and depths are held against what it is, before they cost anything."""

import json
import os
import struct
import time

import crafted
import h5py
import numpy as np
import pytest

import multikeras as mk

model_from_json = mk.models.model_from_json


def layer(name, **config):
    return {"module": "keras.layers", "class_name": name, "config": {"name": "hostile", **config}, "registered_name": None}


def sequential(shape, *layers, **more):
    first = {**layer("InputLayer"), "config": {"name": "x", "batch_shape": [None, *shape], "dtype": "float32"}}
    config = {"name": "victim", "layers": [first, *layers]}
    return {"module": "keras", "class_name": "Sequential", "config": config, "registered_name": "Sequential", **more}


def metric(name, **config):
    record = {"module": "keras.metrics", "class_name": name, "config": config, "registered_name": None}
    return {"optimizer": "sgd", "loss": "mse", "metrics": [record]}


def graph(shape, name, args, **config):
    """A Functional model of one input and one op."""
    first = {**layer("InputLayer"), "config": {"name": "x", "batch_shape": [None, *shape], "dtype": "float32"}}
    first.update(name="x", inbound_nodes=[])
    op = {"module": "keras.src.ops.numpy", "class_name": name, "config": {"name": "op", **config}, "registered_name": name}
    op.update(name="op", inbound_nodes=[{"args": args, "kwargs": {}}])
    config = {"name": "f", "layers": [first, op], "input_layers": [["x", 0, 0]], "output_layers": [["op", 0, 0]]}
    return {"module": "keras.src.models.functional", "class_name": "Functional", "config": config, "registered_name": None}


X = {"class_name": "__keras_tensor__", "config": {"shape": [None, 8], "dtype": "float32", "keras_history": ["x", 0, 0]}}
HUGE = 10**10
HOSTILE = {
    "dense": sequential((4,), layer("Dense", units=HUGE)),
    "embedding": sequential((4,), layer("Embedding", input_dim=HUGE, output_dim=HUGE)),
    "inside another": sequential((4, 4), layer("TimeDistributed", layer=layer("Dense", units=HUGE))),
    "many small ones": sequential((1000,), *({**layer("Dense", units=1000), "config": {"units": 1000}} for _ in range(40))),
    "unrolled": sequential((10**9, 2), layer("SimpleRNN", units=2, unroll=True)),
    "split": graph((10**9,), "Split", [X], indices_or_sections=10**9, axis=-1),
    "array_split": graph((10**9,), "ArraySplit", [X], indices_or_sections=10**9, axis=-1),
    "diff": graph((8,), "Diff", [X], n=10**9),
    "thresholds": sequential((4,), layer("Dense", units=2), compile_config=metric("AUC", num_thresholds=HUGE)),
    "classes": sequential((4,), layer("Dense", units=2), compile_config=metric("MeanIoU", num_classes=10**5)),
    "no tensor": graph((8,), "Zeros", [[10**6, 10**6]]),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_configs_that_would_take_memory_or_time(tmp_path, name):
    begin = time.process_time()
    with pytest.raises(ValueError, match=r"crafted\.keras"):
        mk.saving.load_model(crafted.with_config(tmp_path, lambda _: HOSTILE[name]))
    assert time.process_time() - begin < 10


def test_nesting_has_an_end(tmp_path):
    deep = json.dumps(layer("Dense", units=1))
    for _ in range(300):
        deep = f'{{"class_name": "Sequential", "module": "keras", "config": {{"name": "s", "layers": [{deep}]}}}}'
    members = crafted.unpacked(crafted.with_config(tmp_path, lambda config: config))
    for text in (deep, "[" * 10**6, '{"a":' * 10**5 + "1" + "}" * 10**5):
        with pytest.raises(ValueError, match=r"crafted\.keras"):
            mk.saving.load_model(crafted.packed(tmp_path / "crafted.keras", {**members, "config.json": text.encode()}))


def test_records_that_are_none(tmp_path):
    with pytest.raises(ValueError, match=r"layers\[1\].*must be str"):
        mk.saving.load_model(crafted.with_layer(tmp_path, {"class_name": 3, "config": {}}))


def functional():
    x = inputs = mk.Input((3,))
    shared = mk.layers.Dense(3, name="shared")
    for i in range(5):
        x = mk.layers.Dense(3, name=f"dense_{i}")(shared(x))
    return mk.Model(inputs, [x, shared(x)], name="chain")


def test_layers_may_be_listed_in_any_order():
    model = functional()
    config = json.loads(model.to_json())
    config["config"]["layers"].reverse()
    again = model_from_json(json.dumps(config))
    weights = {w.path: w.numpy() for w in model.weights}
    for w in again.weights:
        w.assign(weights[w.path])
    for a, b in zip(model(np.ones((1, 3))), again(np.ones((1, 3))), strict=True):
        np.testing.assert_array_equal(mk.ops.convert_to_numpy(a), mk.ops.convert_to_numpy(b))


@pytest.mark.parametrize(
    ("history", "message"),
    [
        (["nobody", 0, 0], "does not list"),
        (["dense_0", 7, 0], "never made"),
        (["dense_0", -1, 0], "no reference"),
        (["dense_0", 0, 9], "output 9 of 1"),
        (["dense_4", 0, 0], "never made"),
        ("dense_0", "no reference"),
        (None, "no reference"),
    ],
)
def test_references_to_what_is_not_there(history, message):
    config = json.loads(functional().to_json())
    record = next(r for r in config["config"]["layers"] if r["name"] == "dense_1")
    record["inbound_nodes"][0]["args"][0]["config"]["keras_history"] = history
    with pytest.raises(ValueError, match=message):
        model_from_json(json.dumps(config))


def test_two_layers_of_one_name():
    config = json.loads(functional().to_json())
    config["config"]["layers"].append(config["config"]["layers"][-1])
    with pytest.raises(ValueError, match="two layers are named"):
        model_from_json(json.dumps(config))


def test_containers_inside_themselves(tmp_path):
    @mk.saving.register_keras_serializable("test_limits")
    class Looping(mk.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.blocks = [mk.layers.Dense(2)]
            self.blocks.append(self.blocks)

        def call(self, x):
            return self.blocks[0](x)

    model = Looping()
    expected = model(np.ones((1, 3)))
    model.save_weights(tmp_path / "m.weights.h5")
    again = Looping()
    again(np.zeros((1, 3)))
    again.load_weights(tmp_path / "m.weights.h5")
    found = again(np.ones((1, 3)))
    np.testing.assert_array_equal(mk.ops.convert_to_numpy(expected), mk.ops.convert_to_numpy(found))


def test_a_chunk_larger_than_its_shape(tmp_path):
    """It is unpacked as a whole: 256 MB from a small file."""
    model = crafted.model()
    path = tmp_path / "crafted.weights.h5"
    model.save_weights(path)
    with h5py.File(path, "r+") as h5:
        shape = h5[crafted.KERNEL].shape
        del h5[crafted.KERNEL]
        h5.create_dataset(crafted.KERNEL, shape, "f4", maxshape=(None, None), chunks=(2**13, 2**13), compression="gzip")[0, 0] = 1
    with pytest.raises(ValueError, match=r"crafted\.weights\.h5.*shape bomb"):
        model.load_weights(path)


def test_archives_of_very_many_files(tmp_path):
    members = crafted.unpacked(crafted.with_config(tmp_path, lambda config: config))
    members |= {f"assets/{i}": b"" for i in range(10**4)}
    with pytest.raises(ValueError, match=r"crafted\.keras.*members"):
        mk.saving.load_model(crafted.packed(tmp_path / "crafted.keras", members))


def test_what_is_no_model(tmp_path):
    adam = {"module": "keras.optimizers", "class_name": "Adam", "config": {}, "registered_name": None}
    with pytest.raises(ValueError, match=r"crafted\.keras.*not a model"):
        mk.saving.load_model(crafted.with_config(tmp_path, lambda _: adam))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_pipes_are_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "m.keras")
    with pytest.raises(ValueError, match=r"m\.keras.*pipe"):
        mk.saving.load_model(tmp_path / "m.keras")
    path = tmp_path / "m.weights.json"
    path.write_text(json.dumps({"weight_map": {"/vars": "m.keras"}}))
    with pytest.raises(ValueError, match=r"m\.weights\.json.*no file"):
        crafted.model().load_weights(path)


def test_more_tensors_than_checksums(tmp_path):
    path = tmp_path / "m.safetensors"
    model = crafted.model()
    model.save_weights(path)
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length]) | {"more": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + length :])
    with pytest.raises(ValueError, match=r"m\.safetensors.*checksums for"):
        model.load_weights(path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["functional", "sequential"])
def test_loading_time_grows_linearly_with_layers(tmp_path, kind):
    def seconds(count):
        layers = [mk.layers.Dense(2) for _ in range(count)]
        if kind == "functional":
            x = inputs = mk.Input((2,))
            for layer in layers:
                x = layer(x)
            model = mk.Model(inputs, x)
        else:
            model = mk.Sequential([mk.Input((2,)), *layers])
        model.save(tmp_path / "m.keras")
        best = float("inf")
        for _ in range(3):
            begin = time.process_time()
            mk.saving.load_model(tmp_path / "m.keras")
            best = min(best, time.process_time() - begin)
        return best

    seconds(20)
    few, many = seconds(150), seconds(900)
    assert many < 6 * few * 1.6, f"150 layers: {few:.2f} s, 900 layers: {many:.2f} s"
