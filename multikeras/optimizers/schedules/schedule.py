"""Learning rates as functions of the number of updates."""

import math
from typing import Any

from multikeras import ops
from multikeras.core.arguments import guard
from multikeras.core.serialization import Configurable


class LearningRateSchedule(Configurable):
    """Map the number of updates so far to a learning rate: subclasses define `__call__(step)`."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        guard(cls)

    def __call__(self, step: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __call__(step).")


def _float(step: Any) -> Any:
    return ops.cast(step, "float32")


class ExponentialDecay(LearningRateSchedule):
    """Multiply by `decay_rate` every `decay_steps`, in between too unless `staircase`.

    >>> from multikeras.optimizers import schedules
    >>> round(float(schedules.ExponentialDecay(0.1, 10, 0.5)(20)), 4)
    0.025
    """

    def __init__(self, initial_learning_rate, decay_steps, decay_rate, staircase=False, name="ExponentialDecay"):
        self.initial_learning_rate, self.decay_steps, self.decay_rate = initial_learning_rate, decay_steps, decay_rate
        self.staircase, self.name = staircase, name
        if decay_steps <= 0:
            raise ValueError(
                f"{type(self).__name__}: Argument `decay_steps` must be > 0. Received: decay_steps={decay_steps}"
            )

    def _periods(self, step):
        periods = _float(step) / self.decay_steps
        return ops.floor(periods) if self.staircase else periods

    def __call__(self, step: Any) -> Any:
        return self.initial_learning_rate * ops.power(float(self.decay_rate), self._periods(step))


class InverseTimeDecay(ExponentialDecay):
    """Divide by 1 + `decay_rate` * step / `decay_steps`."""

    def __init__(self, initial_learning_rate, decay_steps, decay_rate, staircase=False, name="InverseTimeDecay"):
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase, name)

    def __call__(self, step: Any) -> Any:
        return self.initial_learning_rate / (1.0 + self.decay_rate * self._periods(step))


class PiecewiseConstantDecay(LearningRateSchedule):
    """Take `values[i]` until step `boundaries[i]` inclusive, the last value after.

    >>> from multikeras.optimizers import schedules
    >>> rate = schedules.PiecewiseConstantDecay([10, 20], [1.0, 0.5, 0.25])
    >>> float(rate(10)), float(rate(11)), float(rate(30))
    (1.0, 0.5, 0.25)
    """

    def __init__(self, boundaries, values, name="PiecewiseConstant"):
        if len(boundaries) != len(values) - 1:
            raise ValueError(
                "PiecewiseConstantDecay: the length of boundaries should be 1 less than the length of values. "
                f"Received: {boundaries=} of length {len(boundaries)}, {values=} of length {len(values)}."
            )
        self.boundaries, self.values, self.name = boundaries, values, name

    def __call__(self, step: Any) -> Any:
        step = _float(step)
        rate = ops.cast(self.values[-1], "float32")
        for boundary, value in zip(reversed(self.boundaries), reversed(self.values[:-1])):
            rate = ops.where(step <= boundary, ops.cast(value, "float32"), rate)
        return rate


class PolynomialDecay(LearningRateSchedule):
    """Go to `end_learning_rate` in `decay_steps` along a power of the way left; with `cycle`, again and again, ever longer."""

    def __init__(
        self, initial_learning_rate, decay_steps, end_learning_rate=0.0001, power=1.0, cycle=False, name="PolynomialDecay"
    ):
        if decay_steps <= 0:
            raise ValueError(
                f"PolynomialDecay: Argument `decay_steps` must be > 0. Received: decay_steps={decay_steps}"
            )
        self.initial_learning_rate, self.end_learning_rate = initial_learning_rate, end_learning_rate
        self.decay_steps, self.power, self.cycle, self.name = decay_steps, power, cycle, name

    def __call__(self, step: Any) -> Any:
        step, length = _float(step), ops.cast(self.decay_steps, "float32")
        if self.cycle:
            length = length * ops.maximum(ops.ceil(step / self.decay_steps), 1.0)
        left = 1.0 - ops.minimum(step, length) / length
        start = ops.cast(self.initial_learning_rate, "float32")
        return (start - self.end_learning_rate) * ops.power(left, float(self.power)) + self.end_learning_rate


class CosineDecay(LearningRateSchedule):
    """Follow half a cosine down to the fraction `alpha` in `decay_steps`, after a linear rise to `warmup_target`.

    >>> from multikeras.optimizers import schedules
    >>> rate = schedules.CosineDecay(0.0, 10, warmup_target=1.0, warmup_steps=2)
    >>> [round(float(rate(step)), 3) for step in (0, 1, 2, 7, 12)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """

    def __init__(self, initial_learning_rate, decay_steps, alpha=0.0, name="CosineDecay", warmup_target=None, warmup_steps=0):
        if decay_steps <= 0:
            raise ValueError(f"CosineDecay: Argument `decay_steps` must be > 0. Received: decay_steps={decay_steps}")
        self.initial_learning_rate, self.decay_steps, self.alpha, self.name = initial_learning_rate, decay_steps, alpha, name
        self.warmup_target, self.warmup_steps = warmup_target, warmup_steps

    def __call__(self, step: Any) -> Any:
        step, low = _float(step), self.initial_learning_rate
        high = low if self.warmup_target is None else self.warmup_target
        warmup = 0 if self.warmup_target is None else self.warmup_steps
        done = ops.clip(step - warmup, 0.0, float(self.decay_steps)) / self.decay_steps
        rate = high * (self.alpha + (1.0 - self.alpha) * 0.5 * (1.0 + ops.cos(math.pi * done)))
        if not warmup:
            return rate
        return ops.where(step < warmup, low + (high - low) * (step / warmup), rate)


class CosineDecayRestarts(LearningRateSchedule):
    """Follow half cosines, each `t_mul` times as long and starting `m_mul` times as high (Loshchilov and Hutter, 2016)."""

    def __init__(self, initial_learning_rate, first_decay_steps, t_mul=2.0, m_mul=1.0, alpha=0.0, name="SGDRDecay"):
        if first_decay_steps <= 0:
            raise ValueError(
                "CosineDecayRestarts: Argument `first_decay_steps` must be > 0. Received: "
                f"first_decay_steps={first_decay_steps}"
            )
        self.initial_learning_rate, self.first_decay_steps = initial_learning_rate, first_decay_steps
        self.t_mul, self.m_mul, self.alpha, self.name = t_mul, m_mul, alpha, name

    def __call__(self, step: Any) -> Any:
        time = _float(step) / self.first_decay_steps  # in lengths of the first period
        growth = float(self.t_mul)
        if growth == 1.0:
            period = ops.floor(time)
            done = time - period
        else:
            period = ops.floor(ops.log(1.0 - time * (1.0 - growth)) / math.log(growth))
            length = ops.power(growth, period)
            done = (time - (1.0 - length) / (1.0 - growth)) / length
        height = ops.power(float(self.m_mul), period)
        cosine = 0.5 * height * (1.0 + ops.cos(math.pi * done))
        return self.initial_learning_rate * ((1.0 - self.alpha) * cosine + self.alpha)


class OneCycle(LearningRateSchedule):
    """Rise to `max_learning_rate` and fall far below where it began, both along half a cosine.

    Smith and Topin, "Super-Convergence", 2018, https://arxiv.org/abs/1708.07120.

    Args:
        max_learning_rate: The highest rate; `callbacks.LearningRateFinder` helps to choose it.
        total_steps: Steps of the whole training.
        warmup: Share of the steps in which the rate rises.
        divide_first: What the highest rate is divided by at first.
        divide_last: What the highest rate is divided by in the end.

    >>> from multikeras.optimizers import schedules
    >>> rate = schedules.OneCycle(1.0, total_steps=100, warmup=0.3)
    >>> [round(float(rate(step)), 4) for step in (0, 15, 30, 65)]
    [0.04, 0.52, 1.0, 0.5]
    """

    def __init__(
        self, max_learning_rate, total_steps, warmup=0.3, divide_first=25.0, divide_last=1e4, name="OneCycle"
    ):  # fmt: skip
        if total_steps <= 0 or not 0 < warmup < 1:
            raise ValueError(
                f"OneCycle: total_steps must be positive and warmup between 0 and 1, got {total_steps=}, {warmup=}."
            )
        self.max_learning_rate, self.total_steps, self.warmup = max_learning_rate, total_steps, warmup
        self.divide_first, self.divide_last, self.name = divide_first, divide_last, name

    def __call__(self, step: Any) -> Any:
        top, rise = self.max_learning_rate, self.warmup * self.total_steps
        step = ops.minimum(_float(step), float(self.total_steps))
        up = _half_cosine(top / self.divide_first, top, step / rise)
        down = _half_cosine(top, top / self.divide_last, (step - rise) / (self.total_steps - rise))
        return ops.where(step < rise, up, down)


def _half_cosine(first: float, last: float, share: Any) -> Any:
    return last + (first - last) * 0.5 * (1.0 + ops.cos(math.pi * share))
