"""Checksums at the end of an HDF5 file, behind what HDF5 itself reads: who does not know of them does not see them.

A seal is a JSON table, then a footer of fixed size: length and CRC-32 of the table, and a magic number. The table has the
place, size and CRC-32 of each data set, and the CRC-32 of all other bytes, so that damage is found before the HDF5 library,
which does not survive every damage, opens the file, and is named by data set. A program that changes the file with HDF5
drops the seal: the library cuts a file at its own end.
"""

import contextlib
import io
import json
import os
import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import h5py

from multikeras.saving.window import new_hdf5

_FOOTER = struct.Struct("<QI20s")
_MAGIC = b"multikeras CRC-32 1\n"
_BEGIN = b'{"size":'
_BLOCK = 2**20
_MOST_TABLE_BYTES = 2**28

Entry = tuple[str, int, int, int]
"""A data set: its name, where it begins, its bytes, their CRC-32."""


@contextlib.contextmanager
def sealed(path: str | os.PathLike) -> Iterator[h5py.File]:
    """Give a new HDF5 file at `path`; after the block it is closed and sealed."""
    with open(path, "w+b") as file:
        with new_hdf5(file) as h5:
            yield h5
        seal(file)


def seal(file: BinaryIO) -> None:
    """Append checksums to the HDF5 file behind an open file object."""
    entries = []
    with h5py.File(file, "r") as h5:

        def note(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset) and item.id.get_offset() is not None:
                entries.append((item.id.get_offset(), item.id.get_storage_size(), name))

        h5.visititems(note)
    end = file.seek(0, os.SEEK_END)
    table = {"size": end, "rest": 0, "entries": {}}
    at = 0
    for offset, size, name in sorted(entries):
        if offset < at:
            continue  # shares its bytes with another one
        table["rest"] = _crc(file, at, offset, table["rest"])
        table["entries"][name] = [offset, size, _crc(file, offset, offset + size)]
        at = offset + size
    table["rest"] = _crc(file, at, end, table["rest"])
    text = json.dumps(table, separators=(",", ":")).encode()
    file.seek(end)
    file.write(text + _FOOTER.pack(len(text), zlib.crc32(text), _MAGIC))


def verify(file: BinaryIO, name: str) -> bool:
    """Compare a file with its seal; return whether it has one.

    Raises ValueError that names the file and the data sets that are damaged.
    """
    end = file.seek(0, os.SEEK_END)
    if end < _FOOTER.size:
        raise ValueError(f"{name} is damaged or no HDF5 file: it has {end} bytes.")
    file.seek(end - _FOOTER.size)
    length, crc, magic = _FOOTER.unpack(file.read(_FOOTER.size))
    if magic != _MAGIC:
        _refuse_broken(file, end, name)
        return False
    size, rest, entries = _table(file, end - _FOOTER.size, length, crc, name)
    found, at, damaged = 0, 0, []
    for entry, offset, count, expected in entries:
        found = _crc(file, at, offset, found)
        if _crc(file, offset, offset + count) != expected:
            damaged.append(entry)
        at = offset + count
    if _crc(file, at, size, found) != rest:
        damaged.insert(0, "the structure of the file")
    if damaged:
        more = f" and {len(damaged) - 5} more" if len(damaged) > 5 else ""
        raise ValueError(f"{name} is damaged: the checksum is wrong of {', '.join(damaged[:5])}{more}. Use another copy.")
    return True


def _refuse_broken(file: BinaryIO, end: int, name: str) -> None:
    """Refuse a file without a footer that has the beginning of a table where HDF5's own content ends."""
    file.seek(0)
    head = file.read(64)
    for versions, place in (((0, 1), 40), ((2, 3), 28)):  # where the superblock says how long the file is
        if head[:8] == b"\x89HDF\r\n\x1a\n" and head[8] in versions:
            stop = int.from_bytes(head[place : place + 8], "little")
            if stop < end:
                file.seek(stop)
                if file.read(len(_BEGIN)) == _BEGIN:
                    raise ValueError(f"{name} is damaged: the checksums at its end are cut off. Use another copy.")


def _table(file: BinaryIO, stop: int, length: int, crc: int, name: str) -> tuple[int, int, list[Entry]]:
    """Return the size of what is sealed, the checksum of its structure, and the data sets in the order of their places."""
    broken = ValueError(f"{name} is damaged: the table of checksums at its end is. Use another copy.")
    if length > min(stop, _MOST_TABLE_BYTES):
        raise broken
    file.seek(stop - length)
    text = file.read(length)
    if zlib.crc32(text) != crc:
        raise broken
    try:
        table = json.loads(text)
        entries = sorted(((str(k), int(o), int(n), int(c)) for k, (o, n, c) in table["entries"].items()), key=lambda e: e[1])
        size, rest = int(table["size"]), int(table["rest"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise broken from None
    at = 0
    for _, offset, count, _ in entries:
        if offset < at or count < 0:
            raise broken
        at = offset + count
    if at > size or size != stop - length:
        raise broken
    return size, rest, entries


def _crc(file: BinaryIO, start: int, stop: int, crc: int = 0) -> int:
    for block in _blocks(file, start, stop):
        crc = zlib.crc32(block, crc)
    return crc


def _blocks(file: BinaryIO, start: int, stop: int) -> Iterator[Any]:
    if isinstance(file, io.BytesIO):
        with file.getbuffer() as whole:
            yield whole[start:stop]
        return
    buffer = memoryview(bytearray(min(_BLOCK, stop - start)))
    file.seek(start)
    while start < stop:
        count = file.readinto(buffer[: stop - start])  # type: ignore[attr-defined]
        if not count:
            return
        yield buffer[:count]
        start += count
