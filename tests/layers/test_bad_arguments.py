"""Layers refuse bad arguments when made and bad inputs when called; the text says where, what and what would do."""

import numpy as np
import pytest

from multikeras import layers, losses, metrics, optimizers

X = np.ones((2, 3, 4), "float32")
CASES = {
    "units": (lambda: layers.Dense(-1), "Dense.*units must be a positive integer, got units=-1"),
    "misspelled argument": (lambda: layers.Dense(2, kernel_initialiser="zeros"), "Did you mean 'kernel_initializer'"),
    "misspelled activation": (lambda: layers.Dense(2, "rellu"), "'rellu'. Did you mean 'relu'"),
    "misspelled initializer": (lambda: layers.Dense(2, kernel_initializer="zeroes"), "Did you mean 'zeros'"),
    "misspelled padding": (lambda: layers.Conv2D(2, 3, padding="sam"), "padding must be one of .*got padding='sam'"),
    "kernel of another rank": (lambda: layers.Conv2D(2, (3, 3, 3)), "kernel_size must be .*2 of them, got .*\\(3, 3, 3\\)"),
    "window too large": (lambda: layers.Conv2D(4, 7)(np.ones((2, 5, 5, 4))), "does not fit into inputs of shape .2, 5, 5, 4"),
    "rate": (lambda: layers.Dropout(1.5), "rate must be a number between 0 and 1, got rate=1.5"),
    "wrapped layer": (lambda: layers.Bidirectional(layers.Dense(2)), "Bidirectional: layer must be a recurrent.*no go_backw"),
    "merge mode": (lambda: layers.Bidirectional(layers.LSTM(2), "conc"), "merge_mode must be one of .*got merge_mode='conc'"),
    "equation": (lambda: layers.EinsumDense("abc", 3), "EinsumDense: Invalid einsum equation 'abc'.*like 'abc,cd->abd'"),
    "function": (lambda: layers.Lambda(3), "Lambda: function must be callable, got 3"),
    "rank": (lambda: layers.LSTM(3)(np.ones((2, 3))), "expected ndim=3, found ndim=2. Full shape received: \\(2, 3\\)"),
    "axis": (lambda: layers.LayerNormalization(5)(X), "axis=5 is out of range for shape \\(2, 3, 4\\)"),
    "axes": (lambda: layers.Dot(5)([X, X]), "axes=5 are out of range for inputs of ranks \\(3, 3\\)"),
    "shared axes": (lambda: layers.PReLU(shared_axes=[9])(X), "shared_axes=\\[9\\] must lie between 1 and the last axis"),
    "sizes": (lambda: layers.Reshape((5,))(X), "samples of shape \\(3, 4\\) do not fit target_shape=\\(5,\\)"),
    "number of states": (lambda: layers.LSTM(3)(X, initial_state=[X[:, 0, :3]]), "initial_state must be 2 tensor.*got 1"),
    "size of states": (lambda: layers.GRU(3)(X, initial_state=[X[:, 0]]), "state sizes \\[3\\], got 1 of shapes ..2, 4"),
    "ranks of attention": (lambda: layers.MultiHeadAttention(2, 3)(X, X[0]), "one rank, at least 3.*\\(2, 3, 4\\), \\(3, 4\\)"),
    "number of inputs": (lambda: layers.Dense(2)([X, X]), "expects 1 input\\(s\\), but it received 2"),
    "no tensor": (lambda: layers.Dense(2)(None), "must be a tensor, got None"),
    "classes": (lambda: metrics.MeanIoU("a"), "MeanIoU: num_classes must be a positive integer, got num_classes='a'"),
    "label out of range": (
        lambda: losses.SparseCategoricalCrossentropy()(np.array([0, 4]), np.full((2, 4), 0.25, "float32")),
        "y_true holds the label 4.*4 classes.*0 to 3",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_text_of_errors(case):
    make, says = CASES[case]
    with pytest.raises((ValueError, TypeError), match=f"(?s){says}"):
        make()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [({}, "missing a required argument: 'value'"), ({"valu": X}, "Did you mean 'value'")],
)
@pytest.mark.parametrize("make", [lambda: layers.MultiHeadAttention(2, 3), lambda: layers.GroupQueryAttention(3, 4, 2)])
def test_arguments_of_calls(make, arguments, says):
    with pytest.raises(TypeError, match=f"'(multi_head|grouped_query)_attention.*{says}.*It takes .query, value"):
        make()(X, **arguments)


def test_errors_from_inside_name_the_path():
    class Block(layers.Layer):
        def __init__(self):
            super().__init__(name="block")
            self.inner = layers.Dense(2, name="inner")

        def call(self, x):
            return self.inner(x)

    block = Block()
    block(X)
    with pytest.raises(ValueError, match="inner") as raised:
        block(X[..., :3])
    assert any("'block/inner'" in note for note in raised.value.__notes__)


def test_call_makes_no_new_state():
    class Leaking(layers.Layer):
        def call(self, x):
            self.scale = self.add_weight(shape=())
            return x * self.scale

    class Nesting(layers.Layer):
        def call(self, x):
            self.inner = layers.Dense(2)
            return self.inner(x)

    for layer in (Leaking(name="it"), Nesting(name="it")):
        with pytest.raises(ValueError, match="'it' cannot add new elements of state in call"):
            layer(X)


def test_optimizers_of_keras_2_say_what_to_use():
    with pytest.raises(ImportError, match="Use optimizers.Adam instead"):
        optimizers.legacy.Adam(0.1)
