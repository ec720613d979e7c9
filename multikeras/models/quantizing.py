"""Quantizing the layers of a model."""

import re
import warnings
from collections.abc import Callable
from typing import Any

from multikeras.layers.layer import Layer
from multikeras.models.calibrating import calibrate
from multikeras.quantizers.config import resolve


def quantize_layers(model: Layer, mode: str | None, config: Any, filters: Any, type_check: bool = True, **unknown) -> None:
    """Call `quantize` of all layers inside `model` that pass `filters`; warn of those that have no quantized form."""
    if unknown:
        raise ValueError(f"Unrecognized keyword arguments passed to {type(model).__name__}.quantize: {unknown}.")
    config = resolve(mode, config)
    wanted = chooser(filters)
    if config.mode in ("gptq", "awq"):
        calibrate(model, config, wanted)
        return
    if not model.built:
        raise ValueError(
            f"Cannot quantize a layer that isn't yet built. Model {model.name!r} (of type {type(model).__name__!r}) is not: "
            "call it or build() it first."
        )
    for layer in model._flatten_layers():
        if layer._children() or not wanted(layer):
            continue
        try:
            layer.quantize(config.mode, type_check=type_check, config=config)
        except NotImplementedError as error:
            warnings.warn(str(error), stacklevel=4)


def chooser(filters: Any) -> Callable[[Layer], bool]:
    """Return the function that tells whether a layer is meant by `filters`.

    >>> wanted = chooser(["dense", "^out"])
    >>> [wanted(multikeras.layers.Identity(name=name)) for name in ("dense_1", "output", "layout")]
    [True, True, False]
    """
    if filters is None:
        return lambda layer: True
    if callable(filters):
        return lambda layer: bool(filters(layer))
    patterns = [filters] if isinstance(filters, str) else filters
    if not isinstance(patterns, (list, tuple)) or not all(isinstance(p, str) for p in patterns):
        raise ValueError(
            "The `filters` argument must be a regular expression, a list of them, or a function of a layer, got "
            f"{filters!r} of type {type(filters).__name__}."
        )
    return lambda layer: any(re.search(pattern, layer.name) for pattern in patterns)
