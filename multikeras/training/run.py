"""How far a fit has come: everything that an exact resume needs, out of it and back into it."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from multikeras.backend import current
from multikeras.backend.dtypes import is_float, numpy_dtype
from multikeras.core.variable import Variable
from multikeras.random.seed_generator import global_seed_generator
from multikeras.training.logs import floats
from multikeras.training.not_finite import Finding, explain
from multikeras.training.programs import to_native

_FORMAT = 1


class Run:
    """A fit that goes on; `model._run` while it does.

    Attributes:
        epoch: The epoch that runs, or the one to begin with.
        batch: Batches of it that are done.
        logs: Its metrics of training, when only validation is left of it.
        data: The `Epochs` of the data.
        validation: The `Source` of data that is only evaluated.
        validation_steps: Steps of an evaluation, None where nobody knows.
        restored: Whether it goes on from a snapshot.
    """

    def __init__(self, model: Any, callbacks: Any, data: Any, validation: Any, epoch: int):
        self.model, self.callbacks, self.data, self.validation = model, callbacks, data, validation
        self.epoch, self.batch = epoch, 0
        self.logs: dict[str, Any] | None = None
        self.validation_steps: int | None = None
        self.restored = False
        self.recent: list[Any] | None = None
        """Batches since `remember` that ran one by one, in a run that is to be explained."""
        self._restored: dict[str, Any] | None = None

    def track(self) -> None:
        """Get ready for snapshots: note the position in the data with each batch."""
        self.data.tracked = True
        global_seed_generator()  # made now, in a run that is resumed as in one that is not

    # -- out -----------------------------------------------------------------------------------------------------------

    def snapshot(self, after_epoch: bool = False) -> dict[str, Any]:
        """Return the state of everything as plain data and arrays, as it is between two batches or two epochs."""
        model = self.model
        return {
            "format": _FORMAT,
            "model": _fingerprint(model),
            "variables": [v.numpy() for v in _variables(model)],
            "epoch": self.epoch + after_epoch,
            "batch": 0 if after_epoch else self.batch,
            "logs": None if after_epoch else self.logs,
            "stop": bool(model.stop_training),
            "data": self.data.state(),
            "validation": None if self.validation is None else self.validation.state(),
            "callbacks": self.callbacks.get_state(),
        }

    # -- back ----------------------------------------------------------------------------------------------------------

    def restore(self, snapshot: dict[str, Any], name: str) -> None:
        """Take the state of a snapshot that comes from the file `name`; ValueError if it is one of another model."""
        if not isinstance(snapshot, dict) or snapshot.get("format") != _FORMAT:
            raise ValueError(f"{name} holds no backup of training that can be read here.")
        _compare(snapshot["model"], _fingerprint(self.model), name)
        self._restored, self.restored = snapshot, True
        self.epoch, self.batch, self.logs = snapshot["epoch"], snapshot["batch"], snapshot["logs"]
        self._put_variables()

    def on_train_begin(self) -> None:
        """Put back what callbacks overwrite when training begins."""
        if self._restored is None:
            return
        self._put_back()
        self.data.load_state(self._restored["data"])
        if self.validation is not None and self._restored["validation"] is not None:
            self.validation.load_state(self._restored["validation"])
        if not self.in_epoch:
            self._restored = None

    def on_epoch_begin(self) -> None:
        """Put back what callbacks changed at the begin of an epoch that is half done."""
        if self._restored is not None:
            self._put_back()
            self._restored = None

    # -- steps run again -----------------------------------------------------------------------------------------------

    def remember(self) -> None:
        """Keep the state before the next steps, which may have to be run again."""
        self._before = self.batch, _copies(_variables(self.model))
        self.recent = []

    def explain(self) -> Finding | None:
        """Run the steps since `remember` again, and the first that is not finite with taps; None if all are finite now.

        All variables are left as they are.
        """
        first, before = self._before
        after = _copies(_variables(self.model))
        step = self.model._the_programs().single("train_step")
        _put(before)
        try:
            for batch in range(first, self.batch):
                data = self._batch(batch, first)
                before = _copies(_variables(self.model))
                loss = floats(step(data)).get("loss", 0.0)
                if not math.isfinite(loss) or not self.is_finite():
                    _put(before)
                    found = explain(self.model, data)
                    return None if found is None else replace(found, epoch=self.epoch, batch=batch)
        finally:
            _put(after)
        return None

    def _batch(self, batch: int, first: int) -> Any:
        if self.recent:
            return self.recent[batch - first]
        return to_native(next(self.data.batches(self.epoch, batch)))

    def is_finite(self) -> bool:
        """Tell whether all trainable variables are finite."""
        floating = [v.value for v in self.model.trainable_variables if is_float(v.dtype)]
        return all(bool(current.to_numpy(current.all(current.isfinite(x), None, False))) for x in floating)

    @property
    def in_epoch(self) -> bool:
        """Whether an epoch is half done."""
        return self.batch > 0 or self.logs is not None

    def next_epoch(self, epoch: int) -> None:
        """Begin an epoch anew."""
        self.epoch, self.batch, self.logs = epoch, 0, None

    def _put_back(self) -> None:
        assert self._restored is not None
        self._put_variables()
        self.model.stop_training = self._restored["stop"]
        self.callbacks.set_state(self._restored["callbacks"])

    def _put_variables(self) -> None:
        assert self._restored is not None
        for variable, value in zip(_variables(self.model), self._restored["variables"]):
            variable.assign(np.asarray(value).astype(numpy_dtype(variable.dtype)))


def _variables(model: Any) -> list[Variable]:
    """Return all that training changes: weights, seeds, optimizer, metrics, and the seed behind `seed=None`."""
    return [*model._state_of_training(), global_seed_generator().state]


def _copies(variables: list[Variable]) -> list[tuple[Variable, Any]]:
    return [(v, current.copy(v.value)) for v in variables]


def _put(values: list[tuple[Variable, Any]]) -> None:
    for variable, value in values:
        variable.assign(value)


def _fingerprint(model: Any) -> dict[str, Any]:
    """Return what tells one model from another: kinds of its parts and shapes of its variables."""
    optimizer = model.optimizer
    inner = getattr(optimizer, "inner_optimizer", None)
    return {
        "layers": [type(layer).__name__ for layer in model._flatten_layers(include_self=False)],
        "optimizer": [type(o).__name__ for o in (optimizer, inner) if o is not None],
        "variables": [[v.path, list(v.shape)] for v in _variables(model)],
    }


def _compare(saved: dict[str, Any], here: dict[str, Any], name: str) -> None:
    for part, what in (("layers", "layers"), ("optimizer", "optimizer")):
        if saved[part] != here[part]:
            raise ValueError(
                f"{name} is a backup of another model: its {what}: {', '.join(saved[part]) or 'none'}; here: "
                f"{', '.join(here[part]) or 'none'}. Use the model and optimizer it was made with, or another backup_dir."
            )
    if len(saved["variables"]) != len(here["variables"]):
        raise ValueError(
            f"{name} is a backup of another model: it has {len(saved['variables'])} variables, this one "
            f"{len(here['variables'])}, with the metrics of compile(). Use the same model, or another backup_dir."
        )
    for (path, shape), (own, own_shape) in zip(saved["variables"], here["variables"]):
        if shape != own_shape:
            raise ValueError(
                f"{name} is a backup of another model: {path} has shape {tuple(shape)} there, {own} has "
                f"{tuple(own_shape)} here. Use the same model, or another backup_dir."
            )
