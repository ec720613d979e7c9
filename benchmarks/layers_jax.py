"""Layers and updates as a JAX user writes them, for `layers.py`."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def tensor(array):
    return jnp.asarray(array)


def _step(call, params, x):
    """Return a compiled forward and backward pass of `call(params, x)`."""
    floats = jnp.issubdtype(x.dtype, jnp.floating)

    def run(params, x, g):
        if floats:
            y, back = jax.vjp(call, params, x)
        else:
            y, back = jax.vjp(lambda p: call(p, x), params)
        return y, back(g)

    g = jnp.ones_like(call(params, x))
    compiled = jax.jit(run)
    return lambda: jax.block_until_ready(compiled(params, x, g))


def layer(layer, arguments, x, more):
    """Return forward and backward pass of a layer of multikeras or Keras."""
    state = [v.value for v in layer.non_trainable_variables]

    def call(params, x):
        return layer.stateless_call(params, state, *arguments(x), **more)[0]

    return _step(call, [v.value for v in layer.trainable_variables], x)


def _own(call, *shapes):
    rng = np.random.default_rng(1)
    return lambda array: _step(call, [jnp.asarray(rng.standard_normal(s) * 0.05, "float32") for s in shapes], tensor(array))


def _conv2d(p, x, groups=1):
    dims = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, p[0], (1, 1), "VALID", dimension_numbers=dims, feature_group_count=groups) + p[1]


def _conv1d(p, x):
    return lax.conv_general_dilated(x, p[0], (1,), "VALID", dimension_numbers=("NWC", "WIO", "NWC")) + p[1]


def _pool(x, start, combine):
    return lax.reduce_window(x, start, combine, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def _norm(p, x, axes):
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-3) * p[0] + p[1]


def _dropout(array):
    """Return dropout with a key that comes from the last step: a constant one would be drawn from by the compiler."""
    x, state = tensor(array), [jax.random.PRNGKey(0)]
    g = jnp.ones_like(x)

    @jax.jit
    def run(key, x, g):
        key, now = jax.random.split(key)
        y, back = jax.vjp(lambda x: jnp.where(jax.random.bernoulli(now, 0.7, x.shape), x / 0.7, 0.0), x)
        return key, y, back(g)

    def step():
        state[0], *results = jax.block_until_ready(run(state[0], x, g))
        return results

    return step


def _lstm(p, x, reverse=False, sequences=False):
    w, u, b = p
    xs = jnp.swapaxes(x @ w + b, 0, 1)

    def step(carry, z):
        h, c = carry
        i, f, g, o = jnp.split(z + h @ u, 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h if sequences else None

    zeros = jnp.zeros((x.shape[0], u.shape[0]))
    (h, _), hs = lax.scan(step, (zeros, zeros), xs, reverse=reverse)
    return jnp.swapaxes(hs, 0, 1) if sequences else h


def _gru(p, x):
    w, u, b, d = p
    xs = jnp.swapaxes(x @ w + b, 0, 1)

    def step(h, z):
        inner = h @ u + d
        za, ra, na = jnp.split(z, 3, -1)
        zb, rb, nb = jnp.split(inner, 3, -1)
        update, reset = jax.nn.sigmoid(za + zb), jax.nn.sigmoid(ra + rb)
        return update * h + (1 - update) * jnp.tanh(na + reset * nb), None

    return lax.scan(step, jnp.zeros((x.shape[0], u.shape[0])), xs)[0]


def _attention(p, x):
    q, k, v = (jnp.einsum("btd,dhe->bthe", x, p[i]) + p[i + 1] for i in (0, 2, 4))
    return jnp.einsum("bthe,hed->btd", jax.nn.dot_product_attention(q, k, v), p[6]) + p[7]


_HEADS = (64, 4, 16), (4, 16)
_RNN = (64, 256), (64, 256), (256,)
LAYERS = {
    "Dense": _own(lambda p, x: jax.nn.relu(x @ p[0] + p[1]), (256, 256), (256,)),
    "Dense of sequences": _own(lambda p, x: x @ p[0] + p[1], (64, 128), (128,)),
    "Embedding": _own(lambda p, x: jnp.take(p[0], x, 0), (5000, 64)),
    "Conv1D": _own(_conv1d, (5, 64, 64), (64,)),
    "Conv2D": _own(_conv2d, (3, 3, 32, 32), (32,)),
    "DepthwiseConv2D": _own(lambda p, x: _conv2d(p, x, 32), (3, 3, 1, 32), (32,)),
    "MaxPooling2D": _own(lambda p, x: _pool(x, -jnp.inf, lax.max)),
    "AveragePooling2D": _own(lambda p, x: _pool(x, 0.0, lax.add) / 4),
    "BatchNormalization": _own(lambda p, x: _norm(p, x, (0, 1, 2)), (32,), (32,)),
    "LayerNormalization": _own(lambda p, x: _norm(p, x, (-1,)), (64,), (64,)),
    "Dropout": _dropout,
    "LSTM": _own(_lstm, (64, 512), (128, 512), (512,)),
    "LSTM of sequences": _own(lambda p, x: _lstm(p, x, sequences=True), (64, 512), (128, 512), (512,)),
    "GRU": _own(_gru, (64, 384), (128, 384), (384,), (384,)),
    "Bidirectional LSTM": _own(lambda p, x: jnp.concatenate([_lstm(p[:3], x), _lstm(p[3:], x, True)], -1), *_RNN, *_RNN),
    "MultiHeadAttention": _own(_attention, *_HEADS, *_HEADS, *_HEADS, (4, 16, 64), (64,)),
}


def _steps(update, values, grads, state):
    """Return a call that goes on from the last one's result, whose arrays it may write over, as in training."""
    compiled, kept = jax.jit(update, donate_argnums=(0, 2)), [values, state]

    def step():
        kept[:] = jax.block_until_ready(compiled(kept[0], grads, kept[1]))

    return step


def optimizer(k, optimizer, weights):
    """Return one compiled update by an optimizer of multikeras or Keras."""
    variables = [k.Variable(w) for w in weights]
    optimizer.build(variables)
    grads = [tensor(w) * 1e-3 for w in weights]
    state, values = ([jnp.array(v.value) for v in vs] for vs in (optimizer.variables, variables))
    return _steps(lambda values, grads, state: optimizer.stateless_apply(state, grads, values), values, grads, state)


def own_optimizer(rule, weights):
    """Return one compiled update written by hand.

    The rule is `update(w, g, slots, t)`, which returns the new weight and slots; or that, how `t` goes on, and a first `t`.
    """
    update, after, start = rule if isinstance(rule, tuple) else (rule, lambda t: t + 1, jnp.float32(3))
    values = [tensor(w) for w in weights]
    grads = [w * 1e-3 for w in values]
    kept = [jax.eval_shape(update, w, w, (w, w), after(start))[1] for w in values]  # Adafactor: rows and columns only
    slots = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), kept)

    def step(values, grads, state):
        slots, t = state
        t = after(t)
        values, slots = zip(*(update(w, g, s, t) for w, g, s in zip(values, grads, slots)))
        return list(values), (list(slots), t)

    return _steps(step, values, grads, (slots, start))


def _adam(w, g, s, t, decay=0.0):
    m, v = 0.9 * s[0] + 0.1 * g, 0.999 * s[1] + 0.001 * g * g
    step = 1e-3 * jnp.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    return w - 1e-3 * decay * w - step * m / (jnp.sqrt(v) + 1e-7), (m, v)


def _momentum(w, g, s, t):
    m = 0.9 * s[0] - 1e-2 * g
    return w + m, (m, s[1])


def _rmsprop(w, g, s, t):
    v = 0.9 * s[0] + 0.1 * g * g
    return w - 1e-3 * g / jnp.sqrt(v + 1e-7), (v, s[1])


def _adagrad(w, g, s, t):
    v = s[0] + g * g
    return w - 1e-3 * g / jnp.sqrt(v + 1e-7), (v, s[1])


def _lion(w, g, s, t):
    return w - 1e-3 * jnp.sign(0.9 * s[0] + 0.1 * g), (0.99 * s[0] + 0.01 * g, s[1])


def _adadelta(w, g, s, t):
    a = 0.95 * s[0] + 0.05 * g * g
    d = g * jnp.sqrt((s[1] + 1e-7) / (a + 1e-7))
    return w - 1e-3 * d, (a, 0.95 * s[1] + 0.05 * d * d)


def _adamax(w, g, s, t):
    m, u = 0.9 * s[0] + 0.1 * g, jnp.maximum(0.999 * s[1], jnp.abs(g))
    return w - 1e-3 / (1 - 0.9**t) * m / (u + 1e-7), (m, u)


def _next_momentum(t):
    """Count a step and multiply its momentum to those before."""
    count, product = t
    return count + 1, product * 0.9 * (1 - 0.5 * 0.96 ** (count + 1))


def _nadam(w, g, s, t):
    count, product = t
    now, then = (0.9 * (1 - 0.5 * 0.96**k) for k in (count, count + 1))
    m, v = 0.9 * s[0] + 0.1 * g, 0.999 * s[1] + 0.001 * g * g
    ahead = then / (1 - product * then) * m + (1 - now) / (1 - product) * g
    return w - 1e-3 * ahead / (jnp.sqrt(v / (1 - 0.999**count)) + 1e-7), (m, v)


def _lamb(w, g, s, t):
    m, v = 0.9 * s[0] + 0.1 * g, 0.999 * s[1] + 0.001 * g * g
    u = m / (1 - 0.9**t) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-7)
    size, norm = jnp.linalg.norm(w), jnp.linalg.norm(u)
    return w - 1e-3 * jnp.where((size > 0) & (norm > 0), size / norm, 1.0) * u, (m, v)


def _ftrl(w, g, s, t):
    n = s[0] + g * g
    z = s[1] + g - (jnp.sqrt(n) - jnp.sqrt(s[0])) / 1e-3 * w
    return -z * 1e-3 / jnp.sqrt(n), (n, z)


def _adafactor(w, g, s, t):
    """Keep rows and columns of matrices only: ours, as Keras, keeps their products too and writes them at each step."""
    keep, square = 1 - t**-0.8, g * g + 1e-30
    if w.ndim < 2:
        v = keep * s[0] + (1 - keep) * square
        s = v, s[1]
    else:
        rows = keep * s[0][:, 0] + (1 - keep) * square.mean(-1)
        columns = keep * s[1][0] + (1 - keep) * square.mean(-2)
        v = (rows / rows.mean())[:, None] * columns
        s = rows[:, None], columns[None]
    u = g * jax.lax.rsqrt(v)
    u = u / jnp.maximum(1, jnp.sqrt(jnp.mean(u * u)))
    return w - jnp.maximum(1e-3, jnp.sqrt(jnp.mean(w * w))) * jnp.minimum(1e-3, jax.lax.rsqrt(t)) * u, s


def _muon(w, g, s, t):
    if w.ndim < 2:
        return _adam(w, g, s, t, 0.004)
    m = 0.95 * s[0] + g
    x = g + 0.95 * m
    x = x / (jnp.linalg.norm(x) + 1e-7)
    x = x.T if w.shape[0] > w.shape[1] else x
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    x = x.T if w.shape[0] > w.shape[1] else x
    return w * (1 - 4e-6) - 1e-3 * 0.2 * max(w.shape) ** 0.5 * x, (m, s[1])


def _schedule_free(w, g, s, t):
    v = 0.999 * s[1] + 0.001 * g * g
    z = s[0] - 1e-3 * g / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8)
    x = (w - 0.1 * s[0]) / 0.9
    x = x + (z - x) / t
    return 0.1 * z + 0.9 * x, (z, v)


OPTIMIZERS = {
    "SGD": lambda w, g, s, t: (w - 1e-2 * g, s), "SGD momentum": _momentum, "Adam": _adam,
    "AdamW": lambda w, g, s, t: _adam(w, g, s, t, 0.004), "RMSprop": _rmsprop, "Adagrad": _adagrad, "Lion": _lion,
    "Lamb": _lamb, "Ftrl": _ftrl, "Adafactor": _adafactor, "Muon": _muon, "ScheduleFreeAdamW": _schedule_free,
    "Adadelta": _adadelta, "Adamax": _adamax, "Nadam": (_nadam, _next_momentum, (jnp.float32(3), jnp.float32(0.1))),
}  # fmt: skip
