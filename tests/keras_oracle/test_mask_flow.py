"""Masks that are given, that arrive at layers of users, and that end there: as in Keras on the same backend."""

import os

import numpy as np
import pytest

import multikeras as mk
from multikeras.backend import current
from multikeras.core.masking import get_mask

os.environ["KERAS_BACKEND"] = current.name
keras = pytest.importorskip("keras")

TOKENS = np.array([[1, 2, 0], [3, 0, 0]])
STEPS = np.arange(12, dtype="float32").reshape(2, 3, 2)
pytestmark = pytest.mark.filterwarnings("ignore")  # of masks that end there


def mask_of(x):
    mask = get_mask(x)
    return None if mask is None else np.asarray(mk.ops.convert_to_numpy(mask)).tolist()


def same(run):
    """Assert that `run(package)`, a list of masks and numbers, is the same for both packages."""
    ours, theirs = run(mk), run(keras)
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=1e-5)


def test_a_mask_ends_where_a_layer_of_a_user_consumes_it():
    def run(package):
        class Mean(package.layers.Layer):
            def call(self, x, mask=None):
                mask = package.ops.expand_dims(package.ops.cast(mask, x.dtype), -1)
                return package.ops.sum(x * mask, axis=1) / package.ops.sum(mask, axis=1)

        inputs = package.Input((3,), dtype="int32")
        x = Mean()(package.layers.Embedding(4, 2, mask_zero=True, embeddings_initializer="ones")(inputs))
        model = package.Model(inputs, package.layers.Dense(1, kernel_initializer="ones")(x))
        model.compile("sgd", "mse")
        return [mask_of(model(TOKENS)), model.evaluate(TOKENS, np.ones((2, 1)), verbose=0)]

    same(run)


@pytest.mark.parametrize("name", ["LSTM", "BatchNormalization", "Identity", "Own"])
def test_a_mask_that_is_given_travels_on(name):
    def run(package):
        class Own(package.layers.Layer):
            def __init__(self):
                super().__init__()
                self.supports_masking = True

            def call(self, x, mask=None):
                return x

        make = {"LSTM": lambda: package.layers.LSTM(2, return_sequences=True), "Own": Own}
        layer = make.get(name, lambda: getattr(package.layers, name)())()
        mask = package.ops.convert_to_tensor(TOKENS > 0)
        if name == "Identity":  # takes no mask: it comes with the input
            mask_zero = package.layers.Embedding(4, 2, mask_zero=True)
            return [mask_of(layer(mask_zero(TOKENS)))]
        return [mask_of(layer(STEPS, mask=mask))]

    same(run)


def test_a_layer_of_a_user_unpacks_the_masks_of_its_inputs():
    def run(package):
        class Pair(package.layers.Layer):
            def call(self, inputs, mask=None):
                first, second = mask
                return inputs[0] + inputs[1], float(first is not None), float(second is not None)

        masked = package.layers.Masking()(STEPS)
        pair = Pair()
        return [*pair([STEPS, STEPS])[1:], *pair([STEPS, masked])[1:]]

    same(run)


def test_attention_hands_on_the_mask_of_its_queries():
    def run(package):
        masks = [package.ops.convert_to_tensor(TOKENS > 0), None]
        return [mask_of(package.layers.Attention()([STEPS, STEPS], mask=masks))]

    same(run)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("kind", ["MultiHeadAttention", "GroupQueryAttention"])
def test_rows_that_see_nothing(kind, dropout, scores, causal):
    heads = {"num_heads": 2, "key_dim": 3} if kind == "MultiHeadAttention" else {
        "head_dim": 3, "num_query_heads": 2, "num_key_value_heads": 1}  # fmt: skip
    x = np.random.default_rng(0).standard_normal((3, 4, 6)).astype("float32")
    x[0, 2:] = x[1, :2] = 0
    outputs, weights = [], None
    for k in (keras, mk):
        inputs = k.Input((4, 6))
        masked = k.layers.Masking()(inputs)
        layer = getattr(k.layers, kind)(**heads, dropout=dropout)
        y = layer(masked, masked, return_attention_scores=scores, use_causal_mask=causal)
        model = k.Model(inputs, y[0] if scores else y)
        weights = model.get_weights() if weights is None else weights
        model.set_weights(weights)
        outputs.append(k.ops.convert_to_numpy(model(x)))
    np.testing.assert_allclose(outputs[1], outputs[0], rtol=1e-5, atol=2e-6)
