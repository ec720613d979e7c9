"""RMSprop."""


from multikeras.backend import current
from multikeras.optimizers import rules as rules
from multikeras.optimizers.optimizer import Optimizer


class RMSprop(Optimizer):
    """Go down gradients divided by the root of their mean square (Hinton, 2012).

    Args:
        rho: Share of the old mean at each step.
        momentum: Share of the last step that is added to the next.
        epsilon: What keeps the division finite.
        centered: Divide by the standard deviation of gradients instead.

    Further arguments, also by position, are those of `Optimizer`.
    """

    own_arguments = ("rho", "momentum", "epsilon", "centered")

    def __init__(self, learning_rate=0.001, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False, *base, **kwargs):
        super().__init__(learning_rate, *base, **kwargs)
        self.rho, self.momentum, self.epsilon, self.centered = rho, momentum, epsilon, centered

    def build(self, var_list):
        if self.built:
            return
        super().build(var_list)
        self._velocities = self.add_optimizer_variables(var_list, "velocity")
        self._momentums = self.add_optimizer_variables(var_list, "momentum") if self.momentum > 0 else None
        self._average_gradients = self.add_optimizer_variables(var_list, "average_gradient") if self.centered else None

    def update_all(self, gradients, variables, learning_rate):
        slots = [
            None if slots is None else self.slots(slots, variables)
            for slots in (self._velocities, self._momentums, self._average_gradients)
        ]
        current.rmsprop_step(gradients, variables, *slots, learning_rate, self.rho, self.momentum, self.epsilon)
