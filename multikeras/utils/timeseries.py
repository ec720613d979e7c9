"""Windows of a series as a data set."""

from typing import Any

import numpy as np

from multikeras.utils.dataset import Dataset, native


def timeseries_dataset_from_array(
    data, targets, sequence_length, sequence_stride=1, sampling_rate=1, batch_size=128, shuffle=False, seed=None,
    start_index=None, end_index=None, format="tf",
) -> Any:  # fmt: skip
    """Return batches of windows of a series, and the target of each.

    A `tf.data` set where TensorFlow is loaded, a `utils.Dataset` elsewhere.

    Args:
        data: Steps of the series, along the first axis.
        targets: `targets[i]` belongs to the window that begins at step `i`; None for windows only.
        sequence_length: Entries of a window.
        sequence_stride: Steps from the begin of one window to that of the next.
        sampling_rate: Steps from one entry of a window to the next.
        batch_size: Windows a batch; None for single windows.
        shuffle: Whether windows come in random order.
        seed: Seed of that.
        start_index: First step that is used.
        end_index: Step before which the used part ends.
        format: Kept for programs that give it, "tf" or "grain".

    >>> first = next(iter(timeseries_dataset_from_array(np.arange(9), None, 3, batch_size=2)))
    >>> np.asarray(first).tolist()
    [[0, 1, 2], [1, 2, 3]]
    """
    if format not in ("tf", "grain"):
        raise ValueError(f'`format` should be either "tf" or "grain", got {format!r}.')
    rows = len(data)
    for name, value in (("start_index", start_index), ("end_index", end_index)):
        if value is not None and (value < 0 or value >= rows if name == "start_index" else value <= 0 or value > rows):
            raise ValueError(f"`{name}` must be a step of the series of {rows}, got {value}.")
    if start_index is not None and end_index is not None and end_index <= start_index:
        raise ValueError(f"`end_index` must be higher than start_index={start_index}, got {end_index}.")
    limits = {"sampling_rate": sampling_rate, "sequence_stride": sequence_stride, "sequence_length": sequence_length}
    for name, value in limits.items():
        if value <= 0 or value >= rows:
            raise ValueError(f"`{name}` must be higher than 0 and lower than the length of the data, {rows}; got {value}.")
    first, last = start_index or 0, rows if end_index is None else end_index
    data = np.asarray(data)
    reach = (sequence_length - 1) * sampling_rate
    starts = np.arange(first, max(last - reach, first), sequence_stride)
    if targets is not None:
        targets = np.asarray(targets)
        starts = starts[starts < len(targets)]

    def window(start):
        x = data[start : start + reach + 1 : sampling_rate]
        return x if targets is None else (x, targets[start])

    windows = Dataset.from_tensor_slices(starts)
    windows = (windows.shuffle(seed=seed) if shuffle else windows).map(window)
    if batch_size is not None:
        windows = windows.batch(batch_size)
    return native(windows, batched=batch_size is not None)
