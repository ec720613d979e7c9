"""`keras.preprocessing.text`: words and texts as numbers."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

_FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'


def text_to_word_sequence(input_text: str, filters: str = _FILTERS, lower: bool = True, split: str = " ") -> list[str]:
    """Return the words of a text, without the characters in `filters`.

    >>> text_to_word_sequence("Hello, small world!")
    ['hello', 'small', 'world']
    """
    text = input_text.lower() if lower else input_text
    text = text.translate(str.maketrans(dict.fromkeys(filters, split)))
    return [word for word in text.split(split) if word]


def hashing_trick(
    text: str, n: int, hash_function: Any = None, filters: str = _FILTERS, lower: bool = True, split: str = " ",
    analyzer: Callable | None = None,
) -> list[int]:  # fmt: skip
    """Return a number from 1 to n - 1 for each word, by Python's `hash`, by md5 ("md5") or by a function."""
    if hash_function is None:
        hash_function = hash
    elif hash_function == "md5":
        hash_function = _md5
    words = text_to_word_sequence(text, filters, lower, split) if analyzer is None else analyzer(text)
    return [hash_function(word) % (n - 1) + 1 for word in words]


def _md5(word: str) -> int:
    return int(hashlib.md5(word.encode(), usedforsecurity=False).hexdigest(), 16)


def one_hot(
    input_text: str, n: int, filters: str = _FILTERS, lower: bool = True, split: str = " ",
    analyzer: Callable | None = None,
) -> list[int]:  # fmt: skip
    """Return `hashing_trick` with Python's `hash`."""
    return hashing_trick(input_text, n, None, filters, lower, split, analyzer)


class Tokenizer:
    """Numbers the words of texts by how often they occur, from 1.

    Args:
        num_words: Only the most frequent `num_words - 1` words are kept.
        filters: Characters taken out of texts.
        lower: Whether to lower texts.
        split: What separates words.
        char_level: Take characters for words.
        oov_token: Stands for words not seen in `fit_on_texts`; its number is 1.
        analyzer: A function from a text to words.

    >>> tokenizer = Tokenizer(oov_token="?")
    >>> tokenizer.fit_on_texts(["a cat", "a dog"])
    >>> tokenizer.texts_to_sequences(["a bird"])
    [[2, 1]]
    """

    def __init__(
        self,
        num_words: int | None = None,
        filters: str = _FILTERS,
        lower: bool = True,
        split: str = " ",
        char_level: bool = False,
        oov_token: str | None = None,
        analyzer: Callable | None = None,
        **kwargs: Any,
    ):
        self.document_count = kwargs.pop("document_count", 0)
        kwargs.pop("nb_words", None)
        if kwargs:
            raise TypeError(f"Tokenizer: unknown argument {next(iter(kwargs))!r}.")
        self.num_words, self.filters, self.lower, self.split = num_words, filters, lower, split
        self.char_level, self.oov_token, self.analyzer = char_level, oov_token, analyzer
        self.word_counts: Counter[str] = Counter()
        self.word_docs: defaultdict[str, int] = defaultdict(int)
        self.index_docs: defaultdict[int, int] = defaultdict(int)
        self.word_index: dict[str, int] = {}
        self.index_word: dict[int, str] = {}

    def _words(self, text: Any) -> Sequence[str]:
        if self.analyzer is not None:
            return self.analyzer(text)
        if self.char_level or isinstance(text, (list, tuple)):
            lowered = [part.lower() for part in text] if self.lower else list(text)
            return lowered
        return text_to_word_sequence(text, self.filters, self.lower, self.split)

    def fit_on_texts(self, texts: Iterable) -> None:
        """Count the words of texts and number them."""
        for text in texts:
            words = self._words(text)
            self.document_count += 1
            self.word_counts.update(words)
            for word in set(words):
                self.word_docs[word] += 1
        # sorted() keeps words of equal counts in the order in which they came.
        ranked = sorted(self.word_counts, key=lambda word: -self.word_counts[word])
        ranked = ranked if self.oov_token is None else [self.oov_token, *ranked]
        self.word_index = {word: i for i, word in enumerate(ranked, 1)}
        self.index_word = {i: word for word, i in self.word_index.items()}
        self.index_docs.update({self.word_index[word]: n for word, n in self.word_docs.items()})

    def fit_on_sequences(self, sequences: Iterable[Sequence[int]]) -> None:
        """Count the numbers in sequences, for `sequences_to_matrix`."""
        for sequence in sequences:
            self.document_count += 1
            for i in set(sequence):
                self.index_docs[i] += 1

    def _kept(self, index: int | None) -> bool:
        return index is not None and (not self.num_words or index < self.num_words)

    def texts_to_sequences_generator(self, texts: Iterable) -> Iterator[list[int]]:
        """Give the numbers of the words of each text."""
        unseen = self.word_index.get(self.oov_token) if self.oov_token is not None else None
        for text in texts:
            found = (self.word_index.get(word) for word in self._words(text))
            found = (i if self._kept(i) else unseen for i in found)
            yield [i for i in found if i is not None]

    def texts_to_sequences(self, texts: Iterable) -> list[list[int]]:
        """Return the numbers of the words of each text."""
        return list(self.texts_to_sequences_generator(texts))

    def sequences_to_texts_generator(self, sequences: Iterable[Sequence[int]]) -> Iterator[str]:
        """Give the text of each sequence of numbers."""
        for sequence in sequences:
            found = (self.index_word.get(i) if self._kept(i) else None for i in sequence)
            yield " ".join(w for w in (self.oov_token if w is None else w for w in found) if w is not None)

    def sequences_to_texts(self, sequences: Iterable[Sequence[int]]) -> list[str]:
        """Return the text of each sequence of numbers."""
        return list(self.sequences_to_texts_generator(sequences))

    def texts_to_matrix(self, texts: Iterable, mode: str = "binary") -> np.ndarray:
        """Return a row of word statistics for each text; modes as for `sequences_to_matrix`."""
        return self.sequences_to_matrix(self.texts_to_sequences(texts), mode)

    def sequences_to_matrix(self, sequences: Sequence[Sequence[int]], mode: str = "binary") -> np.ndarray:
        """Return a row of word statistics for each sequence: "binary", "count", "freq" or "tfidf"."""
        if mode not in ("binary", "count", "freq", "tfidf"):
            raise ValueError(f"Tokenizer: mode must be binary, count, freq or tfidf, got {mode!r}.")
        width = self.num_words or len(self.word_index) + 1
        if width == 1:
            raise ValueError("Tokenizer: fit_on_texts first, or pass num_words=.")
        if mode == "tfidf" and not self.document_count:
            raise ValueError("Tokenizer: fit_on_texts or fit_on_sequences before mode='tfidf'.")
        out = np.zeros((len(sequences), width))
        for row, sequence in zip(out, sequences):
            for i, count in Counter(i for i in sequence if i < width).items():
                rare = np.log(1 + self.document_count / (1 + self.index_docs.get(i, 0)))
                row[i] = {
                    "binary": 1, "count": count, "freq": count / len(sequence), "tfidf": (1 + np.log(count)) * rare,
                }[mode]  # fmt: skip
        return out

    def get_config(self) -> dict:
        """Return settings and counts; the counts as JSON texts."""
        counts = {name: json.dumps(dict(getattr(self, name))) for name in _COUNTS}
        return {name: getattr(self, name) for name in _SETTINGS} | counts

    def to_json(self, **kwargs: Any) -> str:
        """Return the tokenizer as JSON; further arguments go to `json.dumps`."""
        return json.dumps({"class_name": "Tokenizer", "config": self.get_config()}, **kwargs)


_SETTINGS = ("num_words", "filters", "lower", "split", "char_level", "oov_token", "document_count")
_COUNTS = ("word_counts", "word_docs", "index_docs", "index_word", "word_index")


def tokenizer_from_json(json_string: str) -> Tokenizer:
    """Return the tokenizer that `to_json` wrote."""
    found = json.loads(json_string)["config"]
    tokenizer = Tokenizer(**{name: found[name] for name in _SETTINGS})
    tokenizer.word_counts = Counter(json.loads(found["word_counts"]))
    tokenizer.word_docs.update(json.loads(found["word_docs"]))
    tokenizer.index_docs.update({int(i): n for i, n in json.loads(found["index_docs"]).items()})
    tokenizer.index_word = {int(i): word for i, word in json.loads(found["index_word"]).items()}
    tokenizer.word_index = json.loads(found["word_index"])
    return tokenizer
