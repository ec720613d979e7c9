"""Attention in graphs that know no lengths: the same numbers, and memory that does not grow with the square."""

import subprocess
import sys

import numpy as np
import pytest

from multikeras import layers, ops
from multikeras.backend import current, shapes

if current.name != "tensorflow":
    pytest.skip("only TensorFlow's graphs have sizes that are not known", allow_module_level=True)

import tensorflow as tf

RNG = np.random.default_rng(0)
BATCH, SIZE = 2, 3


def _heads(**how):
    return lambda q, k, v, seen: ops.dot_product_attention(*(ops.expand_dims(x, 2) for x in (q, k, v)), **how)


def _masked(q, k, v, seen):
    return ops.dot_product_attention(*(ops.expand_dims(x, 2) for x in (q, k, v)), mask=ops.expand_dims(seen, (1, 2)))


CASES = {
    "op": lambda: (None, _heads()),
    "causal op": lambda: (None, _heads(is_causal=True, attn_logits_soft_cap=3.0)),
    "op with a mask of sources": lambda: (None, _masked),
    "heads": lambda: _of(layers.MultiHeadAttention(2, 3)),
    "heads, causal": lambda: _of(layers.MultiHeadAttention(2, 3, value_dim=2), use_causal_mask=True),
    "heads, window": lambda: _of(layers.MultiHeadAttention(2, 3, sliding_window=3), masked=True),
    "Attention": lambda: _of_list(layers.Attention(use_scale=True)),
    "AdditiveAttention": lambda: _of_list(layers.AdditiveAttention()),
}


def _of(layer, masked=False, **how):
    layer.build((None, None, SIZE), (None, None, SIZE))
    return layer, lambda q, k, v, seen: layer(q, v, key=k, **({"value_mask": seen} if masked else {}), **how)


def _of_list(layer):
    layer.build([(None, None, SIZE)] * 3)
    return layer, lambda q, k, v, seen: layer([q, v, k], mask=[None, seen])


def _with_gradients(f, stores):
    def call(q, k, v, seen):
        with tf.GradientTape() as tape:
            tape.watch([q, k, v])
            output = f(q, k, v, seen)
            total = tf.reduce_sum(output * tf.cos(output))
        return output, *tape.gradient(total, [q, k, v, *stores])

    return call


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("at_once", [True, False])
def test_the_numbers_are_those_of_known_lengths(name, at_once, monkeypatch):
    layer, f = CASES[name]()
    both = _with_gradients(f, [v.store for v in layer.trainable_variables] if layer else [])
    arrays = {
        length: [tf.constant(RNG.normal(size=(BATCH, n, SIZE)).astype("float32")) for n in (length, length + 2, length + 2)]
        + [tf.constant(np.arange(BATCH * (length + 2)).reshape(BATCH, -1) % 3 > 0)]
        for length in (7, 10)
    }
    expected = {length: both(*inputs) for length, inputs in arrays.items()}
    if not at_once:
        for bound in ("MOST_AT_ONCE", "A_BLOCK"):
            monkeypatch.setattr(shapes, bound, 80)
    sequence = tf.TensorSpec((None, None, SIZE))
    graph = tf.function(both, input_signature=[sequence] * 3 + [tf.TensorSpec((None, None), tf.bool)])
    for length, inputs in arrays.items():
        for found, right in zip(graph(*inputs), expected[length], strict=True):
            np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-5)


def test_dropped_scores_are_dropped_again_for_the_gradient(monkeypatch):
    for bound in ("MOST_AT_ONCE", "A_BLOCK"):
        monkeypatch.setattr(shapes, bound, 4000)
    layer = layers.Attention(dropout=0.4, seed=3)
    layer.build([(None, None, SIZE)] * 2)

    @tf.function(input_signature=[tf.TensorSpec((None, None, SIZE)), tf.TensorSpec((None, None, None))])
    def weights_and_gradient(x, eye):
        with tf.GradientTape() as tape:
            tape.watch(eye)
            weights = layer([x, eye, x], training=True)
            total = tf.reduce_sum(weights)
        return weights, tape.gradient(total, eye)

    n = 40
    eye = tf.eye(n, batch_shape=[1])
    weights, gradient = weights_and_gradient(tf.constant(RNG.normal(size=(1, n, SIZE)).astype("float32")), eye)
    assert 0.3 < float(tf.reduce_mean(tf.cast(weights == 0, tf.float32))) < 0.5
    np.testing.assert_allclose(gradient[0, :, 0], tf.reduce_sum(weights, 1)[0], rtol=1e-4)


_GROWTH = """
import resource
import numpy as np, tensorflow as tf
from multikeras import layers
layer = layers.MultiHeadAttention(4, 8{window})
layer.build((None, None, 16), (None, None, 16))

@tf.function(input_signature=[tf.TensorSpec((None, None, 16))])
def run(x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(layer(x, x))
    return tape.gradient(y, x)

peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
run(tf.ones((1, 64, 16)))
before = peak()
run(tf.ones((1, 8000, 16)))
print((peak() - before) / 2**10)
"""


@pytest.mark.slow
@pytest.mark.parametrize("window", ["", ", sliding_window=100"])
def test_memory_does_not_grow_with_the_square_of_the_length(window):
    given = _GROWTH.format(window=window)
    out = subprocess.run([sys.executable, "-c", given], capture_output=True, text=True, check=True).stdout
    assert float(out.split()[-1]) < 700  # MB; the logits alone are 980, and there are several of their size
