"""Derivatives of functions written on Keras and on ours, by the framework of the backend under test."""

import numpy as np

from multikeras import Variable, ops
from multikeras.backend import current


def ours(function, x):
    """Return the gradient of a scalar function of one array."""
    variable = Variable(x)
    _, (gradient,) = current.value_and_grad(lambda: function(variable.value), [variable])()
    return np.asarray(ops.convert_to_numpy(gradient))


def _jax(function, x):
    import jax

    return np.asarray(jax.grad(function)(jax.numpy.asarray(x)))


def _torch(function, x):
    import torch

    x = torch.tensor(x, requires_grad=True)
    function(x).backward()
    return x.grad.numpy()


def _tensorflow(function, x):
    import tensorflow as tf

    x = tf.Variable(x)
    with tf.GradientTape() as tape:
        y = function(tf.convert_to_tensor(x))
    return tf.convert_to_tensor(tape.gradient(y, x)).numpy()


keras_s = {"jax": _jax, "torch": _torch, "tensorflow": _tensorflow}.get(current.name)
"""The same for a function written on Keras."""
