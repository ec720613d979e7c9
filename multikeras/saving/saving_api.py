"""`save_model`, `load_model`, and the same for weights: the format follows from the name of the file."""

import contextlib
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from multikeras.saving import archive, checked, h5, legacy_h5, loading, orbax, safe_tensors, seal, sharded
from multikeras.saving.files import replacing

_LEGACY = (".h5", ".hdf5")
_WEIGHTS = ".weights.h5"


def _may_write(path: Path, overwrite: bool) -> bool:
    if not path.exists() or overwrite:
        return True
    if not sys.stdin or not sys.stdin.isatty():
        raise FileExistsError(f"{str(path)!r} exists and overwrite=False.")
    answer = ""
    while answer not in ("y", "n"):
        answer = input(f"{path} exists. Overwrite it? [y/n] ").strip().lower()
    return answer == "y"


def _path(filepath: Any, called: str) -> Path:
    try:
        return Path(os.fspath(filepath))
    except TypeError:
        raise TypeError(f"{called}: filepath must be a path, got {filepath!r} of type {type(filepath).__name__}.") from None


@contextlib.contextmanager
def _spooled() -> Iterator[Path]:
    """Give the path of a `.keras` file to come that is gone after the block."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder, "model.keras")


def save_model(
    model: Any, filepath: str | os.PathLike | BinaryIO, overwrite: bool = True, zipped: bool | None = None, **kwargs
) -> None:
    """Write a model: architecture, weights, and how it was compiled.

    Args:
        model: The model.
        filepath: Path that ends in `.keras`, or in `.h5` for the format of Keras 2; or an open binary file, which gets the
            bytes of a `.keras` file.
        overwrite: Whether an existing file is replaced without asking.
        zipped: Whether to write one file (True) or a folder (False); by default by the ending.

    `include_optimizer=False` leaves out of an `.h5` file how the model was compiled.
    """
    stream = hasattr(filepath, "write")
    path = Path("model.keras") if stream else _path(filepath, "save_model")
    if kwargs.pop("save_format", None):
        raise ValueError("save_model: save_format is deprecated: the ending of filepath tells the format.")
    include_optimizer = kwargs.pop("include_optimizer", True)
    if kwargs:
        raise ValueError(f"save_model: The following argument(s) are not supported: {sorted(kwargs)}.")
    legacy = path.suffix in _LEGACY
    if legacy and zipped:
        raise ValueError(f"save_model: zipped=True is for `.keras` files, not for filepath={str(path)!r}.")
    if path.suffix != ".keras" and not legacy and zipped is None:
        raise ValueError(
            f"save_model: Invalid filepath extension for saving: filepath={str(path)!r} must end in `.keras`, or `.h5` for the "
            "format of Keras 2. To write weights only use save_weights('x.weights.h5')."
        )
    if stream:
        if zipped is False:
            raise ValueError(f"save_model: zipped=False makes a folder, which cannot be written to filepath={filepath!r}.")
        with _spooled() as whole:
            archive.write(model, whole)
            with open(whole, "rb") as file:
                shutil.copyfileobj(file, filepath)  # type: ignore[type-var]
        return
    if not _may_write(path, overwrite):
        return
    if legacy:
        warnings.warn("`.h5` is the format of Keras 2. A `.keras` file holds more, and loads more safely.", stacklevel=3)
        with replacing(path) as temporary:
            legacy_h5.write_model(temporary, model, archive.KERAS_VERSION, include_optimizer)
    elif zipped is False:
        archive.write_folder(model, path)
    else:
        archive.write(model, path)


def load_model(
    filepath: str | os.PathLike | BinaryIO, custom_objects: dict | None = None, compile: bool = True, safe_mode: bool = True
) -> Any:
    """Return the model in a file.

    Args:
        filepath: Path of a `.keras` file or folder, or of an `.h5` file of Keras 2 or 3; or an open binary file with the bytes
            of a `.keras` file, read to its end.
        custom_objects: Classes and functions that the file names, by name.
        compile: Whether to compile the model as it was.
        safe_mode: Whether to refuse lambdas in the file.

    Raises ValueError naming the file, and the place in it, for what is missing, damaged or not allowed.
    """
    if hasattr(filepath, "read"):
        with _spooled() as whole, checked.located(repr(filepath)):
            with open(whole, "wb") as file:
                shutil.copyfileobj(filepath, file)  # type: ignore[type-var]
            return archive.read(whole, custom_objects, compile, safe_mode)
    path = _path(filepath, "load_model")
    if orbax.is_checkpoint(path):
        return orbax.load_model(path, custom_objects, compile, safe_mode)
    known = path.suffix == ".keras" or path.suffix in _LEGACY or path.is_dir()
    if not known or str(path).endswith(_WEIGHTS):
        raise ValueError(
            f"load_model: File format not supported: filepath={str(path)!r}. Expected a `.keras` file, or an `.h5` file of a "
            "whole model. Files of weights are loaded into a model by its load_weights()."
        )
    if not path.exists():
        raise ValueError(f"load_model: File not found: filepath={str(path)!r}. Please ensure the file is an accessible one.")
    if not path.is_file() and not path.is_dir():
        raise ValueError(f"load_model: filepath={str(path)!r} is neither a file nor a folder, but a device or a pipe.")
    if path.suffix in _LEGACY and not path.is_dir():
        with checked.located(repr(str(path))):
            return legacy_h5.read_model(path, custom_objects, compile, safe_mode)
    return archive.read(path, custom_objects, compile, safe_mode)


def save_weights(
    model: Any, filepath: str | os.PathLike, overwrite: bool = True, max_shard_size: float | None = None
) -> None:
    """Write the weights of a model, or of a layer.

    Args:
        model: The model.
        filepath: Path that ends in `.weights.h5`, `.weights.json` (several files, listed by this one) or `.safetensors`.
        overwrite: Whether an existing file is replaced without asking.
        max_shard_size: For `.weights.json`: the largest size of one file in GiB.
    """
    path = _path(filepath, "save_weights")
    shards = str(path).endswith(sharded.ENDING)
    if not shards and not str(path).endswith(_WEIGHTS) and path.suffix != safe_tensors.ENDING:
        raise ValueError(
            f"save_weights: The filename must end in `.weights.h5`, `.weights.json` or `.safetensors`. Received: "
            f"filepath={str(path)!r}"
        )
    if shards and (max_shard_size is None or max_shard_size <= 0):
        raise ValueError(f"save_weights: a `.weights.json` needs max_shard_size, in GiB. Received: {max_shard_size!r}")
    if not shards and max_shard_size is not None:
        raise ValueError(f"save_weights: max_shard_size is for `.weights.json` files, not for filepath={str(path)!r}.")
    if not model.built:
        raise ValueError(
            f"save_weights: You are saving a model that has not yet been built: {model.name!r} has no weights yet. Call it on "
            "some data, or build() it."
        )
    if not _may_write(path, overwrite):
        return
    if shards:
        sharded.write(path, model, float(max_shard_size or 0))
        return
    with replacing(path) as temporary:
        if path.suffix == safe_tensors.ENDING:
            safe_tensors.write(temporary, model)
            return
        with seal.sealed(temporary) as file:
            h5.write(file, model)


def load_weights(model: Any, filepath: str | os.PathLike, skip_mismatch: bool = False, **kwargs) -> loading.Report:
    """Read weights into a model; return which parts were loaded, left out and not used.

    Args:
        model: The model.
        filepath: Path of a `.weights.h5`, `.weights.json`, `.safetensors`, `.keras` or old `.h5` file.
        skip_mismatch: Whether to leave out what does not fit, with a warning.
        kwargs: `objects_to_skip`, parts to leave alone, for `.weights.h5`; `by_name=True` for old `.h5` files, whose layers are
            told by their order otherwise.

    Raises ValueError for a file that is damaged or does not fit; the model is then as it was.
    """
    path, name = _path(filepath, "load_weights"), str(filepath)
    if orbax.is_checkpoint(path):
        return orbax.load_weights(model, path, skip_mismatch)
    legacy = path.suffix in _LEGACY and not name.endswith(_WEIGHTS)
    by_name, skip = kwargs.pop("by_name", False), kwargs.pop("objects_to_skip", None)
    if kwargs:
        raise ValueError(f"load_weights: Invalid keyword arguments: {sorted(kwargs)}.")
    if skip is not None and not name.endswith(_WEIGHTS):
        raise ValueError(f"load_weights: objects_to_skip only supports loading '.weights.h5' files. Received: {name!r}")
    if by_name and not legacy:
        raise ValueError(f"load_weights: by_name only supports loading legacy '.h5' or '.hdf5' files. Received: {name!r}")
    if not (legacy or name.endswith((_WEIGHTS, sharded.ENDING, ".keras", safe_tensors.ENDING))):
        raise ValueError(
            f"load_weights: File format not supported: filepath={name!r}. Expected `.weights.h5`, `.weights.json`, "
            "`.safetensors`, `.keras` or `.h5`."
        )
    if not path.exists():
        raise ValueError(f"load_weights: File not found: filepath={name!r}.")
    if not getattr(model, "built", True):
        raise ValueError(
            f"load_weights: You are loading weights into a model that has not yet been built: {model.name!r}. Call it on some "
            "data, or build() it."
        )
    with checked.located(repr(str(path))):
        if name.endswith(sharded.ENDING):
            report = sharded.read(path, model, skip_mismatch)
        elif name.endswith(safe_tensors.ENDING):
            report = safe_tensors.read(path, model, skip_mismatch)
        else:
            with archive.weights_of(path) as file, checked.hdf5(file) as group:
                if legacy_h5.is_by_layer(group):
                    report = legacy_h5.load_layers(model, group, by_name, skip_mismatch)
                else:
                    report = loading.load_parts(model, h5.H5Source(group), skip_mismatch, skip or ())
    if report.skipped:
        warnings.warn(f"A part of the weights was left out of {name!r}:\n{report}", stacklevel=3)
    return report
