"""The `.h5` files of Keras 1 and 2, which Keras 3 still writes: whole models, and weights by layer."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from multikeras.backend import current
from multikeras.core import serialization
from multikeras.core.stored import Stored
from multikeras.saving import checked, h5, legacy_config, loading, seal, state
from multikeras.saving.hdf5 import h5py

_MODEL, _OPTIMIZER, _TOP = "model_weights", "optimizer_weights", "top_level_model_weights"
_MOST_ATTRIBUTE_BYTES = 64512


# -- writing -----------------------------------------------------------------------------------------------------------


def write_model(file: Any, model: Any, version: str, include_optimizer: bool = True) -> None:
    """Write architecture, weights and, if told, how the model was compiled, to an HDF5 file (a path)."""
    with seal.sealed(file) as group:
        record = serialization.serialize_keras_object(model)
        group.attrs["model_config"] = json.dumps(legacy_config.old(record))
        _sign(group, version)
        _write_layers(group.create_group(_MODEL), model, version)
        if include_optimizer and record.get("compile_config"):
            group.attrs["training_config"] = json.dumps(_training_config(record["compile_config"]))
            optimizer = getattr(model, "optimizer", None)
            if optimizer is not None and optimizer.built:
                _write_arrays(group.create_group(_OPTIMIZER), optimizer.variables)


def _sign(group: h5py.Group, version: str) -> None:
    group.attrs["keras_version"], group.attrs["backend"] = version, current.name


def _training_config(config: dict) -> dict:
    config = dict(config)
    optimizer = config.pop("optimizer", None)
    if isinstance(optimizer, dict):
        config["optimizer_config"] = legacy_config.old_objects(optimizer)
    return {k: v if k == "optimizer_config" else legacy_config.old_objects(v) for k, v in config.items()}


def _write_layers(group: h5py.Group, model: Any, version: str) -> None:
    _write_names(group, "layer_names", [layer.name for layer in model.layers])
    _sign(group, version)
    for layer in sorted(model.layers, key=lambda x: x.name):
        _write_arrays(group.create_group(layer.name), _weights(layer))
    _write_arrays(group.create_group(_TOP), state.own_variables(model))


def _weights(layer: Any) -> list:
    return [*layer.trainable_weights, *layer.non_trainable_weights]


def _write_arrays(group: h5py.Group, variables: Sequence[Any]) -> None:
    names: list[str] = []
    for variable in variables:
        name, count = variable.path, 0
        while name in names:  # two layers of one name in a nested model
            count += 1
            name = f"{variable.path}_{count}"
        names.append(name)
        h5.put(group, name, variable.peek())
    _write_names(group, "weight_names", names)


def _write_names(group: h5py.Group, attribute: str, names: list[str]) -> None:
    """Write names as an attribute, or as several where they are too many for one."""
    encoded = np.array([name.encode() for name in names]) if names else np.array([], "S1")
    pieces = 1
    while encoded.nbytes / pieces > _MOST_ATTRIBUTE_BYTES:
        pieces += 1
    if pieces == 1:
        group.attrs[attribute] = encoded
    else:
        for i, piece in enumerate(np.array_split(encoded, pieces)):
            group.attrs[f"{attribute}{i}"] = piece


# -- reading -----------------------------------------------------------------------------------------------------------


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _read_names(group: h5py.Group, attribute: str) -> list[str]:
    if attribute in group.attrs:
        return [_text(n) for n in group.attrs[attribute]]
    found: list[str] = []
    while f"{attribute}{len(found)}" in group.attrs:
        found.append(f"{attribute}{len(found)}")
    return [_text(n) for piece in found for n in group.attrs[piece]]


class _Arrays(Stored):
    """The arrays of a layer, in their order, under "0", "1", ..."""

    def __init__(self, group: h5py.Group):
        self.place, self.reader = group.name, _Nested(group)
        self.paths = _read_names(group, "weight_names")

    def names(self):
        return [str(i) for i in range(len(self.paths))]

    def spec(self, name):
        return self.reader.spec(self.paths[int(name)])

    def read_into(self, name, array):
        self.reader.read_into(self.paths[int(name)], array)

    def read(self, name):
        return self.reader.read(self.paths[int(name)])


class _Nested(h5.Reader):
    """Data sets by paths below a group."""

    def names(self):
        return []


def read_model(file: Any, custom_objects: dict | None = None, compile: bool = True, safe_mode: bool = True) -> Any:
    """Return the model in an HDF5 file.

    Raises ValueError for a file of weights only.
    """
    with checked.hdf5(file) as group:
        name = repr(str(file))
        if "model_config" not in group.attrs:
            raise ValueError(f"{name} has no model_config: it is no whole model. Make the model, and use load_weights().")
        config = checked.config(_text(group.attrs["model_config"]), f"model_config in {name}")
        with serialization.custom_object_scope(custom_objects), checked.allowance(os.path.getsize(file), file):
            record = legacy_config.modern(config)
            model = serialization.deserialize_keras_object(record, custom_objects, safe_mode=safe_mode)
            if _MODEL in group:
                _load(model, group[_MODEL], False)
            if compile and "training_config" in group.attrs:
                training = checked.config(_text(group.attrs["training_config"]), f"training_config in {name}")
                _compile(model, training)
                if _OPTIMIZER in group:
                    _load_optimizer(model, group[_OPTIMIZER])
    return model


def _compile(model: Any, training: dict) -> None:
    training = dict(training)
    optimizer = training.pop("optimizer_config", None)
    config = {k: legacy_config.modern(v, _OBJECTS.get(k, ())) for k, v in training.items()}
    if optimizer is not None:
        config["optimizer"] = legacy_config.modern(optimizer, ("optimizers",))
    names = getattr(model, "output_names", None) or ()
    for record in _metrics(config.get("metrics")):
        for output in names if len(names) > 1 else ():
            # Keras 2 put the output before the names of its metrics, as will be done again.
            if isinstance(record["config"].get("name"), str):
                record["config"]["name"] = record["config"]["name"].removeprefix(f"{output}_")
    model.compile_from_config(config)


_OBJECTS = {"loss": ("losses",), "metrics": ("metrics",), "weighted_metrics": ("metrics",)}


def _metrics(value: Any) -> Iterator[dict]:
    if isinstance(value, dict) and "class_name" in value:
        yield value
    elif isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _metrics(inner)


def is_by_layer(group: h5py.Group) -> bool:
    """Tell whether an HDF5 file has weights by layer, or is that of a whole model."""
    return _MODEL in group or "layer_names" in group.attrs or "layer_names0" in group.attrs


def load_layers(model: Any, group: h5py.Group, by_name: bool = False, skip_mismatch: bool = False) -> loading.Report:
    """Load the weights in an open HDF5 file, or in that of a whole model, into the layers of a model.

    Args:
        model: The model.
        group: The file.
        by_name: Whether layers are told by their names, and what the other side lacks left alone; by their order otherwise.
        skip_mismatch: Whether layers whose weights do not fit are left alone.
    """
    return _load(model, group.get(_MODEL, group), by_name, skip_mismatch)


def _load(model: Any, group: h5py.Group, by_name: bool, skip_mismatch: bool = False) -> loading.Report:
    names = _read_names(group, "layer_names")
    report, jobs = loading.Report(), []

    def unfit(name: str, why: str) -> None:
        if not skip_mismatch:
            raise ValueError(f"Cannot load the weights of layer {name!r}: {why}.")
        report.skipped[name] = why

    stored = {name: _Arrays(group[name]) for name in names if isinstance(group.get(name), h5py.Group)}
    stored = {name: arrays for name, arrays in stored.items() if len(arrays)}
    layers = [layer for layer in model.layers if _weights(layer)]
    if by_name:
        pairs = [(layer, name) for name in stored for layer in layers if layer.name == name]
        report.unused = [name for name in stored if not any(layer.name == name for layer in layers)]
    else:
        if len(stored) != len(layers):
            raise ValueError(
                f"The file has weights of {len(stored)} layers ({list(stored)[:8]}), model {model.name!r} has {len(layers)} "
                f"layers with weights ({[x.name for x in layers][:8]}). Use by_name=True to load those that both have."
            )
        pairs = list(zip(layers, stored))
    targets = [(layer.name, _weights(layer), stored[name]) for layer, name in pairs]
    own = state.own_variables(model)
    if isinstance(group.get(_TOP), h5py.Group) and own and not by_name:
        targets.append((_TOP, own, _Arrays(group[_TOP])))
    for name, variables, arrays in targets:
        if len(variables) != len(arrays):
            unfit(name, f"it has {len(variables)} weights, the file {len(arrays)}")
            continue
        arrays.only_checks = True
        try:
            arrays.fill(variables)
        except (KeyError, ValueError) as error:
            unfit(name, str(error.args[0] if error.args else error))
            continue
        arrays.only_checks = False
        jobs.append((name, variables, arrays))
    for name, variables, arrays in jobs:
        arrays.fill(variables)
        report.matched.append(name)
    return report


def _load_optimizer(model: Any, group: h5py.Group) -> None:
    optimizer = model.optimizer
    arrays = _Arrays(group)
    try:
        if len(arrays) == len(optimizer.variables):
            arrays.fill(optimizer.variables)
        else:
            _load_slots(optimizer, arrays)
    except (KeyError, ValueError) as error:
        warnings.warn(
            f"The state of optimizer {optimizer.name!r} could not be loaded, it begins anew: {error.args[0]}", stacklevel=4
        )


def _load_slots(optimizer: Any, arrays: _Arrays) -> None:
    """Assign the state of an optimizer of Keras 2, which had other names and another order."""
    stored: dict[str, list[str]] = {}
    for i, path in enumerate(arrays.paths):
        steps = path.rpartition(":")[0].split("/")
        # Of late "Adam/m/dense/kernel", before "training/Adam/dense/kernel/m".
        stored.setdefault(steps[1] if len(steps) > 3 and len(steps[1]) < 3 else steps[-1], []).append(str(i))
    counter = next((stored.pop(k) for k in ("iteration", "iter") if k in stored), None)
    stored.pop("learning_rate", None)
    count = len(optimizer._trainable_variables)
    ours = [v for v in optimizer.variables if v is not optimizer._iterations and v is not optimizer._learning_rate]
    # SGD of Keras 2 kept momenta even without momentum: where there are no slots none are wanted.
    columns = [names for names in stored.values() if len(names) == count and ours]
    if counter is None or not count or len(columns) * count != len(ours):
        raise ValueError(f"the file has {sorted(stored)} for it, the model {len(ours)} variables.")
    slots: dict[str, list] = {}
    for i, variable in enumerate(ours):
        reference = optimizer._trainable_variables[i // len(columns)] if len(columns) else variable
        slots.setdefault(variable.name.removeprefix(reference.path.replace("/", "_")), []).append(variable)
    if sorted(map(len, slots.values())) != [count] * len(columns):
        slots = {str(k): ours[k * count : (k + 1) * count] for k in range(len(columns))}
    for names, variables in zip(columns, slots.values()):
        for name, variable in zip(names, variables):
            if tuple(arrays.spec(name)[0]) != tuple(variable.shape):
                raise ValueError(f"{arrays.paths[int(name)]!r} has another shape than {variable.path!r}.")
    optimizer._iterations.assign(arrays.read(counter[0]))
    for names, variables in zip(columns, slots.values()):
        for name, variable in zip(names, variables):
            variable.assign(arrays.read(name))
