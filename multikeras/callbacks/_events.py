"""Event files of TensorBoard, written by hand: records of protocol buffers, each with its checksums.

Formats: https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto and
https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
"""

import itertools
import os
import socket
import struct
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

_NUMBERS = itertools.count()


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC = _crc_table()


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli) of bytes.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def record(data: bytes) -> bytes:
    """Return a record: length, its checksum, the data, its checksum."""
    length = struct.pack("<Q", len(data))
    return length + _masked(length) + data + _masked(data)


# -- protocol buffers ------------------------------------------------------------------------------------------------------


def varint(value: int) -> bytes:
    """Return an integer in groups of seven bits, the low ones first."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, value: int | float | str | bytes) -> bytes:
    """Return a field: an int as varint, a float in eight bytes, anything else with its length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def _tensor(array: np.ndarray) -> bytes:
    """Return a TensorProto of float32, float64 or bytes."""
    kinds = {"f4": 1, "f8": 2}
    shape = field(2, b"".join(field(2, field(1, n)) for n in array.shape))
    if array.dtype.kind in "SO":
        return field(1, 7) + shape + b"".join(field(8, bytes(v)) for v in array.ravel())
    return field(1, kinds[array.dtype.str[1:]]) + shape + field(4, array.tobytes())


def _value(tag: str, plugin: str, tensor: np.ndarray) -> bytes:
    metadata = field(1, field(1, plugin))
    return field(1, field(1, tag) + field(9, metadata) + field(8, _tensor(tensor)))


def scalar(tag: str, value: float) -> bytes:
    """Return the summary of a number."""
    return _value(tag, "scalars", np.asarray(value, "<f4"))


def histogram(tag: str, values: np.ndarray, buckets: int = 30) -> bytes:
    """Return the summary of many numbers: rows of left edge, right edge and count."""
    values = np.asarray(values, "float64").ravel()
    values = values[np.isfinite(values)]
    if values.size == 0:
        rows = np.zeros((0, 3))
    else:
        counts, edges = np.histogram(values, buckets)
        rows = np.stack([edges[:-1], edges[1:], counts], axis=1)
    return _value(tag, "histograms", rows.astype("<f8"))


def image(tag: str, png: list[bytes], width: int, height: int) -> bytes:
    """Return the summary of images given as PNG files of one size."""
    strings = [str(width).encode(), str(height).encode(), *png]
    return _value(tag, "images", np.array(strings, dtype=object))


def text(tag: str, plugin: str, value: str) -> bytes:
    """Return the summary of a text for a plugin."""
    return _value(tag, plugin, np.array(value.encode(), dtype=object))


def graph(nodes: Iterable[tuple[str, str, list[str], Mapping[str, str]]]) -> bytes:
    """Return a GraphDef of (name, operation, names of inputs, attributes)."""
    found = []
    for name, op, inputs, attributes in nodes:
        content = field(1, name) + field(2, op) + b"".join(field(3, i) for i in inputs)
        for key, value in attributes.items():
            content += field(5, field(1, key) + field(2, field(2, value)))
        found.append(field(1, content))
    return b"".join(found) + field(4, field(1, 22))


class EventWriter:
    """A file of events that TensorBoard reads.

    Args:
        folder: Where to make the file.
    """

    def __init__(self, folder: str | os.PathLike):
        Path(folder).mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}.{next(_NUMBERS)}.v2"
        self.path = Path(folder) / name
        self.file = open(self.path, "ab")  # closed by close()
        self._event(field(3, "brain.Event:2"))

    def _event(self, content: bytes) -> None:
        self.file.write(record(field(1, time.time()) + content))

    def add(self, summary: bytes, step: int) -> None:
        """Add summaries at a step."""
        self._event(field(2, int(step)) + field(5, summary))

    def add_graph(self, definition: bytes) -> None:
        """Add a graph."""
        self._event(field(4, definition))

    def flush(self) -> None:
        """Let others see what was added."""
        self.file.flush()

    def close(self) -> None:
        """Close the file."""
        self.file.close()
