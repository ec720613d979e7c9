"""`FlaxLayer`: a `flax.linen.Module` as a layer."""

import inspect
from collections.abc import Callable
from typing import Any

from multikeras.core import serialization
from multikeras.layers.bridges import need
from multikeras.layers.bridges.jax_function import JaxLayer


class FlaxLayer(JaxLayer):
    """Use a `flax.linen.Module` as a layer: its collection "params" is trained, all others are state.

    Args:
        module: The module.
        method: Its method to call, as a name, bound or unbound, or a function of the module and its inputs; its
            `__call__` if not given. If it names `training`, it is told.
        variables: The module's variables to start from, instead of those of its own initializers.
        kwargs: What every layer takes, and `seed` as in `JaxLayer`.

    Needs the jax backend: a ValueError says so on others.
    """

    not_in_config = ("variables", *JaxLayer.not_in_config)
    draws_only_in_training = True

    def __init__(self, module: Any, method: Callable | str | None = None, variables: Any = None, **kwargs: Any):
        need("jax", type(self))
        if not hasattr(module, "apply") or not hasattr(module, "init"):
            raise ValueError(f"FlaxLayer: module must be a flax.linen.Module, got {module!r}.")
        self.module = module
        self.method = getattr(module, method) if isinstance(method, str) else method
        call_fn, init_fn = _functions(module, self.method)
        params, state = (None, None) if variables is None else _parted(variables)
        super().__init__(call_fn, init_fn, params=params, state=state, **kwargs)

    def get_config(self):
        method = getattr(self.method, "__name__", None) if hasattr(self.method, "__self__") else self.method
        config = super().get_config()
        return {
            **{k: v for k, v in config.items() if k not in ("call_fn", "init_fn")},
            "module": serialization.serialize_keras_object(self.module),
            "method": method if method is None or isinstance(method, str) else serialization.serialize_keras_object(method),
        }


def _parted(variables: Any) -> tuple[dict, dict]:
    """Return the collection "params", under its name, and the others."""
    parts = dict(variables)
    return {name: parts.pop(name) for name in ("params",) if name in parts}, parts


def _functions(module: Any, method: Callable | None) -> tuple[Callable, Callable]:
    """Return the functions that a `JaxLayer` calls and initializes by."""
    takes_training = "training" in inspect.signature(method or type(module).__call__).parameters

    def told(training):
        return {"training": bool(training)} if takes_training else {}

    def call(params, state, rng, inputs, training):
        draws = {} if rng is None else {"rngs": {"dropout": rng}}
        # Lists, as a module that has nothing to write may be applied with an empty one and still returns a pair.
        return module.apply({**params, **state}, inputs, method=method, mutable=list(state), **draws, **told(training))

    def init(rng, inputs, training):
        return _parted(module.init(rng, inputs, method=method, **told(training)))

    return call, init
