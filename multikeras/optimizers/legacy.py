"""The names of Keras 2's optimizers, which are no more: making one says what to use."""

from typing import NoReturn


class Optimizer:
    """Refuse with an ImportError."""

    def __init__(self, *args, **kwargs) -> NoReturn:
        name = type(self).__name__
        raise ImportError(f"optimizers.legacy.{name} is of Keras 2 and not here. Use optimizers.{name} instead.")


class Adagrad(Optimizer):
    """Refuse with an ImportError."""


class Adam(Optimizer):
    """Refuse with an ImportError."""


class Ftrl(Optimizer):
    """Refuse with an ImportError."""


class RMSprop(Optimizer):
    """Refuse with an ImportError."""


class SGD(Optimizer):
    """Refuse with an ImportError."""
