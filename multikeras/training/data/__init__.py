"""Any kind of data as a `Source` of batches."""

from typing import Any

import numpy as np

from multikeras.backend import current
from multikeras.core import tree
from multikeras.training.data.arrays import Arrays, is_arrays
from multikeras.training.data.py_dataset import PyDatasetSource
from multikeras.training.data.source import Source
from multikeras.training.data.streams import Generator, Stream, is_stream
from multikeras.utils.py_dataset import PyDataset


def source_of(x: Any, y=None, sample_weight=None, batch_size=None, shuffle=False, seed=0, class_weight=None) -> Source:
    """Return the `Source` for whatever a user passes as data."""
    x = current.whole_batches(x)
    if x is None:
        raise ValueError("x is None: give the input data as arrays, a PyDataset, a generator or a dataset.")
    if isinstance(x, PyDataset) or (
        hasattr(x, "num_batches") and hasattr(x, "__getitem__") and not hasattr(x, "shape")
    ):
        _refuse("a PyDataset", y, sample_weight)
        return PyDatasetSource(x, shuffle, seed, class_weight)
    if isinstance(x, Source):
        return x
    if is_arrays(x):
        return Arrays(x, y, sample_weight, batch_size, shuffle, seed, class_weight)
    if _is_numbers(x):
        return Arrays(
            _array(x, "x"),
            None if y is None else tree_of_arrays(y),
            sample_weight,
            batch_size,
            shuffle,
            seed,
            class_weight,
        )
    if is_stream(x) and not isinstance(x, (list, tuple)):
        _refuse(f"a {type(x).__name__}", y, sample_weight)
        return (Generator if hasattr(x, "__next__") else Stream)(x, class_weight)
    kinds = sorted({type(leaf).__name__ for leaf in tree.flatten(x)})
    raise ValueError(
        f"x of type {type(x).__name__} (holding {', '.join(kinds)}) cannot be used as data. Expected numpy arrays, "
        "native tensors, pandas frames, a PyDataset, a generator, a tf.data.Dataset or a torch DataLoader."
    )


def tree_of_arrays(y: Any) -> Any:
    """Return lists of numbers as one array, other trees as they are."""
    return _array(y, "y") if _is_numbers(y) else y


def _array(rows: Any, argument: str) -> np.ndarray:
    try:
        return np.asarray(rows)
    except ValueError:
        raise ValueError(
            f"{argument} is a list of rows of different lengths. Bring them to one length, e.g. with pad_sequences."
        ) from None


def _is_numbers(x: Any) -> bool:
    return isinstance(x, (list, tuple)) and bool(x) and all(isinstance(v, (int, float, bool, list, tuple, str)) for v in x) \
        and not any(hasattr(v, "shape") for v in tree.flatten(x))  # fmt: skip


def _refuse(what: str, y: Any, sample_weight: Any) -> None:
    for name, value in (("y", y), ("sample_weight", sample_weight)):
        if value is not None:
            raise ValueError(
                f"{name} must not be given when x is {what}: its batches carry targets and weights themselves."
            )
