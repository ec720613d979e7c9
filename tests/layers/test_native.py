"""Models of ours in the hands of the framework itself: its optimizers, compilers, transformations and savers."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

import multikeras as mk
from multikeras import layers, ops
from multikeras.backend import current

RNG = np.random.default_rng(0)
X = RNG.normal(size=(16, 4)).astype("float32")
Y = (X @ RNG.normal(size=(4, 1))).astype("float32")


def on(name):
    return pytest.mark.skipif(current.name != name, reason=f"about {name} itself")


def made():
    mk.utils.set_random_seed(0)
    model = mk.Sequential([
        mk.Input((4,)), layers.Dense(8, "tanh"), layers.BatchNormalization(), layers.Dropout(0.1), layers.Dense(1)
    ])  # fmt: skip
    return model


def numbers(x):
    return np.asarray(ops.convert_to_numpy(x))


# -- torch -------------------------------------------------------------------------------------------------------------


@on("torch")
def test_torch_finds_the_parameters_of_every_kind_of_model():
    inputs = mk.Input((4,))
    model = mk.Model(inputs, layers.Dense(2, name="b")(mk.Sequential([layers.Dense(3)], name="a")(inputs)))
    stores = {id(v.value) for v in model.weights}
    assert {id(p) for p in model.parameters()} == stores
    assert list(model.state_dict()) == ["a.0.kernel", "a.0.bias", "b.kernel", "b.bias"]
    assert {id(p) for p in mk.Sequential([mk.Input((4,)), model]).parameters()} == stores


@on("torch")
def test_attributes_that_differ_by_an_underscore_are_both_parameters():
    class Twins(layers.Layer):
        def __init__(self):
            super().__init__()
            self._a = self.add_weight((1,), name="first")
            self.a = self.add_weight((2,), name="second")
            self.a_0 = self.add_weight((3,), name="third")
            self._list = [self.add_weight((4,), name="fourth")]

        def call(self, x):
            return x

    layer = Twins()
    layer(np.ones((1, 1)))
    assert {id(p) for p in layer.parameters()} == {id(v.store) for v in layer.variables}
    layer._a = layer.add_weight((5,), name="fifth")
    assert sorted(p.shape[0] for p in layer.parameters()) == [2, 3, 4, 5]


@on("torch")
def test_a_loop_of_torch_trains_the_model():
    import torch

    model = made()
    parameters = list(model.parameters())
    assert {id(p) for p in parameters} == {id(v.store) for v in model.variables if "seed" not in v.path}
    optimizer = torch.optim.Adam([p for p in parameters if p.requires_grad], lr=0.02)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(torch.tensor(X), training=True), torch.tensor(Y))
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < 0.5 * losses[0]


@on("torch")
def test_a_state_dict_carries_the_weights_over():
    import torch

    model, other = made(), made()
    model.set_weights([w + 0.1 for w in model.get_weights()])
    state = model.state_dict()
    assert len(state) == len(list(model.parameters()))
    assert all(isinstance(v, torch.Tensor) for v in state.values())
    assert not other.load_state_dict(state).missing_keys
    np.testing.assert_array_equal(numbers(other(X)), numbers(model(X)))


@on("torch")
def test_to_moves_and_casts_in_place():
    import torch

    model = made()
    stores = [v.store for v in model.weights]
    assert model.to("cpu") is model
    assert all(a is v.store for a, v in zip(stores, model.weights))
    assert next(model.parameters()).device == torch.device("cpu")


@on("torch")
@pytest.mark.slow
def test_two_processes_train_one_model(tmp_path):
    """DistributedDataParallel gives both replicas the mean gradient: that of the whole batch in one process."""
    program = textwrap.dedent(f"""
        import sys
        import numpy as np
        import torch
        import torch.distributed as dist
        import multikeras as mk
        rank = int(sys.argv[1])
        dist.init_process_group("gloo", init_method="file://{tmp_path}/meet", rank=rank, world_size=2)
        mk.utils.set_random_seed(0)
        model = mk.Sequential([mk.Input((4,)), mk.layers.Dense(8, "tanh"), mk.layers.Dense(1)])
        parallel = torch.nn.parallel.DistributedDataParallel(model)
        optimizer = torch.optim.SGD(parallel.parameters(), lr=0.1)
        x, y = np.load(r"{tmp_path}/xy.npy", allow_pickle=True)
        half = slice(rank * 8, rank * 8 + 8)
        for _ in range(5):
            optimizer.zero_grad()
            torch.nn.functional.mse_loss(parallel(torch.tensor(x[half])), torch.tensor(y[half])).backward()
            optimizer.step()
        np.savez(rf"{tmp_path}/{{rank}}.npz", *model.get_weights())
        dist.destroy_process_group()
    """)
    both = np.empty(2, dtype=object)
    both[:] = X, Y
    np.save(tmp_path / "xy.npy", both, allow_pickle=True)
    processes = [subprocess.Popen([sys.executable, "-c", program, str(rank)]) for rank in (0, 1)]
    assert [p.wait(timeout=300) for p in processes] == [0, 0]

    import torch

    mk.utils.set_random_seed(0)
    model = mk.Sequential([mk.Input((4,)), layers.Dense(8, "tanh"), layers.Dense(1)])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(torch.tensor(X)), torch.tensor(Y)).backward()
        optimizer.step()
    for rank in (0, 1):
        saved = np.load(tmp_path / f"{rank}.npz")
        for name, expected in zip(saved.files, model.get_weights(), strict=True):
            np.testing.assert_allclose(saved[name], expected, rtol=1e-5, atol=1e-6)


# -- tensorflow --------------------------------------------------------------------------------------------------------


@on("tensorflow")
def test_a_loop_of_tensorflow_trains_the_model():
    import tensorflow as tf

    model = made()
    optimizer = mk.optimizers.Adam(0.02)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(x, training=True) - y))
        gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    moving = model.layers[1].moving_mean.numpy()
    losses = [float(step(tf.constant(X), tf.constant(Y))) for _ in range(30)]
    assert losses[-1] < 0.5 * losses[0]
    assert not np.allclose(moving, model.layers[1].moving_mean.numpy())


@on("tensorflow")
def test_a_saved_model_holds_the_variables(tmp_path):
    import tensorflow as tf

    class Served(tf.Module):
        def __init__(self, model):
            self.model = model

        @tf.function(input_signature=[tf.TensorSpec((None, 4))])
        def serve(self, x):
            return self.model(x, training=False)

    model = made()
    model.set_weights([w + 0.1 for w in model.get_weights()])
    tf.saved_model.save(Served(model), str(tmp_path / "saved"))
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_allclose(loaded.serve(tf.constant(X)).numpy(), numbers(model(X)), rtol=1e-5, atol=1e-6)
    before = numbers(model(X))
    checkpoint = tf.train.Checkpoint(model=model)
    path = checkpoint.save(str(tmp_path / "checkpoint"))
    model.set_weights([w * 0 for w in model.get_weights()])
    checkpoint.restore(path).assert_existing_objects_matched()
    np.testing.assert_allclose(numbers(model(X)), before, rtol=1e-6)


# -- jax ---------------------------------------------------------------------------------------------------------------


@on("jax")
def test_a_model_inside_jit_grad_vmap_and_scan():
    import jax

    model = made()
    trained, kept = ([v.value for v in variables] for variables in (model.trainable_variables, model.non_trainable_variables))

    def loss(trained, kept, x, y):
        predicted, kept = model.stateless_call(trained, kept, x, training=True)
        return jax.numpy.mean((predicted - y) ** 2), kept

    @jax.jit
    def train(trained, kept, x, y):
        def step(carry, _):
            trained, kept = carry
            (value, kept), gradients = jax.value_and_grad(loss, has_aux=True)(trained, kept, x, y)
            return ([w - 0.05 * g for w, g in zip(trained, gradients)], kept), value

        return jax.lax.scan(step, (trained, kept), length=30)

    before = model.get_weights()
    (trained, kept), losses = train(trained, kept, X, Y)
    assert losses[-1] < 0.5 * losses[0]
    for a, b in zip(before, model.get_weights()):
        np.testing.assert_array_equal(a, b)  # nothing leaked into the model
    single = jax.vmap(lambda x: model.stateless_call(trained, kept, x[None], training=False)[0][0])
    whole = model.stateless_call(trained, kept, X, training=False)[0]
    np.testing.assert_allclose(single(jax.numpy.asarray(X)), whole, rtol=1e-5, atol=1e-6)


# -- any ---------------------------------------------------------------------------------------------------------------


def test_stateless_calls_change_nothing():
    model, metric, optimizer = made(), mk.metrics.Mean(), mk.optimizers.SGD(0.1, momentum=0.9)
    trained, kept = model.trainable_variables, model.non_trainable_variables
    optimizer.build(trained)
    before = [v.numpy() for v in (*model.variables, *metric.variables, *optimizer.variables)]
    values = [ops.convert_to_tensor(v.numpy() * 0.5) for v in trained]
    outputs, new = model.stateless_call(values, [v.value for v in kept], X, training=True)
    assert len(new) == len(kept)
    assert not np.allclose(numbers(outputs), numbers(model(X)))
    state = metric.stateless_update_state([v.value for v in metric.variables], [1.0, 5.0])
    assert float(metric.stateless_result(state)) == 3.0
    gradients = [ops.ones_like(v) for v in trained]
    updated, slots = optimizer.stateless_apply([v.value for v in optimizer.variables], gradients, values)
    for w, value in zip(updated, values):
        np.testing.assert_allclose(numbers(w), numbers(value) - 0.1, rtol=1e-5, atol=1e-6)
    assert len(slots) == len(optimizer.variables)
    after = [v.numpy() for v in (*model.variables, *metric.variables, *optimizer.variables)]
    for a, b in zip(before, after):
        np.testing.assert_array_equal(a, b)


@pytest.mark.gradients
def test_what_is_computed_again_has_the_same_gradient():
    v = mk.Variable([0.5, 1.0])
    gradients = [current.value_and_grad(lambda f=f: ops.sum(f(v.value)), [v])()[1][0] for f in (ops.sin, mk.remat(ops.sin))]
    np.testing.assert_allclose(numbers(gradients[0]), numbers(gradients[1]), rtol=1e-6)
