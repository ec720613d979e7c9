"""What is saved comes back: here, and in Keras."""

import gzip
import io
import json
import zipfile

import numpy as np
import pytest

import multikeras as mk
from multikeras import backend, layers
from multikeras.random import host

keras_needed = "the installed Keras is the other side of this exchange"


def model():
    inputs = mk.Input((6, 4), name="x")
    x = layers.Bidirectional(layers.GRU(3, return_sequences=True))(inputs)
    x = layers.MultiHeadAttention(2, 3)(x, x)
    x = layers.BatchNormalization()(x)
    x = mk.Sequential([layers.Dense(5, activation="relu"), layers.Dropout(0.0)], name="inner")(x)
    x = layers.GlobalAveragePooling1D()(x)
    built = mk.Model(inputs, layers.Dense(2, name="out")(x), name="zoo")
    built.compile(mk.optimizers.Adam(3e-3), "mse", metrics=["mae"])
    return built


def rows(n=8):
    return host.normal((3, 0), (n, 6, 4))


@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_round_trip(tmp_path, ending):
    first = model()
    if backend.current.supports_gradients:
        first.fit(rows(), np.ones((8, 2)), epochs=2, verbose=0)
    path = tmp_path / f"m{ending}"
    if ending == ".keras":
        first.save(path)
        second = mk.saving.load_model(path)
    else:
        first.save_weights(path)
        second = model()
        second.load_weights(path)
    np.testing.assert_array_equal(first.predict(rows(), verbose=0), second.predict(rows(), verbose=0))
    if ending == ".keras" and backend.current.supports_gradients:
        for a, b in zip(first.optimizer.variables, second.optimizer.variables):
            np.testing.assert_array_equal(a.numpy(), b.numpy())
        for copy in (first, second):
            mk.utils.set_random_seed(1)
            copy.fit(rows(), np.ones((8, 2)), epochs=1, verbose=0, shuffle=False)
        for a, b in zip(first.trainable_weights, second.trainable_weights):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-5)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_open_files_take_and_give_models(tmp_path):
    first, at = model(), b"before"
    stream = io.BytesIO(at)
    stream.seek(len(at))
    mk.saving.save_model(first, stream)
    stream.seek(len(at))
    second = mk.saving.load_model(stream)
    np.testing.assert_array_equal(first.predict(rows(), verbose=0), second.predict(rows(), verbose=0))
    with gzip.open(tmp_path / "m.gz", "wb") as file:
        first.save(file)
    with gzip.open(tmp_path / "m.gz", "rb") as file:
        third = mk.saving.load_model(file)
    np.testing.assert_array_equal(first.predict(rows(), verbose=0), third.predict(rows(), verbose=0))
    with pytest.raises(ValueError, match=r"BytesIO.* is not a `\.keras` file, or it is damaged"):
        mk.saving.load_model(io.BytesIO(stream.getvalue()[: len(at) + 999]))
    with pytest.raises(ValueError, match=r"zipped=False .*BytesIO"):
        mk.saving.save_model(first, io.BytesIO(), zipped=False)


def test_files_are_exchanged_with_keras(tmp_path):
    keras = pytest.importorskip("keras", reason=keras_needed)
    ours = model()
    if backend.current.supports_gradients:
        ours.fit(rows(), np.ones((8, 2)), verbose=0)
    ours.save(tmp_path / "ours.keras")
    theirs = keras.saving.load_model(tmp_path / "ours.keras")
    np.testing.assert_allclose(theirs.predict(rows(), verbose=0), ours.predict(rows(), verbose=0), rtol=1e-4, atol=1e-5)
    theirs.save(tmp_path / "theirs.keras")
    again = mk.saving.load_model(tmp_path / "theirs.keras")
    np.testing.assert_allclose(again.predict(rows(), verbose=0), ours.predict(rows(), verbose=0), rtol=1e-4, atol=1e-5)


def test_custom_layers_need_to_be_named_by_the_caller(tmp_path):
    class Twice(layers.Layer):
        def call(self, x):
            return x * 2

    m = mk.Sequential([mk.Input((3,)), Twice()])
    m.save(tmp_path / "m.keras")
    with pytest.raises((TypeError, ValueError), match="Twice"):
        mk.saving.load_model(tmp_path / "m.keras")
    loaded = mk.saving.load_model(tmp_path / "m.keras", custom_objects={"Twice": Twice})
    np.testing.assert_array_equal(loaded.predict(np.ones((1, 3)), verbose=0), [[2, 2, 2]])


def test_nothing_a_file_names_is_imported(tmp_path):
    mk.Sequential([mk.Input((3,)), layers.Dense(2)]).save(tmp_path / "good.keras")
    with zipfile.ZipFile(tmp_path / "good.keras") as archive:
        members = {n: archive.read(n) for n in archive.namelist()}
    config = json.loads(members["config.json"])
    config["config"]["layers"][1] |= {"module": "subprocess", "class_name": "Popen", "registered_name": None}
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(tmp_path / "bad.keras", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises((TypeError, ValueError), match="Popen"):
        mk.saving.load_model(tmp_path / "bad.keras")


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    m = mk.Sequential([mk.Input((3,)), layers.Dense(2)])
    path = tmp_path / "m.weights.h5"
    m.save_weights(path)
    good = path.read_bytes()

    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("multikeras.saving.h5.put", fails)
    with pytest.raises(OSError, match="No space left"):
        m.save_weights(path)
    assert path.read_bytes() == good
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_overwrite_false_asks_or_refuses(tmp_path):
    m = mk.Sequential([mk.Input((3,)), layers.Dense(2)])
    m.save(tmp_path / "m.keras")
    with pytest.raises(FileExistsError, match="overwrite=False"):
        m.save(tmp_path / "m.keras", overwrite=False)
