"""Names of dtypes and the one lattice by which they promote.

A dtype is its name, everywhere above the frameworks. The lattice is JAX's
(https://docs.jax.dev/en/latest/jep/9407-type-promotion.html), which Keras
documents too: integers never widen a float, a Python scalar never widens a tensor.
"""

from functools import cache
from typing import Any

import ml_dtypes
import numpy as np

from multikeras import config

FLOATS = ("bfloat16", "float16", "float32", "float64")
FLOAT8 = ("float8_e4m3fn", "float8_e5m2")
COMPLEX = ("complex64", "complex128")
INTS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
ALL = ("bool", *INTS, *FLOATS, *FLOAT8, *COMPLEX, "string")
_KNOWN = frozenset((*ALL, "int4", "uint4"))
_PYTHON = {bool: "bool", int: "int", float: "float", complex: "complex", str: "string"}

# Each dtype and those right above it; "int", "float" and "complex" are the weak dtypes of Python scalars.
_ABOVE = {
    "bool": ("int",),
    "int": ("uint8", "int8"),
    "uint8": ("uint16", "int16"), "uint16": ("uint32", "int32"), "uint32": ("uint64", "int64"), "uint64": ("float",),
    "int8": ("int16",), "int16": ("int32",), "int32": ("int64",), "int64": ("float",),
    "float": ("complex", "bfloat16", "float16", "float8_e4m3fn", "float8_e5m2"),
    "float8_e4m3fn": ("bfloat16", "float16"), "float8_e5m2": ("bfloat16", "float16"),
    "bfloat16": ("float32",), "float16": ("float32",),
    "float32": ("float64", "complex64"), "float64": ("complex128",),
    "complex": ("complex64",), "complex64": ("complex128",), "complex128": (),
}  # fmt: skip


@cache
def _up(name: str) -> frozenset[str]:
    return frozenset((name,)).union(*(_up(above) for above in _ABOVE[name]))


@cache
def _join(a: str, b: str) -> str:
    if a == b:
        return a
    for name, other in ((a, b), (b, a)):
        if name not in _ABOVE:
            raise TypeError(f"No common dtype: an operation takes a tensor of dtype {name} together with one of {other}.")
    common = _up(a) & _up(b)
    return next(c for c in common if all(other in _up(c) for other in common))


@cache
def _known(name: str) -> str:
    if name not in _KNOWN:
        raise ValueError(f"dtype={name!r} is unknown. Expected one of {', '.join(ALL)}.")
    return name


def standardize_dtype(dtype: Any) -> str:
    """Return the name of any spelling of a dtype: a name, a Python or numpy type, a framework's dtype, a policy.

    >>> import numpy as np
    >>> standardize_dtype(np.float16), standardize_dtype(None), standardize_dtype(int)
    ('float16', 'float32', 'int32')
    """
    if dtype is None:
        return config.floatx()
    if isinstance(dtype, str):
        return _known({"half": "float16", "double": "float64", "float": "float32", "int": "int32"}.get(dtype, dtype))
    if isinstance(dtype, type) and dtype in _PYTHON:
        return {"int": "int32", "float": config.floatx(), "complex": "complex64"}.get(_PYTHON[dtype], _PYTHON[dtype])
    if isinstance(dtype, np.dtype):
        return "string" if dtype.kind in "SUO" else _known(dtype.name)
    name = getattr(dtype, "name", None)
    if name is None or not isinstance(name, str):
        name = getattr(dtype, "__name__", None) or str(dtype)
    name = name.rpartition(".")[2]
    return _known({"str_": "string", "bool_": "bool"}.get(name, name))


@cache
def numpy_dtype(name: str) -> np.dtype:
    """Return the numpy dtype of a name, from ml_dtypes where numpy has none."""
    if name == "string":
        return np.dtype(object)
    return np.dtype(getattr(ml_dtypes, name)) if hasattr(ml_dtypes, name) else np.dtype(name)


def is_float(name: str) -> bool:
    """Tell whether a dtype name is a real floating one."""
    return "float" in name


def is_int(name: str) -> bool:
    """Tell whether a dtype name is an integer one."""
    return name.startswith(("int", "uint"))


def is_complex(name: str) -> bool:
    """Tell whether a dtype name is a complex one."""
    return name.startswith("complex")


def is_inexact(name: str) -> bool:
    """Tell whether a dtype name is floating or complex."""
    return "float" in name or name.startswith("complex")


widens_to_64_bits = True
"""Whether 32 bits promote to 64 (uint32 with int8: int64), as the backend in use has it."""


@cache
def _result(names: tuple[str, ...], floatx: str, widens: bool) -> str:
    joined = names[0]
    for name in names[1:]:
        joined = _join(joined, name)
    if joined == "int64" and not widens and not any(name.endswith("64") for name in names):
        return "int32"
    return {"int": "int32", "float": floatx, "complex": "complex64"}.get(joined, joined)


def result_type(*dtypes: Any) -> str:
    """Return the dtype an operation on these dtypes has; `int` and `float`, the types, count as Python scalars.

    >>> result_type("int32", "bfloat16"), result_type("int8", int), result_type("int32", float)
    ('bfloat16', 'int8', 'float32')
    """
    if not dtypes:
        return config.floatx()
    names = tuple(_PYTHON.get(d) or standardize_dtype(d) if isinstance(d, type) else standardize_dtype(d) for d in dtypes)
    return _result(names, config.floatx(), widens_to_64_bits)


def weak_dtype(x: Any) -> Any:
    """Return what `x` contributes to `result_type`: the type of a Python scalar, else its dtype."""
    kind = type(x)
    return kind if kind in (bool, int, float, complex) else x.dtype


def inexact(name: str) -> str:
    """Return `name` if floating or complex, else the default float."""
    return name if is_inexact(name) else config.floatx()
