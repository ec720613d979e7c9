"""Ratios as bars in an SVG, on a logarithmic scale around 1."""

import math
from xml.sax.saxutils import escape

COLOURS = ("#3b6ea5", "#c98a2b")
LEFT, ROW, BAR, WIDTH = 130, 30, 11, 640


def bars(title: str, series: tuple[str, ...], groups: dict[str, dict[str, list[float]]]) -> str:
    """Return an SVG in which every row of every group has a bar for each of `series`.

    Args:
        title: What the bars show.
        series: What each ratio of a row is to.
        groups: {group: {row: ratios}}.
    """
    values = [v for rows in groups.values() for ratios in rows.values() for v in ratios]
    low, high = min([0.5, *values]), max([2.0, *values])
    scale = (WIDTH - LEFT - 60) / math.log(high / low)
    one = LEFT - math.log(low) * scale
    parts, y = [_text(10, 20, f"{title} {' and '.join(series)}", "bold")], 34
    for i, name in enumerate(series):
        parts += [_bar(LEFT + 90 * i, y, 10, i), _text(LEFT + 14 + 90 * i, y + 10, name)]
    y += 30
    top = y
    for group, rows in groups.items():
        for row, ratios in rows.items():
            parts.append(_text(10, y + 16, f"{group} {row}"))
            for i, value in enumerate(ratios):
                end = one + math.log(value) * scale
                parts += [_bar(min(one, end), y + i * (BAR + 1), abs(end - one), i),
                          _text(max(one, end) + 4, y + i * (BAR + 1) + 9, f"{value:.2f}")]  # fmt: skip
            y += ROW
        y += 8
    parts.append(f'<line x1="{one:.1f}" x2="{one:.1f}" y1="{top - 6}" y2="{y}" stroke="#888"/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 10}" font-family="sans-serif" font-size="11">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _bar(x: float, y: float, width: float, i: int) -> str:
    return f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{COLOURS[i]}"/>'


def _text(x: float, y: float, text: str, weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y}" font-weight="{weight}">{escape(text)}</text>'
