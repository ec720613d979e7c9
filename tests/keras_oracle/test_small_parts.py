"""Activations, regularizers, constraints and initializers against Keras: values, gradients, configs; none is left out."""

import inspect
import json

import numpy as np
import pytest
from keras_oracle import derivatives

import multikeras
from multikeras import activations, constraints, initializers, ops, regularizers
from multikeras import layers as our_layers

X = np.random.default_rng(0).normal(size=(4, 6)).astype("float32") * 3
KERNEL = np.random.default_rng(1).normal(size=(2, 3, 4)).astype("float32")

ACTIVATIONS = [
    *((name, {}) for name in (
        "celu", "elu", "exponential", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_tanh", "leaky_relu",
        "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "soft_shrink", "softmax",
        "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "tanh", "tanh_shrink",
    )),
    ("celu", {"alpha": 0.5}), ("elu", {"alpha": 0.5}), ("gelu", {"approximate": True}), ("glu", {"axis": 0}),
    ("hard_shrink", {"threshold": 1.0}), ("leaky_relu", {"negative_slope": 0.1}), ("log_softmax", {"axis": 0}),
    ("relu", {"negative_slope": 0.1, "max_value": 2.0, "threshold": 0.5}), ("soft_shrink", {"threshold": 1.0}),
    ("softmax", {"axis": 0}), ("sparsemax", {"axis": 0}), ("squareplus", {"b": 2}),
    ("threshold", {"threshold": 0.5, "default_value": -1.0}),
]  # fmt: skip
REGULARIZERS = [
    ("L1", {}), ("L1", {"l1": 0.3}), ("L2", {}), ("L2", {"l2": 0.3}), ("L1L2", {}), ("L1L2", {"l1": 0.1, "l2": 0.2}),
    ("OrthogonalRegularizer", {}), ("OrthogonalRegularizer", {"factor": 0.2, "mode": "columns"}),
]  # fmt: skip
CONSTRAINTS = [
    ("NonNeg", {}), ("UnitNorm", {}), ("UnitNorm", {"axis": 1}), ("MaxNorm", {}), ("MaxNorm", {"max_value": 0.5, "axis": 1}),
    ("MinMaxNorm", {}), ("MinMaxNorm", {"min_value": 0.5, "max_value": 0.8, "rate": 0.6, "axis": [0, 1]}),
]  # fmt: skip
INITIALIZERS = [
    ("Zeros", {}, (3, 4)), ("Ones", {}, (3, 4)), ("Constant", {"value": 2.5}, (3, 4)), ("Identity", {"gain": 2.0}, (3, 4)),
    ("STFT", {"side": "imag", "window": "hamming", "scaling": None, "periodic": True}, (8, 1, 5)),
]  # fmt: skip


def numbers(x):
    return np.asarray(ops.convert_to_numpy(x))


def ids(table):
    return [f"{name}({','.join(f'{k}={v}' for k, v in arguments.items())})" for name, arguments, *_ in table]


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * max(np.abs(expected).max(), 1e-2))


@pytest.mark.gradients
@pytest.mark.parametrize(("name", "arguments"), ACTIVATIONS, ids=ids(ACTIVATIONS))
def test_activations_and_their_gradients(keras, name, arguments):
    if name == "sparsemax":
        pytest.skip("Keras returns zeros for some rows: test_sparsemax")
    ours, theirs = getattr(activations, name), getattr(keras.activations, name)
    close(numbers(ours(X, **arguments)), keras.ops.convert_to_numpy(theirs(keras.ops.convert_to_tensor(X), **arguments)))
    found = derivatives.ours(lambda x: ops.sum(ops.sin(ours(x, **arguments))), X)
    close(found, derivatives.keras_s(lambda x: keras.ops.sum(keras.ops.sin(theirs(x, **arguments))), X))


@pytest.mark.parametrize("axis", [-1, 0])
def test_sparsemax(axis):
    """The nearest point of the simplex lies below x by one number a row, where it is not cut off at 0."""
    y = numbers(activations.sparsemax(X, axis=axis))
    np.testing.assert_allclose(y.sum(axis), 1.0, rtol=1e-6)
    below = np.where(y > 0, X - y, np.nan)
    np.testing.assert_allclose(np.nanmax(below, axis), np.nanmin(below, axis), atol=1e-5)
    assert (np.where(y > 0, -np.inf, X) <= np.nanmax(below, axis, keepdims=True) + 1e-5).all()


@pytest.mark.gradients
@pytest.mark.parametrize(("name", "arguments"), REGULARIZERS, ids=ids(REGULARIZERS))
def test_regularizers_and_their_gradients(keras, name, arguments):
    ours, theirs = getattr(regularizers, name)(**arguments), getattr(keras.regularizers, name)(**arguments)
    weight = X if name == "OrthogonalRegularizer" else KERNEL
    close(numbers(ours(weight)), keras.ops.convert_to_numpy(theirs(keras.ops.convert_to_tensor(weight))))
    if any(getattr(theirs, factor, 0) for factor in ("l1", "l2", "factor")):
        close(derivatives.ours(ours, weight), derivatives.keras_s(theirs, weight))


@pytest.mark.parametrize(("name", "arguments"), CONSTRAINTS, ids=ids(CONSTRAINTS))
def test_constraints(keras, name, arguments):
    ours, theirs = getattr(constraints, name)(**arguments), getattr(keras.constraints, name)(**arguments)
    close(numbers(ours(ops.convert_to_tensor(KERNEL))), keras.ops.convert_to_numpy(theirs(keras.ops.convert_to_tensor(KERNEL))))


@pytest.mark.parametrize(("name", "arguments", "shape"), INITIALIZERS, ids=ids(INITIALIZERS))
def test_initializers_without_draws(keras, name, arguments, shape):
    ours, theirs = getattr(initializers, name)(**arguments), getattr(keras.initializers, name)(**arguments)
    close(numbers(ours(shape)), keras.ops.convert_to_numpy(theirs(shape)))


EVERYTHING = [
    *(("regularizers", name, arguments) for name, arguments in REGULARIZERS),
    *(("constraints", name, arguments) for name, arguments in CONSTRAINTS),
    *(("initializers", name, arguments) for name, arguments, _ in INITIALIZERS),
]
OURS = {"regularizers": regularizers, "constraints": constraints, "initializers": initializers, "activations": activations}


@pytest.mark.parametrize(("namespace", "name", "arguments"), EVERYTHING, ids=[f"{s}.{n}{sorted(a)}" for s, n, a in EVERYTHING])
def test_configs_are_exchangeable(keras, namespace, name, arguments):
    ours, theirs = OURS[namespace], getattr(keras, namespace)
    saved = json.loads(json.dumps(ours.serialize(getattr(ours, name)(**arguments))))
    expected = json.loads(json.dumps(theirs.serialize(getattr(theirs, name)(**arguments))))
    if name == "Identity":  # Keras forgets to write it
        expected["config"]["gain"] = arguments["gain"]
    # Keras rounds some numbers to 32 bits first.
    numeric = {k: pytest.approx(v) if isinstance(v, float) else v for k, v in expected["config"].items()}
    assert saved == {**expected, "config": numeric}
    assert json.loads(json.dumps(ours.serialize(ours.deserialize(saved)))) == saved


@pytest.mark.parametrize(("name", "arguments"), ACTIVATIONS[:29], ids=ids(ACTIVATIONS[:29]))
def test_activations_by_name(keras, name, arguments):
    assert activations.serialize(activations.get(name)) == keras.activations.serialize(keras.activations.get(name))
    assert activations.deserialize(activations.serialize(activations.get(name))) is getattr(activations, name)
    assert our_layers.Activation(name).get_config()["activation"] == name


def public(namespace, kind):
    tools = {"get", "serialize", "deserialize"}
    members = {n: getattr(namespace, n) for n in dir(namespace) if n[0] != "_" and n not in tools}
    return {getattr(v, "__name__", n) for n, v in members.items() if kind(v)}


@pytest.mark.parametrize("path", ["initializers.Zeros", "initializers.Ones", "constraints.NonNeg"])
def test_arguments_of_what_takes_none(keras, path):
    namespace, name = path.split(".")
    for package in (OURS[namespace], getattr(keras, namespace)):
        with pytest.raises(TypeError, match="takes no arguments"):
            getattr(package, name)(seed=1)


@pytest.mark.parametrize("namespace", [*OURS, "losses", "metrics", "dtype_policies"])
def test_an_empty_config_is_refused(keras, namespace):
    for package in (multikeras, keras):
        with pytest.raises(ValueError, match="config"):
            getattr(package, namespace).deserialize({})


def test_a_map_of_policies_gives_them_away():
    policies = multikeras.dtype_policies.DTypePolicyMap("float32", {"a": multikeras.DTypePolicy("bfloat16")})
    again = multikeras.dtype_policies.DTypePolicyMap.from_config(policies.get_config())
    assert again == policies
    assert policies.pop("a").name == "bfloat16"
    assert policies.pop("a", default=None) is None
    with pytest.raises(KeyError):
        policies.pop("a")


def test_none_is_left_out():
    drawn = {"GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform", "RandomNormal",
             "RandomUniform", "TruncatedNormal", "Orthogonal", "VarianceScaling"}  # fmt: skip
    assert public(activations, inspect.isfunction) <= {name for name, _ in ACTIVATIONS}
    for namespace, table, elsewhere in (
        (regularizers, REGULARIZERS, {"Regularizer"}),
        (constraints, CONSTRAINTS, {"Constraint"}),
        (initializers, INITIALIZERS, {"Initializer", *drawn}),  # drawn ones: test_initializers.py
    ):
        classes = public(namespace, lambda v: inspect.isclass(v) and v.__module__.startswith("multikeras"))
        assert classes - elsewhere <= {name for name, *_ in table}
