"""The line that shows how far an epoch is."""

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from multikeras.utils.messages import print_msg as print_msg
from multikeras.utils.progress import Drawing, Lines, screen


class Progbar:
    """Show the progress of a loop of `target` steps and the running means of some values.

    Args:
        target: Number of steps, None where it is not known.
        width: Characters of the bar.
        verbose: 0 silent, 1 a bar that is redrawn, 2 one line at the end.
        interval: Least number of seconds between two drawings.
        stateful_metrics: Names of values shown as given; all others are averaged over steps.
        stateless_metrics: Names of values averaged over steps; all others are shown as given.
        unit_name: What a step is called.

    >>> bar = Progbar(target=2, verbose=0)
    >>> bar.update(1, [("loss", 1.0)]); bar.update(2, [("loss", 3.0)])
    >>> bar.value("loss")
    2.0
    """

    def __init__(
        self,
        target: int | None,
        width: int = 20,
        verbose: int = 1,
        interval: float = 0.05,
        stateful_metrics: Sequence[str] | None = None,
        stateless_metrics: Sequence[str] | None = None,
        unit_name: str = "step",
    ):
        if stateful_metrics is not None and stateless_metrics is not None:
            raise ValueError(
                "Only one of stateful_metrics and stateless_metrics may be given, got "
                f"{list(stateful_metrics)} and {list(stateless_metrics)}."
            )
        self.target = target
        self.width = width
        self.verbose = verbose
        self.interval = interval
        self.unit_name = unit_name
        self.stateful_metrics = set(stateful_metrics or ())
        self.stateless_metrics = set(stateless_metrics) if stateless_metrics is not None else None
        self.finalized = False
        self._totals: dict[str, tuple[float, float]] = {}  # name: (sum, weight)
        self._seen = 0
        self._start = self._drawn_at = time.perf_counter()
        self._first: tuple[int, float] | None = None  # steps done at the first update, and when
        self.screen: Lines = screen()
        self.good: frozenset[str] = frozenset()
        """Names of values that are the best so far."""

    def value(self, name: str) -> float:
        """Return what is shown for `name`."""
        total, weight = self._totals[name]
        return total / max(weight, 1)

    def update(self, current: int, values: Sequence[tuple[str, Any]] | None = None, finalize: bool | None = None):
        """Note that `current` steps are done and draw the line if it is time.

        Args:
            current: Steps done so far.
            values: Pairs of name and value, or name and list of values (their mean is taken).
            finalize: Whether this is the last call; by default when `current` reaches the target.
        """
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        steps = current - self._seen
        for name, value in values or ():
            self._add(name, value, steps, current)
        self._seen = current
        now = time.perf_counter()
        if self.verbose == 1 and (finalize or now - self._drawn_at >= self.interval):
            self._draw(current, finalize, now)
        elif self.verbose == 2 and finalize:
            seconds = now - self._start
            print_msg(f"{self._count(current)} - {seconds:.0f}s - {self._pace(current, now)}{self._shown()}")
        if self._first is None and current > 0:
            self._first = (current, now)
        self.finalized = self.finalized or finalize

    def add(self, n: int, values: Sequence[tuple[str, Any]] | None = None):
        """Note that `n` more steps are done."""
        self.update(self._seen + n, values)

    def _add(self, name: str, value: Any, steps: int, current: int):
        if self.stateless_metrics is not None:
            averaged = name in self.stateless_metrics
        else:
            averaged = name not in self.stateful_metrics
        value = float(np.mean(np.asarray(value)))
        if not averaged:
            self._totals[name] = (value, 1)
            return
        # A step that is reported twice still counts.
        weight = max(steps, 1)
        total, weights = self._totals.get(name, (0.0, 0.0))
        self._totals[name] = (total + value * weight, weights + weight)

    def _count(self, current: int) -> str:
        if self.target is None:
            return f"{current:7d}/Unknown"
        return f"{current:>{len(str(self.target))}d}/{self.target}"

    def _seconds_per_step(self, current: int, now: float) -> float:
        """The mean over all steps, without those of the first update (which compiles) once there are others."""
        if not current:
            return 0.0
        steps, moment = self._first or (0, self._start)
        return (now - moment) / (current - steps) if current > steps else (now - self._start) / current

    def _pace(self, current: int, now: float) -> str:
        return f"{spelled_duration(self._seconds_per_step(current, now))}/{self.unit_name}"

    def _texts(self) -> list[tuple[str, str]]:
        values = [(name, self.value(name)) for name in self._totals]
        return [(name, f"{x:.4e}" if x != 0 and abs(x) <= 1e-3 else f"{x:.4f}") for name, x in values]

    def _shown(self) -> str:
        return "".join(f" - {name}: {text}" for name, text in self._texts())

    def _draw(self, current: int, finalize: bool, now: float, note: str = ""):
        if not (self.screen.redraws or finalize or self.interval == 0):
            return  # a file or a pipe gets whole lines, one an epoch
        share = None if self.target is None else current / self.target if self.target else 1.0
        if finalize or self.target is None or note:
            seconds = _clock(now - self._start)
        else:
            seconds = _clock(self._seconds_per_step(current, now) * (self.target - current))
        count, pace = self._count(current), self._pace(current, now)
        self.screen.draw(Drawing(count, share, self.width, seconds, pace, self._texts(), self.good, note, finalize))
        self._drawn_at = now

    def remark(self, note: str) -> None:
        """Draw the line anew with a note of what goes on meanwhile."""
        if self.verbose == 1 and self.screen.redraws:
            self._draw(self._seen, False, time.perf_counter(), note)


def spelled_duration(seconds: float) -> str:
    """Return a duration in the unit that suits it.

    >>> spelled_duration(2.4), spelled_duration(0.0123), spelled_duration(4e-5)
    ('2s', '12ms', '40us')
    """
    if seconds >= 1 or seconds == 0:
        return f"{seconds:.0f}s"
    return f"{seconds * 1e3:.0f}ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f}us"


def _clock(seconds: float) -> str:
    seconds = math.floor(seconds)
    if seconds > 3600:
        return f"{seconds // 3600}:{seconds % 3600 // 60:02d}:{seconds % 60:02d}"
    return f"{seconds // 60}:{seconds % 60:02d}" if seconds > 60 else f"{seconds}s"

