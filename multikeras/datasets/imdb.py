"""Film reviews, each for or against: 25,000 to train and 25,000 to test, as word numbers."""

from typing import Any

import numpy as np

from multikeras.datasets import _words
from multikeras.datasets._arrays import npz, shuffled

_HASH = "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"


def load_data(
    path: str = "imdb.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int = 3,
    **kwargs: Any,
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return (x_train, y_train), (x_test, y_test): arrays of lists of word numbers, and 0 or 1.

    Args:
        path: Name of the copy in the cache.
        num_words: Only words with smaller numbers are kept.
        skip_top: Words with smaller numbers are replaced.
        maxlen: Longer reviews are left out.
        seed: Seed of the order.
        start_char: Put in front of each review.
        oov_char: Put in the place of replaced words.
        index_from: Added to the numbers of words.
    """
    if kwargs:
        raise TypeError(f"imdb.load_data: unknown argument {next(iter(kwargs))!r}.")
    names = ("x_train", "y_train", "x_test", "y_test")
    x_train, y_train, x_test, y_test = npz(path, "imdb.npz", _HASH, names)
    # One generator draws both orders, as the published splits have it.
    generator = np.random.RandomState(seed)
    x_train, y_train = shuffled(generator, x_train, y_train)
    x_test, y_test = shuffled(generator, x_test, y_test)
    texts, labels = [*x_train, *x_test], np.concatenate([y_train, y_test])
    long = sum(bool(maxlen) and len(t) + (start_char is not None) >= maxlen for t in x_train)
    rows, labels = _words.numbered(texts, labels, num_words, skip_top, maxlen, start_char, oov_char, index_from)
    first = len(x_train) - long
    return (_words.ragged(rows[:first]), labels[:first]), (_words.ragged(rows[first:]), labels[first:])


def get_word_index(path: str = "imdb_word_index.json") -> dict[str, int]:
    """Return the number of each word, before `index_from` is added."""
    return _words.word_index(path, "imdb_word_index.json", "bfafd718b763782e994055a2d397834f")
