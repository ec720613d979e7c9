"""Whatever holds the rows, a model trains on them alike."""

import time

import numpy as np
import pytest

import multikeras as mk
from multikeras import backend, callbacks, config, layers
from multikeras.random import host
from multikeras.training.data import arrays as arrays_module
from multikeras.training.data.overlap import overlapped

pytestmark = pytest.mark.skipif(not backend.current.supports_gradients, reason="this backend computes no gradients")

X = host.normal((1, 0), (40, 6))
Y = (X[:, :1] > 0).astype("float32")
OPTIONS = {"epochs": 2, "verbose": 0, "shuffle": False}


def fitted(*data, **options):
    mk.utils.clear_session()
    mk.utils.set_random_seed(4)
    model = mk.Sequential([mk.Input((6,)), layers.Dense(4, activation="tanh"), layers.Dense(1)])
    model.compile("sgd", "mse")
    history = model.fit(*data, **{**OPTIONS, **options})
    return [*model.get_weights(), np.array(history.history["loss"])]


@pytest.fixture(scope="module")
def wanted():
    return fitted(X, Y, batch_size=8)


def batches(n=8):
    return [(X[i : i + n], Y[i : i + n]) for i in range(0, len(X), n)]


def pandas_frame():
    pandas = pytest.importorskip("pandas")
    return (pandas.DataFrame(X), pandas.Series(Y[:, 0])), {"batch_size": 8}


def scipy_sparse():
    sparse = pytest.importorskip("scipy.sparse")
    return (sparse.coo_matrix(X), Y), {"batch_size": 8}


def torch_tensors():
    torch = pytest.importorskip("torch")
    return (torch.tensor(X), torch.tensor(Y)), {"batch_size": 8}


def jax_arrays():
    jnp = pytest.importorskip("jax.numpy")
    return (jnp.asarray(X), jnp.asarray(Y)), {"batch_size": 8}


def tf_tensors():
    tf = pytest.importorskip("tensorflow")
    return (tf.constant(X), tf.constant(Y)), {"batch_size": 8}


def tf_sparse():
    tf = pytest.importorskip("tensorflow")
    return (tf.sparse.from_dense(X), Y), {"batch_size": 8}


def jax_bcoo():
    sparse = pytest.importorskip("jax.experimental.sparse")
    return (sparse.BCOO.fromdense(X), Y), {"batch_size": 8}


def tf_dataset():
    tf = pytest.importorskip("tensorflow")
    return (tf.data.Dataset.from_tensor_slices((X, Y)).batch(8),), {}


def torch_loader():
    utils, torch = pytest.importorskip("torch.utils.data"), pytest.importorskip("torch")
    return (utils.DataLoader(utils.TensorDataset(torch.tensor(X), torch.tensor(Y)), batch_size=8),), {}


def grain_dataset():
    grain = pytest.importorskip("grain")
    source = grain.MapDataset.range(len(X)).map(lambda i: (X[i], Y[i])).to_iter_dataset().batch(8)
    return (source,), {}


class Dataset(mk.utils.PyDataset):
    def __len__(self):
        return 5

    def __getitem__(self, i):
        return batches()[i]


def py_dataset():
    return (Dataset(),), {}


def py_dataset_in_threads():
    return (Dataset(workers=3, max_queue_size=4),), {}


def generator():
    return ((b for _ in range(2) for b in batches()),), {"steps_per_epoch": 5}


def list_of_lists():
    return (X.tolist(), Y.tolist()), {"batch_size": 8}


KINDS = [
    pandas_frame, scipy_sparse, torch_tensors, jax_arrays, tf_tensors, tf_sparse, jax_bcoo, tf_dataset, torch_loader,
    grain_dataset, py_dataset, py_dataset_in_threads, generator, list_of_lists,
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda f: f.__name__)
def test_every_kind_of_data_trains_alike(kind, wanted):
    data, options = kind()
    for a, b in zip(wanted, fitted(*data, **options)):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5)


def test_arrays_too_large_for_the_device_stay_where_they_are(monkeypatch, tmp_path):
    np.save(tmp_path / "x.npy", X.astype("float64"))
    wanted = fitted(X, Y, batch_size=8, shuffle=True, validation_split=0.2)
    monkeypatch.setattr(arrays_module, "_MOST_ON_DEVICE", 100)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    source = arrays_module.Arrays(mapped, Y)
    assert source.on_host
    assert np.shares_memory(source._data[0], mapped)
    for a, b in zip(wanted, fitted(mapped, Y, batch_size=8, shuffle=True, validation_split=0.2)):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5)


WEIGHTS = {0: 0.5, 1: 3.0}


@pytest.mark.parametrize("kind", [scipy_sparse, tf_dataset, torch_loader, py_dataset, generator], ids=lambda f: f.__name__)
def test_class_weights_count_for_every_kind(kind):
    wanted = fitted(X, Y, batch_size=8, class_weight=WEIGHTS)
    data, options = kind()
    for a, b in zip(wanted, fitted(*data, class_weight=WEIGHTS, **options)):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5)


def test_nested_dicts_of_inputs():
    inputs = {"a": {"left": mk.Input((3,), name="left")}, "b": mk.Input((3,), name="right")}
    outputs = layers.Dense(1)(layers.Concatenate()([inputs["a"]["left"], inputs["b"]]))
    model = mk.Model(inputs, outputs)
    model.compile("sgd", "mse")
    data = {"a": {"left": X[:, :3]}, "b": X[:, 3:]}
    model.fit(data, Y, verbose=0)
    batch = ({"a": {"left": X[:8, :3]}, "b": X[:8, 3:]}, Y[:8])
    model.fit([batch].__iter__(), verbose=0)
    assert model.predict(data, verbose=0).shape == (40, 1)


def test_slow_data_come_while_the_model_computes():
    def slow():
        for i in range(24):
            time.sleep(0.02)
            yield i

    def seconds() -> float:
        began = time.perf_counter()
        found = []
        for item, _ in overlapped(slow(), lambda x: x, lambda: None):
            time.sleep(0.02)  # sleeps do not need a processor of their own
            found.append(item)
        assert found == list(range(24))
        return time.perf_counter() - began

    # One after the other takes 0.96 s; a busy machine may be late now and then.
    assert any(seconds() < 0.85 * 24 * 0.04 for _ in range(5))


def test_a_thread_that_works_ahead_hands_exceptions_over_and_stops():
    def broken():
        for i in range(9):
            time.sleep(0.002)
            if i == 7:
                raise KeyError("row")
            yield i

    found = []

    def gather():
        found.extend(item for item, _ in overlapped(broken(), lambda x: x, lambda: None))

    with pytest.raises(KeyError, match="row"):
        gather()
    assert found == list(range(7))

    endless = overlapped(iter(lambda: time.sleep(0.002), 1), lambda x: x, lambda: None)
    for _ in range(8):
        next(endless)
    endless.close()


def test_a_trial_run_takes_one_batch_and_writes_nothing(tmp_path):
    config.set_fast_dev_run(2)
    try:
        mk.utils.set_random_seed(0)
        model = mk.Sequential([mk.Input((6,)), layers.Dense(1)])
        model.compile("sgd", "mse")
        watch = [callbacks.ModelCheckpoint(tmp_path / "m.keras"), callbacks.CSVLogger(tmp_path / "log.csv")]
        history = model.fit(X, Y, batch_size=4, epochs=5, verbose=0, validation_data=(X, Y), callbacks=watch)
        assert history.epoch == [0]
        assert int(model.optimizer.iterations.numpy()) == 2
        assert not list(tmp_path.iterdir())
    finally:
        config.set_fast_dev_run(None)


@pytest.mark.parametrize("kind", [generator, py_dataset, None])
def test_a_model_can_be_held_to_a_few_batches(kind):
    data, options = kind() if kind else ((X, Y), {"batch_size": 8})
    config.set_overfit_batches(1)
    try:
        mk.utils.set_random_seed(0)
        model = mk.Sequential([mk.Input((6,)), layers.Dense(16, activation="tanh"), layers.Dense(1)])
        model.compile(mk.optimizers.Adam(0.02), "mse")
        history = model.fit(*data, **{**options, "epochs": 150, "verbose": 0, "validation_data": (X, Y)})
    finally:
        config.set_overfit_batches(None)
    assert history.history["val_loss"][-1] < 0.02  # learned by heart
    assert int(model.optimizer.iterations.numpy()) == 150


@pytest.mark.skipif(backend.backend() != "tensorflow", reason="only TensorFlow has ragged tensors that layers compute with")
def test_ragged_rows_train_as_padded_ones_and_come_out_of_predict_ragged():
    import tensorflow as tf

    class Sums(mk.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(1, kernel_initializer="ones")

        def call(self, x):
            return self.dense(tf.reduce_sum(x, axis=1)[:, None])

    class Twice(layers.Layer):
        def call(self, x):
            return x * 2

    rows = [[float(i)] * (i % 3 + 1) for i in range(10)]
    ragged, y = tf.ragged.constant(rows), np.arange(10.0)[:, None]
    results = []
    for x in (ragged, ragged.to_tensor().numpy()):
        mk.utils.set_random_seed(0)
        model = Sums()
        model.compile(mk.optimizers.SGD(1e-4), "mse")
        history = model.fit(x, y, batch_size=4, epochs=3, verbose=0).history["loss"]
        results.append([*history, model.evaluate(x, y, verbose=0), *model.get_weights()[0].ravel()])
    np.testing.assert_allclose(*results, rtol=1e-5)
    inputs = mk.Input((None,))
    doubled = mk.Model(inputs, Twice()(inputs)).predict(ragged, batch_size=4, verbose=0)
    assert doubled.to_list() == [[2 * v for v in row] for row in rows]
