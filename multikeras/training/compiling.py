"""`compile`: what a model is trained with, and what of it is a config; the metrics that follow from it."""

import contextlib
import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any

from multikeras import optimizers
from multikeras.backend import current
from multikeras.core import serialization
from multikeras.metrics.reductions import Mean
from multikeras.training.compiled import CompiledLoss, CompiledMetrics
from multikeras.training.logs import CompileMetricsFace
from multikeras.training.step import Steps

STOPS = {"train": "stop_training", "test": "stop_evaluating", "predict": "stop_predicting"}
"""The attribute that ends each kind of loop."""


def within_replicas(method: Callable) -> Callable:
    """Make variables that a method of a model makes be of the strategy that the model was made under, if there was one."""

    @functools.wraps(method)
    def run(self, *args, **kwargs):
        with contextlib.nullcontext() if self._replicas is None else self._replicas.scope():
            return method(self, *args, **kwargs)

    return run


class Compiling(Steps):
    """What `compile` puts into a model."""

    def __new__(cls, *args, **kwargs):
        model = super().__new__(cls, *args, **kwargs)
        put = object.__setattr__
        for name in (
            "optimizer",
            "loss",
            "_compiled_loss",
            "_compiled_metrics",
            "_compile_arguments",
            "_programs",
            "_loss_tracker",
            "_run",
        ):
            put(model, name, None)
        put(model, "compiled", False)
        put(model, "_replicas", current.replicas())
        for name in STOPS.values():
            put(model, name, False)
        put(model, "_run_eagerly", False)
        put(model, "_jit_compile", "auto")
        put(model, "steps_per_execution", 1)
        put(model, "_fits", 0)
        return model

    def __init__(self):
        pass

    # -- compile ---------------------------------------------------------------------------------------------------

    @within_replicas
    def compile(
        self, optimizer="rmsprop", loss=None, loss_weights=None, metrics=None, weighted_metrics=None, run_eagerly=False,
        steps_per_execution=1, jit_compile="auto", auto_scale_loss=True,
    ):  # fmt: skip
        """Say how to train.

        Args:
            optimizer: Name or `Optimizer`.
            loss: Name, function or `Loss`; a list or dict of them for several outputs.
            loss_weights: Factors of the losses of several outputs.
            metrics: Names, functions or `Metric`s; lists or a dict of them for several outputs.
            weighted_metrics: Metrics that see the sample weights.
            run_eagerly: Whether steps run as plain Python, for debugging.
            steps_per_execution: Steps a dispatch; callbacks see the last one.
            jit_compile: True for the framework's strongest compiler, False for none, "auto" for what usually pays.
            auto_scale_loss: Whether float16 policies get a loss-scaling optimizer.
        """
        optimizer = optimizers.get(optimizer)
        policy = getattr(self, "dtype_policy", None)
        if auto_scale_loss and optimizer is not None and getattr(policy, "compute_dtype", "") == "float16" \
                and getattr(policy, "name", "") == "mixed_float16" \
                and not isinstance(optimizer, optimizers.LossScaleOptimizer):  # fmt: skip
            optimizer = optimizers.LossScaleOptimizer(optimizer, name="loss_scale_optimizer")
        names = getattr(self, "output_names", None)
        compiled_loss = CompiledLoss(loss, loss_weights, names) if loss is not None else None
        compiled_metrics = CompiledMetrics(metrics, weighted_metrics, names) if metrics or weighted_metrics else None
        if isinstance(steps_per_execution, bool) or not isinstance(steps_per_execution, int) or steps_per_execution < 1:
            raise ValueError(f"compile: steps_per_execution must be a positive integer, got {steps_per_execution!r}.")
        if jit_compile and jit_compile != "auto" and run_eagerly:
            raise ValueError("compile: run_eagerly=True and jit_compile=True exclude each other.")
        put = object.__setattr__
        put(self, "optimizer", optimizer)
        put(self, "loss", loss)
        put(self, "_compiled_loss", compiled_loss)
        put(self, "_compiled_metrics", compiled_metrics)
        put(self, "_loss_tracker", Mean(name="loss"))
        put(self, "_programs", None)
        self._run_eagerly, self._jit_compile, self.steps_per_execution = (
            bool(run_eagerly),
            jit_compile,
            steps_per_execution,
        )
        self.stop_training = False
        self.compiled = True
        put(self, "_compile_arguments", dict(
            optimizer=optimizer, loss=loss, loss_weights=loss_weights, metrics=metrics, weighted_metrics=weighted_metrics,
            run_eagerly=run_eagerly, steps_per_execution=steps_per_execution, jit_compile=jit_compile,
        ))  # fmt: skip

    def get_compile_config(self) -> dict | None:
        """Return the arguments of `compile`, ready for JSON."""
        if not self.compiled or self._compile_arguments is None:
            return None
        return serialization.serialize_keras_object(self._compile_arguments)

    def compile_from_config(self, config: dict) -> None:
        """Compile as `get_compile_config` said."""
        own = type(self).compile is not Compiling.compile
        if (
            own
            and type(self).compile_from_config is Compiling.compile_from_config
            and not _same_arguments(type(self).compile, config)
        ):
            warnings.warn(
                "The model has its own compile(), which takes other arguments than those saved: it is not compiled. "
                "Compile it, or define compile_from_config().",
                stacklevel=2,
            )
            return
        self.compile(**{k: _revive(v) for k, v in config.items()})
        if self.optimizer is not None and self.built:  # type: ignore[attr-defined]
            self.optimizer.build(self.trainable_variables)  # type: ignore[attr-defined]

    @property
    def run_eagerly(self) -> bool:
        """Whether steps run as plain Python."""
        return self._run_eagerly

    @run_eagerly.setter
    def run_eagerly(self, value):
        object.__setattr__(self, "_run_eagerly", bool(value))
        self._forget_programs()

    @property
    def jit_compile(self):
        """Whether steps are compiled by the framework's compiler; "auto" says what that comes to here."""
        return current.compiles_by_default if self._jit_compile == "auto" else self._jit_compile

    @jit_compile.setter
    def jit_compile(self, value):
        object.__setattr__(self, "_jit_compile", value)
        self._forget_programs()

    def _forget_programs(self) -> None:
        object.__setattr__(self, "_programs", None)

    def _require_compiled(self, method: str) -> None:
        if not self.compiled:
            raise ValueError(
                f"Call compile(optimizer, loss) before {method}(): model {self.name!r} was never compiled."
            )  # type: ignore[attr-defined]
        if not current.supports_gradients and method in ("fit", "train_on_batch"):
            raise RuntimeError(
                f"The {current.name} backend computes no gradients, so it cannot train. Install a framework, e.g. "
                'pip install "multikeras[jax]" (or [torch], [tensorflow]), and select it with MULTIKERAS_BACKEND.'
            )

    # -- metrics ---------------------------------------------------------------------------------------------------

    @property
    def metrics(self) -> list:
        """The tracker of the loss, the metrics of `compile`, and those of layers."""
        found = [self._loss_tracker] if self._loss_tracker is not None else []
        if self._compiled_metrics is not None:
            found.append(CompileMetricsFace(self._compiled_metrics))
        if self._compiled_loss is not None:
            found += self._compiled_loss.metrics
        return [*found, *super().metrics]  # type: ignore[misc]

    @property
    def compiled_metrics(self) -> CompileMetricsFace:
        """The metrics of `compile` as steps written for Keras 2 update them; others call `compute_metrics`."""
        _warn_of_keras_2("compiled_metrics.update_state(y, y_pred)", "compute_metrics(x, y, y_pred, sample_weight)")
        return CompileMetricsFace(self._compiled_metrics or CompiledMetrics([], [], None))

    def compiled_loss(self, y: Any, y_pred: Any, sample_weight: Any = None, regularization_losses: Any = None) -> Any:
        """Return the loss of a batch, seen by the tracker too, in steps written for Keras 2; others call `compute_loss`.

        Args:
            y: Targets.
            y_pred: Outputs.
            sample_weight: Weights of the rows.
            regularization_losses: Kept for programs that give it: the losses of layers are added in any case.
        """
        _warn_of_keras_2("compiled_loss(y, y_pred)", "compute_loss(x, y, y_pred, sample_weight)")
        loss = self.compute_loss(x=None, y=y, y_pred=y_pred, sample_weight=sample_weight)
        self._track_loss(loss, y)
        return loss

    def _metrics_as_part(self) -> list:
        # What a model was compiled with counts where that model is the one trained, not inside another one.
        return self._inner_metrics()  # type: ignore[attr-defined]

    @property
    def metrics_names(self) -> list[str]:
        """The names of `metrics`."""
        return [metric.name for metric in self.metrics]

    def reset_metrics(self) -> None:
        """Let all metrics begin anew."""
        for metric in self.metrics:
            metric.reset_state()


def _warn_of_keras_2(old: str, new: str) -> None:
    warnings.warn(f"model.{old} is of Keras 2. Use model.{new} instead.", stacklevel=3)


def _revive(value: Any) -> Any:
    if isinstance(value, dict) and "class_name" in value:
        return serialization.deserialize_keras_object(value)
    if isinstance(value, dict):
        return {k: _revive(v) for k, v in value.items()}
    return [_revive(v) for v in value] if isinstance(value, list) else value


def _same_arguments(compile_method, config: dict) -> bool:
    parameters = inspect.signature(compile_method).parameters
    return all(k in parameters for k in config) or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
