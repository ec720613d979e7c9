"""What an error that a layer raises says about the layer and what it was given."""

from typing import Any

from multikeras.core import tree


def explain(layer: Any, error: Exception, args, kwargs) -> None:
    """Say in a note to an error which layer it came from and what it was given."""
    if getattr(error, "_explained", False):
        return
    try:
        error._explained = True  # type: ignore[attr-defined]
        error.add_note(f"In layer {layer.path!r} of type {type(layer).__name__}, called with {described(args, kwargs)}")
    except Exception:  # an exception class that refuses attributes keeps its own message
        return


def stumbled(layer: Any, error: Exception, given) -> str:
    """Return why a layer cannot take what it was given, "" where the error says it or is not about its inputs."""
    if isinstance(error, (AttributeError, IndexError)) and _is_ours(layer, error):
        return str(error)
    innermost = not getattr(error, "_explained", False) and type(layer).__module__.startswith("multikeras.")
    if innermost and not isinstance(error, ValueError) and any(map(_holds_strings, tree.flatten(given))):
        return "it computes with numbers. Map strings to integers first."
    return ""


def described(args, kwargs) -> str:
    given = tree.map_structure(
        lambda x: f"{tuple(x.shape)} {x.dtype}" if hasattr(x, "shape") else repr(x), (args, kwargs)
    )
    return f"{given[0]} {given[1] or ''}".rstrip()


def _is_ours(layer: Any, error: BaseException) -> bool:
    """Tell whether a layer of this package stumbled over its inputs, in its own code."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    names = type(layer).__module__, place.tb_frame.f_globals.get("__name__") if place is not None else ""
    return all(str(name).startswith("multikeras.") for name in names)


def _holds_strings(x) -> bool:
    dtype = getattr(x, "dtype", None)
    return str(getattr(dtype, "name", dtype)).startswith(("str", "bytes"))
