"""Layers made of modules and functions of one framework; each refuses the others."""

import numpy as np
import pytest

import multikeras as mk
from multikeras import layers, saving
from multikeras.backend import current

X = np.arange(6, dtype="float32").reshape(2, 3)
BRIDGES = {
    "jax": lambda: layers.JaxLayer(lambda inputs: inputs),
    "jax (flax)": lambda: layers.FlaxLayer(object()),
    "torch": lambda: layers.TorchModuleWrapper(object()),
    "tensorflow": lambda: layers.TFSMLayer("/nowhere"),
}


def on(bridge):
    return pytest.mark.skipif(bridge not in current.bridges, reason=f"the {current.name} backend has no bridge {bridge!r}")


def numbers(x):
    return np.asarray(mk.ops.convert_to_numpy(x))


@pytest.mark.parametrize("backend", BRIDGES)
def test_other_backends_are_refused(backend):
    name = backend.split()[0]
    if name == current.name:
        pytest.skip("its own backend")
    with pytest.raises(ValueError, match=f"needs the {name} backend .*MULTIKERAS_BACKEND={name}"):
        BRIDGES[backend]()


# -- jax ---------------------------------------------------------------------------------------------------------------


@saving.register_keras_serializable("bridges")
def start(rng, inputs):
    import jax

    return {"w": jax.random.normal(rng, (inputs.shape[-1], 2))}, {"calls": np.zeros((), "float32")}


@saving.register_keras_serializable("bridges")
def step(params, state, inputs):
    return inputs @ params["w"], {"calls": state["calls"] + 1}


@on("jax")
def test_functions_of_jax_train_and_come_back_from_files(tmp_path):
    model = mk.Sequential([mk.Input((3,)), layers.JaxLayer(step, start, seed=1)])
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.fit(X, np.zeros((2, 2), "float32"), epochs=3, verbose=0)
    assert not np.allclose(before[0], model.get_weights()[0])
    assert model.get_weights()[1] == 3
    model.save(tmp_path / "m.keras")
    np.testing.assert_allclose(numbers(mk.models.load_model(tmp_path / "m.keras")(X)), numbers(model(X)), rtol=1e-6)


@on("jax")
@pytest.mark.parametrize(
    ("call", "init", "says"),
    [
        (lambda params: 1, None, "`call_fn` must have a parameter `inputs`"),
        (lambda inputs, mode: 1, None, "`call_fn` has a parameter `mode`"),
        (lambda inputs, params: 1, None, "give init_fn, params or state"),
        (lambda inputs, params: 1, lambda rng: 1, "`init_fn` must have a parameter `inputs`"),
    ],
)
def test_functions_that_cannot_be_served(call, init, says):
    with pytest.raises(ValueError, match=says):
        layers.JaxLayer(call, init)


@on("jax")
def test_state_of_another_structure_is_refused():
    layer = layers.JaxLayer(lambda params, state, inputs: (inputs, {"other": [1.0]}), params={}, state={"state": 0.0})
    with pytest.raises(ValueError):
        layer(X)


# -- flax --------------------------------------------------------------------------------------------------------------


@on("jax")
def test_flax_modules_train_and_come_back_from_files(tmp_path):
    linen = pytest.importorskip("flax.linen", reason="flax is not installed: pip install flax")

    @saving.register_keras_serializable("bridges")
    class Block(linen.Module):
        @linen.compact
        def __call__(self, x, training=False):
            x = linen.BatchNorm(use_running_average=not training)(linen.Dense(2, use_bias=False)(x))
            return linen.Dropout(0.5, deterministic=not training)(x)

        def get_config(self):
            return {}

        @classmethod
        def from_config(cls, config):
            return cls(**config)

    layer = layers.FlaxLayer(Block())
    model = mk.Sequential([mk.Input((3,)), layer])
    model.compile("sgd", "mse")
    assert [w.trainable for w in layer.weights] == [True] * 3 + [False] * 2
    before = model.get_weights()
    x, y = np.random.default_rng(0).normal(size=(2, 32, 3)).astype("float32")
    model.fit(x, y[:, :2], verbose=0)
    assert all(not np.allclose(a, b) for a, b in zip(before, model.get_weights()))
    np.testing.assert_array_equal(numbers(model(X)), numbers(model(X)))
    model.save(tmp_path / "m.keras")
    np.testing.assert_allclose(numbers(mk.models.load_model(tmp_path / "m.keras")(X)), numbers(model(X)), rtol=1e-6)


# -- torch -------------------------------------------------------------------------------------------------------------


def small_module():
    import torch

    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))


@on("torch")
def test_torch_modules_as_attributes_are_layers_and_train(tmp_path):
    class Net(mk.Model):
        def __init__(self):
            super().__init__()
            self.body, self.head = small_module(), layers.Dense(1)

        def call(self, x):
            return self.head(self.body(x))

    net = Net()
    assert isinstance(net.body, layers.TorchModuleWrapper)
    net.compile("sgd", "mse")
    net.fit(X, np.ones((2, 1), "float32"), verbose=0)
    assert len(net.trainable_variables) == 8
    assert int(net.body.module[1].num_batches_tracked) == 1
    net.save_weights(tmp_path / "net.weights.h5")
    other = Net()
    other(X)
    other.load_weights(tmp_path / "net.weights.h5")
    np.testing.assert_allclose(numbers(other(X, training=False)), numbers(net(X, training=False)), rtol=1e-6)


@on("torch")
def test_torch_modules_in_configs_are_code():
    layer = layers.TorchModuleWrapper(small_module())
    config = layer.get_config()
    with pytest.raises(ValueError, match="arbitrary code execution"):
        layers.TorchModuleWrapper.from_config(config)
    again = layers.TorchModuleWrapper.from_config(config, safe_mode=False)
    np.testing.assert_allclose(numbers(again(X, training=False)), numbers(layer(X, training=False)), rtol=1e-6)
    with pytest.raises(ValueError, match="must be a torch.nn.Module, got 3"):
        layers.TorchModuleWrapper(3)


@on("torch")
def test_torch_modules_state_their_output_shape():
    assert layers.TorchModuleWrapper(small_module())(mk.Input((3,))).shape == (None, 2)


# -- tensorflow --------------------------------------------------------------------------------------------------------


@pytest.fixture
def saved_model(tmp_path):
    import tensorflow as tf

    class Linear(tf.Module):
        def __init__(self):
            self.scale, self.shift = tf.Variable([1.0, 2.0, 3.0]), tf.Variable([1.0] * 3, trainable=False)

        @tf.function(input_signature=[tf.TensorSpec((None, 3))])
        def serve(self, x):
            return x * self.scale + self.shift

        @tf.function(input_signature=[tf.TensorSpec((None, 3))])
        def serve_training(self, x):
            return x * self.scale

    module = Linear()
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=module.serve)
    return str(tmp_path / "saved")


@on("saved_model")
def test_saved_models_train_and_come_back_from_files(saved_model, tmp_path):
    layer = layers.TFSMLayer(saved_model, call_training_endpoint="serve_training")
    np.testing.assert_allclose(numbers(layer(X)), X * [1, 2, 3] + 1)
    np.testing.assert_allclose(numbers(layer(X, training=True)), X * [1, 2, 3])
    assert [w.trainable for w in layer.weights] == [True, False]
    model = mk.Sequential([mk.Input((3,)), layer])
    model.compile("sgd", "mse")
    model.fit(X, X * 0, epochs=2, verbose=0)
    assert not np.allclose(layer.get_weights()[0], [1, 2, 3])
    model.save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match="arbitrary code execution"):
        mk.models.load_model(tmp_path / "m.keras")
    again = mk.models.load_model(tmp_path / "m.keras", safe_mode=False)
    np.testing.assert_allclose(numbers(again(X)), numbers(model(X)), rtol=1e-6)


@on("saved_model")
def test_signatures_and_endpoints_that_are_missing(saved_model):
    (output,) = layers.TFSMLayer(saved_model, call_endpoint="serving_default")(X).values()
    np.testing.assert_allclose(numbers(output), X * [1, 2, 3] + 1)
    with pytest.raises(ValueError, match="The endpoint 'serv' .call_endpoint. is not in .* Did you mean 'serve'"):
        layers.TFSMLayer(saved_model, call_endpoint="serv")
