"""A record of the names that programs asked for and multikeras lacks."""

import sys
from pathlib import Path

_asked: dict[str, str] = {}
_OWN = str(Path(__file__).parent)


def record(name: str) -> None:
    """Note that the program asked for `name`, and where it did so first."""
    if name not in _asked:
        _asked[name] = _asking_place()


def _asking_place() -> str:
    frame = sys._getframe(2)
    while frame is not None:
        path = frame.f_code.co_filename
        if not path.startswith((_OWN, "<frozen importlib")):
            return f"{path}:{frame.f_lineno}"
        frame = frame.f_back
    return "?"


def missing_names() -> dict[str, str]:
    """Return the names asked for in vain, each with the file and line that asked first."""
    return dict(_asked)


def report() -> str:
    """Return the report printed at the end of `python -m multikeras --report`."""
    if not _asked:
        return "multikeras: the program asked for no name that multikeras lacks."
    width = max(map(len, _asked))
    lines = [f"  {name:<{width}}  {place}" for name, place in sorted(_asked.items())]
    return "\n".join([f"multikeras lacks {len(_asked)} name(s) that the program asked for:", *lines])
