"""Weights in HDF5, as Keras lays them out: a group `path/vars` for each part, data sets "0", "1", ..."""

from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

from multikeras.backend.dtypes import numpy_dtype
from multikeras.saving import checked, state

_NOT_IN_HDF5 = ("bfloat16", "float8_e4m3fn", "float8_e5m2")


class Writer:
    """What `save_own_variables` writes to: a mapping from names to arrays."""

    def __init__(self, group: h5py.Group):
        self.group = group

    def __setitem__(self, name: str, value: Any) -> None:
        value = np.asarray(value)
        if value.dtype.name in _NOT_IN_HDF5:
            # HDF5 has no such type: the bytes are kept, the attribute says what they are.
            data = self.group.create_dataset(name, data=value.view(f"V{value.dtype.itemsize}"))
            data.attrs["dtype"] = value.dtype.name
        else:
            self.group.create_dataset(name, data=value)

    def keys(self):
        return self.group.keys()


class Reader(Mapping):
    """What `load_own_variables` reads from."""

    def __init__(self, group: h5py.Group | None):
        self.group = group

    def __getitem__(self, name: str) -> np.ndarray:
        data = None if self.group is None else self.group.get(name)
        if not isinstance(data, h5py.Dataset):
            raise KeyError(f"{name!r} is missing in {self.group.name if self.group is not None else 'the file'}.")
        if data.external or data.is_virtual:
            raise ValueError(f"{data.name} lies outside the file: such data is not followed.")
        value = data[()]
        kind = data.attrs.get("dtype")
        return value.view(numpy_dtype(kind)) if kind in _NOT_IN_HDF5 else value

    def __iter__(self):
        return iter(()) if self.group is None else iter(self.group.keys())

    def __len__(self):
        return 0 if self.group is None else len(self.group)


def write(file: Any, model: Any) -> None:
    """Write the state of all parts of `model` to an HDF5 file (a path or file object)."""
    with h5py.File(file, "w") as h5:
        for path, part in state.parts(model):
            group = h5.create_group(f"{path}/vars" if path else "vars")
            group.attrs["name"] = part.name
            part.save_own_variables(Writer(group))


def _group(h5: h5py.File, path: str) -> h5py.Group | None:
    """Return the group at `path`, following only links inside the file."""
    group: Any = h5
    for step in path.split("/"):
        link = group.get(step, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{path!r} is a link to another place: such links are not followed.")
        group = group[step]
        if not isinstance(group, h5py.Group):
            return None
    return group


def read(file: Any, model: Any, skip_mismatch: bool = False, skip: Any = ()) -> list[str]:
    """Read the state of all parts of `model`; return what could not be read, if `skip_mismatch`.

    Raises ValueError naming the part for state that is missing or does not fit; the model stays as it was then.
    """
    before: list[tuple[Any, Any]] = []
    problems: list[str] = []
    skipped = {id(x) for x in skip}
    try:
        with checked.hdf5(file) as h5:
            for path, part in state.parts(model):
                if id(part) in skipped:
                    continue
                group = _group(h5, f"{path}/vars" if path else "vars")
                variables = _own_variables(part)
                before += [(v, v.numpy()) for v in variables]
                if group is None and not variables:
                    continue
                try:
                    part.load_own_variables(Reader(group))
                except (KeyError, ValueError, TypeError, AttributeError) as error:
                    message = f"{path or 'the model'}: {error}"
                    if not skip_mismatch:
                        raise ValueError(f"Cannot load the weights of {message}") from error
                    problems.append(message)
    except BaseException:
        for variable, value in before:
            variable.assign(value)
        raise
    return problems


def _own_variables(part: Any) -> list:
    if state.is_layer(part):
        return [*part._own_trainable, *part._own_non_trainable]
    return list(getattr(part, "variables", ()))
