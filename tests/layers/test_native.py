"""Models of ours in the hands of the framework itself: its optimizers, compilers, transformations and savers."""

import copy
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
    assert {id(p) for p in (*parameters, *model.buffers())} == {id(v.store) for v in model.variables if "seed" not in v.path}
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
    assert len(state) == len(model.weights)
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


# -- torch: what it does to modules of its own -------------------------------------------------------------------------


class Blocks(mk.Model):
    """A model written by hand, its layers in a list."""

    def __init__(self):
        super().__init__()
        self.first, self.blocks, self.last = layers.Dense(8, "relu"), [layers.Dense(8), layers.Dense(8)], layers.Dense(1)

    def call(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return self.last(x)


def graph():
    inputs = mk.Input((4,))
    x = layers.Dense(8, "tanh")(inputs)
    return mk.Model(inputs, layers.Dense(1)(layers.Add()([x, layers.Dense(8)(x)])))


KINDS = {"sequential": made, "functional": graph, "own": Blocks}
every_kind = pytest.mark.parametrize("kind", KINDS)


def torch_model(kind):
    import torch

    mk.utils.set_random_seed(0)
    model, x, y = KINDS[kind](), torch.tensor(X), torch.tensor(Y)
    model(x)
    model(x)
    return torch, model, x, y


def dense_of(model):
    return [module for module in model.modules() if isinstance(module, layers.Dense)]


@on("torch")
@every_kind
def test_hooks_fire_wherever_they_are_and_only_while_they_are(kind):
    torch, model, x, _ = torch_model(kind)
    plain, seen = model(x), []
    every = [model, *dense_of(model)]
    handles = [m.register_forward_hook(lambda m, args, y: seen.append(("after", m))) for m in every]
    handles += [m.register_forward_pre_hook(lambda m, args: seen.append(("before", m))) for m in every]
    handles += [m.register_full_backward_hook(lambda m, gx, gy: seen.append(("back", m))) for m in dense_of(model)]
    model(x).sum().backward()
    for what, modules in (("after", every), ("before", every), ("back", dense_of(model))):
        assert {id(m) for w, m in seen if w == what} == {id(m) for m in modules}
    assert len(seen) == len(handles)
    for handle in handles:
        handle.remove()
    torch.testing.assert_close(model(x), plain)
    assert len(seen) == len(handles)
    handles = [m.register_forward_hook(lambda m, args, y: y * 0) for m in dense_of(model)]
    assert not model(x).any()
    for handle in handles:
        handle.remove()
    everywhere = torch.nn.modules.module.register_module_forward_hook(lambda m, args, y: seen.append(m))
    model(x)
    everywhere.remove()
    assert {id(m) for m in every} <= {id(m) for m in seen}


@on("torch")
def test_a_hook_ends_what_was_recorded():
    model, seen = made(), []
    model.compile("sgd", "mse")
    x, y = np.tile(X, (64, 1)), np.tile(Y, (64, 1))
    model.fit(x, y, batch_size=8, epochs=6, verbose=0)
    model.layers[0].register_forward_hook(lambda m, args, y: seen.append(1))
    model.fit(x, y, batch_size=8, verbose=0)
    assert len(seen) >= 128


@on("torch")
@every_kind
def test_functional_calls_take_other_weights_and_leave_none_behind(kind):
    torch, model, x, y = torch_model(kind)
    plain = model(x)
    other = {name: p.detach() * 0.5 + 0.1 for name, p in model.named_parameters()}

    def loss(weights, x, y):
        return torch.nn.functional.mse_loss(torch.func.functional_call(model, weights, (x,)), y)

    gradients = torch.func.grad(loss)(other, x, y)
    samples = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))(other, x[:, None], y[:, None])
    torch.testing.assert_close(model(x), plain)
    torch.testing.assert_close({n: g.mean(0) for n, g in samples.items()}, gradients, rtol=1e-4, atol=1e-5)
    model.load_state_dict(other, strict=False)
    torch.nn.functional.mse_loss(model(x), y).backward()
    torch.testing.assert_close({n: p.grad for n, p in model.named_parameters()}, gradients, rtol=1e-4, atol=1e-5)
    models = [model, copy.deepcopy(model)]
    models[1].load_state_dict({name: value * 0.5 for name, value in model.state_dict().items()})
    stacked = torch.func.stack_module_state(models)
    base = copy.deepcopy(model).to("meta")
    both = torch.func.vmap(lambda p, b: torch.func.functional_call(base, (p, b), (x,)))(*stacked)
    torch.testing.assert_close(both, torch.stack([m(x) for m in models]), rtol=1e-4, atol=1e-5)


@on("torch")
@every_kind
@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_a_cast_model_computes_in_that_dtype(kind, dtype):
    torch, model, x, _ = torch_model(kind)
    wanted, plain = getattr(torch, dtype), model(x)
    output = model.to(wanted)(x.to(wanted))
    assert output.dtype == wanted
    assert {v.dtype for v in model.weights} == {dtype}
    torch.testing.assert_close(output.float(), plain, rtol=0.05, atol=0.05)
    if dtype == "float64":
        assert torch.autograd.gradcheck(model, x[:2].double().requires_grad_())
    assert model.float()(x).dtype == torch.float32


@on("torch")
@every_kind
def test_state_comes_in_place_of_what_is_there(kind):
    torch, model, x, _ = torch_model(kind)
    other = copy.deepcopy(model).to("meta")
    assert other(x.to("meta")).is_meta
    state = {name: value.clone() for name, value in model.state_dict().items()}
    other.load_state_dict(state, assign=True)
    torch.testing.assert_close(other(x), model(x))
    assert {v.store.data_ptr() for v in other.weights} == {value.data_ptr() for value in state.values()}
    for name, parameter in model.named_parameters():
        assert model.get_parameter(name) is parameter


@on("torch")
def test_what_is_not_learned_is_a_buffer():
    model = made()
    assert [name for name, _ in model.named_buffers()] == ["1.moving_mean", "1.moving_variance"]
    for parameter in model.parameters():
        parameter.requires_grad = True
    assert len(model.trainable_variables) == len(list(model.parameters())) == 6


@on("torch")
def test_modes_hold_where_a_call_says_nothing():
    import torch

    model, x = mk.Sequential([mk.Input((4,)), layers.Dropout(0.5), layers.Dense(8), layers.Dropout(0.5)]), torch.ones(16, 4)

    def drops(**how):
        return not torch.equal(model(x, **how), model(x, **how))

    assert not drops()
    assert not model.training
    model.train()
    assert drops()
    assert not drops(training=False)
    model.layers[0].eval()
    model.layers[2].eval()
    assert not drops()
    assert drops(training=True)
    around = torch.nn.Sequential(model).train()
    assert drops()
    around.eval()
    assert not drops()
    assert drops(training=True)


@on("torch")
@every_kind
def test_requires_grad_and_trainable_are_one(kind):
    _, model, _, _ = torch_model(kind)
    count = len(model.trainable_variables)
    assert not model.requires_grad_(False).trainable_variables
    assert len(model.requires_grad_(True).trainable_variables) == count
    layer = dense_of(model)[0]
    layer.trainable = False
    assert not any(p.requires_grad for p in layer.parameters())
    layer.trainable = True
    layer.kernel.requires_grad = False
    assert layer.kernel.device.type == "cpu"
    assert np.min(layer.kernel) == layer.kernel.numpy().min()
    assert not layer.kernel.trainable
    assert len(model.trainable_variables) == count - 1
    model.compile("sgd", "mse")
    before = layer.get_weights()
    model.fit(X, Y, verbose=0)
    assert [np.array_equal(a, b) for a, b in zip(before, layer.get_weights())] == [True, False]


@on("torch")
def test_parameters_and_modules_of_torch_are_parts_of_a_layer():
    import torch

    class Mixed(mk.Model):
        def __init__(self):
            super().__init__()
            self.bias = torch.nn.Parameter(torch.zeros(1))
            self.blocks = torch.nn.ModuleList([torch.nn.Linear(4, 3), torch.nn.Dropout(0.9), torch.nn.Linear(3, 1)])
            self.register_buffer("shift", torch.ones(1))

        def call(self, x, training=None):
            for block in self.blocks:
                x = block(x)
            return x + self.bias + self.shift

    model = Mixed()
    model.compile("adam", "mse")
    model.fit(X, Y, verbose=0)
    assert len(model.trainable_variables) == 5
    assert model.bias.item() != 0
    assert {"bias", "shift", "blocks.module.0.weight"} <= set(model.state_dict())
    np.testing.assert_array_equal(model.predict(X, verbose=0), model.predict(X, verbose=0))  # nothing is dropped


@on("torch")
@every_kind
def test_programs_of_a_model(kind):
    """What `torch.export` and `torch.jit.trace` make of a model that was called, and of one that was not."""
    torch, model, x, _ = torch_model(kind)
    torch._dynamo.reset()
    expected, size = model.eval()(x), torch.export.Dim("size")
    for strict in (False, True):
        program = torch.export.export(model, (x,), dynamic_shapes=({0: size},), strict=strict)
        torch.testing.assert_close(program.module()(x[:5]), expected[:5], rtol=1e-5, atol=1e-5)
        assert set(program.state_dict) == set(model.state_dict())
    for traced in (torch.jit.trace(model, (x,)), torch.jit.trace(copy.deepcopy(model), (x,))):
        torch.testing.assert_close(traced(x[:5]), expected[:5], rtol=1e-5, atol=1e-5)


@on("torch")
@every_kind
def test_one_compiled_program_serves_every_batch_size(kind):
    torch, model, x, _ = torch_model(kind)
    from torch._dynamo.testing import CompileCounter

    torch._dynamo.reset()
    counter = CompileCounter()
    compiled = torch.compile(model, dynamic=True, fullgraph=True, backend=counter)
    for size in (3, 5, 7, 9):
        torch.testing.assert_close(compiled(x[:size]), model(x[:size]), rtol=1e-5, atol=1e-5)
    assert counter.frame_count == 1


@on("torch")
def test_pruning():
    import torch
    import torch.nn.utils.prune

    layer = layers.Dense(6)
    dense = layer(torch.tensor(X))
    torch.nn.utils.prune.l1_unstructured(layer, "kernel", amount=0.5)
    pruned = layer(torch.tensor(X))
    pruned.sum().backward()
    assert not torch.allclose(pruned, dense)
    assert layer.kernel_orig.grad is not None
    torch.nn.utils.prune.remove(layer, "kernel")
    torch.testing.assert_close(layer(torch.tensor(X)), pruned)
    assert np.mean(layer.get_weights()[0] == 0) == 0.5


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


@on("tensorflow")
def test_a_checkpoint_restores_another_model_and_optimizer_built_or_not(tmp_path):
    import tensorflow as tf

    def pair():
        model, optimizer = mk.Sequential([layers.Dense(3), layers.BatchNormalization(), layers.Dense(1)]), mk.optimizers.Adam(0.1)
        model.compile(optimizer, "mse")
        return model, optimizer

    model, optimizer = pair()
    model.fit(X, Y, verbose=0)
    path = tf.train.Checkpoint(model=model, optimizer=optimizer).save(str(tmp_path / "checkpoint"))
    for built in (True, False):
        other, its = pair()
        if built:
            other(X)
            its.build(other.trainable_variables)
        status = tf.train.Checkpoint(model=other, optimizer=its).restore(path)
        other(X)
        its.build(other.trainable_variables)
        status.assert_existing_objects_matched()
        for a, b in zip((*model.weights, *optimizer.variables), (*other.weights, *its.variables), strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


@on("tensorflow")
def test_variables_of_tensorflow_are_weights():
    import tensorflow as tf

    class Shifted(mk.Model):
        def __init__(self):
            super().__init__()
            self.dense, self.shift = layers.Dense(1), tf.Variable(0.0)

        def call(self, x):
            return self.dense(x) + self.shift

    model = Shifted()
    model.compile("adam", "mse")
    model.fit(X, Y, verbose=0)
    assert isinstance(model.shift, tf.Variable)
    assert float(model.shift) != 0
    assert len(model.trainable_variables) == 3


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


@on("jax")
def test_losses_of_a_stateless_call_are_returned_or_gone():
    import jax

    inputs = mk.Input((4,))
    model = mk.Model(inputs, layers.Dense(2, activity_regularizer="l2")(inputs))
    trained = [v.value for v in model.trainable_variables]
    with jax.checking_leaks():
        jax.jit(lambda w, x: model.stateless_call(w, [], x)[0])(trained, X)
        losses = jax.jit(lambda w, x: model.stateless_call(w, [], x, return_losses=True)[2])(trained, X)
    assert len(losses) == 1
    assert not model.losses
    open_batch = jax.ShapeDtypeStruct(jax.export.symbolic_shape("b, 4"), "float32")
    exported = jax.export.export(jax.jit(lambda x: model(x)))(open_batch)
    np.testing.assert_allclose(exported.call(X[:3]), model(X[:3]), rtol=1e-5, atol=1e-6)


# -- any ---------------------------------------------------------------------------------------------------------------


def test_variables_in_lists_and_dicts_are_weights():
    class Listed(layers.Layer):
        def __init__(self):
            super().__init__()
            self.some, self.more = [mk.Variable([1.0])], {"a": [mk.Variable([2.0], trainable=False)]}
            self.later = []

        def build(self, shape):
            self.later.append(self.add_weight((3,)))
            self.later.append(mk.Variable([4.0]))

        def call(self, x):
            return x

    layer = Listed()
    layer(X)
    assert [v.shape[0] for v in layer.trainable_variables] == [1, 3, 1]
    assert len(layer.weights) == 4
    layer.trainable = False
    assert not any(v.trainable for v in layer.weights)


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
