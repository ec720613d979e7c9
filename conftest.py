"""What examples in docstrings may use without importing it: `ops`, `multikeras` and Python's own functions."""

import builtins

import pytest

import multikeras

# Files that only run on their own framework, or in a child process.
collect_ignore_glob = [
    "multikeras/backend/*_backend.py",
    "multikeras/backend/*_fused.py",
    "multikeras/backend/*_programs.py",
    "multikeras/compare/probe.py",
]


@pytest.fixture(autouse=True)
def names_of_examples(doctest_namespace):
    # Modules of ops have functions of their own called `round`, `sum`, ...
    doctest_namespace.update(vars(builtins), multikeras=multikeras, ops=multikeras.ops)
