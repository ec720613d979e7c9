"""`Functional`: a model made of the graph between symbolic inputs and outputs."""

import inspect
import warnings
from typing import Any

from multikeras.backend import current
from multikeras.backend.shapes import Spec
from multikeras.core import serialization, tree
from multikeras.core.node import KerasTensor, Operation, node_of
from multikeras.layers._call import set_mask
from multikeras.layers.core.input_layer import Input, InputLayer
from multikeras.layers.input_spec import InputSpec, check
from multikeras.layers.layer import Layer
from multikeras.models.model import Model, flat_symbolic
from multikeras.models.plan import BY_MODE, Graph, Plan
from multikeras.models.revival import Revival
from multikeras.ops import cast, expand_dims, squeeze

_NATIVE = current.Tensor
_MOST_FITTING = 64


class Functional(Model):
    """A model that runs the layers and ops between its symbolic inputs and outputs.

    Args:
        inputs: Symbolic tensors, nested as the inputs will be.
        outputs: Symbolic tensors, nested as the outputs will be.
        name: Name of the model.
    """

    def __init__(self, inputs, outputs, name=None, **kwargs):
        trainable = kwargs.pop("trainable", None)
        Model.__init__(self, name=name, **kwargs)
        flat_inputs, flat_outputs = flat_symbolic(inputs, "inputs"), flat_symbolic(outputs, "outputs")
        if len({id(x) for x in flat_inputs}) != len(flat_inputs):
            raise ValueError(f"Model {self.name!r}: an input is given twice: {[x.name for x in flat_inputs]}.")
        if not all(_is_input(x) for x in flat_inputs):
            inputs, outputs, flat_inputs, flat_outputs = _with_fresh_inputs(inputs, outputs, flat_inputs, flat_outputs)
        self._inputs_struct, self._outputs_struct = inputs, outputs
        self.inputs: list[KerasTensor] = flat_inputs
        self.outputs: list[KerasTensor] = flat_outputs
        self._graph = Graph(flat_inputs, flat_outputs)
        self._plan_of_calls = Plan(self._graph)
        self._all_layers = [op for op in self._graph.operations if isinstance(op, Layer)]
        current.register_all(self, [(layer.name, layer) for layer in self._all_layers])
        self._single = len(flat_inputs) == 1 and isinstance(inputs, KerasTensor)
        self._input_specs = [_spec_of(x) for x in flat_inputs]
        object.__setattr__(self, "_fitting", set())  # dtypes and shapes of single inputs that go in as they are
        object.__setattr__(self, "_fitting_ranks", set())  # the same with ranks, for what is compiled
        self._noted_extra = False
        self._output_names = _output_names(flat_outputs)
        self.built = True
        self._build_shapes = {"input_shape": tree.map_structure(lambda x: x.shape, inputs)}
        if trainable is not None:
            self.trainable = trainable

    def _was_cast(self, dtype: str) -> None:
        super()._was_cast(dtype)
        self._fitting.clear()
        self._fitting_ranks.clear()

    def _set_mode(self, mode: bool) -> None:
        super()._set_mode(mode)
        self._unsaid = self._plan.training_default

    @property
    def operations(self) -> list[Operation]:
        """The layers and ops of the graph, those farthest from the outputs first."""
        return list(self._graph.operations)

    @property
    def layers(self) -> list[Layer]:
        """The layers of the graph, those farthest from the outputs first."""
        return [op for op in self._graph.operations if isinstance(op, Layer)]

    @layers.setter
    def layers(self, _):
        raise AttributeError("`layers` of a model is worked out from its graph. Use another attribute name.")

    @property
    def input_spec(self):
        """What the inputs must look like: one `InputSpec` each, the batch size left open."""
        if self._input_spec is not None:
            return self._input_spec
        specs = self._input_specs
        if isinstance(self._inputs_struct, dict):
            names = sorted(self._inputs_struct)
            specs = [InputSpec(shape=s.shape, name=n, optional=s.optional, allow_last_axis_squeeze=True)
                     for s, n in zip(specs, names)]  # fmt: skip
        return specs[0] if self._single else specs

    @input_spec.setter
    def input_spec(self, value):
        self._input_spec = value
        self._fitting.clear()
        self._fitting_ranks.clear()
        if value is not None:
            self._input_specs = tree.flatten(value)

    @property
    def input(self):
        """The symbolic inputs, nested as given."""
        return self._inputs_struct

    @property
    def output(self):
        """The symbolic outputs, nested as given."""
        return self._outputs_struct

    @property
    def input_shape(self):
        return tree.map_structure(lambda x: x.shape, self._inputs_struct)

    @property
    def output_shape(self):
        return tree.map_structure(lambda x: x.shape, self._outputs_struct)

    @property
    def takes_sparse(self) -> bool:  # type: ignore[override]
        """Whether an input was declared sparse: otherwise the graph gets dense tensors."""
        return any(x.sparse for x in self.inputs)

    @property
    def output_names(self) -> list[str]:
        """The names of the operations that make the outputs."""
        return self._output_names

    def call(self, inputs, training=None, mask=None):
        """Run the graph."""
        native = type(inputs) is _NATIVE
        if native and current.compiling():
            fits = (inputs.dtype, inputs.ndim) in self._fitting_ranks
        else:
            fits = native and (inputs.dtype, inputs.shape) in self._fitting
        if fits:
            flat = [inputs]
        else:
            flat = self._standardize(inputs)
            self._note_fitting(inputs, flat[0])
        if mask is not None:
            for x, m in zip(flat, tree.flatten(mask)):
                if m is not None:
                    set_mask(x, m)
        outputs = self._plan_of_calls.run(flat, training=BY_MODE if training is None and self._mode is not None else training)
        return (
            outputs[0]
            if isinstance(self._outputs_struct, KerasTensor)
            else tree.pack_sequence_as(self._outputs_struct, outputs)
        )

    def _note_fitting(self, inputs, first) -> None:
        """Let later inputs of this kind go in as they are, if these did."""
        as_is = first is inputs and type(inputs) is _NATIVE and self._single
        if as_is and len(self._fitting) < _MOST_FITTING and not current.compiling():
            self._fitting.add((inputs.dtype, inputs.shape))
            self._fitting_ranks.add((inputs.dtype, inputs.ndim))

    def _standardize(self, inputs) -> list:
        """Return the inputs in the order of `self.inputs`, with the rank and dtype these have."""
        struct = self._inputs_struct
        if isinstance(inputs, dict) and not isinstance(struct, dict):
            names = [x._keras_history.operation.name for x in self.inputs]
            missing = [n for n in names if n not in inputs]
            if missing:
                raise ValueError(f"Model {self.name!r} misses input(s) {missing}; it received {sorted(inputs)}.")
            self._note_extra(inputs, names)
            flat = [inputs[n] for n in names]
        elif isinstance(struct, dict) and isinstance(inputs, dict):
            missing = [n for n in struct if n not in inputs]
            if missing:
                raise ValueError(f"Model {self.name!r} misses input(s) {missing}; it received {sorted(inputs)}.")
            self._note_extra(inputs, struct)
            flat = [x for name in sorted(struct) for x in tree.flatten(inputs[name])]
        elif isinstance(struct, dict) and isinstance(inputs, (list, tuple)) and list(struct) != sorted(struct):
            # Which of a list is which could be meant either way.
            raise ValueError(
                f"The structure of `inputs` doesn't match the expected structure of model {self.name!r}: expected a dict with "
                f"the keys {sorted(struct)}, got a {type(inputs).__name__} of {len(inputs)}."
            )
        else:
            flat = [inputs] if self._single and not isinstance(inputs, (list, tuple, dict)) else tree.flatten(inputs)
        check(self._input_specs, flat, self.name)
        return [_fit(x, spec) for x, spec in zip(flat, self.inputs)]

    def _note_extra(self, inputs, names) -> None:
        extra = sorted(set(inputs) - set(names))
        if extra and not self._noted_extra:
            self._noted_extra = True
            warnings.warn(
                f"The structure of `inputs` doesn't match the expected structure of model {self.name!r}: {extra} are not "
                f"among its inputs {sorted(names)}. They are ignored.",
                stacklevel=3,
            )

    def compute_output_spec(self, inputs, training=None, mask=None):
        """Return shape and dtype of the outputs."""
        return super().compute_output_spec(inputs, training=training, mask=mask)

    def compute_mask(self, inputs, previous_mask):
        """Return None: the layers inside have set the masks."""
        return None

    def build(self, input_shape=None):
        """Do nothing: the graph is built."""

    # -- configs ---------------------------------------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """Return the layers, their calls, inputs and outputs."""
        if not _takes_inputs_and_outputs(type(self)):
            return Model.get_config(self)
        own = {id(n) for n in self._graph.nodes}
        nodes_of = {id(op): [(i, n) for i, n in enumerate(op._inbound_nodes) if id(n) in own] for op in self._graph.operations}
        kept = {(op, i): k for op, nodes in nodes_of.items() for k, (i, _) in enumerate(nodes)}

        def key(x):
            history = x._keras_history
            return [history.operation.name, kept[id(history.operation), history.node_index], history.tensor_index]

        def serialized(x):
            if isinstance(x, KerasTensor):
                config = {"shape": x.shape, "dtype": x.dtype, "keras_history": key(x)}
                return {"class_name": "__keras_tensor__", "config": config}
            return serialization.serialize_keras_object(x)

        layers = []
        for op in self._graph.operations:
            record = serialization.serialize_keras_object(op)
            record["name"] = op.name
            calls = [n for _, n in nodes_of[id(op)] if not n.is_input]
            record["inbound_nodes"] = [
                {"args": _map_leaves(serialized, n.args), "kwargs": _map_leaves(serialized, n.kwargs)} for n in calls
            ]
            layers.append(record)
        return {
            "name": self.name,
            "trainable": self.trainable,
            "layers": layers,
            "input_layers": _map_leaves(key, self._inputs_struct),
            "output_layers": _map_leaves(key, self._outputs_struct),
        }

    @staticmethod
    def revive(cls: type, config: dict[str, Any], custom_objects=None) -> "Functional":
        """Make a model from `get_config()` of another."""
        with serialization.CustomObjectScope(custom_objects or {}):
            graph = Revival(config["layers"], custom_objects)
            inputs, outputs = (graph.tensors(config[k]) for k in ("input_layers", "output_layers"))
        more = {k: v for k, v in config.items() if k in ("name", "trainable")}
        target = Functional if cls is Model else cls
        return target(inputs=inputs, outputs=outputs, **more)


Model.functional_class = Functional
serialization.provide("keras.src.models.functional", Functional)


def _is_input(x: KerasTensor) -> bool:
    node = node_of(x)
    return node is not None and isinstance(node.operation, InputLayer)


def _with_fresh_inputs(inputs, outputs, flat_inputs, flat_outputs):
    """Return the same graph on inputs of its own, for models that begin in the middle of another."""
    fresh = [x if _is_input(x) else Input(batch_shape=x.shape, dtype=x.dtype, name=x.name) for x in flat_inputs]
    flat_outputs = Plan(Graph(flat_inputs, flat_outputs)).run(fresh)
    return tree.pack_sequence_as(inputs, fresh), tree.pack_sequence_as(outputs, flat_outputs), fresh, flat_outputs


def _spec_of(x: KerasTensor) -> InputSpec:
    operation = x._keras_history.operation
    shape = (None, *x.shape[1:]) if x.shape else x.shape
    optional = bool(getattr(operation, "optional", False))
    return InputSpec(shape=shape, optional=optional, allow_last_axis_squeeze=True)


def _fit(x: Any, wanted: KerasTensor) -> Any:
    """Return an input in the dtype its `Input` declares, a last axis of size 1 added or dropped to fit its rank."""
    if x is None:
        return x
    rank, want = len(x.shape), len(wanted.shape)
    if rank == want + 1 and x.shape[-1] == 1:
        x = squeeze(x, axis=-1)
    elif rank == want - 1 and wanted.shape[-1] == 1:
        x = expand_dims(x, axis=-1)
    dtype = x.dtype if isinstance(x, Spec) else current.dtype(x)
    if dtype == wanted.dtype:
        return x
    return current.cast(x, wanted.dtype) if current.is_ragged(x) else cast(x, wanted.dtype)


def _output_names(outputs: list[KerasTensor]) -> list[str]:
    names: list[str] = []
    for x in outputs:
        name = x._keras_history.operation.name
        n = sum(1 for other in names if other == name or other.rpartition("_")[0] == name)
        names.append(f"{name}_{n}" if name in names else name)
    return names


def _takes_inputs_and_outputs(cls: type) -> bool:
    if cls is Functional or ("__init__" not in vars(cls) and issubclass(cls, Functional)):
        return True
    parameters = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
    names = list(parameters)[1:]
    return names[:2] == ["inputs", "outputs"] or [p.kind.name for p in parameters.values()][1:] == [
        "VAR_POSITIONAL",
        "VAR_KEYWORD",
    ]


def _map_leaves(function, structure):
    """Map over nested lists, tuples (which become lists) and dicts, as JSON will see them."""
    if isinstance(structure, dict):
        return {k: _map_leaves(function, v) for k, v in structure.items()}
    if isinstance(structure, (list, tuple)):
        return [_map_leaves(function, v) for v in structure]
    return function(structure)
