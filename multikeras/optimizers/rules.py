"""Update rules for many variables at once: default methods of `Backend`, which a backend may override with fused kernels.

A rule receives Variables and writes them. Gradients have the dtypes of their variables; `learning_rate` is a scalar tensor.
"""

from collections.abc import Callable, Sequence
from typing import Any

from multikeras.backend.interface import Backend
from multikeras.core.variable import Variable

Variables = Sequence[Variable]


def rule(function: Callable) -> Callable:
    """Put a rule on `Backend` under its name."""
    setattr(Backend, function.__name__, function)
    return function


def value(B: Backend, variable: Variable) -> Any:
    """Return the value of a variable as a constant to differentiation."""
    return B.stop_gradient(B.read(variable.value))


@rule
def sgd_step(
    B, gradients: Sequence, variables: Variables, momentums: Variables | None, learning_rate: Any, momentum: float, nesterov: bool
) -> None:
    """Go down the gradient, with momentum if `momentums` is not None."""
    for i, (g, v) in enumerate(zip(gradients, variables)):
        down = g * B.cast(learning_rate, v.dtype)
        if momentums is None:
            v.assign(value(B, v) - down)
            continue
        speed = value(B, momentums[i]) * momentum - down
        momentums[i].assign(speed)
        v.assign(value(B, v) + (speed * momentum - down if nesterov else speed))


@rule
def adam_step(
    B,
    gradients: Sequence,
    variables: Variables,
    momentums: Variables,
    velocities: Variables,
    maxima: Variables | None,
    iterations: Any,
    learning_rate: Any,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    """Go down mean gradients over the root of mean squared ones (Kingma and Ba, 2014); `maxima`: of these, for AMSGrad.

    `iterations` is the number of updates before this one, an int tensor.
    """
    for i, (g, v) in enumerate(zip(gradients, variables)):
        dtype = v.dtype
        t = B.cast(iterations, dtype) + 1
        unbias = B.sqrt(1 - B.power(B.full((), beta_2, dtype), t)) / (1 - B.power(B.full((), beta_1, dtype), t))
        m, s = value(B, momentums[i]), value(B, velocities[i])
        m = m + (g - m) * (1 - beta_1)
        s = s + (g * g - s) * (1 - beta_2)
        momentums[i].assign(m)
        velocities[i].assign(s)
        if maxima is not None:
            s = B.maximum(value(B, maxima[i]), s)
            maxima[i].assign(s)
        v.assign(value(B, v) - m * (B.cast(learning_rate, dtype) * unbias) / (B.sqrt(s) + epsilon))


@rule
def rmsprop_step(
    B,
    gradients: Sequence,
    variables: Variables,
    velocities: Variables,
    momentums: Variables | None,
    averages: Variables | None,
    learning_rate: Any,
    rho: float,
    momentum: float,
    epsilon: float,
) -> None:
    """Go down gradients over the root of mean squared ones (Hinton, 2012); `averages`: subtract the mean gradient's square."""
    for i, (g, v) in enumerate(zip(gradients, variables)):
        s = value(B, velocities[i]) * rho + g * g * (1 - rho)
        velocities[i].assign(s)
        if averages is not None:
            mean = value(B, averages[i]) * rho + g * (1 - rho)
            averages[i].assign(mean)
            s = s - mean * mean
        down = g * B.cast(learning_rate, v.dtype) / B.sqrt(s + epsilon)
        if momentums is not None:
            down = value(B, momentums[i]) * momentum + down
            momentums[i].assign(down)
        v.assign(value(B, v) - down)
