"""The table of faults names tests that exist."""

import re
from pathlib import Path

TESTS = Path(__file__).parent.parent


def test_every_test_of_the_table_is_there():
    text = (TESTS.parent / "docs" / "faults.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("|") and "**" not in line][2:]
    defined = {name for path in TESTS.rglob("test_*.py") for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)}
    for row in rows:
        named = re.findall(r"`(test_\w+)`", row)
        assert named, row
        assert set(named) <= defined, set(named) - defined
    in_table = set(re.findall(r"`(test_\w+)`", text))
    own = set(re.findall(r"^def (test_\w+)", "".join(p.read_text() for p in TESTS.glob("faults/test_[rt]*.py")), re.M))
    assert own - in_table <= {"test_every_test_of_the_table_is_there"}
