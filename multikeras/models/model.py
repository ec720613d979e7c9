"""`Model`: a layer that can be trained, saved and summed up."""

import copy
import inspect
import json
import math
import tempfile
from pathlib import Path
from typing import Any

from multikeras.core import budget, serialization, tree
from multikeras.core.node import KerasTensor
from multikeras.layers.layer import Layer
from multikeras.models import state_tree
from multikeras.models.quantizing import quantize_layers
from multikeras.models.summary import html_of, print_summary
from multikeras.saving import archive, legacy_config, saving_api
from multikeras.training.trainer import Trainer


def _revived(content: bytes, custom_objects: dict[str, Any]) -> Any:
    """Return a pickled model."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(content)
        return archive.read(path, custom_objects, safe_mode=False)


class Model(Trainer, Layer):
    """A layer with `compile`, `fit`, `evaluate`, `predict` and `save`.

    `Model(inputs, outputs)` makes a `Functional` of the graph between symbolic tensors. A subclass makes layers in
    `__init__` and uses them in `call`.

    >>> import numpy as np
    >>> import multikeras as mk
    >>> inputs = mk.Input((3,))
    >>> model = mk.Model(inputs, mk.layers.Dense(2)(inputs))
    >>> model(np.ones((4, 3))).shape == (4, 2)
    True
    """

    functional_class: type = None  # type: ignore[assignment]  # set by models.functional

    def __new__(cls, *args, **kwargs):
        if cls is Model and _is_functional(args, kwargs):
            return super().__new__(cls.functional_class, *args, **kwargs)
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, *args, **kwargs):
        if _is_functional(args, kwargs) and not isinstance(self, Model.functional_class):
            # A subclass that hands its graph to super().__init__ becomes a kind of Functional.
            _make_functional(type(self))
            Model.functional_class.__init__(self, *args, **kwargs)
            return
        Trainer.__init__(self)
        Layer.__init__(self, *args, **kwargs)

    def __reduce__(self):
        """Pickle as a `.keras` archive, which has weights and optimizer, beside the classes and functions of users in it."""
        with tempfile.TemporaryDirectory() as folder, serialization.foreign_parts() as foreign:
            path = Path(folder) / "model.keras"
            archive.write(self, path)
            return _revived, (path.read_bytes(), foreign)

    def __deepcopy__(self, memo):
        twin = memo[id(self)] = type(self).__new__(type(self))
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin

    def call(self, *args, **kwargs):
        """Compute the outputs."""
        raise NotImplementedError(f"Model {type(self).__name__} does not define call().")

    @property
    def layers(self) -> list[Layer]:
        """The layers directly inside this model."""
        return self._flatten_layers(include_self=False, recursive=False)

    @layers.setter
    def layers(self, _):
        raise AttributeError("`layers` of a model is worked out from its attributes. Use another attribute name.")

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return one of `layers`, by name or by index."""
        if (name is None) == (index is None):
            raise ValueError(f"get_layer: give either name or index, got name={name!r}, index={index!r}.")
        if index is not None:
            if not -len(self.layers) <= index < len(self.layers):
                raise ValueError(f"get_layer: index={index}, but model {self.name!r} has {len(self.layers)} layers.")
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(
            f"get_layer: no layer is named {name!r}. Existing layers are: {[x.name for x in self.layers]}."
        )

    def summary(
        self,
        line_length=None,
        positions=None,
        print_fn=None,
        expand_nested=False,
        show_trainable=False,
        layer_range=None,
    ) -> None:
        """Print a table of the layers, their output shapes and numbers of weights.

        Args:
            line_length: Width of the table.
            positions: Relative ends of the columns.
            print_fn: Called with the text instead of printing it.
            expand_nested: Whether to list the layers of nested models.
            show_trainable: Whether to show which layers are trained.
            layer_range: Names (or patterns) of the first and the last layer to list.
        """
        print_summary(self, line_length, positions, print_fn, expand_nested, show_trainable, layer_range)

    _repr_html_ = html_of

    def save(self, filepath, overwrite: bool = True, zipped: bool | None = None, **kwargs) -> None:
        """Write architecture, weights and training state to a `.keras` (or old `.h5`) file."""
        saving_api.save_model(self, filepath, overwrite=overwrite, zipped=zipped, **kwargs)

    def save_weights(self, filepath, overwrite: bool = True, max_shard_size=None) -> None:
        """Write the weights to a `.weights.h5`, `.weights.json` (in shards) or `.safetensors` file."""
        saving_api.save_weights(self, filepath, overwrite=overwrite, max_shard_size=max_shard_size)

    def load_weights(self, filepath, skip_mismatch: bool = False, **kwargs):
        """Read weights from a file of any format; return a report of which parts were loaded, left out and not used."""
        return saving_api.load_weights(self, filepath, skip_mismatch=skip_mismatch, **kwargs)

    def build_from_config(self, config: dict) -> None:
        """Build as `get_build_config` of the saved model said."""
        if config and "input_shape" in config and not self._needs_named_shapes():
            shape = config["input_shape"]
            self.build(
                tuple(shape)
                if isinstance(shape, list) and not any(isinstance(s, (list, dict)) for s in shape)
                else shape
            )
        elif config:
            super().build_from_config(config)

    def _needs_named_shapes(self) -> bool:
        return False

    def quantize(self, mode: str | None = None, config: Any = None, filters: Any = None, **kwargs: Any) -> None:
        """Exchange the weights of all layers that have a quantized form; the others are told in warnings.

        Args:
            mode: "int8", "int4", "float8", "gptq" or "awq"; may be left to the config.
            config: `QuantizationConfig` with the quantizers to use; for "gptq" and "awq" with data.
            filters: Which layers: a regular expression found in their names, a list of them, or a function of the layer.
        """
        quantize_layers(self, mode, config, filters, **kwargs)
        self._forget_programs()

    def get_state_tree(self, value_format: str = "backend_tensor") -> dict[str, dict]:
        """Return the values of all variables in nested dicts by path; `value_format` may be "numpy_array"."""
        return state_tree.get_state_tree(self, value_format)

    def set_state_tree(self, state_tree_: dict[str, Any]) -> None:
        """Assign values nested like those of `get_state_tree`."""
        state_tree.set_state_tree(self, state_tree_)

    def to_json(self, **kwargs) -> str:
        """Return the architecture as JSON."""
        return json.dumps(serialization.serialize_keras_object(self), **kwargs)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects=None):
        """Make a model from what `get_config` returned."""
        functional = Model.functional_class
        graph = {"name", "layers", "input_layers", "output_layers"} <= config.keys()
        if graph and (cls is Model or issubclass(cls, functional) or _takes_graph(cls)):
            return functional.revive(cls, config, custom_objects)
        with serialization.CustomObjectScope(custom_objects or {}):
            return super().from_config(config)


def _is_functional(args: tuple, kwargs: dict) -> bool:
    """Tell whether constructor arguments are symbolic inputs and outputs."""
    return len(args) >= 2 or (len(args) == 1 and "outputs" in kwargs) or ("inputs" in kwargs and "outputs" in kwargs)


def _takes_graph(cls: type) -> bool:
    parameters = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
    return {"inputs", "outputs"} <= parameters.keys() or (
        any(p.kind is p.VAR_POSITIONAL for p in parameters.values())
        and any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    )


def _make_functional(cls: type) -> None:
    """Put `Functional` in place of `Model` among the bases of `cls` and of the bases above it."""
    if cls is Model or cls is object or not issubclass(cls, Model) or issubclass(cls, Model.functional_class):
        return
    for base in cls.__bases__:
        _make_functional(base)
    cls.__bases__ = tuple(Model.functional_class if base is Model else base for base in cls.__bases__)


def model_from_json(json_string: str, custom_objects=None) -> Model:
    """Make a model from `to_json()` of another, of Keras 2 too."""
    config = json.loads(json_string)
    with budget.limit(math.inf, "the JSON"), serialization.CustomObjectScope(custom_objects or {}):
        if isinstance(config, dict) and legacy_config.is_old(config):
            config = legacy_config.modern(config)
        return serialization.deserialize_keras_object(config, custom_objects=custom_objects)


def flat_symbolic(structure: Any, what: str) -> list[KerasTensor]:
    """Return the leaves of inputs or outputs, refusing any that is not symbolic."""
    flat = tree.flatten(structure)
    for x in flat:
        if not isinstance(x, KerasTensor):
            raise ValueError(
                f"Model: all {what} must be symbolic tensors (made by Input and layers called on them), got {x!r} of type "
                f"{type(x).__name__}."
            )
    return flat
