"""`Dataset`: batches made one after the other by a chain of steps, in numpy; and data cut in two."""

import itertools
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from multikeras.core import tree
from multikeras.random import host, seed_generator


def in_threads(fetch: Callable, items: Iterable[Any], workers: int, size: int) -> Iterator[Any]:
    """Give `fetch(item)` for each item, in order, computed by threads up to `size` ahead; its exceptions come out here."""
    items = iter(items)
    pending: deque[Future] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        pending.extend(pool.submit(fetch, item) for item in itertools.islice(items, size))
        while pending:
            result = pending.popleft().result()
            pending.extend(pool.submit(fetch, item) for item in itertools.islice(items, 1))
            yield result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class Dataset:
    """Elements that are made anew at each pass; every method returns another Dataset.

    What `utils.*_dataset_from_*` return where TensorFlow is not loaded. The methods are those of
    `tf.data.Dataset` that programs use most. Elements are trees of numpy arrays.

    Args:
        make: Function that returns an iterator over the elements.
        size: Number of elements, None where it is not known.

    >>> data = Dataset.from_tensor_slices(([1, 2, 3], [4, 5, 6])).map(lambda x, y: (x * 10, y)).batch(2)
    >>> [(x.tolist(), y.tolist()) for x, y in data]
    [([10, 20], [4, 5]), ([30], [6])]
    """

    def __init__(self, make: Callable[[], Iterator[Any]], size: int | None = None):
        self._make, self._size = make, size
        self.class_names: list[str] | None = None
        self.file_paths: list[str] | None = None

    @classmethod
    def from_tensor_slices(cls, tensors: Any) -> "Dataset":
        """Return the rows of a tree of arrays."""
        arrays = tree.map_structure(np.asarray, tensors) if not isinstance(tensors, list) else np.asarray(tensors)
        if isinstance(tensors, tuple):
            arrays = tuple(a if isinstance(a, np.ndarray) else np.asarray(a) for a in tensors)
        rows = len(tree.flatten(arrays)[0])
        return cls(lambda: (tree.map_structure(lambda a: a[i], arrays) for i in range(rows)), rows)  # noqa: B023

    def __iter__(self) -> Iterator[Any]:
        return self._make()

    def __len__(self) -> int:
        if self._size is None:
            raise TypeError("The number of elements of this Dataset is not known.")
        return self._size

    as_numpy_iterator = __iter__

    def cardinality(self) -> int:
        """Return the number of elements, -2 where it is not known."""
        return -2 if self._size is None else self._size

    def _with(self, make: Callable[[], Iterator[Any]], size: int | None) -> "Dataset":
        other = Dataset(make, size)
        other.class_names, other.file_paths = self.class_names, self.file_paths
        return other

    def map(self, f: Callable, num_parallel_calls: int | None = None, deterministic: Any = None) -> "Dataset":
        """Apply a function to each element, whose parts are its arguments; in so many threads if it says so."""

        def call(element):
            return f(*element) if isinstance(element, tuple) else f(element)

        if num_parallel_calls in (None, 0, 1):
            return self._with(lambda: map(call, self), self._size)
        workers = num_parallel_calls if num_parallel_calls and num_parallel_calls > 0 else 4
        return self._with(lambda: in_threads(call, self, workers, 4 * workers), self._size)

    def filter(self, keeps: Callable) -> "Dataset":
        """Keep the elements for which a function is true."""
        return self._with(lambda: (e for e in self if (keeps(*e) if isinstance(e, tuple) else keeps(e))), None)

    def batch(self, batch_size: int, drop_remainder: bool = False, **_: Any) -> "Dataset":
        """Stack so many elements into one."""

        def make():
            elements = iter(self)
            while rows := list(itertools.islice(elements, batch_size)):
                if len(rows) == batch_size or not drop_remainder:
                    yield tree.map_structure(lambda *xs: np.stack([np.asarray(x) for x in xs]), *rows)

        whole = None if self._size is None else self._size // batch_size
        rest = 0 if self._size is None or drop_remainder else (self._size % batch_size > 0)
        return self._with(make, None if whole is None else whole + rest)

    def unbatch(self) -> "Dataset":
        """Give the rows of each element."""

        def make():
            for batch in self:
                for i in range(len(tree.flatten(batch)[0])):
                    yield tree.map_structure(lambda a: a[i], batch)  # noqa: B023

        return self._with(make, None)

    def shuffle(
        self, buffer_size: int | None = None, seed: int | None = None, reshuffle_each_iteration: bool = True
    ) -> "Dataset":
        """Give the elements of each run of `buffer_size` in random order, in another one at each pass."""
        seed = seed_generator.make_default_seed() if seed is None else seed
        passes = itertools.count()

        def make():
            turn = next(passes) if reshuffle_each_iteration else 0
            elements = iter(self)
            for part in itertools.count():
                run = list(itertools.islice(elements, buffer_size))
                if not run:
                    return
                for i in host.permutation(seed + part, turn, len(run)):
                    yield run[i]

        return self._with(make, self._size)

    def repeat(self, count: int | None = None) -> "Dataset":
        """Begin again at the end: so many passes, or for ever."""
        passes = itertools.count() if count in (None, -1) else range(count)  # type: ignore[arg-type]
        size = None if self._size is None or count in (None, -1) else self._size * count  # type: ignore[operator]
        return self._with(lambda: (e for _ in passes for e in self), size)

    def take(self, count: int) -> "Dataset":
        """Give the first elements only."""
        return self._with(lambda: itertools.islice(self, count), None if self._size is None else min(count, self._size))

    def skip(self, count: int) -> "Dataset":
        """Leave the first elements out."""
        size = None if self._size is None else max(self._size - count, 0)
        return self._with(lambda: itertools.islice(self, count, None), size)

    def concatenate(self, other: "Dataset") -> "Dataset":
        """Go on with the elements of another."""
        known = self._size is not None and other._size is not None
        return self._with(lambda: itertools.chain(self, other), self._size + other._size if known else None)  # type: ignore

    def enumerate(self, start: int = 0) -> "Dataset":
        """Give pairs of a number and the element."""
        return self._with(lambda: enumerate(self, start), self._size)

    def cache(self, *_: Any) -> "Dataset":
        """Keep the elements of the first whole pass in memory."""
        kept: list[Any] = []
        whole = []

        def make():
            if whole:
                yield from kept
                return
            kept.clear()
            for element in self:
                kept.append(element)
                yield element
            whole.append(True)

        return self._with(make, self._size)

    def prefetch(self, *_: Any) -> "Dataset":
        """Return the set: `fit` works ahead by itself."""
        return self


def native(dataset: Dataset, batched: bool) -> Any:
    """Return a `tf.data` set where TensorFlow is loaded, whose functions a program may map over it, else `dataset` as it is.

    The first dimension of batches is left open.
    """
    first = next(iter(dataset), None) if "tensorflow.python" in sys.modules else None
    if first is None:
        return dataset
    tf = sys.modules["tensorflow"]

    def spec(x):
        x = np.asarray(x)
        dtype = tf.string if x.dtype.kind in "OSU" else x.dtype
        return tf.TensorSpec((None, *x.shape[1:]) if batched else x.shape, dtype)

    found = tf.data.Dataset.from_generator(lambda: iter(dataset), output_signature=tf.nest.map_structure(spec, first))
    size = dataset.cardinality()
    found = found.apply(tf.data.experimental.assert_cardinality(size)) if size >= 0 else found
    found.class_names, found.file_paths = dataset.class_names, dataset.file_paths
    return found


def split_dataset(
    dataset: Any,
    left_size: float | int | None = None,
    right_size: float | int | None = None,
    shuffle: bool = False,
    seed: int | None = None,
    preferred_backend: str | None = None,
) -> tuple[Any, Any]:
    """Cut data into two sets, e.g. for training and validation.

    Args:
        dataset: Arrays, trees of arrays, or any iterable of elements: a `tf.data` set, a torch data set, a list.
        left_size: Share (float) or number (int) of elements in the first set.
        right_size: The same for the second set.
        shuffle: Whether elements are drawn at random.
        seed: Seed of that.
        preferred_backend: Kept for programs that give it.

    Returns: two `tf.data` sets where TensorFlow is loaded, two `Dataset`s elsewhere.

    >>> left, right = split_dataset(np.arange(10), left_size=0.8)
    >>> len(left), [int(x) for x in right]
    (8, [8, 9])
    """
    if preferred_backend not in (None, "tensorflow", "torch", "grain"):
        raise ValueError(f"split_dataset: preferred_backend={preferred_backend!r} is none of tensorflow, torch and grain.")
    elements = _elements(dataset)
    left, right = _sizes(len(elements), left_size, right_size)
    if shuffle:
        order = host.permutation(seed_generator.make_default_seed() if seed is None else seed, 0, len(elements))
        elements = [elements[i] for i in order]
    return native(_listed(elements[:left]), False), native(_listed(elements[len(elements) - right :]), False)


def _listed(elements: list) -> Dataset:
    return Dataset(lambda: iter(elements), len(elements))


def _elements(dataset: Any) -> list:
    """Return the elements of data of any kind."""
    batched = getattr(dataset, "_batch_size", None) is not None or type(dataset).__name__ in ("_BatchDataset", "DataLoader")
    if hasattr(dataset, "shape") or (isinstance(dataset, (tuple, dict)) and dataset) or _is_list_of_arrays(dataset):
        arrays = tree.map_structure(np.asarray, dataset)
        sizes = {len(a) for a in tree.flatten(arrays)}
        if len(sizes) > 1:
            raise ValueError(f"split_dataset: all arrays must have one length, got {sorted(sizes)}.")
        arrays = tuple(arrays) if isinstance(arrays, list) else arrays
        return [tree.map_structure(lambda a: a[i], arrays) for i in range(sizes.pop())]  # noqa: B023
    if hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__") and not isinstance(dataset, list):
        found = [dataset[i] for i in range(len(dataset))]
    elif hasattr(dataset, "__iter__") and not isinstance(dataset, (str, bytes)):
        found = list(dataset)
    else:
        raise TypeError(f"split_dataset: Unsupported dataset type: {type(dataset)}. Give arrays or an iterable of elements.")
    found = [tree.map_structure(_array, tuple(e) if isinstance(e, list) else e) for e in found]
    if batched:
        return [tree.map_structure(lambda a: a[i], e) for e in found for i in range(len(tree.flatten(e)[0]))]  # noqa: B023
    return found


def _is_list_of_arrays(x: Any) -> bool:
    return isinstance(x, list) and bool(x) and all(hasattr(a, "shape") and len(a.shape) for a in x)


def _array(x: Any) -> np.ndarray:
    return np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)


def _sizes(total: int, left: Any, right: Any) -> tuple[int, int]:
    for name, size in (("left_size", left), ("right_size", right)):
        if size is None:
            continue
        if isinstance(size, bool) or not isinstance(size, (int, float)):
            raise TypeError(f"Invalid `{name}` Type. Expected: int or float or None, got {size!r}.")
        if not (0 < size < total if isinstance(size, int) else 0 <= size <= 1):
            raise ValueError(
                f"`{name}` should be either a positive integer smaller than {total}, or a float within the range [0, 1], "
                f"got {size}."
            )
    if left is None and right is None:
        raise ValueError("At least one of the `left_size` or `right_size` must be specified, both are None.")
    if isinstance(left, float) and isinstance(right, float) and left + right > 1:
        raise ValueError(f"sum of `left_size` and `right_size` should not exceed 1, got {left} + {right}.")
    first = None if left is None else left if isinstance(left, int) else round(left * total)
    second = None if right is None else right if isinstance(right, int) else round(right * total)
    first = total - second if first is None else first  # type: ignore[operator]
    second = total - first if second is None else second
    if first + second > total:
        raise ValueError(f"The sum of `left_size` and `right_size` should be smaller than {total}, got {first} + {second}.")
    if not first or not second:
        raise ValueError(f"split_dataset: of {total} elements, left_size={left} and right_size={right} leave one set empty.")
    return first, second

