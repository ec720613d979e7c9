"""Files that Keras 2 wrote (`keras2/make.py` made them): the same predictions, the state of the optimizer, compiled the same."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

import multikeras as mk
from multikeras import backend

FILES = Path(__file__).parent / "keras2"
CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def inputs():
    return [np.random.default_rng(i).normal(size=s).astype("float32") for i, s in enumerate([(8, 4), (8, 5, 4)])]


def expected(name):
    found = np.load(FILES / name)
    return [found[k] for k in found.files]


def check(model):
    for ours, theirs in zip(model.predict(inputs(), verbose=0), expected("k2m.npz")):
        np.testing.assert_allclose(ours, theirs, **CLOSE)


def test_a_whole_model():
    model = mk.saving.load_model(FILES / "k2m.h5")
    check(model)
    state = [v.numpy() for v in model.optimizer.variables if v.ndim]
    theirs = [v for v in expected("k2m.npz")[3:] if v.ndim]
    assert len(state) == len(theirs)
    for a, b in zip(state, theirs):
        np.testing.assert_array_equal(a, b)
    assert int(model.optimizer.iterations) == 2
    assert round(float(model.optimizer.learning_rate), 6) == 0.01
    if backend.current.supports_gradients:
        model.fit(inputs(), [np.ones((8, 11)), np.ones((8, 3)), np.ones((8, 5, 4))], verbose=0)


def test_json_and_weights():
    model = mk.models.model_from_json((FILES / "k2m.json").read_text())
    report = model.load_weights(FILES / "k2w.h5")
    assert not report.skipped
    check(model)


def test_a_stack_of_classic_layers():
    x = np.random.default_rng(2).normal(size=(4, 8, 8, 3)).astype("float32")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = mk.saving.load_model(FILES / "k2s.h5")
    assert int(model.optimizer.iterations.numpy()) > 0
    np.testing.assert_allclose(model.predict(x, verbose=0), expected("k2s.npz")[0], **CLOSE)
    assert model.get_compile_config()["loss"] == "categorical_crossentropy"


def test_layers_as_the_first_versions_wrote_them():
    layers = [
        {"class_name": "Dense", "config": {"name": "a", "units": 3, "activation": "relu", "batch_input_shape": [None, 2],
                                           "kernel_initializer": {"class_name": "VarianceScaling", "config": {"scale": 1.0}}}},
        {"class_name": "LeakyReLU", "config": {"name": "b", "alpha": 0.25}},
    ]  # fmt: skip
    config = {"class_name": "Sequential", "config": layers, "keras_version": "2.1.6", "backend": "tensorflow"}
    model = mk.models.model_from_json(json.dumps(config))
    assert model.output_shape == (None, 3)
    assert model.layers[1].negative_slope == 0.25


def test_a_class_that_nobody_knows_is_named():
    config = {"class_name": "Sequential", "config": [{"class_name": "Mystery", "config": {"name": "m"}}]}
    with pytest.raises((TypeError, ValueError), match="Mystery"):
        mk.models.model_from_json(json.dumps(config))
