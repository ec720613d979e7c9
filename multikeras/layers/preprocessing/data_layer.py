"""Layers that work in the functions of a `tf.data` pipeline too, whatever the backend."""

import sys
from typing import Any

from multikeras import ops
from multikeras.backend import current
from multikeras.core import tree
from multikeras.core.node import KerasTensor
from multikeras.layers.layer import Layer


class DataLayer(Layer):
    """A layer that prepares data: `dataset.map(layer)` runs it in TensorFlow's threads, on the backend that was chosen.

    >>> import multikeras
    >>> import tensorflow as tf
    >>> layer = multikeras.layers.Normalization(mean=1.0, variance=4.0)
    >>> data = tf.data.Dataset.from_tensor_slices([[1.0], [3.0]]).batch(2).map(layer)
    >>> [x.numpy().tolist() for x in data]
    [[[0.0], [1.0]]]
    """

    autograph_info__: dict = {}
    """What TensorFlow looks for on objects whose code it shall not rewrite."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if _is_in_a_pipeline(args) or _is_in_a_pipeline(kwargs):
            return _in_pipeline(super().__call__, args, kwargs)
        if args and isinstance(args[0], (int, float, list, tuple)) and _is_numbers(args[0]):
            args = (ops.convert_to_tensor(args[0]), *args[1:])
        return super().__call__(*args, **kwargs)


def _is_numbers(x: Any) -> bool:
    """Tell whether `x` is a number of Python, or lists of such."""
    while isinstance(x, (list, tuple)) and x:
        x = x[0]
    return isinstance(x, (int, float))


def _is_in_a_pipeline(x: Any) -> bool:
    """Tell whether `x` is or holds a symbolic tensor of TensorFlow, which is not the backend."""
    if isinstance(x, (list, tuple)):
        return any([_is_in_a_pipeline(v) for v in x])
    if isinstance(x, dict):
        return any([_is_in_a_pipeline(v) for v in x.values()])
    return not isinstance(x, current.Tensor) and hasattr(x, "graph") and type(x).__module__.startswith("tensorflow.")


def _in_pipeline(call: Any, args: tuple, kwargs: dict) -> Any:
    """Put a call of Python on numpy arrays into TensorFlow's graph, and tell it the shapes that come out."""
    tf = sys.modules["tensorflow"]
    leaves, structure = tree.flatten((args, kwargs)), (args, kwargs)
    places = [i for i, x in enumerate(leaves) if _is_in_a_pipeline(x)]

    def called(values):
        full = list(leaves)
        for i, value in zip(places, values):
            full[i] = value
        args, kwargs = tree.pack_sequence_as(structure, full)
        return call(*args, **kwargs)

    specs = called([KerasTensor(tuple(leaves[i].shape), leaves[i].dtype.name) for i in places])
    flat = tree.flatten(specs)

    def run(*values):
        return [ops.convert_to_numpy(y).astype(s.dtype, copy=False) for y, s in zip(tree.flatten(called(values)), flat)]

    results = tf.numpy_function(run, [leaves[i] for i in places], [s.dtype for s in flat])
    for y, spec in zip(results, flat):
        y.set_shape(spec.shape)
    return tree.pack_sequence_as(specs, results)
