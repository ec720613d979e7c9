"""`torch.compile(layer, fullgraph=True)` takes every layer as one graph, in training too, and computes the same."""

import inspect

import numpy as np
import pytest
from keras_oracle.layer_grid import CASES, arrays, flat, forget_states

import multikeras as mk
from multikeras import layers, ops
from multikeras.backend import current

pytestmark = pytest.mark.skipif(current.name != "torch", reason="torch.compile is torch's")

FIRST = {case.layer: case for case in reversed(CASES)}
FAST = ("Dense", "Dropout")


def tensors(x):
    import torch

    return [tensors(one) for one in x] if isinstance(x, list) else torch.as_tensor(x)


def agree_when_compiled(layer, inputs, random=False, **how):
    """Compare outputs, gradients and written variables of a layer with those of the layer compiled."""
    import torch

    layer(*inputs, **how)
    torch._dynamo.reset()
    compiled = torch.compile(lambda *inputs: layer(*inputs, **how), fullgraph=True, backend="aot_eager")
    trained = [v.store for v in layer.trainable_variables]
    before, results = [v.numpy() for v in layer.variables], []
    for call in (compiled, lambda *inputs: layer(*inputs, **how)):
        for v, value in zip(layer.variables, before):
            v.assign(value)
        forget_states(layer)
        found = flat(call(*inputs))
        total = sum(y.sin().sum() for y in found)
        gradients = torch.autograd.grad(total, trained, allow_unused=True) if trained and total.requires_grad else []
        results.append([*found, *gradients, *(torch.as_tensor(v.numpy()) for v in layer.variables)])
    assert len(results[0]) == len(results[1])
    for ours, expected in zip(*results):
        assert (ours is None) == (expected is None)
        if ours is not None and not random:
            torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in FIRST])
def test_no_graph_break_in_training(name):
    case = FIRST[name]
    layer = case.make(layers)
    how = dict(case.call)
    if "training" in inspect.signature(layer.call).parameters:
        how["training"] = True
    drawn = getattr(layer, "seed_generator", None) is not None and (getattr(layer, "rate", 0) or getattr(layer, "stddev", 0))
    agree_when_compiled(layer, tensors(arrays(case)), random=bool(drawn), **how)


def _masked():
    return mk.Sequential([
        layers.Embedding(9, 4, mask_zero=True), layers.LSTM(4, return_sequences=True), layers.GRU(3), layers.Dropout(0.5),
        layers.Dense(2, "softmax"),
    ])  # fmt: skip


def _branching():
    x = inputs = mk.Input((8, 8, 3))
    x = layers.ZeroPadding2D(1)(x)
    x = layers.Conv2D(4, 3)(x)
    x = layers.BatchNormalization()(x)
    x = layers.Add()([layers.ReLU()(x), layers.DepthwiseConv2D(3, padding="same")(x)]) * 0.5
    x = layers.GlobalAveragePooling2D()(layers.MaxPooling2D()(x))
    return mk.Model(inputs, [layers.Dense(3)(x), ops.concatenate([x, x * x], -1)])


MODELS = {
    "masked steps": (_masked, [np.array([[1, 2, 3, 0], [4, 5, 0, 0]], "int32")]),
    "branches": (_branching, [np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")]),
}


@pytest.mark.slow
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_no_graph_break_in_a_model(name, training):
    make, inputs = MODELS[name]
    agree_when_compiled(make(), tensors(inputs), random=name == "masked steps" and training, training=training)


@pytest.mark.slow
def test_no_graph_break_in_lower_precision():
    layer = layers.Dense(4, activation="gelu", dtype="mixed_bfloat16")
    agree_when_compiled(layer, tensors([np.ones((2, 3), "float32")]))
