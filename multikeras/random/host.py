"""The portable random stream in numpy: initial weights and the order of batches, equal on every backend.

A key is a pair of 32-bit words (seed, counter). See `threefry` for the stream itself.
"""

import math

import numpy as np

_WORD = 0xFFFFFFFF
_CHUNK = 1 << 15  # blocks at a time: what stays in the cache
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
PARITY = 0x1BD11BDA
BITS = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
"""Random bits in a uniform draw: as many as the significand holds, so that every draw is exact."""


def threefry2x32(k0: int, k1: int, x0: np.ndarray, x1: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Encipher the blocks (x0, x1) under the key (k0, k1) with the 20 rounds of Threefry-2x32.

    Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.

    >>> zero = np.zeros(1, "uint32")
    >>> [hex(int(word[0])) for word in threefry2x32(0, 0, zero, zero)]
    ['0x6b200159', '0x99ba4efe']
    """
    keys = (k0, k1, k0 ^ k1 ^ PARITY)
    x0, x1 = x0 + np.uint32(k0), x1 + np.uint32(k1)
    left = np.empty_like(x1)  # new memory at each rotation would cost a fourth more
    for group in range(5):
        for rotation in ROTATIONS[group % 2]:
            x0 += x1
            np.left_shift(x1, np.uint32(rotation), left)
            x1 >>= np.uint32(32 - rotation)
            x1 |= left
            x1 ^= x0
        x0 += np.uint32(keys[(group + 1) % 3])
        x1 += np.uint32((keys[(group + 2) % 3] + group + 1) & _WORD)
    return x0, x1


def key_of(seed: int) -> tuple[int, int]:
    """Return the key (seed, 0) of an integer, of any size: more than 32 bits are hashed into the seed.

    >>> key_of(7)
    (7, 0)
    """
    word, rest = seed & _WORD, seed >> 32 if seed >= 0 else ~(seed >> 32)
    while rest:
        block = np.array([word], "uint32"), np.array([rest & _WORD], "uint32")
        word, rest = int(threefry2x32(rest & _WORD, 0, *block)[0][0]), rest >> 32
    return word, 0


def words(key: tuple[int, int], n: int, stream: int = 0) -> np.ndarray:
    """Return `n` random 32-bit words.

    Block i is the cipher of (i, stream); the first halves of all blocks come before the second ones.
    """
    half = (n + 1) // 2
    out = np.empty(2 * half, "uint32")
    for start in range(0, half, _CHUNK):
        stop = min(start + _CHUNK, half)
        counter = np.arange(start, stop, dtype="uint32")
        first, second = threefry2x32(int(key[0]), int(key[1]), counter, np.full_like(counter, stream))
        out[start:stop], out[half + start : half + stop] = first, second
    return out[:n]


def _unit(w: np.ndarray) -> np.ndarray:
    return (w >> np.uint32(8)) * 2.0**-24


def uniform(key: tuple[int, int], shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
    """Draw from [0, 1): multiples of 2**-24, the same on every backend.

    >>> uniform((7, 0), (2, 3)).shape
    (2, 3)
    """
    return _unit(words(key, math.prod(shape))).reshape(shape).astype(dtype)


def normal(key: tuple[int, int], shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
    """Draw from the normal distribution of mean 0 and deviation 1 (Box and Muller, 1958).

    >>> normal((7, 0), (2, 3)).dtype
    dtype('float32')
    """
    n = math.prod(shape)
    half = (n + 1) // 2
    w = words(key, 2 * half)
    radius = np.sqrt(-2.0 * np.log(_unit(w[:half]) + 2.0**-24))
    angle = _unit(w[half:]) * (2 * math.pi)
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:n].reshape(shape).astype(dtype)


def truncated_normal(key: tuple[int, int], shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
    """Draw from the normal distribution cut off at 2 deviations.

    >>> bool(abs(truncated_normal((7, 0), (1000,))).max() < 2)
    True
    """
    low = 0.5 * math.erfc(math.sqrt(2.0))
    unit = _unit(words(key, math.prod(shape))) + 2.0**-25
    return _normal_quantile(low + (1 - 2 * low) * unit).reshape(shape).astype(dtype)


def permutation(seed: int, epoch: int, n: int) -> np.ndarray:
    """Return the order of `n` samples in an epoch: a function of seed and epoch alone.

    >>> sorted(permutation(7, 0, 5).tolist())
    [0, 1, 2, 3, 4]
    """
    high, low = words((key_of(seed)[0], epoch), 2 * n).reshape(2, n).astype("uint64")
    return np.argsort(high << np.uint64(32) | low, kind="stable")


# Wichura, "Algorithm AS 241", Applied Statistics 37, 1988: ratios of polynomials, lowest power first.
_MIDDLE = (
    (3.3871328727963666080, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125,
     45921.953931549871457, 67265.770927008700853, 33430.575583588128105, 2509.0809287301226727),
    (1.0, 42.313330701600911252, 687.18700749205790830, 5394.1960214247511077, 21213.794301586595867,
     39307.895800092710610, 28729.085735721942674, 5226.4952788528545610),
)  # fmt: skip
_TAIL = (
    (1.42343711074968357734, 4.63033784615654529590, 5.76949722146069140550, 3.64784832476320460504,
     1.27045825245236838258, 0.241780725177450611770, 0.0227238449892691845833, 7.74545014278341407640e-4),
    (1.0, 2.05319162663775882187, 1.67638483018380384940, 0.689767334985100004550, 0.148103976427480074590,
     0.0151986665636164571966, 5.47593808499534494600e-4, 1.05075007164441684324e-9),
)  # fmt: skip


def _ratio(coefficients, x):
    above, below = (np.polynomial.polynomial.polyval(x, c) for c in coefficients)
    return above / below


def _normal_quantile(p: np.ndarray) -> np.ndarray:
    """Return the normal quantile of probabilities between 1e-11 and 1 - 1e-11, to 16 digits."""
    q = p - 0.5
    tail = np.sqrt(-np.log(np.minimum(p, 1 - p)))
    return np.where(
        np.abs(q) <= 0.425, q * _ratio(_MIDDLE, 0.180625 - q * q), np.sign(q) * _ratio(_TAIL, tail - 1.6)
    )
