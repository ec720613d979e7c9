"""News of 1987 in 46 topics, as word numbers."""

import numpy as np

from multikeras.datasets import _words
from multikeras.datasets._arrays import npz, shuffled

_HASH = "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916"
_TOPICS = """cocoa grain veg-oil earn acq wheat copper housing money-supply coffee sugar trade reserves ship cotton
carcass crude nat-gas cpi money-fx interest gnp meal-feed alum oilseed gold tin strategic-metal livestock retail
ipi iron-steel rubber heat jobs lei bop zinc orange pet-chem dlr gas silver wpi hog lead"""


def load_data(
    path: str = "reuters.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    test_split: float = 0.2,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int = 3,
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return (x_train, y_train), (x_test, y_test): arrays of lists of word numbers, and topics.

    Args:
        path: Name of the copy in the cache.
        num_words: Only words with smaller numbers are kept.
        skip_top: Words with smaller numbers are replaced.
        maxlen: Longer texts are left out.
        test_split: Fraction of the test part.
        seed: Seed of the order.
        start_char: Put in front of each text.
        oov_char: Put in the place of replaced words.
        index_from: Added to the numbers of words.
    """
    texts, labels = shuffled(seed, *npz(path, "reuters.npz", _HASH, ("x", "y")))
    rows, labels = _words.numbered(texts, labels, num_words, skip_top, maxlen, start_char, oov_char, index_from)
    first = int(len(rows) * (1 - test_split))
    return (_words.ragged(rows[:first]), labels[:first]), (_words.ragged(rows[first:]), labels[first:])


def get_word_index(path: str = "reuters_word_index.json") -> dict[str, int]:
    """Return the number of each word, before `index_from` is added."""
    return _words.word_index(path, "reuters_word_index.json", "4d44cc38712099c9e383dc6e5f11a921")


def get_label_names() -> tuple[str, ...]:
    """Return the names of the topics by number.

    >>> len(get_label_names()), get_label_names()[3]
    (46, 'earn')
    """
    return tuple(_TOPICS.split())
