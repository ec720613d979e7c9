"""`save_model`, `load_model`, and the same for weights: the format follows from the name of the file."""

import os
import sys
import warnings
from pathlib import Path
from typing import Any

from multikeras.saving import archive, h5, seal
from multikeras.saving.files import replacing


def _may_write(path: Path, overwrite: bool) -> bool:
    if not path.exists() or overwrite:
        return True
    if not sys.stdin or not sys.stdin.isatty():
        raise FileExistsError(f"{str(path)!r} exists and overwrite=False.")
    answer = ""
    while answer not in ("y", "n"):
        answer = input(f"{path} exists. Overwrite it? [y/n] ").strip().lower()
    return answer == "y"


def save_model(
    model: Any, filepath: str | os.PathLike, overwrite: bool = True, zipped: bool | None = None, **kwargs
) -> None:
    """Write a model: architecture, weights, and how it was compiled.

    Args:
        model: The model.
        filepath: Path that ends in `.keras`.
        overwrite: Whether an existing file is replaced without asking.
        zipped: Whether to write one file (True) or a folder (False); by default by the ending.
    """
    path = Path(os.fspath(filepath))
    if kwargs.pop("save_format", None):
        warnings.warn("save_format is not needed any more: the ending of filepath tells the format.", stacklevel=3)
    kwargs.pop("include_optimizer", None)
    if kwargs:
        raise ValueError(f"save_model: The following argument(s) are not supported: {sorted(kwargs)}.")
    if path.suffix == ".keras" or zipped is not None:
        if not _may_write(path, overwrite):
            return
        if zipped is False or (zipped is None and path.suffix != ".keras"):
            archive.write_folder(model, path)
        else:
            archive.write(model, path)
        return
    raise ValueError(
        f"save_model: filepath={str(path)!r} must end in `.keras`. To write weights only use save_weights('x.weights.h5')."
    )


def load_model(
    filepath: str | os.PathLike, custom_objects: dict | None = None, compile: bool = True, safe_mode: bool = True
) -> Any:
    """Return the model in a file.

    Args:
        filepath: Path of a `.keras` file.
        custom_objects: Classes and functions that the file names, by name.
        compile: Whether to compile the model as it was.
        safe_mode: Whether to refuse lambdas in the file.
    """
    path = Path(os.fspath(filepath))
    if not path.exists():
        raise ValueError(f"load_model: File not found: filepath={str(path)!r}. Give the path of a `.keras` file.")
    if path.suffix == ".keras" or path.is_dir():
        return archive.read(path, custom_objects, compile, safe_mode)
    raise ValueError(f"load_model: File format not supported: filepath={str(path)!r}. Expected a `.keras` file.")


def save_weights(model: Any, filepath: str | os.PathLike, overwrite: bool = True, max_shard_size: Any = None) -> None:
    """Write the weights of a model, or of a layer.

    Args:
        model: The model.
        filepath: Path that ends in `.weights.h5`.
        overwrite: Whether an existing file is replaced without asking.
    """
    path = Path(os.fspath(filepath))
    if not str(path).endswith(".weights.h5"):
        raise ValueError(f"save_weights: The filename must end in `.weights.h5`. Received: filepath={str(path)!r}")
    if not model.built:
        warnings.warn(
            f"The weights of {model.name!r} are saved before it was built: the file will hold none.", stacklevel=3
        )
    if _may_write(path, overwrite):
        with replacing(path) as temporary:
            h5.write(temporary, model)
            with open(temporary, "r+b") as file:
                seal.seal(file)


def load_weights(model: Any, filepath: str | os.PathLike, skip_mismatch: bool = False, **kwargs) -> None:
    """Read weights into a model.

    Args:
        model: The model.
        filepath: Path of a `.weights.h5` or `.keras` file.
        skip_mismatch: Whether to leave out what does not fit, with a warning.
    """
    path = Path(os.fspath(filepath))
    skip = kwargs.pop("objects_to_skip", None) or ()
    if kwargs:
        raise ValueError(f"load_weights: Invalid keyword arguments: {sorted(kwargs)}.")
    if not path.exists():
        raise ValueError(f"load_weights: File not found: filepath={str(path)!r}.")
    if str(path).endswith(".keras"):
        file: Any = archive.read_weights(path)
    elif str(path).endswith(".weights.h5"):
        file = path
    else:
        raise ValueError(
            f"load_weights: File format not supported: filepath={str(path)!r}. Expected `.weights.h5` or `.keras`."
        )
    try:
        problems = h5.read(file, model, skip_mismatch, skip)
    except OSError as error:
        raise ValueError(f"load_weights: {str(path)!r} is damaged or no HDF5 file: {error}.") from error
    if problems:
        warnings.warn("A part of the weights was left out:\n" + "\n".join(problems), stacklevel=3)
