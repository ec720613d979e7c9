"""`fit`, `evaluate` and `predict`, once for all backends."""

import contextlib
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from multikeras import callbacks as callbacks_module
from multikeras import config
from multikeras.backend import current, scope
from multikeras.backend.dtypes import standardize_dtype
from multikeras.backend.shapes import Spec
from multikeras.core import tree
from multikeras.layers._call import calls
from multikeras.random.seed_generator import global_seed
from multikeras.training.compiling import STOPS, Compiling, within_replicas
from multikeras.training.data import source_of
from multikeras.training.data.arrays import Arrays, as_rows, class_weights_of
from multikeras.training.data.gathering import Usual
from multikeras.training.data.source import Source
from multikeras.training.data.streams import Generator, Replayed
from multikeras.training.epochs import Epochs, steps_of, validates
from multikeras.training.logs import CompileMetricsFace, Lazy, floats, joined
from multikeras.training.programs import Programs
from multikeras.training.run import Run
from multikeras.training.step import Steps
from multikeras.utils.arrays import unpack_x_y_sample_weight

_building = threading.RLock()  # threads that predict with one model build it once


class Trainer(Compiling):
    """What makes a layer trainable: the half of `Model` that is about data."""

    # -- fit -------------------------------------------------------------------------------------------------------

    def fit(
        self, x=None, y=None, batch_size=None, epochs=1, verbose="auto", callbacks=None, validation_split=0.0,
        validation_data=None, shuffle=True, class_weight=None, sample_weight=None, initial_epoch=0, steps_per_epoch=None,
        validation_steps=None, validation_batch_size=None, validation_freq=1,
    ):  # fmt: skip
        """Train for some epochs; return the `History`.

        Args:
            x: Inputs: arrays, or a PyDataset, generator, tf.data set or torch loader of batches.
            y: Targets.
            batch_size: Rows a step, 32 by default.
            epochs: The epoch to stop before.
            verbose: 0 silent, 1 a progress bar, 2 one line an epoch.
            callbacks: `Callback`s.
            validation_split: Share of the arrays, taken from their end, that is only evaluated.
            validation_data: Data that is only evaluated: (x, y), (x, y, sample_weight) or any source.
            shuffle: Whether rows come in a new order each epoch ("batch": batches).
            class_weight: Weight of each class.
            sample_weight: Weight of each row.
            initial_epoch: The epoch to begin with.
            steps_per_epoch: Steps an epoch, where the data does not say or fewer are wanted.
            validation_steps: Steps of each evaluation, of the first batches each time, also of a generator.
            validation_batch_size: Rows a step of evaluation.
            validation_freq: Epochs from one evaluation to the next, or the epochs to evaluate after.
        """
        self._require_compiled("fit")
        _require_integers("fit", epochs=epochs, batch_size=batch_size, initial_epoch=initial_epoch,
                          validation_batch_size=validation_batch_size)  # fmt: skip
        object.__setattr__(self, "_warned_of_nan", False)
        epochs = min(epochs, config.max_epochs() or epochs)
        seed = global_seed() + self._fits
        object.__setattr__(self, "_fits", self._fits + 1)
        source = source_of(x, y, sample_weight, batch_size, shuffle, seed, class_weight)
        validation = None
        if validation_split and validation_data is None:
            if not isinstance(source, Arrays):
                raise ValueError("validation_split is for arrays; give other kinds of data their validation_data.")
            source, validation = source.split(validation_split)
        if validation_data is not None:
            validation = self._validation_source(validation_data, validation_batch_size or batch_size)
        if config.overfit_batches():
            source, steps_per_epoch, validation_steps = source.first(config.overfit_batches()), None, None
            validation = None if validation is None else source
        self._prepare(source, training=True)
        self._check_labels(validation)
        steps = steps_of(source, steps_per_epoch)
        verbose = _verbosity(callbacks, verbose)
        each = callbacks_module.CallbackList.of(callbacks, self, add_history=True, add_progbar=verbose != 0,
                                                verbose=verbose, epochs=epochs, steps=steps)  # fmt: skip
        self.stop_training = False
        data = Epochs(source, steps_per_epoch, self._the_programs().to_native, self._label_check(source))
        run = Run(self, each, data, validation, initial_epoch)
        run.validation_steps = None if validation is None else steps_of(validation, validation_steps)
        object.__setattr__(self, "_run", run)
        try:
            self._run_epochs(run, epochs, validation_steps, validation_freq)
        except BaseException as error:
            each.on_train_interrupt(error)
            raise
        finally:
            object.__setattr__(self, "_run", None)
            for part in (source, validation):
                if part is not None:
                    part.close()
        return self.history  # type: ignore[attr-defined]

    def _run_epochs(self, run: Run, epochs: int, validation_steps, validation_freq) -> None:
        """Run the epochs of a fit that are left, each with its evaluation."""
        each, source = run.callbacks, run.data.source
        each.on_train_begin()
        run.on_train_begin()
        first = run.data.first = getattr(self, "_initial_epoch", None) or run.epoch
        logs: dict[str, Any] = {}
        for epoch in range(first, epochs):
            if self.stop_training and run.restored and not run.in_epoch:
                break  # it had been stopped when it was killed
            if not run.in_epoch:
                run.next_epoch(epoch)
                self.reset_metrics()
                each.on_epoch_begin(epoch)
                source.on_epoch_begin()
            else:
                each.on_epoch_begin(epoch)
                run.on_epoch_begin()
            if run.logs is None:
                logs = self._run_epoch("train_step", run.data, epoch, each, "train")
                source.on_epoch_end()
            else:
                logs = run.logs  # only its evaluation is left
            if run.validation is not None and validates(epoch, validation_freq):
                run.logs = dict(logs)
                logs.update({f"val_{k}": v for k, v in self._evaluate(run.validation, validation_steps, each).items()})
                logs = dict(sorted(logs.items()))
            each.on_epoch_end(epoch, logs)
            run.next_epoch(epoch + 1)
            if self.stop_training:
                break
        each.on_train_end(logs)

    def _validation_source(self, data, batch_size) -> Source:
        if isinstance(data, (tuple, list)) and not isinstance(data, Source):
            x, y, sample_weight = unpack_x_y_sample_weight(tuple(data))
            return source_of(x, y, sample_weight, batch_size)
        source = source_of(data, batch_size=batch_size)
        return Replayed(source) if isinstance(source, Generator) else source

    def _run_epoch(self, step: str, epochs: "Epochs", epoch: int, each, mode: str) -> dict[str, Any]:
        """Run the steps of one epoch; return its logs as floats."""
        programs = self._the_programs()
        begin, end = getattr(each, f"on_{mode}_batch_begin"), getattr(each, f"on_{mode}_batch_end")
        run = self._run if mode == "train" else None
        observed = each.observes_batches(mode)
        stride = max(self.steps_per_execution, 1)
        arrays = epochs.chunkable() if not self.run_eagerly and self._replicas is None else None
        logs: dict[str, Any] = {}
        done = 0 if run is None else run.batch
        if done:
            logs = programs.results()()
        grouped = arrays is None and not observed and self._takes_groups(step)
        if grouped:
            done, logs = self._run_groups(step, epochs, epoch, each, mode, done, run, logs)
        elif arrays is not None and (not observed or stride > 1):
            before = done
            done = self._run_chunks(step, arrays, epochs, epoch, each, mode, stride if observed else None, done, run)
            if done > before:
                logs = programs.logs(step)
        single = programs.single(step)
        pending = 0
        stopped = done > 0 and getattr(self, STOPS[mode])
        for batch in epochs.native(epoch, skip=done) if not (stopped or grouped) else ():
            if pending == 0:
                begin(done)
            logs = single(batch)
            done, pending = done + 1, pending + 1
            if run is not None:
                run.batch = done
                if run.recent is not None:
                    run.recent.append(batch)
            if pending == stride:
                end(done - 1, floats(logs) if observed else Lazy(logs))
                pending = 0
            if getattr(self, STOPS[mode]):
                break
        if pending:
            end(done - pending + stride - 1, floats(logs) if observed else Lazy(logs))
        if done == 0:
            if mode != "train" or epoch == epochs.first:
                raise ValueError("The data gave no batch: there is nothing to work on.")
            warnings.warn("The data is used up: training stops. Give it batches for all epochs.", stacklevel=3)
            self.stop_training = True
        self._clear_losses()  # type: ignore[attr-defined]
        logs = floats(logs)
        if logs.get("loss") != logs.get("loss") and mode == "train" and not getattr(self, "_warned_of_nan", False):
            object.__setattr__(self, "_warned_of_nan", True)
            warnings.warn(
                f"The loss is nan in epoch {epoch + 1}. Look for a learning rate that is too large, logarithms or divisions of "
                "zero, and NaN in the data; the callback TerminateOnNaN stops training.",
                stacklevel=3,
            )
        return logs

    def logs_are_metrics(self, step: str) -> bool:
        """Tell whether what a step returns are the values of the metrics, which outlive it."""
        return getattr(type(self), step) is getattr(Steps, step) and type(self).compute_metrics is Steps.compute_metrics

    def _run_chunks(self, step, arrays: Arrays, epochs, epoch, each, mode, stride, done, run) -> int:
        """Run the full batches of an epoch after the first `done`, many a dispatch; return how many are done."""
        programs = self._the_programs()
        total = min(arrays.full_batches, epochs.limit or arrays.full_batches)
        if stride:
            total -= total % stride
        if total <= done:
            return done
        order = arrays.order(epoch)
        batches, gathered = arrays.in_batches() if order is None else None, ()
        if batches is None:
            order = np.arange(arrays.rows, dtype="int32") if order is None else order
            order = order[: arrays.full_batches * arrays.batch_size].reshape(-1, arrays.batch_size).astype("int32", copy=False)
            at_once = (stride or programs.chunk_length(step)) >= total - done
            batches, gathered = (current.argument if at_once else current.asarray)(order), (arrays.tensors,)
        while done < total:
            due = None if stride or mode != "train" else each.batches_until_due()
            length = min(stride or programs.chunk_length(step), total - done, due or total)
            getattr(each, f"on_{mode}_batch_begin")(done)
            if not programs.run_chunk(step, batches, done, done + length, *gathered):
                break
            done += length
            if run is not None:
                run.batch = done
            if stride:
                getattr(each, f"on_{mode}_batch_end")(done - 1, floats(programs.logs(step)))
            else:
                each.on_chunk_end(mode, done - 1, lambda: floats(programs.logs(step)))
            if getattr(self, STOPS[mode]):
                break
        return done

    def _takes_groups(self, step: str) -> bool:
        """Tell whether batches that come one by one should be put together."""
        return not self.run_eagerly and self._replicas is None and step not in self._the_programs().chunkless

    def _run_groups(self, step, epochs: Epochs, epoch, each, mode, done, run, logs) -> tuple[int, dict[str, Any]]:
        """Run the batches of an epoch after the first `done`, many a dispatch; return how many are done, and logs."""
        programs, before = self._the_programs(), done
        single, begin = programs.single(step), getattr(each, f"on_{mode}_batch_begin")
        groups = epochs.groups(epoch, done, programs.usual.setdefault(step, Usual()), lambda: programs.chunk_length(step))
        grouped = False
        for batches, count, positions in groups if not (done and getattr(self, STOPS[mode])) else ():
            start = 0
            while start < len(positions):
                due = each.batches_until_due() if mode == "train" else None
                stop = min(len(positions), start + (due or len(positions)))
                begin(done)
                grouped = count is not None and programs.run_chunk(step, batches, start, stop)
                if not grouped:
                    stop = start + 1
                    logs = single(_batch(batches, count, start))
                done += stop - start
                epochs.at(positions[stop - 1])
                if run is not None:
                    run.batch = done
                    if run.recent is not None:
                        run.recent += [_batch(batches, count, i) for i in range(start, stop)]
                start = stop
                if grouped:
                    each.on_chunk_end(mode, done - 1, lambda: floats(programs.logs(step)))
                else:
                    getattr(each, f"on_{mode}_batch_end")(done - 1, Lazy(logs))
                if getattr(self, STOPS[mode]):
                    groups.close()
                    break
        return done, programs.logs(step) if grouped and done > before else logs

    # -- evaluate, predict -----------------------------------------------------------------------------------------

    def evaluate(self, x=None, y=None, batch_size=None, verbose="auto", sample_weight=None, steps=None, callbacks=None,
                 return_dict=False, **kwargs):  # fmt: skip
        """Return the loss and the metrics on data, as a list or by name.

        Args:
            x: Inputs, of any kind that `fit` takes.
            y: Targets.
            batch_size: Rows a step, 32 by default.
            verbose: 0 silent, 1 a progress bar, 2 one line.
            sample_weight: Weight of each row.
            steps: Number of steps.
            callbacks: `Callback`s.
            return_dict: Whether to return a dict.
        """
        if kwargs:
            raise ValueError(f"evaluate: unknown arguments {sorted(kwargs)}.")
        self._require_compiled("evaluate")
        _require_integers("evaluate", batch_size=batch_size)
        source = source_of(x, y, sample_weight, batch_size)
        self._prepare(source, training=False)
        verbose = _verbosity(callbacks, verbose)
        total = steps_of(source, steps)
        each = callbacks_module.CallbackList.of(callbacks, self, add_history=False, add_progbar=verbose != 0,
                                                verbose=verbose, epochs=1, steps=total)  # fmt: skip
        try:
            logs = self._evaluate(source, steps, each)
        finally:
            source.close()
        if return_dict:
            return logs
        return self._in_order(logs)

    def _evaluate(self, source: Source, steps, each) -> dict[str, Any]:
        self.stop_evaluating = False
        each.on_test_begin()
        self.reset_metrics()
        data = Epochs(source, steps, self._the_programs().to_native, self._label_check(source))
        with current.no_gradients():
            logs = self._run_epoch("test_step", data, 0, each, "test")
        each.on_test_end(logs)
        return logs

    def _in_order(self, logs: dict[str, Any]) -> Any:
        """Return logs as a list: by the names of the metrics, as often as one comes, then what goes by other names."""
        names: list[str] = []
        for metric in self.metrics:
            names += [m.name for m in metric.metrics] if isinstance(metric, CompileMetricsFace) else [metric.name]
        values = [logs[n] for n in names if n in logs] + [logs[n] for n in sorted(logs) if n not in names]
        return values[0] if len(values) == 1 else values

    def predict(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """Return the outputs for data as numpy arrays.

        Args:
            x: Inputs, of any kind that `fit` takes.
            batch_size: Rows a step, 32 by default.
            verbose: 0 silent, 1 a progress bar, 2 one line.
            steps: Number of steps.
            callbacks: `Callback`s.
        """
        _require_integers("predict", batch_size=batch_size)
        source = source_of(x, batch_size=batch_size)
        self._prepare(source, training=None)
        verbose = _verbosity(callbacks, verbose)
        total = steps_of(source, steps)
        each = callbacks_module.CallbackList.of(callbacks, self, add_history=False, add_progbar=verbose != 0,
                                                verbose=verbose, epochs=1, steps=total)  # fmt: skip
        programs, stride = self._the_programs(), max(self.steps_per_execution, 1)
        epochs = Epochs(source, steps, programs.to_native)
        single = programs.single("predict_step")
        self.stop_predicting = False
        each.on_predict_begin()
        parts: list[Any] = []
        with current.no_gradients(), contextlib.closing(source):
            if stride == 1 and not each.callbacks and self._replicas is None and (arrays := epochs.chunkable()):
                parts += programs.predicted(arrays, epochs)
            for i, batch in enumerate(() if parts else epochs.native(0)):
                if i % stride == 0:
                    each.on_predict_batch_begin(i)
                parts.append(single(batch))
                if (i + 1) % stride == 0:
                    each.on_predict_batch_end(i, {"outputs": parts[-1]})
                if self.stop_predicting:
                    break
            if len(parts) % stride:
                each.on_predict_batch_end(len(parts) - len(parts) % stride + stride - 1, {"outputs": parts[-1]})
        each.on_predict_end()
        if not parts:
            raise ValueError("The data gave no batch: there is nothing to predict.")
        return tree.map_structure(lambda *xs: joined(xs), *parts)

    # -- single batches --------------------------------------------------------------------------------------------

    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False):
        """Take one step on one batch; return the loss and metrics so far."""
        self._require_compiled("train_on_batch")
        if class_weight is not None:
            if sample_weight is not None:
                raise ValueError("train_on_batch: class_weight and sample_weight cannot be given together.")
            sample_weight = class_weights_of(y, class_weight)
        return self._on_batch("train_step", x, y, sample_weight, return_dict)

    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False):
        """Evaluate one batch; return the loss and metrics so far."""
        self._require_compiled("test_on_batch")
        return self._on_batch("test_step", x, y, sample_weight, return_dict)

    def _on_batch(self, step, x, y, sample_weight, return_dict):
        source, training = Arrays(x, y, sample_weight, batch_size=1 << 62), step == "train_step"
        self._prepare(source, training=training)
        self.reset_metrics()
        programs = self._the_programs()
        batch = programs.to_native(next(source.batches(0)))
        with contextlib.nullcontext() if training else current.no_gradients():
            logs = floats(programs.single(step)(batch))
        return logs if return_dict else self._in_order(logs)

    def predict_on_batch(self, x):
        """Return the outputs for one batch as numpy arrays."""
        (batch,) = self._the_programs().to_native((tree.map_structure(lambda leaf: as_rows(leaf, "x"), x),))
        if not self.built:  # type: ignore[attr-defined]
            with _building:
                self._build_from((batch,))
        with current.no_gradients():
            outputs = self._the_programs().single("predict_step")((batch,))
        return tree.map_structure(current.to_numpy, outputs)

    # -- preparation -----------------------------------------------------------------------------------------------

    def _the_programs(self) -> Programs:
        if self._programs is None:
            object.__setattr__(self, "_programs", Programs(self))
        return self._programs

    def make_train_function(self, force=False):
        """Compile the train step."""
        return self._make("train_step", force)

    def make_test_function(self, force=False):
        """Compile the test step."""
        return self._make("test_step", force)

    def make_predict_function(self, force=False):
        """Compile the predict step."""
        return self._make("predict_step", force)

    def _make(self, step, force):
        if force:
            self._forget_programs()
        single = self._the_programs().single(step)
        return lambda iterator: single(self._the_programs().to_native(next(iterator)))

    @within_replicas
    def _prepare(self, source: Source, training: bool | None) -> None:
        """Make every variable before anything is compiled; check the first batch against the model."""
        calls.context = None
        needs = not self.built or (  # type: ignore[attr-defined]
            training is not None and (
                (self._compiled_loss is not None and not self._compiled_loss.built)
                or (self._compiled_metrics is not None and not self._compiled_metrics.built)
            )
        )  # fmt: skip
        kind = (training, source.kind()) if isinstance(source, Arrays) else None
        complete = True
        if needs or (kind is not None and kind not in self._the_programs().accepted):
            batch = _first_rows(source) if isinstance(source, Arrays) else source.peek()
            with contextlib.nullcontext() if self.built else _building:  # type: ignore[attr-defined]
                complete = self._build_from(batch, training)
            self._the_programs().accepted.add(kind)
        if training is None:
            return
        self._check_labels(source)
        if training and complete and self.optimizer is not None and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)  # type: ignore[attr-defined]
            self.optimizer.restore()
        elif self.optimizer is not None and self.optimizer.built:
            _check_same_variables(self)
        self._watch_trainable()

    def _check_labels(self, source: Source | None) -> None:
        """Look at all labels of arrays at once; those of other data are looked at batch by batch."""
        if self._compiled_loss is not None and isinstance(source, Arrays) and not source.on_host:
            self._compiled_loss.check_labels(source._data)

    def _label_check(self, source: Source) -> Callable | None:
        looked_at = isinstance(source, Arrays) and not source.on_host
        return None if looked_at or self._compiled_loss is None else self._compiled_loss.check_labels

    def _watch_trainable(self) -> None:
        """Drop compiled steps when other variables became trainable since."""
        now = tuple(id(v) for v in self.trainable_variables)  # type: ignore[attr-defined]
        if getattr(self, "_compiled_for", now) != now:
            self._forget_programs()
        object.__setattr__(self, "_compiled_for", now)

    def _build_from(self, batch: Any, training: bool | None = None) -> bool:
        """Run the model on the shapes of a batch; return False where only its own step, run for the first time, makes all."""
        x, y, sample_weight = unpack_x_y_sample_weight(batch)
        specs = tree.map_structure(_batch_spec, (x, y, sample_weight))
        own_step = training is not None and type(self).train_step is not Steps.train_step
        y_pred = None
        try:
            with scope.SymbolicScope():
                y_pred = self(specs[0])  # type: ignore[operator]
        except Exception:
            made = all(layer.built for layer in self._flatten_layers(include_self=False))  # type: ignore[attr-defined]
            self.built = self.built or made  # type: ignore[attr-defined]
            if own_step:  # which may call something else than the model, with something else than `x`
                return made
            if not self.run_eagerly:
                raise
            with scope.SymbolicScope():  # the code may ask for values, which shapes lack
                y_pred = self(x)  # type: ignore[operator]
        if training is None or (own_step and self._compiled_loss is None):
            return True
        if self._compiled_loss is not None and not self._compiled_loss.built:
            self._compiled_loss.build(y_pred, specs[1])
        if self._compiled_metrics is not None and not self._compiled_metrics.built:
            self._compiled_metrics.build(specs[1], y_pred)
        look_ahead = not own_step and not self.run_eagerly and type(self).compute_loss is Steps.compute_loss
        if look_ahead and self._compiled_loss is not None:
            with scope.SymbolicScope():
                self._compiled_loss(specs[1], y_pred, specs[2])
        return True


def _verbosity(callbacks: Any, verbose: Any) -> int:
    """Return how much to print: what is in a CallbackList prints by itself."""
    if isinstance(callbacks, callbacks_module.CallbackList):
        return 0
    return 1 if verbose == "auto" else int(verbose)


def _batch(batches: Any, count: int | None, i: int) -> Any:
    """Return batch `i` of a group as tensors: a group may have arrays that were lent."""
    return batches if count is None else tree.map_structure(lambda x: None if x is None else current.asarray(x[i]), batches)


def _first_rows(source: Arrays) -> Any:
    n = min(source.batch_size, source.rows)
    return tree.map_structure(lambda a: None if a is None else a[:n], source._data)


def _batch_spec(x: Any) -> Any:
    """Return shape and dtype of an array of a batch, the number of rows left open."""
    if x is None or isinstance(x, (int, float, str)):
        return x
    shape = tuple(x.shape)
    dtype = current.dtype(x) if current.is_tensor(x) else _dtype_name(x)
    return Spec((None, *shape[1:]) if shape else shape, dtype)


def _dtype_name(x: Any) -> str:
    name = standardize_dtype(getattr(x, "dtype", "float32"))
    return config.floatx() if name == "float64" else name


def _check_same_variables(model) -> None:
    """Refuse to go on with an optimizer that was built before some variables became trainable."""
    known = getattr(model.optimizer, "_trainable_variables", None)
    if known is None or type(model).train_step is not Steps.train_step:
        return
    known = {id(v) for v in known}
    new = [v.path for v in model.trainable_variables if id(v) not in known]
    if new:
        raise ValueError(
            f"{len(new)} variables became trainable after compile(), which the optimizer does not know, e.g. {new[0]!r}. "
            "Call compile() again after changing `trainable`."
        )


def _require_integers(method: str, **named: Any) -> None:
    for name, value in named.items():
        if value is not None and (isinstance(value, bool) or not hasattr(value, "__index__")):
            raise TypeError(f"{method}: {name} must be an integer, got {value!r}.")
