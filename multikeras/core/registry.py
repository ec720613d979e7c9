"""Which classes and functions a config may name: the public API, and what the caller registered.

Nothing here imports a module because a file names it. A path such as ("keras.layers", "Dense") is looked up in this
package's own public namespace, in what `provide` added, and among registered objects.
"""

import sys
import threading
from collections.abc import Callable
from typing import Any

ROOT = __name__.partition(".")[0]
SECTIONS = (
    "", "layers", "losses", "metrics", "optimizers", "optimizers.schedules", "initializers", "regularizers", "constraints",
    "dtype_policies", "random", "quantizers", "models", "visualization",
)  # fmt: skip
"""Public folders whose classes may stand in a config; the first that has a class is where it is written under."""
FUNCTION_SECTIONS = ("activations", "losses", "metrics")
OPS = ("numpy", "nn", "math", "linalg", "image", "core")

_OP_CLASSES = {  # where Keras's class of an op is not its name in camel case
    "Allclose": "AllClose", "BatchNormalization": "BatchNorm", "Cdist": "CDist", "CtcDecode": "CTCDecode", "CtcLoss": "CTCLoss",
    "Fft": "FFT", "Fft2": "FFT2", "HsvToRgb": "HSVToRGB", "Ifft2": "IFFT2", "Irfft": "IRFFT", "Isin": "IsIn", "Istft": "ISTFT",
    "LayerNormalization": "LayerNorm", "Psnr": "PSNR", "Rfft": "RFFT", "RgbToGrayscale": "RGBToGrayscale",
    "RgbToHsv": "RGBToHSV", "RmsNormalization": "RMSNorm", "Searchsorted": "SearchSorted", "Ssim": "SSIM", "Stft": "STFT",
    "Svd": "SVD",
}  # fmt: skip
_OP_ALIASES = {
    "Absolute": "Abs", "BitwiseInvert": "BitwiseNot", "BitwiseLeftShift": "LeftShift", "BitwiseRightShift": "RightShift",
    "Conjugate": "Conj", "TrueDivide": "Divide", **{keras: ours for ours, keras in _OP_CLASSES.items()},
}  # fmt: skip

GLOBAL_CUSTOM_OBJECTS: dict[str, Any] = {}
GLOBAL_CUSTOM_NAMES: dict[Any, str] = {}
_provided: dict[tuple[str, str], Any] = {}
_paths: dict[Any, tuple[str, str]] = {}


class _Scopes(threading.local):
    def __init__(self):
        self.objects: dict[str, Any] = {}


_scopes = _Scopes()


def provide(module: str, cls: type, *aliases: str) -> type:
    """Let configs name `cls` under the Keras path `module`, and under `aliases` when read."""
    _paths[cls] = (module, cls.__name__)
    for path in (module, *aliases):
        _provided[path, cls.__name__] = cls
    return cls


def get_custom_objects() -> dict[str, Any]:
    """Return the registered objects by name: the dict itself, changes to it count."""
    return GLOBAL_CUSTOM_OBJECTS


class CustomObjectScope:
    """Let configs name the objects of a dict inside a `with` block, before any others.

    >>> import multikeras
    >>> def double(x):
    ...     return 2 * x
    >>> with multikeras.saving.custom_object_scope({"double": double}):
    ...     multikeras.activations.get("double") is double
    True
    """

    def __init__(self, custom_objects: dict[str, Any] | None):
        self.custom_objects = custom_objects or {}

    def __enter__(self):
        self.outer = _scopes.objects
        _scopes.objects = {**self.outer, **self.custom_objects}
        return self

    def __exit__(self, *exc):
        _scopes.objects = self.outer


custom_object_scope = CustomObjectScope


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable:
    """Return a decorator that makes a class or function known to loading as `package>name`.

    A class needs `get_config()`.

    >>> import multikeras
    >>> @multikeras.saving.register_keras_serializable("shop")
    ... def half(x):
    ...     return x / 2
    >>> multikeras.saving.get_registered_name(half)
    'shop>half'
    """

    def register(obj):
        if isinstance(obj, type) and not hasattr(obj, "get_config"):
            raise ValueError(f"Cannot register a class that does not have a get_config() method: {obj.__name__}.")
        registered_name = f"{package}>{name or obj.__name__}"
        GLOBAL_CUSTOM_OBJECTS[registered_name] = obj
        GLOBAL_CUSTOM_NAMES[obj] = registered_name
        return obj

    return register


def get_registered_name(obj: Any) -> str:
    """Return the name `obj` was registered under, else its own."""
    try:
        return GLOBAL_CUSTOM_NAMES.get(obj) or obj.__name__
    except TypeError:  # not hashable
        return obj.__name__


def get_registered_object(name: str | None, custom_objects: dict | None = None, module_objects: dict | None = None) -> Any:
    """Return the object known as `name`: in the open scopes, registered, in the dicts given; else None."""
    tables: tuple[Any, ...] = (_scopes.objects, GLOBAL_CUSTOM_OBJECTS, custom_objects, module_objects)
    return next((table[name] for table in tables if table and name in table), None)


def custom_object(name: str | None, custom_objects: dict | None = None) -> Any:
    """Return the caller's object of that name: of `custom_objects` first, None if there is none."""
    return (custom_objects or {}).get(name) or get_registered_object(name)


def custom_function(name: str, custom_objects: dict | None = None) -> Any:
    """Return the caller's function `name`; one that was registered may be named without its package."""
    found = custom_object(name, custom_objects)
    if found is None and ">" not in name:
        candidates = [o for key, o in GLOBAL_CUSTOM_OBJECTS.items() if key.rpartition(">")[2] == name and _is_function(o)]
        found = candidates[0] if len(candidates) == 1 else None
    return found if _is_function(found) else None


def _is_function(x: Any) -> bool:
    return callable(x) and not isinstance(x, type)


def _public(section: str) -> Any:
    return sys.modules.get(f"{ROOT}.{section}" if section else ROOT)


def path_of(cls: type) -> tuple[str, str] | None:
    """Return the Keras module and name a class of the public API is written under, None for other classes."""
    if cls not in _paths:
        found = _find_path(cls)
        if found is None:
            return None
        _paths[cls] = found
    return _paths[cls]


def _find_path(cls: type) -> tuple[str, str] | None:
    if hasattr(cls, "public") and hasattr(cls, "leading"):  # an op called on symbolic tensors
        name = cls.public.__name__
        family = next((f for f in OPS if hasattr(_public(f"ops.{f}"), name)), "numpy")
        return f"keras.src.ops.{family}", _OP_CLASSES.get(cls.__name__, cls.__name__)
    for section in SECTIONS:
        if getattr(_public(section), cls.__name__, None) is cls:
            return f"keras.{section}" if section else "keras", cls.__name__
    for section in SECTIONS:
        for name, value in vars(_public(section)).items() if _public(section) else ():
            if value is cls and not name.startswith("_"):  # public under another name than its own
                return f"keras.{section}" if section else "keras", name
    return None


def class_at(module: str | None, name: str) -> Any:
    """Return the public class or function at a Keras path, None if the public API has none there."""
    if not isinstance(module, str):
        return None
    if (module, name) in _provided:
        return _provided[module, name]
    if module.startswith("keras.src.ops."):
        nodes = (getattr(op, "node_class", None) for op in vars(_public("ops")).values())
        wanted = _OP_ALIASES.get(name, name)
        return next((node for node in nodes if node is not None and node.__name__ == wanted), None)
    if module.startswith("keras.src."):
        # Where Keras defines a class differs by version and backend; what it is called in public does not.
        parts = module.split(".")[2:]
        sections = [".".join(parts[i : i + 2]) for i in range(len(parts))] + parts
        found = [getattr(_public(s), name, None) for s in sections if s in SECTIONS and s]
        return next((f for f in found if isinstance(f, type) and not name.startswith("_")), None)
    if module == "keras" or module.startswith("keras."):
        section = module.partition(".")[2]
        found = getattr(_public(section), name, None) if section in SECTIONS else None
        if isinstance(found, type) and not name.startswith("_"):
            return found
        if section == "ops":
            return op_named(name)
        return function_named(name, (section,)) if section in FUNCTION_SECTIONS else None
    if module.partition(".")[0] == ROOT and module in sys.modules:
        # Classes only: among the functions are setters, loaders and downloads.
        found = getattr(sys.modules[module], name, None)
        revivable = isinstance(found, type) and hasattr(found, "from_config")
        return found if revivable and found.__module__ == module else None
    return None


_NOT_OF_THE_ROLE = ("get", "serialize", "deserialize")


def function_named(name: str, sections: tuple[str, ...] = FUNCTION_SECTIONS) -> Any:
    """Return the public function `name` of these sections (activations, losses, metrics), None if there is none."""
    if name in _NOT_OF_THE_ROLE or name.startswith("_"):
        return None
    found = (vars(_public(section)).get(name) for section in sections)
    return next((f for f in found if _is_function(f)), None)


def op_named(name: str) -> Any:
    """Return the public op `name`, None for other functions beside the ops: those that record nothing in a graph."""
    found = vars(_public("ops")).get(name)
    return found if _is_function(found) and hasattr(found, "node_class") else None
