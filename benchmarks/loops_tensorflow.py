"""The training loop a TensorFlow user writes: variables, one tf.function over tf.data, the fused Adam kernel."""

import itertools

import numpy as np
import tensorflow as tf


class Weights(tf.Module):
    """Makes variables and keeps them in order."""

    def __init__(self):
        super().__init__()
        self.generator, self.all = np.random.default_rng(0), []

    def __call__(self, *shape, fill=None):
        fan_in = np.prod(shape[:-1]) if len(shape) > 1 else 1
        value = self.generator.normal(size=shape) / np.sqrt(fan_in) if fill is None else np.full(shape, fill)
        self.all.append(tf.Variable(value.astype("float32")))
        return self.all[-1]

    def dense(self, a, b):
        """Return a new dense layer."""
        w, v = self(a, b), self(b, fill=0.0)
        return lambda x: tf.matmul(x, w) + v if len(x.shape) == 2 else tf.tensordot(x, w, 1) + v


def _stack(new, *sizes):
    layers = [new.dense(a, b) for a, b in itertools.pairwise(sizes)]

    def apply(x):
        for layer in layers[:-1]:
            x = tf.nn.relu(layer(x))
        return layers[-1](x)

    return apply


def _cnn(new):
    filters = (new(3, 3, 1, 32), new(32, fill=0.0)), (new(3, 3, 32, 64), new(64, fill=0.0))
    head = _stack(new, 1600, 128, 10)

    def apply(x):
        for w, b in filters:
            x = tf.nn.max_pool2d(tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, w, 1, "VALID"), b)), 2, 2, "VALID")
        return head(tf.reshape(x, (-1, 1600)))

    return apply


def _lstm(new):
    project, recurrent, head = new.dense(32, 512), new(128, 512), new.dense(128, 10)

    def apply(x):
        inputs = tf.transpose(project(x), (1, 0, 2))
        zeros = tf.zeros((tf.shape(x)[0], 128))

        def step(t, h, c):
            i, f, g, o = tf.split(inputs[t] + tf.matmul(h, recurrent), 4, -1)
            c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
            return t + 1, tf.sigmoid(o) * tf.tanh(c), c

        h = tf.while_loop(lambda t, h, c: t < 50, step, (0, zeros, zeros), maximum_iterations=50)[1]
        return head(h)

    return apply


def _tfm(new):
    embedding = new(1000, 128)
    blocks = [
        dict(n1=(new(128, fill=1.0), new(128, fill=0.0)), n2=(new(128, fill=1.0), new(128, fill=0.0)),
             qkv=new.dense(128, 384), out=new.dense(128, 128), up=new.dense(128, 512), down=new.dense(512, 128))
        for _ in range(2)
    ]  # fmt: skip
    head = new.dense(128, 10)

    def norm(p, x):
        mean, var = tf.nn.moments(x, -1, keepdims=True)
        return (x - mean) * tf.math.rsqrt(var + 1e-3) * p[0] + p[1]

    def apply(x):
        x = tf.gather(embedding, x)
        for block in blocks:
            y = tf.reshape(block["qkv"](norm(block["n1"], x)), (-1, 64, 3, 4, 32))
            q, k, v = tf.unstack(tf.transpose(y, (2, 0, 3, 1, 4)))
            y = tf.matmul(tf.nn.softmax(tf.matmul(q, k, transpose_b=True) / np.float32(np.sqrt(32))), v)
            x = x + block["out"](tf.reshape(tf.transpose(y, (0, 2, 1, 3)), (-1, 64, 128)))
            x = x + block["down"](tf.nn.gelu(block["up"](norm(block["n2"], x)), approximate=False))
        return head(tf.reduce_mean(x, 1))

    return apply


MODELS = {
    "tiny": lambda new: _stack(new, 8, 10, 10, 1),
    "mlp": lambda new: _stack(new, 784, 512, 512, 10),
    "cnn": _cnn,
    "lstm": _lstm,
    "tfm": _tfm,
}
COMPILED = {"mlp", "lstm", "tfm"}
"""Where XLA is faster, so that a good native loop uses it."""


class Native:
    """One model and its loop."""

    def __init__(self, name, x, y, batch):
        self.weights = new = Weights()
        apply, binary = MODELS[name](new), name == "tiny"
        self.rows, self.batch, self.x = len(x), batch, x
        weights = new.all
        self.slots = slots = [(tf.Variable(tf.zeros_like(w)), tf.Variable(tf.zeros_like(w))) for w in weights]
        self.powers = powers = tf.Variable(0.9), tf.Variable(0.999)
        self.totals = totals = tf.Variable(0.0), tf.Variable(0.0)

        def judged(x, y):
            out = apply(x)
            if binary:
                return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(y, out)), tf.equal(out > 0, y > 0.5)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, out))
            return loss, tf.equal(tf.argmax(out, 1, "int32"), y)

        def count(x, loss, right):
            totals[0].assign_add(loss * tf.cast(tf.shape(x)[0], "float32"))
            totals[1].assign_add(tf.reduce_sum(tf.cast(right, "float32")))

        @tf.function(jit_compile=name in COMPILED or None)
        def step(x, y):
            with tf.GradientTape() as tape:
                loss, right = judged(x, y)
            for w, g, (m, v) in zip(weights, tape.gradient(loss, weights), slots):
                tf.raw_ops.ResourceApplyAdam(
                    var=w.handle, m=m.handle, v=v.handle, beta1_power=powers[0], beta2_power=powers[1], lr=1e-3, beta1=0.9,
                    beta2=0.999, epsilon=1e-7, grad=tf.convert_to_tensor(g),
                )  # fmt: skip
            powers[0].assign(powers[0] * 0.9)
            powers[1].assign(powers[1] * 0.999)
            count(x, loss, right)

        self.step, self.judge = step, tf.function(lambda x, y: count(x, *judged(x, y)))
        self.rows_in_order = tf.data.Dataset.from_tensor_slices((x, y))
        self.set = self.rows_in_order.shuffle(len(x)).batch(batch).prefetch(2)
        last = tf.sigmoid if binary else tf.nn.softmax
        self.apply = tf.function(lambda x: last(apply(x)))

    def epochs(self, count):
        """Train for some epochs; return loss and accuracy of the last."""
        for _ in range(count):
            found = self._run(self.step, self.set)
        return found

    def evaluate(self):
        """Return loss and accuracy over all rows."""
        return self._run(self.judge, self.rows_in_order.batch(self.batch).prefetch(2))

    def _run(self, step, batches):
        for total in self.totals:
            total.assign(0.0)
        for x, y in batches:
            step(x, y)
        return float(self.totals[0]) / self.rows, float(self.totals[1]) / self.rows

    def predict(self):
        """Return the outputs for all rows."""
        parts = [self.apply(self.x[i : i + self.batch]) for i in range(0, self.rows, self.batch)]
        return tf.concat(parts, 0).numpy()

    def one(self):
        """Return a function that predicts one row."""
        x = self.x[:1]
        return lambda: self.apply(x).numpy()
