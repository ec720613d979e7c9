"""Normalization: the statistics of data in every form, and what it does with them."""

import itertools

import numpy as np
import pytest

import multikeras as mk
from multikeras import layers, ops

X = np.random.default_rng(0).normal(50.0, [1.0, 2.0, 30.0], (40, 4, 3)).astype("float32")
AXES = [-1, 1, (1, 2), (2, 1), (), None]


class Batches(mk.utils.PyDataset):
    def __init__(self, form):
        super().__init__()
        self.form = form

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return self.form(X[index * 10 : index * 10 + 10])


FORMS = {
    "array": lambda: X,
    "tensor": lambda: ops.convert_to_tensor(X),
    "lists of numbers": X.tolist,
    "list of uneven batches": lambda: [X[:7], X[7:8], X[8:]],
    "generator": lambda: (X[i : i + 13] for i in range(0, 40, 13)),
    "tuples": lambda: [(X[:7], None), (X[7:], None)],
    "PyDataset": lambda: Batches(lambda x: x),
    "PyDataset with targets": lambda: Batches(lambda x: (x, x[:, 0])),
}


@pytest.mark.parametrize(("form", "axis"), [*itertools.product(FORMS, AXES)], ids=str)
def test_the_statistics_are_those_of_all_data(form, axis):
    layer = layers.Normalization(axis=axis)
    layer.adapt(X[:3] * 7)  # forgotten by the next
    layer.adapt(FORMS[form]())
    kept = {None: ()}.get(axis, (axis,) if isinstance(axis, int) else axis)
    reduced = tuple(a for a in range(3) if a not in [k % 3 for k in kept])
    mean, variance = X.mean(reduced, dtype="float64"), X.var(reduced, dtype="float64")
    for found, expected in zip(layer.get_weights()[:2], (mean, variance), strict=True):
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    expected = (X - X.mean(reduced, dtype="float64", keepdims=True)) / X.std(reduced, dtype="float64", keepdims=True)
    np.testing.assert_allclose(ops.convert_to_numpy(layer(X)), expected, atol=2e-4)
    inverse = layers.Normalization(axis=axis, invert=True)
    inverse.build(X.shape)
    inverse.set_weights(layer.get_weights())
    np.testing.assert_allclose(ops.convert_to_numpy(inverse(layer(X))), X, rtol=1e-5)


def test_a_small_variance_beside_a_large_mean_is_kept():
    x = np.array([1e8, 1e8 + 1, 1e8 + 2, 1e8 + 3])[:, None]
    layer = layers.Normalization()
    layer.adapt([x[:2], x[2:]])
    assert layer.get_weights()[1].tolist() == [1.25]


@pytest.mark.parametrize("given", [(3.0, 4.0), ([1.0, 2.0, 3.0], [4.0, 4.0, 4.0]), (np.ones((1, 1, 3)), np.full((1, 1, 3), 9.0))])
def test_given_statistics(given):
    layer = layers.Normalization(mean=given[0], variance=given[1])
    expected = (X - np.asarray(given[0])) / np.sqrt(given[1])
    np.testing.assert_allclose(ops.convert_to_numpy(layer(X)), expected, rtol=1e-5)
    assert layer.weights == []
    again = layers.Normalization.from_config(layer.get_config())
    np.testing.assert_allclose(ops.convert_to_numpy(again(X)), expected, rtol=1e-5)


def test_a_compiled_model_sees_what_a_later_adapt_found():
    inputs = mk.Input((4, 3), dtype="int32")
    layer = layers.Normalization()
    model = mk.Model(inputs, layer(inputs))
    x = X.astype("int32")
    assert model.predict(x, verbose=0).dtype == "float32"
    layer.adapt(x)
    np.testing.assert_allclose(model.predict(x, verbose=0).mean((0, 1)), 0, atol=1e-4)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:`.h5` is the format")
def test_files_keep_what_was_found(suffix, tmp_path):
    layer = layers.Normalization(axis=(1, 2))
    layer.adapt(X)
    model = mk.Sequential([mk.Input((4, 3)), layer])
    model.save(tmp_path / f"m{suffix}")
    again = mk.saving.load_model(tmp_path / f"m{suffix}")
    np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))


@pytest.mark.parametrize("how", [lambda layer: layer, lambda layer: lambda x: layer(x)], ids=["layer", "function"])
def test_it_runs_in_a_tf_data_pipeline(how):
    tf = pytest.importorskip("tensorflow")
    layer = layers.Normalization()
    layer.adapt(X)
    data = tf.data.Dataset.from_tensor_slices(X).batch(16).map(how(layer), num_parallel_calls=2)
    assert data.element_spec.shape.as_list() == [None, 4, 3]
    found = np.concatenate([np.asarray(x) for x in data])
    np.testing.assert_array_equal(found, ops.convert_to_numpy(layer(X)))


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: layers.Normalization(mean=1.0), "both `mean` and `variance`"),
        (lambda: layers.Normalization(axis="x"), "axis='x'"),
        (lambda: layers.Normalization(axis=3).build((2, 3)), r"\[-2, 2\), got axis=\(3,\)"),
        (lambda: layers.Normalization().build((2, None)), r"must have a known size.*\[1\]"),
        (lambda: layers.Normalization(mean=[1.0, 2.0], variance=[1.0, 2.0])(X), r"shape \(3,\).*got shape \(2,\)"),
        (lambda: layers.Normalization(mean=1.0, variance=1.0).adapt(X), "was given its own"),
        (lambda: layers.Normalization().adapt([X, X[:, :, :2]]), r"incompatible shape \(40, 4, 2\)"),
        (lambda: layers.Normalization().adapt([X, X[0]]), r"incompatible shape \(4, 3\)"),
        (lambda: layers.Normalization().adapt(iter(())), "empty iterable"),
        (lambda: layers.Normalization().adapt(X[:0]), r"shape \(0, 4, 3\)"),
        (lambda: layers.Normalization().adapt(iter([1, 2])), "with a `.shape`, got 1"),
        (lambda: layers.Normalization().adapt("x"), "got str"),
    ],
)
def test_bad_input_is_named(act, message):
    with pytest.raises((ValueError, TypeError), match=message):
        act()
