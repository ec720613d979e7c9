"""Layers that compute their activations again in the backward pass instead of keeping them."""

import functools
from collections.abc import Callable
from typing import Any

from multikeras.backend import current


def remat(f: Callable) -> Callable:
    """Return `f` so wrapped that a backward pass computes it again instead of keeping what it computed.

    >>> import multikeras
    >>> float(multikeras.remat(lambda x: x * 2)(multikeras.ops.ones(())))
    2.0
    """
    return functools.wraps(f)(current.remat(f))


class RematScope:
    """Let layers made inside compute their activations again in the backward pass.

    Args:
        mode: "full", "activations", "larger_than", "list_of_layers" or None (off).
        output_size_threshold: For "larger_than": number of output entries from which on it applies.
        layer_names: For "list_of_layers": names of the layers it applies to.
    """

    _stack: list["RematScope"] = []

    def __init__(self, mode="full", output_size_threshold=1024, layer_names=None):
        valid = ("full", "activations", "larger_than", "list_of_layers", None)
        if mode not in valid:
            raise ValueError(f"RematScope: mode={mode!r} is unknown. Expected one of {valid}.")
        self.mode, self.output_size_threshold, self.layer_names = mode, output_size_threshold, layer_names or []

    def __enter__(self):
        RematScope._stack.append(self)
        return self

    def __exit__(self, *exc):
        RematScope._stack.pop()

    def applies_to(self, layer: Any) -> bool:
        """Tell whether a layer is to be computed again."""
        if self.mode == "list_of_layers":
            return layer.name in self.layer_names
        return self.mode in ("full", "larger_than")


def remat_mode() -> RematScope | None:
    """Return the innermost open `RematScope` that is not off."""
    stack = RematScope._stack
    return stack[-1] if stack and stack[-1].mode is not None else None
