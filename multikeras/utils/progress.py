"""Where progress is shown: redrawn in a terminal, as a table in a notebook, as plain lines anywhere else."""

import html
import os
import shutil
import sys
import uuid
from dataclasses import dataclass, field
from typing import Any

from multikeras.utils.messages import print_msg

_STYLES = {"bold": "\x1b[1m", "dim": "\x1b[2m", "done": "\x1b[32m", "left": "\x1b[90m", "good": "\x1b[1;32m", "note": "\x1b[36m"}
_MOST_ROWS = 200
"""Epochs that a notebook shows: a page with all of very many would not scroll any more."""


@dataclass
class Drawing:
    """How far a loop is.

    Attributes:
        count: Steps done, "3/20".
        share: How much of the work is done, from 0 to 1; None where nobody knows.
        width: Characters of the bar.
        time: Time that is left, or at the end was taken.
        pace: Time a step.
        values: Names and values.
        good: Names of values that are the best so far.
        note: What else goes on.
        final: Whether nothing will follow.
    """

    count: str
    share: float | None
    width: int
    time: str
    pace: str
    values: list[tuple[str, str]] = field(default_factory=list)
    good: frozenset[str] = frozenset()
    note: str = ""
    final: bool = False

    def bar(self) -> tuple[str, str]:
        """Return the two parts of the bar, to half a character."""
        halves = int(2 * self.width * min(max(self.share or 0.0, 0.0), 1.0))
        done = "━" * (halves // 2) + ("╸" if halves % 2 else "")
        return done, "━" * (self.width - len(done))

    def parts(self) -> list[tuple[str, str]]:
        """Return the line as pieces of text, each with the name of its style."""
        parts = [(self.count, "bold")]
        if self.share is not None:
            done, left = self.bar()
            parts += [(" ", ""), (done, "done"), (left, "left")]
        parts += [(" ", ""), (self.time, "bold"), (f" {self.pace}", "")]
        for name, value in self.values:
            parts += [(f" - {name}: ", ""), (value, "good" if name in self.good else "")]
        return [*parts, (f" - {self.note}", "note")] if self.note else parts


class Lines:
    """Whole lines for a file or pipe, without colours: one when a loop is over."""

    redraws = False

    def title(self, text: str) -> None:
        """Say what comes next."""
        print_msg(text)

    def draw(self, drawing: Drawing) -> None:
        """Show how far a loop is."""
        print_msg("".join(text for text, _ in drawing.parts()))


class Terminal(Lines):
    """One line that is drawn again and again, cut to the width of the terminal."""

    redraws = True

    def __init__(self):
        self.colours = "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"

    def draw(self, drawing):
        room = shutil.get_terminal_size().columns - 1
        line = []
        for text, style in drawing.parts():
            shown = text if len(text) <= room else text[: room - 1] + "…" * (room > 0)
            room -= len(text)
            line.append(f"{_STYLES[style]}{shown}\x1b[0m" if style and self.colours else shown)
            if room <= 0 and not drawing.final:
                break  # a line that wraps cannot be drawn again; the last one may wrap
        text = "".join(line) if not drawing.final else "".join(
            f"{_STYLES[style]}{text}\x1b[0m" if style and self.colours else text for text, style in drawing.parts()
        )  # fmt: skip
        print_msg(f"\r{text}\x1b[K" + ("\n" if drawing.final else ""), line_break=False)


class Notebook(Lines):
    """A table with a row for each loop, the last one of them with a bar."""

    redraws = True

    def __init__(self):
        self.rows: list[tuple[str, Drawing | None]] = []
        self._shown: Any = None

    def title(self, text):
        self.rows.append((text, None))
        del self.rows[:-_MOST_ROWS]

    def draw(self, drawing):
        if not self.rows or (self.rows[-1][1] is not None and self.rows[-1][1].final):
            self.title("")
        self.rows[-1] = self.rows[-1][0], drawing
        display = sys.modules["IPython.display"]
        if self._shown is None:
            self._shown = display.display(self, display_id=uuid.uuid4().hex)
        else:
            self._shown.update(self)

    def _repr_html_(self) -> str:
        names = list(dict.fromkeys(name for _, d in self.rows if d is not None for name, _ in d.values))
        head = "".join(f"<th>{html.escape(name)}</th>" for name in ("", "steps", "time", *names, ""))
        return f'<table style="font-variant-numeric:tabular-nums"><tr>{head}</tr>{"".join(map(_row(names), self.rows))}</table>'

    def __repr__(self):
        return "\n".join(f"{title} {''.join(t for t, _ in d.parts()) if d else ''}".strip() for title, d in self.rows)


def _row(names: list[str]):
    def row(titled: tuple[str, Drawing | None]) -> str:
        title, drawing = titled
        cells = [f"<td>{html.escape(title)}</td>"]
        if drawing is not None:
            share = "" if drawing.share is None else f'value="{drawing.share:.3f}"'
            bar = "" if drawing.final else f'<progress max="1" {share} style="width:12em"></progress> {html.escape(drawing.note)}'
            values = dict(drawing.values)
            cells += [f"<td>{html.escape(x)}</td>" for x in (drawing.count, f"{drawing.time} ({drawing.pace})")]
            for name in names:
                weight = ' style="font-weight:bold"' if name in drawing.good else ""
                cells.append(f"<td{weight}>{html.escape(values.get(name, ''))}</td>")
            cells.append(f'<td style="text-align:left">{bar}</td>')
        return f"<tr>{''.join(cells)}</tr>"

    return row


def in_notebook() -> bool:
    """Tell whether output goes to a notebook."""
    return "ipykernel" in sys.modules and "IPython.display" in sys.modules and not sys.stdout.isatty()


def screen() -> Lines:
    """Return the place where progress is shown."""
    if in_notebook():
        return Notebook()
    redraws = "PYCHARM_HOSTED" in os.environ or bool(getattr(sys.stdout, "isatty", bool)())
    return Terminal() if redraws else Lines()
