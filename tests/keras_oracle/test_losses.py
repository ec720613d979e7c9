"""Losses give the numbers, and have the signatures, of Keras's."""

import inspect
import math

import numpy as np
import pytest

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
    ("huber", {"delta": 0.2}),
    ("cosine_similarity", {"axis": 0}),
    ("dice", {"axis": (1,)}),
    ("tversky", {"alpha": 0.2, "beta": 0.9, "axis": (1,)}),
]
RNG = np.random.default_rng(0)
TRUE, PRED = RNG.random((2, 6, 3)).astype("float32")
CLASSES = np.array([0, 1, 2, 1, 0, 0])


def assert_close(ours, theirs):
    np.testing.assert_allclose(np.asarray(ops.convert_to_numpy(ours)), to_numpy(theirs), rtol=2e-5, atol=1e-6)


def to_numpy(x):
    return np.asarray(x.detach() if hasattr(x, "detach") else x)


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_function(keras, name, arguments):
    ours = getattr(losses, name)(TRUE, PRED, **arguments)
    assert_close(ours, getattr(keras.losses, name)(TRUE, PRED, **arguments))


@pytest.mark.parametrize("arguments", [{}, {"from_logits": True}, {"ignore_class": 1}])
def test_sparse_crossentropy(keras, arguments):
    ours = losses.SparseCategoricalCrossentropy(**arguments)(CLASSES, PRED)
    assert_close(ours, keras.losses.SparseCategoricalCrossentropy(**arguments)(CLASSES, PRED))


@pytest.mark.parametrize("arguments", [{}, {"remove_diagonal": False, "gamma": 20.0, "margin": 0.2}])
def test_circle(keras, arguments):
    embeddings = PRED / np.linalg.norm(PRED, axis=1, keepdims=True)
    assert_close(losses.Circle(**arguments)(CLASSES, embeddings), keras.losses.Circle(**arguments)(CLASSES, embeddings))


def test_generalized_crossentropy(keras):
    ours = losses.CategoricalGeneralizedCrossEntropy(0.7)(CLASSES, PRED)
    assert_close(ours, keras.losses.CategoricalGeneralizedCrossEntropy(0.7)(CLASSES, PRED))


@pytest.mark.parametrize("reduction", ["sum", "mean", "mean_with_sample_weight", "sum_over_batch_size", "none", None])
@pytest.mark.parametrize("weights", [None, 2.0, np.arange(6.0), np.arange(6.0)[:, None]])
def test_reduction(keras, reduction, weights):
    if reduction == "mean_with_sample_weight" and isinstance(weights, float):
        pytest.skip("Keras divides by one weight, not by that of all samples")
    ours = losses.MeanAbsoluteError(reduction=reduction)(TRUE, PRED, sample_weight=weights)
    assert_close(ours, keras.losses.MeanAbsoluteError(reduction=reduction)(TRUE, PRED, sample_weight=weights))


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
    assert_close(*results)


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
