"""Adafactor."""

from multikeras import ops
from multikeras.backend import current
from multikeras.core.variable import Variable
from multikeras.optimizers.optimizer import Optimizer


class Adafactor(Optimizer):
    """Scale gradients by mean squares kept for rows and columns only (Shazeer and Stern, 2018): little memory.

    Args:
        beta_2_decay: Power of the step that the share of new squares falls with.
        epsilon_1: Added to squared gradients.
        epsilon_2: Least size of variables in the size of steps.
        clip_threshold: Largest root mean square of a step.
        relative_step: Let the learning rate fall with the root of the step, `learning_rate` at most.

    Further arguments, also by position, are those of `Optimizer`.
    """

    own_arguments = ("beta_2_decay", "epsilon_1", "epsilon_2", "clip_threshold", "relative_step")

    def __init__(
        self,
        learning_rate=0.001,
        beta_2_decay=-0.8,
        epsilon_1=1e-30,
        epsilon_2=1e-3,
        clip_threshold=1.0,
        relative_step=True,
        *base,
        **kwargs,
    ):
        super().__init__(learning_rate, *base, **kwargs)
        self.beta_2_decay, self.epsilon_1, self.epsilon_2 = beta_2_decay, epsilon_1, epsilon_2
        self.clip_threshold, self.relative_step = clip_threshold, relative_step

    def build(self, var_list):
        if self.built:
            return
        super().build(var_list)
        self._rows, self._columns, self._squares = [], [], []
        for v in var_list:
            if len(v.shape) < 2:  # files have a place for rows and columns of vectors too
                self._rows.append(self._tracked(Variable(0, name=v.name, trainable=False)))
                self._columns.append(self._tracked(Variable(0, name=v.name, trainable=False)))
            elif v.overwrite_with_gradient:
                self._rows.append(None)
                self._columns.append(None)
            else:
                self._rows.append(self.add_variable(v.shape[:-1], dtype=v.dtype, name=v.name))
                self._columns.append(self.add_variable((*v.shape[:-2], v.shape[-1]), dtype=v.dtype, name=v.name))
            self._squares += self.add_optimizer_variables([v], "velocity")

    def update_all(self, gradients, variables, learning_rate):
        iterations = ops.convert_to_tensor(self.iterations)
        rows, columns, squares = (self.slots(slots, variables) for slots in (self._rows, self._columns, self._squares))
        current.adafactor_step(
            gradients, variables, rows, columns, squares, iterations, learning_rate, self.beta_2_decay, self.epsilon_1,
            self.epsilon_2, self.clip_threshold, self.relative_step,
        )  # fmt: skip
