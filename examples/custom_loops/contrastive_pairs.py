"""Digits put into a plane by pairs: alike close together, others apart. One encoder, called twice, a loss of its own.

    multikeras examples/custom_loops/contrastive_pairs.py
    multikeras compare examples/custom_loops/contrastive_pairs.py

Hadsell, Chopra, LeCun: Dimensionality reduction by learning an invariant mapping, CVPR 2006.
"""

import numpy as np
from sklearn.datasets import load_digits

import multikeras as mk
from multikeras import layers, ops

MARGIN = 1.0
x, y = load_digits(return_X_y=True)
x = (x / 16).astype("float32")
x_train, y_train, x_test, y_test = x[:1400], y[:1400], x[1400:], y[1400:]


def pairs(x, y, seed):
    """Return pairs of rows, every second pair of one class, and whether they are."""
    random = np.random.default_rng(seed)
    first = random.permutation(np.repeat(np.arange(len(x)), 2))
    alike = np.arange(len(first)) % 2 == 0
    second = [random.choice(np.flatnonzero((y == y[i]) == same)) for i, same in zip(first, alike)]
    return (x[first], x[second]), alike.astype("float32")


class Pairs(mk.Model):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.accuracy = mk.metrics.BinaryAccuracy(name="accuracy")

    def call(self, pair):
        one, other = (self.encoder(x) for x in pair)
        return ops.sqrt(ops.sum(ops.square(one - other), axis=-1) + 1e-12)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean(y * ops.square(y_pred) + (1 - y) * ops.square(ops.maximum(MARGIN - y_pred, 0)))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        self.accuracy.update_state(y, ops.cast(y_pred < MARGIN / 2, "float32"))
        return self.get_metrics_result()


encoder = mk.Sequential([mk.Input((64,)), layers.Dense(64, activation="relu"), layers.Dense(2)])
model = Pairs(encoder)
model.compile(mk.optimizers.Adam(3e-3))
model.fit(*pairs(x_train, y_train, 0), batch_size=64, epochs=15, validation_data=pairs(x_test, y_test, 1))

places, labels = encoder.predict(x_train, verbose=0), y_train
nearest = np.linalg.norm(encoder.predict(x_test, verbose=0)[:, None] - places, axis=-1).argmin(-1)
print(f"nearest neighbour in the plane: {(labels[nearest] == y_test).mean():.3f} of the test digits right")
