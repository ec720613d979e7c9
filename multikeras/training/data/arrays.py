"""Arrays in memory: moved to the device once, cut into batches there."""

import math
from typing import Any

import numpy as np

from multikeras import config
from multikeras.backend import current, dtypes
from multikeras.core import tree
from multikeras.random import host
from multikeras.training.data.source import Source
from multikeras.utils.arrays import pack_x_y_sample_weight, unpack_x_y_sample_weight

_MOST_ON_DEVICE = 4 << 30
"""Bytes of arrays that are moved to the device as a whole."""


def is_array(x: Any) -> bool:
    """Tell whether `x` is an array or a column of data frames, of any library."""
    rows = hasattr(x, "__getitem__") or hasattr(x, "toarray") or hasattr(x, "todense") or hasattr(x, "dense_shape")
    return (hasattr(x, "shape") and rows and not callable(x)) or hasattr(x, "__array__")


def is_arrays(x: Any) -> bool:
    """Tell whether all leaves of `x` are arrays."""
    leaves = tree.flatten(x)
    return (
        bool(leaves)
        and all(leaf is None or is_array(leaf) for leaf in leaves)
        and any(leaf is not None for leaf in leaves)
    )


def as_rows(x: Any, argument: str) -> Any:
    """Return one array as a numpy array or native tensor of numbers, floats in floatx; TypeError for anything else."""
    if is_sparse_rows(x) or current.is_tensor(x):
        return x
    x = dense(x)
    if hasattr(x, "to_numpy"):
        x = x.to_numpy()  # a pandas frame or series
    if is_foreign(x):
        return from_foreign(x)
    array = np.asarray(x)
    if array.dtype.kind == "O":
        try:
            array = array.astype(config.floatx())
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{argument} holds objects that are not numbers (dtype=object, e.g. {array.reshape(-1)[:1].tolist()}). "
                "Convert it to a numeric array, and rows of different lengths to one length, e.g. with pad_sequences."
            ) from error
    if array.dtype.kind in "US":
        raise ValueError(
            f"{argument} holds strings (dtype={array.dtype}). Models take numbers: map strings to integers first."
        )
    if array.nbytes > _MOST_ON_DEVICE:
        return array  # each batch is cast by itself
    if array.dtype.kind == "f" and array.dtype.name != config.floatx() and dtypes.is_float(array.dtype.name):
        array = array.astype(dtypes.numpy_dtype(config.floatx()))
    return array


def is_foreign(x: Any) -> bool:
    """Tell whether `x` is a tensor of a framework that is not the backend; none is imported to find out."""
    return type(x).__module__.partition(".")[0] in ("torch", "tensorflow", "jax", "jaxlib") and not current.is_tensor(x)


def from_foreign(x: Any) -> Any:
    """Return a tensor of another framework as a native one, where it lies if both can share it, floats in floatx."""
    x = current.asarray(x)
    dtype = current.dtype(x)
    return current.cast(x, config.floatx()) if dtypes.is_float(dtype) and dtype != config.floatx() else x


def is_sparse_rows(x: Any) -> bool:
    """Tell whether `x` is a sparse matrix of scipy, whose rows are cut out batch by batch."""
    return hasattr(x, "tocsr") and hasattr(x, "toarray")


def dense(x: Any) -> Any:
    """Return a sparse matrix of scipy, JAX or TensorFlow as an array with its zeros, anything else as it is."""
    if hasattr(x, "toarray"):
        array = x.toarray()
        return array.astype(config.floatx()) if array.dtype.kind == "f" else array
    if hasattr(x, "todense"):
        return np.asarray(x.todense())
    if hasattr(x, "dense_shape") and hasattr(x, "indices") and hasattr(x, "values"):
        indices, values = np.asarray(x.indices), np.asarray(x.values)
        array = np.zeros(tuple(int(n) for n in x.dense_shape), values.dtype)
        array[tuple(indices.T)] = values
        return array
    return x


def rows_of(structure: Any, argument: str) -> Any:
    """Return a tree of arrays with every leaf converted by `as_rows`."""
    return tree.map_structure(lambda leaf: None if leaf is None else as_rows(leaf, argument), structure)


def check_lengths(**named: Any) -> int:
    """Return the common number of rows, refusing arrays of different lengths, of no rank or of no rows."""
    sizes = {}
    for name, structure in named.items():
        for i, leaf in enumerate(x for x in tree.flatten(structure) if x is not None):
            if len(leaf.shape) == 0:
                raise ValueError(
                    f"{name} must have a first dimension of samples, got a scalar. A list stands for several arrays: make one "
                    "array of its numbers with numpy.array()."
                )
            sizes[name if i == 0 else f"{name}[{i}]"] = int(leaf.shape[0])
    if len(set(sizes.values())) > 1:
        raise ValueError(
            "All arrays must have the same number of samples (first dimension). Got: "
            + ", ".join(f"{k}: {v}" for k, v in sizes.items()) + "."
        )  # fmt: skip
    rows = next(iter(sizes.values()), 0)
    if rows == 0:
        raise ValueError(f"The data set is empty: {', '.join(sizes) or 'x'} has 0 samples. Give at least one.")
    return rows


def class_weights_of(y: Any, class_weight: dict[int, float]) -> np.ndarray:
    """Return the weight of each row of `y`, labels or one-hot, by its class."""
    if not isinstance(class_weight, dict):
        raise ValueError(f"class_weight must be a dict of weights by class, e.g. {{0: 1.0, 1: 2.5}}, got {class_weight!r}.")
    flat = tree.flatten(y)
    if len(flat) != 1:
        raise ValueError(f"class_weight is for models with one output, y has {len(flat)} parts.")
    labels = np.asarray(current.to_numpy(flat[0]) if current.is_tensor(flat[0]) else flat[0])
    if labels.ndim > 1:
        labels = labels.argmax(-1) if labels.shape[-1] > 1 else labels[..., 0]
    labels = np.round(labels).astype("int64")
    others = max(map(int, class_weight), default=0) + 1  # the place of all labels that have no weight
    weights = np.ones(others + 1, config.floatx())
    for label, weight in class_weight.items():
        weights[int(label)] = weight
    return weights[np.where((labels < 0) | (labels > others), others, labels)]


def _on_host(x: Any) -> Any:
    if x is None or isinstance(x, np.ndarray) or current.is_ragged(x):
        return x
    return x.tocsr() if is_sparse_rows(x) else current.to_numpy(x)


def _at_rows(x: Any, rows: Any) -> Any:
    """Return rows, given as a slice or by their numbers, of what `_on_host` returned."""
    if isinstance(rows, slice) or not current.is_ragged(x):
        return x[rows]
    return current.concatenate([x[int(i) : int(i) + 1] for i in rows], 0)


class Arrays(Source):
    """Batches of arrays in memory.

    Args:
        x, y, sample_weight: Trees of arrays with one first dimension.
        batch_size: Rows of a batch; 32 if None.
        shuffle: Whether rows (True) or batches ("batch") are put in a new order each epoch.
        seed: Seed of the order.
        class_weight: Weight of each class, for data without sample weights.
    """

    def __init__(self, x, y=None, sample_weight=None, batch_size=None, shuffle=False, seed=0, class_weight=None):
        x, y, sample_weight = (rows_of(v, n) for v, n in ((x, "x"), (y, "y"), (sample_weight, "sample_weight")))
        if class_weight is not None:
            if sample_weight is not None:
                raise ValueError("class_weight and sample_weight cannot be given together.")
            sample_weight = class_weights_of(y, class_weight)
        self.rows = check_lengths(x=x, y=y, sample_weight=sample_weight)
        if sample_weight is not None and y is not None:
            parts = tree.flatten(y)
            if len(tree.flatten(sample_weight)) == 1 and len(parts) > 1 and not tree.is_nested(sample_weight):
                sample_weight = tree.map_structure(lambda _: sample_weight, y)
        self.batch_size = 32 if batch_size is None else int(batch_size)
        if self.batch_size <= 0:
            raise ValueError(f"batch_size must be positive, got {batch_size!r}.")
        self.num_batches = math.ceil(self.rows / self.batch_size)
        self.full_batches = self.rows // self.batch_size
        self.shuffle, self.seed = shuffle, seed
        leaves = [leaf for leaf in tree.flatten((x, y, sample_weight)) if leaf is not None]
        # Rows are gathered here, not on the device, if not all of them should be there.
        kept = any(is_sparse_rows(leaf) or current.is_ragged(leaf) for leaf in leaves)
        self.on_host = kept or sum(getattr(a, "nbytes", 0) for a in leaves) > _MOST_ON_DEVICE
        if self.on_host:
            x, y, sample_weight = (tree.map_structure(_on_host, v) for v in (x, y, sample_weight))
        self._data = pack_x_y_sample_weight(x, y, sample_weight)
        self._on_device: Any = None
        self._in_batches: Any = None
        self.convert = current.asarray
        """What makes a tensor of rows of an array."""

    @property
    def tensors(self) -> Any:
        """The whole arrays on the device."""
        if self._on_device is None:
            self._on_device = tree.map_structure(lambda a: None if a is None else current.asarray(a), self._data)
        return self._on_device

    def in_batches(self) -> Any:
        """Return the full batches on the device, each a slice of one array; None for what came as tensors.

        A slice is cheaper than to gather rows: on JAX convolutions after it run on both cores, not on one and a half.
        """
        if self._in_batches is None and all(a is None or isinstance(a, np.ndarray) for a in tree.flatten(self._data)):
            count, size = self.full_batches, self.batch_size
            self._in_batches = tree.map_structure(
                lambda a: None if a is None else current.asarray(a[: count * size].reshape(count, size, *a.shape[1:])), self._data
            )
        return self._in_batches

    def order(self, epoch: int) -> np.ndarray | None:
        """Return the rows in the order of an epoch, None where they stay as they are."""
        if not self.shuffle:
            return None
        if self.shuffle == "batch":
            batches = (
                host.permutation(self.seed, epoch, self.full_batches) if self.full_batches else np.zeros(0, "int64")
            )
            rows = (batches[:, None] * self.batch_size + np.arange(self.batch_size)).reshape(-1)
            return np.concatenate([rows, np.arange(len(rows), self.rows)]).astype("int32")
        return host.permutation(self.seed, epoch, self.rows).astype("int32")

    def state(self):
        return {"seed": self.seed, "rows": self.rows, "batch_size": self.batch_size}

    def load_state(self, state):
        for name in ("rows", "batch_size"):
            if state[name] != getattr(self, name):
                raise ValueError(
                    f"The backup was made with {name}={state[name]}, the data here has {getattr(self, name)}: the position in "
                    "it is lost. Fit the same data, or use another backup_dir."
                )
        self.seed = state["seed"]

    def batches(self, epoch, skip=0):
        if skip >= self.num_batches:
            return
        order = self.order(epoch)
        for start in range(skip * self.batch_size, self.rows, self.batch_size):
            stop = min(start + self.batch_size, self.rows)
            if self.on_host:
                rows = slice(start, stop) if order is None else order[start:stop]
                yield tree.map_structure(lambda a: None if a is None else _at_rows(a, rows), self._data)  # noqa: B023
            elif order is None:
                yield self._between(start, stop)
            else:
                rows = current.asarray(order[start:stop], "int32")
                yield tree.map_structure(lambda a: None if a is None else current.take(a, rows, 0), self.tensors)  # noqa: B023

    def _between(self, start: int, stop: int) -> Any:
        """Return rows as native tensors, cut before they go to the device if the whole is not there anyway."""
        arrays = self._data if self._on_device is None else self._on_device
        if start == 0 and stop == self.rows:
            return self.tensors if self._on_device is not None else tree.map_structure(self._converted, arrays)
        return tree.map_structure(lambda a: None if a is None else self.convert(a[start:stop]), arrays)

    def _converted(self, a: Any) -> Any:
        return None if a is None else self.convert(a)

    def kind(self) -> Any:
        """Return what arrays have in common that fit the same models: structure, shapes of rows, dtypes."""
        leaves = tree.flatten(self._data)
        return tree.form(self._data), tuple([None if a is None else (tuple(a.shape[1:]), a.dtype) for a in leaves])

    def first(self, batches):
        rows = tree.map_structure(lambda a: None if a is None else a[: batches * self.batch_size], self._data)
        return Arrays(*(*rows, None, None)[:3], batch_size=self.batch_size)

    def split(self, fraction: float) -> tuple["Arrays", "Arrays"]:
        """Return the first rows and the last `fraction` of them."""
        if not 0 < fraction < 1:
            raise ValueError(f"validation_split must be between 0 and 1, got {fraction!r}.")
        at = int(self.rows * (1 - fraction))
        if at == 0 or at == self.rows:
            raise ValueError(
                f"validation_split={fraction} of {self.rows} samples leaves none for {'training' if at == 0 else 'validation'}."
            )
        first = tree.map_structure(lambda a: None if a is None else a[:at], self._data)
        last = tree.map_structure(lambda a: None if a is None else a[at:], self._data)
        first, last = (unpack_x_y_sample_weight(part) for part in (first, last))
        make = dict(batch_size=self.batch_size, seed=self.seed)
        return Arrays(*first, shuffle=self.shuffle, **make), Arrays(*last, **make)
