"""Scaling of losses, so that gradients of float16 do not vanish."""

from typing import Any

from multikeras import ops
from multikeras.backend import current
from multikeras.core import naming
from multikeras.core.serialization import deserialize_keras_object, serialize_keras_object
from multikeras.optimizers.optimizer import Optimizer, frozen
from multikeras.optimizers.rows import whole

_NOT_HERE = (
    "weight_decay", "clipnorm", "global_clipnorm", "clipvalue", "use_ema", "ema_momentum", "ema_overwrite_frequency",
    "loss_scale_factor", "gradient_accumulation_steps",
)  # fmt: skip


class LossScaleOptimizer(Optimizer):
    """Multiply losses by a scale that grows while gradients stay finite, and halves, without an update, when not.

    Args:
        inner_optimizer: The optimizer that updates.
        initial_scale: First scale.
        dynamic_growth_steps: Number of finite steps in a row after which the scale doubles.
        name: Name.

    >>> from multikeras import optimizers
    >>> optimizer = optimizers.LossScaleOptimizer(optimizers.SGD(), initial_scale=8.0)
    >>> optimizer.scale_loss(2.0)
    16.0
    """

    def __init__(self, inner_optimizer, initial_scale=2.0**15, dynamic_growth_steps=2000, name=None, **kwargs):
        if not kwargs.pop("dynamic", True):
            raise ValueError(
                "LossScaleOptimizer: dynamic=False is not supported; set `loss_scale_factor` on the optimizer "
                "itself instead."
            )
        for argument in _NOT_HERE:
            value = kwargs.pop(argument, None)
            if value not in (None, False) and not (argument == "ema_momentum" and value == 0.99):
                raise ValueError(
                    f"LossScaleOptimizer: set `{argument}` on the `inner_optimizer`. Received: "
                    f"{argument}={value}"
                )
        if kwargs:
            raise ValueError(f"LossScaleOptimizer: unknown arguments: {', '.join(f'`{k}`' for k in sorted(kwargs))}")
        super().__init__(0.0, name=name)
        self.inner_optimizer = inner_optimizer
        inner_optimizer.loss_scale_factor, inner_optimizer._adds_replicas = None, False
        self.initial_scale, self.dynamic_growth_steps = initial_scale, dynamic_growth_steps

    def build(self, var_list):
        if self.built:
            return
        self.step_counter = self.add_variable((), "zeros", "int32", "none", name="step_counter")
        self.dynamic_scale = self.add_variable((), lambda shape, dtype: ops.full(shape, self.initial_scale, dtype=dtype),
                                               "float32", "none", name="dynamic_scale")  # fmt: skip
        self.inner_optimizer.build(var_list)
        self.inner_optimizer.built = True
        super().build(var_list)

    @property
    def variables(self):
        return super().variables + self.inner_optimizer.variables

    @property
    def iterations(self):
        """The number of updates of the inner optimizer."""
        return self.inner_optimizer.iterations

    @property
    def learning_rate(self):
        """The learning rate of the inner optimizer."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        self.inner_optimizer.learning_rate = learning_rate

    def check_finite(self, grads: Any) -> Any:
        """Return a bool tensor: whether all gradients are finite."""
        return ops.all(ops.stack([ops.all(ops.isfinite(g)) for g in grads if g is not None]))

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Update by gradients of the scaled loss; not at all if some of them are not finite."""
        if len(grads) == 0:
            return
        if trainable_variables is not None and not self.built:
            with naming.name_scope(self.name, caller=self):
                self.build(list(trainable_variables))
        variables = self._trainable_variables if trainable_variables is None else list(trainable_variables)
        grads, variables = self._with_gradient(list(grads), variables)
        grads = current.sum_over_replicas(whole(grads))
        finite = self.check_finite([g for g, v in zip(grads, variables) if not v.overwrite_with_gradient] or grads)
        scale, counter = frozen(self.dynamic_scale), frozen(self.step_counter)

        def update():
            plain = [g if v.overwrite_with_gradient else g / ops.cast(scale, g.dtype) for g, v in zip(grads, variables)]
            self.inner_optimizer.apply(plain, variables)
            return ops.zeros(())

        ops.cond(finite, update, lambda: ops.zeros(()))
        grow = counter + 1 >= self.dynamic_growth_steps
        self.dynamic_scale.assign(ops.where(finite, ops.where(grow, scale * 2.0, scale), scale / 2.0))
        self.step_counter.assign(ops.where(ops.logical_and(finite, ops.logical_not(grow)), counter + 1, ops.zeros_like(counter)))

    def scale_loss(self, loss: Any) -> Any:
        """Return the loss multiplied by the current scale."""
        return loss * (self.dynamic_scale.value if self.built else self.initial_scale)

    def finalize_variable_values(self, var_list: Any) -> None:
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {
            "name": self.name,
            "inner_optimizer": serialize_keras_object(self.inner_optimizer),
            "initial_scale": self.initial_scale,
            "dynamic_growth_steps": self.dynamic_growth_steps,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> "LossScaleOptimizer":
        inner = deserialize_keras_object(config["inner_optimizer"], custom_objects=custom_objects)
        return cls(**{**config, "inner_optimizer": inner})
