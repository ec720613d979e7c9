"""Curves drawn as SVG: text that a browser or notebook shows, made without any other package."""

import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

_COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b")
_LEFT, _TOP, _BOTTOM = 60, 24, 46

Points = Sequence[tuple[float, float]]


def ends(values: Iterable[float]) -> tuple[float, float]:
    """Return the least and the greatest finite value, always apart.

    >>> ends([3.0, 1.0, float("nan")])
    (1.0, 3.0)
    """
    finite = [v for v in values if math.isfinite(v)] or [0.0]
    low, high = min(finite), max(finite)
    return low, high if high > low else low + (abs(low) or 1.0)


def round_numbers(low: float, high: float, count: int = 4) -> list[float]:
    """Return about `count` round numbers between two.

    >>> round_numbers(0.0, 10.0)
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next((m * power for m in (1, 2, 5) if m * power >= rough * 0.75), 10 * power)
    return [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def chart(
    lines: dict[str, Points],
    title: str = "",
    x_label: str = "",
    x_ticks: Sequence[tuple[float, str]] | None = None,
    mark: tuple[float, str] | None = None,
    width: int = 640,
    height: int = 366,
) -> str:
    """Return curves as the text of an SVG picture.

    Args:
        lines: Points of each curve, by name; points that are not finite leave gaps.
        title: What stands above.
        x_label: What stands below.
        x_ticks: Places and texts along the x axis.
        mark: A place on it to point out, and what to say of it.
        width, height: Size in pixels.

    >>> chart({"loss": [(0, 2.0), (1, 1.0)]})[:4]
    '<svg'
    """
    right, base = width - 20, height - _BOTTOM
    low_x, high_x = ends(x for points in lines.values() for x, _ in points)
    low_y, high_y = ends(y for points in lines.values() for _, y in points)

    def at(x: float, y: float) -> tuple[float, float]:
        across, up = (x - low_x) / (high_x - low_x), (y - low_y) / (high_y - low_y)
        return round(_LEFT + across * (right - _LEFT), 1), round(base - up * (base - _TOP), 1)

    parts = []
    for x, text in [(x, f"{x:g}") for x in round_numbers(low_x, high_x)] if x_ticks is None else x_ticks:
        px = at(x, low_y)[0]
        parts += [_line(px, _TOP, px, base, "#ddd"), _text(px, base + 16, text)]
    for y in round_numbers(low_y, high_y):
        py = at(low_x, y)[1]
        parts += [_line(_LEFT, py, right, py, "#ddd"), _text(_LEFT - 6, py + 4, f"{y:.4g}", "end")]
    for i, (name, points) in enumerate(lines.items()):
        colour = _COLOURS[i % len(_COLOURS)]
        parts += [_curve([at(*p) for p in run], colour) for run in _runs(points)]
        if len(lines) > 1:
            parts.append(_text(right - 4, _TOP + 14 + 15 * i, name, "end", colour))
    if mark is not None:
        px = at(mark[0], low_y)[0]
        parts += [_line(px, _TOP, px, base, "#d62728", 'stroke-dasharray="5"'), _text(px, 16, mark[1], colour="#d62728")]
    parts.append(f'<path d="M{_LEFT} {_TOP}V{base}H{right}" fill="none" stroke="#333"/>')
    parts += [_text((_LEFT + right) / 2, height - 8, x_label), _text((_LEFT + right) / 2, 16, title)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" font-family="sans-serif" '
        f'font-size="12">{"".join(parts)}</svg>'
    )


def _runs(points: Points) -> list[Points]:
    """Return the stretches of finite points."""
    runs: list[list[Any]] = [[]]
    for x, y in points:
        if math.isfinite(y):
            runs[-1].append((x, y))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _curve(points: Points, colour: str) -> str:
    if len(points) == 1:
        return f'<circle cx="{points[0][0]}" cy="{points[0][1]}" r="3" fill="{colour}"/>'
    places = " ".join(f"{x},{y}" for x, y in points)
    return f'<polyline fill="none" stroke="{colour}" stroke-width="2" points="{places}"/>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, more: str = "") -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" {more}/>'


def _text(x: float, y: float, text: str, anchor: str = "middle", colour: str = "#333") -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}">{html.escape(text)}</text>' if text else ""
