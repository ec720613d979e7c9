"""Loads one backend by name: `backend()` is the name, `current` the instance."""

import importlib
import os
from importlib.util import find_spec
from typing import Any

from multikeras import config
from multikeras.backend import dtypes
from multikeras.backend.dtypes import result_type as result_type
from multikeras.backend.dtypes import standardize_dtype as standardize_dtype
from multikeras.backend.interface import Backend
from multikeras.backend.spec_backend import Judge, SpecBackend
from multikeras.config import epsilon as epsilon
from multikeras.config import floatx as floatx
from multikeras.config import image_data_format as image_data_format
from multikeras.config import set_epsilon as set_epsilon
from multikeras.config import set_floatx as set_floatx
from multikeras.config import set_image_data_format as set_image_data_format

_BUILT_IN = {  # name: module that must be installed, module here, pip extra
    "jax": ("jax", "jax_backend", "jax"),
    "torch": ("torch", "torch_backend", "torch"),
    "tensorflow": ("tensorflow", "tf_backend", "tensorflow"),
    "numpy": ("numpy", "numpy_backend", None),
}


def _entry_points() -> Any:
    from importlib.metadata import entry_points  # slow to import: only an unknown name needs it

    return entry_points(group="multikeras.backends")


def registered() -> dict[str, str]:
    """Return the backends that other packages offer: name and "module:Class"."""
    return {e.name: e.value for e in _entry_points()}


def names() -> list[str]:
    """Return the names of all backends there are, installed or not."""
    return [*_BUILT_IN, *(name for name in registered() if name not in _BUILT_IN)]


def installed() -> list[str]:
    """Return the names of the backends whose framework is here, best first."""
    built_in = [name for name, (module, _, _) in _BUILT_IN.items() if find_spec(module)]
    return built_in + [name for name in registered() if name not in _BUILT_IN]


def choose() -> tuple[str, str]:
    """Return the name of the backend to use and why: environment, settings file, or the first installed."""
    if name := os.environ.get("MULTIKERAS_BACKEND"):
        return name, "MULTIKERAS_BACKEND"
    if name := config.file_settings.get("backend"):
        return name, str(config.home() / "multikeras.json")
    first = next(name for name, (module, _, _) in _BUILT_IN.items() if find_spec(module))
    return first, "first installed of jax, torch, tensorflow, numpy"


def load(name: str, reason: str = "asked for") -> Backend:
    """Import the backend `name` and return an instance, without its overrides if MULTIKERAS_PLAIN=1."""
    if name not in _BUILT_IN:
        others = registered()
        if name not in others:
            raise ValueError(
                f"backend={name!r} ({reason}) is unknown. Valid: {', '.join([*_BUILT_IN, *others])}. "
                f"Installed here: {', '.join(installed())}."
            )
        return _entry_points()[name].load()()
    framework, module, extra = _BUILT_IN[name]
    if not find_spec(framework):
        raise ImportError(
            f"backend={name!r} ({reason}) needs {framework}, which is not installed. "
            f'Install it with: pip install "multikeras[{extra}]". Installed here: {", ".join(installed())}.'
        )
    primitives = importlib.import_module(f"multikeras.backend.{module}")
    fused = f"multikeras.backend._{module.removesuffix('_backend')}_fused"
    if os.environ.get("MULTIKERAS_PLAIN") == "1" or not find_spec(fused):
        return primitives.BACKEND()
    return importlib.import_module(fused).BACKEND()


chosen, reason = choose()
current = load(chosen, reason)
SPEC = SpecBackend()
"""Computes shapes and dtypes only: `current` for symbolic tensors."""
JUDGE = Judge()
"""The same for calls that have failed with data: what was wrong with them."""
SPEC.unsigned_arithmetic = JUDGE.unsigned_arithmetic = current.unsigned_arithmetic
dtypes.widens_to_64_bits = current.widens_to_64_bits
config.loaded_backend = current.name


def backend() -> str:
    """Return the name of the backend in use: "jax", "torch", "tensorflow" or "numpy"."""
    return current.name


def is_float_dtype(dtype: Any) -> bool:
    """Tell whether a dtype, in any spelling, is a floating one."""
    return dtypes.is_float(standardize_dtype(dtype))


def is_int_dtype(dtype: Any) -> bool:
    """Tell whether a dtype, in any spelling, is an integer one."""
    return dtypes.is_int(standardize_dtype(dtype))
