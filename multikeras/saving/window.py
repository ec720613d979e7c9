"""A part of a file, seen as a file by itself: what HDF5 reads from and writes to."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

from multikeras.saving import sums
from multikeras.saving.hdf5 import h5py


class Window(io.RawIOBase):
    """The bytes of an open file from `start` on, `size` of them or up to its end: an HDF5 file in its place in an archive.

    A write that fails says so in `failure`, not by an exception: the HDF5 library does not survive one (it crashes when
    the file is closed, or later).

    Args:
        file: The file around it, or a window of one; it stays open when the window is closed.
        start: Where the window begins.
        size: Its bytes, for reading; None for one that grows with what is written.
        name: What errors call it.
    """

    def __init__(self, file: BinaryIO, start: int, size: int | None, name: str):
        if isinstance(file, Window) and size is not None:
            file, start = file.file, file.start + start  # data goes straight from the file to where it is wanted
        self.file, self.start, self.size, self.name = file, start, size, name
        self.position = 0
        self.failure: BaseException | None = None
        self._known = sums.Known()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return self.size is None

    def _length(self) -> int:
        return self.file.seek(0, os.SEEK_END) - self.start if self.size is None else self.size

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self.position}.get(whence)
        self.position = (self._length() if base is None else base) + offset
        if self.position < 0:
            raise ValueError(f"{self.name}: a place before its begin ({self.position}).")
        return self.position

    def tell(self) -> int:
        return self.position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        if self.size is not None:
            view = view[: max(0, self.size - self.position)]
        self.file.seek(self.start + self.position)
        count = self.file.readinto(view)  # type: ignore[attr-defined]
        self.position += count
        return count

    def write(self, data: Any) -> int:
        count = len(data)
        with self._keeping_failure():
            self.file.seek(self.start + self.position)
            found = sums.write(self.file, data)
            self._known.note(self.position, self.position + count, found if count >= sums.LARGE else None)
        self.position += count
        return count

    def sum(self, start: int, stop: int, before: int = 0) -> int:
        """Return the CRC-32 of a part of what was written, behind data whose CRC-32 is `before`."""
        return self._known.of(self.file, self.start, start, stop, before)

    def truncate(self, size: int | None = None) -> int:
        size = self.position if size is None else size
        with self._keeping_failure():
            self.file.truncate(self.start + size)
            self._known.note(size, sys.maxsize, None)
        return size

    def flush(self) -> None:
        if not self.file.closed:
            with self._keeping_failure():
                self.file.flush()

    @contextlib.contextmanager
    def _keeping_failure(self) -> Iterator[None]:
        try:
            if self.failure is None:
                yield
            else:
                with contextlib.suppress(BaseException):
                    yield
        except BaseException as failure:  # Ctrl-C too
            self.failure = failure


@contextlib.contextmanager
def new_hdf5(file: BinaryIO, start: int = 0) -> Iterator[tuple[h5py.File, Window]]:
    """Give a new HDF5 file that is written to an open file from `start` on, and the window that it is written through.

    What fails is raised at the end of the block.
    """
    window = Window(file, start, None, str(getattr(file, "name", "the file")))
    try:
        with h5py.File(window, "w") as h5:
            yield h5, window
    finally:
        if window.failure is not None:
            raise window.failure
