"""What a comparison found: one record a backend, and how far their loss curves are apart."""

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEFAULT_TOLERANCE = 1e-3
"""The relative gap of loss curves that counts as parity when none is asked for."""


@dataclass
class Fit:
    """One call of `fit`: what each epoch reported, how long it trained (without validation) and how many steps it had."""

    model: str
    epochs_planned: int | None = None
    logs: list[dict[str, float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    first_step_seconds: float | None = None
    """From the call of `fit` to the end of its first step."""

    def curve(self, name: str) -> list[float]:
        """Return one value an epoch, NaN where the epoch did not report it."""
        return [logs.get(name, math.nan) for logs in self.logs]


@dataclass
class BackendResult:
    """What one backend did with the program."""

    backend: str
    status: str = "failed"
    """`"ok"` or `"failed"`."""
    reason: str = ""
    traceback: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    import_seconds: float | None = None
    wall_seconds: float | None = None
    peak_bytes: int | None = None
    fits: list[Fit] = field(default_factory=list)
    evaluations: list[dict[str, float]] = field(default_factory=list)
    missing_names: list[str] = field(default_factory=list)

    @property
    def final(self) -> dict[str, float]:
        """What the last epoch reported, and under "test ..." what the last `evaluate` after it did."""
        last = dict(self.fits[-1].logs[-1]) if self.fits and self.fits[-1].logs else {}
        last = {name: last[name] for name in sorted(last, key=lambda name: name.removeprefix("val_") != "loss")}
        tested = self.evaluations[-1] if self.evaluations else {}
        return last | {f"test {name}": value for name, value in tested.items()}

    @property
    def first_step_seconds(self) -> float | None:
        """Time from the first call of `fit` to the end of its first step."""
        return self.fits[0].first_step_seconds if self.fits else None

    @property
    def steps_per_second(self) -> float | None:
        """Steps a second over all epochs but the first of each fit, which compiles; over all if there are no others."""
        pairs = [(s, t) for fit in self.fits for s, t in list(zip(fit.steps, fit.seconds))[1:]]
        pairs = pairs or [(s, t) for fit in self.fits for s, t in zip(fit.steps, fit.seconds)]
        steps, seconds = sum(s for s, _ in pairs), sum(t for _, t in pairs)
        return steps / seconds if steps and seconds else None


def relative_gap(a: float, b: float) -> float:
    """Return |a - b| over the larger magnitude; 0 for two equal or two NaN values, inf where one is NaN.

    >>> relative_gap(1.0, 0.99), relative_gap(0.0, 0.0), relative_gap(1.0, float("nan"))
    (0.010000000000000009, 0.0, inf)
    """
    if a == b or (math.isnan(a) and math.isnan(b)):
        return 0.0
    if not (math.isfinite(a) and math.isfinite(b)):
        return math.inf
    return abs(a - b) / max(abs(a), abs(b))


@dataclass
class Gap:
    """How far the loss curves of a backend are from those of the reference."""

    largest: float
    """Over the epochs that both have."""
    first_epoch_past: int | None
    """Counted from 1 through all fits; None where the tolerance is kept."""
    by_epoch: list[float]
    same_epochs: bool = True
    """Whether both ran the same fits and epochs; else the first epoch that one lacks is past the tolerance."""


@dataclass
class Results:
    """The outcome of a comparison; `results.json` holds the same.

    `reference` is the first backend that ran; the others' loss curves are compared with its own.
    """

    script: str
    args: list[str]
    seed: int
    tolerance: float
    parity_required: bool
    backends: dict[str, BackendResult]

    @property
    def succeeded(self) -> list[BackendResult]:
        """The backends on which the program ran to its end."""
        return [b for b in self.backends.values() if b.status == "ok"]

    @property
    def reference(self) -> BackendResult | None:
        """The backend that the others are compared with."""
        return self.succeeded[0] if self.succeeded else None

    def gap(self, backend: str) -> Gap | None:
        """Return how far the loss curves of `backend` are from the reference's; None for itself and for failures."""
        reference, other = self.reference, self.backends[backend]
        if reference is None or other is reference or other.status != "ok":
            return None
        by_epoch = []
        for mine, theirs in zip(other.fits, reference.fits):
            for a, b in zip(mine.logs, theirs.logs):
                losses = [name for name in b if name in ("loss", "val_loss")]
                by_epoch.append(max((relative_gap(a.get(n, math.nan), b[n]) for n in losses), default=0.0))
        mine, theirs = ([len(fit.logs) for fit in b.fits] for b in (other, reference))
        past = next((i for i, gap in enumerate(by_epoch, 1) if gap > self.tolerance), None)
        if past is None and mine != theirs:
            past = len(by_epoch) + 1
        return Gap(max(by_epoch, default=0.0), past, by_epoch, mine == theirs)

    @property
    def parity(self) -> bool:
        """Whether all backends ran and all loss curves agree within the tolerance."""
        gaps = [self.gap(name) for name in self.backends]
        return self.all_ran and all(gap is None or gap.first_epoch_past is None for gap in gaps)

    @property
    def all_ran(self) -> bool:
        """Whether the program ran to its end on every backend."""
        return bool(self.backends) and len(self.succeeded) == len(self.backends)

    @property
    def exit_status(self) -> int:
        """0 if all ran and parity is there where it was required; 1 if a backend failed; 2 if only parity lacks."""
        if not self.all_ran:
            return 1
        return 2 if self.parity_required and not self.parity else 0

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-able values; infinities and NaN become None."""
        found = dataclasses.asdict(self)
        for name, backend in self.backends.items():
            gap = self.gap(name)
            found["backends"][name] |= {
                "final": backend.final,
                "first_step_seconds": backend.first_step_seconds,
                "steps_per_second": backend.steps_per_second,
                "gap": dataclasses.asdict(gap) if gap is not None else None,
            }
        reference = self.reference.backend if self.reference else None
        return _finite(found | {"reference": reference, "parity": self.parity, "exit_status": self.exit_status})

    def write_json(self, path: Path) -> None:
        """Write `to_dict()` to a file."""
        path.write_text(json.dumps(self.to_dict(), indent=2) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
