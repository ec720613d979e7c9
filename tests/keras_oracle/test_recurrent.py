"""Recurrent layers with masks, first states and state kept between batches, against Keras on the same backend."""

import os

import numpy as np
import pytest
from keras_oracle.closeness import assert_close

from multikeras import layers, ops
from multikeras.backend import current

os.environ["KERAS_BACKEND"] = current.name
keras = pytest.importorskip("keras")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(2, 4, 3)).astype("float32")
MASK = np.array([[False, True, True, False], [True, False, False, True]])
MAKE = {
    "SimpleRNN": lambda L, **how: L.SimpleRNN(3, **how),
    "LSTM": lambda L, **how: L.LSTM(3, **how),
    "GRU": lambda L, **how: L.GRU(3, **how),
    "GRU before": lambda L, **how: L.GRU(3, reset_after=False, **how),
    "stacked": lambda L, **how: L.RNN([L.LSTMCell(3), L.GRUCell(3)], **how),
}
each_layer = pytest.mark.parametrize("name", MAKE)


def flat(tree):
    return [leaf for x in tree for leaf in flat(x)] if isinstance(tree, (list, tuple)) else [tree]


def agree(make, *args, calls=1, **call):
    """Compare the last of several calls of our layer and Keras's, made and weighted alike."""
    results = []
    for package in (layers, keras.layers):
        layer = make(package)
        layer.build(X.shape)
        rng = np.random.default_rng(1)
        layer.set_weights([rng.normal(size=w.shape).astype("float32") * 0.4 for w in layer.weights])
        for _ in range(calls):
            y = layer(*args, **call)
        convert = ops.convert_to_numpy if package is layers else keras.ops.convert_to_numpy
        results.append([np.asarray(convert(t)) for t in flat(y)])
    for ours, theirs in zip(*results, strict=True):
        assert_close(ours, theirs)


# Keras on jax forgets zero_output_for_mask when it unrolls, and starts from the first state instead of zeros as the
# output before the first step; on torch it does not turn the mask around when it unrolls backwards.
KERAS_DIFFERS = {
    "jax": lambda zero, unroll, backwards: zero and unroll,
    "torch": lambda zero, unroll, backwards: unroll and backwards,
}


@each_layer
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("zero", [False, True])
def test_masked_steps_are_skipped(name, backwards, unroll, zero):
    if KERAS_DIFFERS.get(current.name, lambda *_: False)(zero, unroll, backwards):
        pytest.skip("Keras differs between its backends")
    how = {"go_backwards": backwards, "unroll": unroll, "zero_output_for_mask": zero, "return_sequences": True}
    agree(lambda L: MAKE[name](L, return_state=True, **how), X, mask=MASK)


@each_layer
def test_the_last_output_under_a_mask_is_the_last_one_computed(name):
    agree(lambda L: MAKE[name](L), X, mask=MASK)


@pytest.mark.parametrize("name", ["SimpleRNN", "LSTM", "GRU"])
@pytest.mark.parametrize("mask", [None, MASK])
def test_first_states_are_used(name, mask):
    if mask is not None and current.name == "jax":
        pytest.skip("Keras differs between its backends")
    states = [np.full((2, 3), 0.5, "float32")] * (2 if name == "LSTM" else 1)
    agree(lambda L: MAKE[name](L, return_sequences=True), X, initial_state=states, mask=mask)


@each_layer
def test_states_are_kept_between_batches(name):
    agree(lambda L: MAKE[name](L, stateful=True), X, calls=3)


@pytest.mark.parametrize("mode", ["concat", "sum", "mul", "ave", None])
@pytest.mark.parametrize("sequences", [False, True])
def test_both_directions_merge(mode, sequences):
    agree(lambda L: L.Bidirectional(MAKE["LSTM"](L, return_sequences=sequences), merge_mode=mode), X, mask=MASK)


def test_time_distributed_passes_each_step():
    agree(lambda L: L.TimeDistributed(L.Dense(4)), X)


def test_a_layer_with_statistics_sees_the_steps_one_after_the_other():
    steps, found = np.linspace(-1, 2, 72).reshape(6, 4, 3).astype("float32") ** 3, []
    for package, to_numpy in ((layers, ops.convert_to_numpy), (keras.layers, keras.ops.convert_to_numpy)):
        layer = package.TimeDistributed(package.BatchNormalization())
        y = layer(steps, training=True)
        found.append([to_numpy(v) for v in (y, *layer.weights)])
    for ours, expected in zip(*found, strict=True):
        assert_close(ours, expected)
