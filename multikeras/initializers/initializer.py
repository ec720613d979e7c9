"""`Initializer`: what maps a shape to the first value of a weight."""

from typing import Any

from multikeras.core.arguments import guard
from multikeras.core.serialization import Configurable


class Initializer(Configurable):
    """Map a shape and a dtype to a tensor: subclasses define `__call__(shape, dtype=None)`."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        guard(cls)

    def __call__(self, shape: Any, dtype: Any = None) -> Any:
        """Return a tensor of this shape."""
        raise NotImplementedError(f"{type(self).__name__} must define __call__(shape, dtype=None).")

    def clone(self) -> "Initializer":
        """Return an initializer of the same config."""
        return type(self).from_config(self.get_config())
