"""`Sequential`: a model that is one layer after another."""

from typing import Any

from multikeras.core import serialization, tree
from multikeras.core.masking import get_mask
from multikeras.core.node import KerasTensor
from multikeras.layers.core.input_layer import Input, InputLayer
from multikeras.layers.input_spec import InputSpec
from multikeras.layers.layer import Layer
from multikeras.models.functional import Functional
from multikeras.models.model import Model


class Sequential(Model):
    """A stack of layers with one input and one output.

    Args:
        layers: The layers, the first may be an `Input`. More can be `add`ed.
        trainable: Whether the weights are trained.
        name: Name of the model.

    >>> import multikeras as mk
    >>> model = mk.Sequential([mk.Input((3,)), mk.layers.Dense(4), mk.layers.Dense(2)])
    >>> model.output_shape, model.count_params()
    ((None, 2), 26)
    """

    def __new__(cls, *args, **kwargs):
        return super(Model, cls).__new__(cls, *args, **kwargs)

    def __init__(self, layers=None, trainable=True, name=None):
        Model.__init__(self, trainable=trainable, name=name)
        self._stack: list[Layer] = []
        object.__setattr__(self, "_names", set())
        object.__setattr__(self, "_functional", None)
        if layers is not None:
            for layer in layers if isinstance(layers, (list, tuple)) else [layers]:
                self.add(layer, rebuild=False)
            self._rebuild()

    def add(self, layer, rebuild: bool = True) -> None:
        """Put a layer on top; an `Input` can only come first."""
        if isinstance(layer, KerasTensor):
            operation = layer._keras_history.operation if hasattr(layer, "_keras_history") else None
            if not isinstance(operation, InputLayer):
                raise ValueError(f"Sequential.add: expected a layer or an Input, got the symbolic tensor {layer!r}.")
            layer = operation
        if not isinstance(layer, Layer):
            if callable(layer):
                raise ValueError(
                    f"Sequential.add: only layers can be added, got {layer!r}. Wrap a function in a Lambda layer."
                )
            raise ValueError(f"Sequential.add: only layers can be added, got {layer!r} of type {type(layer).__name__}.")
        if layer.name in self._names:
            raise ValueError(
                f"Sequential.add: model {self.name!r} already has a layer named {layer.name!r}. All layers need unique names."
            )
        if isinstance(layer, InputLayer) and self._stack:
            what = (
                "an input" if isinstance(self._stack[0], InputLayer) else f"the layers {[x.name for x in self._stack]}"
            )
            raise ValueError(
                f"Sequential.add: an Input can only come first, but model {self.name!r} already has {what}."
            )
        if not self._stack and layer._shape_from_arguments is not None and not isinstance(layer, InputLayer):
            self._stack.append(InputLayer(batch_shape=layer._shape_from_arguments))
        self._stack.append(layer)
        self._names.update(x.name for x in self._stack[-2:])
        self._forget()
        if rebuild:
            self._rebuild()

    def _named_parts(self):
        others = (part for part in super()._named_parts() if not part[0].startswith("_stack."))
        return [*((str(i), layer) for i, layer in enumerate(self.layers)), *others]

    def pop(self, rebuild: bool = True) -> Layer | None:
        """Take the top layer off and return it."""
        if not self._stack:
            raise ValueError(f"Sequential.pop: model {self.name!r} has no layers.")
        layer = self._stack.pop()
        self._names.discard(layer.name)
        self._forget()
        if rebuild:
            self._rebuild()
        return layer

    def _forget(self):
        object.__setattr__(self, "_functional", None)
        self.built = self._fast = False
        self._build_shapes = None
        self._forget_programs()

    def _was_cast(self, dtype: str) -> None:
        super()._was_cast(dtype)
        graph = self._functional
        for part in () if graph is None else (graph, *(x for x in graph.layers if isinstance(x, InputLayer))):
            part._was_cast(dtype)

    def _set_mode(self, mode: bool) -> None:
        super()._set_mode(mode)
        self._unsaid = self._plan.training_default
        if self._functional is not None:
            self._functional._set_mode(mode)

    def _rebuild(self):
        first = self._stack[0] if self._stack else None
        if isinstance(first, InputLayer) and len(self._stack) > 1:
            self.build(first.batch_shape)
        elif isinstance(first, Functional) or getattr(first, "_functional", None) is not None:
            self.build(first.input_shape)  # a model that knows its input

    def build(self, input_shape=None):
        """Build every layer for inputs of a shape."""
        if not isinstance(input_shape, (tuple, list)) or not all(d is None or isinstance(d, int) for d in input_shape):
            if input_shape is None and self._stack and isinstance(self._stack[0], InputLayer):
                input_shape = self._stack[0].batch_shape
            else:
                return  # nested inputs: the layers are called one by one
        if not self._stack:
            raise ValueError(f"Sequential model {self.name!r} cannot be built: it has no layers. Use add().")
        if isinstance(self._stack[0], InputLayer):
            if tuple(self._stack[0].batch_shape) != tuple(input_shape) and not _fits(
                input_shape, self._stack[0].batch_shape
            ):
                raise ValueError(
                    f"Sequential model {self.name!r} is defined for inputs of shape {self._stack[0].batch_shape}, it cannot "
                    f"be built for {tuple(input_shape)}."
                )
            inputs = self._stack[0].output
            rest = self._stack[1:]
        else:
            inputs = Input(batch_shape=tuple(input_shape), dtype=self._stack[0].compute_dtype)
            rest = self._stack
        x = inputs
        for layer in rest:
            try:
                x = layer(x)
            except NotImplementedError:
                return
            except TypeError as error:
                if "positional argument" in str(error):
                    raise ValueError(
                        f"Sequential model {self.name!r}: layer {layer.name!r} of type {type(layer).__name__} takes more than "
                        "one input. Use a functional model for it."
                    ) from error
                raise
        if len(tree.flatten(x)) != 1 and isinstance(x, (tuple, list, dict)) and not rest:
            raise ValueError(f"Sequential model {self.name!r} has no single output.")
        graph = Functional(inputs, x, name=self.name)
        if not isinstance(self._stack[0], InputLayer):  # nobody said the sizes: the layers tell which they take
            graph.input_spec = InputSpec(shape=(None,) * len(input_shape), allow_last_axis_squeeze=True)
        object.__setattr__(self, "_functional", graph)

    def call(self, inputs, training=None, mask=None):
        """Run the layers in order."""
        if self._functional is not None:
            return self._functional.call(inputs, training=training, mask=mask)
        x = inputs
        for layer in self._stack:
            takes = layer._plan
            more: dict[str, Any] = {}
            if "mask" in takes.names and mask is not None:
                more["mask"] = mask
            x = layer(x, **more)
            mask = tree.map_structure(get_mask, x) if not isinstance(x, dict) else None
        return x

    def compute_mask(self, inputs, previous_mask):
        """Return None: the layers inside have set the mask."""
        return None

    @property
    def layers(self) -> list[Layer]:
        """The layers, without the input."""
        return [x for x in self._stack if not isinstance(x, InputLayer)]

    @layers.setter
    def layers(self, _):
        raise AttributeError("`layers` of a Sequential model changes by add() and pop().")

    def _built_only(self, what: str):
        if self._functional is None:
            raise AttributeError(f"Sequential model {self.name!r} has no {what} yet: it was never built or called.")
        return self._functional

    @property
    def takes_sparse(self) -> bool:  # type: ignore[override]
        """Whether its `Input` was declared sparse: otherwise the layers get dense tensors."""
        return bool(self._stack) and getattr(self._stack[0], "sparse", False) is True

    @property
    def inputs(self):
        return self._built_only("inputs").inputs

    @property
    def outputs(self):
        return self._built_only("outputs").outputs

    @property
    def input_shape(self):
        return self._built_only("input shape").input_shape

    @property
    def output_shape(self):
        return self._built_only("output shape").output_shape

    @property
    def input(self):
        return self._built_only("input").input

    @property
    def output(self):
        return self._built_only("output").output

    @property
    def input_dtype(self):
        return self._stack[0].dtype if self._stack and isinstance(self._stack[0], InputLayer) else super().input_dtype

    def compute_output_shape(self, input_shape):
        """Return the shape of the output for inputs of a shape."""
        if self._functional is not None:
            return self._functional.compute_output_shape(input_shape)
        for layer in self._stack:
            input_shape = layer.compute_output_shape(input_shape)
        return input_shape

    def compute_output_spec(self, inputs, training=None, mask=None, **kwargs):
        """Return shape and dtype of the output."""
        if self._functional is not None:
            return self._functional.compute_output_spec(inputs, training=training, mask=mask)
        for layer in self._stack:
            inputs = layer.compute_output_spec(inputs) if not layer.built and not layer._children() else layer(inputs)
        return inputs

    def get_config(self) -> dict[str, Any]:
        """Return the layers."""
        config = Model.get_config(self)
        config = {k: config[k] for k in ("name", "trainable", "dtype")}
        config["layers"] = [serialization.serialize_keras_object(layer) for layer in self._stack]
        if self._functional is not None:
            config["build_input_shape"] = self._stack[0].batch_shape if isinstance(self._stack[0], InputLayer) \
                else self._functional.input_shape  # fmt: skip
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Make a model from what `get_config` returned."""
        if "layers" not in config:
            return cls(**config)
        model = cls(name=config.get("name"), trainable=config.get("trainable", True))
        for record in config["layers"]:
            record = dict(record)
            if "module" not in record and record["class_name"] == "InputLayer":
                record.setdefault("module", "keras.layers")
            model.add(serialization.deserialize_keras_object(record, custom_objects=custom_objects), rebuild=False)
        model._rebuild()
        shape = config.get("build_input_shape")
        if model._functional is None and shape is not None and isinstance(shape, (list, tuple)):
            model.build(tuple(shape))
        return model


def _fits(shape, declared) -> bool:
    """Tell whether inputs of `shape` can go into a model for `declared`."""
    return len(shape) == len(declared) and all(a is None or b is None or a == b for a, b in zip(shape, declared))
