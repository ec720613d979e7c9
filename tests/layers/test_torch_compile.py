"""`torch.compile(layer, fullgraph=True)` takes every layer as one graph, in training too, and computes the same."""

import numpy as np
import pytest

from multikeras import layers
from multikeras.backend import current

pytestmark = pytest.mark.skipif(current.name != "torch", reason="torch.compile is torch's")

ROWS, SEQUENCE, IMAGE, VOLUME = (4, 6), (2, 5, 6), (2, 8, 8, 4), (1, 4, 4, 4, 2)
_PLAIN = {
    ROWS: "Identity ReLU LeakyReLU ELU Softmax PReLU Flatten UnitNormalization LayerNormalization RMSNormalization "
          "BatchNormalization",
    SEQUENCE: "GlobalAveragePooling1D GlobalMaxPooling1D MaxPooling1D UpSampling1D ZeroPadding1D "
              "Cropping1D",
    IMAGE: "GlobalAveragePooling2D GlobalMaxPooling2D MaxPooling2D UpSampling2D ZeroPadding2D",
}  # fmt: skip
LAYERS = {
    **{name: (getattr(layers, name), shape) for shape, names in _PLAIN.items() for name in names.split()},
    "AveragePooling1D": (lambda: layers.AveragePooling1D(2), SEQUENCE),
    "AveragePooling2D": (lambda: layers.AveragePooling2D(2, padding="same"), IMAGE),
    "Dense": (lambda: layers.Dense(3, activation="gelu"), ROWS),
    "EinsumDense": (lambda: layers.EinsumDense("ab,bc->ac", 3, bias_axes="c"), ROWS),
    "Embedding": (lambda: layers.Embedding(9, 3), "int"),
    "Conv1D": (lambda: layers.Conv1D(3, 3, padding="causal"), SEQUENCE),
    "Conv2D": (lambda: layers.Conv2D(3, 3, padding="same", activation="relu"), IMAGE),
    "Conv3D": (lambda: layers.Conv3D(3, 2), VOLUME),
    "Conv2DTranspose": (lambda: layers.Conv2DTranspose(3, 3, strides=2), IMAGE),
    "DepthwiseConv2D": (lambda: layers.DepthwiseConv2D(3), IMAGE),
    "SeparableConv2D": (lambda: layers.SeparableConv2D(3, 3), IMAGE),
    "Reshape": (lambda: layers.Reshape((3, 2)), ROWS),
    "Permute": (lambda: layers.Permute((2, 1)), SEQUENCE),
    "RepeatVector": (lambda: layers.RepeatVector(3), ROWS),
    "GroupNormalization": (lambda: layers.GroupNormalization(2), IMAGE),
    "SpectralNormalization": (lambda: layers.SpectralNormalization(layers.Dense(3)), ROWS),
    "Activation": (lambda: layers.Activation("swish"), ROWS),
    "SimpleRNN": (lambda: layers.SimpleRNN(3), SEQUENCE),
    "LSTM": (lambda: layers.LSTM(3, return_sequences=True), SEQUENCE),
    "GRU": (lambda: layers.GRU(3, go_backwards=True), SEQUENCE),
    "RNN": (lambda: layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)]), SEQUENCE),
    "Bidirectional": (lambda: layers.Bidirectional(layers.GRU(3)), SEQUENCE),
    "TimeDistributed": (lambda: layers.TimeDistributed(layers.Dense(3)), SEQUENCE),
    "ConvLSTM1D": (lambda: layers.ConvLSTM1D(2, 3), (1, 3, 6, 2)),
    "Masking": (lambda: layers.Masking(), SEQUENCE),
    "MultiHeadAttention": (lambda: layers.MultiHeadAttention(2, 3, dropout=0.2), "pair"),
    "GroupQueryAttention": (lambda: layers.GroupQueryAttention(3, 4, 2), "pair"),
    "Attention": (lambda: layers.Attention(), "list"),
    "AdditiveAttention": (lambda: layers.AdditiveAttention(), "list"),
    "Add": (lambda: layers.Add(), "list"),
    "Concatenate": (lambda: layers.Concatenate(), "list"),
    "Dot": (lambda: layers.Dot(2), "list"),
    "Dropout": (lambda: layers.Dropout(0.5, seed=3), ROWS),
    "SpatialDropout2D": (lambda: layers.SpatialDropout2D(0.5, seed=3), IMAGE),
    "GaussianNoise": (lambda: layers.GaussianNoise(0.5, seed=3), ROWS),
    "GaussianDropout": (lambda: layers.GaussianDropout(0.5, seed=3), ROWS),
    "AlphaDropout": (lambda: layers.AlphaDropout(0.5, seed=3), ROWS),
}
FEW = {"Dense", "Dropout"}
RANDOM = {"Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "AlphaDropout", "MultiHeadAttention"}


def _inputs(shape):
    import torch

    rng = np.random.default_rng(0)
    if shape == "int":
        return (torch.from_numpy(rng.integers(0, 9, (2, 5)).astype("int32")),)
    x, y = (torch.from_numpy(rng.standard_normal(SEQUENCE if isinstance(shape, str) else shape).astype("float32"))
            for _ in range(2))  # fmt: skip
    return {"pair": (x, y), "list": ([x, y],)}.get(shape, (x,)) if isinstance(shape, str) else (x,)


@pytest.mark.parametrize("name", [n if n in FEW else pytest.param(n, marks=pytest.mark.slow) for n in LAYERS])
@pytest.mark.parametrize("training", [False, True])
def test_no_graph_break(name, training):
    import torch

    make, shape = LAYERS[name]
    layer, inputs = make(), _inputs(shape)
    layer(*inputs)
    torch._dynamo.reset()

    def run(*inputs):
        return layer(*inputs, training=training)

    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    before = [v.numpy() for v in layer.variables]
    found = compiled(*inputs)
    trained = [v.store for v in layer.trainable_variables]
    if trained and found.requires_grad:
        assert any(g is not None for g in torch.autograd.grad(found.sum(), trained, allow_unused=True))
    after = [v.numpy() for v in layer.variables]
    for v, value in zip(layer.variables, before):
        v.assign(value)
    expected = run(*inputs)
    if not (training and name in RANDOM):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    for v, value in zip(layer.variables, after):
        np.testing.assert_allclose(v.numpy(), value, rtol=1e-5, atol=1e-5)
