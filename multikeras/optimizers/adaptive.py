"""Rules that scale the gradient entry by entry, other than Adam and RMSprop."""

from typing import Any

from multikeras import ops
from multikeras.backend import current
from multikeras.optimizers import rules
from multikeras.optimizers.optimizer import Optimizer, frozen


class Adagrad(Optimizer):
    """Divide gradients by the root of the sum of their squares so far (Duchi et al., 2011).

    Args:
        initial_accumulator_value: What the sums start from.
        epsilon: What keeps the division finite.

    Further arguments, also by position, are those of `Optimizer`.
    """

    own_arguments = ("initial_accumulator_value", "epsilon")
    takes_rows = True

    def __init__(self, learning_rate=0.001, initial_accumulator_value=0.1, epsilon=1e-7, *base, **kwargs):
        super().__init__(learning_rate, *base, **kwargs)
        self.initial_accumulator_value, self.epsilon = initial_accumulator_value, epsilon

    def build(self, var_list):
        if self.built:
            return
        super().build(var_list)
        start = lambda shape, dtype: ops.full(shape, self.initial_accumulator_value, dtype=dtype)  # noqa: E731
        self._accumulators = self.add_optimizer_variables(var_list, "accumulator", start)

    def update_all(self, gradients, variables, learning_rate):
        accumulators = self.slots(self._accumulators, variables)
        current.adagrad_step(gradients, variables, accumulators, learning_rate, self.epsilon)


class Adadelta(Optimizer):
    """Take steps as large, by root mean square, as the last ones were (Zeiler, 2012).

    Args:
        rho: Share of the old mean squares at each step.
        epsilon: What keeps the division finite.

    Further arguments, also by position, are those of `Optimizer`.
    """

    own_arguments = ("rho", "epsilon")

    def __init__(self, learning_rate=0.001, rho=0.95, epsilon=1e-7, *base, **kwargs):
        super().__init__(learning_rate, *base, **kwargs)
        self.rho, self.epsilon = rho, epsilon

    def build(self, var_list):
        if self.built:
            return
        super().build(var_list)
        names = ["accumulated_grad", "accumulated_delta_var"]
        self._accumulated_grads, self._accumulated_delta_vars = self.add_optimizer_variables(var_list, names)

    def update_all(self, gradients, variables, learning_rate):
        squares = self.slots(self._accumulated_grads, variables)
        deltas = self.slots(self._accumulated_delta_vars, variables)
        current.adadelta_step(gradients, variables, squares, deltas, learning_rate, self.rho, self.epsilon)

    def update_step(self, grad: Any, variable: Any, learning_rate: Any) -> None:
        self.update_all([grad], [variable], learning_rate)


class _Moments(Optimizer):
    """Keep running means of gradients and of their squares."""

    own_arguments = ("beta_1", "beta_2", "epsilon")
    second = "velocity"

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, *base, **kwargs):
        super().__init__(learning_rate, *base, **kwargs)
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon

    def build(self, var_list):
        if self.built:
            return
        super().build(var_list)
        self._momentums, self._velocities = self.add_optimizer_variables(var_list, ["momentum", self.second])

    def _all_state(self, variables: list) -> tuple[list, list, Any]:
        """Return both slots of all variables and the number of updates before this one."""
        momentums, seconds = self.slots(self._momentums, variables), self.slots(self._velocities, variables)
        return momentums, seconds, ops.convert_to_tensor(self.iterations)

    def _shares(self) -> tuple[float, float, float]:
        return self.beta_1, self.beta_2, self.epsilon


class Adamax(_Moments):
    """Use Adam with the largest recent gradient instead of the mean square (Kingma and Ba, 2014).

    Arguments are those of `Adam` without `amsgrad`.
    """

    second = "norm"

    def update_all(self, gradients, variables, learning_rate):
        current.adamax_step(gradients, variables, *self._all_state(variables), learning_rate, *self._shares())


class Lamb(_Moments):
    """Take Adam's direction with steps in proportion to the norm of each variable (You et al., 2019).

    Arguments are those of `Adam` without `amsgrad`.
    """

    def update_all(self, gradients, variables, learning_rate):
        current.lamb_step(gradients, variables, *self._all_state(variables), learning_rate, *self._shares())


class Nadam(_Moments):
    """Use Adam with Nesterov's momentum, which grows in the first steps (Dozat, 2015).

    Arguments are those of `Adam` without `amsgrad`.
    """

    def build(self, var_list):
        if self.built:
            return
        super().build(var_list)
        dtype = var_list[0].dtype if var_list else None
        self._u_product = self.add_variable((), "ones", dtype, name="u_product")

    def update_all(self, gradients, variables, learning_rate):
        momentums, velocities, iterations = self._all_state(variables)
        before = frozen(self._u_product)
        now = before * rules.nadam_momentum(current, self.beta_1, ops.cast(iterations, before.dtype) + 1)
        self._u_product.assign(now)
        current.nadam_step(
            gradients, variables, momentums, velocities, now, iterations, learning_rate, *self._shares()
        )


class Lion(Optimizer):
    """Go down the sign of a mean gradient (Chen et al., 2023).

    Args:
        beta_1: Share of the old mean in the step's direction.
        beta_2: Share of the old mean in the new one.

    Further arguments, also by position, are those of `Optimizer`.
    """

    own_arguments = ("beta_1", "beta_2")

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.99, *base, **kwargs):
        super().__init__(learning_rate, *base, **kwargs)
        if not 0 < beta_1 <= 1:
            raise ValueError(f"Lion: `beta_1` must be in the range (0, 1]. Received: beta_1={beta_1}")
        self.beta_1, self.beta_2 = beta_1, beta_2

    def build(self, var_list):
        if self.built:
            return
        super().build(var_list)
        self._momentums = self.add_optimizer_variables(var_list, "momentum")

    def update_all(self, gradients, variables, learning_rate):
        momentums = self.slots(self._momentums, variables)
        current.lion_step(gradients, variables, momentums, learning_rate, self.beta_1, self.beta_2)


class Ftrl(Optimizer):
    """Follow the regularized leader (McMahan et al., 2013): for sparse models under L1.

    Args:
        learning_rate_power: Power of the summed squares that the rate falls with, at most 0.
        initial_accumulator_value: What the sums start from, at least 0.
        l1_regularization_strength: L1 penalty.
        l2_regularization_strength: L2 penalty.
        l2_shrinkage_regularization_strength: L2 penalty on the current variables only.
        beta: Added to the root of sums in the rate.

    Further arguments, also by position, are those of `Optimizer`.
    """

    own_arguments = (
        "learning_rate_power", "initial_accumulator_value", "l1_regularization_strength", "l2_regularization_strength",
        "l2_shrinkage_regularization_strength", "beta",
    )  # fmt: skip

    def __init__(
        self,
        learning_rate=0.001,
        learning_rate_power=-0.5,
        initial_accumulator_value=0.1,
        l1_regularization_strength=0.0,
        l2_regularization_strength=0.0,
        l2_shrinkage_regularization_strength=0.0,
        beta=0.0,
        *base,
        **kwargs,
    ):
        super().__init__(learning_rate, *base, **kwargs)
        strengths = (l1_regularization_strength, l2_regularization_strength, l2_shrinkage_regularization_strength)
        if initial_accumulator_value < 0 or learning_rate_power > 0 or min(strengths) < 0:
            raise ValueError(
                "Ftrl: `initial_accumulator_value` and the strengths of regularization must not be negative, "
                f"`learning_rate_power` not positive. Received: {initial_accumulator_value=}, "
                f"{learning_rate_power=}, {strengths=}"
            )
        for name, value in zip(self.own_arguments, (learning_rate_power, initial_accumulator_value, *strengths, beta)):
            setattr(self, name, value)

    def build(self, var_list):
        if self.built:
            return
        super().build(var_list)
        start = lambda shape, dtype: ops.full(shape, self.initial_accumulator_value, dtype=dtype)  # noqa: E731
        self._accumulators, self._linears = self.add_optimizer_variables(
            var_list, ["accumulator", "linear"], [start, "zeros"]
        )

    def update_all(self, gradients, variables, learning_rate):
        accumulators, linears = self.slots(self._accumulators, variables), self.slots(self._linears, variables)
        strengths = self.l1_regularization_strength, self.l2_regularization_strength, self.l2_shrinkage_regularization_strength
        current.ftrl_step(
            gradients, variables, accumulators, linears, learning_rate, self.learning_rate_power, *strengths, self.beta
        )


class ScheduleFreeAdamW(_Moments):
    """Use AdamW whose iterates are averaged, so that no schedule is needed (Defazio et al., 2024).

    Variables hold the point where gradients are taken, between the last iterate and the average.

    Args:
        beta_1: Share of the average in that point.
        warmup_steps: Number of first updates in which the learning rate rises.

    Further arguments, also by position, are those of `Optimizer`.
    """

    own_arguments = ("beta_1", "beta_2", "epsilon", "warmup_steps")

    def __init__(self, learning_rate=0.0025, beta_1=0.9, beta_2=0.999, epsilon=1e-8, warmup_steps=0, *base, **kwargs):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, *base, **kwargs)
        self.warmup_steps = warmup_steps

    def build(self, var_list):
        if self.built:
            return
        super().build(var_list)
        for iterate, variable in zip(self._momentums, var_list):
            if iterate is not None:
                iterate.assign(frozen(variable))

    def update_all(self, gradients, variables, learning_rate):
        iterates, velocities, iterations = self._all_state(variables)
        if self.warmup_steps:
            done = ops.cast(iterations + 1, learning_rate.dtype) / self.warmup_steps
            learning_rate = learning_rate * ops.minimum(done, 1.0)
        current.schedule_free_step(gradients, variables, iterates, velocities, iterations, learning_rate, *self._shares())
