"""Weights in HDF5, as Keras lays them out: a group `path/vars` for each part, data sets "0", "1", ..."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from multikeras.backend.dtypes import numpy_dtype
from multikeras.core.stored import Stored
from multikeras.saving import checked, loading, state
from multikeras.saving.hdf5 import h5py

_NOT_IN_HDF5 = ("bfloat16", "float8_e4m3fn", "float8_e5m2")
VARS = "vars"


class Writer:
    """What `save_own_variables` writes to: a mapping from names to arrays."""

    def __init__(self, group: h5py.Group):
        self.group = group

    def __setitem__(self, name: str, value: Any) -> None:
        self.put(name, np.asarray(value))

    def put(self, name: str, value: np.ndarray) -> None:
        """Write an array, which may change later."""
        put(self.group, name, value)

    def keys(self):
        return self.group.keys()


def put(group: h5py.Group, name: str, value: np.ndarray) -> None:
    """Make a data set."""
    if value.dtype.name in _NOT_IN_HDF5:
        # HDF5 has no such type: the bytes are kept, the attribute says what they are.
        data = group.create_dataset(name, data=value.view(f"V{value.dtype.itemsize}"))
        data.attrs["dtype"] = value.dtype.name
    else:
        group.create_dataset(name, data=value)


class Reader(Stored):
    """The data sets of one group."""

    def __init__(self, group: h5py.Group):
        self.group, self.place = group, group.name
        self._names: list[str] | None = None
        self._open: dict[str, Any] = {}

    def names(self):
        if self._names is None:
            self._names = list(self.group.keys())
        return self._names

    def data(self, name: str) -> h5py.Dataset:
        if name not in self._open:
            data = self.group.get(name)
            if not isinstance(data, h5py.Dataset):
                raise KeyError(f"{name!r} is missing in {self.place}.")
            kind = data.attrs.get("dtype") if data.dtype.kind == "V" else None
            if kind not in _NOT_IN_HDF5 and data.dtype.kind == "V":
                raise ValueError(f"{data.name} holds {data.dtype}, which is no type of weights.")
            self._open[name] = data, kind or data.dtype.name
        return self._open[name][0]

    def spec(self, name):
        return self.data(name).shape, self._open[name][1]

    def read_into(self, name, array):
        data, kind = self.data(name), self._open[name][1]
        if array.size and data.dtype == array.dtype and array.ndim:
            data.read_direct(array)
        elif array.size:
            array[...] = data[()].view(numpy_dtype(kind)) if kind in _NOT_IN_HDF5 else data[()]

    def read(self, name):
        data, kind = self.data(name), self._open[name][1]
        return data[()].view(numpy_dtype(kind)) if kind in _NOT_IN_HDF5 else data[()]


def write(h5: h5py.File, model: Any) -> None:
    """Write the state of all parts of `model` to a new HDF5 file."""
    write_parts(model, lambda path: Writer(h5.create_group(path)))


def write_parts(model: Any, open_group: Callable[[str], Any]) -> None:
    """Let every part of `model` save its variables to what `open_group` makes for its path."""
    for path, part in state.parts(model):
        writer = open_group(f"{path}/{VARS}" if path else VARS)
        writer.group.attrs["name"] = part.name
        part.save_own_variables(writer)


class H5Source(loading.Source):
    """The weights in an open, checked HDF5 file."""

    def __init__(self, h5: h5py.File):
        self.h5 = h5

    def part(self, path):
        group = self.h5.get(f"{path}/{VARS}" if path else VARS)
        return Reader(group) if isinstance(group, h5py.Group) else None

    def has(self, path):
        return path in self.h5

    def paths(self):
        found: list[str] = []

        def note(name: str, item: Any) -> None:
            if isinstance(item, h5py.Group) and name.rpartition("/")[2] == VARS and len(item):
                found.append(name.rpartition("/")[0])

        self.h5.visititems(note)
        return found


def read(file: Any, model: Any, skip_mismatch: bool = False, skip: Any = (), blank: Any = None) -> loading.Report:
    """Read the state of all parts of `model`: see `loading.load_parts`."""
    with checked.hdf5(file) as h5:
        return loading.load_parts(model, H5Source(h5), skip_mismatch, skip, blank)
