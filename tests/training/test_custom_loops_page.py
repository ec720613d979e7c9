"""The programs of docs/custom_loops.md run, one after the other, on every backend."""

import re
from pathlib import Path

import pytest

from multikeras import backend

PAGE = Path(__file__).parents[2] / "docs" / "custom_loops.md"


@pytest.mark.skipif(not backend.current.supports_gradients, reason="this backend computes no gradients")
@pytest.mark.filterwarnings("ignore:The loss is nan")
def test_the_programs_of_the_page_run(capsys):
    programs = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    assert len(programs) == 4
    names = {}
    for program in programs:
        exec(compile(program, str(PAGE), "exec"), names)
    assert "op 'log' made it so" in capsys.readouterr().out
