"""Muon: orthogonalized steps for matrices, Adam for all else."""

import re
from typing import Any

from multikeras import ops
from multikeras.backend import current
from multikeras.optimizers.optimizer import Optimizer, frozen


class Muon(Optimizer):
    """Step along the orthogonal matrix nearest to the mean gradient (Jordan et al., 2024).

    Only matrices are updated so; other variables, embeddings and `exclude_layers` by Adam.

    Args:
        adam_beta_1: Share of the old mean gradient, for Adam.
        adam_beta_2: Share of the old mean squared gradient, for Adam.
        adam_weight_decay: Weight decay of variables under Adam.
        epsilon: What keeps Adam's division finite.
        exclude_layers: Parts of names (regular expressions) of variables to leave to Adam.
        exclude_embeddings: Whether embeddings are left to Adam.
        muon_a: First coefficient of the Newton-Schulz iteration; `muon_b` and `muon_c`: the next.
        adam_lr_ratio: Learning rate under Adam, in units of `learning_rate`.
        momentum: Share of the old mean gradient, for matrices.
        ns_steps: Number of Newton-Schulz iterations.
        nesterov: Whether the gradient is added to the mean once more.
        rms_rate: Root mean square of a step in units of the learning rate; None: the orthogonal matrix as it is.

    Further arguments are those of `Optimizer`.
    """

    own_arguments = (
        "adam_beta_1", "adam_beta_2", "epsilon", "exclude_layers", "muon_a", "muon_b", "muon_c", "adam_lr_ratio", "momentum",
        "ns_steps", "nesterov", "exclude_embeddings", "adam_weight_decay", "rms_rate",
    )  # fmt: skip

    def __init__(
        self,
        learning_rate=0.001,
        adam_beta_1=0.9,
        adam_beta_2=0.999,
        adam_weight_decay=0.004,
        epsilon=1e-7,
        weight_decay=0.004,
        clipnorm=None,
        clipvalue=None,
        global_clipnorm=None,
        use_ema=False,
        ema_momentum=0.99,
        ema_overwrite_frequency=None,
        loss_scale_factor=None,
        gradient_accumulation_steps=None,
        name=None,
        exclude_layers=None,
        exclude_embeddings=True,
        muon_a=3.4445,
        muon_b=-4.7750,
        muon_c=2.0315,
        adam_lr_ratio=1,
        momentum=0.95,
        ns_steps=5,
        nesterov=True,
        rms_rate=0.2,
        **kwargs,
    ):
        base = (weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency)
        super().__init__(learning_rate, *base, loss_scale_factor, gradient_accumulation_steps, name, **kwargs)
        self.adam_beta_1, self.adam_beta_2, self.adam_weight_decay = adam_beta_1, adam_beta_2, adam_weight_decay
        self.epsilon, self.adam_lr_ratio, self.rms_rate = epsilon, adam_lr_ratio, rms_rate
        self.exclude_layers, self.exclude_embeddings = exclude_layers or [], exclude_embeddings
        self.muon_a, self.muon_b, self.muon_c, self.ns_steps = muon_a, muon_b, muon_c, ns_steps
        self.momentum, self.nesterov = momentum, nesterov

    def _should_use_adamw(self, variable: Any) -> bool:
        path = variable.path
        if len(variable.shape) != 2 or (self.exclude_embeddings and "embedding" in path.lower()):
            return True
        return any(re.search(part, path) for part in self.exclude_layers)

    def build(self, var_list):
        if self.built:
            return
        super().build(var_list)
        self.momentums, self.adam_velocities = [], []
        for v in var_list:  # the two of a variable are saved one after the other
            self.momentums += self.add_optimizer_variables([v], "momentum")
            self.adam_velocities += self.add_optimizer_variables([v], "velocity") if self._should_use_adamw(v) else [None]

    def update_all(self, gradients: list, variables: list, learning_rate: Any) -> None:
        momentums, velocities = self.slots(self.momentums, variables), self.slots(self.adam_velocities, variables)
        by_adam = []
        for g, v, momentum, velocity in zip(gradients, variables, momentums, velocities):
            if velocity is not None:
                by_adam.append((g, v, momentum, velocity))
                continue
            mean = frozen(momentum) * self.momentum + g
            momentum.assign(mean)
            direction = g + mean * self.momentum if self.nesterov else mean
            step = self.zeropower_via_newtonschulz5(direction, self.ns_steps)
            current.step_down(v, step * (ops.cast(learning_rate, v.dtype) * self._size(v.shape)))
        if by_adam:
            current.adam_step(
                *zip(*by_adam), None, ops.convert_to_tensor(self.iterations), learning_rate * self.adam_lr_ratio,
                self.adam_beta_1, self.adam_beta_2, self.epsilon,
            )  # fmt: skip

    def zeropower_via_newtonschulz5(self, x: Any, steps: int) -> Any:
        """Return a matrix, or many, with the singular vectors of `x` and singular values near 1."""
        if len(x.shape) < 2:
            raise ValueError(f"Muon: expected a matrix, got a tensor of shape {tuple(x.shape)}.")
        return current.orthogonalized(ops.convert_to_tensor(x), self.muon_a, self.muon_b, self.muon_c, steps)

    def transpose_last_axis(self, X: Any) -> Any:
        """Return matrices with rows for columns."""
        return ops.swapaxes(X, -1, -2)

    def lr_adjust(self, x: Any) -> Any:
        """Return an orthogonal matrix scaled to the root mean square `rms_rate`."""
        return x * self._size(x.shape)

    def _size(self, shape: Any) -> float:
        return 1.0 if self.rms_rate is None else self.rms_rate * max(shape[0], shape[1]) ** 0.5

    def _apply_weight_decay(self, variables: Any, learning_rate: Any) -> None:
        for v in variables:
            share = self.adam_weight_decay if self._should_use_adamw(v) else self.weight_decay
            if share is not None and self._use_weight_decay(v):
                self.assign_sub(v, frozen(v) * (ops.cast(learning_rate, v.dtype) * share))
