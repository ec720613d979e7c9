"""Loading all parts of a model from a file of weights, of whatever format.

A format offers a `Source`: for the path of a part a `Stored`, the mapping that `load_own_variables` reads. What is stored is
first held against the whole model; only then is anything read.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from multikeras.core.stored import Stored, is_by_position
from multikeras.saving import state


class Source:
    """The weights in a file. Formats define `part`, `has` and `paths`."""

    def part(self, path: str) -> Stored | None:
        """Return what is stored for the part at `path`, None if nothing is."""
        raise NotImplementedError

    def has(self, path: str) -> bool:
        """Tell whether anything is stored at or below `path`."""
        raise NotImplementedError

    def paths(self) -> list[str]:
        """Return the paths of the parts that have arrays."""
        raise NotImplementedError


@dataclass
class Report:
    """What a load did: paths of parts that were loaded, that were left out, and why, and that the model has no use for."""

    matched: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{len(self.matched)} parts loaded, {len(self.skipped)} left out, {len(self.unused)} in the file not used."]
        lines += [f"left out: {path or 'the model'}: {why}" for path, why in self.skipped.items()]
        return "\n".join(lines + [f"not used: {path or 'the root'}" for path in self.unused])


class _Nothing(Stored):
    def names(self) -> list[str]:
        return []


_LOAD_ERRORS = (KeyError, ValueError, TypeError, AttributeError)


def load_parts(
    model: Any, source: Source, skip_mismatch: bool = False, skip: Sequence[Any] = (), blank: dict[int, Any] | None = None
) -> Report:
    """Load all parts of a model.

    Args:
        model: A model or layer.
        source: The file.
        skip_mismatch: Whether what does not fit is left out instead of refused.
        skip: Parts to leave alone.
        blank: Variables without a value yet; they have one afterwards. The model is new, its values need not be kept.

    Raises ValueError naming the part for what is missing or does not fit; the model stays as it was then.
    """
    report, jobs, skipped = Report(), [], {id(x) for x in skip}
    fresh, blank = blank is not None, {} if blank is None else blank

    def problem(path: str, error: BaseException) -> None:
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        if not skip_mismatch:
            raise ValueError(f"Cannot load the weights of {path or 'the model'}: {text}") from error
        report.skipped[path] = str(text)

    for path, part in state.parts(model, source.has):
        if id(part) in skipped:
            continue
        store, variables = source.part(path), state.own_variables(part)
        if store is None and not (variables and state.is_layer(part)):
            continue  # a file of weights alone has nothing for the optimizer
        store = _Nothing() if store is None else store
        plain = is_by_position(part)
        if plain and (state.is_layer(part) or len(store) == len(variables)):
            store.only_checks = True
            try:
                part.load_own_variables(store)
            except _LOAD_ERRORS as error:
                problem(path, error)
                continue
            finally:
                store.only_checks = False
        jobs.append((path, part, store, plain))
    before: list[tuple[Any, Any]] = []
    try:
        for path, part, store, plain in sorted(jobs, key=lambda job: job[3]):
            mine = state.own_variables(part)
            if not plain:
                # What such a method does cannot be known: values to begin with, and to go back to.
                _initialize(mine, blank)
                kept = [] if fresh else [(v, v.numpy()) for v in getattr(part, "variables", mine)]
                before += kept
            try:
                part.load_own_variables(store)
            except _LOAD_ERRORS as error:
                problem(path, error)
                for variable, value in [] if plain else kept:
                    variable.assign(value)
                continue
            if plain and len(store) == len(mine):
                for variable in mine:
                    blank.pop(id(variable), None)
            if mine or len(store):
                report.matched.append(path)
    except BaseException:
        for variable, value in before:
            variable.assign(value)
        raise
    _initialize(list(blank.values()), blank)
    known = {*report.matched, *report.skipped}
    report.unused = [path for path in source.paths() if path not in known]
    return report


def _initialize(variables: list, blank: dict[int, Any]) -> None:
    for variable in variables:
        if blank.pop(id(variable), None) is not None:
            variable.initialize()
