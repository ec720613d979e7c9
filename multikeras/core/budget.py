"""How much memory and work the content of a file may make us take: whoever goes by its numbers asks here before."""

import contextlib
import threading
from collections.abc import Iterator


class _Budget(threading.local):
    def __init__(self):
        self.left: float | None = None
        self.rounds = 0
        self.source = ""


_budget = _Budget()


MOST_ROUNDS = 10**5
"""Rounds of loops in Python, in sum, that a file may make the building of its model take."""


@contextlib.contextmanager
def limit(size: float, source: str) -> Iterator[None]:
    """Allow `size` bytes, in sum, to what is made inside the block; `source` says what they follow from."""
    outer = _budget.left, _budget.rounds, _budget.source
    _budget.left, _budget.rounds, _budget.source = size, MOST_ROUNDS, source
    try:
        yield
    finally:
        _budget.left, _budget.rounds, _budget.source = outer


def take(size: int, what: str) -> None:
    """Ask for `size` bytes. Raises ValueError inside a `limit` that they, with what was taken before, go beyond."""
    if _budget.left is None:
        return
    if size > _budget.left:
        raise ValueError(
            f"{what} takes {size} bytes, {_budget.left} are left: more than {_budget.source} can have weights for."
        )
    _budget.left -= size


def loop(rounds: int, what: str) -> None:
    """Ask for that many rounds of a loop in Python. Raises ValueError inside a `limit` if they, in sum, are too many."""
    if _budget.left is None:
        return
    if rounds > _budget.rounds:
        raise ValueError(f"{what} takes {rounds} steps: {_budget.source} may make us take {MOST_ROUNDS} in sum.")
    _budget.rounds -= rounds
