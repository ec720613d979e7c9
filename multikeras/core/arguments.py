"""Arguments of constructors, checked by their names before a constructor sees them."""

import difflib
import functools
import inspect
from typing import Any


def _number(x: Any) -> bool:
    return hasattr(x, "__float__")


def _whole(x: Any) -> bool:
    return hasattr(x, "__index__") and not isinstance(x, bool)


def _each(fits):
    return lambda x: all(map(fits, x)) if isinstance(x, (list, tuple)) else fits(x)


def _not_negative(x: Any) -> bool:
    return _number(x) and bool(x >= 0)


_KINDS = {
    "a number": (_number, "alpha delta gamma mean minval maxval gain max_value min_value rate rho momentum beta_1 beta_2 "
                 "clipnorm clipvalue global_clipnorm weight_decay ema_momentum loss_scale_factor precision recall "
                 "sensitivity specificity threshold scale"),
    "a number of at least 0": (_not_negative, "epsilon stddev"),
    "a number from 0 to 1": (lambda x: _number(x) and bool(0 <= x <= 1), "label_smoothing"),
    "a positive integer": (lambda x: _whole(x) and x > 0, "k top_k"),
    "an integer": (_whole, "class_id num_thresholds gradient_accumulation_steps ema_overwrite_frequency"),
    "an integer or a list or tuple of integers": (_each(_whole), "axis target_class_ids"),
    "a number or a list or tuple of numbers": (_each(_number), "thresholds"),
}  # fmt: skip
_RULES = {name: (kind, fits) for kind, (fits, names) in _KINDS.items() for name in names.split()}
_SEVERAL = {("CategoricalFocalCrossentropy", "alpha"): "a number or a list or tuple of numbers"}
"""Where an argument of one class means more than of others."""


def check(owner: str, name: str, value: Any) -> None:
    """Refuse a value that an argument of this name cannot have, None aside.

    >>> check("Adam", "epsilon", "small")
    Traceback (most recent call last):
    ValueError: Adam: epsilon must be a number of at least 0, got epsilon='small'.
    """
    kind, fits = _RULES[name]
    kind = _SEVERAL.get((owner, name), kind)
    if value is not None and not (_KINDS[kind][0] if (owner, name) in _SEVERAL else fits)(value):
        raise ValueError(f"{owner}: {name} must be {kind}, got {name}={value!r}.")


def guard(cls: type) -> None:
    """Have the constructor of a class of this package check its arguments by name, and suggest the nearest of unknown ones."""
    init: Any = cls.__dict__.get("__init__")
    if init is None or not cls.__module__.startswith("multikeras."):
        return
    signature = inspect.signature(init)
    ruled = [name for name in signature.parameters if name in _RULES]

    @functools.wraps(init)
    def checked(self, *args, **kwargs):
        try:
            given = signature.bind(self, *args, **kwargs).arguments if ruled else {}
        except TypeError:
            given = {}  # the constructor says it
        for name in ruled:
            if name in given:
                check(type(self).__name__, name, given[name])
        try:
            init(self, *args, **kwargs)
        except TypeError as error:
            unknown = [k for k in kwargs if k not in signature.parameters and repr(k) in str(error)]
            near = [m for k in unknown for m in difflib.get_close_matches(k, signature.parameters, 1)]
            if near and "Did you mean" not in str(error):
                says = str(error).rpartition("__init__() ")[2]
                raise TypeError(f"{type(self).__name__}: {says}. Did you mean {near[0]!r}?") from None
            raise

    cls.__init__ = checked  # type: ignore[misc]
