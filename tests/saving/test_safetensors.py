"""safetensors files, and the weights of torch modules, both ways."""

import json
import struct

import numpy as np
import pytest

import multikeras as mk
from multikeras import backend
from multikeras.random import host


def mixed():
    layers = mk.layers
    kinds = ("float32", "float16", "bfloat16", "float64")
    parts = [layers.Dense(3, dtype=kind) for kind in kinds]
    return mk.Sequential([mk.Input((3,)), *parts, mk.Sequential([layers.BatchNormalization()])])


def test_round_trip_keeps_values_and_dtypes(tmp_path):
    first, second = mixed(), mixed()
    first.save_weights(tmp_path / "m.safetensors")
    report = second.load_weights(tmp_path / "m.safetensors")
    assert not report.skipped
    assert not report.unused
    for a, b in zip(first.weights, second.weights):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_the_official_library_reads_and_writes_the_same(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    model = mk.Sequential([mk.Input((3,)), mk.layers.Dense(2)])
    model.save_weights(tmp_path / "m.safetensors")
    tensors = library.load_file(tmp_path / "m.safetensors")
    assert {k: v.shape for k, v in tensors.items()} == {"layers.dense.kernel": (3, 2), "layers.dense.bias": (2,)}
    np.testing.assert_array_equal(tensors["layers.dense.kernel"], model.get_weights()[0])
    library.save_file({k: v + 1 for k, v in tensors.items()}, tmp_path / "n.safetensors")
    model.load_weights(tmp_path / "n.safetensors")
    np.testing.assert_array_equal(model.get_weights()[1], np.ones(2))


def broken(data, change):
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


@pytest.mark.parametrize(
    "change",
    [
        lambda h: h["layers.dense.kernel"].update(shape=[3, 2**40]),
        lambda h: h["layers.dense.kernel"].update(data_offsets=[0, 2**50]),
        lambda h: h["layers.dense.kernel"].update(data_offsets=[-8, 16]),
        lambda h: h["layers.dense.kernel"].update(dtype="PICKLE"),
        lambda h: h["layers.dense.kernel"].pop("shape"),
        lambda h: h.pop("layers.dense.kernel"),
        lambda h: h.update(extra=[1]),
        lambda h: h["layers.dense.bias"].update(h["layers.dense.kernel"]),
    ],
)
def test_a_header_that_does_not_hold_together_is_refused(tmp_path, change):
    model = mk.Sequential([mk.Input((3,)), mk.layers.Dense(2)])
    path = tmp_path / "m.safetensors"
    model.save_weights(path)
    before = model.get_weights()
    path.write_bytes(broken(path.read_bytes(), change))
    with pytest.raises(ValueError, match=r"m\.safetensors"):
        model.load_weights(path)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_damage_and_cuts_are_found(tmp_path):
    model = mk.Sequential([mk.Input((3,)), mk.layers.Dense(2)])
    path = tmp_path / "m.safetensors"
    model.save_weights(path)
    good = path.read_bytes()
    for cut in range(0, len(good), 7):
        path.write_bytes(good[:cut])
        with pytest.raises(ValueError, match=r"m\.safetensors"):
            model.load_weights(path)
    for place in range(len(good) - 32, len(good)):
        path.write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
        with pytest.raises(ValueError, match="checksum"):
            model.load_weights(path)


def test_names_of_torch_are_those_of_the_layers():
    layers = mk.layers
    model = mk.Sequential([mk.Input((4, 4, 2)), layers.Conv2D(3, 2, name="c"), layers.Flatten(), layers.Dense(2, name="d")])
    shapes = {k: v.shape for k, v in mk.saving.to_state_dict(model).items()}
    assert shapes == {"c.weight": (3, 2, 2, 2), "c.bias": (3,), "d.weight": (2, 27), "d.bias": (2,)}
    other = mk.models.clone_model(model)
    mk.saving.from_state_dict(other, mk.saving.to_state_dict(model))
    for a, b in zip(model.get_weights(), other.get_weights()):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="does not match"):
        mk.saving.from_state_dict(other, {"c.weight": np.zeros((3, 2, 2, 2))})
    with pytest.raises(ValueError, match="no counterpart"):
        mk.saving.to_state_dict(mk.Sequential([mk.Input((3, 2)), mk.layers.EinsumDense("abc,cd->abd", (3, 4))]))


def pairs():
    """Give (name, our model, torch's module, shape of inputs, ours to theirs of inputs, theirs to ours of outputs)."""
    torch = pytest.importorskip("torch")
    nn, layers = torch.nn, mk.layers

    def same(x):
        return x

    class Last(nn.Module):
        """A recurrent module as a function to its outputs."""

        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, x):
            return self.inner(x)[0]

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.MultiheadAttention(6, 2, batch_first=True)

        def forward(self, x):
            return self.inner(x, x, x)[0]

    def functional(shape, function):
        x = mk.Input(shape)
        return mk.Model(x, function(x))

    mlp = mk.Sequential([mk.Input((5,)), layers.Dense(4, "relu"), layers.BatchNormalization(epsilon=1e-5), layers.Dense(2)])
    yield "mlp", mlp, nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 2)), (3, 5), same, same
    there, back = (lambda x: np.moveaxis(x, -1, 1)), (lambda y: np.moveaxis(y, 1, -1))
    cnn = mk.Sequential([mk.Input((7, 7, 2)), layers.Conv2D(4, 3), layers.DepthwiseConv2D(2, depth_multiplier=2),
                         layers.Conv2DTranspose(3, 2, strides=2), layers.GroupNormalization(3, epsilon=1e-5)])  # fmt: skip
    wide = nn.ConvTranspose2d(8, 3, 2, stride=2)
    theirs = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Conv2d(4, 8, 2, groups=4), wide, nn.GroupNorm(3, 3))
    yield "cnn", cnn, theirs, (2, 7, 7, 2), there, back
    for name, native in (("LSTM", nn.LSTM), ("GRU", nn.GRU), ("SimpleRNN", nn.RNN)):
        ours = mk.Sequential([mk.Input((4, 3)), getattr(layers, name)(5, return_sequences=True)])
        yield name, ours, Last(native(3, 5, batch_first=True)), (2, 4, 3), same, same
    ours = mk.Sequential([mk.Input((4, 3)), layers.Bidirectional(layers.LSTM(5, return_sequences=True))])
    yield "Bidirectional", ours, Last(nn.LSTM(3, 5, batch_first=True, bidirectional=True)), (2, 4, 3), same, same
    attention = layers.MultiHeadAttention(2, 3)
    yield "attention", functional((4, 6), lambda x: attention(x, x)), Attention(), (2, 4, 6), same, same
    norm = mk.Sequential([mk.Input((6,)), layers.LayerNormalization(epsilon=1e-5), layers.Dense(3, use_bias=False)])
    yield "norm", norm, nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 3, bias=False)), (2, 6), same, same


def test_torch_modules_take_our_weights_and_give_theirs(tmp_path):
    torch = pytest.importorskip("torch")
    files = pytest.importorskip("safetensors.torch")
    if backend.current.name != "torch":
        pytest.skip("on torch")
    for name, ours, theirs, shape, there, back in pairs():
        theirs.eval()
        x = host.normal((5, 1), shape).astype("float32")

        def outputs(ours=ours, theirs=theirs, x=x, there=there, back=back):
            with torch.no_grad():
                given = back(theirs(torch.from_numpy(np.ascontiguousarray(there(x)))).numpy())
            return ours.predict(x, verbose=0), given

        ours.set_weights([0.1 + 0.9 * host.uniform((i, 2), tuple(w.shape)) for i, w in enumerate(ours.weights)])
        state = mk.saving.to_state_dict(ours, like=theirs.state_dict())
        theirs.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in state.items()})
        np.testing.assert_allclose(*outputs(), rtol=1e-4, atol=1e-5, err_msg=name)
        for p in theirs.parameters():
            torch.nn.init.uniform_(p, -0.5, 0.5)
        mk.saving.from_state_dict(ours, theirs.state_dict())
        np.testing.assert_allclose(*outputs(), rtol=1e-4, atol=1e-5, err_msg=name)
        for p in theirs.parameters():
            torch.nn.init.uniform_(p, -0.5, 0.5)
        files.save_file(theirs.state_dict(), tmp_path / f"{name}.safetensors", {"format": "pt"})
        ours.load_weights(tmp_path / f"{name}.safetensors")
        np.testing.assert_allclose(*outputs(), rtol=1e-4, atol=1e-5, err_msg=name)
