"""The table that a comparison ends with."""

import math

from rich.console import Console
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


def results_table(results: Results) -> Table:
    """Return one row a backend."""
    table = Table(title=f"{results.script}, seed {results.seed}", title_justify="left", show_lines=True)
    for name in ("backend", "at the end"):
        table.add_column(name)
    for name in (
        "largest gap\nof the losses", f"past {results.tolerance:g}\nfrom", "first\nstep", "steps/s\nafter",
        "peak\nmemory", "import", "in all",
    ):  # fmt: skip
        table.add_column(name, justify="right")
    for result in results.backends.values():
        failed = result.status != "ok"
        gap = results.gap(result.backend)
        end = Text(f"failed: {result.reason}", style="red") if failed else Text(final_text(result))
        table.add_row(
            Text(result.backend, style="red" if failed else "bold"), end, gap_text(gap, result is results.reference),
            Text(past_text(gap), style="yellow" if gap is not None and gap.first_epoch_past else ""),
            seconds(result.first_step_seconds), rate(result.steps_per_second), size(result.peak_bytes),
            seconds(result.import_seconds), seconds(result.wall_seconds),
        )  # fmt: skip
    return table


def print_results(results: Results, console: Console) -> None:
    """Print the table, the last traceback lines of what failed, and the verdict."""
    if not console.is_terminal:
        console = Console(file=console.file, width=_WIDTH_OF_FILES)
    console.print(results_table(results))
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
