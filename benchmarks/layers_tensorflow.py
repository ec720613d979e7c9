"""Layers and updates as a TensorFlow user writes them, for `layers.py`."""

import numpy as np
import tensorflow as tf


def tensor(array):
    return tf.constant(array)


def _step(call, variables, x):
    """Return a tf.function of forward and backward pass of `call(x)`."""
    floats = x.dtype.is_floating

    @tf.function(autograph=False)
    def run(x, g):
        with tf.GradientTape() as tape:
            if floats:
                tape.watch(x)
            y = call(x)
        return y, tape.gradient(y, [*variables, x] if floats else variables, g)

    g = tf.ones_like(call(x))
    return lambda: run(x, g)


def layer(layer, arguments, x, more):
    """Return forward and backward pass of a layer of multikeras or Keras."""
    variables = [v.store if hasattr(v, "store") else v.value for v in layer.trainable_variables]
    return _step(lambda x: layer(*arguments(x), **more), variables, x)


def _own(call, *shapes):
    def make(array):
        rng = np.random.default_rng(1)
        p = [tf.Variable(rng.standard_normal(s).astype("float32") * 0.05) for s in shapes]
        return _step(lambda x: call(p, x), p, tensor(array))

    return make


def _norm(p, x, axes):
    mean, variance = tf.nn.moments(x, axes, keepdims=True)
    return tf.nn.batch_normalization(x, mean, variance, p[1], p[0], 1e-3)


def _by_step(x):
    """Return an array of the steps: the gradient of a slice would be as large as all of them."""
    return tf.TensorArray(x.dtype, x.shape[1]).unstack(tf.transpose(x, (1, 0, 2)))


def _lstm(p, x, reverse=False, sequences=False):
    w, u, b = p
    steps, xs = x.shape[1], _by_step(x @ w + b)
    zeros = tf.zeros((x.shape[0], u.shape[0]))
    hs = tf.TensorArray(tf.float32, steps if sequences else 0)

    def body(t, h, c, hs):
        z = xs.read(steps - 1 - t if reverse else t) + h @ u
        i, f, g, o = tf.split(z, 4, -1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        h = tf.sigmoid(o) * tf.tanh(c)
        return t + 1, h, c, hs.write(t, h) if sequences else hs

    _, h, _, hs = tf.while_loop(lambda t, *_: t < steps, body, (0, zeros, zeros, hs), maximum_iterations=steps)
    return tf.transpose(hs.stack(), (1, 0, 2)) if sequences else h


def _gru(p, x):
    w, u, b, d = p
    steps, xs = x.shape[1], _by_step(x @ w + b)

    def body(t, h):
        za, ra, na = tf.split(xs.read(t), 3, -1)
        zb, rb, nb = tf.split(h @ u + d, 3, -1)
        update, reset = tf.sigmoid(za + zb), tf.sigmoid(ra + rb)
        return t + 1, update * h + (1 - update) * tf.tanh(na + reset * nb)

    zeros = tf.zeros((x.shape[0], u.shape[0]))
    return tf.while_loop(lambda t, h: t < steps, body, (0, zeros), maximum_iterations=steps)[1]


def _attention(p, x):
    q, k, v = (tf.einsum("btd,dhe->bthe", x, p[i]) + p[i + 1] for i in (0, 2, 4))
    weights = tf.nn.softmax(tf.einsum("bthe,bshe->bhts", q * 0.25, k))
    return tf.einsum("bthe,hed->btd", tf.einsum("bhts,bshe->bthe", weights, v), p[6]) + p[7]


_HEADS = (64, 4, 16), (4, 16)
_RNN = (64, 256), (64, 256), (256,)
LAYERS = {
    "Dense": _own(lambda p, x: tf.nn.relu(x @ p[0] + p[1]), (256, 256), (256,)),
    "Dense of sequences": _own(lambda p, x: x @ p[0] + p[1], (64, 128), (128,)),
    "Embedding": _own(lambda p, x: tf.gather(p[0], x), (5000, 64)),
    "Conv1D": _own(lambda p, x: tf.nn.conv1d(x, p[0], 1, "VALID") + p[1], (5, 64, 64), (64,)),
    "Conv2D": _own(lambda p, x: tf.nn.conv2d(x, p[0], 1, "VALID") + p[1], (3, 3, 32, 32), (32,)),
    "DepthwiseConv2D": _own(
        lambda p, x: tf.nn.depthwise_conv2d(x, p[0], (1, 1, 1, 1), "VALID") + p[1], (3, 3, 32, 1), (32,)),
    "MaxPooling2D": _own(lambda p, x: tf.nn.max_pool2d(x, 2, 2, "VALID")),
    "AveragePooling2D": _own(lambda p, x: tf.nn.avg_pool2d(x, 2, 2, "VALID")),
    "BatchNormalization": _own(lambda p, x: _norm(p, x, (0, 1, 2)), (32,), (32,)),
    "LayerNormalization": _own(lambda p, x: _norm(p, x, (-1,)), (64,), (64,)),
    "Dropout": _own(lambda p, x: tf.nn.dropout(x, 0.3)),
    "LSTM": _own(_lstm, (64, 512), (128, 512), (512,)),
    "LSTM of sequences": _own(lambda p, x: _lstm(p, x, sequences=True), (64, 512), (128, 512), (512,)),
    "GRU": _own(_gru, (64, 384), (128, 384), (384,), (384,)),
    "Bidirectional LSTM": _own(lambda p, x: tf.concat([_lstm(p[:3], x), _lstm(p[3:], x, True)], -1), *_RNN, *_RNN),
    "MultiHeadAttention": _own(_attention, *_HEADS, *_HEADS, *_HEADS, (4, 16, 64), (64,)),
}  # fmt: skip


def optimizer(k, optimizer, weights):
    """Return one update, a tf.function, by an optimizer of multikeras or Keras."""
    variables = [k.Variable(w) for w in weights]
    optimizer.build(variables)
    grads = [tensor(w) * 1e-3 for w in weights]
    run = tf.function(lambda grads: optimizer.apply(grads, variables), autograph=False)
    return lambda: run(grads)


def own_optimizer(rule, weights):
    """Return one update written by hand.

    The rule is `update(w, g, m, v, t)`, which assigns, or that and a function of `t` and a variable, 1 at first, that gives what
    all weights share: it takes the place of `t`.
    """
    update, shared = rule if isinstance(rule, tuple) else (rule, None)
    values, grads = [tf.Variable(w) for w in weights], [tensor(w) * 1e-3 for w in weights]
    slots = [(tf.Variable(tf.zeros_like(w)), tf.Variable(tf.zeros_like(w))) for w in values]
    count, product = tf.Variable(0.0), tf.Variable(1.0)

    @tf.function(autograph=False)
    def step(grads):
        t = count.assign_add(1.0)
        t = t if shared is None else shared(t, product)
        for w, g, (m, v) in zip(values, grads, slots):
            update(w, g, m, v, t)

    return lambda: step(grads)


def _adam(w, g, m, v, t):
    rate = 1e-3 * tf.sqrt(1 - tf.pow(0.999, t)) / (1 - tf.pow(0.9, t))
    tf.raw_ops.ResourceApplyAdam(
        var=w.handle, m=m.handle, v=v.handle, beta1_power=0.0, beta2_power=0.0, lr=rate, beta1=0.9, beta2=0.999,
        epsilon=1e-7, grad=g,
    )  # fmt: skip


def _adamw(w, g, m, v, t):
    w.assign_sub(w * 4e-6)
    _adam(w, g, m, v, t)


def _momentum(w, g, m, v, t):
    w.assign_add(m.assign(0.9 * m - 1e-2 * g))


def _rmsprop(w, g, m, v, t):
    w.assign_sub(1e-3 * g * tf.math.rsqrt(v.assign(0.9 * v + 0.1 * g * g) + 1e-7))


def _adagrad(w, g, m, v, t):
    w.assign_sub(1e-3 * g * tf.math.rsqrt(v.assign_add(g * g) + 1e-7))


def _lion(w, g, m, v, t):
    w.assign_sub(1e-3 * tf.sign(0.9 * m + 0.1 * g))
    m.assign(0.99 * m + 0.01 * g)


def _adadelta(w, g, a, d, t):
    step = g * tf.sqrt((d + 1e-7) / (a.assign(0.95 * a + 0.05 * g * g) + 1e-7))
    d.assign(0.95 * d + 0.05 * step * step)
    w.assign_sub(1e-3 * step)


def _adamax(w, g, m, u, t):
    mean, largest = m.assign(0.9 * m + 0.1 * g), u.assign(tf.maximum(0.999 * u, tf.abs(g)))
    w.assign_sub(1e-3 / (1 - tf.pow(0.9, t)) * mean / (largest + 1e-7))


def _momentums(t, product):
    """Return the shares of mean and gradient in a step of Nadam, and what undoes the bias of the mean squares."""
    now, then = (0.9 * (1 - 0.5 * tf.pow(0.96, k)) for k in (t, t + 1))
    so_far = product.assign(product * now)
    return 1e-3 * then / (1 - so_far * then), 1e-3 * (1 - now) / (1 - so_far), 1 / (1 - tf.pow(0.999, t))


def _nadam(w, g, m, v, t):
    old, new, unbias = t
    mean, square = m.assign(0.9 * m + 0.1 * g), v.assign(0.999 * v + 0.001 * g * g)
    w.assign_sub((old * mean + new * g) / (tf.sqrt(unbias * square) + 1e-7))


def _lamb(w, g, m, v, t):
    mean, square = m.assign(0.9 * m + 0.1 * g), v.assign(0.999 * v + 0.001 * g * g)
    u = mean / (1 - tf.pow(0.9, t)) / (tf.sqrt(square / (1 - tf.pow(0.999, t))) + 1e-7)
    size, norm = tf.norm(w), tf.norm(u)
    w.assign_sub(1e-3 * tf.where((size > 0) & (norm > 0), size / norm, 1.0) * u)


def _ftrl(w, g, n, z, t):
    tf.raw_ops.ResourceApplyFtrl(
        var=w.handle, accum=n.handle, linear=z.handle, grad=g, lr=1e-3, l1=0.0, l2=0.0, lr_power=-0.5
    )


def _adafactor(w, g, a, b, t):
    keep, square = 1 - tf.pow(t, -0.8), g * g + 1e-30
    if w.shape.rank < 2:
        v = a.assign(keep * a + (1 - keep) * square)
    else:
        rows = keep * a[:, 0] + (1 - keep) * tf.reduce_mean(square, -1)
        columns = keep * b[0] + (1 - keep) * tf.reduce_mean(square, -2)
        a[:, 0].assign(rows)
        b[0].assign(columns)
        v = (rows / tf.reduce_mean(rows))[:, None] * columns
    u = g * tf.math.rsqrt(v)
    u = u / tf.maximum(1.0, tf.sqrt(tf.reduce_mean(u * u)))
    w.assign_sub(tf.maximum(1e-3, tf.sqrt(tf.reduce_mean(w * w))) * tf.minimum(1e-3, tf.math.rsqrt(t)) * u)


def _muon(w, g, m, v, t):
    if w.shape.rank < 2:
        return _adamw(w, g, m, v, t)
    x = g + 0.95 * m.assign(0.95 * m + g)
    x = x / (tf.norm(x) + 1e-7)
    tall = w.shape[0] > w.shape[1]
    x = tf.transpose(x) if tall else x
    for _ in range(5):
        a = tf.matmul(x, x, transpose_b=True)
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    x = tf.transpose(x) if tall else x
    w.assign(w * (1 - 4e-6) - 1e-3 * 0.2 * max(w.shape) ** 0.5 * x)
    return None


def _schedule_free(w, g, z, v, t):
    square = v.assign(0.999 * v + 0.001 * g * g)
    x = (w - 0.1 * z) / 0.9
    new = z.assign_sub(1e-3 * g / (tf.sqrt(square / (1 - tf.pow(0.999, t))) + 1e-8))
    w.assign(0.1 * new + 0.9 * (x + (new - x) / t))


OPTIMIZERS = {
    "SGD": lambda w, g, m, v, t: w.assign_sub(1e-2 * g), "SGD momentum": _momentum, "Adam": _adam, "AdamW": _adamw,
    "RMSprop": _rmsprop, "Adagrad": _adagrad, "Lion": _lion,
    "Lamb": _lamb, "Ftrl": _ftrl, "Adafactor": _adafactor, "Muon": _muon, "ScheduleFreeAdamW": _schedule_free,
    "Adadelta": _adadelta, "Adamax": _adamax, "Nadam": (_nadam, _momentums),
}  # fmt: skip
