"""How gradients move weights."""

from typing import Any

from multikeras.core.serialization import Kind as _Kind
from multikeras.core.serialization import serialize_keras_object as _serialize
from multikeras.optimizers import legacy as legacy
from multikeras.optimizers import schedules as schedules
from multikeras.optimizers.adafactor import Adafactor as Adafactor
from multikeras.optimizers.adam import Adam as Adam
from multikeras.optimizers.adam import AdamW as AdamW
from multikeras.optimizers.adaptive import Adadelta as Adadelta
from multikeras.optimizers.adaptive import Adagrad as Adagrad
from multikeras.optimizers.adaptive import Adamax as Adamax
from multikeras.optimizers.adaptive import Ftrl as Ftrl
from multikeras.optimizers.adaptive import Lamb as Lamb
from multikeras.optimizers.adaptive import Lion as Lion
from multikeras.optimizers.adaptive import Nadam as Nadam
from multikeras.optimizers.adaptive import ScheduleFreeAdamW as ScheduleFreeAdamW
from multikeras.optimizers.loss_scale import LossScaleOptimizer as LossScaleOptimizer
from multikeras.optimizers.multi import MultiOptimizer as MultiOptimizer
from multikeras.optimizers.multi import OptimizerMap as OptimizerMap
from multikeras.optimizers.muon import Muon as Muon
from multikeras.optimizers.optimizer import Optimizer as Optimizer
from multikeras.optimizers.rmsprop import RMSprop as RMSprop
from multikeras.optimizers.sgd import SGD as SGD

_ALL = (
    Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Ftrl, Lamb, Lion, LossScaleOptimizer, MultiOptimizer, Muon, Nadam,
    Optimizer, OptimizerMap, RMSprop, SGD, ScheduleFreeAdamW,
)  # fmt: skip
_KIND = _Kind("optimizer", {c.__name__.lower(): c for c in _ALL})


def serialize(optimizer: Optimizer) -> dict:
    """Return the config of an optimizer."""
    return _serialize(optimizer)


def deserialize(config: Any, custom_objects: dict | None = None) -> Optimizer:
    """Return the optimizer of a config; names of builtin classes in any case."""
    if isinstance(config, dict) and str(config.get("class_name")).lower() in _KIND.table and not config.get("module"):
        config = {**config, "class_name": config["class_name"].lower()}
    return _KIND.deserialize(config, custom_objects)


def get(identifier: Any) -> Any:
    """Return the optimizer that a name or config stands for, None for None.

    >>> from multikeras import optimizers
    >>> optimizers.get("adam").name[:4]
    'adam'
    """
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str):
        found = _KIND.get(identifier.lower() if identifier.lower() in _KIND.table else identifier)
    else:
        found = identifier
    if found is not None and not isinstance(found, Optimizer):
        _KIND.refuse(identifier)
    return found
