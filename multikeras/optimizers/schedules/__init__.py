"""Learning rates that change with the number of updates."""

from typing import Any

from multikeras.core.serialization import Kind as _Kind
from multikeras.core.serialization import serialize_keras_object as _serialize
from multikeras.optimizers.schedules.schedule import CosineDecay as CosineDecay
from multikeras.optimizers.schedules.schedule import CosineDecayRestarts as CosineDecayRestarts
from multikeras.optimizers.schedules.schedule import ExponentialDecay as ExponentialDecay
from multikeras.optimizers.schedules.schedule import InverseTimeDecay as InverseTimeDecay
from multikeras.optimizers.schedules.schedule import LearningRateSchedule as LearningRateSchedule
from multikeras.optimizers.schedules.schedule import OneCycle as OneCycle
from multikeras.optimizers.schedules.schedule import PiecewiseConstantDecay as PiecewiseConstantDecay
from multikeras.optimizers.schedules.schedule import PolynomialDecay as PolynomialDecay

_KIND = _Kind(
    "learning rate schedule",
    {
        c.__name__: c
        for c in (CosineDecay, CosineDecayRestarts, ExponentialDecay, InverseTimeDecay, OneCycle, PiecewiseConstantDecay,
                  PolynomialDecay)
    },
)


def serialize(learning_rate_schedule: LearningRateSchedule) -> dict:
    """Return the config of a schedule."""
    return _serialize(learning_rate_schedule)


def deserialize(config: Any, custom_objects: dict | None = None) -> LearningRateSchedule:
    """Return the schedule of a config."""
    return _KIND.deserialize(config, custom_objects)
