"""Objects to configs and back: the JSON-able dicts that Keras writes into its files.

An object is {"module", "class_name", "config", "registered_name"}, for layers also "build_config", for models
"compile_config". Reading is safe: only public classes, registered objects and `custom_objects` are revived, and a lambda only
with `safe_mode=False`.
"""

import codecs
import contextlib
import difflib
import functools
import inspect
import marshal
import reprlib
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from multikeras import config as settings
from multikeras.backend import current, dtypes
from multikeras.core import naming, registry
from multikeras.core.node import KerasTensor
from multikeras.core.registry import CustomObjectScope as CustomObjectScope
from multikeras.core.registry import custom_object, custom_object_scope, get_registered_name
from multikeras.core.registry import get_custom_objects as get_custom_objects
from multikeras.core.registry import get_registered_object as get_registered_object
from multikeras.core.registry import provide as provide
from multikeras.core.registry import register_keras_serializable as register_keras_serializable


class _Modes(threading.local):
    def __init__(self):
        self.safe: bool | None = None
        self.sharing: ObjectSharingScope | None = None
        self.foreign: dict[str, Any] | None = None


_modes = _Modes()


class SafeModeScope:
    """Set `safe_mode` for all that is revived inside."""

    def __init__(self, safe_mode: bool | None = True):
        self.safe_mode = safe_mode

    def __enter__(self):
        self.outer, _modes.safe = _modes.safe, self.safe_mode
        return self

    def __exit__(self, *exc):
        _modes.safe = self.outer


def in_safe_mode() -> bool | None:
    """Return the mode of the innermost `SafeModeScope`, None outside."""
    return _modes.safe


def allows_code(safe_mode: bool | None = None) -> bool:
    """Tell whether a config may bring code: by `safe_mode`, else by the innermost scope, else by the setting."""
    mode = in_safe_mode() if safe_mode is None else safe_mode
    return settings.is_unsafe_deserialization_enabled() if mode is None else not mode


class ObjectSharingScope:
    """Write an object that occurs several times under one id, and revive one object for it."""

    def __enter__(self):
        self.outer, _modes.sharing = _modes.sharing, self
        self.revived: dict[int, Any] = {}
        self.written: dict[int, tuple[Any, dict]] = {}
        return self

    def __exit__(self, *exc):
        _modes.sharing = self.outer

    def note(self, obj: Any, record: dict) -> None:
        """Give `record` an id as soon as `obj` was written before, and the earlier record the same one."""
        _, first = self.written.setdefault(id(obj), (obj, record))
        if first is not record:
            first["shared_object_id"] = record["shared_object_id"] = id(obj)


@contextlib.contextmanager
def foreign_parts() -> Iterator[dict[str, Any]]:
    """Give a dict that fills with the classes and functions of users that are written inside, by the names in their configs."""
    outer, _modes.foreign = _modes.foreign, {}
    try:
        yield _modes.foreign
    finally:
        _modes.foreign = outer


def _note_foreign(name: str, part: Any) -> None:
    if _modes.foreign is not None:
        _modes.foreign[name] = part


# -- to configs --------------------------------------------------------------------------------------------------------


def serialize_keras_object(obj: Any) -> Any:
    """Return `obj` as data that JSON can hold.

    Raises TypeError for an object without `get_config()`.

    >>> import multikeras
    >>> multikeras.saving.serialize_keras_object(multikeras.regularizers.L2(0.1))["config"]
    {'l2': 0.1}
    """
    if obj is None or isinstance(obj, (str, bool, int, float)):
        return obj
    if isinstance(obj, (list, tuple)):
        values = [serialize_keras_object(x) for x in obj]
        return values if isinstance(obj, list) else tuple(values)
    if isinstance(obj, dict):
        return serialize_dict(obj)
    plain = _serialize_plain(obj)
    if plain is not None:
        return plain
    if isinstance(obj, types.LambdaType) and obj.__name__ == "<lambda>":
        warnings.warn(
            "A lambda was serialized. It can be loaded only with safe_mode=False; a named, registered function "
            "can be loaded safely.",
            stacklevel=2,
        )
        return {"class_name": "__lambda__", "config": {"value": _pack_function(obj)}}
    if isinstance(obj, (types.FunctionType, types.BuiltinFunctionType, type)) and not hasattr(obj, "get_config"):
        kind, name = type(obj).__name__, get_registered_name(obj)
        if registry.function_named(name) is not obj:
            _note_foreign(name, obj)
        return {"module": "builtins", "class_name": kind, "config": name, "registered_name": kind}
    if isinstance(obj, type) or not hasattr(obj, "get_config"):
        raise TypeError(
            f"Cannot serialize {obj!r} of type {type(obj).__name__}: a class needs get_config(), and an instance is expected."
        )
    return _serialize_instance(obj)


def serialize_dict(obj: dict) -> dict:
    """Return a dict with every value serialized."""
    return {key: serialize_keras_object(value) for key, value in obj.items()}


def _serialize_plain(obj: Any) -> Any:
    """Return the config of a value that has no class of its own in the API, None for other objects."""
    if isinstance(obj, bytes):
        return {"class_name": "__bytes__", "config": {"value": obj.decode("utf-8")}}
    if obj is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    if isinstance(obj, slice):
        parts = {part: serialize_keras_object(getattr(obj, part)) for part in ("start", "stop", "step")}
        return {"class_name": "__slice__", "config": parts}
    if isinstance(obj, KerasTensor):
        history = getattr(obj, "_keras_history", None)
        if history is not None and history.operation is not None:
            history = [history.operation.name, history.node_index, history.tensor_index]
        elif not isinstance(history, list):
            history = None
        return {
            "class_name": "__keras_tensor__",
            "config": {"shape": obj.shape, "dtype": obj.dtype, "keras_history": history},
        }
    if isinstance(obj, np.generic):
        return obj.item()
    if isinstance(obj, np.ndarray):
        if obj.ndim == 0:
            return obj.item()
        return {"class_name": "__numpy__", "config": {"value": obj.tolist(), "dtype": obj.dtype.name}}
    if current.is_tensor(obj):
        value, dtype = current.to_numpy(obj), current.dtype(obj)
        return {"class_name": "__tensor__", "config": {"value": value.tolist(), "dtype": dtype}}
    kind = type(obj)
    if kind.__name__ in ("TensorShape", "Size"):
        return list(obj.as_list() if hasattr(obj, "as_list") else obj)
    if kind.__name__ in ("DType", "dtype") and not isinstance(obj, np.dtype):
        return dtypes.standardize_dtype(obj)
    return None


def _serialize_instance(obj: Any) -> dict:
    cls = type(obj)
    path = registry.path_of(cls)
    if path is not None:
        module, class_name = path
        registered_name = class_name if module.startswith("keras.src.") else None
    else:
        local = "<locals>" in cls.__qualname__ or cls.__module__ in ("__main__", "builtins")
        module = None if local or cls in registry.GLOBAL_CUSTOM_NAMES else cls.__module__
        class_name, registered_name = cls.__name__, get_registered_name(cls)
        _note_foreign(class_name, cls)
    record = {
        "module": module,
        "class_name": class_name,
        "config": _config_of(obj),
        "registered_name": registered_name,
    }
    if _modes.sharing is not None:
        _modes.sharing.note(obj, record)
    for part in ("build_config", "compile_config"):
        if hasattr(obj, f"get_{part}"):
            value = getattr(obj, f"get_{part}")()
            if value is not None:
                record[part] = serialize_dict(value)
    return record


def _config_of(obj: Any) -> dict:
    value = obj.get_config()
    if not isinstance(value, dict):
        raise TypeError(f"{type(obj).__name__}.get_config() must return a dict, it returned {value!r}.")
    return serialize_dict(value)


def _pack_function(function: Callable) -> tuple:
    code = codecs.encode(marshal.dumps(function.__code__), "base64").decode("ascii")
    cells = tuple(c.cell_contents for c in function.__closure__) if function.__closure__ else None
    return code, function.__defaults__, cells


def _unpack_function(packed: Any) -> Callable:
    code, defaults, cells = packed
    code = marshal.loads(codecs.decode(code.encode("ascii"), "base64"))
    closure = tuple(types.CellType(c) for c in cells) if cells else None
    return types.FunctionType(
        code, {**globals(), "np": np}, argdefs=tuple(defaults) if defaults else None, closure=closure
    )


# -- from configs ------------------------------------------------------------------------------------------------------


def _revive_lambda(inner: Any, safe_mode: bool) -> Callable:
    if safe_mode:
        raise ValueError(
            "The config holds a lambda, whose loading is arbitrary code execution. It is refused in safe mode. If you "
            "trust the source, pass safe_mode=False or call multikeras.config.enable_unsafe_deserialization()."
        )
    return _unpack_function(inner["value"])


def _revive_keras_tensor(inner: Any) -> KerasTensor:
    tensor: Any = KerasTensor(tuple(inner["shape"]), inner["dtype"])
    if inner.get("keras_history"):
        tensor.serialized_history = list(inner["keras_history"])  # by name: the model that holds it knows the operation
    return tensor


def _revive_slice(inner: Any, **more) -> slice:
    return slice(*(deserialize_keras_object(inner[part], **more) for part in ("start", "stop", "step")))


_PLAIN: dict[str, Callable[[Any], Any]] = {
    "__bytes__": lambda c: c["value"].encode("utf-8"),
    "__ellipsis__": lambda c: Ellipsis,
    "__numpy__": lambda c: np.array(c["value"], dtype=dtypes.numpy_dtype(dtypes.standardize_dtype(c["dtype"]))),
    "__tensor__": lambda c: current.asarray(np.array(c["value"]), c["dtype"]),
    "__keras_tensor__": _revive_keras_tensor,
    "__slice__": _revive_slice,
}  # fmt: skip


def deserialize_keras_object(config: Any, custom_objects: dict | None = None, safe_mode: bool = True, **kwargs) -> Any:
    """Return the object that `serialize_keras_object` wrote; plain data comes back as it is.

    Args:
        config: The data.
        custom_objects: Classes and functions by name that the data may refer to.
        safe_mode: Refuse lambdas.

    Raises ValueError or TypeError for names that are neither public nor registered.

    >>> import multikeras
    >>> saved = multikeras.saving.serialize_keras_object(multikeras.regularizers.L2(0.5))
    >>> multikeras.saving.deserialize_keras_object(saved).get_config()
    {'l2': 0.5}
    """
    table = kwargs.pop("module_objects", None)
    if kwargs:
        raise TypeError(f"deserialize_keras_object: unknown argument {next(iter(kwargs))!r}.")
    if _modes.safe is not None:
        safe_mode = _modes.safe
    elif settings.is_unsafe_deserialization_enabled():
        safe_mode = False
    again = functools.partial(deserialize_keras_object, custom_objects=custom_objects, safe_mode=safe_mode)
    if isinstance(config, str) and (table or custom_objects):
        found = custom_object(config, custom_objects) or (table or {}).get(config)
        if found is None:
            return config
        return found() if isinstance(found, type) else found
    if isinstance(config, (list, tuple)):
        values = [again(x) for x in config]
        return values if isinstance(config, list) else tuple(values)
    if not isinstance(config, dict):
        return config
    name, inner = config.get("class_name"), config.get("config")
    if name is None or "config" not in config:
        return {key: again(value) for key, value in config.items()}
    shared = config.get("shared_object_id")
    if shared is not None and _modes.sharing is not None and shared in _modes.sharing.revived:
        return _modes.sharing.revived[shared]
    if name == "__lambda__":
        return _revive_lambda(inner, safe_mode)
    if name == "__typespec__":
        raise TypeError(
            f"Expected 'config' to be a list or a tuple of a TensorFlow type; type specs are not revived here: {_short(config)}."
        )
    with _naming(config):
        if name == "__slice__":
            return _revive_slice(inner, custom_objects=custom_objects, safe_mode=safe_mode)
        if name in _PLAIN:
            return _PLAIN[name](inner)
        if name == "function":
            return _revive_function(config, custom_objects, table)
        return _revive_instance(config, custom_objects, table, safe_mode)


class _naming:
    """Let an error say where in the config it happened, and turn those that say nothing into ValueErrors."""

    clear = (ValueError, TypeError, OSError, NotImplementedError)

    def __init__(self, config: dict):
        self.config = config

    def __enter__(self):
        pass

    def __exit__(self, kind, error, trace):
        if error is None:
            return
        place = [_label(self.config), *getattr(error, "place", [])]
        if isinstance(error, Exception) and not isinstance(error, self.clear):
            what = f"{error} is missing" if type(error) is KeyError else f"{type(error).__name__}: {_short(error)}"
            said = ValueError(
                f"{_label(self.config)} could not be made from its config ({what}). Config: {_short(self.config)}"
            )
            vars(said)["place"] = place
            raise said from error
        vars(error)["place"] = place


def _label(config: dict) -> str:
    inner = config["config"]
    name = inner.get("name") if isinstance(inner, dict) else inner if config["class_name"] == "function" else None
    return f"{config['class_name']} {name!r}" if isinstance(name, str) else str(config["class_name"])


def _short(x: Any) -> str:
    return reprlib.repr(x) if isinstance(x, dict) else str(x)[:500]


def _not_found(what: str, config: dict) -> TypeError:
    return TypeError(
        f"Could not locate {what}. Custom classes and functions must be given as custom_objects, or decorated with "
        f"@multikeras.saving.register_keras_serializable() in a module that was imported. Config: {_short(config)}"
    )


def _revive_function(config: dict, custom_objects: dict | None, table: dict | None) -> Callable:
    name, registered_name = config["config"], config.get("registered_name")
    if not isinstance(name, str):
        raise TypeError(
            f"Expected 'config' to be a non-null str, the name of a function, got {name!r}. Config: {_short(config)}"
        )
    found = registry.custom_function(name, custom_objects)
    if found is not None:
        return found
    found = registry.function_named(name) or registry.class_at(config.get("module"), name) or (table or {}).get(name)
    if found is None or isinstance(found, type):
        raise _not_found(f"function {name!r}", config)
    if registered_name not in (None, "", "function", name):
        raise ValueError(
            f"registered_name={registered_name!r} belongs to a name that resolved to a Keras built-in, {name!r}. "
            f"Config: {_short(config)}"
        )
    return found


def _find_class(config: dict, custom_objects: dict | None, table: dict | None) -> Any:
    module, name, registered_name = config.get("module"), config["class_name"], config.get("registered_name")
    found = custom_object(registered_name, custom_objects) or custom_object(name, custom_objects)
    if found is not None:
        return found
    found = registry.class_at(module, name)
    if found is None and table and not registered_name:
        found = table.get(name)
    if found is None:
        if isinstance(module, str) and module.partition(".")[0] == "keras" and not module.startswith("keras.src."):
            raise ValueError(f"{module}.{name} is not a class that a config may name.")
        raise _not_found(f"class {name!r}", config)
    if registered_name not in (None, "", name):
        raise ValueError(
            f"registered_name={registered_name!r} belongs to a name that resolved to a Keras built-in, {name!r}. "
            f"Config: {_short(config)}"
        )
    return found


def _revive_instance(config: dict, custom_objects: dict | None, table: dict | None, safe_mode: bool) -> Any:
    cls, inner = _find_class(config, custom_objects, table), config["config"]
    if isinstance(cls, types.FunctionType):
        return cls
    if not hasattr(cls, "from_config"):
        raise TypeError(f"{cls!r} cannot be revived: it has no from_config() method. Config: {_short(config)}")
    if not isinstance(inner, dict):
        raise TypeError(
            f"Expected 'config' to be a dict for {cls.__name__}, got {type(inner).__name__}. Config: {_short(config)}"
        )
    with custom_object_scope(custom_objects), SafeModeScope(safe_mode):
        try:
            instance = cls.from_config(dict(inner))
        except TypeError as error:
            raise TypeError(f"{cls.__name__} could not be made from its config: {error} Config: {_short(config)}") from error
        build_config = config.get("build_config")
        if build_config and not getattr(instance, "built", False) and hasattr(instance, "build_from_config"):
            instance.build_from_config(build_config)
            instance.built = True
        compile_config = config.get("compile_config")
        if compile_config and hasattr(instance, "compile_from_config"):
            instance.compile_from_config(compile_config)
    if _modes.sharing is not None and config.get("shared_object_id") is not None:
        _modes.sharing.revived[config["shared_object_id"]] = instance
    return instance


# -- configs from constructors -----------------------------------------------------------------------------------------


@functools.cache
def _signature(cls: type) -> inspect.Signature:
    return inspect.signature(cls.__init__)


def given_arguments(obj: Any) -> dict[str, Any]:
    """Return the constructor's arguments by name, as given or by default, those of **kwargs too."""
    args, kwargs = obj._init_args
    signature = _signature(type(obj))
    bound = signature.bind(obj, *args, **kwargs)
    bound.apply_defaults()
    arguments = dict(list(bound.arguments.items())[1:])
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            arguments.update(arguments.pop(parameter.name, {}))
        elif parameter.kind is parameter.VAR_POSITIONAL:
            arguments.pop(parameter.name, None)
    return arguments


def config_from_signature(obj: Any, skip: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the constructor's arguments as a config: the attribute of the same name where there is one.

    `obj` remembers what it was made from in `_init_args` (see `Operation.__new__`, `Configurable`). Builtin
    activation functions are written by name.
    """
    config = {}
    for name, value in given_arguments(obj).items():
        if name not in skip:
            config[name] = serialize_argument(getattr(obj, name, value))
    return config


def serialize_argument(value: Any) -> Any:
    """Return the config of a constructor's argument: that of any object, the bare name of a builtin activation."""
    if isinstance(value, types.FunctionType) and registry.function_named(value.__name__, ("activations",)) is value:
        return value.__name__
    return serialize_keras_object(value)


class Configurable:
    """Give a class `get_config` and `from_config` from the signature of its constructor."""

    def __new__(cls, *args, **kwargs):
        if (args or kwargs) and cls.__init__ is object.__init__:
            raise TypeError(f"{cls.__name__}() takes no arguments, got {', '.join([*map(repr, args), *kwargs])}.")
        instance = super().__new__(cls)
        object.__setattr__(instance, "_init_args", (args, kwargs))
        return instance

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return config_from_signature(self)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Return an instance made from `get_config()` of another."""
        return cls(**config)


# -- get, serialize, deserialize of one kind of object -----------------------------------------------------------------


_SECTIONS_OF: dict[str, tuple[str, ...]] = {
    "activation function": ("activations", "layers"),
    "constraint": ("constraints",),
    "initializer": ("initializers",),
    "learning rate schedule": ("optimizers.schedules",),
    "loss": ("losses", "metrics"),
    "metric": ("metrics", "losses"),
    "optimizer": ("optimizers",),
    "quantizer": ("quantizers",),
    "regularizer": ("regularizers",),
}
"""Where the objects of the library are from that a config may name as one of a kind."""


class Kind:
    """What `get`, `serialize` and `deserialize` of one public folder share.

    Args:
        what: Name of the kind in errors: "loss".
        table: Classes and functions by every name that `get` accepts.
        default: What `get(None)` returns.
        instantiate: Whether `get` makes an instance of a class it is given.
    """

    def __init__(self, what: str, table: dict[str, Any], default: Any = None, instantiate: bool = True):
        self.what, self.table, self.default, self.instantiate = what, table, default, instantiate

    def deserialize(self, config: Any, custom_objects: dict | None = None) -> Any:
        """Return the object of a config; a config without a module is looked up among this kind."""
        if config == {}:
            raise ValueError(f"An empty config says no {self.what}: it needs 'class_name' and 'config'.")
        found = deserialize_keras_object(config, custom_objects, module_objects=self.table)
        if isinstance(config, dict):
            self._check(found)
        return found

    def _check(self, found: Any) -> None:
        """Refuse an object of the library that is of another kind."""
        sections = _SECTIONS_OF.get(self.what, ())
        if isinstance(found, types.FunctionType):
            name = found.__name__
            wrong = registry.function_named(name) is found and registry.function_named(name, sections) is not found
        else:
            path = registry.path_of(found if isinstance(found, type) else type(found))
            wrong = path is not None and path[0] not in ("keras", *(f"keras.{section}" for section in sections))
        if wrong:
            raise ValueError(f"A config names {found!r} where a {self.what} is expected.")

    def get(self, identifier: Any) -> Any:
        """Return the object that a name, config, class, function or instance stands for."""
        if identifier is None:
            return self.default
        found = identifier
        if isinstance(identifier, dict):
            if not isinstance(identifier.get("class_name"), str):
                self.refuse(identifier)
            found = self.deserialize(identifier)
        elif isinstance(identifier, str):
            found = custom_object(identifier) or self.table.get(identifier)
        if isinstance(found, type) and self.instantiate:
            found = found()
        if not callable(found) and not hasattr(found, "get_config"):
            self.refuse(identifier)
        if _modes.safe:  # it comes from a config that is being revived
            self._check(found)
        return found

    def refuse(self, identifier: Any) -> None:
        """Raise ValueError for what stands for nothing, with the nearest names that would."""
        near = difflib.get_close_matches(identifier, self.table, 3) if isinstance(identifier, str) else []
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ValueError(
            f"Could not interpret {self.what} identifier: {identifier!r}.{hint} Expected an instance, a config, a function or "
            f"one of {', '.join(sorted(self.table))}."
        )


def by_both_names(*classes: type) -> dict[str, Any]:
    """Return classes by their names and by these in snake case."""
    from_class = {cls.__name__: cls for cls in classes}
    return {**from_class, **{naming.to_snake_case(name): cls for name, cls in from_class.items()}}
