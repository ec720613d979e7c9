"""What `compile` was given, fitted to the outputs of the model: losses and metrics by output."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from multikeras import losses, metrics, ops
from multikeras.backend.shapes import Spec
from multikeras.core import tree
from multikeras.core.abstract import on_shapes
from multikeras.losses.loss import Loss, LossFunctionWrapper, whole
from multikeras.metrics.metric import Metric
from multikeras.metrics.reductions import Mean, MeanMetricWrapper
from multikeras.training import labels

_ACCURACY = {
    "binary": metrics.BinaryAccuracy, "sparse": metrics.SparseCategoricalAccuracy, "categorical": metrics.CategoricalAccuracy
}  # fmt: skip
_CROSSENTROPY = {
    "binary": metrics.BinaryCrossentropy, "sparse": metrics.SparseCategoricalCrossentropy,
    "categorical": metrics.CategoricalCrossentropy,
}  # fmt: skip
_CROSSENTROPY_LOSS = ("crossentropy", "ce")
_BY_SHAPE = {"accuracy": _ACCURACY, "acc": _ACCURACY, "crossentropy": _CROSSENTROPY, "ce": _CROSSENTROPY}


def output_names_of(y_pred: Any, names: list[str] | None) -> list[str]:
    """Return a name for each output: the model's own, the keys of a dict, or output_1, output_2 ..."""
    if isinstance(y_pred, dict):
        return [".".join(map(str, path)) for path, _ in tree.flatten_with_path(y_pred)]
    count = len(tree.flatten(y_pred))
    if names and len(names) == count:
        return list(names)
    return [f"output_{i + 1}" for i in range(count)]


def by_output(given: Any, y_pred: Any, names: list[str], argument: str, fill: Any = None, spread: bool = False) -> list:
    """Return one entry of `given` for each output.

    Args:
        given: A dict by output name, something nested like the outputs, a list, or one thing.
        fill: The entry of outputs that are not named.
        spread: Whether one thing is for every output.
    """
    count = len(names)
    if given is None:
        return [fill] * count
    if isinstance(given, dict):
        if isinstance(y_pred, dict) and not given.keys() <= set(names) and given.keys() <= y_pred.keys():
            parts = [by_output(given.get(k), y_pred[k], _below(k, names), argument, fill, True) for k in sorted(y_pred)]
            return [x for part in parts for x in part]
        unknown = [k for k in given if k not in names]
        if unknown:
            raise ValueError(f"{argument} names outputs {unknown}, but the model's outputs are {names}.")
        return [given.get(name, fill) for name in names]
    if isinstance(given, (list, tuple)) and (count > 1 or len(given) == 1):
        if len(given) == count:
            return list(given)
        flat = tree.flatten(given)
        if len(flat) == count:
            return flat
        raise ValueError(
            f"{argument} has {len(given)} entries, but the model has {count} outputs: {names}. Give one for each."
        )
    return [given] * count if spread or count == 1 else [given, *[fill] * (count - 1)]


def _below(key: str, names: list[str]) -> list[str]:
    return [n for n in names if n == key or n.startswith(f"{key}.")]


def targets_of(y: Any, y_pred: Any, names: list[str], argument: str) -> list:
    """Return the targets, or their weights, in the order of the outputs."""
    count = len(names)
    if y is None:
        return [None] * count
    if isinstance(y, dict) and not isinstance(y_pred, dict):
        return by_output(y, y_pred, names, argument)
    if isinstance(y, dict) and isinstance(y_pred, dict) and y.keys() != y_pred.keys():
        return by_output(y, y_pred, names, argument)
    flat = tree.flatten(y)
    if len(flat) == 1 and count > 1 and argument == "sample_weight":
        return flat * count
    if len(flat) != count:
        if count == 1:
            return [y]
        raise ValueError(f"{argument} has {len(flat)} parts, but the model has {count} outputs: {names}.")
    return flat


def as_loss(given: Any) -> Loss | None:
    """Return a `Loss` for a name, function, class or loss."""
    if given is None or isinstance(given, Loss):
        return given
    loss = losses.get(given)
    if isinstance(loss, Loss):
        return loss
    name = getattr(loss, "__name__", None) or type(loss).__name__
    return LossFunctionWrapper(loss, name=name)


class _Part(NamedTuple):
    """One loss of the sum: where in the outputs it looks, and its weight."""

    path: tuple
    name: str
    loss: Loss
    weight: Any


class CompiledLoss:
    """The weighted sum of the losses of all outputs.

    A single loss is for every output. A dict or list nested like the outputs gives each its own. A list that does not
    match them holds several losses for the same outputs; a function in it sees these outputs as a whole.
    """

    def __init__(self, loss: Any, loss_weights: Any, output_names: list[str] | None):
        for leaf in tree.flatten(loss):
            if not (isinstance(leaf, str) and leaf in _CROSSENTROPY_LOSS):
                as_loss(leaf)  # a name that does not exist is said at once
        for leaf in tree.flatten(loss_weights):
            if isinstance(leaf, str):
                raise ValueError(
                    f"compile: loss_weights must be numbers, one for each output, got {loss_weights!r}. Name metrics by metrics=."
                )
        self.loss, self.loss_weights, self.given_names = loss, loss_weights, output_names
        self.built = False
        self.metrics: list[Mean] = []
        self.parts: list[_Part] = []
        self._limits: list[labels.Limit] = []

    def build(self, y_pred: Any, y_true: Any = None) -> None:
        """Fit losses and weights to the outputs; "crossentropy" by the shapes of targets and outputs."""
        self.names = output_names_of(y_pred, self.given_names)
        self._y_pred = y_pred
        self._y_true = self._like_outputs(y_true, y_pred, "y")
        self._leaf_names = _names_by_path(y_pred, self.given_names)
        given, weights = self.loss, self.loss_weights
        if not isinstance(y_pred, dict):
            given, weights = (_listed(x, y_pred, self.names, a) for x, a in ((given, "loss"), (weights, "loss_weights")))
        self.parts = list(self._parts_of(given, weights, y_pred, ()))
        names = [part.name for part in self.parts]
        if len(set(names)) < len(names):
            self.parts = [p._replace(name=_named_apart(p, self.names)) if names.count(p.name) > 1 else p for p in self.parts]
        if len(self.parts) > 1:
            self.metrics = [Mean(name="loss") for _ in self.parts]
            for metric, part in zip(self.metrics, self.parts):
                metric.name = f"{part.name}_loss"  # may hold a '/', which paths of variables may not
        self._like = tree.map_structure(lambda _: 0, y_pred)
        self._limits = labels.limits_of(self.parts, lambda path: _at(y_pred, path))
        del self._y_pred, self._y_true
        self.built = True

    def check_labels(self, batch: Any) -> Any:
        """Return a batch; ValueError if it holds class numbers beyond the classes of the output they are for."""
        if self._limits and isinstance(batch, tuple) and len(batch) > 1 and batch[1] is not None:
            targets = self._like_outputs(batch[1], self._like, "y")
            for limit in self._limits:
                given = _at(targets, limit.path)
                if given is not None:
                    labels.check(limit, given)
        return batch

    def _parts_of(self, loss: Any, weight: Any, y_pred: Any, path: tuple) -> Iterator[_Part]:
        if loss is None:
            return
        if _is_single(loss):
            if path and callable(loss) and not isinstance(loss, Loss) and tree.is_nested(y_pred):
                yield self._part(path, loss, weight)  # a function given for outputs that are nested sees them whole
                return
            for inner, _ in tree.flatten_with_path(y_pred):
                yield self._part(path + tuple(inner), loss, _at(weight, inner))
        elif isinstance(loss, dict):
            if not isinstance(y_pred, dict) or not loss.keys() <= y_pred.keys():
                have = sorted(y_pred) if isinstance(y_pred, dict) else self.names
                raise ValueError(f"loss names outputs {sorted(loss)}, but the model's outputs are {have}.")
            for key in y_pred:
                yield from self._parts_of(loss.get(key), _at(weight, (key,)), y_pred[key], (*path, key))
        elif path and not tree.is_nested(y_pred):
            for i, one in enumerate(loss):  # several losses of one output
                yield from self._parts_of(one, _share(weight, i, len(loss)), y_pred, path)
        elif _pairs_up(loss, y_pred):
            for i, (one, inner) in enumerate(zip(loss, y_pred)):
                yield from self._parts_of(one, _at(weight, (i,)), inner, (*path, i))
        else:
            for i, one in enumerate(loss):
                inner_weight = _share(weight, i, len(loss))
                if one is not None and _is_single(one):
                    yield self._part(path, one, inner_weight)
                else:
                    yield from self._parts_of(one, inner_weight, y_pred, path)

    def _part(self, path: tuple, loss: Any, weight: Any) -> _Part:
        below = [name for leaf, name in self._leaf_names.items() if leaf[: len(path)] == path]
        name = self._leaf_names.get(path) or "/".join(map(str, path)) or "_".join(below)
        if isinstance(loss, str) and loss in _CROSSENTROPY_LOSS:
            truth, predicted = _at(self._y_true, path), _at(self._y_pred, path)
            loss = "categorical" if truth is None else _kind(truth, predicted)
            loss = f"{'sparse_categorical' if loss == 'sparse' else loss}_crossentropy"
        return _Part(path, name, as_loss(loss), _share(weight, 0, 1))  # type: ignore[arg-type]

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        if not self.built:
            self.build(y_pred, y_true)
        truth_like, weight_like = (
            self._like_outputs(value, y_pred, what) for value, what in ((y_true, "y"), (sample_weight, "sample_weight"))
        )
        symbolic = any(isinstance(x, Spec) for x in tree.flatten(y_pred))
        total = None
        for i, (path, name, loss, weight, truth) in enumerate((*part, _at(truth_like, part.path)) for part in self.parts):
            if truth is None:
                raise ValueError(f"Output {name!r} has the loss {loss.name!r}, but no target was given for it (y is None).")
            arguments = (truth, _at(y_pred, path), _at(weight_like, path))
            try:
                value = on_shapes(loss, arguments) if symbolic else loss(*arguments)
            except ValueError as error:
                if len(self.parts) == 1:
                    raise
                raise ValueError(f"Output {name!r}: {error}") from error
            if self.metrics:
                self.metrics[i].update_state(whole(value), sample_weight=_rows(tree.flatten(_at(y_pred, path))[0]))
            if weight is not None:
                value = value * (ops.cast(weight, value.dtype) if hasattr(weight, "dtype") else weight)
            total = value if total is None else total + value
        return total

    def _like_outputs(self, given: Any, y_pred: Any, what: str) -> Any:
        """Return targets or weights nested like the outputs."""
        if given is None:
            return None
        paths = [path for path, _ in tree.flatten_with_path(y_pred)]
        if [path for path, _ in tree.flatten_with_path(given)] == paths:
            return given
        return tree.pack_sequence_as(y_pred, targets_of(given, y_pred, self.names, what))


def _is_single(loss: Any) -> bool:
    return not isinstance(loss, (dict, list, tuple)) or (isinstance(loss, dict) and {"class_name", "config"} <= loss.keys())


def _listed(given: Any, y_pred: Any, names: list[str], argument: str) -> Any:
    """Return a dict by output name as a list in the order of the outputs."""
    if not isinstance(given, dict) or _is_single(given):
        return given
    found = by_output(given, y_pred, names, argument)
    return found if isinstance(y_pred, (list, tuple)) else found[0]


def _names_by_path(y_pred: Any, names: list[str] | None) -> dict[tuple, str]:
    """Return the name of each output: the keys that lead to it, and the model's name where a list does."""
    leaves = tree.flatten_with_path(y_pred)
    names = names if names and len(names) == len(leaves) else [f"output_{i + 1}" for i in range(len(leaves))]
    found = {}
    for (path, _), name in zip(leaves, names):
        keys = [k for k in path if isinstance(k, str)]
        found[tuple(path)] = "/".join(keys if keys and isinstance(path[-1], str) else [*keys, name])
    return found


def _pairs_up(loss: Any, y_pred: Any) -> bool:
    """Tell whether a list of losses is one for each of the outputs; a list inside it counts if the outputs are a list too."""
    return (
        isinstance(y_pred, (list, tuple))
        and len(loss) == len(y_pred)
        and (
            isinstance(loss, type(y_pred))
            or all(_is_single(one) or len(one) == 1 or tree.is_nested(out) for one, out in zip(loss, y_pred))
        )
    )


def _named_apart(part: _Part, names: list[str]) -> str:
    """Return the name of one of several losses of an output."""
    return part.loss.name if len(names) == 1 else f"{part.name}_{part.loss.name}"


def _share(weight: Any, i: int, count: int) -> Any:
    """Return the weight of the `i`-th of several losses for the same outputs."""
    if not isinstance(weight, (list, tuple)):
        return weight
    if len(weight) != count:
        raise ValueError(f"compile: loss_weights={list(weight)} must hold one number for each loss, of which there are {count}.")
    return weight[i]


def _at(structure: Any, path: Any) -> Any:
    """Return what lies at `path`; what is not nested holds for everything below."""
    for key in path:
        if isinstance(structure, dict):
            structure = structure.get(key)
        elif isinstance(structure, (list, tuple)):
            structure = structure[key] if isinstance(key, int) and key < len(structure) else None
        else:
            return structure
    return structure


def _rows(x: Any) -> Any:
    return ops.shape(x)[0] if len(x.shape) else 1


def _kind(y_true: Any, y_pred: Any) -> str:
    """Tell the kind of classification from the shapes of targets and outputs."""
    if y_pred.shape[-1] == 1 if len(y_pred.shape) else True:
        return "binary"
    if len(y_true.shape) < len(y_pred.shape) or y_true.shape[-1] == 1:
        return "sparse"
    return "categorical"


def as_metric(given: Any, y_true: Any, y_pred: Any) -> Metric | None:
    """Return a `Metric` for a name, function, class or metric; "accuracy" by the shapes."""
    if given is None or isinstance(given, Metric):
        return given
    key = str(given).lower() if isinstance(given, str) else None
    if key in _BY_SHAPE:
        return _BY_SHAPE[key][_kind(y_true, y_pred)](name=given)
    metric = metrics.get(given)
    if isinstance(metric, type):
        metric = metric()
    if isinstance(given, str):
        name = given
    else:
        name = getattr(metric, "__name__", None) or type(metric).__name__
    if not isinstance(metric, Metric):
        metric = MeanMetricWrapper(metric, name=name)
    elif isinstance(given, str):
        metric.name = name
    return metric


class CompiledMetrics:
    """The metrics of all outputs, those that see sample weights and those that do not."""

    def __init__(self, given: Any, weighted: Any, output_names: list[str] | None):
        for argument, value in (("metrics", given), ("weighted_metrics", weighted)):
            if value is not None and not isinstance(value, (list, tuple, dict)):
                raise ValueError(f"compile: {argument} must be a list or dict, got {value!r}.")
            for leaf in tree.flatten(value):
                if (
                    leaf is not None
                    and not isinstance(leaf, Metric)
                    and not (isinstance(leaf, str) and leaf.lower() in _BY_SHAPE)
                ):
                    metrics.get(leaf)  # a name that does not exist is said at once
        self.given, self.weighted, self.given_names = given, weighted, output_names
        self.built = False
        self.pairs: list[tuple[str, Metric, int, bool]] = []

    @property
    def metrics(self) -> list[Metric]:
        """All metrics, in order."""
        return [metric for _, metric, _, _ in self.pairs]

    def build(self, y_true: Any, y_pred: Any) -> None:
        """Fit the metrics to the outputs."""
        names = self.names = output_names_of(y_pred, self.given_names)
        truths, predictions = targets_of(y_true, y_pred, names, "y"), tree.flatten(y_pred)
        for argument, given, weigh in (("metrics", self.given, False), ("weighted_metrics", self.weighted, True)):
            if not given:
                continue
            single = len(names) == 1
            entries = [given] if single and not isinstance(given, dict) else by_output(given, y_pred, names, argument)
            for i, entry in enumerate(entries):
                for one in tree.flatten(entry):
                    if truths[i] is None and one is not None and not isinstance(one, Metric):
                        continue
                    metric = as_metric(one, truths[i], predictions[i])
                    if metric is not None:
                        name = metric.name if single else f"{names[i]}_{metric.name}"
                        self.pairs.append((name, metric, i, weigh))
        self.built = True

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Let every metric see a batch."""
        if not self.built:
            self.build(y_true, y_pred)
        truths = targets_of(y_true, y_pred, self.names, "y")
        weights = targets_of(sample_weight, y_pred, self.names, "sample_weight")
        predictions = tree.flatten(y_pred)
        for _, metric, i, weigh in self.pairs:
            rows = weights[i] if weigh else None
            metric.update_state(
                truths[i], predictions[i], **({"sample_weight": rows} if weigh and rows is not None else {})
            )

    def result(self) -> dict[str, Any]:
        """Return the values by name; equal names get _1, _2 ..."""
        found: dict[str, Any] = {}
        for name, metric, _, weigh in self.pairs:
            value = metric.result()
            for key, part in value.items() if isinstance(value, dict) else [(name, value)]:
                if key in found and weigh:
                    key = key.removesuffix(metric.name) + f"weighted_{metric.name}"
                unique_key, n = key, 1
                while unique_key in found:
                    unique_key, n = f"{key}_{n}", n + 1
                found[unique_key] = part
        return found

    def reset_state(self) -> None:
        """Begin anew."""
        for metric in self.metrics:
            metric.reset_state()
