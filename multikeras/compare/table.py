"""The table that a comparison ends with."""

import math

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from multikeras.compare.results import BackendResult, Gap, Results

_WIDTH_OF_FILES = 150


def seconds(value: float | None) -> str:
    """Return a duration for reading.

    >>> seconds(0.0123), seconds(1.5), seconds(75), seconds(None)
    ('12 ms', '1.50 s', '75 s', '-')
    """
    if value is None:
        return "-"
    if value < 1:
        return f"{value * 1e3:.0f} ms"
    return f"{value:.2f} s" if value < 10 else f"{value:.0f} s"


def rate(value: float | None) -> str:
    """Return steps a second for reading."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def size(value: int | None) -> str:
    """Return a number of bytes for reading.

    >>> size(350 * 2**20)
    '350 MiB'
    """
    if value is None:
        return "-"
    return f"{value / 2**20:,.0f} MiB" if value < 10 * 2**30 else f"{value / 2**30:,.1f} GiB"


def gap_text(gap: Gap | None, reference: bool) -> str:
    """Return the largest relative gap for reading."""
    if gap is None:
        return "reference" if reference else "-"
    text = "NaN" if math.isinf(gap.largest) else f"{gap.largest:.1e}"
    return text if gap.same_epochs else f"{text}\nother epochs"


def past_text(gap: Gap | None) -> str:
    """Return the first epoch past the tolerance for reading."""
    if gap is None:
        return "-"
    return "never" if gap.first_epoch_past is None else f"epoch {gap.first_epoch_past}"


def final_text(result: BackendResult) -> str:
    """Return the final losses and metrics, one a line."""
    return "\n".join(f"{name} {value:.5g}" for name, value in result.final.items()) or "no fit"


def _measures(results: Results, result: BackendResult) -> dict[str, Text]:
    gap = results.gap(result.backend)
    return {
        "largest gap\nof the losses": Text(gap_text(gap, result is results.reference)),
        f"past {results.tolerance:g}\nfrom": Text(past_text(gap), style="yellow" if gap and gap.first_epoch_past else ""),
        "first\nstep": Text(seconds(result.first_step_seconds)),
        "steps/s\nafter": Text(rate(result.steps_per_second)),
        "peak\nmemory": Text(size(result.peak_bytes)),
        "import": Text(seconds(result.import_seconds)),
        "in all": Text(seconds(result.wall_seconds)),
    }


def _title(results: Results) -> dict:
    return {"title": f"{results.script}, seed {results.seed}", "title_justify": "left", "show_lines": True}


def _failure(result: BackendResult) -> Text:
    return Text(f"failed: {result.reason}", style="red")


def results_table(results: Results) -> Table:
    """Return one row a backend."""
    table = Table(**_title(results))
    table.add_column("backend", no_wrap=True)
    finals = [final_text(r) for r in results.backends.values() if r.status == "ok"]
    table.add_column("at the end", min_width=max((len(line) for text in finals for line in text.split("\n")), default=None))
    for name in _measures(results, next(iter(results.backends.values()))):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results.backends.values():
        failed = result.status != "ok"
        name = Text(result.backend, style="red" if failed else "bold")
        end = _failure(result) if failed else Text(final_text(result))
        table.add_row(name, end, *_measures(results, result).values())
    return table


def narrow_table(results: Results) -> Table:
    """Return one column a backend, for terminals that the other table does not fit."""
    table = Table(**_title(results) | {"show_lines": False})
    table.add_column("")
    ends: dict[str, dict[str, Text]] = {}
    measures: dict[str, dict[str, Text]] = {}
    for result in results.backends.values():
        failed = result.status != "ok"
        table.add_column(Text(result.backend, style="red" if failed else "bold"), justify="right")
        end = {"": _failure(result)} if failed else {name: Text(f"{value:.5g}") for name, value in result.final.items()}
        for rows, cells in ((ends, end), (measures, _measures(results, result))):
            for name, cell in cells.items():
                rows.setdefault(name.replace("\n", " "), {})[result.backend] = cell
    for name, cells in (ends | measures).items():
        table.add_row(name, *(cells.get(backend, Text("-")) for backend in results.backends))
    return table


def print_results(results: Results, console: Console) -> None:
    """Print the table, the last traceback lines of what failed, and the verdict."""
    if not console.is_terminal:
        console = Console(file=console.file, width=_WIDTH_OF_FILES)
    table = results_table(results)
    fits = Measurement.get(console, console.options.update(max_width=10_000), table).minimum <= console.width
    console.print(table if fits else narrow_table(results))
    for result in results.backends.values():
        if result.status != "ok":
            console.print(Text(f"{result.backend}:", style="bold red"))
            console.print(Text("\n".join(f"  {line}" for line in result.traceback)))
        if result.missing_names:
            console.print(Text(f"{result.backend} asked for what multikeras lacks: {', '.join(result.missing_names)}"))
    console.print(Text(verdict(results)), soft_wrap=True)


def verdict(results: Results) -> str:
    """Return in a sentence whether all ran and agree."""
    ran = f"{len(results.succeeded)} of {len(results.backends)} backends ran the program to its end."
    if len(results.succeeded) < 2:
        return ran
    gaps = [g for g in (results.gap(b.backend) for b in results.succeeded) if g is not None]
    agree = all(g.first_epoch_past is None for g in gaps)
    how = "agree" if agree else "do not agree"
    return f"{ran} Their loss curves {how} within a relative {results.tolerance:g}."
