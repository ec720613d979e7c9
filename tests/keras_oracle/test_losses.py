"""Losses give the numbers, and have the signatures, of Keras's."""

import inspect
import math

import numpy as np
import pytest
from keras_oracle import derivatives
from keras_oracle.closeness import assert_close

from multikeras import losses, ops

FUNCTIONS = [
    "binary_crossentropy", "binary_focal_crossentropy", "categorical_crossentropy", "categorical_focal_crossentropy",
    "categorical_hinge", "cosine_similarity", "dice", "hinge", "huber", "kl_divergence", "log_cosh", "mean_absolute_error",
    "mean_absolute_percentage_error", "mean_squared_error", "mean_squared_logarithmic_error", "poisson", "squared_hinge",
    "tversky",
]  # fmt: skip
CASES = [(name, {}) for name in FUNCTIONS] + [
    ("binary_crossentropy", {"from_logits": True, "label_smoothing": 0.1}),
    ("binary_focal_crossentropy", {"from_logits": True, "apply_class_balancing": True, "label_smoothing": 0.2}),
    ("categorical_crossentropy", {"from_logits": True, "label_smoothing": 0.1}),
    ("categorical_focal_crossentropy", {"from_logits": True, "label_smoothing": 0.1, "gamma": 3.0}),
    ("categorical_focal_crossentropy", {"alpha": [0.1, 0.2, 0.7]}),
    ("huber", {"delta": 0.2}),
    ("cosine_similarity", {"axis": 0}),
    ("dice", {"axis": (1,)}),
    ("tversky", {"alpha": 0.2, "beta": 0.9, "axis": (1,)}),
]
RNG = np.random.default_rng(0)
TRUE, PRED = RNG.random((2, 6, 3)).astype("float32")
CLASSES = np.array([0, 1, 2, 1, 0, 0])
ONE_HOT, SIGNS = np.eye(3, dtype="float32")[CLASSES], np.sign(TRUE - 0.5)
LABELS = (TRUE > 0.5).astype("float32")
UNIT = PRED / np.linalg.norm(PRED, axis=1, keepdims=True)
SHARES = PRED / PRED.sum(axis=1, keepdims=True)
SMOOTH = {"from_logits": True, "label_smoothing": 0.1}
LOSSES = [
    *((name, {}, TRUE, PRED) for name in (
        "MeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanSquaredLogarithmicError", "LogCosh",
        "Huber", "Poisson", "KLDivergence", "CosineSimilarity", "Dice", "Tversky",
    )),
    ("Huber", {"delta": 0.2}, TRUE, PRED),
    ("CosineSimilarity", {"axis": 0}, TRUE, PRED),
    ("Dice", {"axis": (1,)}, TRUE, PRED),
    ("Tversky", {"alpha": 0.2, "beta": 0.9, "axis": (1,)}, TRUE, PRED),
    ("Hinge", {}, SIGNS, PRED),
    ("SquaredHinge", {}, SIGNS, PRED),
    ("CategoricalHinge", {}, ONE_HOT, PRED),
    ("BinaryCrossentropy", {}, LABELS, PRED),
    ("BinaryCrossentropy", {**SMOOTH, "axis": 0}, LABELS, PRED),
    ("BinaryFocalCrossentropy", {}, LABELS, PRED),
    ("BinaryFocalCrossentropy", {**SMOOTH, "apply_class_balancing": True, "alpha": 0.3, "gamma": 3.0, "axis": 0}, LABELS, PRED),
    ("CategoricalCrossentropy", {}, ONE_HOT, SHARES),
    ("CategoricalCrossentropy", SMOOTH, ONE_HOT, PRED),
    ("CategoricalCrossentropy", {"axis": 0}, ONE_HOT, SHARES),
    ("CategoricalFocalCrossentropy", {}, ONE_HOT, SHARES),
    ("CategoricalFocalCrossentropy", {**SMOOTH, "alpha": 0.3, "gamma": 3.0}, ONE_HOT, PRED),
    ("CategoricalFocalCrossentropy", {"axis": 0}, ONE_HOT, SHARES),
    ("SparseCategoricalCrossentropy", {}, CLASSES, SHARES),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, CLASSES, PRED),
    ("SparseCategoricalCrossentropy", {"ignore_class": 1, "axis": -1}, CLASSES, SHARES),
    ("CategoricalGeneralizedCrossEntropy", {}, CLASSES, SHARES),
    ("CategoricalGeneralizedCrossEntropy", {"q": 0.7}, CLASSES, SHARES),
    ("Circle", {}, CLASSES, UNIT),
    ("Circle", {"remove_diagonal": False, "gamma": 20.0, "margin": 0.2}, CLASSES, UNIT),
    ("CTC", {}, np.array([[1, 2, 1]] * 2), RNG.normal(size=(2, 7, 4)).astype("float32")),
]  # fmt: skip


def assert_same(ours, theirs):
    assert_close(ops.convert_to_numpy(ours), to_numpy(theirs))


def to_numpy(x):
    return np.asarray(x.detach() if hasattr(x, "detach") else x)


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_function(keras, name, arguments):
    ours = getattr(losses, name)(TRUE, PRED, **arguments)
    assert_same(ours, getattr(keras.losses, name)(TRUE, PRED, **arguments))


@pytest.mark.parametrize("arguments", [{}, {"from_logits": True}, {"ignore_class": 1}])
def test_sparse_crossentropy(keras, arguments):
    ours = losses.SparseCategoricalCrossentropy(**arguments)(CLASSES, PRED)
    assert_same(ours, keras.losses.SparseCategoricalCrossentropy(**arguments)(CLASSES, PRED))


@pytest.mark.parametrize("arguments", [{}, {"remove_diagonal": False, "gamma": 20.0, "margin": 0.2}])
def test_circle(keras, arguments):
    embeddings = PRED / np.linalg.norm(PRED, axis=1, keepdims=True)
    assert_same(losses.Circle(**arguments)(CLASSES, embeddings), keras.losses.Circle(**arguments)(CLASSES, embeddings))


def test_generalized_crossentropy(keras):
    ours = losses.CategoricalGeneralizedCrossEntropy(0.7)(CLASSES, PRED)
    assert_same(ours, keras.losses.CategoricalGeneralizedCrossEntropy(0.7)(CLASSES, PRED))


@pytest.mark.parametrize("reduction", ["sum", "mean", "mean_with_sample_weight", "sum_over_batch_size", "none", None])
@pytest.mark.parametrize("weights", [None, 2.0, np.arange(6.0), np.arange(6.0)[:, None]])
def test_reduction(keras, reduction, weights):
    ours = losses.MeanAbsoluteError(reduction=reduction)(TRUE, PRED, sample_weight=weights)
    assert_same(ours, keras.losses.MeanAbsoluteError(reduction=reduction)(TRUE, PRED, sample_weight=weights))


@pytest.mark.parametrize("reduction", ["sum", "sum_over_batch_size", "mean_with_sample_weight"])
@pytest.mark.parametrize("weights", [None, np.arange(1.0, 7.0)])
def test_mask(keras, reduction, weights):
    mask = np.array([True, False, True, True, False, True])
    results = []
    for package in (losses, keras.losses):
        convert = ops.convert_to_tensor if package is losses else keras.ops.convert_to_tensor
        predicted = convert(PRED)
        predicted._keras_mask = convert(mask)
        results.append(package.MeanSquaredError(reduction=reduction)(TRUE, predicted, sample_weight=weights))
    assert_same(*results)


@pytest.mark.gradients
@pytest.mark.parametrize(("name", "arguments", "true", "predicted"), LOSSES, ids=[f"{n}{sorted(a)}" for n, a, *_ in LOSSES])
@pytest.mark.parametrize("weights", [None, [2.0, 0.5, 0.0, 1.0, 3.0, 1.0]], ids=["plain", "weighted"])
def test_class_and_its_gradient(keras, name, arguments, true, predicted, weights):
    if weights is not None and arguments.get("axis") == 0:
        pytest.skip("the samples themselves are reduced")
    weights = None if weights is None else np.array(weights[: len(true)], "float32")
    ours, theirs = getattr(losses, name)(**arguments), getattr(keras.losses, name)(**arguments)
    assert_same(ours(true, predicted, weights), theirs(true, predicted, weights))
    found = derivatives.ours(lambda p: ours(true, p, weights), predicted)
    expected = derivatives.keras_s(lambda p: theirs(true, p, weights), predicted)
    assert_close(found, expected)


NOT_IN_THE_GRID = {"Loss": "the base class"}


def test_every_loss_and_argument_is_in_the_grid():
    given = {}
    for name, arguments, *_ in LOSSES:
        given.setdefault(getattr(losses, name), set()).update(arguments)
    missing = {n for n in public_classes(losses) if n not in NOT_IN_THE_GRID and getattr(losses, n) not in given}
    assert missing == set()
    shared = {"name", "reduction", "dtype"}  # in the tests of reductions
    left_out = {c.__name__: set(inspect.signature(c).parameters) - names - shared for c, names in given.items()}
    assert {c: names for c, names in left_out.items() if names} == {}


def test_every_function_is_in_the_grid():
    elsewhere = {"ctc", "circle", "sparse_categorical_crossentropy", "categorical_generalized_cross_entropy"}  # by classes
    functions = {n for n in dir(losses) if n[0] != "_" and inspect.isfunction(getattr(losses, n))}
    functions -= {"get", "serialize", "deserialize"}
    assert {n for n in functions if getattr(losses, n).__name__ not in {*FUNCTIONS, *elsewhere}} == set()


def public_classes(package):
    return [n for n in dir(package) if n[0] != "_" and hasattr(getattr(package, n), "from_config")]


def test_names(keras):
    assert set(n for n in dir(keras.losses) if n[0] != "_") <= set(dir(losses))


@pytest.mark.parametrize("name", public_classes(losses))
def test_signature(keras, name):
    def shown(cls):
        return [(p.name, p.default) for p in inspect.signature(cls).parameters.values()]

    assert shown(getattr(losses, name)) == shown(getattr(keras.losses, name))


@pytest.mark.parametrize("name", public_classes(losses))
def test_config_is_exchangeable(keras, name):
    ours = losses.serialize(getattr(losses, name)())
    if name == "CategoricalGeneralizedCrossEntropy":
        pytest.skip("Keras does not write it as an object")
    theirs = keras.losses.deserialize(ours)
    assert keras.losses.serialize(theirs)["class_name"] == ours["class_name"]
    back = losses.deserialize(keras.losses.serialize(theirs))
    assert losses.serialize(back) == ours


def test_mean_of_nothing_is_zero():
    assert float(losses.MeanSquaredError(reduction="mean_with_sample_weight")(TRUE, PRED, np.zeros(6))) == 0.0
    assert not math.isnan(float(losses.MeanSquaredError()(TRUE, PRED, np.zeros(6))))


def test_circle_of_embeddings_of_any_length(keras):
    ours, theirs = (package.Circle(gamma=2.0)(CLASSES, 3 * PRED) for package in (losses, keras.losses))
    assert_same(ours, theirs)
