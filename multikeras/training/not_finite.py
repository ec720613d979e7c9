"""Finding where a training step leaves the finite numbers: the step is run once more, with a tap at every op and layer.

A tap is the identity with a derivative of its own, so that it sees values on the way to the loss and gradients on the way
back, on every backend. From a loss that is not finite the way leads back to the first computation that made it so.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from multikeras.backend import current, dtypes
from multikeras.core import tree
from multikeras.core.masking import get_mask, set_mask
from multikeras.core.variable import Variable
from multikeras.ops import _op

_IMPLEMENTATION = "implementation"  # the name under which an op's wrapper holds what it calls


@dataclass
class Range:
    """What there is in an array: the ends of its finite numbers, and how many are not finite."""

    shape: tuple[int, ...]
    low: float | None
    high: float | None
    bad: int
    kinds: str

    @classmethod
    def of(cls, array: Any) -> "Range":
        array = np.asarray(array)
        array = array.astype("float64") if array.dtype.kind not in "fiub" or array.dtype.itemsize < 4 else array
        finite = np.isfinite(array)
        good, bad = array[finite], array[~finite]
        kinds = [k for k, found in (("nan", np.isnan(bad)), ("inf", bad == np.inf), ("-inf", bad == -np.inf)) if found.any()]
        ends = (float(good.min()), float(good.max())) if good.size else (None, None)
        return cls(tuple(array.shape), *ends, int(bad.size), " and ".join(kinds))

    def __str__(self):
        numbers = "no finite number" if self.low is None else f"from {self.low:.6g} to {self.high:.6g}"
        size = int(np.prod(self.shape))
        return f"{numbers}, shape {self.shape}" + (f"; {self.bad:,} of {size:,} are {self.kinds}" if self.bad else "")


@dataclass
class Finding:
    """Where a training step left the finite numbers.

    Attributes:
        stage: "data", "variable", "forward", "gradient" or "update".
        name: Op, layer, loss, variable or part of the batch.
        layers: Paths of the layers around it, outermost first.
        inputs: What went into it; at stage "gradient" also into the way forward.
        result: What came out of it.
        epoch, batch: Where in training, both from 0.
    """

    stage: str
    name: str
    result: Range
    layers: tuple[str, ...] = ()
    inputs: list[Range] = field(default_factory=list)
    epoch: int = 0
    batch: int = 0

    def __str__(self):
        place = f"Batch {self.batch} of epoch {self.epoch + 1}"
        before, after, words = _WORDS[self.stage]
        lines = [f"{place} is the first that is not finite, and {words.format(self.name)}."]
        if self.layers:
            lines.append(f"  inside    {' > '.join(self.layers)}")
        lines += [f"  {before:<9} {r}" for r in self.inputs]
        return "\n".join([*lines, f"  {after:<9} {self.result}"])


_WORDS = {
    "data": ("", "values", "so are its data: {}"),
    "variable": ("", "values", "so was {} before it"),
    "forward": ("input", "output", "{} made it so on the way to the loss"),
    "gradient": ("input", "gradient", "{} made it so on the way back, where gradients are taken"),
    "update": ("gradient", "values", "the optimizer made it so in its update of {}"),
}
"""How to call what went in and what came out, by stage, and what to say of a name."""


class _Seen:
    """A tensor at a tap: its values, and the gradients that come back for it."""

    __slots__ = ("gradient", "range", "raw", "when")

    def __init__(self, raw: Any):
        self.raw, self.range, self.gradient, self.when = raw, None, None, None

    def bad(self) -> bool:
        return self.range is not None and self.range.bad > 0


class _Place:
    """One call of an op, layer or loss."""

    def __init__(self, name: str, layers: tuple[str, ...], parent: "_Place | None"):
        self.name, self.layers, self.parent = name, layers, parent
        self.inputs: list[_Seen] = []
        self.outputs: list[_Seen] = []

    def finding(self, stage: str, result: Range) -> Finding:
        return Finding(stage, self.name, result, self.layers, [s.range for s in self.inputs if s.range is not None])


class Taps:
    """Taps at all layers and losses of a model and at all ops, in place for the length of a `with` block."""

    def __init__(self, model: Any):
        self.model = model
        self.places: list[_Place] = []
        self.gradients: list[tuple[Variable, Range]] = []
        self._open: list[_Place] = []
        self._made: dict[int, tuple[_Place, _Seen]] = {}
        """The place that gave a tensor."""
        self._given: dict[int, Any] = {}
        """The tensor behind one that a place was given."""
        self._kept: list[Any] = []  # ids are of tensors that still live
        self._roots: list[Any] = []
        self._clock = 0
        self._in_op = False

    # -- taps ------------------------------------------------------------------------------------------------------

    def _tap(self, x: Any, seen: _Seen) -> Any:
        tapped = current.observed(
            x, lambda a: self._note(seen, "range", a), lambda a: self._note(seen, "gradient", a)
        )
        mask = get_mask(x)
        if mask is not None:
            set_mask(tapped, mask)
        self._kept += (x, tapped)
        return tapped

    def _note(self, seen: _Seen, what: str, array: Any) -> None:
        before, now = getattr(seen, what), Range.of(array)
        if before is None or (now.bad and not before.bad):  # of many turns of a loop the first bad one
            setattr(seen, what, now)
            if what == "gradient":
                self._clock += 1
                seen.when = self._clock

    def _through(self, place: _Place, function: Callable, args: tuple, kwargs: dict) -> Any:
        def going_in(x):
            x = x.value if isinstance(x, Variable) else x
            if not _floating(x):
                return x
            place.inputs.append(_Seen(x))
            tapped = self._tap(x, place.inputs[-1])
            self._given[id(tapped)] = x
            return tapped

        def coming_out(x):
            if not _floating(x):
                return x
            place.outputs.append(_Seen(x))
            tapped = self._tap(x, place.outputs[-1])
            self._made[id(tapped)] = place, place.outputs[-1]
            return tapped

        args, kwargs = tree.map_structure(going_in, (args, kwargs))
        return tree.map_structure(coming_out, function(*args, **kwargs))

    # -- putting them in place -------------------------------------------------------------------------------------

    def __enter__(self):
        self._undo = contextlib.ExitStack()
        for layer in [self.model, *self.model._flatten_layers(include_self=False)]:
            self._put(layer, "call", self._around_layer(layer, layer.call))
        for part in self.model._compiled_loss.parts if self.model._compiled_loss is not None else ():
            self._put(part.loss, "call", self._around(f"loss {part.loss.name!r}", part.loss.call))
        if self.model.optimizer is not None:
            self._put(self.model.optimizer, "apply", self._before_apply(self.model.optimizer.apply))
        self._put(current, "value_and_grad", self._with_root(current.value_and_grad))
        for name, public in _op.registry.items():
            self._undo.enter_context(_replaced(public, lambda f, name=name: self._around_op(name, f)))
        return self

    def __exit__(self, *exc):
        self._undo.close()
        current.finish_observing()

    def _put(self, thing: Any, name: str, value: Any) -> None:
        """Shadow a method of an object."""
        had, before = name in vars(thing), vars(thing).get(name)
        vars(thing)[name] = value
        self._undo.callback(lambda: vars(thing).__setitem__(name, before) if had else vars(thing).pop(name))

    def _around_layer(self, layer: Any, call: Callable) -> Callable:
        path = layer.path or layer.name
        return self._around(f"layer {path!r} ({type(layer).__name__})", call, path)

    def _around(self, name: str, call: Callable, path: str | None = None) -> Callable:
        def tapped(*args, **kwargs):
            place = self._place(name)
            if path is not None:
                place.layers = (*place.layers, path)
            self._open.append(place)
            try:
                return self._through(place, call, args, kwargs)
            finally:
                self._open.pop()

        return tapped

    def _place(self, name: str) -> _Place:
        parent = self._open[-1] if self._open else None
        self.places.append(_Place(name, () if parent is None else parent.layers, parent))
        return self.places[-1]

    def _around_op(self, name: str, call: Callable) -> Callable:
        def tapped(*args, **kwargs):
            if self._in_op:  # what an op does to the functions it is given is its own affair
                return call(*args, **kwargs)
            self._in_op = True
            try:
                return self._through(self._place(f"op {name!r}"), call, args, kwargs)
            finally:
                self._in_op = False

        return tapped

    def _with_root(self, value_and_grad: Callable) -> Callable:
        """Note the losses of which gradients are taken."""

        def noting(f, variables, has_aux=False, rows=False):
            def of(*args, **kwargs):
                out = f(*args, **kwargs)
                place = self._place("the computation of the loss")
                self._roots.append(place)
                if has_aux:
                    return self._through(place, lambda x: x, (out[0],), {}), *out[1:]
                return self._through(place, lambda x: x, (out,), {})

            return value_and_grad(of, variables, has_aux=has_aux, rows=rows)

        return noting

    def _before_apply(self, apply: Callable) -> Callable:
        def noting(grads, trainable_variables=None):
            grads = list(grads)
            known = self.model.optimizer._trainable_variables if trainable_variables is None else list(trainable_variables)
            for gradient, variable in zip(grads, known):
                if gradient is not None and _floating(gradient):
                    current.observe(gradient, lambda a, v=variable: self.gradients.append((v, Range.of(a))))
            return apply(grads, trainable_variables)

        return noting

    # -- what they saw ---------------------------------------------------------------------------------------------

    def forward(self) -> Finding | None:
        """Return the first computation on the way to the loss whose result is not finite."""
        for root in self._roots:
            for seen in root.inputs:
                if seen.bad():
                    return self._origin(root, seen)
        if self._roots:
            return None
        return self._first(self.places)  # of a step that takes its derivatives by means of the framework

    def _first(self, places: list[_Place]) -> Finding | None:
        """Return the first place in time whose result is not finite, though what it was given is."""
        for place in places:
            bad = next((s for s in place.outputs if s.bad()), None)
            if bad is not None and not any(s.bad() for s in place.inputs) and not self._excused(place):
                return self._origin(place, bad)
        return None

    def _excused(self, place: _Place) -> bool:
        """Tell whether what is infinite here is meant, as the place of a mask: nothing after it is NaN."""
        after = self.places[self.places.index(place) + 1 :]
        return not any(s.bad() and "nan" in s.range.kinds for p in [place, *after] for s in p.outputs)

    def _origin(self, place: _Place, seen: _Seen) -> Finding:
        """Go back from a tensor that is not finite to the place that made it so of finite ones."""
        while True:
            if (made := self._made.get(id(self._behind(seen.raw)))) is not None:
                place, seen = made
                continue
            if not any(seen is s for s in place.outputs):  # what was given was computed by other means than ops and layers
                if place.parent is None:
                    earlier = self._first(self.places[: self.places.index(place)])
                    return earlier or Finding("forward", f"what was given to {place.name}", seen.range)
                place = place.parent
                bad = next((s for s in place.inputs if s.bad()), None)
                if bad is None:
                    return place.finding("forward", seen.range)
                seen = bad
                continue
            bad = next((s for s in place.inputs if s.bad()), None)
            if bad is None:
                break
            seen = bad
        for inner in self._inside(place):
            bad = next((s for s in inner.outputs if s.bad()), None)
            if bad is not None and not any(s.bad() for s in inner.inputs):
                return inner.finding("forward", bad.range)
        return place.finding("forward", seen.range)

    def _behind(self, tensor: Any) -> Any:
        while id(tensor) in self._given:
            tensor = self._given[id(tensor)]
        return tensor

    def _inside(self, place: _Place) -> Iterator[_Place]:
        for one in self.places:
            around = one.parent
            while around is not None and around is not place:
                around = around.parent
            if around is place:
                yield one

    def backward(self) -> Finding | None:
        """Return the first computation on the way back whose gradient is not finite, though what came to it was."""
        found = []
        for place in self.places:
            bad = [s for s in place.inputs if s.gradient is not None and s.gradient.bad]
            if bad and not any(s.gradient is not None and s.gradient.bad for s in place.outputs):
                first = min(bad, key=lambda s: s.when)
                found.append((first.when, place, first))
        if found:
            _, place, seen = min(found, key=lambda f: f[0])
            return place.finding("gradient", seen.gradient)
        for variable, gradient in self.gradients:
            if gradient.bad:
                return Finding("gradient", f"variable {variable.path!r}", gradient)
        return None


def explain(model: Any, batch: Any) -> Finding | None:
    """Run a training step with taps; return where it left the finite numbers, None if it did not.

    It writes the variables of the model as any step does.
    """
    for name, part in zip(("x", "y", "sample_weight"), batch if isinstance(batch, tuple) else (batch,)):
        for path, leaf in tree.flatten_with_path(part):
            if leaf is not None and _floating(leaf) and (seen := Range.of(current.to_numpy(leaf))).bad:
                return Finding("data", name + "".join(f"[{key!r}]" for key in path), seen)
    for variable in model._state_of_training():
        if (seen := _of_variable(variable)) is not None and seen.bad:
            return Finding("variable", f"variable {variable.path!r}", seen)
    with Taps(model) as taps:
        model.step_function("train_step")(batch)
    found = taps.forward() or taps.backward()
    if found is not None:
        return found
    for variable in model.trainable_variables:
        seen = _of_variable(variable)
        if seen is not None and seen.bad:
            inputs = [r for v, r in taps.gradients if v is variable]
            return Finding("update", f"variable {variable.path!r}", seen, (), inputs)
    return None


def _of_variable(variable: Variable) -> Range | None:
    return Range.of(variable.numpy()) if dtypes.is_float(variable.dtype) else None


def _floating(x: Any) -> bool:
    return current.is_tensor(x) and not current.is_sparse(x) and dtypes.is_float(current.dtype(x))


@contextlib.contextmanager
def _replaced(public: Callable, change: Callable) -> Iterator[None]:
    """Let a public op call something else: its wrapper stays the same object, as others hold it, so the cell is changed."""
    function: Any = public
    names = function.__code__.co_freevars
    if _IMPLEMENTATION not in names:
        yield
        return
    cell = function.__closure__[names.index(_IMPLEMENTATION)]
    before = cell.cell_contents
    cell.cell_contents = change(before)
    try:
        yield
    finally:
        cell.cell_contents = before
