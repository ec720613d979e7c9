"""The `.keras` file: a zip of metadata.json, config.json and model.weights.h5."""

import datetime
import io
import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import h5py

from multikeras.core import serialization
from multikeras.saving import h5
from multikeras.saving.files import replacing

KERAS_VERSION = "3.15.1"
"""The version of Keras whose file format is written."""

_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"


def contents(model: Any) -> tuple[str, str]:
    """Return config.json and metadata.json of a model."""
    config = json.dumps(serialization.serialize_keras_object(model))
    date = datetime.datetime.now().strftime("%Y-%m-%d@%H:%M:%S")
    return config, json.dumps({"keras_version": KERAS_VERSION, "date_saved": date})


def write(model: Any, path: Path, zipped: bool = True) -> None:
    """Write `model` to `path`, whole or not at all."""
    if not model.built:
        warnings.warn(f"Model {model.name!r} is saved before it was built: the file holds no weights.", stacklevel=4)
    config, metadata = contents(model)
    weights = io.BytesIO()
    h5.write(weights, model)
    with replacing(path) as temporary:
        if zipped:
            with zipfile.ZipFile(temporary, "w") as archive:
                archive.writestr(_METADATA, metadata)
                archive.writestr(_CONFIG, config)
                archive.writestr(_WEIGHTS, weights.getbuffer())
        else:
            raise ValueError("zipped=False writes a folder: use write_folder.")


def write_folder(model: Any, path: Path) -> None:
    """Write `model` as a folder of the three files."""
    config, metadata = contents(model)
    path.mkdir(parents=True, exist_ok=True)
    for name, text in ((_METADATA, metadata), (_CONFIG, config)):
        with replacing(path / name) as temporary:
            temporary.write_text(text)
    with replacing(path / _WEIGHTS) as temporary:
        h5.write(temporary, model)


def _open_member(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    try:
        return archive.read(name)
    except KeyError:
        raise ValueError(
            f"{str(path)!r} is not a Keras file: it has no {name}. It holds {archive.namelist()[:10]}."
        ) from None


def read(path: Path, custom_objects=None, compile: bool = True, safe_mode: bool = True) -> Any:
    """Return the model in the file or folder `path`."""
    if path.is_dir():
        config = (path / _CONFIG).read_text()
        weights: Any = open(path / _WEIGHTS, "rb")  # closed below
    else:
        try:
            with zipfile.ZipFile(path) as archive:
                config = _open_member(archive, _CONFIG, path)
                weights = io.BytesIO(_open_member(archive, _WEIGHTS, path))
        except zipfile.BadZipFile as error:
            raise ValueError(f"{str(path)!r} is not a `.keras` file, or it is damaged: {error}.") from error
    with weights:
        try:
            config = json.loads(config)
        except ValueError as error:
            raise ValueError(f"{_CONFIG} in {str(path)!r} is not valid JSON: {error}.") from error
        if not isinstance(config, dict):
            raise ValueError(f"{_CONFIG} in {str(path)!r} must hold an object, it holds a {type(config).__name__}.")
        if not compile:
            config["compile_config"] = None
        model = serialization.deserialize_keras_object(config, custom_objects, safe_mode=safe_mode)
        if not hasattr(model, "load_own_variables"):
            raise ValueError(f"{str(path)!r} holds a {type(model).__name__}, not a model.")
        _load(weights, model, path)
    return model


def _load(weights: Any, model: Any, path: Path) -> None:
    optimizer = getattr(model, "optimizer", None)
    skip = ()
    if optimizer is not None:
        with h5py.File(weights, "r") as file:
            group = file.get("optimizer/vars")
            if group is None or len(group) == 0:
                skip = (optimizer,)  # saved before the first step
        weights.seek(0)
    try:
        h5.read(weights, model, skip=skip)
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{_WEIGHTS} in {str(path)!r} is damaged: {error}.") from error


def read_weights(path: Path) -> io.BytesIO:
    """Return the weights file inside a `.keras` file."""
    with zipfile.ZipFile(path) as archive:
        return io.BytesIO(_open_member(archive, _WEIGHTS, path))
