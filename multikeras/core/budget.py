"""How much memory the content of a file may make us take: whoever allocates by its numbers asks here before."""

import contextlib
import threading
from collections.abc import Iterator


class _Budget(threading.local):
    def __init__(self):
        self.left: int | None = None
        self.source = ""


_budget = _Budget()


@contextlib.contextmanager
def limit(size: int, source: str) -> Iterator[None]:
    """Allow `size` bytes, in sum, to what is made inside the block; `source` says what they follow from."""
    outer = _budget.left, _budget.source
    _budget.left, _budget.source = size, source
    try:
        yield
    finally:
        _budget.left, _budget.source = outer


def take(size: int, what: str) -> None:
    """Ask for `size` bytes. Raises ValueError inside a `limit` that they, with what was taken before, go beyond."""
    if _budget.left is None:
        return
    if size > _budget.left:
        raise ValueError(
            f"{what} takes {size} bytes, {_budget.left} are left: more than {_budget.source} can have weights for."
        )
    _budget.left -= size
