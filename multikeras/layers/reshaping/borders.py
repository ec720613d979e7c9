"""Layers that cut off or add borders: cropping and zero padding, written once for N dimensions."""

from typing import Any

from multikeras import ops
from multikeras.layers._arguments import layout, spatial_axes
from multikeras.layers.input_spec import InputSpec
from multikeras.layers.layer import Layer


def border_pairs(layer: str, argument: str, value: Any, rank: int) -> tuple[tuple[int, int], ...]:
    """Return (before, after) for each dimension from an int, an int a dimension, or a pair a dimension.

    >>> border_pairs("crop", "cropping", (1, 2), 2)
    ((1, 1), (2, 2))
    """
    pairs: Any = None
    if isinstance(value, int):
        pairs = ((value, value),) * rank
    elif isinstance(value, (tuple, list)):
        if rank == 1 and len(value) == 2 and all(isinstance(v, int) for v in value):
            pairs = (tuple(value),)
        elif len(value) == rank:
            pairs = tuple(
                (v, v) if isinstance(v, int) else tuple(v) if isinstance(v, (tuple, list)) else () for v in value
            )
    if pairs is None or any(len(p) != 2 or not all(isinstance(v, int) and v >= 0 for v in p) for p in pairs):
        raise ValueError(
            f"{layer}: {argument} must be a non-negative int, {rank} of them, or {rank} pair(s) (before, after), "
            f"got {argument}={value!r}."
        )
    return pairs


class Bordered(Layer):
    """What cropping and padding share: a pair of widths for each of `rank` spatial dimensions."""

    takes_sparse = False

    rank: int

    def _set_up(self, data_format: str | None) -> None:
        self.data_format = layout(self, data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)
        self.built = type(self).build is Layer.build

    def _pairs_by_axis(self, pairs) -> dict[int, tuple[int, int]]:
        pairs = (pairs,) if self.rank == 1 else pairs
        return dict(zip(spatial_axes(self.data_format, self.rank), pairs))


class Cropping(Bordered):
    """Cut off borders."""

    def __init__(self, cropping: Any, data_format: str | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        pairs = border_pairs(type(self).__name__, "cropping", cropping, self.rank)
        self.cropping = pairs[0] if self.rank == 1 else pairs
        self._set_up(data_format)

    def call(self, inputs):
        kept = [slice(None)] * len(inputs.shape)
        for axis, (low, high) in self._pairs_by_axis(self.cropping).items():
            size = inputs.shape[axis]
            if size is not None and low + high >= size:
                raise ValueError(
                    f"{type(self).__name__} {self.name!r}: cropping={self.cropping} leaves nothing of axis "
                    f"{axis}; values "
                    f"must be smaller than the size of the dimension. Received inputs of shape {tuple(inputs.shape)}."
                )
            kept[axis] = slice(low, -high if high else None)
        return inputs[tuple(kept)]


class ZeroPadding(Bordered):
    """Add borders of zeros."""

    def __init__(self, padding: Any, data_format: str | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        pairs = border_pairs(type(self).__name__, "padding", padding, self.rank)
        self.padding = pairs[0] if self.rank == 1 else pairs
        self._set_up(data_format)

    def call(self, inputs):
        widths = self._pairs_by_axis(self.padding)
        return ops.pad(inputs, [widths.get(axis, (0, 0)) for axis in range(len(inputs.shape))])


class Cropping1D(Cropping):
    """Cut steps off both ends of sequences (batch, steps, features).

    Args:
        cropping: An int, or a pair (before, after).

    >>> import multikeras
    >>> multikeras.layers.Cropping1D((1, 2))(multikeras.ops.ones((2, 6, 3))).shape == (2, 3, 3)
    True
    """

    rank = 1
    not_in_config = ("data_format",)

    def __init__(self, cropping: Any = (1, 1), **kwargs: Any):
        super().__init__(cropping, "channels_last", **kwargs)


class Cropping2D(Cropping):
    """Cut borders off images.

    Args:
        cropping: An int, an int a dimension, or a pair (before, after) a dimension.
        data_format: "channels_last" or "channels_first"; the setting's by default.

    >>> import multikeras
    >>> multikeras.layers.Cropping2D(((1, 0), (1, 2)))(multikeras.ops.ones((2, 4, 5, 3))).shape == (2, 3, 2, 3)
    True
    """

    rank = 2

    def __init__(self, cropping: Any = ((0, 0), (0, 0)), data_format: str | None = None, **kwargs: Any):
        super().__init__(cropping, data_format, **kwargs)


class Cropping3D(Cropping):
    """Cut borders off volumes. Arguments as for `Cropping2D`.

    >>> import multikeras
    >>> multikeras.layers.Cropping3D()(multikeras.ops.ones((2, 4, 4, 4, 3))).shape == (2, 2, 2, 2, 3)
    True
    """

    rank = 3

    def __init__(self, cropping: Any = ((1, 1), (1, 1), (1, 1)), data_format: str | None = None, **kwargs: Any):
        super().__init__(cropping, data_format, **kwargs)


class ZeroPadding1D(ZeroPadding):
    """Add steps of zeros to both ends of sequences.

    Args:
        padding: An int, or a pair (before, after).
        data_format: "channels_last" or "channels_first"; the setting's by default.

    >>> import multikeras
    >>> multikeras.layers.ZeroPadding1D((1, 2))(multikeras.ops.ones((2, 3, 4))).shape == (2, 6, 4)
    True
    """

    rank = 1

    def __init__(self, padding: Any = 1, data_format: str | None = None, **kwargs: Any):
        super().__init__(padding, data_format, **kwargs)


class ZeroPadding2D(ZeroPadding):
    """Add borders of zeros to images.

    Args:
        padding: An int, an int a dimension, or a pair (before, after) a dimension.
        data_format: "channels_last" or "channels_first"; the setting's by default.

    >>> import multikeras
    >>> multikeras.layers.ZeroPadding2D((1, 2))(multikeras.ops.ones((2, 3, 3, 4))).shape == (2, 5, 7, 4)
    True
    """

    rank = 2

    def __init__(self, padding: Any = (1, 1), data_format: str | None = None, **kwargs: Any):
        super().__init__(padding, data_format, **kwargs)


class ZeroPadding3D(ZeroPadding):
    """Add borders of zeros to volumes. Arguments as for `ZeroPadding2D`.

    >>> import multikeras
    >>> multikeras.layers.ZeroPadding3D(1)(multikeras.ops.ones((1, 2, 2, 2, 3))).shape == (1, 4, 4, 4, 3)
    True
    """

    rank = 3

    def __init__(self, padding: Any = ((1, 1), (1, 1), (1, 1)), data_format: str | None = None, **kwargs: Any):
        super().__init__(padding, data_format, **kwargs)
