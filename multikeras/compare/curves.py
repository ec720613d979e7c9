"""Curves drawn as SVG: no script, no external file, colours from the page's CSS variables."""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

_WIDTH, _HEIGHT = 560, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 12, 38


class Curve(NamedTuple):
    """One line: a value an epoch, None where there is none."""

    name: str
    values: Sequence[float]
    color: int
    """Number of the CSS variable --c0, --c1, ..."""
    dashed: bool = False


def nice_ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Return round numbers that cover low to high.

    >>> nice_ticks(0.0, 1.0)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    span = high - low or abs(high) or 1.0
    power = 10 ** math.floor(math.log10(span / wanted))
    step = next(power * m for m in (1, 2, 5, 10) if power * m * wanted >= span * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    every = max(1, -(-(last - first) // 6))
    return [10.0**i for i in range(first, last + 1, every)]


def _spelled(value: float) -> str:
    return f"{value:g}" if value == 0 or 1e-4 < abs(value) < 1e5 else f"{value:.0e}"


def chart(title: str, curves: Sequence[Curve], log: bool = False, level: tuple[float, str] | None = None) -> str:
    """Return an SVG of curves over epochs.

    Args:
        title: Read out by screen readers and written above.
        curves: Lines; the first is drawn widest, so that lines that coincide are all seen.
        log: Logarithmic values; those of 0 are left out.
        level: A horizontal line and its label.
    """
    points = [v for c in curves for v in c.values if math.isfinite(v) and (v > 0 or not log)]
    points += [level[0]] if level is not None and (level[0] > 0 or not log) else []
    epochs = max((len(c.values) for c in curves), default=0)
    if not points or not epochs:
        return ""
    ticks = _log_ticks(min(points), max(points)) if log else nice_ticks(min(points), max(points))
    scale = math.log10 if log else float
    low, high = scale(min(ticks[0], min(points))), scale(max(ticks[-1], max(points)))

    def x(epoch: int) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * ((epoch - 1) / (epochs - 1) if epochs > 1 else 0.5)

    def y(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - (scale(value) - low) / ((high - low) or 1))

    out = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title, quote=True)}">']
    for tick in ticks:
        out.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        out.append(f'<text x="{_LEFT - 8}" y="{y(tick) + 4:.1f}" text-anchor="end">{_spelled(tick)}</text>')
    every = max(1, -(-epochs // 10))
    for epoch in range(1, epochs + 1, every):
        out.append(f'<text x="{x(epoch):.1f}" y="{_HEIGHT - 18}" text-anchor="middle">{epoch}</text>')
    out.append(f'<text class="axis" x="{(_LEFT + _WIDTH) / 2:.0f}" y="{_HEIGHT - 2}" text-anchor="middle">epoch</text>')
    if level is not None:
        at = y(level[0])
        out.append(f'<line class="level" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        out.append(f'<text x="{_WIDTH - _RIGHT}" y="{at - 5:.1f}" text-anchor="end">{escape(level[1])}</text>')
    solid = sum(not c.dashed for c in curves) or 1
    for i, curve in enumerate(curves):
        width = 1.75 + 2.25 * max(solid - 1 - i % solid, 0)
        style = f"stroke:var(--c{curve.color});stroke-width:{width}" + (";stroke-dasharray:7 5" if curve.dashed else "")
        for run in _runs(curve.values, log):
            if len(run) == 1:
                epoch, value = run[0]
                fill = f"fill:var(--c{curve.color})"
                out.append(f'<circle cx="{x(epoch):.1f}" cy="{y(value):.1f}" r="{2 + width / 2:.1f}" style="{fill}"/>')
            else:
                path = " ".join(f"{x(e):.1f},{y(v):.1f}" for e, v in run)
                out.append(f'<polyline points="{path}" style="{style}"><title>{escape(curve.name)}</title></polyline>')
    return "".join([*out, "</svg>"])


def _runs(values: Sequence[float], log: bool) -> list[list[tuple[int, float]]]:
    """Return stretches of (epoch, value) without holes."""
    runs: list[list[tuple[int, float]]] = [[]]
    for epoch, value in enumerate(values, 1):
        if math.isfinite(value) and (value > 0 or not log):
            runs[-1].append((epoch, value))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]
