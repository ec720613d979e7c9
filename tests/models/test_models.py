"""Functional, Sequential and subclassed models compute what their layers compute, and survive configs, copies and files."""

import numpy as np
import pytest

import multikeras as mk
from multikeras import layers, ops
from multikeras.core.masking import get_mask
from multikeras.random import host


def rows(n=6, *shape, seed=0):
    return host.normal((seed, 0), (n, *(shape or (4,))))


def numbers(x):
    return ops.convert_to_numpy(x)


def branching():
    """Two inputs, a shared layer, a nested model, ops in the graph, two outputs."""
    a, b = mk.Input((4,), name="a"), mk.Input((4,), name="b")
    shared = layers.Dense(5, activation="tanh", name="shared")
    inner = mk.Sequential([layers.Dense(3, activation="relu"), layers.Dense(3)], name="inner")
    joined = layers.Concatenate(name="joined")([shared(a), shared(b) * 2.0, inner(a)])
    normed = layers.LayerNormalization(name="normed")(joined)
    first = layers.Dense(2, name="first")(normed)
    second = ops.sum(normed[:, :4], axis=-1, keepdims=True) + ops.sigmoid(first)
    return mk.Model({"a": a, "b": b}, [first, second], name="branching")


class Subclassed(mk.Model):
    def __init__(self, width=3, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.blocks = [layers.Dense(width, activation="relu"), layers.Dense(width)]
        self.head = layers.Dense(1)

    def call(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def test_a_graph_is_its_layers_called_by_hand():
    model = branching()
    a, b = rows(seed=1), rows(seed=2)
    first, second = map(numbers, model({"a": a, "b": b}))
    shared, inner = model.get_layer("shared"), model.get_layer("inner")
    joined = model.get_layer("joined")([shared(a), shared(b) * 2.0, inner(a)])
    normed = model.get_layer("normed")(joined)
    by_hand = model.get_layer("first")(normed)
    np.testing.assert_allclose(first, numbers(by_hand), rtol=1e-5, atol=1e-6)
    expected = numbers(normed)[:, :4].sum(-1, keepdims=True) + 1 / (1 + np.exp(-numbers(by_hand)))
    np.testing.assert_allclose(second, expected, rtol=1e-4, atol=1e-5)


def test_names_shapes_and_order_of_a_graph():
    model = branching()
    assert model.output_shape == [(None, 2), (None, 2)]
    assert model.input_shape == {"a": (None, 4), "b": (None, 4)}
    assert model.layers[-1].name == "first"
    assert model.count_params() == sum(w.size for w in model.get_weights()) == 25 + 15 + 12 + 26 + 28



@pytest.mark.parametrize("make", [branching, lambda: mk.Sequential([mk.Input((4,)), layers.Dense(3), layers.Dropout(0.5)])])
def test_config_and_clone_give_the_same_function(make):
    model = make()
    x = {"a": rows(seed=1), "b": rows(seed=2)} if model.name == "branching" else rows()
    clone, revived = mk.models.clone_model(model), mk.models.model_from_json(model.to_json())
    for copy in (type(model).from_config(model.get_config()), clone, revived):
        copy.set_weights(model.get_weights())
        for ours, theirs in zip(mk.tree.flatten(model(x)), mk.tree.flatten(copy(x))):
            np.testing.assert_array_equal(numbers(ours), numbers(theirs))


def test_a_model_that_begins_in_the_middle_of_another():
    inputs = mk.Input((4,))
    hidden = layers.Dense(5, activation="relu")(inputs)
    outputs = layers.Dense(2)(hidden)
    whole, head = mk.Model(inputs, outputs), mk.Model(hidden, outputs)
    features = mk.Model(inputs, hidden)
    np.testing.assert_allclose(numbers(whole(rows())), numbers(head(features(rows()))), rtol=1e-6)


def test_shared_layers_share_weights():
    a = mk.Input((3,))
    layer = layers.Dense(3)
    model = mk.Model(a, layer(layer(a)))
    assert len(model.weights) == 2


def test_inputs_by_name_by_list_and_of_other_rank():
    a, b = mk.Input((1,), name="a"), mk.Input((1,), name="b")
    model = mk.Model([a, b], a - b)
    x, y = rows(6, 1, seed=1), rows(6, 1, seed=2)
    expected = x - y
    for given in ([x, y], {"b": y, "a": x}, [x[:, 0], y[:, 0]]):
        np.testing.assert_allclose(numbers(model(given)), expected, rtol=1e-6)


def test_subclassed_models_track_layers_in_lists():
    model = Subclassed(name="mine")
    model(rows())
    assert [tuple(v.shape) for v in model.weights] == [(4, 3), (3,), (3, 3), (3,), (3, 1), (1,)]
    assert model.weights[0].path.startswith("mine/")
    model.trainable = False
    assert model.trainable_weights == []
    assert not model.head.trainable
    model.blocks[0].trainable = True
    model.trainable = True
    assert len(model.trainable_weights) == 6


def test_old_spellings_of_the_input_shape():
    for layer, shape in (
        (layers.Dense(2, input_dim=3), (None, 3)),
        (layers.Dense(2, input_shape=(3,)), (None, 3)),
        (layers.Dense(2, batch_input_shape=(5, 3)), (5, 3)),
    ):
        assert mk.Sequential([layer]).input_shape == shape


def test_sequential_is_deferred_until_called_and_changes_by_add_and_pop():
    model = mk.Sequential([layers.Dense(3)])
    assert not model.built
    model(rows())
    assert model.count_params() == 15
    model.add(layers.Dense(2))
    assert model(rows()).shape == (6, 2)
    model.pop()
    assert model(rows()).shape == (6, 3)


def test_losses_of_layers_and_of_regularizers():
    class Adds(layers.Layer):
        def call(self, x):
            self.add_loss(ops.sum(x))
            return x

    inputs = mk.Input((4,))
    model = mk.Model(inputs, layers.Dense(2, kernel_regularizer=mk.regularizers.L2(0.1))(Adds()(inputs)))
    for _ in range(2):
        model(np.ones((3, 4)))
        added, penalty = (float(x) for x in model.losses)
        assert added == 12
        np.testing.assert_allclose(penalty, 0.1 * (model.get_weights()[0] ** 2).sum(), rtol=1e-5)


def test_masks_travel_from_embedding_to_recurrent_layers():
    inputs = mk.Input((5,), dtype="int32")
    embedded = layers.Embedding(7, 3, mask_zero=True)(inputs)
    model = mk.Model(inputs, layers.LSTM(2)(embedded))
    padded = np.array([[1, 2, 0, 0, 0], [3, 4, 5, 0, 0]])
    short = np.array([[1, 2], [3, 4]])
    same = model(padded[:1])
    np.testing.assert_allclose(numbers(same), numbers(model(np.pad(short[:1], ((0, 0), (0, 3))))), rtol=1e-6)
    other = mk.Model(inputs, layers.LSTM(2)(layers.Embedding(7, 3)(inputs)))
    other.set_weights(model.get_weights())
    assert abs(numbers(other(padded)) - numbers(model(padded))).max() > 1e-4


def test_summary_counts_and_names(capsys):
    branching().summary(expand_nested=True)
    text = capsys.readouterr().out
    assert 'Model: "branching"' in text
    assert "Total params: 106" in text
    assert "shared (Dense)" in text
    lines = []
    branching().summary(print_fn=lambda text, **_: lines.append(text))
    assert "Non-trainable params: 0" in "".join(lines)


def test_deep_models_are_built_without_recursion():
    x = inputs = mk.Input((2,))
    for _ in range(1500):
        x = x + 1.0
    np.testing.assert_allclose(numbers(mk.Model(inputs, x)(np.zeros((1, 2)))), [[1500.0, 1500.0]])


def test_stateless_call_leaves_the_layer_as_it_was():
    layer = layers.BatchNormalization()
    layer.build((None, 3))
    before = layer.get_weights()
    outputs, new = layer.stateless_call(
        [v.value for v in layer.trainable_variables], [v.value for v in layer.non_trainable_variables], rows(8, 3), training=True
    )
    assert outputs.shape == (8, 3)
    assert abs(numbers(new[0])).max() > 0
    for a, b in zip(before, layer.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_summary_shows_the_ops_between_the_layers(capsys):
    inputs = mk.Input((4, 3))
    mk.Model(inputs, mk.ops.relu(layers.Dense(2, name="d")(inputs)) * 2).summary()
    text = capsys.readouterr().out
    assert "relu" in text
    assert "Multiply" in text


def test_outputs_of_layers_of_a_sequential_that_grew():
    model = mk.Sequential([mk.Input((3,))])
    for units in (4, 5, 2):
        model.add(layers.Dense(units))
    inner = mk.Model(model.input, model.layers[0].output)
    x = rows(2, 3)
    np.testing.assert_allclose(numbers(inner(x)), numbers(model.layers[0](x)), rtol=1e-6)
    assert mk.Model(model.inputs, model.layers[-2].output).output_shape == (None, 5)
    with pytest.raises(AttributeError, match="has no output yet: it was never called"):
        _ = layers.Dense(2).output


def test_a_layer_with_a_mask_of_its_own_passes_masks_on():
    class Split(layers.Layer):
        def call(self, x):
            return mk.ops.split(x, 2, axis=1)

        def compute_mask(self, inputs, mask=None):
            return None if mask is None else mk.ops.split(mask, 2, axis=1)

    assert Split().supports_masking
    assert not layers.Layer().supports_masking
    embedded = layers.Embedding(5, 3, mask_zero=True)(np.array([[1, 2, 0, 0]]))
    halves = Split()(embedded)
    masks = [mk.ops.convert_to_numpy(get_mask(half)).tolist() for half in halves]
    assert masks == [[[True, True]], [[False, False]]]
