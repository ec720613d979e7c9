"""A small network learns from a large one: `compute_loss` overridden, the rest of the train step as it is.

    multikeras examples/custom_loops/distillation.py
    multikeras compare examples/custom_loops/distillation.py

Hinton, Vinyals, Dean: Distilling the knowledge in a neural network, https://arxiv.org/abs/1503.02531
"""

import numpy as np
from sklearn.datasets import load_digits

import multikeras as mk
from multikeras import layers, ops

TEMPERATURE, SHARE = 2.0, 0.7
x, y = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(x))
x, y = (x[order] / 16).astype("float32"), y[order]
x_train, y_train, x_test, y_test = x[:1400], y[:1400], x[1400:], y[1400:]


class Student(mk.Sequential):
    """Gives logits; trained towards the softened outputs of `teacher` and the labels."""

    def __init__(self, stack, teacher):
        super().__init__(stack)
        self.teacher = teacher
        teacher.trainable = False

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        hard = super().compute_loss(x, y, y_pred, sample_weight)
        soft = ops.softmax(self.teacher(x) / TEMPERATURE)
        difference = mk.losses.kl_divergence(soft, ops.softmax(y_pred / TEMPERATURE))
        return SHARE * TEMPERATURE**2 * ops.mean(difference) + (1 - SHARE) * hard


def network(*widths):
    hidden = [layers.Dense(width, activation="relu") for width in widths]
    return [mk.Input((64,)), *hidden, layers.Dense(10)]


def train(model, epochs):
    loss = mk.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(mk.optimizers.Adam(3e-3), loss=loss, metrics=["sparse_categorical_accuracy"])
    model.fit(x_train, y_train, epochs=epochs, validation_data=(x_test, y_test), verbose=2)
    return model.evaluate(x_test, y_test, verbose=0)[1]


teacher = mk.Sequential(network(128, 128))
taught = train(teacher, epochs=30)
student = train(Student(network(6), teacher), epochs=30)
alone = train(mk.Sequential(network(6)), epochs=30)
print(f"accuracy: teacher {taught:.3f}, student {student:.3f}, the same network alone {alone:.3f}")
