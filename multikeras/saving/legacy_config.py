"""Configs of Keras 2, and of the old `.h5` format, made into those of today and back.

An old record is {"class_name", "config"}: where its class lies follows from the place it stands in. Arguments that were
renamed or had another form are translated, those that no longer exist left out.
"""

import inspect
from typing import Any

from multikeras.core import registry

_ROLES = {
    "initializer": ("initializers",), "regularizer": ("regularizers",), "constraint": ("constraints",),
    "optimizer": ("optimizers",), "optimizer_config": ("optimizers",), "inner_optimizer": ("optimizers",),
    "learning_rate": ("optimizers.schedules",), "loss": ("losses",), "metrics": ("metrics",), "weighted_metrics": ("metrics",),
    "dtype": ("", "dtype_policies"), "dtype_policy": ("", "dtype_policies"),
}  # fmt: skip
_LAYERS = ("layers", "", "models")
"""Sections for every other place: layers, cells and models."""

_CLASSES = {
    "Model": "Functional", "Policy": "DTypePolicy", "PolicyV1": "DTypePolicy", "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization", "GRUV2": "GRU", "LSTMV2": "LSTM", "CuDNNGRU": "GRU", "CuDNNLSTM": "LSTM",
    "RandomUniformV2": "RandomUniform", "Convolution1D": "Conv1D", "Convolution2D": "Conv2D", "Convolution3D": "Conv3D",
    "LossScaleOptimizerV3": "LossScaleOptimizer", "GroupedQueryAttention": "GroupQueryAttention",
}  # fmt: skip
_RENAMED = {
    "*": {"batch_input_shape": "batch_shape"},
    "LeakyReLU": {"alpha": "negative_slope"},
    **{name: {"lr": "learning_rate"} for name in ("Adam", "SGD", "RMSprop", "Adagrad", "Adadelta", "Adamax", "Nadam", "Ftrl")},
}  # fmt: skip
_REDUCTIONS = {"auto": "sum_over_batch_size", "none": None}
_RECURRENT = ("RNN", "LSTM", "GRU", "SimpleRNN", "Bidirectional", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")


def is_old(config: Any) -> bool:
    """Tell whether the record of a model is one of Keras 2, or of an old `.h5` file."""
    version = config.get("keras_version")
    return "module" not in config or (isinstance(version, str) and version[:2] in ("1.", "2."))


def modern(record: Any, role: tuple[str, ...] = _LAYERS) -> Any:
    """Return a config in today's form.

    >>> modern({"class_name": "Dense", "config": {"units": 3, "batch_input_shape": [None, 2]}})["module"]
    'keras.layers'
    """
    if isinstance(record, (list, tuple)):
        return [modern(x, role) for x in record]
    if not isinstance(record, dict):
        return record
    if "class_name" not in record or "config" not in record:
        return {k: modern(v, _role(k, role)) for k, v in record.items()}
    if str(record["class_name"]).startswith("__") or record["class_name"] == "function":
        return record
    name, module = _place(record, role)
    config = record["config"]
    if isinstance(config, list):  # the layers of a Sequential of early days
        config = {"layers": config}
    if isinstance(config, dict):
        config = dict(config)
        if "layers" in config and isinstance(config["layers"], list):
            config = _with_modern_layers(config)
        config = _arguments(name, module, config)
    registered = record.get("registered_name", record["class_name"] if module is None else None)
    more = {k: record[k] for k in ("name", "inbound_nodes") if k in record}
    return {"module": module, "class_name": name, "config": config, "registered_name": registered, **more}


def _role(key: str, outer: tuple[str, ...]) -> tuple[str, ...]:
    found = _ROLES.get(key) or _ROLES.get(key.rpartition("_")[2])
    return found or (outer if outer == ("metrics",) or outer == ("losses",) else _LAYERS)


def _place(record: dict, role: tuple[str, ...]) -> tuple[str, str | None]:
    """Return name and module of the class of a record; no module for one the caller must know."""
    given = record["class_name"]
    if record.get("registered_name") not in (None, "", given) or registry.custom_object(given) is not None:
        return given, record.get("module")
    name = given.removeprefix("Custom>")  # Keras 2 wrote its own optimizers so
    name = _CLASSES.get(name, name)
    if name == "Functional":
        return name, "keras.src.models.functional"
    # An op in the graph may have the name of a layer, but not its arguments.
    sections = [*(f"src.ops.{f}" for f in registry.OPS if _is_op(record)), *role, *_LAYERS]
    for section in sections:
        path = f"keras.{section}" if section else "keras"
        if registry.class_at(path, name) is not None:
            return name, path
    return given, record.get("module")


def _is_op(record: dict) -> bool:
    config = record["config"]
    layer = record["class_name"] == "InputLayer" or (isinstance(config, dict) and "trainable" in config)
    return "inbound_nodes" in record and not layer and not isinstance(config.get("layers"), list)


def _accepted(cls: Any) -> set[str]:
    """Return the names of arguments of a constructor, those reached through **kwargs too."""
    names: set[str] = set()
    for c in cls.__mro__:
        if "__init__" in vars(c):
            parameters = inspect.signature(c.__init__).parameters.values()
            names |= {p.name for p in parameters}
            if not any(p.kind is p.VAR_KEYWORD for p in parameters):
                break
    return names


def _arguments(name: str, module: str | None, config: dict) -> dict:
    renamed = {**_RENAMED["*"], **_RENAMED.get(name, {})}
    config = {renamed.get(k, k): modern(v, _role(k, _LAYERS)) for k, v in config.items()}
    cls = None if module is None else registry.class_at(module, name)
    if isinstance(config.get("reduction"), str):
        config["reduction"] = _REDUCTIONS.get(config["reduction"], config["reduction"])
    if isinstance(config.get("axis"), list) and name == "BatchNormalization":
        config["axis"] = config["axis"][0]
    if name == "MeanMetricWrapper" and isinstance(config.get("fn"), str):
        function = config["fn"]
        config["fn"] = {"module": "keras.metrics", "class_name": "function", "config": function, "registered_name": function}
    if name == "DTypePolicy":
        return {"name": config.get("name", "float32")}
    if not isinstance(cls, type) or name in ("Functional", "Sequential") or str(module).startswith("keras.src.ops."):
        return config
    accepted = _accepted(cls)
    if "reset_after" in accepted and name in ("GRU", "GRUCell"):
        config.setdefault("reset_after", False)  # what Keras 2.0 did
    if name != "InputLayer":
        accepted |= {"batch_shape"} if "batch_shape" in config else set()
    return {k: v for k, v in config.items() if k in accepted}


# -- layers and their calls --------------------------------------------------------------------------------------------


def _with_modern_layers(config: dict) -> dict:
    layers = config["layers"]
    has_input = bool(layers) and isinstance(layers[0], dict) and layers[0].get("class_name") == "InputLayer"
    graph = "input_layers" in config
    known = {_name(x) for x in layers}
    shifts = _shifts(config) if graph else {}
    found = []
    for record in layers:
        new = modern(record)
        inner = new["config"]
        if (has_input or graph) and new["class_name"] != "InputLayer" and isinstance(inner, dict):
            inner.pop("batch_shape", None)
        if graph:
            new["name"] = _name(record)
            calls = [_call(node, known, shifts, new["class_name"]) for node in record.get("inbound_nodes") or []]
            new["inbound_nodes"] = calls
        found.append(new)
    more = {k: _shifted(config[k], shifts) for k in ("input_layers", "output_layers") if k in config}
    return {**config, "layers": found, **more}


def _name(record: dict) -> str:
    return record.get("name") or record["config"]["name"]


def _is_key(x: Any, known: Any) -> bool:
    return isinstance(x, (list, tuple)) and len(x) in (3, 4) and isinstance(x[0], str) and x[0] in known and (
        isinstance(x[1], int) and isinstance(x[2], int)
    )  # fmt: skip


def _keys(x: Any, known: Any) -> list:
    """Return every [layer, call, output] in a structure."""
    if _is_key(x, known):
        return [x, *(_keys(x[3], known) if len(x) == 4 else [])]
    if isinstance(x, dict):
        if x.get("class_name") == "__keras_tensor__":
            return [x["config"]["keras_history"]]
        return [k for v in x.values() for k in _keys(v, known)]
    return [k for v in x for k in _keys(v, known)] if isinstance(x, (list, tuple)) else []


def _shifts(config: dict) -> dict[str, int]:
    """Return for each layer by how much its calls are counted up: a model called itself once when Keras 2 made it."""
    calls = {_name(x): len(x.get("inbound_nodes") or ()) for x in config["layers"]}
    nodes = [x.get("inbound_nodes") or () for x in config["layers"]]
    keys = _keys([nodes, config["output_layers"]], calls)
    return {name: 1 for name, count in calls.items() if count and max((k[1] for k in keys if k[0] == name), default=0) >= count}


def _shifted(x: Any, shifts: dict[str, int]) -> Any:
    if isinstance(x, (list, tuple)) and len(x) == 3 and isinstance(x[0], str) and isinstance(x[1], int):
        return [x[0], x[1] - shifts.get(x[0], 0), x[2]]
    if isinstance(x, dict):
        return {k: _shifted(v, shifts) for k, v in x.items()}
    return [_shifted(v, shifts) for v in x] if isinstance(x, (list, tuple)) else x


def _tensor(key: Any, shifts: dict[str, int]) -> dict:
    history = [key[0], key[1] - shifts.get(key[0], 0), key[2]]
    return {"class_name": "__keras_tensor__", "config": {"shape": [], "dtype": "float32", "keras_history": history}}


def _call(node: Any, known: Any, shifts: dict[str, int], class_name: str) -> dict:
    """Return a call, of old a list of [layer, call, output, arguments], as positional and named arguments."""
    if isinstance(node, dict):
        return node

    def value(x: Any) -> Any:
        if _is_key(x, known):
            return _tensor(x, shifts)
        if isinstance(x, dict):
            return {k: value(v) for k, v in x.items()}
        return [value(v) for v in x] if isinstance(x, (list, tuple)) else x

    entries = [node] if node and isinstance(node[0], str) else list(node)
    kwargs = {k: value(v) for entry in entries for k, v in (entry[3] if len(entry) > 3 else {}).items()}
    inputs = [_tensor(entry, shifts) for entry in entries]
    if class_name in _RECURRENT and len(inputs) > 1:
        return {"args": inputs[:1], "kwargs": {**kwargs, "initial_state": inputs[1:]}}
    return {"args": [inputs[0] if len(inputs) == 1 else inputs], "kwargs": kwargs}


# -- back --------------------------------------------------------------------------------------------------------------


def old(record: Any) -> Any:
    """Return the record of a model or layer as Keras 3 writes it into `.h5` files."""
    config = dict(record["config"])
    if isinstance(config.get("layers"), list):
        config["layers"] = [old(x) if isinstance(x, dict) and "class_name" in x else x for x in config["layers"]]
    more = {k: record[k] for k in ("name", "inbound_nodes") if k in record}
    return {"class_name": _old_name(record), "config": config, **more}


_OLD_NAMES = {"GroupQueryAttention": "GroupedQueryAttention"}


def _old_name(record: dict) -> str:
    registered = record.get("registered_name")
    return registered if registered and ">" in registered else _OLD_NAMES.get(record["class_name"], record["class_name"])


def old_objects(value: Any) -> Any:
    """Return losses, metrics and optimizers of a compile config as Keras 3 writes them into `.h5` files."""
    if isinstance(value, dict):
        if value.get("class_name") == "function":
            return value.get("registered_name") if value.get("module") is None else value["config"]
        if "class_name" in value and "config" in value:
            return {"class_name": _old_name(value), "config": value["config"]}
        return {k: old_objects(v) for k, v in value.items()}
    return [old_objects(v) for v in value] if isinstance(value, (list, tuple)) else value
