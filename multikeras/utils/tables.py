"""Tables as HTML for notebooks."""

import html
from collections.abc import Sequence


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "", below: Sequence[str] = ()) -> str:
    """Return a table of texts as HTML; columns whose name ends in "#" are set to the right.

    >>> table(["name"], [["a<b"]])
    '<table><tr><th style="text-align:left">name</th></tr><tr><td style="text-align:left">a&lt;b</td></tr></table>'
    """
    sides = ["right" if name.endswith("#") else "left" for name in columns]

    def row(cells: Sequence[str], tag: str) -> str:
        texts = (html.escape(cell).replace("\n", "<br>") for cell in cells)
        return "<tr>" + "".join(f'<{tag} style="text-align:{s}">{t}</{tag}>' for s, t in zip(sides, texts)) + "</tr>"

    head = f"<div><b>{html.escape(title)}</b></div>" if title else ""
    foot = "".join(f"<div>{html.escape(line)}</div>" for line in below)
    return f"{head}<table>{row(columns, 'th')}{''.join(row(r, 'td') for r in rows)}</table>{foot}"
