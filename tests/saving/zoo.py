"""Models of every kind, made by any package that offers Keras's API: what is written by one is read by another.

`MODELS` has for each name a function of the package (`keras` or `multikeras`) that returns a model. `inputs_of` gives the same
inputs, `targets_of` the same targets for it every time.
"""

import functools

import numpy as np
from keras_oracle.layer_grid import _attention, _convolutions, _core, _merging, _normalization, _pooling, _recurrent, _reshaping

FAMILIES = {
    "core": _core, "convolutions": _convolutions, "pooling": _pooling, "normalization": _normalization, "reshaping": _reshaping,
    "merging": _merging, "recurrent": _recurrent, "attention": _attention,
}  # fmt: skip
PER_LAYER = 2
"""Of so many of its cases in the grid a layer is part of the zoo."""
CELLS = ("SimpleRNNCell", "LSTMCell", "GRUCell", "StackedRNNCells")
"""Layers that stand inside an RNN."""
NOT_IN_FILES = {
    "Layer": "the base class", "Wrapper": "a base class, without call()", "InputLayer": "in every model",
    "JaxLayer": "holds a function of one backend", "FlaxLayer": "holds a module of one backend",
    "TorchModuleWrapper": "holds a module of one backend", "TFSMLayer": "holds the path of a SavedModel",
}  # fmt: skip


def cases(family):
    """Return the cases of a family that the zoo takes: of each layer the first ones that can be written to a file."""
    taken: dict[str, int] = {}
    for case in FAMILIES[family]():
        anywhere = case.layer.startswith(("Cropping", "SpatialDropout")) or case.kwargs.get("data_format") != "channels_first"
        portable = anywhere and "lora_rank" not in case.kwargs
        fixed = case.kwargs.get("stateful") or case.layer == "Lambda" or case.layer in CELLS
        if portable and not fixed and taken.get(case.layer, 0) < PER_LAYER:
            taken[case.layer] = taken.get(case.layer, 0) + 1
            yield case


def layers_in(family):
    """Return the names of the layers of a family, those inside others too."""
    found = set()

    def look(x):
        if hasattr(x, "layer"):
            found.add(x.layer)
            for inner in (*x.args, *x.kwargs.values()):
                look(inner)
        elif isinstance(x, list):
            for inner in x:
                look(inner)

    for case in cases(family):
        look(case)
    return found


def _family(K, family):
    inputs, outputs = [], []

    def symbolic(shape, dtype):
        if isinstance(shape, list):
            return [symbolic(s, dtype) for s in shape]
        inputs.append(K.Input(shape[1:], dtype=dtype or "float32"))
        return inputs[-1]

    for case in cases(family):
        layer = case.make(K.layers)
        by_position = isinstance(case.inputs, tuple) and isinstance(case.inputs[0], tuple)
        args = [symbolic(s, case.dtype) for s in (case.inputs if by_position else [case.inputs])]
        call = {k: v for k, v in case.call.items() if k != "training"}
        made = layer(*args, **call)
        outputs += made if isinstance(made, (list, tuple)) else [made]
    flat = []
    for x in outputs:
        flat += x if isinstance(x, (list, tuple)) else [x]
    return K.Model(inputs, flat, name=family)


def _cells(K):
    x = K.Input((5, 6))
    L = K.layers
    stack = L.StackedRNNCells([L.LSTMCell(3), L.GRUCell(2, reset_after=False)])
    return K.Model(x, [L.RNN(stack)(x), L.RNN(L.SimpleRNNCell(3), return_sequences=True)(x)], name="cells")


def _shared(K):
    """Functional: a shared layer, a nested model used twice, ops in the graph, several outputs."""
    L, ops = K.layers, K.ops
    a, b = K.Input((4,), name="a"), K.Input((4,), name="b")
    shared = L.Dense(3, activation="relu", kernel_regularizer="l2", name="shared")
    inner_in = K.Input((3,))
    inner = K.Model(inner_in, L.BatchNormalization()(L.Dense(3, name="again")(inner_in)), name="inner")
    x, y = shared(a), shared(b)
    z = ops.concatenate([inner(x), inner(y) * 2.0], axis=-1) + 1.0
    z = ops.relu(ops.einsum("ij->ij", z))[:, :4]
    stack = K.Sequential([L.Dense(5), L.Dropout(0.2, seed=3), L.Dense(2, name="last")], name="stack")
    model = K.Model([a, b], {"main": stack(z), "side": L.Dense(1, name="side")(x)}, name="shared_model")
    model.compile(
        K.optimizers.Adam(K.optimizers.schedules.ExponentialDecay(0.01, 5, 0.9), clipnorm=1.0),
        loss={"main": "mse", "side": K.losses.LogCosh(name="lc")}, loss_weights={"main": 1.0, "side": 0.3},
        metrics={"main": ["mae"], "side": [K.metrics.MeanSquaredError(name="err")]},
    )  # fmt: skip
    return model


@functools.cache
def custom_classes(K):
    """Return a subclassed model and a layer of a package, registered."""
    register = K.saving.register_keras_serializable("zoo")

    @register
    class Scale(K.layers.Layer):
        def __init__(self, factor=2.0, **kwargs):
            super().__init__(**kwargs)
            self.factor = factor

        def build(self, input_shape):
            self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="scale")
            self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, dtype="int32", name="count")

        def call(self, x):
            return x * self.scale * self.factor

        def get_config(self):
            return {**super().get_config(), "factor": self.factor}

    @register
    class Block(K.Model):
        def __init__(self, width=4, **kwargs):
            super().__init__(**kwargs)
            self.width = width
            self.blocks = [K.layers.Dense(width, activation="tanh"), Scale(0.5)]
            self.table = {"k": K.layers.Dense(width), "a": (K.layers.Dense(6), [K.layers.LayerNormalization()])}
            self._hidden = K.layers.Dense(3)
            self.seed = K.random.SeedGenerator(5)
            self.drop = K.layers.Dropout(0.3, seed=1)
            self.stack = K.Sequential([K.layers.Dense(3), K.layers.PReLU()])

        @property
        def alias(self):
            return self._hidden

        def build(self, input_shape):
            shape = (*input_shape[:-1], self.width)
            self.blocks[0].build(input_shape)
            self.blocks[1].build(shape)
            self.table["k"].build(shape)
            self.table["a"][0].build(shape)
            self.table["a"][1][0].build((*input_shape[:-1], 6))
            self._hidden.build((*input_shape[:-1], 6))
            self.stack.build((*input_shape[:-1], 3))
            self.built = True

        def call(self, x, training=False):
            for block in self.blocks:
                x = block(x)
            x = self.drop(self.table["k"](x), training=training)
            x = self.table["a"][1][0](self.table["a"][0](x))
            return self.stack(self._hidden(x))

        def get_config(self):
            return {**super().get_config(), "width": self.width}

    return Block, Scale


def _subclassed(K):
    block, _ = custom_classes(K)
    model = block(4, name="subclassed")
    model.build((None, 5))
    model.compile("rmsprop", "mse")
    return model


def _custom_in_graph(K):
    block, scale = custom_classes(K)
    x = K.Input((5,))
    return K.Model(x, scale(3.0)(block(2)(x)), name="custom_in_graph")


def _mixed(K):
    L = K.layers
    model = K.Sequential(
        [K.Input((6, 6, 2)), L.Conv2D(4, 3, activation="relu", dtype="mixed_float16"), L.Flatten(dtype="mixed_float16"),
         L.Dense(3, dtype="mixed_bfloat16"), L.Activation("softmax", dtype="float32")], name="mixed",
    )  # fmt: skip
    model.compile(K.optimizers.LossScaleOptimizer(K.optimizers.SGD(0.01, momentum=0.9)), "categorical_crossentropy")
    return model


def _half(K):
    """Weights in bfloat16 and float16, which HDF5 keeps in its own ways."""
    return K.Sequential(
        [K.Input((4,)), K.layers.Dense(3, dtype="bfloat16"), K.layers.Dense(2, dtype="float16")], name="half"
    )


def _deferred(K):
    """Sequential without an Input, frozen layers, a nested Sequential; built by its first call."""
    frozen = K.layers.Dense(4, trainable=False)
    model = K.Sequential([frozen, K.Sequential([K.layers.Dense(3), K.layers.PReLU()])], name="deferred")
    model(np.zeros((1, 5), "float32"))
    model.compile("sgd", "mean_squared_error", metrics=["mean_absolute_error"])
    return model


OPTIMIZERS = {
    "SGD": {"momentum": 0.9, "nesterov": True}, "RMSprop": {"centered": True, "momentum": 0.5}, "Adam": {"amsgrad": True},
    "AdamW": {"weight_decay": 0.01}, "Adamax": {}, "Nadam": {}, "Adagrad": {}, "Adadelta": {}, "Adafactor": {}, "Ftrl": {},
    "Lion": {}, "Lamb": {}, "Muon": {}, "ScheduleFreeAdamW": {},
    "ema": {"use_ema": True}, "accumulating": {"gradient_accumulation_steps": 2},
}  # fmt: skip


def _trained_by(name, K):
    x = K.Input((4,))
    model = K.Model(x, K.layers.Dense(2)(K.layers.Dense(3, activation="tanh")(x)), name=f"by_{name.lower()}")
    model.compile(getattr(K.optimizers, name, K.optimizers.Adam)(0.01, **OPTIMIZERS[name]), "mean_squared_error")
    return model


MODELS = {
    **{family: functools.partial(_family, family=family) for family in FAMILIES},
    "cells": _cells, "shared": _shared, "subclassed": _subclassed, "custom_in_graph": _custom_in_graph, "mixed": _mixed,
    "half": _half, "deferred": _deferred,
    **{f"optimizer_{name}": functools.partial(_trained_by, name) for name in OPTIMIZERS},
}  # fmt: skip
QUICK_IN_KERAS = ("shared", "deferred")
QUICK = ("shared", "subclassed", "mixed", "half", "deferred")
SUBCLASSED = ("subclassed",)
"""Models that Keras cannot write to `.h5` files."""


def _shapes(model):
    inputs = getattr(model, "inputs", None)
    return [(tuple(x.shape), x.dtype) for x in inputs] if inputs else [((None, 5), "float32")]


def inputs_of(model, rows=3):
    """Return a list of arrays."""
    rng = np.random.default_rng(7)
    found = []
    for shape, dtype in _shapes(model):
        size = tuple(rows if s is None else s for s in shape)
        x = rng.integers(0, 9, size) if "int" in dtype else rng.normal(size=size)
        found.append(x.astype("float32" if "float" in dtype else dtype))
    return found


def outputs_of(model):
    """Return the outputs of a model for its inputs, as a list of arrays."""
    inputs = inputs_of(model)
    made = model.predict(inputs if len(inputs) > 1 else inputs[0], verbose=0)
    made = [made[k] for k in sorted(made)] if isinstance(made, dict) else made
    return [np.asarray(x, "float64") for x in (made if isinstance(made, (list, tuple)) else [made])]


def train(model, steps=3):
    """Train a compiled model for some steps."""
    inputs = inputs_of(model)
    rng = np.random.default_rng(8)
    outputs = model.predict(inputs if len(inputs) > 1 else inputs[0], verbose=0)
    if isinstance(outputs, dict):
        targets = {k: rng.uniform(size=v.shape).astype("float32") for k, v in outputs.items()}
    else:
        targets = rng.uniform(size=outputs.shape).astype("float32")
    for _ in range(steps):
        model.train_on_batch(inputs if len(inputs) > 1 else inputs[0], targets)


def state_of(model):
    """Return the state of the optimizer, as arrays in order; those of float16 and the like as float32."""
    optimizer = getattr(model, "optimizer", None)
    return [] if optimizer is None else [_array(v) for v in optimizer.variables]


def weights_of(model):
    """Return the weights as `state_of` does."""
    return [_array(v) for v in model.weights]


def _array(v):
    return np.asarray(v.numpy() if hasattr(v, "path") else v.value.detach().cpu(), "float32")
