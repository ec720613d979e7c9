"""What a JAX user writes for the cases of `ops.py`, by name, and how JAX runs them."""

import jax
import jax.numpy as jnp
from jax import lax


def tensor(array):
    return jnp.asarray(array)


def finish(y):
    return jax.block_until_ready(y)


def cotangent(y):
    return jnp.ones_like(y)


def gradient(call, xs, g):
    """Return a compiled function that takes forward and backward pass."""
    floats = [i for i, x in enumerate(xs) if jnp.issubdtype(x.dtype, jnp.floating)]

    def pull(xs, g):
        def f(*wanted):
            given = list(xs)
            for i, x in zip(floats, wanted):
                given[i] = x
            return call(*given)

        y, back = jax.vjp(f, *(xs[i] for i in floats))
        return y, back(g)

    compiled = jax.jit(pull)
    return lambda: jax.block_until_ready(compiled(xs, g))


def _conv(x, k, strides=(1, 1), groups=1):
    return lax.conv_general_dilated(
        x, k, strides, "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups
    )


def _pool(x, start, combine):
    return lax.reduce_window(x, start, combine, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def _layer_norm(x, g, b):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-5) * g + b


def _rms(x, g):
    return x * lax.rsqrt((x * x).mean(-1, keepdims=True) + 1e-7) * g


def _bce(t, x):
    return jnp.maximum(x, 0) - x * t + jnp.log1p(jnp.exp(-jnp.abs(x)))


def _depthwise(x, k):
    return _conv(x, k.reshape(3, 3, 1, -1), groups=32)


def _sparse(t, x):
    return -jnp.take_along_axis(jax.nn.log_softmax(x), t[:, None], -1)[:, 0]


@jax.jit
def _moments(x):
    return jnp.mean(x, 0), jnp.var(x, 0)


jit = jax.jit
LAYOUT = {"conv first": (lambda x: jnp.moveaxis(x, -1, 1), lambda k: k)}

NATIVE = {
    **{name: getattr(jnp, name) for name in (
        "add multiply divide power maximum exp log sqrt tanh abs square where matmul greater"
    ).split()},
    **{name: getattr(jax.nn, name) for name in "sigmoid relu gelu silu softplus elu softmax log_softmax".split()},
    "erf": lax.erf, "leaky_relu": lambda x: jax.nn.leaky_relu(x, 0.2), "clip": lambda x: jnp.clip(x, -0.5, 0.5),
    "sum": lambda x: jnp.sum(x, -1), "mean": lambda x: jnp.mean(x, -1), "max": lambda x: jnp.max(x, -1),
    "var": lambda x: jnp.var(x, -1), "logsumexp": lambda x: jax.nn.logsumexp(x, -1),
    "argmax": lambda x: jnp.argmax(x, -1), "cumsum": lambda x: jnp.cumsum(x, -1),
    "norm": lambda x: jnp.linalg.norm(x, axis=-1),
    "layer_normalization": jit(_layer_norm), "rms_normalization": jit(_rms),
    "batch_normalization": jit(lambda x, m, v, g, b: (x - m) * lax.rsqrt(v + 1e-3) * g + b),
    "moments": lambda x: _moments(x)[0],
    "normalize": jit(lambda x: x / jnp.linalg.norm(x, axis=-1, keepdims=True)),
    "reshape": lambda x: jnp.reshape(x, (1024, 256)), "transpose": lambda x: jnp.transpose(x, (0, 2, 1)),
    "concatenate": lambda x, y: jnp.concatenate([x, y], -1), "stack": lambda x, y: jnp.stack([x, y]),
    "split": lambda x: jnp.split(x, 4, -1)[0], "pad": lambda x: jnp.pad(x, ((1, 1), (1, 1))),
    "tile": lambda x: jnp.tile(x, (2, 1)), "repeat": lambda x: jnp.repeat(x, 2, -1),
    "expand_dims": lambda x: jnp.expand_dims(x, 1), "broadcast_to": lambda x: jnp.broadcast_to(x, (8, 256, 1024)),
    "flip": lambda x: jnp.flip(x, -1), "roll": lambda x: jnp.roll(x, 7, -1), "take": lambda x, i: jnp.take(x, i, 0),
    "take_along_axis": lambda x, i: jnp.take_along_axis(x, i, -1), "one_hot": lambda i: jax.nn.one_hot(i, 1000),
    "slice": lambda x: x[1:-1, ::2],
    "einsum": lambda x, y: jnp.einsum("bij,bjk->bik", x, y), "tensordot": lambda x, y: jnp.tensordot(x, y, 1),
    "conv1d": lambda x, k: lax.conv_general_dilated(x, k, (1,), "VALID", dimension_numbers=("NWC", "WIO", "NWC")),
    "conv": _conv, "depthwise_conv": _depthwise, "separable_conv": lambda x, d, p: _conv(_depthwise(x, d), p),
    "conv first": lambda x, k: lax.conv_general_dilated(
        x, k, (1, 1), "VALID", dimension_numbers=("NCHW", "HWIO", "NCHW")),
    "conv_transpose": lambda x, k: lax.conv_transpose(
        x, k, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"), transpose_kernel=True),
    "max_pool": lambda x: _pool(x, -jnp.inf, lax.max), "average_pool": lambda x: _pool(x, 0.0, lax.add) / 4,
    "dot_product_attention": jit(jax.nn.dot_product_attention),
    "attention causal": jit(lambda q, k, v: jax.nn.dot_product_attention(q, k, v, is_causal=True)),
    "categorical_crossentropy": jit(lambda t, x: -(t * jax.nn.log_softmax(x)).sum(-1)),
    "sparse_categorical_crossentropy": jit(_sparse), "binary_crossentropy": jit(_bce),
    "sort": lambda x: jnp.sort(x, -1), "top_k": lambda x: lax.top_k(x, 10)[0],
    "solve": jnp.linalg.solve, "cholesky": jnp.linalg.cholesky, "qr": lambda x: jnp.linalg.qr(x)[1],
}  # fmt: skip
