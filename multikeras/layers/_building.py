"""How a layer gets its weights: from the shapes of a first call, recorded so that a file can say them again."""

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any

from multikeras.backend import current
from multikeras.backend.shapes import Spec
from multikeras.core import naming
from multikeras.layers import _call


def recorded_build(build: Callable) -> Callable:
    """Wrap a class's `build`: open the name scope, remember the shapes, mark the layer as built."""
    signature = inspect.signature(build)

    @functools.wraps(build)
    def recorded(self, *args, **kwargs):
        if self._building:
            return build(self, *args, **kwargs)
        self._building = True
        try:
            with self._name_scope():
                self._path = naming.current_path()
                build(self, *args, **kwargs)
        finally:
            self._building = False
        shapes = signature.bind(self, *args, **kwargs).arguments
        shapes.pop(next(iter(signature.parameters)))
        shapes.update(shapes.pop("kwargs", {}))
        if positional := shapes.pop("args", ()):
            shapes["input_shape"] = positional[0]
        self._build_shapes = {k: v for k, v in shapes.items() if v is not None}
        self.built = True
        current.register_all(self, self._named_parts())

    return recorded


def default_build(self, *args, **kwargs):
    """Make the weights for inputs of a shape; by default, run `call` on shapes so that sub-layers make theirs."""
    if not any(not layer.built for layer in self._children()):
        return
    shapes = dict(zip(self._plan.names, args))
    for name, shape in kwargs.items():
        parameter = name.removesuffix("_shape")
        shapes[parameter if parameter in self._plan.names else self._plan.names[0]] = shape
    specs = {k: _call.map_shapes(lambda s: Spec(s, self.compute_dtype), v) for k, v in shapes.items()}
    try:
        self.compute_output_spec(**specs)
    except Exception as error:
        warnings.warn(
            f"Layer {self.name!r} could not be built from shapes alone ({type(error).__name__}: {error}). "
            "It is built when it is called.",
            stacklevel=3,
        )


@functools.cache
def _build_parameters(cls: type) -> tuple[str, ...]:
    parameters = list(inspect.signature(cls.build).parameters.values())[1:]  # type: ignore[attr-defined]
    return tuple(p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL))


def _build_needs(cls: type, name: str) -> bool:
    return inspect.signature(cls.build).parameters[name].default is inspect.Parameter.empty  # type: ignore[attr-defined]


def build_for(layer: Any, has_own_build: bool, tensors: dict[str, Any]) -> None:
    """Build `layer` from the tensor arguments of a first call."""
    shapes = {k: _call.shapes_of(v) for k, v in tensors.items()}
    names = _build_parameters(type(layer))
    if not has_own_build:
        layer.build(**{f"{k}_shape": v for k, v in shapes.items()})
    elif not names:
        layer.build()
    elif len(names) == 1:
        layer.build(next(iter(shapes.values()), None))
    else:
        given = {f"{k}_shape": v for k, v in shapes.items()}
        missing = [n for n in names if n not in given and _build_needs(type(layer), n)]
        if missing:
            raise ValueError(
                f"Layer {layer.name!r}: build() wants {missing}, but call() received only tensors named {list(shapes)}. "
                "Each parameter of build must be named after a parameter of call, with _shape appended."
            )
        layer.build(**{n: given[n] for n in names if n in given})


def as_shape(value):
    """Return lists from JSON as the tuples `build` was given."""
    return _call.map_shapes(tuple, value)
