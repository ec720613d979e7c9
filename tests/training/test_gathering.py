"""Batches that come one by one and are put together: none is lost, and training is what it is batch by batch."""

import gc
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import multikeras as mk
from multikeras import backend, callbacks, layers
from multikeras.random import host
from multikeras.training.data import gathering

pytestmark = pytest.mark.skipif(not backend.current.supports_gradients, reason="this backend computes no gradients")

ROWS = st.lists(st.sampled_from([4, 4, 4, 4, 3, 1]), max_size=30)


def batch_of(rows, i):
    return np.full((rows, 2), i, "float64"), (np.full((rows,), i, "int64"), None)


def taken_apart(groups):
    found = []
    for batches, count, positions in groups:
        assert len(positions) == (count or 1)
        for i in range(len(positions)):
            x, (y, none) = batches if count is None else (batches[0][i], (batches[1][0][i], batches[1][1]))
            assert none is None
            found.append((np.asarray(x), np.asarray(y), positions[i]))
    return found


@given(ROWS, st.lists(st.integers(1, 9), min_size=1), st.booleans())
@settings(max_examples=30, deadline=None)
def test_all_batches_come_in_order_whatever_is_put_together(rows, counts, fails):
    def batches():
        for i, n in enumerate(rows):
            yield batch_of(n, i)
        if fails:
            raise KeyError("broken")

    wanted, given, found = iter(counts), [-1], []
    stream = (given.__setitem__(0, given[0] + 1) or b for b in batches())
    groups = gathering.gathered(stream, lambda b: b, lambda: given[0], gathering.Usual(), lambda: next(wanted, 5), lambda b: b)
    try:
        for group in groups:
            found += taken_apart([group])
    except KeyError:
        assert fails
    assert [(x.shape[0], int(y[0]), p) for x, y, p in found] == [(n, i, i) for i, n in enumerate(rows)]
    assert all((x == y[0]).all() and (y == y[0]).all() for x, y, _ in found)


def test_what_lies_in_no_array_goes_by_itself():
    assert gathering.kind_of(([1.0, 2.0], np.ones(2))) is None
    assert gathering.kind_of((np.array("a"), None)) is None
    assert gathering.kind_of((np.float32(1.0),)) is None
    (_, leaves), arrays = gathering.kind_of((np.ones((2, 3)), backend.current.asarray([1, 2], "int32"), None))
    assert leaves == (((2, 3), "float32"), ((2,), "int32"), None)
    assert arrays[2] is None
    many = gathering.kind_of((np.ones((1 << 20,), "float32"),))[0]
    assert many.most < gathering._FEWEST  # large ones are not copied


class Watch(callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        pass


class Again:
    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


def trained(watch, more=()):
    mk.utils.set_random_seed(5)
    x, y = host.normal((1, 0), (75, 6)), np.arange(75) % 3
    weights = np.linspace(0.5, 1.5, 75).astype("float32")
    model = mk.Sequential([
        mk.Input((6,)), layers.Dense(8, "relu"), layers.BatchNormalization(), layers.Dropout(0.3), layers.Dense(3, "softmax"),
    ])  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy", weighted_metrics=["accuracy"])
    batches = [(x[i : i + 16], y[i : i + 16], weights[i : i + 16]) for i in range(0, 75, 16)]
    history = model.fit(
        (b for _ in range(8) for b in batches), steps_per_epoch=7, epochs=5, verbose=0, callbacks=[*more, *[Watch()] * watch],
        validation_data=Again(batches),
    )  # fmt: skip
    return history.history, [v.numpy() for v in model._state_of_training()], model


def test_training_is_the_same():
    (history, values, model), (single_history, single_values, single) = trained(False), trained(True)
    assert {("train_step", "group"), ("test_step", "group")} <= set(model._programs.compiled)
    assert ("train_step", "group") not in single._programs.compiled
    for name, found in single_history.items():
        np.testing.assert_allclose(history[name], found, rtol=1e-4, atol=1e-6)
    for a, b in zip(values, single_values):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6)


def test_a_callback_that_takes_chunks_gets_them_where_it_is_due():
    class Due(callbacks.Callback):
        takes_chunks = True

        def __init__(self):
            super().__init__()
            self.ends, self.last = [], 0

        def on_epoch_begin(self, epoch, logs=None):
            self.last = 0

        def batches_until_due(self):
            return 3 - self.last % 3

        def on_chunk_end(self, mode, batch, results):
            if mode == "train":
                self.ends.append(batch)
                self.last = batch + 1
                assert np.isfinite(results()["loss"])

        def on_train_batch_end(self, batch, logs=None):
            self.ends.append(batch)
            self.last = batch + 1

    due = Due()
    trained(False, [due])
    assert due.ends.count(2) == due.ends.count(5) == due.ends.count(6) == 5  # of 5 epochs


def test_training_stops_within_a_group():
    class Stop(callbacks.Callback):
        takes_chunks = True

        def batches_until_due(self):
            return 2

        def on_chunk_end(self, mode, batch, results):
            if batch >= 9:
                self.model.stop_training = True

    drawn = []

    def endless():
        while True:
            drawn.append(1)
            yield np.ones((4, 6)), np.ones((4,), "int32")

    model = mk.Sequential([mk.Input((6,)), layers.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(endless(), steps_per_epoch=1000, epochs=3, verbose=0, callbacks=[Stop()])
    assert 10 <= int(model.optimizer.iterations) <= 12
    assert len(drawn) < 1000


def test_memory_of_groups_is_used_again_once_nobody_holds_it():
    usual = gathering.Usual()
    batches = [(np.full((6, 3), i, "float32"), np.full(6, i, "int32")) for i in range(12)]

    def values(group):
        return [[float(backend.current.to_numpy(x[i]).max()) for i in range(group.count)] for x in group.batches]

    def groups():
        return gathering.gathered(iter(batches), lambda b: b, lambda: None, usual, lambda: 4, lambda b: b)

    held = list(groups())
    expected = [[list(map(float, range(i, j)))] * 2 for i, j in itertools.pairwise((0, 2, 6, 10, 12))]
    assert list(map(values, held)) == expected
    again = list(groups())
    assert list(map(values, held)) == expected  # what is held is not written over
    assert list(map(values, again)) == expected
    kept = {id(array) for arrays in usual._kept for array in arrays}
    del held, again
    gc.collect()
    taken = usual.take()
    assert {id(array) for array in taken} <= kept
