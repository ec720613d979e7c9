"""Metrics give the numbers, and keep the variables, of Keras's."""

import inspect

import numpy as np
import pytest
from keras_oracle.closeness import assert_close

from multikeras import losses, metrics, ops

RNG = np.random.default_rng(1)
LABELS, SCORES = RNG.integers(0, 2, (12, 3)), RNG.random((12, 3)).astype("float32")
ONE_HOT, CLASSES = np.eye(3)[RNG.integers(0, 3, 12)], RNG.integers(0, 3, 12)
BEYOND = (SCORES * 4 - 1.5).astype("float32")
COUNTS = RNG.integers(0, 3, 12)

CASES = [
    ("Accuracy", {}, CLASSES, COUNTS),
    ("BinaryAccuracy", {"threshold": 0.4}, LABELS, SCORES),
    ("CategoricalAccuracy", {}, ONE_HOT, SCORES),
    ("SparseCategoricalAccuracy", {}, CLASSES, SCORES),
    ("TopKCategoricalAccuracy", {"k": 2}, ONE_HOT, SCORES),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, CLASSES, SCORES),
    *((name, {}, SCORES[::-1], SCORES) for name in (
        "MeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanSquaredLogarithmicError", "LogCoshError",
        "RootMeanSquaredError", "CosineSimilarity", "PearsonCorrelation", "ConcordanceCorrelation", "R2Score", "KLDivergence",
        "Poisson",
    )),
    ("R2Score", {"class_aggregation": "variance_weighted_average", "num_regressors": 2}, SCORES[::-1], SCORES),
    *((name, {}, LABELS, SCORES) for name in ("Hinge", "SquaredHinge", "BinaryCrossentropy", "AUC", "Precision", "Recall")),
    ("CategoricalHinge", {}, ONE_HOT, SCORES),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, ONE_HOT, SCORES),
    ("SparseCategoricalCrossentropy", {}, CLASSES, SCORES),
    *((name, {"thresholds": [0.3, 0.6]}, LABELS, SCORES) for name in (
        "TruePositives", "FalsePositives", "TrueNegatives", "FalseNegatives",
    )),
    ("Precision", {"top_k": 2}, LABELS, SCORES),
    ("Recall", {"class_id": 1, "thresholds": 0.3}, LABELS, SCORES),
    *(("AUC", {"curve": curve, "summation_method": method, "num_thresholds": 11}, LABELS, SCORES)
      for curve in ("ROC", "PR", "PRGAIN") for method in ("interpolation", "majoring", "minoring")),
    ("AUC", {"multi_label": True, "label_weights": [1.0, 2.0, 3.0]}, LABELS, SCORES),
    *(("AUC", options, LABELS, BEYOND) for options in (
        {}, {"num_thresholds": 3}, {"curve": "PR"}, {"multi_label": True}, {"thresholds": [0.25, 0.5, 0.75]},
        {"thresholds": [0.2, 0.7]}, {"thresholds": [-0.5, 0.3, 1.5]},
    )),
    *((name, {"thresholds": t}, LABELS, BEYOND) for name in ("Precision", "FalseNegatives") for t in (
        [0.0, 0.5, 1.0], [0.0, 1.0], [0.0, 0.4, 1.0],
    )),
    ("PrecisionAtRecall", {"recall": 0.3}, LABELS, BEYOND),
    ("SensitivityAtSpecificity", {"specificity": 0.4}, LABELS, SCORES),
    ("SpecificityAtSensitivity", {"sensitivity": 0.4}, LABELS, SCORES),
    ("PrecisionAtRecall", {"recall": 0.6}, LABELS, SCORES),
    ("RecallAtPrecision", {"precision": 0.6}, LABELS, SCORES),
    *(("FBetaScore", {"average": average, "beta": 2.0, "threshold": 0.5}, LABELS, SCORES)
      for average in (None, "micro", "macro", "weighted")),
    ("F1Score", {}, ONE_HOT, SCORES),
]  # fmt: skip
REGIONS = [
    ("IoU", {"num_classes": 3, "target_class_ids": [0, 2]}, CLASSES, COUNTS),
    ("MeanIoU", {"num_classes": 3, "ignore_class": 1}, CLASSES, COUNTS),
    ("BinaryIoU", {"threshold": 0.4}, LABELS, SCORES),
    ("OneHotIoU", {"num_classes": 3, "target_class_ids": [1]}, ONE_HOT, SCORES),
    ("OneHotMeanIoU", {"num_classes": 3}, ONE_HOT, SCORES),
]


def to_numpy(x):
    return np.asarray(x.detach() if hasattr(x, "detach") else x)


def run(package, name, arguments, true, pred, weights):
    metric = getattr(package, name)(**arguments)
    for half in (slice(0, 8), slice(8, 12)):
        weight = {} if weights is None else {"sample_weight": weights[half]}
        metric.update_state(true[half] if "IoU" in name else true[half].astype("float32"), pred[half], **weight)
    return metric


@pytest.mark.parametrize("weights", [None, np.linspace(0.5, 2.0, 12).astype("float32")], ids=["plain", "weighted"])
@pytest.mark.parametrize(("name", "arguments", "true", "pred"), CASES)
def test_two_batches(keras, name, arguments, true, pred, weights):
    ours = run(metrics, name, arguments, true, pred, weights)
    theirs = run(keras.metrics, name, arguments, true, pred, weights)
    assert_close(ops.convert_to_numpy(ours.result()), to_numpy(theirs.result()))
    assert [v.path.rpartition("/")[2] for v in ours.variables] == [v.path.rpartition("/")[2] for v in theirs.variables]
    for a, b in zip(ours.variables, theirs.variables):
        assert_close(a.numpy(), to_numpy(b.value))
    ours.reset_state()
    assert all((v.numpy() == 0).all() for v in ours.variables)


@pytest.mark.parametrize(("name", "arguments", "true", "pred"), REGIONS)
def test_regions(keras, name, arguments, true, pred):
    ours = run(metrics, name, arguments, true, pred, None)
    theirs = run(keras.metrics, name, arguments, true, pred, None)
    assert_close(ops.convert_to_numpy(ours.result()), to_numpy(theirs.result()))


COMBINE = {"sum": np.sum, "mean": np.mean, "max": np.max, "min": np.min}


@pytest.mark.parametrize(("name", "arguments", "true", "pred"), CASES + REGIONS)
def test_replicas_combine_as_variables_declare(name, arguments, true, pred):
    def seen(*parts):
        metric = getattr(metrics, name)(**arguments)
        for part in parts:
            metric.update_state(true[part] if "IoU" in name else true[part].astype("float32"), pred[part])
        return metric

    first, second = slice(0, 8), slice(4, 12)
    halves, both = (seen(first), seen(second)), seen(first, second)
    state = [
        COMBINE[v.aggregation](np.stack([v.numpy(), w.numpy()]), axis=0)
        for v, w in zip(*(metric.variables for metric in halves))
    ]
    result = both.stateless_result([ops.convert_to_tensor(x, dtype=v.dtype) for v, x in zip(both.variables, state)])
    np.testing.assert_allclose(ops.convert_to_numpy(result), ops.convert_to_numpy(both.result()), rtol=1e-5, atol=1e-6)


def test_a_metric_may_declare_its_largest_value():
    class Largest(metrics.Metric):
        def __init__(self):
            super().__init__()
            self.largest = self.add_variable((), aggregation="max")

    assert Largest().variables[0].aggregation == "max"
    with pytest.raises(ValueError, match="aggregation must be one of .*'max'.*got 'most'"):
        metrics.Metric().add_variable((), aggregation="most")


NOT_IN_THE_GRID = {
    "Metric": "the base class",
    "MeanMetricWrapper": "under most others",
    "Mean": "of values only: below",
    "Sum": "of values only: below",
}


def test_every_metric_is_in_the_grid():
    given = {getattr(metrics, name) for name, *_ in CASES + REGIONS} | {getattr(metrics, name) for name in NOT_IN_THE_GRID}
    classes = {n for n in dir(metrics) if n[0] != "_" and issubclass(type(getattr(metrics, n)), type)}
    classes = {n for n in classes if issubclass(getattr(metrics, n), metrics.Metric)}
    assert {n for n in classes if getattr(metrics, n) not in given} == set()


@pytest.mark.parametrize("weights", [None, [0.5, 2.0, 0.0]])
@pytest.mark.parametrize("name", ["Mean", "Sum"])
def test_values(keras, name, weights):
    ours, theirs = getattr(metrics, name)(), getattr(keras.metrics, name)()
    for values in ([1.0, 5.0, 2.0], [[1.0, 2.0], [4.0, 3.0], [0.0, 1.0]]):
        ours.update_state(values, sample_weight=weights)
        theirs.update_state(values, sample_weight=weights)
    np.testing.assert_allclose(ops.convert_to_numpy(ours.result()), to_numpy(theirs.result()), rtol=1e-6)


def test_names(keras):
    assert set(n for n in dir(keras.metrics) if n[0] != "_") <= set(dir(metrics))


@pytest.mark.parametrize("name", [n for n in dir(metrics) if n[0] != "_" and hasattr(getattr(metrics, n), "from_config")])
def test_signature(keras, name):
    def shown(cls):
        return [(p.name, p.default) for p in inspect.signature(cls).parameters.values()]

    assert shown(getattr(metrics, name)) == shown(getattr(keras.metrics, name))


@pytest.mark.parametrize(("name", "arguments"), {name: (name, a) for name, a, *_ in CASES + REGIONS}.values())
def test_config_is_exchangeable(keras, name, arguments):
    ours = metrics.serialize(getattr(metrics, name)(**arguments))
    theirs = keras.metrics.deserialize(ours)
    assert metrics.serialize(metrics.deserialize(keras.metrics.serialize(theirs))) == ours


def test_state_may_be_passed_in_and_out():
    mean = metrics.Mean()
    state = mean.stateless_update_state([v.value for v in mean.variables], [1.0, 5.0])
    assert float(mean.stateless_result(state)) == 3.0
    assert float(mean.result()) == 0.0


def test_metrics_inside_are_tracked():
    class Pair(metrics.Metric):
        def __init__(self):
            super().__init__()
            self.parts = [metrics.Mean(name="a"), metrics.Sum(name="b")]

    assert len(Pair().variables) == 3
    assert isinstance(losses.get("mse")(np.ones(2), np.ones(2)), object)


def test_weights_of_regions_may_be_a_column(keras):
    ours, theirs = (package.MeanIoU(3) for package in (metrics, keras.metrics))
    for metric in (ours, theirs):
        metric.update_state(CLASSES, COUNTS, sample_weight=np.arange(12)[:, None])
    assert_close(ops.convert_to_numpy(ours.result()), to_numpy(theirs.result()))


@pytest.mark.parametrize("name", ["Precision", "TruePositives", "AUC", "Mean", "F1Score", "R2Score"])
def test_counts_keep_their_digits_in_lower_precision(keras, name):
    """A bfloat16 count would stop at 256."""
    dtypes = []
    for package in (metrics, keras.metrics):
        metric = getattr(package, name)(dtype="bfloat16")
        metric.update_state(*([SCORES] if name == "Mean" else [LABELS, SCORES]))
        dtypes.append([str(v.dtype) for v in metric.variables])
    assert dtypes[0] == dtypes[1]
