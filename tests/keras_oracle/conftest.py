"""Keras itself, on the backend under test, as the oracle; without it these tests are skipped."""

import os
import warnings

import pytest

from multikeras.backend import current

if not os.environ.get("KERAS_BACKEND"):
    os.environ["KERAS_BACKEND"] = current.name


@pytest.fixture(scope="session")
def keras():
    """The installed keras package."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = pytest.importorskip("keras")
    if module.backend.backend() != current.name:
        pytest.skip(f"keras runs on {module.backend.backend()} in this process, not on {current.name}")
    return module
