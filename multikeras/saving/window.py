"""A part of a file, seen as a file by itself."""

import io
import os
from typing import Any, BinaryIO


class Window(io.RawIOBase):
    """The bytes of an open file from `start` on, `size` of them or up to its end: an HDF5 file in its place in an archive.

    Args:
        file: The file around it; it stays open when the window is closed.
        start: Where the window begins.
        size: Its bytes, for reading; None for one that grows with what is written.
        name: What errors call it.
    """

    def __init__(self, file: BinaryIO, start: int, size: int | None, name: str):
        self.file, self.start, self.size, self.name = file, start, size, name
        self.position = 0

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
        self.file.seek(self.start + self.position)
        count = self.file.write(data)
        self.position += count
        return count

    def truncate(self, size: int | None = None) -> int:
        size = self.position if size is None else size
        self.file.truncate(self.start + size)
        return size

    def flush(self) -> None:
        if not self.file.closed:
            self.file.flush()
