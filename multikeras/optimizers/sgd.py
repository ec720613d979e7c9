"""Gradient descent."""

from multikeras import ops
from multikeras.backend import current
from multikeras.optimizers import rules as rules
from multikeras.optimizers.optimizer import Optimizer
from multikeras.optimizers.rows import rows_of, sparse_rows


class SGD(Optimizer):
    """Go down the gradient, with momentum if asked for.

    Args:
        momentum: Share of the last step that is added to the next, from 0 to 1.
        nesterov: Take the gradient's step from where momentum leads.

    Further arguments, also by position, are those of `Optimizer`.
    """

    own_arguments = ("momentum", "nesterov")
    takes_rows = True

    def __init__(self, learning_rate=0.01, momentum=0.0, nesterov=False, *base, **kwargs):
        super().__init__(learning_rate, *base, **kwargs)
        if not isinstance(momentum, (int, float)) or not 0 <= momentum <= 1:
            raise ValueError(f"SGD: `momentum` must be a float between [0, 1]. Received: momentum={momentum!r}")
        self.momentum, self.nesterov = momentum, nesterov
        self.takes_rows = self.takes_rows and not momentum

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.momentums = self.add_optimizer_variables(variables, "momentum") if self.momentum else None

    def update_all(self, gradients, variables, learning_rate):
        momentums = None if self.momentums is None else self.slots(self.momentums, variables)
        current.sgd_step(gradients, variables, momentums, learning_rate, self.momentum, self.nesterov)

    def update_rows(self, gradient, variable, learning_rate):
        indices, values = rows_of(gradient, distinct=False)  # steps down the same row add up
        down = ops.cast(values, variable.dtype) * ops.cast(learning_rate, variable.dtype)
        self.assign_sub(variable, sparse_rows(indices, down, variable))
