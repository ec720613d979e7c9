"""Weights in several HDF5 files, and a `.weights.json` that lists them, as Keras lays them out."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from multikeras.core.stored import Stored
from multikeras.saving import checked, h5, loading, seal
from multikeras.saving.files import alone_in, remove_old, replacing
from multikeras.saving.hdf5 import h5py

ENDING = ".weights.json"
_GIGABYTE = 2**30


class _Shards:
    """The files being written: a data set that does not fit into the last one begins the next."""

    def __init__(self, names: Any, limit: float, stack: contextlib.ExitStack):
        self.names, self.limit, self.stack = names, limit, stack
        self.total = self.size = 0
        self.map: dict[str, list[str]] = {}
        self.first = ""
        self.writing = contextlib.ExitStack()
        self.current: tuple[Any, str] | None = None

    def open(self) -> h5py.File:
        if self.current is None:
            target = next(self.names)
            self.first = self.first or target.name
            temporary = self.stack.enter_context(replacing(target))
            self.current, self.size = (self.writing.enter_context(seal.sealed(temporary)), target.name), 0
        return self.current[0]

    def close(self) -> None:
        if self.current is not None:
            self.current = None
            self.writing.close()

    def put(self, path: str, name: str, value: np.ndarray) -> None:
        if value.nbytes > self.limit:
            raise ValueError(
                f"save_weights: {path}/{name} has {value.nbytes} bytes, more than max_shard_size={self.limit / _GIGABYTE} GiB."
            )
        if self.size + value.nbytes > self.limit:
            self.close()
        group = self.open().require_group(path)
        h5.put(group, name, value)
        self.size, self.total = self.size + value.nbytes, self.total + value.nbytes
        files = self.map.setdefault(f"/{path}", [])
        if self.current is not None and self.current[1] not in files:
            files.append(self.current[1])


class _Writer(h5.Writer):
    def __init__(self, shards: _Shards, path: str):
        super().__init__(shards.open().require_group(path))
        self.shards, self.path = shards, path
        self._names: list[str] = []

    def put(self, name, value):
        self.shards.put(self.path, name, value)
        self._names.append(name)

    def keys(self):
        return self._names


def write(path: Path, model: Any, max_shard_size: float) -> None:
    """Write the weights of a model as files of at most `max_shard_size` GiB, and `path` that lists them.

    Keras wants the files to have fixed names. Where they are taken, the new files first get others, and the list names these;
    then they move to the names of the old ones: at every moment there is a list, and all the files that it names. Writers take
    turns; a reader looks whether the files it opened still go by their names.
    """
    with alone_in(path.parent):
        _write(path, model, max_shard_size)


def _write(path: Path, model: Any, max_shard_size: float) -> None:
    stem = path.name.removesuffix(ENDING)
    old = _listed(path)
    tag = f"_{secrets.token_hex(3)}" if old or path.with_name(f"{stem}_00000.weights.h5").exists() else ""
    names = (path.with_name(f"{stem}{tag}_{i:05d}.weights.h5") for i in range(10**5))
    with contextlib.ExitStack() as stack:
        listing = stack.enter_context(replacing(path))  # entered first, renamed last
        shards = _Shards(names, max_shard_size * _GIGABYTE, stack)
        stack.callback(shards.close)
        h5.write_parts(model, lambda place: _Writer(shards, place))
        shards.close()
        listing.write_text(_listing(shards))
    if not tag:
        return
    new = sorted({name for found in shards.map.values() for name in found} | {shards.first})
    final = [name.replace(f"{stem}{tag}_", f"{stem}_", 1) for name in new]
    for name, target in zip(new, final):
        with replacing(path.with_name(target)) as temporary:
            _link(path.with_name(name), temporary)
    shards.map = {k: [final[new.index(name)] for name in found] for k, found in shards.map.items()}
    with replacing(path) as temporary:
        temporary.write_text(_listing(shards))
    for name in {*old, *new} - set(final):
        with contextlib.suppress(OSError):
            path.with_name(name).unlink()
    for name in path.parent.glob(f"{glob.escape(stem)}_??????_?????.weights.h5"):
        remove_old(name)  # left by a writer that was killed: those listed were moved above


def _listing(shards: _Shards) -> str:
    return json.dumps({"metadata": {"total_size": float(shards.total)}, "weight_map": shards.map}, indent=4)


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the system knows no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _listed(path: Path) -> list[str]:
    """Return the names of the files of an existing list, none where it cannot be read."""
    try:
        return _files(checked.config(path.read_bytes(), repr(str(path))), path)
    except (OSError, ValueError):
        return []


def _files(config: dict, path: Path) -> list[str]:
    found: dict[str, None] = {}
    table = config.get("weight_map")
    if not isinstance(table, dict):
        raise ValueError(f"{str(path)!r} has no weight_map: it lists no files of weights.")
    for place, names in table.items():
        for name in names if isinstance(names, list) else [names]:
            if not isinstance(name, str) or os.path.basename(name) != name or name in ("", ".", ".."):
                raise ValueError(f"{str(path)!r} is refused: weight_map[{place!r}] names {name!r}, not a file beside it.")
            found[name] = None
    return list(found)


class _Merged(Stored):
    """One part whose arrays lie in several files."""

    def __init__(self, readers: list[h5.Reader]):
        self.place = readers[0].place
        self.readers = {name: reader for reader in readers for name in reader.names()}

    def names(self):
        return list(self.readers)

    def spec(self, name):
        return self.readers[name].spec(name)

    def read_into(self, name, array):
        self.readers[name].read_into(name, array)

    def read(self, name):
        return self.readers[name].read(name)


class _Source(loading.Source):
    def __init__(self, files: list[h5.H5Source]):
        self.files = files

    def part(self, path):
        found = [part for part in (file.part(path) for file in self.files) if part is not None]
        return _Merged(found) if found else None

    def has(self, path):
        return any(file.has(path) for file in self.files)

    def paths(self):
        return list(dict.fromkeys(path for file in self.files for path in file.paths()))


def read(path: Path, model: Any, skip_mismatch: bool = False, skip: Any = ()) -> loading.Report:
    """Read the weights of a model from the files that `path` lists: see `loading.load_parts`."""
    with contextlib.ExitStack() as stack:
        opened = _open(path, stack)
        files = [h5.H5Source(stack.enter_context(checked.hdf5(file, repr(str(path.with_name(n)))))) for n, file in opened.items()]
        return loading.load_parts(model, _Source(files), skip_mismatch, skip)


def _open(path: Path, outer: contextlib.ExitStack) -> dict[str, Any]:
    """Return the files that a list names, by name: all of one save, though another one may go on."""
    for last in [False] * 99 + [True]:
        with contextlib.ExitStack() as stack:
            text = path.read_bytes()
            try:
                names = _files(checked.config(text, repr(str(path))), path)
                odd = [name for name in names if path.with_name(name).exists() and not path.with_name(name).is_file()]
                if odd:
                    raise ValueError(f"{str(path)!r} is refused: {odd[0]!r}, which it lists, is no file.")
                found = {name: stack.enter_context(open(path.with_name(name), "rb")) for name in names}
                same = all(os.path.samestat(os.fstat(f.fileno()), os.stat(path.with_name(n))) for n, f in found.items())
            except FileNotFoundError as error:
                if last or path.read_bytes() == text:
                    name = os.path.basename(error.filename)
                    problem = f"{str(path)!r} lists {name!r}, which is not there: a file of these weights is missing."
                    raise ValueError(problem) from None
                continue
            if same and path.read_bytes() == text:
                outer.enter_context(stack.pop_all())
                return found
    raise ValueError(f"{str(path)!r} is written all the time: no state of it could be read.")
