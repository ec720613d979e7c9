"""Random tensors: from the framework's own generator, or from the stream that is equal on all backends.

The same integer `seed` gives the same numbers at each call, a `SeedGenerator` or None others every time.
Under `multikeras.config.set_random("portable")` uniform draws, integers and dropout masks are equal bit for bit on
every backend, normals to a few units in the last place.
"""

import math
from typing import Any

from multikeras import config
from multikeras.backend import SPEC, dtypes
from multikeras.backend.interface import Array, Backend
from multikeras.backend.shapes import UNKNOWN, known
from multikeras.core.node import as_keras_tensor
from multikeras.ops._op import convert, op
from multikeras.random import threefry
from multikeras.random.seed_generator import key_from

_LIMIT = math.erf(math.sqrt(2.0))


def _portable() -> bool:
    return config.random_mode() == "portable"


def _sizes(B: Backend, shape: Any) -> tuple[Backend, tuple]:
    """Return `shape` as a tuple, and the backend that can serve it: None is a size that nobody knows yet."""
    if isinstance(shape, int) and known(shape):
        shape = (shape,)
    elif B.is_tensor(shape):
        shape = B.unstacked(shape)
    shape = tuple(UNKNOWN if s is None else s for s in shape)
    return (B if all(map(known, shape)) else SPEC), shape


def _float(op_name: str, dtype: Any) -> str:
    dtype = dtypes.standardize_dtype(dtype)
    if not dtypes.is_float(dtype):
        raise ValueError(f"`keras.random.{op_name}` requires a floating point `dtype`. Received: dtype={dtype}")
    return dtype


def _uniform(B: Backend, key: Array, shape: tuple, dtype: str) -> Array:
    return threefry.uniform(B, key, shape, dtype) if _portable() else B.random_uniform(key, shape, dtype)


def _open_uniform(B: Backend, key: Array, shape: tuple, stream: Any = None) -> Array:
    """Draw float32 from (0, 1), where logarithms and quantiles are finite."""
    if stream is not None:
        return threefry.uniform(B, key, shape, "float32", stream) + 2.0**-25
    return B.maximum(_uniform(B, key, shape, "float32"), B.asarray(2.0**-25, "float32"))


def _made(x: Array) -> Any:
    return as_keras_tensor(x)


@op(tensors=0)
def normal(B, shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Draw from the normal distribution.

    >>> from multikeras import random
    >>> random.normal((2, 3), seed=1).shape == (2, 3)
    True
    """
    (B, shape), dtype = _sizes(B, shape), _float("normal", dtype)
    key = key_from(B, seed)
    x = B.cast(threefry.normal(B, key, shape), dtype) if _portable() else B.random_normal(key, shape, dtype)
    return _made(x * B.asarray(stddev, dtype) + B.asarray(mean, dtype))


@op(tensors=0)
def uniform(B, shape, minval=0.0, maxval=1.0, dtype=None, seed=None):
    """Draw evenly from [minval, maxval).

    >>> from multikeras import random
    >>> random.uniform((2, 3), -1, 1, seed=1).shape == (2, 3)
    True
    """
    (B, shape), dtype = _sizes(B, shape), _float("uniform", dtype)
    low, high = B.asarray(minval, dtype), B.asarray(maxval, dtype)
    above = _uniform(B, key_from(B, seed), shape, dtype) * (high - low)
    if _portable():
        # Never less; but compilers cannot merge product and sum around it, which would round once and differ in a bit.
        above = B.maximum(above, -B.abs(high - low))
    return _made(above + low)


@op(tensors=0)
def randint(B, shape, minval, maxval, dtype="int32", seed=None):
    """Draw integers evenly from [minval, maxval).

    >>> from multikeras import random
    >>> random.randint((2, 3), 0, 10, seed=1).shape == (2, 3)
    True
    """
    (B, shape), dtype = _sizes(B, shape), dtypes.standardize_dtype(dtype)
    if not dtypes.is_int(dtype):
        raise ValueError(f"`keras.random.randint` requires an integer `dtype`. Received: dtype={dtype}")
    key = key_from(B, seed)
    if not _portable():
        return _made(B.random_randint(key, shape, minval, maxval, dtype))
    # Through int32, whose casts to words and back wrap around everywhere.
    low, high = (B.cast(B.cast(convert(B, v), "int32"), B.key_dtype) for v in (minval, maxval))
    ends = isinstance(minval, int) and isinstance(maxval, int)
    wide = ends and maxval - minval > 2**24
    return _made(B.cast(threefry.randint(B, key, shape, low, high, wide), dtype))


@op(tensors=0)
def truncated_normal(B, shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Draw from the normal distribution, only values within two standard deviations of the mean.

    >>> from multikeras import random, ops
    >>> bool(ops.max(ops.abs(random.truncated_normal((1000,), seed=1))) <= 2)
    True
    """
    (B, shape), dtype = _sizes(B, shape), _float("truncated_normal", dtype)
    u = _open_uniform(B, key_from(B, seed), shape)
    x = B.erfinv((u * 2.0 - 1.0) * _LIMIT) * math.sqrt(2.0)
    x = B.cast(B.minimum(B.maximum(x, B.asarray(-2.0, "float32")), B.asarray(2.0, "float32")), dtype)
    return _made(x * B.asarray(stddev, dtype) + B.asarray(mean, dtype))


@op
def categorical(B, logits, num_samples, dtype="int32", seed=None):
    """Draw `num_samples` class indices a row of `logits`, (batch, classes), by adding Gumbel noise.

    >>> from multikeras import ops, random
    >>> ops.convert_to_numpy(random.categorical([[0.0, 50.0], [50.0, 0.0]], 2, seed=1)).tolist()
    [[1, 1], [0, 0]]
    """
    if len(logits.shape) != 2:
        raise ValueError(f"categorical: logits must have shape (batch, classes), got {tuple(logits.shape)}.")
    dtype = dtypes.standardize_dtype(dtype)
    if not dtypes.is_int(dtype):
        raise ValueError(f"categorical: dtype must be an integer one, got {dtype}.")
    batch, classes = B.shape(logits)
    u = _open_uniform(B, key_from(B, seed), (batch, num_samples, classes))
    noisy = B.expand_dims(B.cast(logits, "float32"), 1) - B.log(-B.log(u))
    return B.cast(B.argmax(noisy, -1), dtype)


def _gamma(B: Backend, key: Array, shape: tuple, alpha: Array) -> Array:
    """Draw gammas of the portable stream, float32 (Marsaglia and Tsang, 2000)."""
    alpha = B.broadcast_to(alpha, shape)
    small = alpha < 1.0
    d = B.where(small, alpha + 1.0, alpha) - 1.0 / 3.0
    c = B.divide(B.full((), 1.0 / 3.0, "float32"), B.sqrt(d))

    def draw(i, done, value):
        x = threefry.normal(B, key, shape, i * 2)
        v = B.power(B.maximum(c * x + 1.0, B.full((), 0.0, "float32")), B.full((), 3.0, "float32"))
        u = threefry.uniform(B, key, shape, "float32", i * 2 + 1) + 2.0**-25
        log_v = B.log(B.maximum(v, B.full((), 1e-30, "float32")))
        good = B.bitwise_and(v > 0.0, B.log(u) < x * x * 0.5 + d - d * v + d * log_v)
        fresh = B.bitwise_and(good, B.bitwise_not(done))
        return i + 1, B.bitwise_or(done, good), B.where(fresh, d * v, value)

    zero = B.asarray(1, B.key_dtype), B.full(shape, False, "bool"), B.full(shape, 0.0, "float32")
    _, _, value = B.while_loop(lambda i, done, value: B.max(B.bitwise_not(done)), draw, zero, 200)
    boost = B.power(_open_uniform(B, key, shape, 0), B.divide(B.full((), 1.0, "float32"), alpha))
    return B.maximum(B.where(small, value * boost, value), B.full((), 1e-37, "float32"))


@op(tensors=0)
def gamma(B, shape, alpha, dtype=None, seed=None):
    """Draw from the gamma distribution of shape parameter `alpha` and scale 1.

    >>> from multikeras import random
    >>> random.gamma((2, 3), 2.0, seed=1).shape == (2, 3)
    True
    """
    (B, shape), dtype = _sizes(B, shape), _float("gamma", dtype)
    return _made(_any_gamma(B, key_from(B, seed), shape, alpha, dtype))


def _any_gamma(B, key, shape, alpha, dtype):
    if _portable():
        return B.cast(_gamma(B, key, shape, B.asarray(alpha, "float32")), dtype)
    return B.random_gamma(key, shape, B.asarray(alpha, dtype), dtype)


@op(tensors=0)
def beta(B, shape, alpha, beta, dtype=None, seed=None):
    """Draw from the beta distribution: of two gammas, the share of the first.

    >>> from multikeras import random
    >>> random.beta((2, 3), 2.0, 3.0, seed=1).shape == (2, 3)
    True
    """
    (B, shape), dtype = _sizes(B, shape), _float("beta", dtype)
    parameters = [B.broadcast_to(B.asarray(p, "float32"), shape) for p in (alpha, beta)]
    both = B.concatenate([B.expand_dims(p, 0) for p in parameters], 0)
    g = _any_gamma(B, key_from(B, seed), (2, *shape), both, "float32")
    first, second = B.getitem(g, 0), B.getitem(g, 1)
    return _made(B.cast(B.divide(first, first + second), dtype))


def _binomial(B: Backend, key: Array, shape: tuple, counts: Array, p: Array) -> Array:
    """Count the successes of the portable stream by their waiting times (Devroye, 1986, X.4)."""
    one = B.full((), 1.0, "float32")
    rare = B.minimum(p, one - p)
    log_miss = B.log1p(-B.maximum(rare, B.full((), 1e-30, "float32")))

    def wait(i, waited, found):
        gap = B.ceil(B.divide(B.log(_open_uniform(B, key, shape, i)), log_miss))
        waited = waited + gap
        return i + 1, waited, B.where(waited <= counts, found + 1.0, found)

    start = B.asarray(0, B.key_dtype), B.full(shape, 0.0, "float32"), B.full(shape, 0.0, "float32")
    _, _, found = B.while_loop(lambda i, waited, found: B.max(waited <= counts), wait, start, None)
    found = B.where(rare > 0.0, found, B.full((), 0.0, "float32"))
    return B.where(p > 0.5, counts - found, found)


@op(tensors=0)
def binomial(B, shape, counts, probabilities, dtype=None, seed=None):
    """Draw numbers of successes in `counts` trials.

    >>> from multikeras import random
    >>> random.binomial((2, 3), 10.0, 0.5, seed=1).shape == (2, 3)
    True
    """
    (B, shape), dtype = _sizes(B, shape), _float("binomial", dtype)
    key = key_from(B, seed)
    work = "float64" if dtype == "float64" else "float32"
    counts, p = (B.broadcast_to(B.asarray(v, work), shape) for v in (counts, probabilities))
    if _portable():
        counts, p = (B.cast(v, "float32") for v in (counts, p))
        return _made(B.cast(_binomial(B, key, shape, counts, p), dtype))
    return _made(B.cast(B.random_binomial(key, shape, counts, p, work), dtype))


@op
def dropout(B, inputs, rate, noise_shape=None, seed=None):
    """Set a share `rate` of entries to zero and scale the others up to keep the mean.

    `noise_shape` says which entries share their fate: its sizes are those of `inputs` (or None) or 1.

    >>> from multikeras import ops, random
    >>> sorted({float(v) for v in random.dropout(ops.ones((100,)), 0.5, seed=1)})
    [0.0, 2.0]
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"dropout: rate must be between 0 and 1, got {rate}.")
    sizes = B.shape(inputs)
    shape = sizes if noise_shape is None else tuple(s if n is None else n for s, n in zip(sizes, noise_shape, strict=True))
    key = key_from(B, seed)
    if rate in (0, 1):
        return inputs if rate == 0 else B.where(B.full((), True, "bool"), B.asarray(0, B.dtype(inputs)), inputs)
    if _portable() or not 0.01 <= rate <= 0.99:
        # Never of half precision: too few values to hit the rate.
        return B.dropped(inputs, _uniform(B, key, shape, "float32"), rate, rate)
    # 16 bits hit these rates to a part in 1,000 or better: half the work that random words are.
    return B.dropped(inputs, B.random_halves(key, shape), round(rate * 2**16) - 2**15, rate)


@op(tensors=2)
def dropped(B, inputs, draws, least, rate):
    """Return `inputs` scaled up to keep the mean, but 0 where `draws` are below `least`."""
    return B.where(draws >= least, inputs * (1.0 / (1.0 - rate)), B.asarray(0, B.dtype(inputs)))


@op
def shuffle(B, x, axis=0, seed=None):
    """Bring the slices along `axis` into random order.

    >>> from multikeras import random
    >>> sorted(int(v) for v in random.shuffle([1, 2, 3], seed=1))
    [1, 2, 3]
    """
    key = key_from(B, seed)
    order = B.argsort(_uniform(B, key, (B.shape(x)[axis],), "float32"), 0)
    return B.take(x, order, axis % len(x.shape))
