"""`KerasFileEditor`: look into a file of weights, compare it with a model, change names and values, save it again."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from multikeras.saving import archive, checked, h5, seal, state
from multikeras.saving.files import replacing


class KerasFileEditor:
    """The weights in a `.keras` or `.weights.h5` file, to be looked at and changed.

    An object is named by its path in the file (`layers/dense_1`), or by the last step of it where only one has that.

    Args:
        filepath: Path of the file. It is not changed: `save` writes another one.

    >>> import os, tempfile
    >>> import multikeras as mk
    >>> path = os.path.join(tempfile.mkdtemp(), "m.weights.h5")
    >>> mk.Sequential([mk.Input((2,)), mk.layers.Dense(3)]).save_weights(path)
    >>> editor = mk.saving.KerasFileEditor(path)
    >>> editor.delete_weight("dense", "1")
    >>> sorted(editor.weights_dict["layers"]["dense"])
    ['0']
    """

    def __init__(self, filepath: str | os.PathLike):
        self.filepath = os.fspath(filepath)
        path = Path(self.filepath)
        self.config: dict[str, Any] | None = None
        self._names: dict[str, str] = {}
        if path.suffix == ".keras":
            with archive._opened(path) as (config, weights):
                self.config = checked.config(config, f"config.json in {self.filepath!r}")
                self.weights_dict = self._read(weights, weights.name)
        elif self.filepath.endswith(".weights.h5"):
            self.weights_dict = self._read(path, None)
        else:
            raise ValueError(
                f"KerasFileEditor: expected the name of a `.keras` or `.weights.h5` file. Received: filepath={self.filepath!r}"
            )

    def _read(self, file: Any, name: str | None) -> dict[str, Any]:
        found: dict[str, Any] = {}
        with checked.hdf5(file, name) as group:
            source = h5.H5Source(group)
            for path in source.paths():
                here = found
                for step in path.split("/") if path else ():
                    here = here.setdefault(step, {})
                part = source.part(path)
                here.update({key: part[key] for key in part.names()})
                self._names[path] = str(group[f"{path}/{h5.VARS}" if path else h5.VARS].attrs.get("name", ""))
        return found

    # -- looking -------------------------------------------------------------------------------------------------------

    def summary(self) -> None:
        """Print the objects in the file, and shape and dtype of their weights."""
        from rich.console import Console  # slow to import: only programs that print a file pay
        from rich.tree import Tree

        root = Tree(f"Keras {'model' if self.config else 'weights'} file {self.filepath!r}")
        self._show(self.weights_dict, root)
        Console(highlight=False).print(root)

    def _show(self, part: dict, tree: Any) -> None:
        for name, value in part.items():
            if isinstance(value, dict):
                self._show(value, tree.add(name))
            else:
                tree.add(f"{name}: shape={tuple(value.shape)}, dtype={value.dtype.name}")

    def compare(self, reference_model: Any) -> dict[str, Any]:
        """Print in what the file and the weights of a model differ, and return the number of errors.

        Args:
            reference_model: A built model.

        Returns a dict of `status` ("success" or "error"), `error_count` and `match_count`.
        """
        wanted = {}
        for path, part in state.parts(reference_model):
            shapes = [tuple(v.shape) for v in state.own_variables(part)]
            if shapes:
                wanted[path] = {str(i): shape for i, shape in enumerate(shapes)}
        found = {path: {k: tuple(v.shape) for k, v in _own(part).items()} for path, part in self._objects() if _own(part)}
        lines = [f"{p!r} is in the file, not in the model: {sorted(found[p])}" for p in found if p not in wanted]
        lines += [f"{p!r} is in the model, not in the file: {sorted(wanted[p])}" for p in wanted if p not in found]
        matches = 0
        for path in (p for p in found if p in wanted):
            for key in sorted({*found[path], *wanted[path]}):
                here, there = found[path].get(key), wanted[path].get(key)
                matches += here == there
                if here != there:
                    sides = (f"{what} {shape or 'none'}" for what, shape in (("in the file:", here), ("in the model:", there)))
                    lines.append(f"{path}/{key} differs: {', '.join(sides)}")
        for line in lines:
            print(line)
        print(f"{len(lines)} errors: the file does not fit the model." if lines else "The file fits the model.")
        return {"status": "error" if lines else "success", "error_count": len(lines), "match_count": matches}

    def _objects(self) -> list[tuple[str, dict]]:
        """Return (path, object) for every object in the file."""
        found: list[tuple[str, dict]] = []
        pending = [("", self.weights_dict)]
        while pending:
            path, part = pending.pop()
            found.append((path, part))
            pending += [(f"{path}/{k}" if path else k, v) for k, v in reversed(part.items()) if isinstance(v, dict)]
        return found

    # -- changing ------------------------------------------------------------------------------------------------------

    def _find(self, name: str) -> tuple[dict, str]:
        """Return what holds the object of that name, and its own name there."""
        objects = dict(self._objects())
        wanted = name.strip("/")
        paths = [wanted] if wanted in objects and wanted else [p for p in objects if p and p.rpartition("/")[2] == wanted]
        if len(paths) != 1:
            problem = f"is the name of {len(paths)} objects, give a path: {paths[:5]}" if paths else "is not in the file"
            raise ValueError(f"KerasFileEditor: {name!r} {problem}. `summary()` shows all objects.")
        holder, _, last = paths[0].rpartition("/")
        return objects[holder], last

    def rename_object(self, object_name: str, new_name: str) -> None:
        """Give an object another name; its place stays.

        Args:
            object_name: Name or path of the object.
            new_name: The new last step of its path.
        """
        holder, last = self._find(object_name)
        if "/" in new_name or not new_name:
            raise ValueError(f"KerasFileEditor.rename_object: new_name must be a name, not a path, got {new_name!r}.")
        if new_name in holder and new_name != last:
            raise ValueError(f"KerasFileEditor.rename_object: there is a {new_name!r} beside {object_name!r} already.")
        _replace(holder, lambda key, value: (new_name if key == last else key, value))

    def delete_object(self, object_name: str) -> None:
        """Remove an object and all inside it."""
        holder, last = self._find(object_name)
        del holder[last]

    def add_object(self, object_path: str, weights: dict[str, Any]) -> None:
        """Add an object.

        Args:
            object_path: Its path; what holds it must be there.
            weights: Its weights by name: "0", "1", ...
        """
        parent, _, last = object_path.strip("/").rpartition("/")
        objects = dict(self._objects())
        if parent not in objects:
            raise ValueError(f"KerasFileEditor.add_object: {parent!r} is not in the file. `summary()` shows all objects.")
        holder = objects[parent].setdefault(last, {})
        self._put(holder, object_path, weights)

    def add_weights(self, object_name: str, weights: dict[str, Any]) -> None:
        """Add weights to an object, or replace those of the same names."""
        holder, last = self._find(object_name)
        self._put(holder[last], object_name, weights)

    def _put(self, holder: dict, place: str, weights: dict[str, Any]) -> None:
        if not isinstance(weights, dict):
            raise ValueError(f"KerasFileEditor: weights must be a dict from names to arrays, got {weights!r}.")
        holder.update({str(key): checked.array(value, f"{place}/{key}") for key, value in weights.items()})

    def delete_weight(self, object_name: str, weight_name: str) -> None:
        """Remove a weight of an object."""
        holder, last = self._find(object_name)
        if weight_name not in _own(holder[last]):
            raise ValueError(
                f"KerasFileEditor.delete_weight: {object_name!r} has no {weight_name!r}, only {sorted(_own(holder[last]))}."
            )
        del holder[last][weight_name]

    def resave_weights(self, filepath: str | os.PathLike) -> None:
        """Write the weights: another name of `save`."""
        self.save(filepath)

    def save(self, filepath: str | os.PathLike) -> None:
        """Write the weights as they are now to a `.weights.h5` file."""
        filepath = os.fspath(filepath)
        if not filepath.endswith(".weights.h5"):
            raise ValueError(f"KerasFileEditor.save: the name must end in `.weights.h5`. Received: filepath={filepath!r}")
        with replacing(filepath) as temporary, seal.sealed(temporary) as file:
            for path, part in self._objects():
                group = file.create_group(f"{path}/{h5.VARS}" if path else h5.VARS)
                group.attrs["name"] = self._names.get(path, path.rpartition("/")[2])
                for name, value in _own(part).items():
                    h5.put(group, name, value)

    def __repr__(self) -> str:
        return f"<KerasFileEditor {json.dumps(self.filepath)}: {len(self._objects())} objects>"


def _own(part: dict) -> dict[str, np.ndarray]:
    return {k: v for k, v in part.items() if not isinstance(v, dict)}


def _replace(holder: dict, change: Callable[[str, Any], tuple[str, Any]]) -> None:
    """Change keys of a dict in their places."""
    items = [change(k, v) for k, v in holder.items()]
    holder.clear()
    holder.update(items)
