"""CRC-32 sums of parts of files: computed by another thread beside reading and writing, and put together."""

import bisect
import contextlib
import functools
import gc
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from multikeras.saving.files import send_to_disk

LARGE = 2**20
"""Bytes from which on it is worth while to compute a sum in another thread, and to keep it."""
_BLOCK = 2**22
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

    >>> joined(zlib.crc32(b"some "), zlib.crc32(b"data"), 4) == zlib.crc32(b"some data")
    True
    """
    return _product(first, _shift(length)) ^ second


class _Collections:
    """Holds off the garbage collector while something that its finalizers wait for is held."""

    def __init__(self) -> None:
        self._lock, self._held, self._were_on = threading.Lock(), 0, False

    @contextlib.contextmanager
    def held_off(self) -> Iterator[None]:
        with self._lock:
            self._held += 1
            if self._held == 1:
                self._were_on = gc.isenabled()
                gc.disable()
        try:
            yield
        finally:
            with self._lock:
                self._held -= 1
                if not self._held and self._were_on:
                    gc.enable()


_collections = _Collections()


@contextlib.contextmanager
def _another_thread() -> Iterator[ThreadPoolExecutor]:
    """Give a thread to be used inside calls of the HDF5 library; at the end it looks into no memory any more.

    Such a call holds the library's lock. A collection in the other thread that meets a dead HDF5 object would wait for that
    lock, and the call for the thread, forever.
    """
    with _collections.held_off(), ThreadPoolExecutor(1) as thread:
        yield thread


def _of_blocks(data: Any, handle: Callable[[Any], Any]) -> int:
    """Call `handle` with the blocks of some memory in order; return the sum of what is in them after that."""
    found: Future | None = None

    def add(block: Any, before: Future | None) -> int:
        return zlib.crc32(block, 0 if before is None else before.result())

    with _another_thread() as thread:
        for at in range(0, len(data), _BLOCK):
            block = data[at : at + _BLOCK]
            handle(block)
            found = thread.submit(add, block, found)
    return 0 if found is None else found.result()


def write(file: Any, data: Any) -> int:
    """Write to a file and return the sum of what was written."""
    data = memoryview(data).cast("B")
    if len(data) < LARGE:
        file.write(data)
        return zlib.crc32(data)
    start = file.tell()

    def put(block: Any) -> None:
        nonlocal start
        file.write(block)
        send_to_disk(file, start, len(block))
        start += len(block)

    return _of_blocks(data, put)


def read(file: Any, buffer: memoryview) -> tuple[int, int]:
    """Fill a buffer from a file; return how many bytes there were, and the sum of the buffer."""
    count = 0

    def fill(block: Any) -> None:
        nonlocal count
        count += _filled(file, block)

    if len(buffer) >= LARGE:
        found = _of_blocks(buffer, fill)
        return count, found
    fill(buffer)
    return count, zlib.crc32(buffer)


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
    buffers = [memoryview(bytearray(min(_BLOCK // 4, max(left, 0)))) for _ in range(2)]
    if left < LARGE:
        return zlib.crc32(buffers[0][: _filled(file, buffers[0][:left])], before)
    previous: Future | None = None
    with _another_thread() as thread:
        while left > 0:
            count = _filled(file, buffers[0][:left])
            before = before if previous is None else previous.result()
            if not count:
                return before
            previous = thread.submit(zlib.crc32, buffers[0][:count], before)
            left -= count
            buffers.reverse()
    return before if previous is None else previous.result()


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
