"""Time layers, forward and backward, and updates of optimizers: multikeras, a hand-written loop, Keras.

    MULTIKERAS_BACKEND=torch python benchmarks/layers.py [NAME ...] [--json FILE]
    python benchmarks/layers.py --backends jax torch tensorflow     writes benchmarks/results

All three run in one process on one thread and take turns: eagerly on torch, compiled by `jax.jit` and `tf.function`.
"""

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ops import main
from timing import keep_memory, one_thread, typical

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

_SEQUENCE, _IMAGE, _ROWS = (32, 50, 64), (16, 28, 28, 32), (64, 256)

LAYERS: dict[str, tuple[Callable, tuple]] = {
    "Dense": (lambda k: k.layers.Dense(256, activation="relu"), _ROWS),
    "Dense of sequences": (lambda k: k.layers.Dense(128), _SEQUENCE),
    "Embedding": (lambda k: k.layers.Embedding(5000, 64), (32, 50)),
    "Conv1D": (lambda k: k.layers.Conv1D(64, 5), _SEQUENCE),
    "Conv2D": (lambda k: k.layers.Conv2D(32, 3), _IMAGE),
    "DepthwiseConv2D": (lambda k: k.layers.DepthwiseConv2D(3), _IMAGE),
    "MaxPooling2D": (lambda k: k.layers.MaxPooling2D(2), _IMAGE),
    "AveragePooling2D": (lambda k: k.layers.AveragePooling2D(2), _IMAGE),
    "BatchNormalization": (lambda k: k.layers.BatchNormalization(), _IMAGE),
    "LayerNormalization": (lambda k: k.layers.LayerNormalization(), _SEQUENCE),
    "Dropout": (lambda k: k.layers.Dropout(0.3), _ROWS),
    "LSTM": (lambda k: k.layers.LSTM(128), _SEQUENCE),
    "LSTM of sequences": (lambda k: k.layers.LSTM(128, return_sequences=True), _SEQUENCE),
    "GRU": (lambda k: k.layers.GRU(128), _SEQUENCE),
    "Bidirectional LSTM": (lambda k: k.layers.Bidirectional(k.layers.LSTM(64)), _SEQUENCE),
    "MultiHeadAttention": (lambda k: k.layers.MultiHeadAttention(4, 16), _SEQUENCE),
}
OPTIMIZERS: dict[str, Callable] = {
    "SGD": lambda k: k.optimizers.SGD(1e-2),
    "SGD momentum": lambda k: k.optimizers.SGD(1e-2, momentum=0.9),
    **{n: (lambda k, n=n: getattr(k.optimizers, n)(1e-3)) for n in
       "Adam AdamW RMSprop Adagrad Adadelta Adamax Nadam Lion Lamb Ftrl Adafactor Muon ScheduleFreeAdamW".split()},
}  # fmt: skip
_WEIGHTS = [(256, 256), (256,)] * 4 + [(256, 10), (10,)]


def _layer_calls(name: str, native: Any, libraries: dict) -> dict[str, Callable]:
    make, shape = LAYERS[name]
    rng = np.random.default_rng(0)
    array = rng.integers(0, 5000, shape).astype("int32") if name == "Embedding" else rng.standard_normal(shape)
    array = array if array.dtype == "int32" else array.astype("float32")
    calls = {}
    for library, k in libraries.items():
        layer, x = make(k), native.tensor(array)
        attention = name == "MultiHeadAttention"
        layer(x, x) if attention else layer(x)
        takes_training = name in ("Dropout", "BatchNormalization", "MultiHeadAttention")
        arguments = (lambda x: (x, x)) if attention else (lambda x: (x,))
        calls[library] = native.layer(layer, arguments, x, {"training": True} if takes_training else {})
    if name in native.LAYERS:
        calls["native"] = native.LAYERS[name](array)
    return calls


def _optimizer_calls(name: str, native: Any, libraries: dict) -> dict[str, Callable]:
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal(s).astype("float32") for s in _WEIGHTS]
    calls = {library: native.optimizer(k, OPTIMIZERS[name](k), weights) for library, k in libraries.items()}
    if name in native.OPTIMIZERS:
        calls["native"] = native.own_optimizer(native.OPTIMIZERS[name], weights)
    return calls


def measure(names: list[str], rounds: int) -> dict:
    """Return seconds by case and library on the backend in use."""
    one_thread()
    keep_memory()
    import multikeras

    name = multikeras.backend.backend()
    os.environ["KERAS_BACKEND"] = name
    libraries = {"ours": multikeras}
    try:
        import keras

        libraries["keras"] = keras
    except ImportError:
        print("Keras is not installed: its column stays empty.")
    native = importlib.import_module(f"layers_{name}")
    times: dict[str, dict] = {}
    print(f"{name:24}{'native ms':>10}{'ours':>7}{'Keras':>7}   as multiples of native")
    for case in names or [*LAYERS, *OPTIMIZERS]:
        calls = (_layer_calls if case in LAYERS else _optimizer_calls)(case, native, libraries)
        t = typical(calls, rounds)
        base = t.get("native", t["ours"])
        print(f"{case:24}{base * 1e3:10.3f}{t['ours'] / base:7.2f}{t.get('keras', 0) / base:7.2f}", flush=True)
        times[case] = {"training": t}
    return {"backend": name, "seconds": times}


if __name__ == "__main__":
    main(measure, "layers", __doc__)
