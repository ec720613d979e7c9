"""What constructors of layers share: storing arguments, weights with their three companions, sizes a dimension."""

from collections.abc import Callable
from typing import Any

from multikeras import activations, config, constraints, initializers, regularizers

_RESOLVE: dict[str, Callable] = {
    "initializer": initializers.get,
    "regularizer": regularizers.get,
    "constraint": constraints.get,
    "activation": activations.get,
}


def keep(layer: Any, arguments: dict[str, Any]) -> None:
    """Store a constructor's `locals()` on the layer, each under its own name.

    Names of initializers, regularizers, constraints and activations become the objects they name.
    """
    for name, value in arguments.items():
        if name in ("self", "kwargs", "__class__", "activity_regularizer", "name", "dtype"):
            continue
        if name in _CHECKS:
            value = _CHECKS[name](layer, name, value)
        resolve = _RESOLVE.get(name.rpartition("_")[2])
        setattr(layer, name, value if resolve is None else resolve(value))


def weight(layer: Any, name: str, shape: tuple, kind: str | None = None, **more: Any) -> Any:
    """Add the weight `name` with the layer's `<kind>_initializer`, `<kind>_regularizer` and `<kind>_constraint`."""
    kind = kind or name
    own = {what: getattr(layer, f"{kind}_{what}", None) for what in ("initializer", "regularizer", "constraint")}
    return layer.add_weight(shape=shape, name=name, **{**own, **more})


def sizes(layer: Any, argument: str, value: Any, rank: int, least: int = 1) -> tuple[int, ...]:
    """Return `value`, an int or one int a spatial dimension, as a tuple; refuse ones below `least`.

    >>> sizes("conv", "strides", 2, rank=3)
    (2, 2, 2)
    """
    given = (value,) * rank if isinstance(value, int) else value
    try:
        given = tuple(int(v) for v in given)
    except (TypeError, ValueError):
        given = ()
    if len(given) != rank or min(given) < least:
        kind = "positive integer" if least else "non-negative integer"
        raise ValueError(
            f"{describe(layer)}: {argument} must be one {kind} or a tuple of {rank} of them, got {argument}={value!r}."
        )
    return given


def one_of(layer: Any, argument: str, value: Any, valid: tuple) -> Any:
    """Return `value` (a string in lower case) if it is valid, else raise ValueError listing what is."""
    value = value.lower() if isinstance(value, str) else value
    if value not in valid:
        raise ValueError(f"{describe(layer)}: {argument} must be one of {valid}, got {argument}={value!r}.")
    return value


def positive(layer: Any, argument: str, value: Any) -> int:
    """Return `value` if it is a positive integer, else raise ValueError."""
    if not hasattr(value, "__index__") or isinstance(value, bool) or int(value) <= 0:
        raise ValueError(f"{describe(layer)}: {argument} must be a positive integer, got {argument}={value!r}.")
    return int(value)


def number(layer: Any, argument: str, value: Any, least: float | None = None) -> Any:
    """Return `value` if it is a number, of at least `least`, else raise ValueError."""
    if not hasattr(value, "__float__") or (least is not None and not value >= least):
        kind = "a number" if least is None else f"a number of at least {least:g}"
        raise ValueError(f"{describe(layer)}: {argument} must be {kind}, got {argument}={value!r}.")
    return value


def axes(layer: Any, argument: str, value: Any, several: bool = True) -> Any:
    """Return `value` if it is an int, or one of several, else raise ValueError."""
    given = value if several and isinstance(value, (list, tuple)) else [value]
    if not all(hasattr(a, "__index__") and not isinstance(a, bool) for a in given):
        kind = "an integer or a list or tuple of integers" if several else "an integer"
        raise ValueError(f"{describe(layer)}: {argument} must be {kind}, got {argument}={value!r}.")
    return value


def fraction(layer: Any, argument: str, value: Any) -> Any:
    """Return `value` if it lies between 0 and 1, else raise ValueError."""
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"{describe(layer)}: {argument} must be a number between 0 and 1, got {argument}={value!r}.")
    return value


def describe(layer: Any) -> str:
    """Return what errors call the layer: its class, and its name once it has one."""
    if isinstance(layer, str):
        return layer
    name = getattr(layer, "name", None)
    return f"{type(layer).__name__} {name!r}" if isinstance(name, str) else type(layer).__name__


_CHECKS: dict[str, Callable] = {
    "epsilon": lambda layer, name, value: number(layer, name, value, 0),
    "momentum": number,
    "dropout": number,
    "recurrent_dropout": number,
    "lora_rank": lambda layer, name, value: value if value is None else positive(layer, name, value),
}
"""What `keep` refuses, by the argument's name."""


def layout(layer: Any, data_format: str | None) -> str:
    """Return the layout of images checked, the default one for None."""
    return config.image_data_format() if data_format is None else one_of(layer, "data_format", data_format, config.LAYOUTS)


def channel_axis(data_format: str) -> int:
    """Return the axis of channels: -1, or 1 when they come first."""
    return -1 if data_format == "channels_last" else 1


def spatial_axes(data_format: str, rank: int) -> tuple[int, ...]:
    """Return the axes between batch and channels.

    >>> spatial_axes("channels_first", 2)
    (2, 3)
    """
    first = 1 if data_format == "channels_last" else 2
    return tuple(range(first, first + rank))
