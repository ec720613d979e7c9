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


def moved(B: Backend, slot: Variable, new: Any, share: float) -> Any:
    """Move a running mean towards `new`, keeping `share` of the old one, and return it."""
    mean = value(B, slot)
    mean = mean + (new - mean) * (1 - share)
    slot.assign(mean)
    return mean


def bias(B: Backend, share: float, step: Any) -> Any:
    """Return the expectation of a running mean, started at 0, of what is constantly 1."""
    return 1 - B.power(B.full((), share, B.dtype(step)), step)


def count(B: Backend, iterations: Any, dtype: str) -> Any:
    """Return the number of this update, to take powers of shares with: bfloat16 has no 0.999, it would be 1."""
    return B.cast(iterations, "float64" if dtype == "float64" else "float32") + 1


@rule
def fits(B, gradients: Sequence, variables: Variables) -> bool:
    """Tell whether all gradients are tensors of the dtypes of their variables."""
    return all(type(g) is B.Tensor and B.dtype(g) == v.dtype for g, v in zip(gradients, variables))


@rule
def step_down(B, variable: Variable, down: Any) -> None:
    """Take `down` off a variable."""
    variable.assign(value(B, variable) - down)


@rule
def grow(B, variable: Variable, up: Any) -> None:
    """Add `up` to a variable."""
    variable.assign(value(B, variable) + up)


@rule
def sgd_step(
    B, gradients: Sequence, variables: Variables, momentums: Variables | None, learning_rate: Any, momentum: float, nesterov: bool
) -> None:
    """Go down the gradient, with momentum if `momentums` is not None."""
    for i, (g, v) in enumerate(zip(gradients, variables)):
        down = g * B.cast(learning_rate, v.dtype)
        if momentums is None:
            B.step_down(v, down)
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
    rates: dict[str, Any] = {}
    for i, (g, v) in enumerate(zip(gradients, variables)):
        if v.dtype not in rates:
            t = count(B, iterations, v.dtype)
            rate = B.cast(learning_rate, B.dtype(t)) * (B.sqrt(bias(B, beta_2, t)) / bias(B, beta_1, t))
            rates[v.dtype] = B.cast(rate, v.dtype)
        m = moved(B, momentums[i], g, beta_1)
        s = moved(B, velocities[i], g * g, beta_2)
        if maxima is not None:
            s = B.maximum(value(B, maxima[i]), s)
            maxima[i].assign(s)
        B.step_down(v, m * rates[v.dtype] / (B.sqrt(s) + epsilon))


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
        down = g * B.cast(learning_rate, v.dtype) * B.rsqrt(s + epsilon)
        if momentums is not None:
            down = value(B, momentums[i]) * momentum + down
            momentums[i].assign(down)
        B.step_down(v, down)


@rule
def adagrad_step(
    B, gradients: Sequence, variables: Variables, accumulators: Variables, learning_rate: Any, epsilon: float
) -> None:
    """Go down gradients over the root of the sum of their squares so far (Duchi et al., 2011)."""
    for g, v, a in zip(gradients, variables, accumulators):
        B.grow(a, g * g)
        B.step_down(v, g * B.cast(learning_rate, v.dtype) * B.rsqrt(value(B, a) + epsilon))


@rule
def adadelta_step(
    B,
    gradients: Sequence,
    variables: Variables,
    squares: Variables,
    deltas: Variables,
    learning_rate: Any,
    rho: float,
    epsilon: float,
) -> None:
    """Take steps as large, by root mean square, as the last ones were (Zeiler, 2012)."""
    for g, v, squared, moved in zip(gradients, variables, squares, deltas):
        square = g * g
        s = value(B, squared) * rho + square * (1 - rho)
        squared.assign(s)
        d = value(B, moved)
        ratio = (d + epsilon) / (s + epsilon)
        moved.assign(d * rho + square * ratio * (1 - rho))  # the square of the step, without its root: .91 of the time on JAX
        B.step_down(v, g * B.sqrt(ratio) * B.cast(learning_rate, v.dtype))


@rule
def adamax_step(
    B,
    gradients: Sequence,
    variables: Variables,
    momentums: Variables,
    norms: Variables,
    iterations: Any,
    learning_rate: Any,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    """Go down mean gradients over the largest recent one (Kingma and Ba, 2014)."""
    for g, v, momentum, norm in zip(gradients, variables, momentums, norms):
        m = moved(B, momentum, g, beta_1)
        largest = B.maximum(value(B, norm) * beta_2, B.abs(g))
        norm.assign(largest)
        t = count(B, iterations, v.dtype)
        rate = B.cast(learning_rate, B.dtype(t)) / bias(B, beta_1, t)
        B.step_down(v, m * B.cast(rate, v.dtype) / (largest + epsilon))


@rule
def nadam_step(
    B,
    gradients: Sequence,
    variables: Variables,
    momentums: Variables,
    velocities: Variables,
    product: Any,
    iterations: Any,
    learning_rate: Any,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    """Go down as Adam with Nesterov's momentum (Dozat, 2015); `product`: of the momentums of all steps up to this one."""
    for g, v, momentum, velocity in zip(gradients, variables, momentums, velocities):
        dtype = v.dtype
        t = count(B, iterations, dtype)
        now, then = nadam_momentum(B, beta_1, t), nadam_momentum(B, beta_1, t + 1)
        so_far = B.cast(product, B.dtype(t))
        of_mean, of_gradient = (B.cast(x, dtype) for x in (then / (1 - so_far * then), (1 - now) / (1 - so_far)))
        m = moved(B, momentum, g, beta_1)
        s = moved(B, velocity, g * g, beta_2)
        ahead = m * of_mean + g * of_gradient
        down = ahead * B.cast(learning_rate, dtype) / (B.sqrt(s / B.cast(bias(B, beta_2, t), dtype)) + epsilon)
        B.step_down(v, down)


@rule
def lion_step(
    B, gradients: Sequence, variables: Variables, momentums: Variables, learning_rate: Any, beta_1: float, beta_2: float
) -> None:
    """Go down the sign of a mean gradient (Chen et al., 2023)."""
    for g, v, momentum in zip(gradients, variables, momentums):
        m = value(B, momentum)
        B.step_down(v, B.sign(m * beta_1 + g * (1 - beta_1)) * B.cast(learning_rate, v.dtype))
        momentum.assign(m * beta_2 + g * (1 - beta_2))


@rule
def lamb_step(
    B,
    gradients: Sequence,
    variables: Variables,
    momentums: Variables,
    velocities: Variables,
    iterations: Any,
    learning_rate: Any,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    """Go in Adam's direction, as far as the norm of each variable says (You et al., 2019)."""
    for g, v, momentum, velocity in zip(gradients, variables, momentums, velocities):
        t = count(B, iterations, v.dtype)
        m = moved(B, momentum, g, beta_1) / B.cast(bias(B, beta_1, t), v.dtype)
        s = moved(B, velocity, g * g, beta_2) / B.cast(bias(B, beta_2, t), v.dtype)
        step = m / (B.sqrt(s) + epsilon)
        size, norm = (B.sqrt(B.sum(x * x)) for x in (value(B, v), step))
        trust = B.where(B.bitwise_and(size > 0, norm > 0), B.divide_no_nan(size, norm), B.ones_like(size))
        B.step_down(v, step * (trust * B.cast(learning_rate, v.dtype)))


@rule
def ftrl_step(
    B,
    gradients: Sequence,
    variables: Variables,
    accumulators: Variables,
    linears: Variables,
    learning_rate: Any,
    power: float,
    l1: float,
    l2: float,
    shrinkage: float,
    beta: float,
) -> None:
    """Go where the sum of linearized losses and penalties is least (McMahan et al., 2013); `power`: of sums in the rate."""
    for g, v, accumulator, linear in zip(gradients, variables, accumulators, linears):
        rate, w, old = B.cast(learning_rate, v.dtype), value(B, v), value(B, accumulator)
        new = old + g * g
        before, after = (B.sqrt(x) if power == -0.5 else x**-power for x in (old, new))
        z = value(B, linear) + (g + w * (2 * shrinkage) if shrinkage else g) - (after - before) * (1 / rate) * w
        linear.assign(z)
        accumulator.assign(new)
        down = z - B.clip(z, -l1, l1) if l1 else z
        v.assign(down * -rate / (after + (beta + 2 * l2 * rate) if beta or l2 else after))


@rule
def schedule_free_step(
    B,
    gradients: Sequence,
    variables: Variables,
    iterates: Variables,
    velocities: Variables,
    iterations: Any,
    learning_rate: Any,
    beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    """Move iterates as Adam does without momentum, and variables, between these and their average (Defazio et al., 2024)."""
    for g, v, iterate, velocity in zip(gradients, variables, iterates, velocities):
        t = count(B, iterations, v.dtype)
        s, old = moved(B, velocity, g * g, beta_2) / B.cast(bias(B, beta_2, t), v.dtype), value(B, iterate)
        new = old - g * B.cast(learning_rate, v.dtype) / (B.sqrt(s) + epsilon)
        iterate.assign(new)
        # The average keeps 1 - 1 / t of itself: so does its part in the variable.
        average = (value(B, v) - old * (1 - beta_1)) * B.cast(1 - 1 / t, v.dtype)
        v.assign(average + new * B.cast((1 - beta_1) + beta_1 / t, v.dtype))


@rule
def adafactor_step(
    B,
    gradients: Sequence,
    variables: Variables,
    rows: Variables,
    columns: Variables,
    squares: Variables,
    iterations: Any,
    learning_rate: Any,
    decay: float,
    epsilon_1: float,
    epsilon_2: float,
    threshold: float,
    relative: bool,
) -> None:
    """Go down gradients over the root of mean squares, those of matrices known by row and column (Shazeer and Stern, 2018)."""
    for g, v, row, column, square in zip(gradients, variables, rows, columns, squares):
        t = count(B, iterations, v.dtype)
        share = B.cast(B.power(t, B.full((), decay, B.dtype(t))), v.dtype)
        rate = B.cast(B.minimum(B.cast(learning_rate, B.dtype(t)), B.rsqrt(t)) if relative else learning_rate, v.dtype)

        def mean(slot, new, share=share):
            mean = value(B, slot)
            mean = mean + (new + epsilon_1 - mean) * share
            slot.assign(mean)
            return mean

        squared = g * g
        if len(v.shape) < 2:
            s = mean(square, squared)
            left, right, of_step = B.rsqrt(s), 1.0, squared / s
        else:
            r, c = mean(row, B.mean(squared, -1)), mean(column, B.mean(squared, -2))
            r, c = B.expand_dims(r / B.mean(r, -1, keepdims=True), -1), B.expand_dims(c, -2)
            square.assign(r * c)
            # The step itself, which has two factors more, is not squared: .95 of the time on JAX.
            left, right, of_step = B.rsqrt(r), B.rsqrt(c), B.mean(squared * (1 / c), -1, keepdims=True) / r
        size, norm = (B.sqrt(B.mean(x)) for x in (value(B, v) * value(B, v), of_step))
        rate = rate * B.maximum(size, B.full((), epsilon_2, v.dtype)) / B.maximum(norm / threshold, B.ones_like(norm))
        B.step_down(v, g * (left * rate) * right)


@rule
def orthogonalized(B, x: Any, a: float, b: float, c: float, steps: int) -> Any:
    """Return matrices with the singular vectors of `x` and singular values near 1, by Newton-Schulz iterations."""
    tall = x.shape[-2] > x.shape[-1]
    x = B.swapaxes(x, -1, -2) if tall else x
    x = x / (B.sqrt(B.sum(x * x, (-2, -1), keepdims=True)) + 1e-7)
    for _ in range(steps):
        gram = B.matmul(x, B.swapaxes(x, -1, -2))
        x = x * a + B.matmul(gram * b + B.matmul(gram, gram) * c, x)
    return B.swapaxes(x, -1, -2) if tall else x


def nadam_momentum(B: Backend, beta_1: float, step: Any) -> Any:
    """Return Nadam's momentum at a step, a float tensor that counts from 1: it grows in the first steps."""
    return beta_1 * (1 - 0.5 * B.power(B.full((), 0.96, B.dtype(step)), step))
