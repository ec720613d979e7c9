"""The `.keras` file: a zip of metadata.json, config.json, model.weights.h5 and assets/, or a folder of them."""

import contextlib
import datetime
import io
import json
import os
import shutil
import struct
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from multikeras.backend import scope
from multikeras.core import serialization
from multikeras.saving import checked, h5, loading, seal, state, sums
from multikeras.saving.files import replacing, replacing_folder
from multikeras.saving.window import Window

KERAS_VERSION = "3.15.1"
"""The version of Keras whose file format is written."""

_CONFIG, _METADATA, _WEIGHTS, _ASSETS = "config.json", "metadata.json", "model.weights.h5", "assets"
_DAMAGED = (
    zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError, KeyError, OverflowError,
    struct.error,
)  # fmt: skip
"""What reading a damaged zip file raises."""


def contents(model: Any) -> tuple[str, str]:
    """Return config.json and metadata.json of a model."""
    config = json.dumps(serialization.serialize_keras_object(model))
    date = datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S")
    return config, json.dumps({"keras_version": KERAS_VERSION, "date_saved": date})


# -- writing -----------------------------------------------------------------------------------------------------------


def write(model: Any, path: Path) -> None:
    """Write `model` to the file `path`, whole or not at all."""
    _warn_unbuilt(model)
    config, metadata = contents(model)
    with replacing(path) as temporary, open(temporary, "w+b") as file:
        # First the weights, written in their place; what comes after is small and known.
        weights = _write_weights(file, model)
        with zipfile.ZipFile(file, "w") as archive:
            archive.filelist.append(weights)
            archive.NameToInfo[weights.filename] = weights
            archive.writestr(_METADATA, metadata)
            archive.writestr(_CONFIG, config)
            with tempfile.TemporaryDirectory() as folder:
                _save_assets(model, Path(folder))
                for found in sorted(Path(folder).rglob("*")):
                    if found.is_file():
                        archive.write(found, found.relative_to(folder))


def _write_weights(file: BinaryIO, model: Any) -> zipfile.ZipInfo:
    """Write the weights as the first member of a zip file, and return its entry."""
    info = zipfile.ZipInfo(_WEIGHTS, datetime.datetime.now().timetuple()[:6])
    info.header_offset = info.CRC = info.file_size = info.compress_size = 0  # all but the first are known at the end
    start = file.write(info.FileHeader(zip64=True))
    with seal.sealed_in(file, start) as (weights, window):
        h5.write(weights, model)
    info.file_size = info.compress_size = window.seek(0, os.SEEK_END)
    info.CRC = window.sum(0, info.file_size)
    file.seek(0)
    file.write(info.FileHeader(zip64=True))
    file.seek(0, os.SEEK_END)
    return info


def write_folder(model: Any, path: Path) -> None:
    """Write `model` as a folder of the files, whole or not at all."""
    _warn_unbuilt(model)
    config, metadata = contents(model)
    with replacing_folder(path) as folder:
        (folder / _METADATA).write_text(metadata)
        (folder / _CONFIG).write_text(config)
        with seal.sealed(folder / _WEIGHTS) as weights:
            h5.write(weights, model)
        _save_assets(model, folder)


def _warn_unbuilt(model: Any) -> None:
    if not model.built:
        warnings.warn(f"Model {model.name!r} is saved before it was built: the file holds no weights.", stacklevel=5)


def _save_assets(model: Any, folder: Path) -> None:
    for path, part in state.parts(model):
        if hasattr(part, "save_assets"):
            place = folder / _ASSETS / path
            place.mkdir(parents=True, exist_ok=True)
            part.save_assets(str(place))


# -- reading -----------------------------------------------------------------------------------------------------------


def read(path: Path, custom_objects=None, compile: bool = True, safe_mode: bool = True) -> Any:
    """Return the model in the file or folder `path`.

    Raises ValueError or TypeError that names the file, the place in it and what is wrong there.
    """
    with contextlib.ExitStack() as stack:
        text, weights = stack.enter_context(_opened(path))
        name = f"{_CONFIG} in {str(path)!r}"
        config = checked.config(text, name)
        if not compile:
            config["compile_config"] = None
        size = weights.seek(0, os.SEEK_END)
        with checked.allowance(size, path), checked.located(name), scope.BlankScope() as blank:
            model = serialization.deserialize_keras_object(config, custom_objects, safe_mode=safe_mode)
        if not (state.is_layer(model) and state.has_state(model)):
            raise ValueError(f"{name} describes a {type(model).__name__}, not a model.")
        with checked.hdf5(weights, at_once=False) as file, checked.located(weights.name):
            source = h5.H5Source(file)
            optimizer = getattr(model, "optimizer", None)
            skip = () if source.part("optimizer") else (optimizer,)  # a file saved before the first step has no state of it
            loading.load_parts(model, source, skip=skip, blank=blank.variables)
        with _assets(path) as folder, checked.located(f"{_ASSETS} in {str(path)!r}"):
            for place, part in state.parts(model) if folder is not None else ():
                if hasattr(part, "load_assets") and (folder / place).is_dir():
                    part.load_assets(str(folder / place))
    return model


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[bytes, Any]]:
    """Give the config and a stream of the weights of a `.keras` file or folder, both as they were written."""
    if path.is_dir():
        with contextlib.ExitStack() as stack:
            yield _files_in(path, stack)
        return
    with open(path, "rb") as file:
        with _reading(path):
            archive = zipfile.ZipFile(file)
            members = checked.members(archive, path)
            for name in (_CONFIG, _WEIGHTS):
                if name not in members:
                    raise ValueError(f"it has no {name}, it holds {sorted(members)[:10]}")
            config = archive.read(_CONFIG)
            weights = _member(archive, file, members[_WEIGHTS], path)
        yield config, weights


def _files_in(path: Path, stack: contextlib.ExitStack) -> tuple[bytes, Any]:
    """Return config and weights of one folder, not of another that took its place in between."""
    for _ in range(100):
        folder = path.stat().st_ino
        with contextlib.suppress(FileNotFoundError):
            config = (path / _CONFIG).read_bytes()
            weights = stack.enter_context(open(path / _WEIGHTS, "rb"))
            if path.stat().st_ino == folder:
                return config, weights
    missing = [name for name in (_CONFIG, _WEIGHTS) if not (path / name).is_file()]
    raise ValueError(f"{str(path)!r} is not a Keras model: the folder has no {' and no '.join(missing)}.")


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        raise ValueError(f"{str(path)!r} is not a `.keras` file, or it is damaged: {error}.") from error


def _member(archive: zipfile.ZipFile, file: BinaryIO, info: zipfile.ZipInfo, path: Path) -> Any:
    """Return a stream of a member whose checksum is right; of one that is stored without copying it."""
    name = f"{info.filename} in {str(path)!r}"
    if info.compress_type != zipfile.ZIP_STORED:
        stream = io.BytesIO(archive.read(info))
        stream.name = name  # type: ignore[attr-defined]
        return stream
    file.seek(info.header_offset)
    header = file.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile(f"the header of {info.filename} is not where it should be")
    start = info.header_offset + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    if start + info.file_size > file.seek(0, os.SEEK_END) or info.compress_size != info.file_size:
        raise zipfile.BadZipFile(f"{info.filename} is cut off")
    window = Window(file, start, info.file_size, name)
    # A seal has a checksum for every byte, and they are compared when it is opened.
    if not seal.is_on(window) and sums.of_file(file, start, start + info.file_size) != info.CRC:
        raise zipfile.BadZipFile(f"the checksum (CRC-32) of {info.filename} is wrong")
    return window


@contextlib.contextmanager
def _assets(path: Path) -> Iterator[Path | None]:
    """Give a folder with the assets of a `.keras` file or folder, None if it has none."""
    if path.is_dir():
        yield path / _ASSETS if (path / _ASSETS).is_dir() else None
        return
    with zipfile.ZipFile(path) as archive:
        names = [n for n in archive.namelist() if n.startswith(f"{_ASSETS}/") and not n.endswith("/")]
        if not names:
            yield None
            return
        with tempfile.TemporaryDirectory() as folder, _reading(path):
            for name in names:
                target = Path(folder).joinpath(*_safe_parts(name))
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as source, open(target, "xb") as copy:
                    shutil.copyfileobj(source, copy)
            yield Path(folder) / _ASSETS


def _safe_parts(name: str) -> tuple[str, ...]:
    parts = PurePosixPath(name).parts
    if "//" in name or ".." in parts or any(c in name for c in "\\:\0") or any(len(p) > 200 for p in parts):
        raise ValueError(f"Invalid asset path: member {name!r} would be written outside its folder, or has no name for a file")
    return parts


@contextlib.contextmanager
def weights_of(path: Path) -> Iterator[Any]:
    """Give the path of an HDF5 file, or a stream of the one inside a `.keras` file."""
    if path.suffix != ".keras":
        yield path
        return
    with _opened(path) as (_, weights):
        yield weights
