"""Files of models, and ways to damage them, each a function of a `random.Random`."""

import copy
import io
import json
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import multikeras as mk

VALUES: list[Any] = [
    None, True, False, -1, 0, 1, 2, 1.5, -2.5, 2**31, 2**63, 2**70, 10**400, 1e308, float("nan"), float("inf"), "", "x", "relu",
    "/etc/passwd", "../../x", "a" * 1000, "\0", "Ω", [], {}, [[]], [None], [2**40, 2**40], [-1], ["x"], [[[[[]]]]],
    {"class_name": "Dense", "config": {}}, {"class_name": "function", "config": "relu"}, {"class_name": None, "config": None},
    {"module": "keras.layers", "class_name": "Dense", "config": {"units": 2**40}, "registered_name": None},
    {"class_name": "__tensor__", "config": {"value": [[1], [2, 3]], "dtype": "float32"}},
    {"class_name": "__numpy__", "config": {}}, {"class_name": "__keras_tensor__", "config": {"shape": 3}},
    {"class_name": "__lambda__", "config": {"value": ["", None, None]}},
]  # fmt: skip


def rich_model():
    """A model with most of what configs can hold."""
    a, b = mk.Input((6, 4), name="a"), mk.Input((4,), name="b")
    shared = mk.layers.Dense(4, activation="relu", kernel_regularizer="l2", name="shared")
    x = mk.layers.Conv1D(4, 3, padding="same", kernel_initializer="he_normal")(a)
    x = mk.layers.SimpleRNN(4, activation="tanh")(x)
    x = mk.ops.add(shared(x), shared(b)) * 2
    x = mk.layers.BatchNormalization()(x)
    x = mk.Sequential([mk.layers.Dense(3, activation=mk.activations.gelu), mk.layers.Dropout(0.5, seed=3)], name="inner")(x)
    x = mk.layers.Concatenate()([x, b])
    heads = [mk.layers.Dense(2, name="one")(x), mk.layers.Dense(1, activation="sigmoid", name="two", dtype="mixed_float16")(x)]
    built = mk.Model([a, b], heads, name="rich")
    rate = mk.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    built.compile(mk.optimizers.Adam(rate), loss=["mse", mk.losses.BinaryCrossentropy()], metrics=[["mae"], ["accuracy"]])
    built.optimizer.build(built.trainable_variables)
    return built


# -- bytes -------------------------------------------------------------------------------------------------------------


def truncated(data: bytes, r: random.Random) -> bytes:
    return data[: r.randrange(len(data))]


def flipped(data: bytes, r: random.Random) -> bytes:
    """Flip one to eight bits."""
    changed = bytearray(data)
    for _ in range(r.choice([1, 1, 2, 8])):
        changed[r.randrange(len(data))] ^= 1 << r.randrange(8)
    return bytes(changed)


def overwritten(data: bytes, r: random.Random) -> bytes:
    """Write zeros, ones, noise, or another part of the data over a part of it."""
    changed, size = bytearray(data), r.choice([1, 2, 4, 8, 64, 512])
    at, other = r.randrange(len(data)), r.randrange(len(data))
    new = r.choice([b"\0" * size, b"\xff" * size, r.randbytes(size), data[other : other + size]])
    changed[at : at + size] = new[: len(changed[at : at + size])]
    return bytes(changed)


def shifted(data: bytes, r: random.Random) -> bytes:
    """Leave bytes out, or put some in."""
    at, size = r.randrange(len(data)), r.choice([1, 7, 64])
    return r.choice([data[:at] + data[at + size :], data[:at] + r.randbytes(size) + data[at:]])


BYTES: list[Callable] = [truncated, flipped, overwritten, shifted]


def damaged(data: bytes, r: random.Random) -> bytes:
    return r.choice(BYTES)(data, r)


# -- JSON --------------------------------------------------------------------------------------------------------------


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) of all parts of a JSON value."""
    found, pending = [], [value]
    while pending:
        item = pending.pop()
        keys = list(item) if isinstance(item, dict) else range(len(item))
        found += [(item, key) for key in keys]
        pending += [item[key] for key in keys if isinstance(item[key], (dict, list))]
    return found


def mutated_json(value: Any, r: random.Random) -> Any:
    """Replace, remove, add, move or nest one to three parts."""
    value = copy.deepcopy(value)
    for _ in range(r.choice([1, 1, 1, 2, 3])):
        found = places(value)
        if not found:
            break
        container, key = r.choice(found)
        action = r.randrange(6)
        if action == 0 and len(found) > 1:
            del container[key]
        elif action == 1:
            source, other = r.choice(found)
            if other in (source if isinstance(source, dict) else range(len(source))):
                container[key] = copy.deepcopy(source[other])
        elif action == 2 and isinstance(container, dict):
            container[r.choice(["x", "config", "class_name", "module", "units", "name", "shared_object_id"])] = r.choice(VALUES)
        elif action == 3 and isinstance(container, list):
            container[key:key] = [copy.deepcopy(container[key])] * r.choice([1, 5])
        elif action == 4 and isinstance(container, dict):
            container[r.choice([*container, "x"])] = container.pop(key)
        else:
            container[key] = copy.deepcopy(r.choice(VALUES))
    return value


# -- HDF5 --------------------------------------------------------------------------------------------------------------


def _objects(h5: h5py.File) -> list[str]:
    names: list[str] = []
    h5.visit(names.append)
    return names


def _replace(h5: h5py.File, name: str, r: random.Random) -> None:
    del h5[name]
    shape = r.choice([(), (0,), (3,), (2, 2), (2**20,), (2**45,), (7, 7, 7)])
    dtype = r.choice(["f4", "f8", "i8", "u1", "S5", "c8", "V3", "f2", "bool"])
    if np.prod(shape, dtype=float) > 2**21:
        h5.create_dataset(name, shape=shape, dtype="f4", chunks=(1024,), compression=r.choice([None, "gzip"]))
    else:
        h5.create_dataset(name, data=np.zeros(shape, dtype))


def _text(h5: h5py.File, name: str, r: random.Random) -> None:
    del h5[name]
    h5[name] = r.choice(["text", b"bytes", np.array(["a", "b"], h5py.string_dtype())])


def _link(h5: h5py.File, name: str, r: random.Random) -> None:
    del h5[name]
    h5[name] = r.choice([h5py.SoftLink("/"), h5py.SoftLink(f"/{name}"), h5py.ExternalLink("/tmp/x.h5", "/"), h5["/"]])


def _group(h5: h5py.File, name: str, r: random.Random) -> None:
    del h5[name]
    h5.create_group(name + "/x" * r.choice([0, 3, 300]))


def _attribute(h5: h5py.File, name: str, r: random.Random) -> None:
    item = h5[r.choice([name, "/"])]
    key = r.choice([*item.attrs, "dtype", "name", "weight_names"])
    values = ["bfloat16", "x", 3, [1, 2], np.zeros(3), np.array([b"a", b"layers"]), "{}", '{"class_name": 3}', h5.ref]
    item.attrs[key] = r.choice(values)


def _many(h5: h5py.File, name: str, r: random.Random) -> None:
    for i in range(300):
        h5.create_dataset(f"many/{i}", shape=(2**18,), dtype="f8", chunks=(1024,))


HDF5: list[Callable] = [
    lambda h5, name, r: h5.__delitem__(name), _replace, _replace, _text, _link, _group, _attribute, _attribute, _many,
    lambda h5, name, r: h5.move(name, r.choice(["elsewhere", "layers/x", "vars/0"])),
]  # fmt: skip


def mutated_hdf5(data: bytes, r: random.Random) -> bytes:
    """Change one to three groups, data sets or attributes; what was sealed is not any more."""
    stream = io.BytesIO(data)
    with h5py.File(stream, "r+") as h5:
        for _ in range(r.choice([1, 1, 2, 3])):
            names = _objects(h5)
            if names:
                try:
                    r.choice(HDF5)(h5, r.choice(names), r)
                except (ValueError, OSError, KeyError, TypeError, RuntimeError):
                    continue  # not possible in this file any more
    return stream.getvalue()


# -- whole files -------------------------------------------------------------------------------------------------------


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def mutated_keras(data: bytes, r: random.Random) -> bytes:
    """Change the config, the weights or the members of a `.keras` file."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    action = r.randrange(10)
    if action < 6:
        members["config.json"] = json.dumps(mutated_json(json.loads(members["config.json"]), r)).encode()
    elif action < 8:
        members["model.weights.h5"] = mutated_hdf5(members["model.weights.h5"], r)
    elif action < 9:
        name = r.choice(list(members))
        members[r.choice([name, "x", "assets/../../x"])] = damaged(members[name], r)
    else:
        del members[r.choice(list(members))]
    return zipped(members, r.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))


def mutated_safetensors(data: bytes, r: random.Random) -> bytes:
    """Change the header of a safetensors file."""
    (size,) = struct.unpack("<Q", data[:8])
    header = json.dumps(mutated_json(json.loads(data[8 : 8 + size]), r)).encode()
    size = r.choice([len(header)] * 8 + [0, 2**62])
    return struct.pack("<Q", size) + header + data[8 + struct.unpack("<Q", data[:8])[0] :]


def mutated_text(data: bytes, r: random.Random) -> bytes:
    return json.dumps(mutated_json(json.loads(data), r)).encode()


STRUCTURAL: dict[str, Callable] = {
    "m.keras": mutated_keras,
    "m.weights.h5": mutated_hdf5,
    "m.h5": mutated_hdf5,
    "m.json": mutated_text,
    "m.weights.json": mutated_text,
    "m.safetensors": mutated_safetensors,
    "bare.weights.h5": mutated_hdf5,
    "bare.h5": mutated_hdf5,
}
"""How to change a file of each name; `bare` ones have no checksums, as those of Keras."""


def originals(folder: Path) -> tuple[Any, dict[str, bytes]]:
    """Write a model in every format; return it, and the files by name."""
    model = rich_model()
    model.save(folder / "m.keras")
    model.save_weights(folder / "m.weights.h5")
    model.save_weights(folder / "m.safetensors")
    model.save_weights(folder / "m.weights.json", max_shard_size=1e-6)
    plain = mk.Sequential([mk.Input((4,)), mk.layers.Dense(3, activation="relu"), mk.layers.BatchNormalization()])
    plain.compile("sgd", "mse")
    plain.save(folder / "m.h5")
    (folder / "m.json").write_text(model.to_json())
    for ending in ("weights.h5", "h5"):
        (folder / f"bare.{ending}").write_bytes((folder / f"m.{ending}").read_bytes())
        with h5py.File(folder / f"bare.{ending}", "r+"):
            pass  # HDF5 cuts off what is not its own
    return model, {name: (folder / name).read_bytes() for name in STRUCTURAL}


def load(path: Path, model: Any) -> list[np.ndarray]:
    """Load a file by what its name says it is; return the weights."""
    if path.name == "m.json":
        mk.models.model_from_json(path.read_text())
        return []
    if path.name in ("m.keras", "m.h5", "bare.h5"):
        return mk.saving.load_model(path).get_weights()
    model.load_weights(path)
    return model.get_weights()
