"""Every bad input gets an error that names the argument, what arrived and what to do, before any work is lost."""

import contextlib

import numpy as np
import pytest

import multikeras as mk
from multikeras import backend, callbacks, layers

trains = pytest.mark.skipif(not backend.current.supports_gradients, reason="this backend computes no gradients")


@pytest.fixture
def model():
    model = mk.Sequential([mk.Input((4,)), layers.Dense(3)])
    model.compile("sgd", "mse")
    return model


def rows(n, width=4):
    return np.ones((n, width), "float32")


@trains
@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        (rows(8, 5), rows(8, 3), r"expected shape=\(None, 4\).*\(None, 5\)"),
        (np.ones((8, 2, 4)), rows(8, 3), "expected ndim=2, found ndim=3"),
        (rows(8), rows(7, 3), "same number of samples.*x: 8, y: 7"),
        (rows(0), rows(0, 3), "data set is empty.*0 samples"),
        (np.array([["a"] * 4] * 8), rows(8, 3), "x holds strings"),
        (np.array([[None] * 4] * 8, dtype=object), np.array([["b"] * 3] * 8, dtype=object), "not numbers"),
        (None, rows(8, 3), "x is None"),
        (object(), None, "x of type object .* cannot be used as data"),
    ],
)
def test_refused_data_leaves_the_model_usable(model, x, y, says):
    before = model.get_weights()
    with pytest.raises(ValueError, match=says):
        model.fit(x, y, verbose=0)
    for a, b in zip(before, model.get_weights()):
        np.testing.assert_array_equal(a, b)
    model.fit(rows(8), rows(8, 3), verbose=0)


@trains
def test_targets_of_a_shape_that_does_not_fit(model):
    says = r"loss 'mean_squared_error' cannot compare targets of shape \((None|8), {}\) with outputs of shape \((None|8), 3\)"
    with pytest.raises(ValueError, match=says.format(7)):
        model.fit(rows(8), rows(8, 7), verbose=0)
    model.fit(rows(8), rows(8, 3), verbose=0)
    two = mk.Model(model.inputs, {"a": model.outputs[0], "b": layers.Dense(3)(model.inputs[0])})
    two.compile("sgd", "mse")
    with pytest.raises(ValueError, match=f"Output 'b': The {says.format(5)}"):
        two.fit(rows(8), {"a": rows(8, 3), "b": rows(8, 5)}, verbose=0)


def test_a_loss_of_two_shapes():
    with pytest.raises(ValueError, match=r"loss 'huber_loss' .* targets of shape \(8, 7\) with outputs of shape \(8, 3\)"):
        mk.losses.Huber(name="huber_loss")(rows(8, 7), rows(8, 3))


@pytest.mark.parametrize("make", [layers.MaxPooling2D, layers.GlobalMaxPooling1D, layers.Flatten, layers.ZeroPadding2D])
def test_an_unknown_layout_names_the_layer(make):
    with pytest.raises(ValueError, match=rf"^{make.__name__}.*data_format must be one of .* got data_format='last'"):
        make(data_format="last")


def test_fit_before_compile():
    with pytest.raises(ValueError, match=r"Call compile\(optimizer, loss\) before fit\(\)"):
        mk.Sequential([mk.Input((4,)), layers.Dense(3)]).fit(rows(8), rows(8, 3))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (dict(optimizer="adm"), "Could not interpret optimizer identifier: 'adm'. Did you mean 'adam'"),
        (dict(loss="mean_squared_eror"), "loss identifier: 'mean_squared_eror'. Did you mean 'mean_squared_error'"),
        (dict(metrics=["acuracy_"]), "metric identifier: 'acuracy_'"),
        (dict(metrics="accuracy"), "metrics must be a list or dict"),
        (dict(steps_per_execution=0), "steps_per_execution must be a positive integer, got 0"),
    ],
)
def test_compile_says_at_once_what_it_does_not_know(model, arguments, says):
    with pytest.raises(ValueError, match=says):
        model.compile(**arguments)


def test_unknown_layer_argument_names_the_nearest():
    with pytest.raises(ValueError, match="passed to Dense: {'unit': 3}.*Did you mean 'units'"):
        layers.Dense(3, unit=3)


@trains
@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"callbacks": callbacks.History}, r"callbacks must be Callback objects.*History\(\.\.\.\)"),
        ({"class_weight": "balanced"}, "class_weight must be a dict.*'balanced'"),
        ({"batch_size": 0}, "batch_size must be positive, got 0"),
        ({"y": [1.0] * 8}, "y must have a first dimension of samples.*numpy.array"),
        ({"x": [[1, 2, 3, 4], [1, 2]]}, "x is a list of rows of different lengths"),
    ],
)
def test_arguments_of_fit(model, arguments, says):
    with pytest.raises((ValueError, TypeError), match=says):
        model.fit(**{"x": rows(8), "y": rows(8, 3), "verbose": 0} | arguments)


def test_unknown_argument_of_an_optimizer():
    with pytest.raises(ValueError, match="Adam: .*'lr'.*Did you mean 'learning_rate'"):
        mk.optimizers.Adam(lr=0.1)
    with pytest.raises(ValueError, match="Did you mean 'momentum'"):
        mk.optimizers.SGD(momentun=0.1)


def test_a_metric_where_loss_weights_stand(model):
    with pytest.raises(ValueError, match=r"loss_weights must be numbers.*\['mae'\].*metrics="):
        model.compile("sgd", "mse", ["mae"])


def test_dtypes_without_a_common_one():
    with pytest.raises(TypeError, match="No common dtype.*string.*float32"):
        backend.dtypes.result_type("float32", "string")


@pytest.mark.parametrize("name", ["exp", "softmax", "matmul", "sum", "searchsorted"])
def test_ops_on_strings(name):
    """Also where a framework has tensors of strings."""
    if backend.current.name == "numpy" and name in ("sum", "searchsorted"):
        return  # these it has for strings
    tensors = 2 if name in ("matmul", "searchsorted") else 1
    with pytest.raises((ValueError, TypeError), match=f"^{name}: \\w+ holds strings"):
        getattr(mk.ops, name)(*[np.array(["a", "b"])] * tensors)
    with contextlib.suppress(ValueError):
        words = backend.current.asarray(np.array(["a", "b"]))
        with pytest.raises((ValueError, TypeError), match=f"^{name}: \\w+ holds strings"):
            getattr(mk.ops, name)(*[words] * tensors)


def test_strings_where_numbers_are_counted_or_viewed():
    if backend.current.name != "numpy":  # which views characters as numbers
        with pytest.raises(ValueError, match="^view: strings cannot be viewed"):
            mk.ops.view(np.array(["a", "b"]), "int32")
    with pytest.raises(ValueError, match="^arange: counts numbers, not strings.*'a'"):
        mk.ops.arange("a")


@pytest.mark.parametrize("units", [0, -1, "three", 2.5])
def test_units(units):
    with pytest.raises((ValueError, TypeError), match="units"):
        layers.Dense(units)


def test_unknown_activation_and_initializer():
    with pytest.raises(ValueError, match="activation.*'rel'.*Did you mean.*'relu'"):
        layers.Dense(3, activation="rel")
    with pytest.raises(ValueError, match="initializer.*'glorot'"):
        layers.Dense(3, kernel_initializer="glorot")


def test_rank_shape_and_kind_into_a_layer():
    layer = layers.Dense(3, name="d")
    layer(rows(2))
    with pytest.raises(ValueError, match='(?s)Input 0 of layer "d" is incompatible.*axis -1.*value 4'):
        layer(rows(2, 5))
    with pytest.raises(ValueError, match="expected min_ndim=4|expected ndim=4"):
        layers.Conv2D(2, 3)(rows(2))
    with pytest.raises(ValueError, match="only tensors may be passed by position"):
        layer("text")


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: layers.Dense(3), (2, 2)),
        (layers.ReLU, (2, 2)),
        (lambda: layers.Embedding(3, 2), (2, 2)),
        (lambda: layers.Conv1D(3, 2), (1, 2, 1)),
        (layers.LayerNormalization, (2, 2)),
        (lambda: mk.Sequential([mk.Input((2,)), layers.Dense(3)]), (2, 2)),
    ],
)
def test_strings_into_a_layer(make, shape):
    with pytest.raises(ValueError, match="(?s)<U1") as caught:
        make()(np.full(shape, "a"))
    assert make().name.rpartition("_")[0] in "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])


def test_sequences_without_steps():
    with pytest.raises(ValueError, match=r'layer "r" .*expected min_ndim=2, found ndim=1.*\(4,\)'):
        layers.RNN(layers.LSTMCell(3), name="r")(np.ones(4, "float32"))


def test_symbolic_values_are_refused_with_a_hint():
    x = mk.Input((4,))
    with pytest.raises(TypeError, match="A condition needs values"):
        bool(x)
    with pytest.raises(TypeError, match="numpy needs values"):
        np.asarray(x)


def test_a_graph_with_a_loose_end():
    a, b = mk.Input((4,), name="a"), mk.Input((4,), name="b")
    with pytest.raises(ValueError, match="depends on input.*not among the model's inputs"):
        mk.Model(a, layers.Add()([a, b]))


@trains
def test_nan_loss_is_said(model):
    bad = rows(8)
    bad[0, 0] = np.nan
    with pytest.warns(UserWarning, match="loss is nan"):
        model.fit(bad, rows(8, 3), verbose=0)
    with pytest.raises(RuntimeError, match="NaN or Inf loss encountered at batch 0"):
        model.fit(bad, rows(8, 3), verbose=0, callbacks=[callbacks.TerminateOnNaN(raise_error=True)])


@trains
def test_generators_that_give_nothing(model):
    with pytest.raises(ValueError, match="generator ended before its first batch"):
        model.fit(iter(()), verbose=0)
    with pytest.raises(ValueError, match="y must not be given when x is"):
        model.fit((b for b in [(rows(2), rows(2, 3))]), rows(2, 3), verbose=0)


@trains
def test_validation_split(model):
    with pytest.raises(ValueError, match=r"validation_split=0\.95 of 8 samples leaves none for training"):
        model.fit(rows(8), rows(8, 3), validation_split=0.95, verbose=0)
    with pytest.raises(ValueError, match=r"validation_split must be between 0 and 1, got 1\.5"):
        model.fit(rows(8), rows(8, 3), validation_split=1.5, verbose=0)


def test_files(tmp_path, model):
    with pytest.raises(ValueError, match=r"must end in `.keras`"):
        model.save(tmp_path / "model.pickle")
    with pytest.raises(ValueError, match="File not found"):
        mk.saving.load_model(tmp_path / "none.keras")
    (tmp_path / "bad.keras").write_bytes(b"no zip at all")
    with pytest.raises(ValueError, match=r"bad\.keras.*is not a `.keras` file"):
        mk.saving.load_model(tmp_path / "bad.keras")
    other = mk.Sequential([mk.Input((4,)), layers.Dense(5)])
    other.save_weights(tmp_path / "x.weights.h5")
    before = model.get_weights()
    with pytest.raises(ValueError, match="Cannot load the weights of layers/dense"):
        model.load_weights(tmp_path / "x.weights.h5")
    for a, b in zip(before, model.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_a_device_that_is_not_there():
    with pytest.raises(ValueError, match="gpu:7.*cpu:0"), mk.device("gpu:7"):
        pass


@pytest.mark.skipif(backend.current.supports_gradients, reason="this backend trains")
def test_training_without_gradients(model):
    with pytest.raises(RuntimeError, match="computes no gradients.*pip install"):
        model.fit(rows(8), rows(8, 3))
