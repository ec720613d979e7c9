"""Checksums at the end of an HDF5 file, behind what HDF5 itself reads: who does not know of them does not see them.

A seal is a JSON table, then a footer of fixed size: length and CRC-32 of the table, and a magic number. The table has the
place, size and CRC-32 of each data set, and the CRC-32 of all other bytes, so that damage is found before the HDF5 library,
which does not survive every damage, opens the file, and is named by data set. A program that changes the file with HDF5
drops the seal: the library cuts a file at its own end.
"""

from __future__ import annotations

import bisect
import contextlib
import json
import os
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

from multikeras.saving import sums
from multikeras.saving.hdf5 import h5py
from multikeras.saving.window import Window, new_hdf5

_FOOTER = struct.Struct("<QI20s")
_MAGIC = b"multikeras CRC-32 1\n"
_BEGIN = b'{"size":'
_STRUCTURE = "the structure of the file"
_MOST_TABLE_BYTES = 2**28

Entry = tuple[str, int, int, int]
"""A data set: its name, where it begins, its bytes, their CRC-32."""


@contextlib.contextmanager
def sealed(path: str | os.PathLike) -> Iterator[h5py.File]:
    """Give a new HDF5 file at `path`; after the block it is closed and sealed."""
    with open(path, "w+b") as file, sealed_in(file) as (h5, _):
        yield h5


@contextlib.contextmanager
def sealed_in(file: BinaryIO, start: int = 0) -> Iterator[tuple[h5py.File, Window]]:
    """Give a new HDF5 file in an open file, from `start` on, and its window; after the block it is closed and sealed."""
    with new_hdf5(file, start) as (h5, window):
        yield h5, window
    seal(window)


def seal(file: Window) -> None:
    """Append checksums to the HDF5 file that was written through a window."""
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
        table["rest"] = file.sum(at, offset, table["rest"])
        table["entries"][name] = [offset, size, file.sum(offset, offset + size)]
        at = offset + size
    table["rest"] = file.sum(at, end, table["rest"])
    text = json.dumps(table, separators=(",", ":")).encode()
    file.seek(end)
    file.write(text + _FOOTER.pack(len(text), sums.crc32(text), _MAGIC))
    if file.failure is not None:
        raise file.failure


class _Guarded(Window):
    """A sealed HDF5 file whose data sets are compared with their checksums when they are first read: none gets out before."""

    def __init__(self, file: BinaryIO, size: int, name: str, entries: list[Entry]):
        super().__init__(file, 0, size, name)
        self._entries = entries
        self._begins = [offset for _, offset, _, _ in entries]
        self._left = dict.fromkeys(range(len(entries)))

    def readinto(self, buffer):
        view = memoryview(buffer).cast("B")
        begin, end = self.position, self.position + len(view)
        # Data is read from the begin of a data set on; what the library reads of its structure may reach into the next one.
        i = bisect.bisect_right(self._begins, begin) - 1
        if i in self._left:
            _, offset, count, expected = self._entries[i]
            if (begin, end) == (offset, offset + count):
                self.file.seek(self.start + begin)
                self._compare(i, sums.read(self.file, view)[1], expected)
                self.position = end
                return count
            if begin < offset + count:
                self._compare(i, self._sum_of(i), expected)
        return super().readinto(buffer)

    def _sum_of(self, i: int) -> int:
        _, offset, count, _ = self._entries[i]
        return sums.of_file(self.file, self.start + offset, self.start + offset + count)

    def _compare(self, i: int, found: int, expected: int) -> None:
        if found != expected:
            # The HDF5 library reports no exception of a file object as it is.
            self.failure = _damaged(self.name, [self._entries[i][0]])
            raise self.failure
        del self._left[i]

    def finish(self) -> None:
        """Compare what nobody has read."""
        if self.failure is not None:
            raise self.failure
        for i in list(self._left):
            self._compare(i, self._sum_of(i), self._entries[i][3])


def guarded(file: BinaryIO, name: str) -> Window | None:
    """Return a window of a sealed file that compares data sets with their checksums as they are read, None without a seal.

    All else in the file is compared now. Raises ValueError as `verify` does; the window too.
    """
    found = _seal_of(file, name)
    if found is None:
        return None
    size, rest, entries = found
    if _rest(file, size, entries) != rest:
        raise _damaged(name, [_STRUCTURE])
    return _Guarded(file, size, name, entries)


def is_on(file: BinaryIO) -> bool:
    """Tell whether a file has a seal, right or wrong."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - len(_MAGIC)))
    return file.read(len(_MAGIC)) == _MAGIC


def verify(file: BinaryIO, name: str) -> bool:
    """Compare a file with its seal; return whether it has one.

    Raises ValueError that names the file and the data sets that are damaged.
    """
    found = _seal_of(file, name)
    if found is None:
        return False
    size, rest, entries = found
    damaged = [_STRUCTURE] if _rest(file, size, entries) != rest else []
    damaged += [entry for entry, begin, count, sum in entries if sums.of_file(file, begin, begin + count) != sum]
    if damaged:
        raise _damaged(name, damaged)
    return True


def _rest(file: BinaryIO, size: int, entries: list[Entry]) -> int:
    """Return the checksum of what is in no data set."""
    found = at = 0
    for _, begin, count, _ in entries:
        found = sums.of_file(file, at, begin, found)
        at = begin + count
    return sums.of_file(file, at, size, found)


def _damaged(name: str, places: list[str]) -> ValueError:
    more = f" and {len(places) - 5} more" if len(places) > 5 else ""
    return ValueError(f"{name} is damaged: the checksum is wrong of {', '.join(places[:5])}{more}. Use another copy.")


def _seal_of(file: BinaryIO, name: str) -> tuple[int, int, list[Entry]] | None:
    """Return what the table of a file says, None for one without a seal."""
    end = file.seek(0, os.SEEK_END)
    if end < _FOOTER.size:
        raise ValueError(f"{name} is damaged or no HDF5 file: it has {end} bytes.")
    file.seek(end - _FOOTER.size)
    length, crc, magic = _FOOTER.unpack(file.read(_FOOTER.size))
    if magic != _MAGIC:
        _refuse_broken(file, end, name)
        return None
    return _table(file, end - _FOOTER.size, length, crc, name)


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
    if sums.crc32(text) != crc:
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
