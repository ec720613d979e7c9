"""The comparison as one HTML file that needs nothing else: to read on screen, light or dark, or on paper."""

import datetime
import math
import os
import platform
from html import escape
from pathlib import Path

from multikeras.compare.curves import Curve, chart
from multikeras.compare.results import BackendResult, Results
from multikeras.compare.table import final_text, gap_text, past_text, rate, seconds, size, verdict

_CSS = """
:root { color-scheme: light dark; --bg: #fff; --fg: #1d2129; --soft: #5b6472; --line: #d9dde3; --panel: #f6f7f9;
  --bad: #b3261e; --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #aa4499; --c4: #8a6d00; --c5: #444; }
@media (prefers-color-scheme: dark) { :root { --bg: #14171c; --fg: #e6e9ee; --soft: #9aa4b2; --line: #333a45;
  --panel: #1c2128; --bad: #ff8a80; --c0: #56b4e9; --c1: #ff9d5c; --c2: #3ddba6; --c3: #e08bd0; --c4: #e3c64b;
  --c5: #ccc; } }
@media print { :root { color-scheme: light; --bg: #fff; --fg: #000; --soft: #444; --line: #bbb; --panel: #fff;
  --bad: #900; --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #aa4499; --c4: #8a6d00; --c5: #444; }
  body { margin: 0; } figure, tr, pre { break-inside: avoid; } }
* { box-sizing: border-box; }
body { background: var(--bg); color: var(--fg); font: 15px/1.5 system-ui, sans-serif; max-width: 1240px;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { margin: .3rem 0; } .soft { color: var(--soft); } .bad { color: var(--bad); }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .45rem .7rem; text-align: right; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-weight: 600; color: var(--soft); vertical-align: bottom; }
th:first-child, td:first-child, .left { text-align: left !important; } td { white-space: nowrap; }
td.final { white-space: pre; } td.bad { white-space: normal; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 1rem; }
figure { margin: 0; padding: .8rem; background: var(--panel); border: 1px solid var(--line); border-radius: 6px; }
figcaption { font-weight: 600; margin-bottom: .3rem; } .legend { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; }
.key { display: inline-block; width: 1.6rem; height: 0; border-top: 4px solid; vertical-align: middle;
  margin-right: .4rem; }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--soft); font-size: 12px; }
svg polyline { fill: none; stroke-linejoin: round; stroke-linecap: round; } svg .grid { stroke: var(--line); }
svg .level { stroke: var(--soft); stroke-dasharray: 2 4; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: .8rem; overflow-x: auto;
  font-size: 13px; white-space: pre-wrap; }
"""

_HEADS = ("backend", "at the end", "largest gap of the losses", "past the tolerance from", "first step",
          "steps/s after the first epoch", "peak memory", "import", "in all")  # fmt: skip


def _row(results: Results, result: BackendResult) -> str:
    gap = results.gap(result.backend)
    if result.status != "ok":
        cell = f'<td class="left bad" colspan="{len(_HEADS) - 2}">failed: {escape(result.reason)}</td>'
        return f"<tr><td>{_key(results, result)}</td>{cell}<td>{seconds(result.wall_seconds)}</td></tr>"
    numbers = (
        gap_text(gap, result is results.reference), past_text(gap), seconds(result.first_step_seconds),
        rate(result.steps_per_second), size(result.peak_bytes), seconds(result.import_seconds),
        seconds(result.wall_seconds),
    )  # fmt: skip
    cells = "".join(f"<td>{escape(n)}</td>" for n in numbers)
    return f'<tr><td>{_key(results, result)}</td><td class="left final">{escape(final_text(result))}</td>{cells}</tr>'


def _color(results: Results, result: BackendResult) -> int:
    return list(results.backends).index(result.backend) % 6


def _key(results: Results, result: BackendResult) -> str:
    color = f"border-color:var(--c{_color(results, result)})"
    return f'<span style="white-space:nowrap"><span class="key" style="{color}"></span>{escape(result.backend)}</span>'


def _curves(results: Results, fit: int, name: str) -> list[Curve]:
    curves = []
    for shown, dashed in ((name, False), (f"val_{name}", True)):
        for result in results.backends.values():
            values = result.fits[fit].curve(shown) if fit < len(result.fits) else []
            if any(v == v for v in values):
                curves.append(Curve(f"{result.backend}: {shown}", values, _color(results, result), dashed))
    return curves


def _figure(title: str, drawing: str) -> str:
    return f"<figure><figcaption>{escape(title)}</figcaption>{drawing}</figure>" if drawing else ""


def _figures(results: Results, fit: int) -> list[str]:
    names = dict.fromkeys(
        name.removeprefix("val_")
        for result in results.backends.values() if fit < len(result.fits)
        for logs in result.fits[fit].logs for name in logs
    )  # fmt: skip
    out = []
    for name in sorted(names, key=lambda name: name != "loss"):
        curves = _curves(results, fit, name)
        title = f"{name} (dashed: on the validation data)" if any(c.dashed for c in curves) else name
        out.append(_figure(title, chart(title, curves)))
    return out


def _gap_figure(results: Results) -> str:
    gaps = {b.backend: results.gap(b.backend) for b in results.succeeded}
    curves = [
        Curve(name, gap.by_epoch, _color(results, results.backends[name]))
        for name, gap in gaps.items() if gap is not None
    ]  # fmt: skip
    if results.reference is None or not any(0 < v < math.inf for c in curves for v in c.values):
        return ""
    title = f"relative gap of the losses to those of {results.reference.backend}"
    level = (results.tolerance, f"tolerance {results.tolerance:g}") if results.tolerance > 0 else None
    return _figure(title, chart(title, curves, log=True, level=level))


def report_html(results: Results) -> str:
    """Return the report as a complete HTML document."""
    backends = list(results.backends.values())
    now = datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    versions: dict[str, str] = {}
    for result in backends:
        versions |= result.versions
    about = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    command = " ".join([results.script, *results.args])
    parts = [
        f"<h1>{escape(command)}</h1>",
        f'<p class="soft">seed {results.seed} · {escape(about)} · {escape(machine)} · {escape(now)}</p>',
        f"<p>{escape(verdict(results))}</p>",
        '<div class="wide"><table><thead><tr>',
        "".join(f"<th{' class=left' if head == 'at the end' else ''}>{head}</th>" for head in _HEADS),
        "</tr></thead><tbody>",
        *(_row(results, result) for result in backends),
        "</tbody></table></div>",
    ]
    fits = max((len(result.fits) for result in backends), default=0)
    for fit in range(fits):
        figures = _figures(results, fit) + ([_gap_figure(results)] if fit == 0 else [])
        parts.append(f"<h2>{'Curves' if fits == 1 else f'Call {fit + 1} of fit'}</h2>")
        legend = "".join(_key(results, r) for r in backends if fit < len(r.fits))
        parts.append(f'<p class="legend">{legend}</p><div class="charts">{"".join(figures)}</div>')
    for result in backends:
        if result.status != "ok":
            lines = escape("\n".join(result.traceback))
            parts.append(f'<h2 class="bad">{escape(result.backend)}: {escape(result.reason)}</h2><pre>{lines}</pre>')
    title = escape(f"{Path(results.script).name} on {', '.join(results.backends)}")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_CSS}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def write_report(results: Results, path: Path) -> None:
    """Write the report to a file."""
    path.write_text(report_html(results), "utf-8")
