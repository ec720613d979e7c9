"""Every call of a constructor or method that Keras's signatures allow, ours allow, and every public attribute is there."""

import inspect
from importlib import import_module

import numpy as np
import pytest
from keras_oracle import layer_grid, test_losses, test_metrics, test_optimizers, test_small_parts

import multikeras
from multikeras import Variable, layers
from multikeras.backend import current

NAMESPACES = (
    "layers", "losses", "metrics", "optimizers", "optimizers.schedules", "initializers", "regularizers", "constraints",
    "dtype_policies", "activations",
)  # fmt: skip
OF_QUANTIZATION = "one signature for every layer that is quantized"
EXCEPTIONS = {
    "add_metric": "only raises, in Keras too",
    "convert_weight": "how Keras's layers reach tf.data",
    "backend": "how Keras's layers reach tf.data",
    "variable_serialization_spec": "how Keras saves quantized layers",
    "quantized_build": OF_QUANTIZATION,
    "call_signature_parameters": "how Keras's layers find their call arguments",
    "parameters": "of torch modules, which are on torch only",
    "feature_dim": "a size that Keras's GroupQueryAttention remembers",
    "torch_params": "how Keras registers with torch; ours is a dict",
}


def public_classes(keras):
    for namespace in NAMESPACES:
        theirs, ours = import_module(f"keras.{namespace}"), import_module(f"multikeras.{namespace}")
        for name in sorted(vars(theirs)):
            if name[0] != "_" and hasattr(ours, name) and not inspect.ismodule(getattr(theirs, name)):
                yield f"{namespace}.{name}", getattr(ours, name), getattr(theirs, name)


def parameters(function):
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # a metaclass, or C
        return None


def same_default(ours, theirs) -> bool:
    """Tell whether defaults mean the same: one number may stand for as many of it."""
    if isinstance(theirs, tuple) and isinstance(ours, int):
        return set(theirs) == {ours}
    return ours is theirs or ours == theirs or (callable(ours) and callable(theirs)) or theirs is inspect.Parameter.empty


def differences(ours, theirs) -> list[str]:
    """Tell which calls that `theirs` allows `ours` would not, or would take otherwise."""
    own, wanted = parameters(ours), parameters(theirs)
    if own is None or wanted is None:
        return []
    named = {p.name: p for p in own if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in own)
    in_order = [p.name for p in own if p.kind is p.POSITIONAL_OR_KEYWORD]
    more = any(p.kind is p.VAR_POSITIONAL for p in own)
    found, given = [], set()
    for place, p in enumerate(wanted):
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) or p.name == "_":
            continue
        given.add(p.name)
        if p.name not in named and not takes_any:
            found.append(f"no argument {p.name!r}")
        elif p.name in named and not same_default(named[p.name].default, p.default):
            found.append(f"{p.name}={named[p.name].default!r}, not {p.default!r}")
        if p.kind is p.POSITIONAL_OR_KEYWORD and p.name in named and in_order[place : place + 1] != [p.name] and not more:
            found.append(f"{p.name!r} at another place")
    if not any(p.kind is p.VAR_KEYWORD or p.name == "_" for p in wanted):
        needed = [n for n, p in named.items() if p.default is p.empty and n not in given]
        found += [f"{name!r} is needed" for name in needed]
    return found


def test_constructors_and_functions(keras):
    found = {name: differences(ours, theirs) for name, ours, theirs in public_classes(keras)}
    assert {name: what for name, what in found.items() if what} == {}
    assert len(found) > 250


def test_methods(keras):
    found, count = {}, 0
    for name, ours, theirs in public_classes(keras):
        if not inspect.isclass(theirs):
            continue
        for method in dir(theirs):
            owner = next(c for c in theirs.__mro__ if method in vars(c)) if method[0] != "_" or method == "__call__" else object
            if not owner.__module__.startswith("keras") or method in EXCEPTIONS:
                continue  # what Keras inherits from frameworks and the language is theirs
            rule, own = getattr(theirs, method), getattr(ours, method, None)
            if callable(rule):
                count += 1
                what = ["missing"] if own is None else differences(own, rule)
                if what:
                    found[f"{name}.{method}"] = what
    assert found == {}
    assert count > 3000


def both(keras, namespace, name, *args, **kwargs):
    for package in (multikeras, keras):
        made = getattr(import_module(f"{package.__name__}.{namespace}"), name)(*args, **kwargs)
        if namespace == "optimizers":
            made.build([(Variable if package is multikeras else keras.Variable)(np.ones((3, 2), "float32"))])
        yield made


def instances(keras):
    """Yield an object of every class, with arguments of the other tables, of ours and of Keras's."""
    for case in {c.layer: c for c in reversed(layer_grid.CASES)}.values():
        if case.layer != "LayerNormalization":  # whose first case Keras cannot run on every backend
            yield layer_grid.built(multikeras, case), layer_grid.built(keras, case)
    for name, arguments, *_ in [*test_metrics.CASES, *test_metrics.REGIONS]:
        yield both(keras, "metrics", name, **arguments)
    for name, arguments, *_ in test_losses.LOSSES:
        yield both(keras, "losses", name, **arguments)
    for name, arguments in test_optimizers.CASES:
        yield both(keras, "optimizers", name, **arguments)
    for name, args, arguments in test_optimizers.SCHEDULES:
        yield both(keras, "optimizers.schedules", name, *args, **arguments)
    for namespace, table in (
        ("regularizers", test_small_parts.REGULARIZERS), ("constraints", test_small_parts.CONSTRAINTS),
        ("initializers", [(name, arguments) for name, arguments, _ in test_small_parts.INITIALIZERS]),
    ):  # fmt: skip
        for name, arguments in table:
            yield both(keras, namespace, name, **arguments)
    for name in ("float32", "mixed_float16", "mixed_bfloat16"):
        yield both(keras, "dtype_policies", "DTypePolicy", name)
    yield both(keras, "dtype_policies", "DTypePolicyMap")


@pytest.mark.slow if current.name == "jax" else lambda test: test  # which compiles each op of each layer
def test_attributes(keras):
    missing, count, exceptions = {}, 0, set()
    for ours, theirs in instances(keras):
        exceptions |= {name for name in EXCEPTIONS if hasattr(theirs, name) and not hasattr(ours, name)}
        for name in dir(theirs):
            if name[0] != "_" and name not in EXCEPTIONS and hasattr(theirs, name):
                count += 1
                if not hasattr(ours, name):
                    missing.setdefault(name, set()).add(type(ours).__name__)
    assert missing == {}
    assert count > 5000
    assert {*EXCEPTIONS} - exceptions <= {"quantized_build", "torch_params", "parameters"}, "exceptions that are none"


class Doubled(layers.SimpleRNN):
    def inner_loop(self, sequences, initial_state, mask, training=False):
        return super().inner_loop(sequences * 2.0, initial_state, mask, training)


def test_a_loop_of_a_user_takes_the_place_of_ours():
    x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    own, plain = Doubled(3), layers.SimpleRNN(3)
    outputs = own(x)
    plain.build(x.shape)
    plain.set_weights(own.get_weights())
    np.testing.assert_allclose(multikeras.ops.convert_to_numpy(outputs), multikeras.ops.convert_to_numpy(plain(2 * x)), rtol=1e-6)
