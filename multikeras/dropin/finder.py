"""The meta-path finder that owns `keras` and gives out multikeras in its place.

`keras`, `keras._tf_keras.keras` and `tensorflow.keras` are one tree of modules here. Each is a `Served` module: it
looks a name up among the old names that `tf.keras` programs use (`keras2/`), then in the multikeras module of the
same path. A name that is in neither is an error that says so; there is no falling back to the real keras, whose
tensors and variables are of another world.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import threading
import types
from pathlib import Path
from typing import Any

import multikeras
from multikeras.dropin import missing, tensorflow_stub

KERAS_VERSION = "3.15.1"
"""The version of Keras whose interface is served."""

_ROOTS = ("keras._tf_keras.keras", "tensorflow.keras", "keras.src", "keras.api", "keras")
_OLD_NAMES = "multikeras.dropin.keras2"
_HERE = Path(multikeras.__file__)
_OF_MODULES = ("", "applications", "datasets", "preprocessing")
_PUBLIC_MODULES = ("optimizers.schedules", "ops.image", "ops.linalg", "ops.nn", "ops.numpy", "utils.bounding_boxes")
"""Modules of Keras below others; what else is a module there is a file of multikeras."""
_AREAS = (
    "layers", "models", "ops", "saving", "utils", "losses", "metrics", "optimizers", "callbacks", "initializers",
    "regularizers", "constraints", "activations", "random", "dtype_policies", "backend", "tree",
)  # fmt: skip
"""Where a name is looked for that a program imports from a file inside Keras."""
_PACKAGES = {
    "activations", "attention", "common", "convolutional", "core", "data_adapters", "merging", "normalization", "pooling",
    "preprocessing", "regularization", "reshaping", "rnn", "schedules",
}  # fmt: skip
"""Folders inside Keras's areas; what else stands below a file there is a name in it."""


def _path_below_keras(fullname: str) -> str | None:
    """Return "layers" for "keras.layers" and "tensorflow.keras.layers", "" for "keras", None for other modules."""
    for root in _ROOTS:
        if fullname == root:
            return ""
        if fullname.startswith(root + "."):
            return fullname.removeprefix(root + ".")
    return None


def _module_or_none(name: str) -> types.ModuleType | None:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # Only "there is no such module here" is an answer; a dependency that lacks is an error to show.
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            return None
        raise


class Served(types.ModuleType):
    """A module of Keras's public interface, made of multikeras names.

    Args:
        path: Where it is below `keras`: "" or "layers" or "optimizers.schedules".
        sources: The modules its names are looked up in, in this order.
    """

    def __init__(self, path: str, sources: list[types.ModuleType]):
        super().__init__(f"keras.{path}" if path else "keras", sources[-1].__doc__)
        self._path = path
        self._sources = sources
        self.__path__: list[str] = []
        self.__file__ = str(_HERE)
        if not path:
            self.__version__ = KERAS_VERSION

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            return self._starred()
        if name == "_tf_keras" and not self._path:
            return importlib.import_module("keras._tf_keras")
        below = f"{self._path}.{name}" if self._path else name
        for source in self._sources:
            if hasattr(source, name):
                value = getattr(source, name)
                if isinstance(value, types.ModuleType):
                    value = served(below) or value
                setattr(self, name, value)
                return value
        if name.startswith("_"):
            raise AttributeError(f"module 'keras{'.' * bool(self._path)}{self._path}' has no attribute {name!r}")
        module = served(below)
        if module is not None:
            return module
        missing.record(f"keras.{below}")
        raise AttributeError(_lacks(f"keras.{below}"))

    def _starred(self) -> list[str]:
        """Return what `from keras.layers import *` gives: not our files, which would replace `keras.activations`."""
        public = [n for n in dir(self) if not n.startswith("_")]
        if self._path in _OF_MODULES:
            return public
        files = {n for n in public for s in self._sources if isinstance(getattr(s, n, None), types.ModuleType)}
        return [n for n in public if n not in files or f"{self._path}.{n}" in _PUBLIC_MODULES]

    def __dir__(self):
        return sorted({*super().__dir__(), *(n for source in self._sources for n in dir(source))})

    def __repr__(self):
        return f"<module {self.__name__!r} served by multikeras {getattr(multikeras, '__version__', '')}>"


class Inner(types.ModuleType):
    """A file inside Keras, where libraries import from. multikeras has other files: names are looked for in all its areas."""

    def __init__(self, path: str):
        super().__init__(f"keras.src.{path}")
        self.__path__: list[str] = []
        areas = (path.partition(".")[0], "", *_AREAS)
        self._sources = [module for module in map(served, (path, *areas)) if module is not None]

    def __getattr__(self, name: str) -> Any:
        for source in [] if name.startswith("_") else self._sources:
            if name in dir(source) and not isinstance(value := getattr(source, name), types.ModuleType):
                setattr(self, name, value)
                return value
        raise AttributeError(_lacks(f"{self.__name__}.{name}"))

    def __call__(self, *args, **kwargs):
        missing.record(self.__name__)
        raise TypeError(_lacks(self.__name__))


def _lacks(name: str) -> str:
    return (
        f"multikeras has no {name}. The program runs on multikeras in place of Keras {KERAS_VERSION}; "
        "`python -m multikeras --report` lists all names that it lacks for a program."
    )


_served: dict[str, Served | None] = {}
_lock = threading.RLock()


def served(path: str) -> Served | None:
    """Return the one module served at this path below `keras`, None if multikeras has none."""
    with _lock:
        if path not in _served:
            names = [f"{_OLD_NAMES}.{path}" if path else _OLD_NAMES, f"multikeras.{path}" if path else "multikeras"]
            sources = [module for module in map(_module_or_none, names) if module is not None]
            _served[path] = Served(path, sources) if sources else None
        return _served[path]


def inner(path: str) -> Inner | None:
    """Return the module for a file inside Keras, None where there can be none."""
    area, _, file = path.partition(".")
    package, _, below = file.partition(".")
    return Inner(path) if served(area) is not None and (not below or package in _PACKAGES) else None


class _Loader(importlib.abc.Loader):
    """Hands out a module that is ready; one that is known under another name keeps the spec it has."""

    def __init__(self, module: types.ModuleType):
        self.module = module
        self.spec = getattr(module, "__spec__", None)

    def create_module(self, spec):
        return self.module

    def exec_module(self, module):
        module.__spec__ = self.spec or module.__spec__


class Finder(importlib.abc.MetaPathFinder):
    """Answers for `keras`, `keras.*`, `tensorflow.keras.*`, and for `tensorflow` until a program needs the real one."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname == "keras._tf_keras":
            shell = types.ModuleType(fullname)
            shell.__path__ = []
            return _spec(fullname, shell)
        below = _path_below_keras(fullname)
        if below is None:
            return tensorflow_stub.find_spec(fullname, _spec)
        if fullname == "keras.src":  # a module of its own: what is imported below becomes its attribute, not one of `keras`
            module = Served("", served("")._sources)  # type: ignore[union-attr]
        else:
            module = inner(below) if fullname.startswith("keras.src.") else served(below)
        if module is None:
            # `from keras.layers import X` comes here for an X that is no attribute, as does `import keras.X`. Without
            # name= this error is not taken for "X is no submodule", and its text reaches the user.
            missing.record(f"keras.{below}")
            raise ModuleNotFoundError(_lacks(f"keras.{below}"))
        return _spec(fullname, module)


def _spec(fullname: str, module: types.ModuleType) -> importlib.machinery.ModuleSpec:
    spec = importlib.machinery.ModuleSpec(fullname, _Loader(module), origin=str(_HERE), is_package=True)
    spec.submodule_search_locations = list(getattr(module, "__path__", None) or ())
    return spec


def installed_finder() -> Finder | None:
    """Return the finder at work in this process, None if there is none."""
    return next((f for f in sys.meta_path if isinstance(f, Finder)), None)


def install() -> None:
    """Serve every later `import keras`, `tensorflow.keras` included, from multikeras.

    Raises: RuntimeError if the real keras is imported already.

    >>> import multikeras
    >>> multikeras.install()
    >>> import keras
    >>> keras.layers.Dense is multikeras.layers.Dense, keras.__version__[0]
    (True, '3')
    """
    if installed_finder() is not None:
        return
    loaded = sys.modules.get("keras")
    if loaded is not None:
        raise RuntimeError(
            f"keras {getattr(loaded, '__version__', '')} is imported already, from {getattr(loaded, '__file__', '?')}, "
            "so multikeras cannot take its place. Call multikeras.install() before the first import of keras or "
            "tensorflow, or run the program with: python -m multikeras script.py"
        )
    sys.meta_path.insert(0, Finder())
    multikeras.config.process_setup.append("multikeras.dropin.finder:install")


def load_ipython_extension(ipython: Any) -> None:
    """Serve `import keras` in a notebook: `%load_ext multikeras`."""
    install()
