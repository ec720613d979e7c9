"""Snapshots: one file of plain data and arrays, whole or not at all, whose checksums tell damage.

A snapshot is a zip of `state.json` and one `.npy` file an array. Nothing in it is executed on reading.
"""

import base64
import json
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from multikeras.backend.dtypes import numpy_dtype
from multikeras.saving.files import replacing

_STATE = "state.json"
_BITS = {1: "uint8", 2: "uint16"}


def write(path: str | os.PathLike, state: Any) -> None:
    """Write a tree of dicts, lists, tuples, numbers, strings, bytes and arrays.

    Raises TypeError naming the place of anything else.
    """
    arrays: list[np.ndarray] = []
    text = json.dumps(_encoded(state, arrays, "state"))
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(_STATE, text)
        for i, array in enumerate(arrays):
            with archive.open(f"{i}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def read(path: str | os.PathLike) -> Any:
    """Return what was written.

    Raises ValueError naming the file if it is damaged, cut off or no snapshot.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _decoded(json.loads(archive.read(_STATE)), lambda i: _array(archive, i))
    except (zipfile.BadZipFile, zlib.error, LookupError, EOFError, ValueError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"{str(Path(path))!r} is damaged, cut off or no snapshot: {error}. Delete it to begin without it."
        ) from error


def _array(archive: zipfile.ZipFile, i: int) -> np.ndarray:
    with archive.open(f"{i}.npy") as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
        file.read()  # to the end: the checksum is looked at there
        return array


def is_plain(x: Any) -> bool:
    """Tell whether a snapshot can hold `x`.

    >>> is_plain({"best": 0.5, "path": (1, None)}), is_plain(print)
    (True, False)
    """
    if x is None or type(x) in (bool, int, float, str, bytes) or isinstance(x, np.generic):
        return True
    if isinstance(x, np.ndarray):
        return x.dtype.kind != "O"
    if type(x) in (list, tuple):
        return all(map(is_plain, x))
    return type(x) is dict and all(map(is_plain, x)) and all(map(is_plain, x.values()))


def _encoded(x: Any, arrays: list[np.ndarray], place: str) -> Any:
    """Return `x` for JSON; arrays go to a list, what JSON does not know becomes an object with one key."""
    if isinstance(x, np.generic) and x.dtype.kind in "biufU":
        x = x.item()
    if x is None or type(x) in (bool, int, float, str):
        return x
    if type(x) is bytes:
        return {"bytes": base64.b64encode(x).decode()}
    if isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind != "O":
        x = np.asarray(x)
        arrays.append(x.view(_BITS[x.dtype.itemsize]) if x.dtype.isbuiltin == 2 else x)
        return {"array": [len(arrays) - 1, x.dtype.name]}
    if isinstance(x, (list, tuple)):
        parts = [_encoded(v, arrays, f"{place}[{i}]") for i, v in enumerate(x)]
        return parts if isinstance(x, list) else {"tuple": parts}
    if isinstance(x, dict):
        return {"dict": [[_encoded(k, arrays, place), _encoded(v, arrays, f"{place}[{k!r}]")] for k, v in x.items()]}
    raise TypeError(
        f"A snapshot holds numbers, strings, bytes, arrays and lists, tuples and dicts of them; {place} is a {type(x).__name__}."
    )


def _decoded(x: Any, array: Any) -> Any:
    if isinstance(x, list):
        return [_decoded(v, array) for v in x]
    if not isinstance(x, dict):
        return x
    ((kind, value),) = x.items()
    if kind == "bytes":
        return base64.b64decode(value)
    if kind == "array":
        found, dtype = array(value[0]), value[1]
        return found if found.dtype.name == dtype else found.view(numpy_dtype(dtype))
    if kind == "tuple":
        return tuple(_decoded(v, array) for v in value)
    return {_decoded(k, array): _decoded(v, array) for k, v in value}
