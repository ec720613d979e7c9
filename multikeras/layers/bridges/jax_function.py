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
from multikeras.layers import _call
from multikeras.layers.bridges import need
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
        params: Parameters to start from, instead of those of `init_fn`: a tree of arrays of any kind that JAX knows.
        state: State to start from, a tree too.
        seed: Where the draws start.

    Needs the jax backend: a ValueError says so on others.
    """

    not_in_config = ("params", "state", "seed")
    draws_only_in_training = False

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
        need("jax", type(self))
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
        """Return the tree with Variables of this layer in place of its arrays and numbers."""

        def variable(leaf):
            if isinstance(leaf, str):
                return leaf
            made = Variable(leaf, trainable=trainable)
            self._own(made)
            return made

        with self._name_scope():
            return current.map_leaves(variable, values)

    def build(self, input_shape):
        if self.init_fn is None or self.params is not None or self.state is not None:
            return
        example = _call.map_shapes(lambda s: ops.ones([size or 1 for size in s], self.compute_dtype), input_shape)
        given = {"inputs": example, "training": True}
        if "rng" in self._init_names:
            given["rng"] = self.seed_generator.next()
        made = self.init_fn(*(given[name] for name in self._init_names))
        params, state = made if "state" in self._call_names else (made, None)
        self.params = self._tracked(params, trainable=True)
        self.state = self._tracked(state, trainable=False)

    def call(self, inputs, training=False):
        given: dict[str, Any] = {"inputs": inputs, "training": training}
        for name in {"params", "state"} & {*self._call_names}:
            given[name] = current.map_leaves(lambda v: v.value if isinstance(v, Variable) else v, getattr(self, name))
        if "rng" in self._call_names:
            given["rng"] = None if self.draws_only_in_training and not training else self.seed_generator.next()
        result = self.call_fn(*(given[name] for name in self._call_names))
        if "state" not in self._call_names:
            return result
        outputs, state = result
        current.map_leaves(lambda v, new: v.assign(new) if isinstance(v, Variable) else v, self.state, state)
        return outputs

    def compute_output_spec(self, inputs, training=False):
        specs = tree.map_structure(lambda x: Spec(x.shape, x.dtype), tree.map_structure(as_spec, inputs))
        return current.eval_shape(lambda x: self.call(x, training=training), specs)


def _named(function: Callable, what: str, valid: tuple[str, ...]) -> tuple[str, ...]:
    """Return the parameters of a function in order, refusing ones that cannot be served."""
    names = tuple(inspect.signature(function).parameters)
    if "inputs" not in names:
        raise ValueError(f"JaxLayer: `{what}` must have a parameter `inputs`, it has {names}.")
    unknown = [name for name in names if name not in valid]
    if unknown:
        raise ValueError(f"JaxLayer: `{what}` has a parameter `{unknown[0]}`; it may have these: {', '.join(valid)}.")
    return names
