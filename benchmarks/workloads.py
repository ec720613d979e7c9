"""The five models of the training benchmark, written against any package with Keras's names, and their data."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Workload:
    """A model, the data it learns from, and how it is trained.

    Args:
        build: Makes the model from a package with Keras's names.
        data: Makes x and y of a number of rows.
        batch: Rows a step.
        steps: Steps an epoch.
        loss: Name of the loss.
        flops: Multiplications and additions of one training step (forward, and twice that backward).
    """

    build: Callable[[Any], Any]
    data: Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]
    batch: int
    steps: int
    loss: str = "sparse_categorical_crossentropy"
    flops: float = 0.0

    @property
    def metric(self) -> str:
        return "binary_accuracy" if self.loss == "binary_crossentropy" else "sparse_categorical_accuracy"

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Return x and y of one epoch."""
        return self.data(np.random.default_rng(0), self.batch * self.steps)


def tiny(K):
    layers = K.layers
    return K.Sequential([
        K.Input((8,)), layers.Dense(10, "relu"), layers.Dense(10, "relu"), layers.Dense(1, "sigmoid"),
    ])  # fmt: skip


def mlp(K):
    layers = K.layers
    return K.Sequential([
        K.Input((784,)), layers.Dense(512, "relu"), layers.Dense(512, "relu"), layers.Dense(10, "softmax"),
    ])  # fmt: skip


def cnn(K):
    layers = K.layers
    return K.Sequential([
        K.Input((28, 28, 1)),
        layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Flatten(), layers.Dense(128, "relu"), layers.Dense(10, "softmax"),
    ])  # fmt: skip


def lstm(K):
    return K.Sequential([K.Input((50, 32)), K.layers.LSTM(128), K.layers.Dense(10, "softmax")])


def tfm(K):
    layers = K.layers
    tokens = K.Input((64,), dtype="int32")
    x = layers.Embedding(1000, 128)(tokens)
    for _ in range(2):
        y = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(4, 32)(y, y)
        y = layers.LayerNormalization()(x)
        x = x + layers.Dense(128)(layers.Dense(512, "gelu")(y))
    x = layers.GlobalAveragePooling1D()(x)
    return K.Model(tokens, layers.Dense(10, "softmax")(x))


def _vectors(*shape):
    def make(generator, rows):
        return generator.normal(size=(rows, *shape)).astype("float32"), generator.integers(0, 10, rows).astype("int32")

    return make


def _binary(generator, rows):
    x = generator.normal(size=(rows, 8)).astype("float32")
    return x, (x[:, :1] > 0).astype("float32")


def _tokens(generator, rows):
    return generator.integers(0, 1000, (rows, 64)).astype("int32"), generator.integers(0, 10, rows).astype("int32")


def _dense(*sizes):
    return sum(a * b for a, b in itertools.pairwise(sizes))


WORKLOADS = {
    "tiny": Workload(tiny, _binary, 10, 200, "binary_crossentropy", 6 * 10 * _dense(8, 10, 10, 1)),
    "mlp": Workload(mlp, _vectors(784), 128, 40, flops=6 * 128 * _dense(784, 512, 512, 10)),
    "cnn": Workload(
        cnn, _vectors(28, 28, 1), 64, 20,
        flops=6 * 64 * (26 * 26 * 9 * 32 + 11 * 11 * 9 * 32 * 64 + _dense(1600, 128, 10)),
    ),
    "lstm": Workload(lstm, _vectors(50, 32), 64, 20, flops=6 * 64 * (50 * 4 * 128 * (32 + 128) + 1280)),
    "tfm": Workload(
        tfm, _tokens, 32, 10,
        flops=6 * 32 * 64 * 2 * (4 * 128 * 128 + 2 * 64 * 128 + 2 * 128 * 512),
    ),
}  # fmt: skip
