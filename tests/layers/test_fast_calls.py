"""Calls that skip what was found out before: the same results as slow ones, whatever changes in between."""

import gc
import weakref

import numpy as np
import pytest

import multikeras as k
from multikeras import layers, ops
from multikeras.backend import current


def _array(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype("float32")


def _numpy(x):
    return ops.convert_to_numpy(x)


@pytest.mark.parametrize(
    ("make", "shapes"),
    [
        (lambda: layers.MultiHeadAttention(2, 3), [(2, 5, 4), (2, 5, 4)]),
        (lambda: layers.MultiHeadAttention(2, 3, value_dim=2), [(2, 5, 4), (2, 7, 6)]),
        (lambda: layers.Add(), [[(2, 3), (2, 3)]]),
        (lambda: layers.Concatenate(), [[(2, 3), (2, 4), (2, 1)]]),
        (lambda: layers.LSTM(3), [(2, 5, 4)]),
        (lambda: layers.Conv2D(3, 2, padding="same"), [(2, 5, 4, 2)]),
        (lambda: layers.MaxPooling2D(2), [(2, 5, 4, 2)]),
    ],
)
def test_the_second_call_gives_what_the_first_gave(make, shapes):
    layer = make()
    args = [[_array(*s) for s in shape] if isinstance(shape, list) else _array(*shape) for shape in shapes]
    args = [[ops.convert_to_tensor(x) for x in a] if isinstance(a, list) else ops.convert_to_tensor(a) for a in args]
    first, second, third = (_numpy(layer(*args)) for _ in range(3))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(first, third)
    for v in layer.trainable_variables:
        v.assign(v + 0.5)
    fresh = make()
    fresh(*args)
    fresh.set_weights(layer.get_weights())
    np.testing.assert_allclose(_numpy(layer(*args)), _numpy(fresh(*args)), rtol=1e-6)


def test_several_inputs_of_another_dtype_are_cast_although_such_shapes_came_before():
    layer = layers.Add()
    x = ops.convert_to_tensor(_array(2, 3))
    layer([x, x]), layer([x, x])
    assert ops.dtype(layer([x, ops.cast(x, "float64")])) == "float32"


def test_training_reaches_layers_of_several_inputs():
    seen = []

    class Watching(k.Layer):
        def call(self, a, b, training=None):
            seen.append(training)
            return a + b

    layer, x = Watching(), ops.ones((2, 3))
    for training in (None, None, True, False, None):
        layer(x, x, training=training)
    layer(x, x)
    assert seen == [None, None, True, False, None, None]


def test_wrong_calls_of_several_inputs_still_explain_themselves():
    layer, x = layers.MultiHeadAttention(2, 3), ops.ones((2, 5, 4))
    layer(x, x), layer(x, x)
    with pytest.raises((ValueError, TypeError), match="multi_head_attention"):
        layer(x, ops.ones((2, 5)))


def test_a_graph_passes_on_what_its_calls_were_told():
    x = k.Input((5, 4))
    model = k.Model(x, layers.Dropout(0.5)(layers.LSTM(3, return_sequences=True)(x), training=True))
    given = ops.ones((2, 5, 4))
    assert (_numpy(model(given)) == 0).any()
    assert not (_numpy(model(given, training=False)) == 0).any()


@pytest.mark.skipif(current.traces is not False or not current.variables_in_place, reason="frees when the framework does")
def test_a_graph_lets_go_of_values_that_nobody_reads_any_more():
    alive = []

    class Noting(k.Layer):
        def call(self, x):
            gc.collect()
            alive.append([r() is not None for r in made])
            y = x + 1.0
            made.append(weakref.ref(y))
            return y

    made: list = []
    x = y = k.Input((3,))
    for _ in range(4):
        y = Noting()(y)
    model = k.Model(x, y)
    made.clear(), alive.clear()
    with current.no_gradients():
        model(ops.ones((2, 3)))
    assert alive[-1] == [False, False, True]
