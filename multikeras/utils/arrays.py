"""Small conversions of arrays: one-hot rows, unit vectors, padded sequences."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from multikeras import ops
from multikeras.backend import current
from multikeras.core.node import KerasTensor


def to_categorical(x: Any, num_classes: int | None = None) -> Any:
    """Turn class numbers into one-hot rows.

    Args:
        x: Integers from 0 to `num_classes - 1`, shape `(...)` or `(..., 1)`: numpy, a list or a tensor.
        num_classes: Length of a row, the largest number plus one if not given.

    Returns: shape `(..., num_classes)`; float64 for numpy and lists, a floatx tensor for a tensor.

    >>> to_categorical([0, 2]).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    if isinstance(x, KerasTensor) or current.is_tensor(x):
        if len(x.shape) > 1 and x.shape[-1] == 1:
            x = ops.squeeze(x, -1)
        if num_classes is None:
            num_classes = int(ops.max(x)) + 1
        return ops.one_hot(x, num_classes)
    labels = np.asarray(x, "int64")
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if num_classes is None:
        num_classes = int(labels.max()) + 1 if labels.size else 0
    if labels.size and not -num_classes <= labels.min() <= labels.max() < num_classes:
        raise IndexError(
            f"to_categorical: x holds class numbers from {labels.min()} to {labels.max()}, which do not fit "
            f"num_classes={num_classes}."
        )
    return np.eye(num_classes)[labels]


def normalize(x: Any, axis: int = -1, order: int = 2) -> Any:
    """Divide by the norm of the given order along an axis; vectors of zeros stay.

    >>> normalize(np.array([[3.0, 4.0]])).tolist()
    [[0.6, 0.8]]
    """
    if isinstance(x, np.ndarray):
        norm = np.atleast_1d(np.linalg.norm(x, order, axis))
        return x / np.expand_dims(np.where(norm == 0, 1, norm), axis)
    return ops.normalize(x, axis=axis, order=order)


def pad_sequences(
    sequences: Sequence[Sequence],
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> np.ndarray:
    """Bring sequences to one length.

    Args:
        sequences: Lists of numbers, strings or equally shaped arrays.
        maxlen: Length of the result, that of the longest sequence if not given.
        dtype: dtype of the result; strings need `object` or `"<U.."`.
        padding: `"pre"` or `"post"`: where `value` is added.
        truncating: `"pre"` or `"post"`: where entries are cut off.
        value: What is added.

    Returns: array of shape `(len(sequences), maxlen, ...)`.

    >>> pad_sequences([[1], [1, 2, 3]], maxlen=2).tolist()
    [[0, 1], [2, 3]]
    """
    for argument, side in (("padding", padding), ("truncating", truncating)):
        if side not in ("pre", "post"):
            raise ValueError(f'pad_sequences: {argument} must be "pre" or "post", got {side!r}.')
    if not hasattr(sequences, "__len__"):
        raise ValueError(f"pad_sequences: sequences must be a list of sequences, got {sequences!r}.")
    for sequence in sequences:
        if not hasattr(sequence, "__len__"):
            raise ValueError(f"pad_sequences: every entry of sequences must be a sequence, got {sequence!r}.")
    text = np.issubdtype(dtype, np.str_) or np.issubdtype(dtype, np.object_)
    if isinstance(value, str) and not text:
        raise ValueError(
            f"pad_sequences: `dtype` {dtype} is not compatible with value={value!r}, a string. "
            'Pass dtype=object or dtype="<U..".'
        )
    rows = [np.asarray(s, dtype) if len(s) else None for s in sequences]
    if maxlen is None:
        maxlen = max((len(s) for s in sequences), default=0)
    entry = next((row.shape[1:] for row in rows if row is not None), ())
    out = np.full((len(rows), maxlen, *entry), value, dtype)
    for i, row in enumerate(rows):
        if row is None or maxlen == 0:
            continue
        if row.shape[1:] != entry:
            raise ValueError(
                f"pad_sequences: the entries of sequence {i} have shape {row.shape[1:]}, those before have {entry}."
            )
        row = row[-maxlen:] if truncating == "pre" else row[:maxlen]
        out[i, slice(0, len(row)) if padding == "post" else slice(maxlen - len(row), maxlen)] = row
    return out


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """Put data, targets and weights together as `fit` takes them from an iterator.

    >>> pack_x_y_sample_weight(1, 2), pack_x_y_sample_weight([1])
    ((1, 2), ([1],))
    """
    if y is None:
        return (x,) if isinstance(x, (list, tuple)) else x
    return (x, y) if sample_weight is None else (x, y, sample_weight)


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """Take apart what an iterator gave `fit`: `(x, y, sample_weight)` with None for what is not there.

    >>> unpack_x_y_sample_weight((1, 2))
    (1, 2, None)
    """
    if isinstance(data, list):
        data = tuple(data)
    if not isinstance(data, tuple):
        return data, None, None
    if not 1 <= len(data) <= 3:
        raise ValueError(
            f"A batch must be x, (x,), (x, y) or (x, y, sample_weight); got a tuple of {len(data)}: {data!r}."
        )
    return (*data, *(None,) * (3 - len(data)))
