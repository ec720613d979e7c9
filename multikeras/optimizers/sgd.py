"""Gradient descent."""


from multikeras.backend import current
from multikeras.optimizers import rules as rules
from multikeras.optimizers.optimizer import Optimizer


class SGD(Optimizer):
    """Go down the gradient, with momentum if asked for.

    Args:
        momentum: Share of the last step that is added to the next, from 0 to 1.
        nesterov: Take the gradient's step from where momentum leads.

    Further arguments, also by position, are those of `Optimizer`.
    """

    own_arguments = ("momentum", "nesterov")

    def __init__(self, learning_rate=0.01, momentum=0.0, nesterov=False, *base, **kwargs):
        super().__init__(learning_rate, *base, **kwargs)
        if not isinstance(momentum, (int, float)) or not 0 <= momentum <= 1:
            raise ValueError(f"SGD: `momentum` must be a float between [0, 1]. Received: momentum={momentum!r}")
        self.momentum, self.nesterov = momentum, nesterov

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.momentums = self.add_optimizer_variables(variables, "momentum") if self.momentum else None

    def update_all(self, gradients, variables, learning_rate):
        momentums = None if self.momentums is None else self.slots(self.momentums, variables)
        current.sgd_step(gradients, variables, momentums, learning_rate, self.momentum, self.nesterov)
