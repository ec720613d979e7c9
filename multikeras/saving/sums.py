"""CRC-32 sums of parts of files: of blocks that were just read or written, and put together."""

import bisect
import functools
import io
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from multikeras.saving.files import send_to_disk

try:  # several times faster than most builds of zlib: summing costs less than reading
    from isal.isal_zlib import crc32
except ImportError:
    from zlib import crc32

LARGE = 2**20
"""Bytes from which on it is worth while to keep a sum."""
_BLOCK = 2**20
"""Bytes that are summed while they are still in the cache of the processor."""
_PORTION = 2**22
"""Bytes that the disk is told to write at once."""
_SHARE = 2**22
"""Bytes that one of two threads reads at a time: both stay inside what Linux reads ahead. Of the plain rate from a disk, loading
a model has .83 with 4 MB as with 2 MB, .78 with 8 MB.
"""
_POLYNOMIAL = 0xEDB88320


def _product(a: int, b: int) -> int:
    """Multiply two polynomials over bits, the highest power in the lowest bit, modulo that of CRC-32."""
    found = 0
    for bit in range(31, -1, -1):
        if a >> bit & 1:
            found ^= b
        b = b >> 1 ^ (_POLYNOMIAL if b & 1 else 0)
    return found


@functools.lru_cache(1024)
def _shift(length: int) -> int:
    """Return what a sum is multiplied by when `length` bytes follow: x to the power of their bits."""
    found, power = 1 << 31, 1 << 23
    while length:
        if length & 1:
            found = _product(found, power)
        power = _product(power, power)
        length >>= 1
    return found


def joined(first: int, second: int, length: int) -> int:
    """Return the sum of two pieces of data in a row from the sums of both and the length of the second.

    >>> joined(crc32(b"some "), crc32(b"data"), 4) == crc32(b"some data")
    True
    """
    return _product(first, _shift(length)) ^ second


def write(file: Any, data: Any) -> int:
    """Write to a file and return the sum of what was written."""
    sent = at = file.tell()
    found, data = 0, memoryview(data).cast("B")
    for begin in range(0, len(data), _BLOCK):
        block = data[begin : begin + _BLOCK]
        file.write(block)
        found = crc32(block, found)
        at += len(block)
        if at - sent >= _PORTION:
            send_to_disk(file, sent, at - sent)
            sent = at
    return found


def read(file: Any, buffer: memoryview) -> tuple[int, int]:
    """Fill a buffer from a file; return how many bytes there were, and the sum of the buffer."""
    descriptor = _descriptor(file) if len(buffer) >= 2 * _SHARE else None
    if descriptor is None:
        return _filled(file, buffer), crc32(buffer)
    start = file.tell()

    def fill(at: int) -> tuple[int, int, int]:
        share, count = buffer[at : at + _SHARE], 0
        while count < len(share) and (more := os.preadv(descriptor, [share[count:]], start + at + count)):
            count += more
        return count, crc32(share), len(share)

    count = found = 0
    with ThreadPoolExecutor(2) as threads:  # copying out of the page cache keeps one of them busy
        for filled, sum, length in threads.map(fill, range(0, len(buffer), _SHARE)):
            count, found = count + filled, joined(found, sum, length)
    file.seek(start + count)
    return count, found


def _descriptor(file: Any) -> int | None:
    """Return the number of an open file that can be read at any place, None if it has none."""
    try:
        return file.fileno() if hasattr(os, "preadv") else None
    except (AttributeError, io.UnsupportedOperation):
        return None


def _filled(file: Any, buffer: Any) -> int:
    count = 0
    while count < len(buffer):
        more = file.readinto(buffer[count:])
        if not more:
            break
        count += more
    return count


def of_file(file: Any, start: int, stop: int, before: int = 0) -> int:
    """Return the sum of a part of a file behind what has the sum `before`; less is summed where the file ends."""
    file.seek(start)
    left = stop - start
    buffer = memoryview(bytearray(max(0, min(_BLOCK, left))))
    while left > 0:
        count = _filled(file, buffer[:left])
        if not count:
            break
        before = crc32(buffer[:count], before)
        left -= count
    return before


class Known:
    """The sums of the large parts of a file that were written, until something else is written there."""

    def __init__(self) -> None:
        self._begins: list[int] = []
        self._parts: dict[int, tuple[int, int]] = {}

    def note(self, begin: int, end: int, found: int | None) -> None:
        """Say that a part was written, and what its sum is if it is to be kept."""
        first = bisect.bisect_left(self._begins, begin)
        if first and self._parts[self._begins[first - 1]][0] > begin:
            first -= 1
        last = bisect.bisect_left(self._begins, end)
        for gone in self._begins[first:last]:
            del self._parts[gone]
        self._begins[first:last] = [] if found is None else [begin]
        if found is not None:
            self._parts[begin] = end, found

    def of(self, file: Any, offset: int, start: int, stop: int, before: int = 0) -> int:
        """Return the sum of what is written from `start` to `stop`, in a file whose parts begin at `offset`."""
        at = start
        for begin in self._begins[bisect.bisect_left(self._begins, start) : bisect.bisect_left(self._begins, stop)]:
            end, found = self._parts[begin]
            if end > stop:
                break
            before = of_file(file, offset + at, offset + begin, before)
            before, at = joined(before, found, end - begin), end
        return of_file(file, offset + at, offset + stop, before)
