"""Copies of models with weights of their own."""

from collections.abc import Callable
from typing import Any

from multikeras.core import tree
from multikeras.core.node import KerasTensor, Operation
from multikeras.layers.core.input_layer import Input, InputLayer
from multikeras.layers.layer import Layer
from multikeras.models.functional import Functional
from multikeras.models.model import Model
from multikeras.models.sequential import Sequential


def clone_model(
    model: Model, input_tensors: Any = None, clone_function: Callable | None = None, call_function: Callable | None = None,
    recursive: bool = False, **kwargs,
) -> Model:  # fmt: skip
    """Return a model of new layers, with new weights, like `model`.

    Args:
        model: A Sequential, functional or subclassed model.
        input_tensors: Symbolic tensors to build the copy on; new inputs if not given.
        clone_function: Maps each layer to its copy; by default a layer made from its config.
        call_function: `call_function(layer, *args, **kwargs)` in place of calling copies (functional models).
        recursive: Whether nested models are copied layer by layer with the same functions.

    >>> import multikeras as mk
    >>> model = mk.Sequential([mk.Input((3,)), mk.layers.Dense(2)])
    >>> mk.models.clone_model(model).count_params()
    8
    """
    if kwargs:
        raise ValueError(f"clone_model: unknown arguments {sorted(kwargs)}.")
    if isinstance(model, Sequential):
        if call_function is not None:
            raise ValueError("clone_model: call_function is for functional models, a Sequential model was given.")
        return _compiled_like(model, _clone_sequential(model, input_tensors, clone_function, recursive))
    if isinstance(model, Functional):
        return _compiled_like(model, _clone_functional(model, input_tensors, clone_function, call_function, recursive))
    if recursive or call_function is not None or clone_function is not None:
        raise ValueError(
            f"clone_model: {model.name!r} is a subclassed model, so recursive, clone_function and call_function cannot be used."
        )
    if input_tensors is not None:
        raise ValueError(f"clone_model: {model.name!r} is a subclassed model, so input_tensors cannot be used.")
    return type(model).from_config(model.get_config())


def _compiled_like(model: Model, copy: Model) -> Model:
    if model.compiled:
        copy.compile_from_config(model.get_compile_config())
    return copy


def _from_config(layer: Operation) -> Operation:
    return type(layer).from_config(layer.get_config())  # type: ignore[attr-defined]


def _copier(clone_function, call_function, recursive) -> Callable:
    function = clone_function or _from_config

    def copy(layer):
        if isinstance(layer, InputLayer):
            return _from_config(layer)
        if recursive and isinstance(layer, (Sequential, Functional)):
            more = {} if isinstance(layer, Sequential) else {"call_function": call_function}
            return clone_model(layer, clone_function=clone_function, recursive=True, **more)
        return function(layer) if isinstance(layer, Layer) else _from_config(layer)

    return copy


def _clone_sequential(model, input_tensors, clone_function, recursive):
    copy = _copier(clone_function, None, recursive)
    layers = [copy(layer) for layer in model._stack if not isinstance(layer, InputLayer)]
    first = model._stack[0] if model._stack and isinstance(model._stack[0], InputLayer) else None
    if input_tensors is not None:
        tensors = tree.flatten(input_tensors)
        if len(tensors) != 1:
            raise ValueError(f"clone_model: a Sequential model has one input, {len(tensors)} input_tensors were given.")
        layers.insert(
            0, tensors[0] if _made_by_input(tensors[0]) else Input(batch_shape=tensors[0].shape, dtype=tensors[0].dtype)
        )
    elif first is not None:
        layers.insert(0, _from_config(first))
    return Sequential(layers, name=model.name, trainable=model.trainable)


def _made_by_input(x) -> bool:
    return (
        isinstance(x, KerasTensor)
        and hasattr(x, "_keras_history")
        and isinstance(x._keras_history.operation, InputLayer)
    )


def _clone_functional(model, input_tensors, clone_function, call_function, recursive):
    copy = _copier(clone_function, call_function, recursive)
    copies: dict[int, Any] = {}

    def called(operation, *args, **kwargs):
        if id(operation) not in copies:
            copies[id(operation)] = copy(operation)
        new = copies[id(operation)]
        return call_function(new, *args, **kwargs) if call_function is not None else new(*args, **kwargs)

    if input_tensors is None:
        inputs = [
            Input(
                batch_shape=x.shape,
                dtype=x.dtype,
                name=x._keras_history.operation.name,
                optional=x._keras_history.operation.optional,
            )
            for x in model.inputs
        ]
    else:
        given = tree.flatten(input_tensors)
        if len(given) != len(model.inputs):
            raise ValueError(
                f"clone_model: model {model.name!r} has {len(model.inputs)} inputs, {len(given)} were given."
            )
        inputs = [
            x if isinstance(x, KerasTensor) else Input(batch_shape=tuple(x.shape), dtype=str(x.dtype)) for x in given
        ]
    outputs = model._plan_of_calls.run(inputs, call=called)
    cloned = Functional(
        tree.pack_sequence_as(model.input, inputs), tree.pack_sequence_as(model.output, outputs), name=model.name
    )
    if type(model) is not Functional:
        try:
            return type(model)(cloned.input, cloned.output, name=model.name)
        except TypeError:
            return cloned
    return cloned
