"""The backend under test, chosen by MULTIKERAS_BACKEND, and its known exceptions from `xfail/<backend>.txt`."""

import zlib
from pathlib import Path

import pytest

from multikeras.backend import current
from multikeras.utils import set_random_seed

XFAIL = Path(__file__).parent / "xfail" / f"{current.name}.txt"


@pytest.fixture
def backend():
    """The instance that runs the primitives."""
    return current


@pytest.fixture(autouse=True)
def _seeded(request):
    """Let a test draw the same numbers in every run, whichever tests ran before it."""
    set_random_seed(zlib.crc32(request.node.nodeid.encode()))


def exceptions(text: str) -> list[tuple[str, str]]:
    """Return (part of a test's id, why it fails) for each line `part | reason | link`; # starts a comment."""
    rows = (line.split("|") for line in text.splitlines() if line.strip() and not line.startswith("#"))
    return [(part.strip(), f"{reason.strip()} ({link.strip()})") for part, reason, link in rows]


def pytest_collection_modifyitems(items):
    known = exceptions(XFAIL.read_text()) if XFAIL.is_file() else []
    for item in items:
        if item.get_closest_marker("gradients") and not current.supports_gradients:
            item.add_marker(pytest.mark.skip(reason=f"the {current.name} backend computes no gradients"))
        for part, reason in known:
            if part in item.nodeid:
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True))


def pytest_configure(config):
    config.addinivalue_line("markers", "gradients: needs a backend that differentiates")
