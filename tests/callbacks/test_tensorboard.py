"""What TensorBoard reads from the files that are written for it."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

import multikeras as mk
from multikeras import backend, callbacks, layers
from multikeras.callbacks import _events
from multikeras.callbacks.tensorboard import png

pytestmark = pytest.mark.skipif(not backend.current.supports_gradients, reason="this backend computes no gradients")

X, Y = np.ones((10, 8, 8, 1), "float32"), np.ones((10, 3), "float32")


def fields(data):
    """Give (number, value) of a protocol buffer: ints, or bytes of fixed and of any length."""
    place = 0

    def varint():
        nonlocal place
        value = shift = 0
        while True:
            byte = data[place]
            place += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while place < len(data):
        key = varint()
        kind = key & 7
        if kind == 0:
            yield key >> 3, varint()
            continue
        size = {1: 8, 5: 4}.get(kind) or varint()
        yield key >> 3, data[place : place + size]
        place += size


def summaries(folder):
    """Return {tag: [(step, plugin, tensor fields)]} of all event files in a folder, with every checksum looked at."""
    found = {}
    graphs = 0
    for path in sorted(Path(folder).glob("events.out.tfevents.*")):
        data = path.read_bytes()
        while data:
            length = struct.unpack("<Q", data[:8])[0]
            content = data[12 : 12 + length]
            assert data[: 16 + length] == _events.record(content)
            data = data[16 + length :]
            event = dict(fields(content))
            graphs += 4 in event
            for _, value in fields(event.get(5, b"")):
                parts = dict(fields(value))
                plugin = dict(fields(dict(fields(parts[9]))[1]))[1].decode()
                found.setdefault(parts[1].decode(), []).append((event.get(2, 0), plugin, dict(fields(parts[8]))))
    return found, graphs


def curve(found, tag):
    return [(step, struct.unpack("<f", tensor[4])[0]) for step, _, tensor in found[tag]]


def model():
    mk.utils.set_random_seed(0)
    made = mk.Sequential([layers.Input((8, 8, 1)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(3)])
    made.compile("sgd", "mse", metrics=["mae"])
    return made


def test_checksums_are_castagnoli():
    assert _events.crc32c(b"") == 0
    assert _events.crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4


def test_curves_weights_and_graph(tmp_path):
    board = callbacks.TensorBoard(tmp_path, histogram_freq=1, write_images=True, update_freq=2, write_steps_per_second=True)
    made = model()
    history = made.fit(X, Y, batch_size=2, epochs=2, validation_data=(X, Y), callbacks=[board], verbose=0).history
    train, graphs = summaries(tmp_path / "train")
    validation, _ = summaries(tmp_path / "validation")
    assert graphs == 1
    np.testing.assert_allclose([v for _, v in curve(train, "epoch_loss")], history["loss"], rtol=1e-6)
    assert [step for step, _ in curve(train, "batch_loss")] == [2, 4, 6, 8, 10]
    np.testing.assert_allclose([v for _, v in curve(validation, "epoch_mae")], history["val_mae"], rtol=1e-6)
    assert [step for step, _ in curve(validation, "evaluation_loss_vs_iterations")] == [5, 10]
    assert curve(train, "epoch_learning_rate")[0][1] == pytest.approx(0.01)
    kernel = made.layers[-1].kernel
    histogram = train[f"{kernel.path}/histogram"][-1]
    assert histogram[1] == "histograms"
    rows = np.frombuffer(histogram[2][4], "<f8").reshape(30, 3)
    assert rows[:, 2].sum() == kernel.numpy().size
    np.testing.assert_allclose([rows[0, 0], rows[-1, 1]], [kernel.numpy().min(), kernel.numpy().max()], rtol=1e-6)
    assert f"{kernel.path}/image" in train


def test_tensorboard_itself_reads_them(tmp_path):
    reading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    model().fit(X, Y, epochs=1, callbacks=[callbacks.TensorBoard(tmp_path, histogram_freq=1)], verbose=0)
    events = reading.EventAccumulator(str(tmp_path / "train"))
    events.Reload()
    assert events.Tags()["graph"]
    assert {"epoch_loss", "epoch_mae", "keras"} <= set(events.Tags()["tensors"])
    names = {node.name: (node.op, list(node.input)) for node in events.Graph().node}
    assert [op for op, _ in names.values()] == ["Conv2D", "Flatten", "Dense"]
    kernel = next(name for name, (op, _) in names.items() if op == "Conv2D")
    assert next(inputs for op, inputs in names.values() if op == "Flatten") == [kernel]


def test_pictures_are_png_files():
    image = pytest.importorskip("PIL.Image")
    import io

    grey = np.arange(12.0).reshape(3, 4)
    read = np.asarray(image.open(io.BytesIO(png(grey))))
    np.testing.assert_array_equal(read, (grey / 11 * 255).astype("uint8"))
    assert zlib.crc32(b"IEND") == struct.unpack(">I", png(grey)[-4:])[0]


def test_embeddings_and_where_they_are(tmp_path):
    made = mk.Sequential([layers.Input((4,)), layers.Embedding(5, 2, name="words"), layers.Flatten(), layers.Dense(1)])
    made.compile("sgd", "mse")
    board = callbacks.TensorBoard(tmp_path, embeddings_freq=1, embeddings_metadata={"words": "names.tsv"})
    made.fit(np.ones((6, 4)), np.ones((6, 1)), verbose=0, callbacks=[board])
    text = (tmp_path / "projector_config.pbtxt").read_text()
    assert 'tensor_path: "words.tsv"' in text
    assert 'metadata_path: "names.tsv"' in text
    np.testing.assert_allclose(np.loadtxt(tmp_path / "words.tsv"), made.layers[0].embeddings.numpy(), rtol=1e-4)
    with pytest.raises(ValueError, match="other"):
        made.fit(np.ones((6, 4)), np.ones((6, 1)), verbose=0, callbacks=[
            callbacks.TensorBoard(tmp_path, embeddings_freq=1, embeddings_metadata={"other": "names.tsv"})])  # fmt: skip
