"""`keras.optimizers.legacy`: the optimizers of Keras 2 by the arguments they had.

`lr` is `learning_rate`; `decay` divides the rate by 1 + decay * step.

>>> round(float(Adam(lr=0.5).learning_rate.numpy()), 3)
0.5
"""

from typing import Any

from multikeras import optimizers
from multikeras.optimizers import schedules


def _legacy(cls: type) -> type:
    def __init__(self, *args: Any, decay: float = 0.0, lr: float | None = None, **kwargs: Any):
        rate = args[0] if args else kwargs.pop("learning_rate", lr)
        if rate is not None and decay:
            rate = schedules.InverseTimeDecay(rate, decay_steps=1, decay_rate=decay)
        elif decay:
            raise ValueError(f"optimizers.legacy.{cls.__name__}: decay= needs learning_rate=.")
        given = kwargs if rate is None else {"learning_rate": rate, **kwargs}
        cls.__init__(self, *args[1:], **given) if len(args) < 2 else cls.__init__(self, rate, *args[1:], **kwargs)

    doc = f"""`keras.optimizers.{cls.__name__}` with the arguments of Keras 2: `lr`, `decay`."""
    return type(cls.__name__, (cls,), {"__init__": __init__, "__doc__": doc, "__module__": __name__})


Optimizer = optimizers.Optimizer
Adagrad = _legacy(optimizers.Adagrad)
Adam = _legacy(optimizers.Adam)
Ftrl = _legacy(optimizers.Ftrl)
RMSprop = _legacy(optimizers.RMSprop)
SGD = _legacy(optimizers.SGD)
