"""The portable random stream on tensors: Threefry-2x32 in integer arithmetic, the same bits as `host`."""

import math
from typing import Any

from multikeras.backend.interface import Array, Backend
from multikeras.random.host import BITS, PARITY, ROTATIONS

_WORD = 0xFFFFFFFF
_FOLDED = 0x7FFFFFFF  # a stream that nothing draws from


class _Words:
    """Arithmetic modulo 2**32 on tensors of a backend's word dtype, which may be wider."""

    def __init__(self, B: Backend):
        self.B, self.wide = B, B.key_dtype == "int64"

    def constant(self, value: int) -> Array:
        return self.B.asarray(value, self.B.key_dtype)

    def add(self, x: Array, y: Array) -> Array:
        return self.low(self.B.add(x, y))

    def low(self, x: Array) -> Array:
        return self.B.bitwise_and(x, self.constant(_WORD)) if self.wide else x

    def shifted(self, x: Array, by: int) -> Array:
        return self.B.right_shift(x, self.constant(by))

    def rotated(self, x: Array, by: int) -> Array:
        high = self.low(self.B.left_shift(x, self.constant(by)))
        return self.B.bitwise_or(high, self.shifted(x, 32 - by))


def threefry2x32(B: Backend, key: Array, x0: Array, x1: Array) -> tuple[Array, Array]:
    """Encipher the blocks (x0, x1) of `B.key_dtype` under a key of shape (2,)."""
    w = _Words(B)
    k0, k1 = (B.getitem(key, i) for i in range(2))
    keys = (k0, k1, B.bitwise_xor(B.bitwise_xor(k0, k1), w.constant(PARITY)))
    x0, x1 = w.add(x0, k0), w.add(x1, k1)
    for group in range(5):
        for rotation in ROTATIONS[group % 2]:
            x0 = w.add(x0, x1)
            x1 = B.bitwise_xor(w.rotated(x1, rotation), x0)
        x0 = w.add(x0, keys[(group + 1) % 3])
        x1 = w.add(x1, w.add(keys[(group + 2) % 3], w.constant(group + 1)))
    return x0, x1


def words(B: Backend, key: Array, shape: tuple, stream: Any = 0) -> Array:
    """Return random 32-bit words in a tensor of `B.key_dtype`; `stream` may be a scalar tensor of that dtype."""
    n = math.prod(shape)
    counter = B.arange(0, (n + 1) // 2, 1, B.key_dtype)
    stream = B.broadcast_to(B.asarray(stream, B.key_dtype), (B.shape(counter)[0],))
    both = B.concatenate(threefry2x32(B, key, counter, stream), 0)
    return B.reshape(B.slice(both, (0,), (n,)), shape)


def folded(B: Backend, key: Array, number: Array) -> Array:
    """Return a key of its own for a `number` of 31 bits, a scalar tensor: none that counting on from `key` reaches."""
    number = B.reshape(B.cast(number, B.key_dtype), (1,))
    return B.concatenate(threefry2x32(B, key, number, B.asarray([_FOLDED], B.key_dtype)), 0)


def uniform(B: Backend, key: Array, shape: tuple, dtype: str = "float32", stream: Any = 0) -> Array:
    """Draw from [0, 1), exact multiples of a power of two: the same bits on every backend."""
    w, bits = _Words(B), BITS[dtype]
    if bits <= 32:
        return B.cast(w.shifted(words(B, key, shape, stream), 32 - bits), dtype) * 2.0**-bits
    pair = words(B, key, (2, *shape), stream)
    high, low = (B.cast(w.shifted(B.getitem(pair, i), shift), dtype) for i, shift in enumerate((5, 6)))
    return (high * 2.0**26 + low) * 2.0**-53


def normal(B: Backend, key: Array, shape: tuple, stream: Any = 0) -> Array:
    """Draw float32 normals of mean 0 and deviation 1 (Box and Muller, 1958)."""
    n = math.prod(shape)
    half = (n + 1) // 2
    u = uniform(B, key, (2, half), "float32", stream)
    radius = B.sqrt(B.log(B.getitem(u, 0) + 2.0**-24) * -2.0)
    angle = B.getitem(u, 1) * (2 * math.pi)
    both = B.concatenate([radius * B.cos(angle), radius * B.sin(angle)], 0)
    return B.reshape(B.slice(both, (0,), (n,)), shape)


def randint(B: Backend, key: Array, shape: tuple, low: Array, high: Array, wide: bool = False) -> Array:
    """Draw from [low, high), integers of `B.key_dtype` modulo 2**32.

    A word modulo the span is even to one part in 2**32 / span; `wide` takes two words, for spans above 2**24.
    """
    w = _Words(B)
    span = B.maximum(w.low(B.subtract(high, low)), w.constant(1))
    if not wide:
        return w.add(B.mod(words(B, key, shape), span), low)
    pair = words(B, key, (2, *shape))
    rest, second = B.mod(B.getitem(pair, 0), span), B.getitem(pair, 1)
    for bit in range(31, -1, -1):  # long division, for frameworks without 64 bits
        over = B.equal(w.shifted(rest, 31), w.constant(1))
        next_bit = B.bitwise_and(w.shifted(second, bit) if bit else second, w.constant(1))
        rest = B.bitwise_or(w.low(B.left_shift(rest, w.constant(1))), next_bit)
        over = B.bitwise_or(over, B.bitwise_not(B.less(rest, span)))
        rest = B.where(over, w.low(B.subtract(rest, span)), rest)
    return w.add(rest, low)
