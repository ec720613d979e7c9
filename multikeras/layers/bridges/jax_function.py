"""`JaxLayer`: a pair of JAX functions, one that makes parameters and one that uses them, as a layer."""

import inspect
from collections.abc import Callable
from typing import Any

from multikeras import ops
from multikeras.backend import current
from multikeras.backend.shapes import Spec
from multikeras.core import tree
from multikeras.core.node import as_spec
from multikeras.core.variable import Variable
from multikeras.layers.layer import Layer
from multikeras.random.seed_generator import SeedGenerator

_OF_CALL = ("params", "state", "rng", "inputs", "training")
_OF_INIT = ("rng", "inputs", "training")


class JaxLayer(Layer):
    """Use functions written in JAX as a layer.

    Args:
        call_fn: A function of `inputs` and, if it names them, `params`, `state`, `rng` and `training`. It returns the
            outputs; with `state` a pair of outputs and new state.
        init_fn: A function of `rng`, `inputs` and, if it names it, `training` that returns the parameters; with `state`
            a pair of parameters and state.
        params: Parameters to start from, instead of those of `init_fn`.
        state: State to start from.
        seed: Where the draws start.

    Needs the jax backend: a ValueError says so on others.
    """

    not_in_config = ("params", "state", "seed")

    def __init__(
        self,
        call_fn: Callable,
        init_fn: Callable | None = None,
        params: Any = None,
        state: Any = None,
        seed: int | None = None,
        native_serialization_platforms: Any = None,
        **kwargs: Any,
    ):
        if current.name != "jax":
            raise ValueError(f"JaxLayer needs the jax backend (set MULTIKERAS_BACKEND=jax); the backend is {current.name}.")
        super().__init__(**kwargs)
        self.call_fn, self.init_fn, self.seed = call_fn, init_fn, seed
        self.native_serialization_platforms = native_serialization_platforms
        self._call_names = _named(call_fn, "call_fn", _OF_CALL)
        self._init_names = _named(init_fn, "init_fn", _OF_INIT) if init_fn is not None else ()
        if init_fn is None and params is None and state is None and {"params", "state"} & set(self._call_names):
            raise ValueError("JaxLayer: give init_fn, params or state, as call_fn takes params or state.")
        self.params = self._tracked(params, trainable=True)
        self.state = self._tracked(state, trainable=False)
        if {"rng"} & {*self._call_names, *self._init_names}:
            self.seed_generator = SeedGenerator(seed)

    def _tracked(self, values: Any, trainable: bool) -> Any:
        if values is None:
            return None
        with self._name_scope():
            return tree.map_structure(lambda v: Variable(v, trainable=trainable), values)

    def build(self, input_shape):
        if self.init_fn is None or self.params is not None or self.state is not None:
            return
        given = {"inputs": ops.ones([1 if size is None else size for size in input_shape], self.compute_dtype)}
        if "rng" in self._init_names:
            given["rng"] = self.seed_generator.next()
        if "training" in self._init_names:
            given["training"] = True
        made = self.init_fn(*(given[name] for name in self._init_names))
        params, state = made if "state" in self._call_names else (made, None)
        self.params = self._tracked(params, trainable=True)
        self.state = self._tracked(state, trainable=False)
        for variable in tree.flatten([self.params, self.state]):
            if variable is not None:
                self._own(variable)

    def call(self, inputs, training=False):
        given: dict[str, Any] = {"inputs": inputs, "training": training}
        for name in ("params", "state"):
            if name in self._call_names:
                given[name] = tree.map_structure(lambda v: v.value, getattr(self, name))
        if "rng" in self._call_names:
            given["rng"] = self.seed_generator.next()
        result = self.call_fn(*(given[name] for name in self._call_names))
        if "state" not in self._call_names:
            return result
        outputs, state = result
        for variable, value in zip(tree.flatten(self.state), tree.flatten(state), strict=True):
            variable.assign(value)
        return outputs

    def compute_output_spec(self, inputs, training=False):
        specs = tree.map_structure(lambda x: Spec(x.shape, x.dtype), tree.map_structure(as_spec, inputs))
        return current.eval_shape(lambda x: self.call(x, training=training), specs)


def _named(function: Callable, what: str, valid: tuple[str, ...]) -> tuple[str, ...]:
    """Return the parameters of a function in order, refusing ones that cannot be served."""
    names = tuple(inspect.signature(function).parameters)
    unknown = [name for name in names if name not in valid]
    if unknown or "inputs" not in names:
        raise ValueError(f"JaxLayer: {what} must take `inputs` and may take {valid}, it takes {names}.")
    return names
