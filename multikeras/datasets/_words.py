"""Texts as lists of word numbers, the more frequent words having the smaller ones."""

import json
from collections.abc import Sequence

import numpy as np

from multikeras.datasets._arrays import GOOGLE
from multikeras.utils.files import get_file


def word_index(path: str, file: str, file_hash: str) -> dict[str, int]:
    """Return the number of each word, before `index_from` is added."""
    with open(get_file(path, origin=GOOGLE + file, file_hash=file_hash), encoding="utf-8") as opened:
        return json.load(opened)


def numbered(
    texts: Sequence[Sequence[int]], labels: np.ndarray, num_words: int | None, skip_top: int, maxlen: int | None,
    start_char: int | None, oov_char: int | None, index_from: int,
) -> tuple[list[list[int]], np.ndarray]:  # fmt: skip
    """Return texts and labels with a start sign, shifted numbers, and rare and all too frequent words replaced.

    Args:
        texts: Word numbers from 1.
        labels: One a text.
        num_words: Only words with smaller numbers are kept.
        skip_top: Words with smaller numbers are replaced.
        maxlen: Longer texts are left out.
        start_char: Put in front of each text, nothing for None.
        oov_char: Put in the place of replaced words; for None they are left out.
        index_from: Added to the numbers.
    """
    start = [] if start_char is None else [start_char]
    rows = [start + [int(w) + index_from for w in text] for text in texts]
    if maxlen:
        kept = [i for i, row in enumerate(rows) if len(row) < maxlen]
        rows, labels = [rows[i] for i in kept], labels[kept]
        if not rows:
            raise ValueError(f"load_data: no text is shorter than maxlen={maxlen}. Choose a larger one.")
    # Without num_words the one largest number counts as too large: the published arrays are so.
    largest = num_words or max(max(row) for row in rows if row)
    if oov_char is None:
        return [[w for w in row if skip_top <= w < largest] for row in rows], labels
    return [[w if skip_top <= w < largest else oov_char for w in row] for row in rows], labels


def ragged(rows: list[list[int]]) -> np.ndarray:
    """Return lists of any lengths as an array of objects."""
    out = np.empty(len(rows), dtype=object)
    out[:] = rows
    return out
