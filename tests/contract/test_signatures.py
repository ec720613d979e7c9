"""Every backend has every primitive with the signature of its contract; overrides keep the composite's signature."""

import importlib
import inspect

import pytest

from multikeras.backend.interface import Backend

OPTIONAL = {
    "is_tensor", "unstacked", "synchronize", "set_trainable", "copy_tensor", "outside_trace", "read", "register",
    "unregister", "register_all", "seed", "no_gradients", "map_leaves", "pack_module", "unpack_module", "load_endpoints",
    "is_sparse", "sparse_parts", "sparse", "coalesced", "sparse_matmul", "adopt", "lend", "peek", "fill",
    "profiler", "device_memory", "conv_plus", "map_batches", "observe", "observed", "finish_observing",
    "is_ragged", "replicas", "number_of_replicas", "sum_over_replicas", "whole_batches", "surely_in_range", "argument",
    "add_rows",
}  # fmt: skip
"""Methods of the interface that do something of their own, or nothing, where a backend does not define them."""

DERIVATIVES = {"value_and_grad", "vjp", "jvp"}
"""These refuse any arguments where a backend has no gradients."""

MODULES = {
    "numpy": ("numpy_backend", "_numpy_fused"),
    "jax": ("jax_backend", "_jax_fused"),
    "torch": ("torch_backend", "_torch_fused"),
    "tensorflow": ("tf_backend", "_tf_fused"),
}


def _load(name):
    try:
        return importlib.import_module(f"multikeras.backend.{name}").BACKEND
    except ImportError as error:
        pytest.skip(f"{name} cannot be imported: {error}")


def _interface():
    """Return the primitives: methods of the interface itself and names that it only annotates as elementwise."""
    own = {n: f for n, f in vars(Backend).items() if inspect.isfunction(f) and f.__module__ == Backend.__module__}
    elementwise = {n: 1 for n, a in Backend.__annotations__.items() if "Unary" in str(a)}
    elementwise |= {n: 2 for n, a in Backend.__annotations__.items() if "Binary" in str(a)}
    # `Callable` aliases show as their arguments when annotations are not strings.
    for n, a in Backend.__annotations__.items():
        arguments = getattr(a, "__args__", ())
        if n not in elementwise and str(a).startswith("collections.abc.Callable"):
            elementwise[n] = len(arguments) - 1
    return own, elementwise


METHODS, ELEMENTWISE = _interface()


def _parameters(function):
    """Return (name, default) of each parameter but self; None for built-in functions, which do not tell."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:
        return None
    return [(p.name, p.default, p.kind) for p in parameters if p.name not in ("self", "B")]


def _defined(backend, name):
    return next((vars(c)[name] for c in backend.__mro__ if name in vars(c) and c is not Backend), None)


def test_the_interface_is_seen():
    assert {"matmul", "value_and_grad", "conv"} <= METHODS.keys()
    assert (ELEMENTWISE["exp"], ELEMENTWISE["add"]) == (1, 2)
    assert OPTIONAL <= METHODS.keys()


@pytest.mark.parametrize("name", MODULES)
def test_every_primitive_is_defined(name):
    backend = _load(MODULES[name][0])
    missing = [n for n in [*METHODS, *ELEMENTWISE] if n not in OPTIONAL and _defined(backend, n) is None]
    assert not missing, f"{backend.__name__} lacks {missing}"


@pytest.mark.parametrize("name", MODULES)
def test_primitives_have_the_signature_of_the_interface(name):
    backend = _load(MODULES[name][0])
    wrong = {}
    for method, contract in METHODS.items():
        defined = _defined(backend, method)
        if not inspect.isfunction(defined):
            continue  # the framework's own function
        if method in DERIVATIVES and not backend.supports_gradients:
            continue
        got, want = _parameters(defined), _parameters(contract)
        if got != want:
            wrong[method] = f"{inspect.signature(defined)}, the interface has {inspect.signature(contract)}"
    assert not wrong, wrong


@pytest.mark.parametrize("name", MODULES)
def test_elementwise_primitives_take_as_many_tensors(name):
    backend = _load(MODULES[name][0])()
    wrong = {}
    for primitive, count in ELEMENTWISE.items():
        function = getattr(backend, primitive)
        try:
            inspect.signature(function).bind(*range(count))
        except TypeError as error:
            wrong[primitive] = str(error)
        except ValueError:
            pass  # a built-in function
    assert not wrong, wrong


@pytest.mark.parametrize("name", MODULES)
def test_overrides_have_the_signature_of_the_default(name):
    for composites in ("ops", "optimizers.rules"):  # they put themselves on Backend
        importlib.import_module(f"multikeras.{composites}")
    plain, fused = _load(MODULES[name][0]), _load(MODULES[name][1])
    assert issubclass(fused, plain)
    wrong = {}
    for override, function in vars(fused).items():
        if override.startswith("__") or not inspect.isfunction(function):
            continue
        default = getattr(plain, override, None)
        if default is None:
            if not override.startswith("_"):
                wrong[override] = "overrides nothing"
            continue
        got, want = _parameters(function), _parameters(default)
        if want is not None and got != want:
            wrong[override] = f"{inspect.signature(function)}, the default has {inspect.signature(default)}"
    assert not wrong, wrong
