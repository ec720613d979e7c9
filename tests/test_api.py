"""Every public name of Keras is offered but those listed in api_missing.txt; run this file to print that list anew."""

import ast
import importlib
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

LIST = Path(__file__).parent / "api_missing.txt"
NOT_PUBLIC = ("src", "_tf_keras")


def public_names() -> Iterator[str]:
    """Yield "layers.Dense", ..., read from the installed package without running it."""
    spec = find_spec("keras")
    if spec is None or spec.origin is None or "multikeras" in spec.origin:
        pytest.skip("needs the keras package, whose names are the measure")
    root = Path(spec.origin).parent
    for file in sorted(root.rglob("__init__.py")):
        parts = file.parent.relative_to(root).parts
        if parts[:1] and parts[0] in NOT_PUBLIC:
            continue
        for statement in ast.parse(file.read_text()).body:
            if isinstance(statement, ast.ImportFrom):
                for alias in statement.names:
                    name = alias.asname or alias.name
                    if not name.startswith("_") and name not in NOT_PUBLIC:
                        yield ".".join([*parts, name])


def offered(name: str) -> bool:
    path, _, last = name.rpartition(".")
    try:
        module = importlib.import_module(f"multikeras.{path}" if path else "multikeras")
    except ModuleNotFoundError:
        return False
    if hasattr(module, last):
        return True
    try:
        return find_spec(f"multikeras.{name}") is not None
    except ModuleNotFoundError:
        return False


def missing() -> set[str]:
    return {name for name in public_names() if not offered(name)}


def test_no_public_name_is_missing_but_those_listed():
    known = {line.split("#")[0].strip() for line in LIST.read_text().splitlines()} - {""}
    found = missing()
    assert sorted(found - known) == [], "these names of Keras are not offered"
    assert sorted(known - found) == [], "these names are offered now: take them off tests/api_missing.txt"


if __name__ == "__main__":
    sys.stdout.write("".join(f"{name}\n" for name in sorted(missing())))
