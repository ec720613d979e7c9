"""Gradients made of rows, and batches that are sparse: the numbers of dense ones, without the rows that nobody named."""

import numpy as np
import pytest
from helpers import sparse

import multikeras
from multikeras import layers, losses, ops, optimizers
from multikeras.backend import current

pytestmark = pytest.mark.skipif(not current.supports_sparse, reason="this backend has no sparse tensors")
batches_stay = pytest.mark.skipif(not current.sparse_batches, reason="compiled steps of this backend take dense batches")

MAKERS = {
    "sgd": lambda **k: optimizers.SGD(0.5, **k),
    "momentum": lambda **k: optimizers.SGD(0.5, momentum=0.9, **k),
    "adagrad": lambda **k: optimizers.Adagrad(0.5, **k),
    "adam": lambda **k: optimizers.Adam(0.05, **k),
    "rmsprop": lambda **k: optimizers.RMSprop(0.05, **k),
    "ftrl": lambda **k: optimizers.Ftrl(0.05, **k),
    "scaled": lambda **k: optimizers.LossScaleOptimizer(optimizers.SGD(0.5, **k), 4.0),
    "several": lambda **k: optimizers.MultiOptimizer(optimizers.SGD(0.5, **k)),
}
OPTIONS = [{}, {"weight_decay": 0.01}, {"clipnorm": 0.1}, {"use_ema": True}, {"gradient_accumulation_steps": 2},
           {"loss_scale_factor": 8.0}]  # fmt: skip


def rows(indices, values, shape):
    return current.sparse(ops.convert_to_tensor(np.array(indices)[:, None], "int32"), ops.convert_to_tensor(values), shape)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_gradient_of_rows_does_what_the_dense_one_does(name, options):
    if name == "scaled" and "loss_scale_factor" in options:
        options = {}
    found = []
    for dense in (False, True):
        optimizer, v = MAKERS[name](**options), multikeras.Variable(np.arange(20.0).reshape(10, 2), dtype="float32")
        for i in range(4):
            g = rows([7, 0, 3], np.random.RandomState(i).randn(3, 2).astype("float32"), (10, 2))
            optimizer.apply([ops.convert_to_tensor(g, sparse=False) if dense else g], [v])
        found.append(v.numpy())
    np.testing.assert_allclose(*found, rtol=1e-6, atol=1e-6)
    assert not np.allclose(found[0][[7, 0, 3]], np.arange(20.0).reshape(10, 2)[[7, 0, 3]])


@pytest.mark.parametrize("make", [MAKERS["sgd"], MAKERS["adagrad"]])
def test_only_the_rows_that_are_named_are_written(make):
    optimizer, v = make(), multikeras.Variable(np.ones((10, 2)), dtype="float32")
    written, subtract = [], optimizer.assign_sub
    optimizer.assign_sub = lambda variable, value: (written.append(value), subtract(variable, value))
    optimizer.apply([rows([7, 3], np.ones((2, 2), "float32"), (10, 2))], [v])
    assert [current.is_sparse(value) for value in written] in ([True], [True, True])
    assert np.flatnonzero((v.numpy() != 1).any(1)).tolist() == [3, 7]


def test_a_rule_of_a_subclass_gets_dense_gradients():
    class Own(optimizers.SGD):
        def update_step(self, gradient, variable, learning_rate):
            variable.assign(variable - gradient * 2)

    v = multikeras.Variable(np.ones((4, 2)), dtype="float32")
    Own().apply([rows([1], np.ones((1, 2), "float32"), (4, 2))], [v])
    np.testing.assert_array_equal(v.numpy()[:, 0], [1, -1, 1, 1])


@batches_stay
@pytest.mark.parametrize("how", [{}, {"run_eagerly": True}, {"jit_compile": True}], ids=str)
@pytest.mark.parametrize("name", ["sgd", "adagrad"])
def test_an_embedding_trains_alike_by_rows(name, how):
    x, y = np.random.RandomState(0).randint(0, 60, (50, 5)), np.random.RandomState(1).randn(50, 1)
    found = []
    for by_rows in (True, False):
        multikeras.utils.set_random_seed(0)
        model = multikeras.Sequential([layers.Embedding(300, 4), layers.GlobalAveragePooling1D(), layers.Dense(1)])
        optimizer = MAKERS[name]()
        optimizer.takes_rows = by_rows
        model.compile(optimizer, "mse", **how)
        history = model.fit(x, y, batch_size=16, epochs=2, verbose=0).history["loss"]
        found.append([history, *model.get_weights()])
    for a, b in zip(*found):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


class Seen(layers.Dense):
    def call(self, inputs):
        object.__setattr__(self, "kind", current.is_sparse(inputs))
        return super().call(inputs)


class Own(multikeras.Model):
    def __init__(self):
        super().__init__()
        self.dense = Seen(3)

    def call(self, inputs):
        return self.dense(inputs)


def functional(sparse):
    x = layers.Input((6,), sparse=sparse)
    dense = Seen(3)
    model = multikeras.Model(x, dense(x))
    object.__setattr__(model, "dense", dense)
    return model


@batches_stay
@pytest.mark.parametrize(
    ("make", "stays"), [(Own, True), (lambda: functional(True), True), (lambda: functional(False), False)]
)
@pytest.mark.parametrize("kind", ["scipy", "native", "stream"])
def test_sparse_batches_stay_sparse_where_the_model_takes_them(make, stays, kind):
    scipy = pytest.importorskip("scipy.sparse")
    dense = np.where(np.arange(48).reshape(8, 6) % 5, 0, 1).astype("float32")
    y = np.random.RandomState(0).randn(8, 3).astype("float32")
    found = []
    for given in ("sparse", "dense"):
        multikeras.utils.set_random_seed(0)
        model = make()
        model.compile(optimizers.Adagrad(0.1), losses.MeanSquaredError())
        matrix = scipy.csr_matrix if kind != "native" else sparse

        def data():
            if given == "dense" or kind == "scipy":  # noqa: B023
                return (dense if given == "dense" else scipy.csr_matrix(dense), y)  # noqa: B023
            return ((part for part in ((matrix(dense[:4]), y[:4]), (matrix(dense[4:]), y[4:]))),)  # noqa: B023

        seen = [model.fit(*data(), batch_size=4, shuffle=False, verbose=0).history["loss"]]
        seen.append(model.evaluate(*data(), batch_size=4, verbose=0))
        if given == "sparse":
            assert model.dense.kind == stays
        seen += [model.predict(data()[0], batch_size=4, verbose=0), model.predict_on_batch(matrix(dense))]
        found.append([*seen, *model.get_weights()])
    for a, b in zip(*found):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
