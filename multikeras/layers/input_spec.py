"""What a layer accepts: rank, sizes and dtype of its inputs."""

from typing import Any

from multikeras.core import tree


class InputSpec:
    """Rank, shape and dtype that an input must have; None where any will do.

    Args:
        dtype: Name of the dtype.
        shape: Sizes, None where any will do.
        ndim: Rank.
        max_ndim: Largest rank.
        min_ndim: Smallest rank.
        axes: Sizes of single axes, e.g. `{-1: 3}`.
        allow_last_axis_squeeze: Accept a missing or an extra last axis of size 1.
        name: Key of the input where inputs are a dict.
        optional: Accept None.

    >>> import multikeras
    >>> multikeras.InputSpec(min_ndim=2, axes={-1: 4}).axes
    {-1: 4}
    """

    def __init__(
        self, dtype=None, shape=None, ndim=None, max_ndim=None, min_ndim=None, axes=None,
        allow_last_axis_squeeze=False, name=None, optional=False,
    ):  # fmt: skip
        self.dtype = None if dtype is None else str(dtype)
        self.shape = None if shape is None else tuple(shape)
        self.ndim = len(self.shape) if self.shape is not None else ndim
        self.max_ndim, self.min_ndim = max_ndim, min_ndim
        self.name, self.optional = name, optional
        self.allow_last_axis_squeeze = allow_last_axis_squeeze
        try:
            self.axes = {int(k): axes[k] for k in axes or {}}
        except (TypeError, ValueError) as error:
            raise TypeError(f"InputSpec: axes must map axis numbers to sizes, got {axes!r}.") from error
        limit = self.ndim if self.ndim is not None else self.max_ndim
        if limit is not None and any(axis >= limit for axis in self.axes):
            raise ValueError(f"InputSpec: axes={self.axes} names an axis beyond rank {limit}.")

    def __repr__(self):
        given = {k: v for k, v in self.get_config().items() if v not in (None, {}, False)}
        return f"InputSpec({', '.join(f'{k}={v}' for k, v in given.items())})"

    def get_config(self) -> dict:
        """Return the constructor's arguments."""
        return {
            "dtype": self.dtype, "shape": self.shape, "ndim": self.ndim, "max_ndim": self.max_ndim,
            "min_ndim": self.min_ndim, "axes": self.axes, "optional": self.optional,
            "allow_last_axis_squeeze": self.allow_last_axis_squeeze, "name": self.name,
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: dict) -> "InputSpec":
        return cls(**config)


def _fault(spec: InputSpec, shape: tuple, dtype: str) -> str | None:
    """Return what of `spec` an input breaks, None if nothing."""
    rank = len(shape)
    wanted = spec.shape
    if wanted is not None and spec.allow_last_axis_squeeze:
        if shape and shape[-1] == 1:
            shape = shape[:-1]
        if wanted and wanted[-1] == 1:
            wanted = wanted[:-1]
        rank_ok = len(shape) == len(wanted)
    else:
        rank_ok = spec.ndim is None or rank == spec.ndim
    if not rank_ok:
        return f"expected ndim={spec.ndim}, found ndim={rank}"
    if spec.max_ndim is not None and rank > spec.max_ndim:
        return f"expected max_ndim={spec.max_ndim}, found ndim={rank}"
    if spec.min_ndim is not None and rank < spec.min_ndim:
        return f"expected min_ndim={spec.min_ndim}, found ndim={rank}"
    if spec.dtype is not None and dtype != spec.dtype:
        return f"expected dtype={spec.dtype}, found dtype={dtype}"
    for axis, size in spec.axes.items():
        if size is not None and shape[axis] is not None and shape[axis] != size:
            return f"expected axis {axis} of input shape to have value {size}"
    for have, want in zip(shape, wanted or ()):
        if have is not None and want is not None and have != want:
            return f"expected shape={spec.shape}"
    return None


def check(input_spec: Any, inputs: Any, layer_name: str) -> None:
    """Raise ValueError where `inputs` break a layer's `input_spec`."""
    if not input_spec:
        return
    specs = tree.flatten(input_spec)
    if isinstance(inputs, dict) and all(s is not None and s.name for s in specs):
        missing = [s.name for s in specs if s.name not in inputs]
        if missing:
            raise ValueError(f'Layer "{layer_name}" misses input(s) {missing}; it received {list(inputs)}.')
        values = [inputs[s.name] for s in specs]
    else:
        values = tree.flatten(inputs)
    if len(values) != len(specs):
        raise ValueError(
            f'Layer "{layer_name}" expects {len(specs)} input(s), but it received {len(values)} input tensors.'
        )
    for position, (x, spec) in enumerate(zip(values, specs)):
        if spec is None or (x is None and spec.optional):
            continue
        if x is None or not hasattr(x, "shape"):
            raise ValueError(f'Input {position} of layer "{layer_name}" must be a tensor, got {x!r}.')
        try:
            shape = tuple(x.shape)
        except ValueError:  # a TensorFlow tensor of unknown rank
            continue
        fault = _fault(spec, shape, str(x.dtype).rpartition(".")[2].strip("'>"))
        if fault:
            raise ValueError(f'Input {position} of layer "{layer_name}" is incompatible with the layer: {fault}. '
                             f"Full shape received: {shape}.")  # fmt: skip
