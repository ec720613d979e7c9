"""The compiled functions behind fit, evaluate and predict: one step, or many steps in one dispatch."""

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from multikeras import config
from multikeras.backend import current, dtypes
from multikeras.core import tree
from multikeras.core.tracking import Tracker
from multikeras.training.data.arrays import Arrays, dense, from_foreign, is_foreign
from multikeras.training.data.gathering import Usual
from multikeras.training.logs import Kept, UnknownShape
from multikeras.training.purity import is_pure

_DISPATCH_SECONDS = 0.2
"""How long a dispatch should last: each begins with memory of its own, 72 MB of new pages for `tfm` on JAX, 17 ms of 70."""
_MOST_STEPS = 4096
_TOGETHER_SECONDS, _FEWEST_TOGETHER = 0.05, 8
"""The same where nothing is trained, and how few predictions together are no gain."""
_SINGLE_SECONDS = 0.3
"""How long predictions are made batch by batch before a program for many is worth its making."""


def to_native(batch: Any, sparse: bool = False) -> Any:
    """Return a batch with every array as a native tensor, float64 from numpy as floatx.

    `sparse`: whether sparse inputs stay so.
    """
    if sparse and isinstance(batch, tuple):
        return (tree.map_structure(_native_or_sparse, batch[0]), *to_native(batch[1:]))
    return tree.map_structure(_native_or_sparse if sparse else _native, batch)


def _native_or_sparse(x: Any) -> Any:
    if hasattr(x, "tocoo"):  # of scipy
        x = x.tocoo()
        indices, values = np.stack([x.row, x.col], 1).astype("int64"), x.data
    elif hasattr(x, "todense") and hasattr(x, "indices") and not x.n_batch:  # of JAX
        indices, values = np.asarray(x.indices, "int64"), np.asarray(x.data)
        inside = (indices < x.shape).all(1)
        indices, values = indices[inside], values[inside]
    else:
        return x if current.is_sparse(x) else _native(x)
    return current.sparse(current.asarray(indices), _native(values), tuple(x.shape), in_order=False)


def _native(x: Any) -> Any:
    if x is None or type(x) is current.Tensor or current.is_tensor(x):
        return x
    if not isinstance(x, np.ndarray):
        x = dense(x)
        if is_foreign(x):
            return from_foreign(x)
    array = np.asarray(x)
    if array.dtype.kind == "f" and dtypes.is_float(array.dtype.name) and array.dtype.name != config.floatx():
        return current.asarray(array, config.floatx())
    return current.asarray(array)


class Programs:
    """What a model compiled for training, evaluation and prediction; dropped when `compile` is called again."""

    def __init__(self, model: Any):
        self.model = model
        self.compiled: dict[Any, Any] = {}
        self.variables: list[Any] = []
        self.changes = -1
        self.pure = False
        self.accepted: set[Any] = set()
        """Kinds of arrays that were found to fit the model."""
        self.seconds_per_step: dict[str, float] = {}
        self.kept: dict[str, Kept] = {}
        self.last: dict[str, Any] = {}
        """The values of the metrics after the last chunk of a step, where the program of the chunk computes them."""
        self.usual: dict[str, Usual] = {}
        """The kind of batches that each step groups, once it has seen one."""
        self.chunkless: set[str] = set()
        self.seconds_predicting = 0.0

    def _compile_option(self) -> bool | str:
        return self.model._jit_compile

    def to_native(self, batch: Any) -> Any:
        """Return a batch as native tensors, inputs as sparse ones where the model takes them so."""
        return to_native(batch, current.sparse_batches and self.model.takes_sparse and self._compile_option() is not True)

    def _forget_if_changed(self) -> None:
        """Forget what was compiled for other variables than the model has: low-rank updates and quantization change them."""
        if self.changes == Tracker.changes:
            return
        self.changes, before, self.variables = Tracker.changes, self.variables, self.model.variables
        was_pure, self.pure = self.pure, is_pure(self.model)
        if self.compiled and ([*map(id, before)] != [*map(id, self.variables)] or was_pure != self.pure):
            self.compiled.clear()

    def single(self, step: str) -> Callable:
        """Return the function of one batch."""
        self._forget_if_changed()
        if step not in self.compiled:
            function = self._by_replicas(step, self.model.step_function(step))
            if not self.model.run_eagerly:
                variables = self.model.variables if step == "predict_step" else self.model._state_of_training()
                function = current.jit(
                    self._without_leftovers(function), variables, compile=self._compile_option(), pure=self._is_settled(step)
                )
            self.compiled[step] = function
        return self.compiled[step]

    def _by_replicas(self, step: str, function: Callable) -> Callable:
        """Return a step as the replicas of a strategy run it together, if the model was made under one."""
        if self.model._replicas is None:
            return function
        result = self.model.get_metrics_result if step != "predict_step" and self.model.logs_are_metrics(step) else None
        return self.model._replicas.step(function, result, rows=step == "predict_step")

    def _is_settled(self, step: str) -> bool:
        """Tell whether a step writes variables, and always does the same computation on the same of them."""
        model = self.model
        parts = () if step == "predict_step" else (model.optimizer, model._compiled_loss, model._compiled_metrics)
        return model.built and all(part is None or part.built for part in parts) and is_pure(model)

    def chunk(self, step: str, kind: str = "chunk") -> Callable:
        """Return a function (order, start, stop, arrays): steps over the rows `order[start]` ... `order[stop - 1]`.

        Of the `kind` "group" it is a function (batches, start, stop).
        """
        self._forget_if_changed()
        key = (step, kind)
        if key not in self.compiled:
            function = self._without_leftovers(self.model.step_function(step))
            kept = None if self.model.logs_are_metrics(step) else self.kept.setdefault(step, Kept())

            def one(rows, *arrays):
                batch = rows
                if arrays:
                    batch = tree.map_structure(lambda a: None if a is None else current.take(a, rows, 0), arrays[0])
                logs = function(batch)
                if kept is not None:
                    kept.keep(logs)

            optimizer = self.model.optimizer if step == "train_step" else None
            self.compiled[key] = current.repeat(
                one, self.model._state_of_training(), compile=self._compile_option(), pure=is_pure(self.model),
                done=None if optimizer is None else int(current.to_numpy(current.asarray(optimizer.iterations))),
                result=self.model.get_metrics_result if kept is None and current.results_with_steps else None,
            )  # fmt: skip
        return self.compiled[key]

    def results(self) -> Callable:
        """Return the function that computes the values of all metrics."""
        if "results" not in self.compiled:
            self.compiled["results"] = current.jit(self.model.get_metrics_result, self.model.metrics_variables) \
                if not self.model.run_eagerly else self.model.get_metrics_result  # fmt: skip
        return self.compiled["results"]

    def logs(self, step: str) -> Any:
        """Return the logs of the last step of a chunk."""
        if step in self.kept:
            return self.kept[step].logs()
        return self.last.get(step) or self.results()()

    def run_chunk(self, step: str, batches, start: int, stop: int, *arrays) -> bool:
        """Run steps `start` to `stop`, and learn how long one takes; False if the logs of this step cannot leave a chunk.

        With `arrays`, `batches` are the numbers of their rows.
        """
        if step in self.chunkless:
            return False
        kind = "chunk" if arrays else "group"
        fresh = (step, kind) not in self.compiled
        function = self.chunk(step, kind)
        began = time.perf_counter()
        try:
            done = function(batches, start, stop, *arrays)
        except UnknownShape:
            self.chunkless.add(step)
            return False
        current.synchronize(done)
        if current.results_with_steps and step not in self.kept:
            self.last[step] = done
        if not fresh:
            self.seconds_per_step[step] = (time.perf_counter() - began) / (stop - start)
        return True

    def chunk_length(self, step: str) -> int:
        """Return how many steps make a dispatch."""
        seconds, lasts = self.seconds_per_step.get(step), _DISPATCH_SECONDS if step == "train_step" else _TOGETHER_SECONDS
        return 1 if seconds is None else max(1, min(_MOST_STEPS, math.ceil(lasts / max(seconds, 1e-7))))

    def predicted(self, arrays: Arrays, epochs: Any) -> list:
        """Return the outputs for all batches: one by one for a while, then many as one where that gains something."""
        single, parts, done = self.single("predict_step"), [], 0
        arrays.convert = current.asarray if self.model.run_eagerly else current.argument
        total = min(arrays.full_batches, epochs.limit or arrays.full_batches)
        for batch in epochs.native(0):
            began = time.perf_counter()
            parts.append(single(batch))
            together = self._together() if self.seconds_predicting > _SINGLE_SECONDS and done + 1 < total else None
            if together is not None:
                current.synchronize(parts[-1])
            seconds = time.perf_counter() - began
            self.seconds_predicting += seconds
            done += 1
            count = 2 ** math.floor(math.log2(max(_TOGETHER_SECONDS / seconds, 1)))
            if together is not None and count >= _FEWEST_TOGETHER:
                xs = tree.map_structure(lambda x: None if x is None else current.asarray(x), arrays.tensors)
                size, like = arrays.batch_size, parts[-1]
                while done < total and together is not None:
                    outputs = together(xs, done * size, min(count, total - done), size, like)
                    if outputs is None:
                        self.compiled["together"] = together = None
                    else:
                        current.synchronize(outputs)  # Python comes to its turn, for the user to interrupt it
                        parts.append(outputs)
                        done = min(done + count, total)
                return [*parts, *map(single, epochs.native(0, skip=done))]
        return parts

    def _together(self) -> Callable | None:
        """Return the function that predicts many batches of arrays, None where single steps are as good."""
        if "together" not in self.compiled:
            function = self._without_leftovers(self.model.step_function("predict_step"))
            chosen = self._compile_option() == "auto" and not self.model.run_eagerly and is_pure(self.model)
            self.compiled["together"] = current.map_batches(function, self.model.variables) if chosen else None
        return self.compiled["together"]

    def _without_leftovers(self, function: Callable) -> Callable:
        """Return a step that forgets the losses layers added: they belong to its trace."""

        def step(data):
            try:
                return function(data)
            finally:
                self.model._clear_losses()

        return step
