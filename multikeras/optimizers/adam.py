"""Adam and AdamW."""


from multikeras import ops
from multikeras.backend import current
from multikeras.optimizers import rules as rules
from multikeras.optimizers.optimizer import Optimizer


class Adam(Optimizer):
    """Go down mean gradients, scaled entry by entry by their recent size (Kingma and Ba, 2014).

    Args:
        beta_1: Share of the old mean gradient at each step.
        beta_2: Share of the old mean squared gradient.
        epsilon: What keeps the division finite.
        amsgrad: Divide by the largest mean squared gradient so far (Reddi et al., 2018).

    Further arguments, also by position, are those of `Optimizer`.
    """

    own_arguments = ("beta_1", "beta_2", "epsilon", "amsgrad")

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, amsgrad=False, *base, **kwargs):
        super().__init__(learning_rate, *base, **kwargs)
        self.beta_1, self.beta_2, self.epsilon, self.amsgrad = beta_1, beta_2, epsilon, amsgrad

    def build(self, var_list):
        if self.built:
            return
        super().build(var_list)
        self._momentums, self._velocities = self.add_optimizer_variables(var_list, ["momentum", "velocity"])
        self._velocity_hats = self.add_optimizer_variables(var_list, "velocity_hat") if self.amsgrad else None

    def update_all(self, gradients, variables, learning_rate):
        current.adam_step(
            gradients,
            variables,
            self.slots(self._momentums, variables),
            self.slots(self._velocities, variables),
            None if self._velocity_hats is None else self.slots(self._velocity_hats, variables),
            ops.convert_to_tensor(self.iterations),
            learning_rate,
            self.beta_1,
            self.beta_2,
            self.epsilon,
        )


class AdamW(Adam):
    """Use `Adam` with weight decay apart from the gradient (Loshchilov and Hutter, 2017)."""

    def __init__(
        self,
        learning_rate=0.001,
        weight_decay=0.004,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
        amsgrad=False,
        *base,
        **kwargs,
    ):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, *base, **kwargs)
        if self.weight_decay is None:
            raise ValueError("AdamW: Argument `weight_decay` must be a float. Received: weight_decay=None")
