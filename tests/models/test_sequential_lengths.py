"""A Sequential model that was not told the size of its inputs takes every size that its layers take."""

import itertools

import numpy as np
import pytest

import multikeras as mk
from multikeras import layers

STACKS = {
    "dense": lambda: [layers.Dense(4), layers.Dense(2)],
    "convolution": lambda: [layers.Conv1D(4, 2), layers.GlobalMaxPooling1D()],
    "recurrent": lambda: [layers.LSTM(4), layers.Dense(2)],
    "normalized": lambda: [layers.LayerNormalization(), mk.Sequential([layers.Dense(3)])],
}


@pytest.mark.parametrize(("stack", "lengths"), list(itertools.product(STACKS, [(5, 9), (9, 5)])))
def test_lengths_may_differ_from_those_of_the_first_call(stack, lengths):
    model = mk.Sequential(STACKS[stack]())
    x = np.random.default_rng(0).normal(size=(2, max(lengths), 3)).astype("float32")
    for n in lengths:
        one_by_one = x[:, :n]
        given = model(one_by_one)
        for layer in model.layers:
            one_by_one = layer(one_by_one)
        np.testing.assert_allclose(mk.ops.convert_to_numpy(given), mk.ops.convert_to_numpy(one_by_one), rtol=1e-5)
        np.testing.assert_allclose(model.predict(x[:, :n], verbose=0), mk.ops.convert_to_numpy(one_by_one), rtol=1e-4, atol=1e-6)


def test_layers_still_refuse_what_they_cannot_take():
    model = mk.Sequential([layers.Dense(4), layers.Dense(2)])
    model(np.ones((2, 3), "float32"))
    with pytest.raises(ValueError, match="dense"):
        model(np.ones((2, 4), "float32"))
