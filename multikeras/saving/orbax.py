"""Checkpoints in the folders of Orbax: numbered steps, each with arrays and, for whole models, the architecture."""

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from multikeras.core import serialization
from multikeras.core.stored import Stored
from multikeras.saving import checked, loading, state

_MARK = "_CHECKPOINT_METADATA"  # a file that Orbax writes into every step


def checkpoint_library() -> Any:
    """Return the module `orbax.checkpoint`; ImportError that says how to get it."""
    try:
        import orbax.checkpoint as library  # takes seconds to import, and few need it
    except ImportError as error:
        raise ImportError("Orbax checkpoints need the package: pip install orbax-checkpoint.") from error
    return library


def is_checkpoint(path: str | os.PathLike) -> bool:
    """Tell whether a folder holds steps that Orbax wrote, or is one."""
    path = Path(path)
    return path.is_dir() and ((path / _MARK).exists() or any((p / _MARK).exists() for p in path.iterdir() if p.name.isdigit()))


def save(manager: Any, step: int, model: Any, weights_only: bool) -> None:
    """Write a model as a step of an `orbax.checkpoint.CheckpointManager`."""
    library = checkpoint_library()
    optimizer = getattr(model, "optimizer", None)
    arrays: dict[str, np.ndarray] = {}
    for path, part in state.parts(model):
        if not (weights_only and part is optimizer):
            store: dict[str, Any] = {}
            part.save_own_variables(store)
            start = f"{path}/" if path else ""
            # Copies: they may be written while training goes on.
            arrays.update({f"{start}vars/{name}".replace("/", "."): np.array(v) for name, v in store.items()})
    items = {"state": library.args.StandardSave(arrays)}
    if not weights_only:
        # As text: a config is read back as it was written, tuples and all.
        items["model"] = library.args.JsonSave({"config": json.dumps(serialization.serialize_keras_object(model))})
    manager.save(step, args=library.args.Composite(**items))


def _open(path: str | os.PathLike) -> tuple[Any, int]:
    library = checkpoint_library()
    path = Path(path).absolute()
    step = int(path.name) if (path / _MARK).exists() else None
    manager = library.CheckpointManager(path if step is None else path.parent)
    step = manager.latest_step() if step is None else step
    if step is None:
        raise ValueError(f"{str(path)!r} holds no finished step of Orbax.")
    return manager, step


class _Step(loading.Source):
    """The arrays of a step by the path of their part."""

    def __init__(self, arrays: dict[str, Any]):
        self.stored: dict[str, dict[str, np.ndarray]] = {}
        for name, value in arrays.items():
            path, _, own = f".{name}".rpartition(".vars.")
            self.stored.setdefault(path[1:], {})[own] = np.asarray(value)

    def part(self, path):
        found = self.stored.get(path.replace("/", "."))
        return None if found is None else _Arrays(found)

    def has(self, path):
        start = path.replace("/", ".")
        return any(p == start or p.startswith(start + ".") for p in self.stored)

    def paths(self):
        return [p.replace(".", "/") for p in self.stored]


class _Arrays(Stored):
    def __init__(self, arrays: dict[str, np.ndarray]):
        self.arrays = arrays

    def names(self):
        return list(self.arrays)

    def spec(self, name):
        return self.arrays[name].shape, self.arrays[name].dtype.name

    def read_into(self, name, array):
        array[...] = self.arrays[name]

    def read(self, name):
        return self.arrays[name]


def load_weights(model: Any, path: str | os.PathLike, skip_mismatch: bool = False) -> loading.Report:
    """Read a step, the last one of a folder of steps, into a model; ValueError leaves the model as it was."""
    library = checkpoint_library()
    manager, step = _open(path)
    with library.CheckpointManager(manager.directory, item_handlers={"state": library.StandardCheckpointHandler()}) as looked:
        _check_sizes(looked.item_metadata(step)["state"], Path(manager.directory) / str(step))
    with manager, checked.located(repr(str(path))):
        found = manager.restore(step, args=library.args.Composite(state=library.args.StandardRestore()))["state"]
    return loading.load_parts(model, _Step(found), skip_mismatch)


def load_model(path: str | os.PathLike, custom_objects: Any = None, compile: bool = True, safe_mode: bool = True) -> Any:
    """Return the model of a step, the last one of a folder of steps."""
    library = checkpoint_library()
    manager, step = _open(path)
    with manager:
        if not (Path(manager.directory) / str(step) / "model").exists():
            raise ValueError(
                f"{str(path)!r} holds weights only: make the model, then read them with model.load_weights({str(path)!r})."
            )
        text = manager.restore(step, args=library.args.Composite(model=library.args.JsonRestore()))["model"]["config"]
    name = f"the config in {str(path)!r}"
    config = checked.config(text, name)
    if not compile:
        config["compile_config"] = None
    with checked.allowance(_bytes_of(Path(manager.directory) / str(step)), path), checked.located(name):
        model = serialization.deserialize_keras_object(config, custom_objects, safe_mode=safe_mode)
    if not (state.is_layer(model) and state.has_state(model)):
        raise ValueError(f"{name} describes a {type(model).__name__}, not a model.")
    load_weights(model, path)
    return model


def _check_sizes(arrays: Any, step: Path) -> None:
    """Hold what the arrays of a step declare against the bytes that are there."""
    declared = sum(math.prod(int(n) for n in x.shape) * np.dtype(x.dtype).itemsize for x in arrays.values())
    stored = _bytes_of(step)
    if declared > checked.EXPANSION * stored + checked.ROOM:
        raise ValueError(f"{str(step)!r} is refused: its arrays declare {declared} bytes, its files have {stored}.")


def _bytes_of(folder: Path) -> int:
    return sum(found.stat().st_size for found in folder.rglob("*") if found.is_file())
