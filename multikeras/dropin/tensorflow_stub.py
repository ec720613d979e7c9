"""A `tensorflow` that has only `.keras`, and turns into the real one when a program uses more of it.

`import tensorflow as tf; tf.keras...` so runs on JAX or torch where TensorFlow is not installed, and without the
seconds that importing it takes where it is.
"""

import importlib
import sys
import types
from collections.abc import Callable
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

_DISTRIBUTIONS = ("tensorflow", "tensorflow-cpu", "tensorflow-macos", "tensorflow-rocm", "tf-nightly")


class _State:
    real: types.ModuleType | None = None
    loading = False


class TensorFlowStub(types.ModuleType):
    """`tensorflow` with `.keras` served by multikeras; all else is looked up in the real package."""

    def __init__(self):
        super().__init__("tensorflow", "TensorFlow's name with the Keras interface of multikeras.")
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name == "keras":
            return importlib.import_module("tensorflow.keras")
        if name in ("__version__", "VERSION") and _State.real is None and (version := installed_version()):
            return version
        if name.startswith("__"):
            raise AttributeError(f"module 'tensorflow' has no attribute {name!r}")
        return getattr(load_real(f"tensorflow.{name}"), name)

    def __dir__(self):
        return sorted({*super().__dir__(), "keras", *(dir(_State.real) if _State.real is not None else ())})


def installed_version() -> str | None:
    """Return the version of the TensorFlow that is installed, None if none is."""
    if PathFinder.find_spec("tensorflow") is None:
        return None
    for distribution in _DISTRIBUTIONS:
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return None


def load_real(wanted: str) -> types.ModuleType:
    """Import the real tensorflow and put it in the place of the stub."""
    if _State.real is None:
        if PathFinder.find_spec("tensorflow") is None:
            raise ImportError(
                f"{wanted} needs TensorFlow, which is not installed. multikeras serves tensorflow.keras without it, "
                'but no other part. Install it with: pip install "multikeras[tensorflow]"'
            )
        stub = sys.modules.pop("tensorflow", None)
        _State.loading = True
        try:
            _State.real = importlib.import_module("tensorflow")
        except BaseException:
            if stub is not None:
                sys.modules["tensorflow"] = stub
            raise
        finally:
            _State.loading = False
    return _State.real


def find_spec(fullname: str, make_spec: Callable[[str, types.ModuleType], ModuleSpec]) -> ModuleSpec | None:
    """Answer for `tensorflow` with the stub; for `tensorflow.x` load the real package first."""
    if _State.loading or _State.real is not None or fullname.partition(".")[0] != "tensorflow":
        return None
    if fullname == "tensorflow":
        return make_spec(fullname, TensorFlowStub())
    if not isinstance(sys.modules.get("tensorflow"), TensorFlowStub):
        return None
    real = load_real(fullname)
    if fullname in sys.modules:
        return make_spec(fullname, sys.modules[fullname])
    return PathFinder.find_spec(fullname, real.__path__)
