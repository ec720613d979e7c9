"""What a TensorFlow user writes for the cases of `ops.py`, by name, and how TensorFlow runs them."""

import tensorflow as tf


def tensor(array):
    return tf.constant(array)


def finish(y):
    return y


def cotangent(y):
    return tf.ones_like(y)


def gradient(call, xs, g):
    """Return a tf.function that takes forward and backward pass."""

    @tf.function(autograph=False)
    def pull(xs, g):
        with tf.GradientTape() as tape:
            tape.watch([x for x in xs if x.dtype.is_floating])
            y = call(*xs)
        return y, tape.gradient(y, [x for x in xs if x.dtype.is_floating], g)

    return lambda: pull(xs, g)


def _layer_norm(x, g, b):
    mean, variance = tf.nn.moments(x, [-1], keepdims=True)
    return tf.nn.batch_normalization(x, mean, variance, b, g, 1e-5)


def _attention(q, k, v, causal=False):
    scores = tf.einsum("btnh,bsnh->bnts", q * q.shape[-1] ** -0.5, k)
    if causal:
        n = q.shape[1]
        scores = tf.where(tf.linalg.band_part(tf.ones((n, n), tf.bool), -1, 0), scores, -1e9)
    return tf.einsum("bnts,bsnh->btnh", tf.nn.softmax(scores), v)


def _transposed(x, k):
    n = (x.shape[1] - 1) * 2 + k.shape[0]
    return tf.nn.conv2d_transpose(x, k, (x.shape[0], n, n, k.shape[2]), 2, "VALID")


LAYOUT = {}

NATIVE = {
    **{name: getattr(tf.math, name) for name in
       "add multiply divide maximum exp log sqrt tanh sigmoid abs square softplus erf greater".split()},
    **{name: getattr(tf.nn, name) for name in "relu silu elu softmax log_softmax".split()},
    "power": tf.pow, "where": tf.where, "matmul": tf.matmul,
    "gelu": lambda x: tf.nn.gelu(x, True), "leaky_relu": lambda x: tf.nn.leaky_relu(x, 0.2),
    "clip": lambda x: tf.clip_by_value(x, -0.5, 0.5),
    "sum": lambda x: tf.reduce_sum(x, -1), "mean": lambda x: tf.reduce_mean(x, -1), "max": lambda x: tf.reduce_max(x, -1),
    "var": lambda x: tf.math.reduce_variance(x, -1), "logsumexp": lambda x: tf.reduce_logsumexp(x, -1),
    "argmax": lambda x: tf.argmax(x, -1), "cumsum": lambda x: tf.cumsum(x, -1), "norm": lambda x: tf.norm(x, axis=-1),
    "layer_normalization": _layer_norm,
    "rms_normalization": lambda x, g: x * tf.math.rsqrt(tf.reduce_mean(x * x, -1, True) + 1e-7) * g,
    "batch_normalization": lambda x, m, v, g, b: tf.nn.batch_normalization(x, m, v, b, g, 1e-3),
    "moments": lambda x: tf.nn.moments(x, [0])[0], "normalize": lambda x: tf.math.l2_normalize(x, -1),
    "reshape": lambda x: tf.reshape(x, (1024, 256)), "transpose": lambda x: tf.transpose(x, (0, 2, 1)),
    "concatenate": lambda x, y: tf.concat([x, y], -1), "stack": lambda x, y: tf.stack([x, y]),
    "split": lambda x: tf.split(x, 4, -1)[0], "pad": lambda x: tf.pad(x, ((1, 1), (1, 1))),
    "tile": lambda x: tf.tile(x, (2, 1)), "repeat": lambda x: tf.repeat(x, 2, -1),
    "expand_dims": lambda x: tf.expand_dims(x, 1), "broadcast_to": lambda x: tf.broadcast_to(x, (8, 256, 1024)),
    "flip": lambda x: tf.reverse(x, [-1]), "roll": lambda x: tf.roll(x, 7, -1), "take": lambda x, i: tf.gather(x, i),
    "take_along_axis": lambda x, i: tf.gather(x, i, batch_dims=1), "one_hot": lambda i: tf.one_hot(i, 1000),
    "slice": lambda x: x[1:-1, ::2],
    "einsum": lambda x, y: tf.einsum("bij,bjk->bik", x, y), "tensordot": lambda x, y: tf.tensordot(x, y, 1),
    "conv1d": lambda x, k: tf.nn.conv1d(x, k, 1, "VALID"), "conv": lambda x, k: tf.nn.conv2d(x, k, 1, "VALID"),
    "depthwise_conv": lambda x, k: tf.nn.depthwise_conv2d(x, k, (1, 1, 1, 1), "VALID"),
    "separable_conv": lambda x, d, p: tf.nn.separable_conv2d(x, d, p, (1, 1, 1, 1), "VALID"),
    "conv_transpose": _transposed,
    "max_pool": lambda x: tf.nn.max_pool2d(x, 2, 2, "VALID"), "average_pool": lambda x: tf.nn.avg_pool2d(x, 2, 2, "VALID"),
    "dot_product_attention": _attention, "attention causal": lambda q, k, v: _attention(q, k, v, True),
    "categorical_crossentropy": lambda t, x: tf.nn.softmax_cross_entropy_with_logits(t, x),
    "sparse_categorical_crossentropy": lambda t, x: tf.nn.sparse_softmax_cross_entropy_with_logits(t, x),
    "binary_crossentropy": lambda t, x: tf.nn.sigmoid_cross_entropy_with_logits(t, x),
    "sort": lambda x: tf.sort(x), "top_k": lambda x: tf.math.top_k(x, 10)[0],
    "solve": tf.linalg.solve, "cholesky": tf.linalg.cholesky, "qr": lambda x: tf.linalg.qr(x)[1],
}  # fmt: skip
