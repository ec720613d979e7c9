"""The training loop a JAX user writes: pure functions, one jitted step with optax, shuffled arrays in memory."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax


def _dense(p, x):
    return x @ p["w"] + p["b"]


def _weights(generator, a, b):
    return {"w": jnp.asarray(generator.normal(size=(a, b)) / np.sqrt(a), "float32"), "b": jnp.zeros(b)}


def _filters(generator, a, b):
    return {"w": jnp.asarray(generator.normal(size=(3, 3, a, b)) / np.sqrt(9 * a), "float32"), "b": jnp.zeros(b)}


def _stack(p, x):
    for layer in p[:-1]:
        x = jax.nn.relu(_dense(layer, x))
    return _dense(p[-1], x)


def _stack_weights(generator, *sizes):
    return [_weights(generator, a, b) for a, b in itertools.pairwise(sizes)]


def _conv(p, x):
    y = lax.conv_general_dilated(x, p["w"], (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return jax.nn.relu(y + p["b"])


def _pool(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def _cnn(p, x):
    x = _pool(_conv(p["second"], _pool(_conv(p["first"], x))))
    return _stack(p["head"], x.reshape(x.shape[0], -1))


def _cnn_weights(g):
    return {"first": _filters(g, 1, 32), "second": _filters(g, 32, 64), "head": _stack_weights(g, 1600, 128, 10)}


def _lstm(p, x):
    def step(carry, x):
        h, c = carry
        i, f, g, o = jnp.split(x + h @ p["recurrent"], 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), None

    zeros = jnp.zeros((x.shape[0], 128))
    (h, _), _ = lax.scan(step, (zeros, zeros), _dense(p["input"], x).swapaxes(0, 1))
    return _dense(p["head"], h)


def _lstm_weights(g):
    return {"input": _weights(g, 32, 512), "recurrent": _weights(g, 128, 512)["w"], "head": _weights(g, 128, 10)}


def _norm(p, x):
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(var + 1e-3) * p["w"] + p["b"]


def _tfm(p, x):
    x = p["embedding"][x]
    b, t, _ = x.shape
    for block in p["blocks"]:
        q, k, v = jnp.moveaxis(_dense(block["qkv"], _norm(block["n1"], x)).reshape(b, t, 3, 4, 32), 2, 0)
        x = x + _dense(block["out"], jax.nn.dot_product_attention(q, k, v).reshape(b, t, 128))
        x = x + _dense(block["down"], jax.nn.gelu(_dense(block["up"], _norm(block["n2"], x)), approximate=False))
    return _dense(p["head"], x.mean(1))


def _block(g):
    def norm():
        return {"w": jnp.ones(128), "b": jnp.zeros(128)}

    return {
        "n1": norm(), "n2": norm(), "qkv": _weights(g, 128, 384), "out": _weights(g, 128, 128),
        "up": _weights(g, 128, 512), "down": _weights(g, 512, 128),
    }  # fmt: skip


def _tfm_weights(g):
    embedding = jnp.asarray(g.normal(size=(1000, 128)) / 20, "float32")
    return {"embedding": embedding, "blocks": [_block(g), _block(g)], "head": _weights(g, 128, 10)}


MODELS = {
    "tiny": (_stack, lambda g: _stack_weights(g, 8, 10, 10, 1)),
    "mlp": (_stack, lambda g: _stack_weights(g, 784, 512, 512, 10)),
    "cnn": (_cnn, _cnn_weights),
    "lstm": (_lstm, _lstm_weights),
    "tfm": (_tfm, _tfm_weights),
}


class Native:
    """One model and its loop."""

    def __init__(self, name, x, y, batch):
        apply, init = MODELS[name]
        binary, self.batch = name == "tiny", batch
        self.x, self.y = jnp.asarray(x), jnp.asarray(y)
        self.params = init(np.random.default_rng(0))
        optimizer = optax.adam(1e-3)
        self.state = optimizer.init(self.params)
        self.order = np.random.default_rng(1)

        def loss_of(params, x, y):
            out = apply(params, x)
            if binary:
                return optax.sigmoid_binary_cross_entropy(out, y).mean(), ((out > 0) == y).sum()
            loss = optax.softmax_cross_entropy_with_integer_labels(out, y).mean()
            return loss, (out.argmax(1) == y).sum()

        @functools.partial(jax.jit, donate_argnums=(0, 1, 2))
        def step(params, state, totals, x, y, rows):
            x, y = x[rows], y[rows]
            (loss, right), gradients = jax.value_and_grad(loss_of, has_aux=True)(params, x, y)
            updates, state = optimizer.update(gradients, state, params)
            return optax.apply_updates(params, updates), state, (totals[0] + loss * len(rows), totals[1] + right)

        self.step = step

        @functools.partial(jax.jit, donate_argnums=1)
        def judge(params, totals, x, y):
            loss, right = loss_of(params, x, y)
            return totals[0] + loss * len(x), totals[1] + right

        self.judge = judge
        last = jax.nn.sigmoid if binary else jax.nn.softmax
        self.apply = jax.jit(lambda params, x: last(apply(params, x)))

    def epochs(self, count):
        """Train for some epochs; return loss and accuracy of the last."""
        n, batch = len(self.x), self.batch
        for _ in range(count):
            totals = (jnp.zeros(()), jnp.zeros((), "int32"))
            for rows in self.order.permutation(n).astype("int32").reshape(-1, batch):
                self.params, self.state, totals = self.step(self.params, self.state, totals, self.x, self.y, rows)
        return float(totals[0]) / n, float(totals[1]) / n

    def predict(self):
        """Return the outputs for all rows."""
        parts = [self.apply(self.params, self.x[i : i + self.batch]) for i in range(0, len(self.x), self.batch)]
        return np.asarray(jnp.concatenate(parts))

    def evaluate(self):
        """Return loss and accuracy over all rows."""
        totals, n = (jnp.zeros(()), jnp.zeros((), "int32")), len(self.x)
        for i in range(0, n, self.batch):
            totals = self.judge(self.params, totals, self.x[i : i + self.batch], self.y[i : i + self.batch])
        return float(totals[0]) / n, float(totals[1]) / n

    def one(self):
        """Return a function that predicts one row."""
        x = np.asarray(self.x[:1])
        return lambda: np.asarray(self.apply(self.params, x))
