"""Every layer refuses every wrong argument when it is made: the text names the layer, the argument and what arrived."""

import inspect

import numpy as np
import pytest
from keras_oracle.layer_grid import CASES, Part, arrays

from multikeras import constraints, initializers, layers, losses, metrics, optimizers, regularizers

FIRST = {case.layer: case for case in reversed(CASES)}
_SIZE, _NUMBER = ("a", 0), ("a",)
WRONG = {
    **dict.fromkeys(("filters", "kernel_size", "strides", "dilation_rate", "pool_size", "groups", "input_dim", "output_dim",
                     "num_heads", "key_dim", "value_dim", "head_dim", "num_query_heads", "num_key_value_heads", "size",
                     "output_size", "depth_multiplier", "power_iterations", "sliding_window", "lora_rank", "n"), _SIZE),
    **dict.fromkeys(("axis", "axes", "shared_axes", "attention_axes", "momentum", "mask_value", "alpha", "threshold",
                     "negative_slope", "max_value", "mean", "variance", "l1", "l2", "noise_shape", "dropout",
                     "recurrent_dropout"), _NUMBER),
    "units": ("a", 0, -1, 2.5), "rate": (1.5, "a"), "stddev": (-1, "a"), "epsilon": ("a", -1), "cropping": ("a", -1),
    "padding": ("sam",), "data_format": ("last",), "interpolation": ("nearst",), "merge_mode": ("conc",),
    "score_mode": ("dots",), "use_cudnn": ("x",), "equation": ("ab",), "function": (3,), "layer": (3,), "cell": (3,),
    "activation": ("rellu", 5), "recurrent_activation": ("sigmoidd",), "target_shape": ("a", (2.5,), (-1, -1)),
    "dims": ("a", (3, 3)), "dtype": ("flot32", 3), "name": (3,),
}  # fmt: skip
BY_ENDING = {"initializer": ("zeross", 5), "regularizer": ("l22", 5), "constraint": ("nonneg", 5)}


def _made(x):
    if isinstance(x, Part):
        return getattr(layers, x.layer)(*x.args, **x.kwargs)
    return [_made(one) for one in x] if isinstance(x, list) else x


@pytest.mark.parametrize("name", FIRST)
def test_wrong_arguments(name):
    cls, case = getattr(layers, name), FIRST[name]
    parameters = [p for p in inspect.signature(cls).parameters if p not in ("args", "kwargs")]
    good = {k: _made(v) for k, v in {**dict(zip(parameters, case.args)), **case.kwargs}.items()}
    for parameter in dict.fromkeys([*parameters, "dtype", "name"]):
        for value in WRONG.get(parameter, BY_ENDING.get(parameter.rpartition("_")[2], ())):
            with pytest.raises((ValueError, TypeError)) as raised:
                cls(**{**good, parameter: value})
            text = str(raised.value)
            assert parameter in text or parameter.rpartition("_")[2] in text, text
            assert repr(value) in text or str(value) in text, text
            assert "not supported between" not in text, text


@pytest.mark.parametrize("name", [n for n in FIRST if "kwargs" in inspect.signature(getattr(layers, n)).parameters])
def test_a_misspelled_argument(name):
    case = FIRST[name]
    parameters = [p for p in inspect.signature(getattr(layers, name)).parameters if p not in ("args", "kwargs")]
    right = max([*parameters, "trainable"], key=len)
    with pytest.raises((ValueError, TypeError), match=f"(?s)'{right}x'.*Did you mean '{right}'"):
        case.make(layers, **{f"{right}x": 1})


SPACES = (losses, metrics, optimizers, optimizers.schedules, initializers, regularizers, constraints)
PARTS = {
    (cls.__name__, tuple(p for p in inspect.signature(cls).parameters if p not in ("args", "kwargs"))): cls
    for space in SPACES for cls in vars(space).values()
    if inspect.isclass(cls) and cls.__module__.startswith("multikeras.") and not inspect.isabstract(cls)
}  # fmt: skip
REFUSED = {
    **dict.fromkeys(("alpha", "delta", "gamma", "mean", "minval", "maxval", "gain", "max_value", "min_value", "rho",
                     "momentum", "beta_1", "beta_2", "clipnorm", "weight_decay", "threshold", "axis", "num_thresholds"),
                    _NUMBER),
    "epsilon": ("a", -1), "stddev": ("a", -1), "label_smoothing": ("a", 2.0), "k": ("a", 0),
    "reduction": ("summ",), "learning_rate": ("a",), "gradient_accumulation_steps": ("a", 1),
}  # fmt: skip
_ENOUGH = {"num_classes": 3, "target_class_ids": [0], "recall": 0.5, "precision": 0.5, "sensitivity": 0.5, "specificity": 0.5,
           "fn": min, "normalizer": [1.0]}  # fmt: skip


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part[0])
def test_wrong_arguments_of_parts(part):
    (name, parameters), cls = part, PARTS[part]
    required = [n for n, p in inspect.signature(cls).parameters.items() if p.default is p.empty and n in parameters]
    if not set(required) <= set(_ENOUGH):
        pytest.skip(f"{name} needs {required}")
    good = {n: _ENOUGH[n] for n in required}
    for parameter in parameters:
        for value in REFUSED.get(parameter, ()):
            with pytest.raises((ValueError, TypeError), match=f"(?s){parameter}.*{value}") as raised:
                cls(**{**good, parameter: value})
            assert "not supported between" not in str(raised.value)
    if parameters and not name.endswith("Wrapper"):  # which hand unknown ones to their function
        right = max(parameters, key=len)
        with pytest.raises((ValueError, TypeError), match=f"(?s){right}x.*Did you mean '{right}'"):
            cls(**{**good, f"{right}x": 1})


CHANGES = {
    "no tensor": lambda a: None, "one axis": lambda a: a.reshape(-1), "a size less": lambda a: a[..., :-1],
    "an axis more": lambda a: a[None], "strings": lambda a: np.array([["a"]]), "an object": lambda a: object(),
}  # fmt: skip


def _changed(change, x):
    return [_changed(change, one) for one in x] if isinstance(x, (list, tuple)) else change(x)


def _refusal(layer, inputs, more):
    try:
        layer(*inputs, **more)
    except Exception as error:  # some are the framework's own
        return error
    return None


@pytest.mark.parametrize("name", [n if i % 6 == 0 else pytest.param(n, marks=pytest.mark.slow) for i, n in enumerate(FIRST)])
def test_wrong_inputs(name):
    """What a layer cannot take it refuses, and the error says which layer it was; Python does not stumble, let alone die."""
    case = FIRST[name]
    for change in CHANGES.values():
        layer = case.make(layers)
        inputs = arrays(case)
        layer(*inputs, **case.call)
        refused = _refusal(layer, [_changed(change, x) for x in inputs], case.call)
        if refused is not None:
            text = " ".join([str(refused), *getattr(refused, "__notes__", [])])
            assert layer.name in text, text
            assert not isinstance(refused, (AttributeError, KeyError, IndexError)) or name == "RNN", repr(refused)
