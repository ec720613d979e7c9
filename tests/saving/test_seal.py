"""Checksums: damage to a file is named, changes on purpose are not damage, and Keras does not mind them."""

import gc
import io
import os
import threading
import zlib

import crafted
import h5py
import numpy as np
import pytest

import multikeras as mk
from multikeras.saving import seal, sums
from multikeras.saving.window import Window, new_hdf5


@pytest.fixture
def saved(tmp_path):
    model = crafted.model()
    path = tmp_path / "m.weights.h5"
    model.save_weights(path)
    return model, path


def places_of(path):
    """Return where each data set of a file lies."""
    found = {}
    with h5py.File(path) as h5:
        h5.visititems(lambda name, x: found.update({name: x.id.get_offset()}) if isinstance(x, h5py.Dataset) else None)
    return found


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 4
    path.write_bytes(content)


def test_damage_is_named_by_data_set(saved):
    model, path = saved
    good, before = path.read_bytes(), model.get_weights()
    places = places_of(path)
    assert len(places) == 4
    for name, at in places.items():
        flip(path, at + 5)
        with pytest.raises(ValueError, match=rf"m\.weights\.h5.*checksum is wrong of {name}\."):
            model.load_weights(path)
        path.write_bytes(good)
    flip(path, 100)
    with pytest.raises(ValueError, match="the structure of the file"):
        model.load_weights(path)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_damage_in_an_archive_is_named(tmp_path):
    path = tmp_path / "m.keras"
    crafted.model().save(path)
    flip(path, 3000)
    with pytest.raises(ValueError, match=r"model\.weights\.h5 in .*m\.keras.*checksum"):
        mk.saving.load_model(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_damage_to_the_data_of_a_whole_model_is_named(tmp_path, zipped):
    path = tmp_path / "m.keras"
    model = mk.Sequential([mk.Input((3,)), mk.layers.Dense(100_000, bias_initializer="uniform"), mk.layers.PReLU("uniform")])
    model.save(path, zipped=zipped)
    file = path if zipped else path / "model.weights.h5"
    content = file.read_bytes()
    for value, name in zip(model.get_weights(), ("dense/vars/0", "dense/vars/1", "p_re_lu/vars/0"), strict=True):
        flip(file, content.index(value.tobytes()) + value.nbytes - 1)
        with pytest.raises(ValueError, match=rf"checksum is wrong of .*layers/{name}\."):
            mk.saving.load_model(path)
        file.write_bytes(content)
    mk.saving.load_model(path)


def test_sums_put_together():
    r = np.random.default_rng(0)
    data = r.integers(0, 256, 3 * sums.LARGE, "uint8").tobytes()
    for at in (0, 1, 1000, sums.LARGE, len(data)):
        assert sums.joined(zlib.crc32(data[:at]), zlib.crc32(data[at:]), len(data) - at) == zlib.crc32(data)
    file = io.BytesIO(data)
    for start, stop in ((0, len(data)), (5, sums.LARGE + 9), (7, 7)):
        assert sums.of_file(file, start, stop, 3) == zlib.crc32(data[start:stop], 3)
    buffer = memoryview(bytearray(len(data)))
    file.seek(0)
    assert sums.read(file, buffer) == (len(data), zlib.crc32(data))


@pytest.mark.parametrize("length", [1000, 2 * sums._SHARE, 3 * sums._SHARE + 12345])
def test_sums_of_what_is_read_from_the_disk(tmp_path, length):
    data = np.random.default_rng(2).bytes(length + 7)
    path = tmp_path / "data"
    path.write_bytes(data)
    with open(path, "rb") as file:
        for start, there in ((7, length), (length // 2, length + 7 - length // 2)):
            buffer = memoryview(bytearray(length))
            file.seek(start)
            assert sums.read(file, buffer) == (there, zlib.crc32(buffer))
            assert bytes(buffer[:there]) == data[start : start + there]
            assert not any(buffer[there:])
            assert file.tell() == start + there


def test_sums_of_what_was_written_follow_later_writes():
    r = np.random.default_rng(1)
    file = io.BytesIO()
    window = Window(file, 10, None, "x")
    end = 5 * sums.LARGE
    window.write(bytes(end))
    for _ in range(40):
        window.seek(int(r.integers(0, end)))
        window.write(r.bytes(int(r.integers(1, 3)) * sums.LARGE if r.random() < 0.5 else 1000))
        size = window.seek(0, os.SEEK_END)
        start, stop = sorted(int(x) for x in r.integers(0, size, 2))
        assert window.sum(start, stop, 9) == zlib.crc32(file.getvalue()[10 + start : 10 + stop], 9)


def test_a_seal_that_is_cut_or_damaged(saved):
    model, path = saved
    good = path.read_bytes()
    with h5py.File(path, "r+"):
        pass
    bare = path.stat().st_size
    assert bare < len(good)
    for size in (bare + 10, (bare + len(good)) // 2, len(good) - 1):
        path.write_bytes(good[:size])
        with pytest.raises(ValueError, match="checksums"):
            model.load_weights(path)
    path.write_bytes(good)
    flip(path, bare + 20)
    with pytest.raises(ValueError, match="checksums"):
        model.load_weights(path)


def test_a_change_on_purpose_drops_the_seal(saved):
    model, path = saved
    with h5py.File(path, "r+") as h5:
        h5[crafted.KERNEL][...] = 7
    model.load_weights(path)
    assert set(np.unique(model.get_weights()[0])) == {7}


def test_keras_reads_sealed_files(saved):
    keras = pytest.importorskip("keras", reason="Keras reads what is written here")
    model, path = saved
    theirs = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2)])
    theirs.load_weights(path)
    for a, b in zip(model.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def written(file, count):
    with new_hdf5(file) as (h5, _):
        for i in range(count):
            h5[f"group/{i}"] = np.arange(100.0)


def test_hdf5_in_the_middle_of_a_file():
    file = io.BytesIO(b"before")
    with new_hdf5(file, 6) as (h5, _):
        h5["x"] = np.arange(5)
    with h5py.File(Window(file, 6, file.seek(0, os.SEEK_END) - 6, "x"), "r") as h5:
        assert h5["x"][()].tolist() == [0, 1, 2, 3, 4]
    assert file.getvalue()[:6] == b"before"


class Full(io.BytesIO):
    """A disk that is full after so many bytes."""

    room = 3000

    def write(self, data):
        if self.tell() + len(data) > self.room:
            raise OSError(28, "No space left on device")
        return super().write(data)


@pytest.mark.parametrize("room", [0, 100, 3000, 5000, 9000])
def test_hdf5_survives_a_full_disk(room):
    for _ in range(5):
        file = Full()
        file.room = room
        with pytest.raises(OSError, match="No space left"):
            written(file, 20)


def test_ctrl_c_in_a_write(saved):
    class Interrupted(io.BytesIO):
        def write(self, data):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        written(Interrupted(), 2)


def test_tables_that_lie(saved):
    """A table may be made up: it is checked as any other part of a file."""
    _, path = saved
    good = path.read_bytes()
    with h5py.File(path, "r+"):
        pass
    bare = path.read_bytes()
    assert seal.verify(io.BytesIO(good), "x")
    for table in ("[]", "{}", '{"size":-1,"rest":0,"entries":{}}', '{"size":1,"rest":0,"entries":{"a":[0,1e300,0]}}',
                  f'{{"size":{len(bare)},"rest":0,"entries":{{"a":[5,10,0],"b":[7,10,0]}}}}', "[" * 5000):  # fmt: skip
        text = table.encode()
        forged = bare + text + seal._FOOTER.pack(len(text), zlib.crc32(text), seal._MAGIC)
        with pytest.raises(ValueError, match="table of checksums"):
            seal.verify(io.BytesIO(forged), "x")


def test_a_collection_while_weights_are_summed_does_not_stop_a_save(tmp_path, monkeypatch):
    # Finalizers of HDF5 objects want the lock that a save holds then.
    model = mk.Sequential([mk.Input((3,)), mk.layers.Dense(1_000_000)])
    with h5py.File(tmp_path / "groups.h5", "w") as h5:
        groups = [h5.create_group(str(i)) for i in range(100)]

        def drop():
            if groups:
                circle = [groups.pop()]
                circle.append(circle)

        def crc32(data, before=0):
            drop()
            assert len([[] for _ in range(5000)]) == 5000  # enough to start a collection
            return zlib.crc32(data, before)

        monkeypatch.setattr(sums, "crc32", crc32)
        saving = threading.Thread(target=model.save_weights, args=(tmp_path / "m.weights.h5",), daemon=True)
        saving.start()
        saving.join(60)
        assert not saving.is_alive()
    assert gc.isenabled()
    model.load_weights(tmp_path / "m.weights.h5")
