"""Fits under `tf.distribute` strategies with two devices and without, as JSON: python replicas.py CASES (all by default)."""

import contextlib
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

import multikeras as k

ROWS, BATCH = 44, 8  # the last batch has 4 rows

CASES = {
    "plain": {},
    "adam": {"optimizer": "adam"},
    "weight_decay": {"options": {"weight_decay": 0.01}},
    "averages": {"options": {"use_ema": True, "ema_overwrite_frequency": 3}},
    "accumulated": {"options": {"gradient_accumulation_steps": 2}},
    "clipped": {"options": {"clipnorm": 0.05}},
    "regularized": {"layer": {"kernel_regularizer": "l2", "activity_regularizer": "l2"}},
    "eager": {"compile": {"run_eagerly": True}},
    "several_steps": {"compile": {"steps_per_execution": 3}},
    "sum": {"compile": {"loss": "sum"}, "validation": 10},  # a sum that is shown takes replicas to have rows alike
    "sample_weights": {"weights": True},
    "dataset": {"data": "dataset"},
    "distributed_dataset": {"data": "distributed"},
    "mixed_float16": {"policy": "mixed_float16"},
    "batch_norm": {"batch_norm": True},
}
UNLIKE_ONE = {"clipped", "batch_norm", "mixed_float16"}
"""Each replica clips gradients and normalizes batches for itself; the share of a loss overflows later than the loss."""


def rows():
    random = np.random.RandomState(0)
    return random.normal(size=(ROWS, 6)).astype("float32"), random.normal(size=(ROWS, 1)).astype("float32")


def result_of(case, strategy):
    """Return history, evaluation, predictions and weights of a case."""
    x, y = rows()
    k.config.set_dtype_policy(case.get("policy", "float32"))
    with strategy.scope() if strategy else contextlib.nullcontext():
        layers = [k.Input((6,)), k.layers.Dense(5, activation="tanh", **case.get("layer", {}))]
        layers += [k.layers.BatchNormalization(momentum=0.8)] * case.get("batch_norm", False)
        model = k.Sequential([*layers, k.layers.Dense(1)])
        kind = k.optimizers.Adam if case.get("optimizer") else k.optimizers.SGD
        optimizer = kind(0.02, **case.get("options", {}))
        options = {"loss": "mse", **case.get("compile", {})}
        if options["loss"] == "sum":
            options["loss"], optimizer.learning_rate = k.losses.MeanSquaredError(reduction="sum"), 0.002
        model.compile(optimizer, metrics=["mae", k.metrics.RootMeanSquaredError()], jit_compile=False, **options)
    random = np.random.RandomState(7)
    model.set_weights([np.abs(random.normal(size=w.shape)) * 0.3 for w in model.get_weights()])
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH)
    if case.get("data") == "distributed" and strategy:
        data = strategy.experimental_distribute_dataset(data)
    given = {"x": data} if "data" in case else {"x": x, "y": y, "batch_size": BATCH, "shuffle": False}
    if "weights" in case:
        given["sample_weight"] = np.abs(random.normal(size=ROWS)).astype("float32")
    seen = case.get("validation", 9)
    history = model.fit(**given, epochs=3, verbose=0, validation_data=(x[:seen], y[:seen])).history
    found = {f"history_{name}": values for name, values in history.items()}
    found["evaluate"] = model.evaluate(given["x"], given.get("y"), batch_size=given.get("batch_size"), verbose=0)
    found["predict"] = model.predict(x, batch_size=BATCH, verbose=0).tolist()
    found["iterations"] = int(model.optimizer.iterations.numpy())
    found.update({f"weight_{i}": w.tolist() for i, w in enumerate(model.get_weights())})
    return found


def saved(strategy):
    """Return whether a model saved and loaded under a strategy goes on as the one saved."""
    x, y = rows()
    with strategy.scope():
        model = k.Sequential([k.Input((6,)), k.layers.Dense(1)])
        model.compile(k.optimizers.Adam(0.1), "mse")
    model.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.keras")
        model.save(path)
        with strategy.scope():
            other = k.saving.load_model(path)
        alone = k.saving.load_model(path)
    kinds = [type(m.layers[0].kernel.value).__name__ for m in (other, alone)]
    for m in (model, other, alone):
        m.fit(x, y, batch_size=BATCH, shuffle=False, verbose=0)
    differences = [float(np.abs(model.predict(x, verbose=0) - m.predict(x, verbose=0)).max()) for m in (other, alone)]
    return {"kinds": kinds, "differences": differences}


def own_loop(strategy):
    """Return what a loop written by hand with `strategy.run` gives, one epoch."""
    x, y = rows()
    with strategy.scope():
        model = k.Sequential([k.Input((6,)), k.layers.Dense(1, kernel_initializer="ones")])
        optimizer, metric = k.optimizers.Adam(0.1), k.metrics.MeanAbsoluteError()
        optimizer.build(model.trainable_variables)
        loss = k.losses.MeanSquaredError()

    def step(batch):
        with tf.GradientTape() as tape:
            outputs = model(batch[0], training=True)
            value = loss(batch[1], outputs)
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        metric.update_state(batch[1], outputs)
        return value

    @tf.function
    def run(batch):
        return strategy.reduce("SUM", strategy.run(step, args=(batch,)), axis=None)

    data = tf.data.Dataset.from_tensor_slices((x[:40], y[:40])).batch(BATCH)
    losses = [float(run(batch)) for batch in strategy.experimental_distribute_dataset(data)]
    return {"losses": losses, "metric": float(metric.result()), "kernel": model.get_weights()[0].tolist()}


def main(*cases):
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy([f"CPU:{i}" for i in range(2)])
    found = {}
    for name in cases or CASES:
        for how, under in (("replicas", strategy), ("alone", None)):
            try:
                found[f"{name}_{how}"] = result_of(CASES[name], under)
            except Exception as error:
                found[f"{name}_{how}"] = {"error": f"{type(error).__name__}: {error}"[:500]}
    k.config.set_dtype_policy("float32")
    found["own_loop"], found["saved"] = own_loop(strategy), saved(strategy)
    print("RESULT" + json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
