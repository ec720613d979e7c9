"""`keras.preprocessing.sequence`: windows of series, pairs of words."""

import random
from typing import Any

import numpy as np

from multikeras.utils.arrays import pad_sequences as pad_sequences


class TimeseriesGenerator:
    """Batches of windows of a series, each with the target that follows it.

    Args:
        data: Array, time first.
        targets: What is to be predicted, as long as `data`.
        length: Window length, in steps of `data`.
        sampling_rate: Every how many steps one is taken.
        stride: Steps between the starts of windows.
        start_index: Where to begin.
        end_index: The last step used.
        shuffle: Draw windows at random.
        reverse: Turn windows around.
        batch_size: Windows in a batch.

    >>> x, y = TimeseriesGenerator(np.arange(6), np.arange(6), length=3, batch_size=2)[0]
    >>> x.tolist(), y.tolist()
    ([[0, 1, 2], [1, 2, 3]], [3, 4])
    """

    def __init__(
        self, data: Any, targets: Any, length: int, sampling_rate: int = 1, stride: int = 1, start_index: int = 0,
        end_index: int | None = None, shuffle: bool = False, reverse: bool = False, batch_size: int = 128, **kwargs: Any,
    ):  # fmt: skip
        if len(data) != len(targets):
            raise ValueError(f"TimeseriesGenerator: data has {len(data)} steps, targets {len(targets)}.")
        self.data, self.targets, self.length, self.sampling_rate = np.asarray(data), np.asarray(targets), length, sampling_rate
        self.stride, self.start_index = stride, start_index + length
        self.end_index = len(data) - 1 if end_index is None else end_index
        self.shuffle, self.reverse, self.batch_size = shuffle, reverse, batch_size
        if self.start_index > self.end_index:
            raise ValueError(
                f"TimeseriesGenerator: no window of length {length} fits between step {start_index} and {self.end_index}."
            )

    def __len__(self) -> int:
        windows = (self.end_index - self.start_index) // self.stride + 1
        return -(-windows // self.batch_size)

    def __getitem__(self, index: int):
        if index >= len(self):
            raise IndexError(index)
        if self.shuffle:
            ends = np.random.randint(self.start_index, self.end_index + 1, size=self.batch_size)
        else:
            first = self.start_index + self.batch_size * self.stride * index
            ends = np.arange(first, min(first + self.batch_size * self.stride, self.end_index + 1), self.stride)
        x = np.array([self.data[end - self.length : end : self.sampling_rate] for end in ends])
        return (x[:, ::-1] if self.reverse else x), self.targets[ends]


def make_sampling_table(size: int, sampling_factor: float = 1e-5) -> np.ndarray:
    """Return for each rank of words by frequency the probability of keeping it (Zipf's law, word2vec's rule)."""
    rank = np.arange(size)
    rank[0] = 1
    rarity = rank * (np.log(rank) + 0.577) + 0.5 - 1.0 / (12.0 * rank)
    return np.minimum(1.0, np.sqrt(sampling_factor * rarity))


def skipgrams(
    sequence: Any, vocabulary_size: int, window_size: int = 4, negative_samples: float = 1.0, shuffle: bool = True,
    categorical: bool = False, sampling_table: Any = None, seed: int | None = None,
) -> tuple[list, list]:  # fmt: skip
    """Return pairs of words (numbers) and whether they stand near each other: from the text, and at random.

    Word 0 stands for no word and is left out.
    """
    couples, labels = [], []
    yes, no = ([0, 1], [1, 0]) if categorical else (1, 0)
    for i, word in enumerate(sequence):
        if not word or (sampling_table is not None and sampling_table[word] < random.random()):
            continue
        for j in range(max(0, i - window_size), min(len(sequence), i + window_size + 1)):
            if j != i and sequence[j]:
                couples.append([word, sequence[j]])
                labels.append(yes)
    if negative_samples > 0:
        words = [c[0] for c in couples]
        random.shuffle(words)
        more = int(len(labels) * negative_samples)
        couples += [[words[i % len(words)], random.randint(1, vocabulary_size - 1)] for i in range(more)]
        labels += [no] * more
    if shuffle:
        order = list(range(len(couples)))
        random.Random(random.randint(0, 10**6) if seed is None else seed).shuffle(order)
        couples, labels = [couples[i] for i in order], [labels[i] for i in order]
    return couples, labels
