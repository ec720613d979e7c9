"""Gradients summed by hand over four small batches, then one step: as if the batch were four times as large.

    multikeras examples/custom_loops/gradient_accumulation.py
    multikeras compare examples/custom_loops/gradient_accumulation.py

(`Optimizer(gradient_accumulation_steps=4)` does it without any code.)
"""

import numpy as np
from sklearn.datasets import load_diabetes

import multikeras as mk
from multikeras import layers, ops

EVERY = 4
x, y = load_diabetes(return_X_y=True, scaled=False)
x, y = ((a - a.mean(0)) / a.std(0) for a in (x[:384].astype("float32"), y[:384].astype("float32")))


class Accumulating(mk.Sequential):
    def build(self, input_shape):
        super().build(input_shape)
        self.sums = [mk.Variable(ops.zeros(v.shape), trainable=False) for v in self.trainable_variables]
        self.batches = mk.Variable(0, dtype="int32", trainable=False)

    def train_step(self, data):
        x, y = data
        variables = self.trainable_variables

        def loss():
            return self.compute_loss(x, y, self(x, training=True))

        value, gradients = ops.value_and_grad(loss, variables)()
        for total, gradient in zip(self.sums, gradients):
            total.assign_add(gradient / EVERY)
        self.batches.assign_add(1)
        ops.cond(self.batches % EVERY == 0, self.step, lambda: None)
        return {**self.compute_metrics(x, y, self(x)), "loss": value}

    def step(self):
        self.optimizer.apply([total.value for total in self.sums], self.trainable_variables)
        for total in self.sums:
            total.assign(ops.zeros_like(total))


def network(kind):
    mk.utils.set_random_seed(1)
    model = kind([mk.Input((10,)), layers.Dense(16, activation="tanh"), layers.Dense(1)])
    model.compile(mk.optimizers.Adam(1e-2), loss="mse", metrics=["mae"])
    return model


small, large = network(Accumulating), network(mk.Sequential)
small.fit(x, y, batch_size=16, epochs=20, shuffle=False)
large.fit(x, y, batch_size=16 * EVERY, epochs=20, shuffle=False, verbose=0)
pairs = zip(small.trainable_variables, large.trainable_variables)
gap = max(np.abs(a.numpy() - b.numpy()).max() for a, b in pairs)
print(f"largest difference to training with batches of {16 * EVERY}: {gap:.1e}")
