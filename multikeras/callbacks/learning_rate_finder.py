"""A learning rate for a model and its data, found by trying many in one short run."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from multikeras.callbacks.callback import Callback
from multikeras.utils.chart import chart, ends
from multikeras.utils.progbar import print_msg

_WIDTH, _HEIGHT = 64, 16  # of the curve on a terminal, in characters
_LEVELS = " ▁▂▃▄▅▆▇█"


class LearningRateFinder(Callback):
    """Raise the learning rate with each batch, and note the loss, until it blows up.

    The model, its optimizer and all seeds are afterwards as they were before. The run ends by itself; give `fit` enough
    epochs. Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, https://arxiv.org/abs/1506.01186.

    Args:
        min_rate: The first learning rate.
        max_rate: The last one.
        steps: Batches from the first to the last.
        smoothing: Share of the mean loss so far in the next one.
        stop_at: The run ends when the loss is this many times the lowest one.
        verbose: Whether to draw the curve on the terminal in the end.

    Attributes:
        rates: The learning rates tried.
        losses: The smoothed loss at each.
        suggestion: The rate at which the loss fell fastest.

    >>> from multikeras import callbacks
    >>> finder = callbacks.LearningRateFinder(steps=50, verbose=0)
    >>> finder.rates, finder.suggestion
    ([], None)
    """

    def __init__(self, min_rate=1e-6, max_rate=1.0, steps=100, smoothing=0.9, stop_at=4.0, verbose=1):
        super().__init__()
        if not 0 < min_rate < max_rate or steps < 2:
            raise ValueError(
                f"LearningRateFinder: 0 < min_rate < max_rate and steps > 1 are needed, got {min_rate=}, {max_rate=}, {steps=}."
            )
        self.min_rate, self.max_rate, self.steps = min_rate, max_rate, steps
        self.smoothing, self.stop_at, self.verbose = smoothing, stop_at, verbose
        self.rates: list[float] = []
        self.losses: list[float] = []
        self._mean = 0.0
        self._before: list[tuple[Any, Any]] = []

    def on_train_begin(self, logs=None):
        self.rates, self.losses, self._mean = [], [], 0.0
        self._before = [(v, v.numpy()) for v in self.model._state_of_training()]

    def on_train_batch_begin(self, batch, logs=None):
        share = len(self.rates) / (self.steps - 1)
        self.rates.append(self.min_rate * (self.max_rate / self.min_rate) ** share)
        self.model.optimizer.learning_rate = self.rates[-1]
        self.model.reset_metrics()  # so that the loss is that of this batch

    def on_train_batch_end(self, batch, logs=None):
        loss = (logs or {}).get("loss", math.nan)
        self._mean = self.smoothing * self._mean + (1 - self.smoothing) * loss
        self.losses.append(self._mean / (1 - self.smoothing ** len(self.rates)))
        bad = not math.isfinite(loss) or self.losses[-1] > self.stop_at * min(self.losses)
        if bad or len(self.rates) >= self.steps:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        for variable, value in self._before:
            variable.assign(value)
        self._before = []
        if self.verbose:
            print_msg(self.text())

    def on_train_interrupt(self, error):
        self.verbose, verbose = 0, self.verbose
        self.on_train_end()
        self.verbose = verbose

    def _points(self) -> list[tuple[float, float]]:
        """Return (log10 of the rate, loss), up to where the loss blew up."""
        return [(math.log10(r), y) for r, y in zip(self.rates, self.losses) if math.isfinite(y)]

    @property
    def suggestion(self) -> float | None:
        """The rate at which the loss fell fastest, None before a run or if it never fell."""
        points = self._points()
        fall = points[: 1 + min(range(len(points)), key=lambda i: points[i][1], default=0)]  # what comes after is noise
        width = max(len(points) // 10, 1)  # means over so many points: single batches differ by chance
        slopes = []
        for i in range(len(fall) - 2 * width + 1):
            before, after = (np.mean(fall[j : j + width], axis=0) for j in (i, i + width))
            slopes.append(((after[1] - before[1]) / (after[0] - before[0]), (after[0] + before[0]) / 2))
        steepest = min(slopes, default=(0.0, 0.0))
        return float(10 ** steepest[1]) if steepest[0] < 0 else None

    # -- drawings ------------------------------------------------------------------------------------------------------

    def text(self) -> str:
        """Return the curve in characters."""
        points = self._points()
        if len(points) < 2:
            return "No curve: fewer than two batches were run."
        (left, right), (low, high) = ends(x for x, _ in points), ends(y for _, y in points)
        columns: list[list[float]] = [[] for _ in range(_WIDTH)]
        for x, y in points:
            columns[min(int((x - left) / (right - left) * _WIDTH), _WIDTH - 1)].append(y)
        heights: list[float] = []
        for column in columns:
            height = (sum(column) / len(column) - low) / (high - low) * _HEIGHT if column else heights[-1]
            heights.append(height)
        lines = []
        for row in reversed(range(_HEIGHT)):
            label = {_HEIGHT - 1: f"{high:9.4g}", 0: f"{low:9.4g}"}.get(row, " " * 9)
            blocks = "".join(_LEVELS[round(min(max(h - row, 0), 1) * 8)] for h in heights)
            lines.append(f"{label} │{blocks.rstrip()}")
        best = self.suggestion
        column = 0 if best is None else min(int((math.log10(best) - left) / (right - left) * _WIDTH), _WIDTH - 1)
        mark = "" if best is None else " " * (11 + column) + "▲"
        axis = f"{10**left:<{_WIDTH - 8}.1e}{10**right:>8.1e}"
        said = "the loss never fell" if best is None else f"it fell fastest at {best:.2e}"
        return "\n".join(["Loss by learning rate; " + said, *lines, " " * 10 + "└" + "─" * _WIDTH, mark, " " * 11 + axis])

    def plot(self, path: str | os.PathLike) -> None:
        """Draw the curve into a `.svg`, `.html` or `.png` file.

        A `.png` needs matplotlib.
        """
        path = Path(path)
        if path.suffix == ".png":
            self._plot_png(path)
        elif path.suffix in (".svg", ".html"):
            picture = self._svg()
            page = f"<!doctype html><meta charset=utf-8><title>Learning rates</title>{picture}\n"
            path.write_text(page if path.suffix == ".html" else picture)
        else:
            raise ValueError(f"LearningRateFinder.plot: the path must end in .png, .svg or .html, got {str(path)!r}.")

    def _plot_png(self, path: Path) -> None:
        try:
            from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import, and few need it
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError("A .png needs matplotlib: pip install matplotlib. Or draw a .svg or .html.") from error
        figure = Figure(figsize=(7, 4), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot(xscale="log", xlabel="learning rate", ylabel="loss")
        axes.plot([10**x for x, _ in self._points()], [y for _, y in self._points()])
        if self.suggestion is not None:
            axes.axvline(self.suggestion, linestyle="--", color="tab:red", label=f"falls fastest: {self.suggestion:.2e}")
            axes.legend()
        figure.savefig(path, dpi=120)

    def _svg(self) -> str:
        points = self._points()
        if len(points) < 2:
            raise ValueError("LearningRateFinder.plot: there is no curve yet, fit a model with this callback first.")
        left, right = ends(x for x, _ in points)
        powers = [(float(p), f"1e{p}") for p in range(math.ceil(left), math.floor(right) + 1)]
        best = self.suggestion
        mark = None if best is None else (math.log10(best), f"falls fastest: {best:.2e}")
        return chart({"loss": points}, x_label="learning rate", x_ticks=powers, mark=mark)

    def _repr_html_(self) -> str:
        return self._svg() if len(self._points()) > 1 else self.text()

