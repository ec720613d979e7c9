"""Weights in the safetensors format: a JSON header and plain bytes, mapped into memory to be read.

A tensor is named by the path of its part and the name of its variable: `layers.dense.kernel`. Files that torch programs
wrote, with the names of a `state_dict`, are read too: see `state_dict`.
"""

import json
import math
import mmap
import os
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from multikeras.backend.dtypes import numpy_dtype
from multikeras.core.stored import Stored, is_by_position
from multikeras.saving import checked, loading, state, state_dict, sums

ENDING = ".safetensors"
_DTYPES = {
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32", "int16": "I16",
    "int8": "I8", "uint64": "U64", "uint32": "U32", "uint16": "U16", "uint8": "U8", "bool": "BOOL", "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2", "complex64": "C64",
}  # fmt: skip
_NAMES = {code: name for name, code in _DTYPES.items()}
_MOST_HEADER_BYTES = 10**8
_BLOCK = 2**22


def _dotted(path: str, name: str) -> str:
    return f"{path.replace('/', '.')}.{name}" if path else name


def _variable_names(part: Any) -> list[str]:
    """Return names for the own variables of a part, all different."""
    names: list[str] = []
    for variable in state.own_variables(part):
        count, name = 0, variable.name
        while name in names:
            count += 1
            name = f"{variable.name}_{count}"
        names.append(name)
    return names


class _Writer:
    """Collects what a part saves, by names of variables where they are saved by position."""

    def __init__(self, path: str, part: Any, tensors: dict[str, np.ndarray]):
        self.path, self.tensors = path, tensors
        plain = is_by_position(part)
        self.names = {str(i): name for i, name in enumerate(_variable_names(part))} if plain else {}

    def put(self, name: str, value: np.ndarray) -> None:
        self.tensors[_dotted(self.path, self.names.get(name, name))] = value

    def __setitem__(self, name: str, value: Any) -> None:
        self.put(name, np.array(value))

    def keys(self):
        prefix = _dotted(self.path, "")
        return [name.removeprefix(prefix) for name in self.tensors if name.startswith(prefix)]


def write(path: str | os.PathLike, model: Any) -> None:
    """Write the weights of a model."""
    tensors: dict[str, np.ndarray] = {}
    for place, part in state.parts(model):
        if state.is_layer(part):
            part.save_own_variables(_Writer(place, part, tensors))
    write_tensors(path, tensors, {"format": "keras"})


def write_tensors(path: str | os.PathLike, tensors: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> None:
    """Write arrays by name, the widest dtypes first, so that each lies at a multiple of its size."""
    ordered = sorted(tensors.items(), key=lambda pair: (-pair[1].dtype.itemsize, pair[0]))
    ordered = [(name, np.ascontiguousarray(value).reshape(value.shape)) for name, value in ordered]
    header: dict[str, Any] = {"__metadata__": {**(metadata or {}), "crc32": ",".join(["0" * 8] * len(ordered))}}
    at = 0
    for name, value in ordered:
        if value.dtype.name not in _DTYPES:
            raise ValueError(f"safetensors has no dtype {value.dtype.name}, which {name!r} has.")
        end = at + value.nbytes
        header[name] = {"dtype": _DTYPES[value.dtype.name], "shape": list(value.shape), "data_offsets": [at, end]}
        at = end
    with open(path, "wb") as file:
        file.write(_header(header))
        header["__metadata__"]["crc32"] = ",".join(f"{sums.write(file, _bytes(value)):08x}" for _, value in ordered)
        file.seek(0)
        file.write(_header(header))


def _header(header: dict[str, Any]) -> bytes:
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _bytes(value: np.ndarray) -> memoryview:
    return memoryview(value.reshape(-1).view("uint8"))


class Tensors:
    """The tensors in a file, mapped into memory.

    Raises ValueError naming the file, and the tensor, for what does not hold together.
    """

    def __init__(self, path: Path):
        self.name = repr(str(path))
        with open(path, "rb") as file:  # once: another file may take its place at any time
            size = os.fstat(file.fileno()).st_size
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
            if length > min(size - 8, _MOST_HEADER_BYTES):
                raise ValueError(f"{self.name} is damaged or no safetensors file: its header would have {length} bytes.")
            header = checked.config(file.read(length), f"the header of {self.name}")
            self._data = np.memmap(file, "uint8", "r", 8 + length) if size > 8 + length else np.zeros(0, "uint8")
        self.metadata = header.pop("__metadata__", None) or {}
        self.entries = {name: self._entry(name, entry) for name, entry in header.items()}
        at = 0
        for name, (_, _, begin, end) in sorted(self.entries.items(), key=lambda e: e[1][2:]):
            if begin != at:
                raise ValueError(f"{self.name} is refused: tensor {name!r} begins at {begin}, what is before it ends at {at}.")
            at = end
        if at != self._data.size:
            raise ValueError(f"{self.name} is damaged: its tensors have {at} bytes, the file has {self._data.size} for them.")
        self._verify()

    def _entry(self, name: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
        try:
            dtype, shape = _NAMES[entry["dtype"]], tuple(int(size) for size in entry["shape"])
            begin, end = (int(offset) for offset in entry["data_offsets"])
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"{self.name} is refused: the entry of tensor {name!r} is not valid: {str(entry)[:80]}.") from None
        if min((*shape, begin), default=0) < 0 or end - begin != math.prod(shape) * numpy_dtype(dtype).itemsize:
            raise ValueError(f"{self.name} is refused: tensor {name!r} of shape {shape} of {dtype} has {end - begin} bytes.")
        return dtype, shape, begin, end

    def _verify(self) -> None:
        expected = str(self.metadata.get("crc32", "")).split(",") if "crc32" in self.metadata and self.entries else []
        if not expected:
            return
        if len(expected) != len(self.entries):
            problem = f"it has {len(expected)} checksums for {len(self.entries)} tensors"
            raise ValueError(f"{self.name} is damaged: {problem}. Use another copy.")
        names = sorted(self.entries, key=lambda name: (-numpy_dtype(self.entries[name][0]).itemsize, name))
        with ThreadPoolExecutor() as threads:
            found = list(threads.map(self._sum, names))
        damaged = [name for name, a, b in zip(names, found, expected) if a != b]
        if damaged:
            raise ValueError(f"{self.name} is damaged: the checksum is wrong of {', '.join(damaged[:5])}. Use another copy.")

    def _sum(self, name: str) -> str:
        found, (_, _, begin, end) = 0, self.entries[name]
        for at in range(begin, end, _BLOCK):
            stop = min(at + _BLOCK, end)
            found = sums.crc32(self._data[at:stop], found)
            self._release(at, stop)
        return f"{found:08x}"

    def _release(self, begin: int, end: int) -> None:
        """Let go of the memory that a mapped part takes; looked at again, it is read again."""
        mapped = getattr(self._data, "_mmap", None)
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            start = self._data.offset % mmap.ALLOCATIONGRANULARITY + begin
            start -= start % mmap.PAGESIZE
            mapped.madvise(mmap.MADV_DONTNEED, start, min(end - begin, len(mapped) - start))

    def release(self, name: str) -> None:
        """Let go of the memory that a tensor takes while it is mapped."""
        _, _, begin, end = self.entries[name]
        if end - begin >= _BLOCK:
            self._release(begin, end)

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __getitem__(self, name: str) -> np.ndarray:
        """Return a view of the file."""
        dtype, shape, begin, end = self.entries[name]
        return self._data[begin:end].view(numpy_dtype(dtype)).reshape(shape)

    def spec(self, name: str) -> tuple[tuple[int, ...], str]:
        """Return shape and dtype."""
        dtype, shape, _, _ = self.entries[name]
        return shape, dtype


class _Part(Stored):
    def __init__(self, tensors: Tensors, path: str, names: dict[str, str]):
        self.tensors, self.place, self.paths = tensors, path, names

    def names(self):
        return list(self.paths)

    def spec(self, name):
        return self.tensors.spec(self.paths[name])

    def read_into(self, name, array):
        array[...] = self.tensors[self.paths[name]]
        self.tensors.release(self.paths[name])

    def read(self, name):
        found = np.array(self.tensors[self.paths[name]])
        self.tensors.release(self.paths[name])
        return found


class _Source(loading.Source):
    def __init__(self, tensors: Tensors, model: Any):
        self.tensors, self.parts = tensors, {}
        own = {}
        for path, part in state.parts(model):
            if state.is_layer(part) and is_by_position(part):
                own[path] = _variable_names(part)
        known = {_dotted(path, name): (path, str(i)) for path, names in own.items() for i, name in enumerate(names)}
        for name in tensors:
            path, key = known.get(name) or (name.rpartition(".")[0].replace(".", "/"), name.rpartition(".")[2])
            self.parts.setdefault(path, {})[key] = name

    def part(self, path):
        return _Part(self.tensors, path, self.parts[path]) if path in self.parts else None

    def has(self, path):
        return any(found == path or found.startswith(f"{path}/") for found in self.parts)

    def paths(self):
        return list(self.parts)


def read(path: Path, model: Any, skip_mismatch: bool = False) -> loading.Report:
    """Read weights into a model: see `loading.load_parts`. Optimizers are left alone."""
    tensors = Tensors(path)
    source = _Source(tensors, model)
    if tensors.metadata.get("format") != "keras" and not any(source.part(p) for p, x in state.parts(model) if state.is_layer(x)):
        state_dict.from_state_dict(model, {name: tensors[name] for name in tensors})
        return loading.Report([p for p, x in state.parts(model) if state.is_layer(x) and state.own_variables(x)])
    others = [part for _, part in state.parts(model) if not state.is_layer(part)]
    return loading.load_parts(model, source, skip_mismatch, others)
