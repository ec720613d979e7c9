"""Files as an attacker would write them."""

import base64
import json
import marshal
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import multikeras as mk


def model():
    """A small model whose files the tests change."""
    built = mk.Sequential([mk.Input((3,)), mk.layers.Dense(4, name="first"), mk.layers.Dense(2, name="last")], name="victim")
    return built


def unpacked(path: Path) -> dict[str, bytes]:
    """Return the members of a `.keras` file."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    """Write a `.keras` file of these members."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def with_config(folder: Path, change: Any, base: Any = None) -> Path:
    """Write a model and return its file after `change(config)` changed, or replaced, its config."""
    (base or model()).save(folder / "base.keras")
    members = unpacked(folder / "base.keras")
    config = json.loads(members["config.json"])
    config = change(config) or config
    members["config.json"] = json.dumps(config).encode()
    return packed(folder / "crafted.keras", members)


def with_layer(folder: Path, layer: dict) -> Path:
    """Write a model with one more layer in its config."""

    def change(config):
        config["config"]["layers"].insert(1, layer)

    return with_config(folder, change)


def lambda_layer(function: Any, **more) -> dict:
    """The config of a Lambda layer."""
    config = {"name": "lambda", "trainable": True, "function": function, "arguments": {}, **more}
    return {"module": "keras.layers", "class_name": "Lambda", "config": config, "registered_name": None}


def named_function(module: str | None, name: str) -> dict:
    """The config of a function that a file names."""
    return {"module": module, "class_name": "function", "config": name, "registered_name": "function"}


def code_that_writes(marker: Path) -> dict:
    """The config of a function given as its code, which leaves a file behind when it runs."""
    code = compile(f"lambda x: (open({str(marker)!r}, 'w').close(), x)[1]", "crafted", "eval").co_consts[0]
    packed_code = base64.encodebytes(marshal.dumps(code)).decode("ascii")
    return {"class_name": "__lambda__", "config": {"value": [packed_code, None, None]}}


def legacy(path: Path, layer: dict) -> Path:
    """Write a whole-model `.h5` file, as Keras 2 did, of a Sequential model with this layer."""
    first = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 3], "name": "x", "dtype": "float32"}}
    config = {"class_name": "Sequential", "config": {"name": "victim", "layers": [first, layer]}}
    with h5py.File(path, "w") as h5:
        h5.attrs["model_config"] = json.dumps(config)
        h5.attrs["keras_version"] = "2.15.0"
        h5.attrs["backend"] = "tensorflow"
        weights = h5.create_group("model_weights")
        weights.attrs["layer_names"] = np.array([], "S1")
    return path


def weights_of(folder: Path, change: Any) -> Path:
    """Write the weights of `model()` without checksums, and let `change(h5)` change them."""
    model().save(folder / "base.keras")
    path = folder / "crafted.weights.h5"
    path.write_bytes(unpacked(folder / "base.keras")["model.weights.h5"])
    with h5py.File(path, "r+") as h5:
        change(h5)
    return path


KERNEL = "layers/dense/vars/0"
