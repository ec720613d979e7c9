"""One look at a whole file before anything in it is used: its structure, and its sizes before memory is taken.

Every problem is a ValueError that names the file, the place in it and what is wrong there.
"""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from multikeras.core import budget
from multikeras.saving import seal
from multikeras.saving.hdf5 import h5py

EXPANSION = 64
"""How many times larger than the file its content may be, in sum; plus `ROOM`. Weights hardly shrink when compressed."""
ROOM = 2**26
LARGER = 16
"""How many times larger than its weights in the file a model may be, plus `ROOM`: float32 from float16, slots of an optimizer."""
MOST_OBJECTS = 10**6
"""Groups, data sets and attributes in a file; dicts and lists in a config."""
MOST_MEMBERS = 10**4
"""Files in an archive."""
DEEPEST = 200
"""Levels of groups, or of brackets in a config."""
MOST_CONFIG_BYTES = 2**28


def allowance(size: int, path: str | os.PathLike) -> contextlib.AbstractContextManager[None]:
    """Bound the memory that a model may take whose weights have `size` bytes in the file."""
    return budget.limit(LARGER * size + ROOM, str(path))


@contextlib.contextmanager
def located(name: str) -> Iterator[None]:
    """Let an error of the block say in which file it happened and where in it; all but TypeErrors become ValueErrors."""
    try:
        yield
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:
        place = " > ".join(getattr(error, "place", ()))
        if isinstance(error, (ValueError, TypeError)) and name in str(error) and not place:
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        what = str(error) if isinstance(error, (ValueError, TypeError)) else f"{type(error).__name__}: {error}"
        raise kind(f"{name}: {f'{place}: ' if place else ''}{what}") from error


# -- HDF5 --------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def hdf5(file: str | os.PathLike | BinaryIO, name: str | None = None, at_once: bool = True) -> Iterator[h5py.File]:
    """Give an HDF5 file opened for reading, once all of it was checked: its seal, then every link, size and type.

    Args:
        file: A path or an open file.
        name: What errors call it, its path if not given.
        at_once: Whether damage to the data has to show before any is read; otherwise it shows when the damaged data set is
            read, or at the end of the block.
    """
    name = name or (file.name if isinstance(getattr(file, "name", None), str) else repr(str(file)))
    with contextlib.ExitStack() as stack:
        stream: Any = file if hasattr(file, "read") else stack.enter_context(open(file, "rb"))  # type: ignore[arg-type]
        guard = None if at_once else seal.guarded(stream, name)
        if at_once:
            seal.verify(stream, name)
        stream = guard or stream
        stream.seek(0)
        try:
            h5 = stack.enter_context(h5py.File(stream, "r"))
        except (OSError, RuntimeError) as error:
            raise ValueError(f"{name} is damaged or no HDF5 file: {error}.") from error
        try:
            _check_tree(h5, stream.seek(0, os.SEEK_END), name)
        except (OSError, RuntimeError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
            raise ValueError(f"{name} is damaged: {error}.") from error
        try:
            yield h5
        except (OSError, RuntimeError) as error:
            raise ValueError(f"{name} is damaged: {error}.") from error
        finally:
            if guard is not None and guard.failure is not None:
                raise guard.failure
        if guard is not None:
            guard.finish()


class _Tally:
    """What a file holds so far, held against the size of the file."""

    def __init__(self, file_size: int, name: str):
        self.file_size, self.name = file_size, name
        self.objects = self.declared = self.stored = 0
        self.seen: set[int] = set()
        """Addresses of the objects that were met: a group inside itself would have no end."""

    def refuse(self, place: str, problem: str) -> None:
        raise ValueError(f"{self.name} is refused: {place!r} {problem}.")

    def add(self, place: str, declared: int, stored: int) -> None:
        """Count an object."""
        self.objects += 1
        self.declared += declared
        self.stored += stored
        if self.objects > MOST_OBJECTS:
            self.refuse(place, f"is one of more than {MOST_OBJECTS} objects")
        if stored > self.file_size or self.stored > self.file_size:
            self.refuse(place, f"and what comes before it store {self.stored} bytes in a file of {self.file_size}")
        if self.declared > EXPANSION * self.file_size + ROOM:
            problem = f"declares {declared} bytes, {self.declared} with what comes before it"
            self.refuse(place, f"is a shape bomb: it {problem}, in a file of {self.file_size}")


def _check_tree(h5: h5py.File, file_size: int, name: str) -> None:
    tally = _Tally(file_size, name)
    pending: list[tuple[Any, str, int]] = [(h5.id, "", 0)]
    while pending:
        group, path, depth = pending.pop()
        if depth > DEEPEST:
            tally.refuse(path, f"lies more than {DEEPEST} groups deep")
        _check_attributes(group, path or "/", tally)
        links: list[tuple[bytes, int]] = []
        # `info` is one object that changes from call to call.
        group.links.iterate(lambda key, info: links.append((key, info.type)), info=True)  # noqa: B023
        for key, kind in links:
            place = f"{path}/{key.decode('utf-8', 'replace')}"
            if kind != h5py.h5l.TYPE_HARD:
                names = {h5py.h5l.TYPE_SOFT: "SoftLink", h5py.h5l.TYPE_EXTERNAL: "ExternalLink"}
                tally.refuse(place, f"is a {names.get(kind, 'link')} to another place: such links are not followed")
            item = h5py.h5o.open(group, key)
            address = h5py.h5o.get_info(item).addr
            if address in tally.seen:
                tally.refuse(place, "is a second link to an object: each may stand in one place only")
            tally.seen.add(address)
            if isinstance(item, h5py.h5g.GroupID):
                tally.add(place, 0, 0)
                pending.append((item, place, depth + 1))
            elif isinstance(item, h5py.h5d.DatasetID):
                _check_data_set(item, place, tally)
                _check_attributes(item, place, tally)
            else:
                tally.refuse(place, "is neither a group nor a data set")


def _bytes_of(shape: tuple[int, ...], item_size: int) -> int:
    count = item_size
    for size in shape:
        count *= int(size)
    return count


def _check_type(kind: Any, place: str, tally: _Tally) -> None:
    h5t = h5py.h5t
    if kind.get_class() not in (h5t.INTEGER, h5t.FLOAT, h5t.STRING, h5t.OPAQUE, h5t.ENUM):
        tally.refuse(place, f"holds {_type_name(kind)}, not numbers or strings")


def _type_name(kind: Any) -> str:
    names = {h5py.h5t.REFERENCE: "references", h5py.h5t.COMPOUND: "records", h5py.h5t.VLEN: "arrays of varying length"}
    return names.get(kind.get_class(), "values of a type that no weights have")


def _check_data_set(item: Any, place: str, tally: _Tally) -> None:
    layout = item.get_create_plist()
    if layout.get_external_count():
        tally.refuse(place, "keeps its data in another file (external storage): such data is not read")
    if layout.get_layout() not in (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED):
        tally.refuse(place, "is virtual, a view of data elsewhere: such data is not read")
    kind = item.get_type()
    _check_type(kind, place, tally)
    stored = item.get_storage_size()
    shape = item.shape or ()
    declared = _bytes_of(shape, kind.get_size()) if item.get_space().get_simple_extent_type() != h5py.h5s.NULL else 0
    if layout.get_layout() == h5py.h5d.CHUNKED:  # a chunk is unpacked as a whole, however little of it the shape takes
        declared = max(declared, _bytes_of(layout.get_chunk(), kind.get_size()))
    whole = layout.get_layout() == h5py.h5d.CONTIGUOUS
    if whole and stored not in (declared, 0):
        tally.refuse(place, f"stores {stored} bytes for a shape of {declared}")
    tally.add(place, declared, stored)


def _check_attributes(item: Any, place: str, tally: _Tally) -> None:
    for i in range(h5py.h5a.get_num_attrs(item)):
        attribute = h5py.h5a.open(item, index=i)
        where = f"{place}@{attribute.name.decode('utf-8', 'replace')}"
        kind = attribute.get_type()
        _check_type(kind, where, tally)
        shape = attribute.shape or ()
        tally.add(where, _bytes_of(shape, kind.get_size()), 0)


# -- configs -----------------------------------------------------------------------------------------------------------


def config(text: str | bytes, name: str) -> dict[str, Any]:
    """Return the object that a JSON text holds, once its size, depth and values were checked.

    Args:
        text: The JSON.
        name: What errors call it: "config.json in 'model.keras'".
    """
    if len(text) > MOST_CONFIG_BYTES:
        raise ValueError(f"{name} is refused: it has {len(text)} bytes, more than {MOST_CONFIG_BYTES}.")
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError(f"{name} is refused: its brackets nest more than {DEEPEST} deep.") from None
    except ValueError as error:
        raise ValueError(f"{name} is not valid JSON: {error}.") from error
    if not isinstance(value, dict):
        raise ValueError(f"{name} must hold an object, it holds a {type(value).__name__}.")
    check_config(value, name)
    return value


_RECORD = {
    "class_name": (str,),
    "module": (str, type(None)),
    "registered_name": (str, type(None)),
    "build_config": (dict, type(None)),
    "compile_config": (dict, type(None)),
    "shared_object_id": (int, type(None)),
}


def check_config(value: Any, name: str) -> None:
    """Check the depth and number of the parts of a config, and that each serialized object has the form of one."""
    count = 0
    pending: list[tuple[Any, tuple]] = [(value, ())]
    while pending:
        item, place = pending.pop()
        count += 1
        if count > MOST_OBJECTS:
            raise ValueError(f"{name} is refused: it holds more than {MOST_OBJECTS} lists and objects.")
        depth, at = 0, place
        if place:
            depth = place[0]
        if depth > DEEPEST:
            raise ValueError(f"{name} is refused: its brackets nest more than {DEEPEST} deep.")
        if isinstance(item, dict):
            if "class_name" in item and "config" in item:
                _check_record(item, at, name)
            parts: Any = item.items()
        else:
            parts = enumerate(item)
        pending += [(v, (depth + 1, k, place)) for k, v in parts if isinstance(v, (dict, list))]


def _check_record(record: dict, place: tuple, name: str) -> None:
    for key, kinds in _RECORD.items():
        if key in record and (not isinstance(record[key], kinds) or isinstance(record[key], bool)):
            expected = " or ".join("null" if k is type(None) else k.__name__ for k in kinds)
            raise ValueError(
                f"{name} is refused: {key!r} at {path_of(place)} must be {expected}, it is {_short(record[key])}."
            )


def path_of(place: tuple) -> str:
    """Return where a part of a config is: `config.layers[3].config`."""
    steps = []
    while place:
        _, key, place = place
        steps.append(f"[{key}]" if isinstance(key, int) else f".{key}")
    return "".join(reversed(steps)).lstrip(".") or "its top"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{text[:77]}..."


# -- zip ---------------------------------------------------------------------------------------------------------------


def members(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """Return the members of a zip file by name, once their names, sizes and kinds were checked."""
    infos = archive.infolist()
    if len(infos) > MOST_MEMBERS:
        raise ValueError(f"{str(path)!r} is refused: it has {len(infos)} members, more than {MOST_MEMBERS}.")
    size = os.stat(path).st_size
    found: dict[str, zipfile.ZipInfo] = {}
    unpacked = 0
    for info in infos:
        place = f"{str(path)!r} is refused: member {info.filename!r}"
        if info.filename in found:
            raise ValueError(f"{place} is there twice.")
        if info.flag_bits & 0x1:
            raise ValueError(f"{place} is encrypted.")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{place} is compressed by method {info.compress_type}; expected stored or deflated.")
        unpacked += info.file_size
        if unpacked > EXPANSION * size + ROOM:
            raise ValueError(f"{place} is a decompression bomb: the members unpack to {unpacked} bytes, the file has {size}.")
        found[info.filename] = info
    return found


def array(value: Any, place: str) -> np.ndarray:
    """Return `value` as an array of numbers; objects, which would have to be unpickled, are refused."""
    found = np.asarray(value)
    if found.dtype.hasobject:
        raise ValueError(f"{place} holds Python objects, not numbers.")
    return found
