"""fit, evaluate and predict give what Keras on the same backend gives: the same names, the same numbers.

Cases are drawn from all that `compile`, `fit` and `evaluate` take: outputs, losses and their weights, metrics, weights of
samples and classes, masks, kinds of data and of validation, how steps are dispatched.
"""

import random
import types
import warnings
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pytest

import multikeras
from multikeras.backend import current

pytestmark = pytest.mark.skipif(not current.supports_gradients, reason="this backend computes no gradients")

QUICK, ALL = 4, 40
RANDOM = np.random.RandomState(0)
X = RANDOM.normal(size=(44, 5)).astype("float32")
LABELS = (X[:, :1] + 0.3 * X[:, 1:2] > 0).astype("float32")
VALUES = np.stack([X[:, 2], X.sum(-1)], -1).astype("float32")
WEIGHTS = RANDOM.uniform(0.2, 2.0, size=44).astype("float32")
OTHER_WEIGHTS = RANDOM.uniform(0.2, 2.0, size=44).astype("float32")
SEQUENCES = RANDOM.normal(size=(44, 4, 3)).astype("float32")
SEQUENCES[::3, 2:] = 0.0
STEPS = np.cumsum(SEQUENCES, 1)[..., :2].astype("float32")


@dataclass
class Case:
    """One program in a few words."""

    number: int
    outputs: str
    loss: Any
    loss_weights: Any
    metrics: Any
    weighted_metrics: Any
    sample_weight: str
    data: str
    validation: str
    validation_freq: Any
    batch_size: int
    initial_epoch: int
    steps_per_execution: int
    run_eagerly: bool

    def __str__(self):
        return f"{self.number}-{self.outputs}-{self.data}-{self.validation}-{self.sample_weight}"


def draw(number: int) -> Case:
    pick = random.Random(number).choice
    outputs = pick(["one", "masked", "list", "dict", "list", "dict"])
    several = outputs in ("list", "dict")
    named = {"a": "binary_crossentropy", "b": "mse"}
    losses = {
        "list": ["mse", ["binary_crossentropy", "mae"], named, {"b": "mae"}, ["mse", None]],
        "dict": ["mae", named, {"a": "mse", "b": "huber"}],
    }.get(outputs, ["mse", "mae", ["mse"]])
    loss = pick(losses)
    both = several and not isinstance(loss, str) and len(loss) == 2 and None not in loss  # else Keras takes no weights
    weights = [None, [0.3, 2.0] if outputs == "list" and not isinstance(loss, dict) else {"a": 0.3, "b": 2.0}]
    some = {
        "list": [None, ["mae", "mse"], [["mae"], ["mse"]], {"a": "accuracy", "b": ["mae", "mse"]}, [None, ["mae"]]],
        "dict": [None, {"a": "accuracy"}, {"a": ["accuracy", "mae"], "b": ["mse"]}],
    }.get(outputs, [None, ["mae"], ["mae", "mse"]])
    weighing = {"one": ["none", "rows", "classes"], "masked": ["none"]}
    sample_weight = pick(weighing.get(outputs, ["none", "none", "rows", "each"]))
    data = pick(["arrays", "arrays", "arrays", "generator", "finite", "dataset", "steps"])
    if sample_weight == "classes" and data != "arrays":
        data = "arrays"
    validation = pick(["none", "data", "weighted", "generator"] + ["split"] * (data == "arrays" and sample_weight != "classes"))
    # Keras on JAX runs whole dispatches where an epoch of given length ends within one.
    together = pick([1, 1, 3]) if data not in ("steps", "generator") and validation != "generator" else 1
    return Case(
        number, outputs, loss, pick(weights) if both else None, pick(some), pick(some), sample_weight, data, validation,
        pick([1, 1, 2, [2]]), pick([8, 11, 44, 50]), pick([0, 0, 1]), together, pick([False, False, True]),
    )  # fmt: skip


def model_of(package: Any, case: Case) -> Any:
    layers = package.layers
    if case.outputs == "masked":
        inputs = package.Input((4, 3))
        masked = layers.Masking()(inputs)
        return package.Model(inputs, layers.Dense(2)(layers.TimeDistributed(layers.Dense(3, "tanh"))(masked)))
    inputs = package.Input((5,))
    hidden = layers.Dense(6, "tanh")(inputs)
    a, b = layers.Dense(1, "sigmoid", name="a")(hidden), layers.Dense(2, name="b")(hidden)
    outputs = {"one": a, "list": [a, b], "dict": {"a": a, "b": b}}[case.outputs]
    return package.Model(inputs, outputs)


def parts_of(case: Case, rows: slice) -> tuple:
    """Return x, y and sample weights."""
    if case.outputs == "masked":
        x, y = SEQUENCES[rows], STEPS[rows]
    else:
        x = X[rows]
        a, b = LABELS[rows], VALUES[rows]
        y = {"one": a, "list": [a, b], "dict": {"a": a, "b": b}}[case.outputs]
    one, other = WEIGHTS[rows], OTHER_WEIGHTS[rows]
    each = [one, other] if case.outputs == "list" else {"a": one, "b": other}
    return x, y, {"rows": one, "each": each}.get(case.sample_weight)


def batches_of(package: Any, case: Case, kind: str, weighted: bool = True) -> Any:
    """Return the data in batches."""
    starts = range(0, 44, case.batch_size)

    def batch(i):
        x, y, weights = parts_of(case, slice(i, i + case.batch_size))
        y = tuple(y) if isinstance(y, list) else y
        weights = tuple(weights) if isinstance(weights, list) else weights
        return (x, y) if weights is None or not weighted else (x, y, weights)

    def finite():
        for i in starts:
            yield batch(i)

    def infinite():
        while True:
            yield from finite()

    if kind == "dataset":

        class Dataset(package.utils.PyDataset):
            @property
            def num_batches(self):
                return len(starts)

            def __getitem__(self, i):
                return batch(starts[i])

        return Dataset()
    return finite() if kind == "finite" else infinite()


def run(package: Any, case: Case, weights: list | None = None) -> dict:
    package.utils.clear_session()
    model = model_of(package, case)
    if weights is None:
        package.utils.set_random_seed(case.number)
    else:
        model.set_weights(weights)
    first = model.get_weights()
    model.compile(
        package.optimizers.SGD(0.05), case.loss, loss_weights=case.loss_weights, metrics=case.metrics,
        weighted_metrics=case.weighted_metrics, run_eagerly=case.run_eagerly, jit_compile=False,
        steps_per_execution=case.steps_per_execution if package is multikeras or current.name != "torch" else 1,
    )  # fmt: skip
    epochs, options = case.initial_epoch + 2, {}
    x, y, sample_weight = parts_of(case, slice(None))
    if case.data in ("arrays", "steps"):
        options = dict(x=x, y=y, sample_weight=sample_weight, batch_size=case.batch_size, shuffle=False)
        options |= {"steps_per_epoch": 2} if case.data == "steps" and case.batch_size < 20 else {}
        options |= {"class_weight": {0: 0.4, 1: 1.7}} if case.sample_weight == "classes" else {}
    else:
        options["x"] = batches_of(package, case, case.data)
        if case.data == "generator":
            options["steps_per_epoch"] = 3
        if case.data == "finite":
            epochs = case.initial_epoch + 1
        if case.data == "dataset":
            options["shuffle"] = False
    if case.validation == "split":
        options["validation_split"] = 0.3
    elif case.validation == "generator":
        options |= {"validation_data": batches_of(package, case, "generator", False), "validation_steps": 2}
    elif case.validation != "none":
        weights_too = case.validation == "weighted" and sample_weight is not None
        options["validation_data"] = (x, y, sample_weight) if weights_too else (x, y)
    seen: list[Any] = []
    note = package.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append((epoch, list(logs))),
        on_train_batch_end=lambda batch, logs: seen.append(batch),
    )
    options |= {"validation_freq": case.validation_freq, "initial_epoch": case.initial_epoch}
    history = model.fit(**options, epochs=epochs, verbose=0, callbacks=[note])
    given = dict(x=x, y=y, sample_weight=sample_weight, batch_size=case.batch_size, verbose=0)
    predicted = model.predict(x, batch_size=case.batch_size, verbose=0)
    return {
        "first": first,
        "history": history.history,
        "epochs": history.epoch,
        "seen": seen,
        "evaluated": model.evaluate(**given, return_dict=True),
        "listed": np.asarray(model.evaluate(**given)).tolist(),
        "names": model.metrics_names,
        "on_batch": model.test_on_batch(x, y, sample_weight=sample_weight, return_dict=True),
        "trained": model.train_on_batch(x, y, sample_weight=sample_weight, return_dict=True),
        "predicted": predicted,
        "weights": model.get_weights(),
    }


def _without_metrics_of_masks(found: dict) -> dict:
    """Leave out metrics of training: Keras on JAX loses the mask of the outputs before it computes them."""
    history = {k: v for k, v in found["history"].items() if k == "loss" or k.startswith("val_")}
    return {**found, "history": history, "trained": {"loss": found["trained"]["loss"]}}


def _without_losses_of_outputs(found: dict) -> dict:
    """Leave out the losses of single outputs: Keras on TensorFlow gives a short last batch the weight of a full one."""

    def kept(logs: dict) -> dict:
        return {k: v for k, v in logs.items() if not k.endswith("_loss") or k == "val_loss"}

    parts = ("history", "evaluated", "on_batch", "trained")
    return {**found, **{part: kept(found[part]) for part in parts}, "listed": len(found["listed"])}


def same(a: Any, b: Any, where: str) -> None:
    """Refuse other structures, names, orders of names, and numbers that are not close."""
    if isinstance(a, dict):
        assert list(a) == list(b), where
        for key in a:
            same(a[key], b[key], f"{where}[{key!r}]")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b)):
            same(x, y, f"{where}[{i}]")
    elif isinstance(a, str):
        assert a == b, where
    else:
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=2e-4, atol=2e-5, err_msg=where)


CASES = [draw(number) for number in range(ALL)]


@pytest.mark.parametrize("case", [pytest.param(c, marks=[pytest.mark.slow] * (c.number >= QUICK), id=str(c)) for c in CASES])
def test_training_tells_what_keras_tells(case, keras):
    ours = run(multikeras, case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            theirs = run(keras, case, ours["first"])
        except Exception as error:
            pytest.skip(f"Keras itself refuses this: {type(error).__name__}: {str(error)[:200]}")
    if case.steps_per_execution > 1 and current.name == "torch":
        del theirs["seen"]  # Keras on torch takes one step at a time, and shows each
    if case.outputs == "masked" and current.name == "jax":
        theirs, ours = (_without_metrics_of_masks(found) for found in (theirs, ours))
    if case.outputs in ("list", "dict") and current.name == "tensorflow":
        theirs, ours = (_without_losses_of_outputs(found) for found in (theirs, ours))
    for part in theirs:
        same(theirs[part], ours[part], part)


def test_the_cases_reach_all_there_is():
    found = [asdict(case) for case in CASES]
    for name, values in {
        "outputs": {"one", "masked", "list", "dict"},
        "sample_weight": {"none", "rows", "each", "classes"},
        "data": {"arrays", "generator", "finite", "dataset", "steps"},
        "validation": {"none", "data", "weighted", "generator", "split"},
        "steps_per_execution": {1, 3},
        "run_eagerly": {True, False},
        "batch_size": {8, 11, 44, 50},
    }.items():
        assert {case[name] for case in found} == values
    assert types.SimpleNamespace(**found[0]).number == 0
