"""The portable stream: published vectors, and the same bits from numpy and from tensors."""

import numpy as np
import pytest

from multikeras.backend import current
from multikeras.random import host, threefry

# Known answers of Threefry-2x32 with 20 rounds, from Random123 (kat_vectors): counter, key, result.
VECTORS = [
    ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]


def key(*words):
    return current.asarray(np.array(words, "int64" if current.key_dtype == "int64" else "uint32"), current.key_dtype)


@pytest.mark.parametrize(("counter", "words", "expected"), VECTORS)
def test_published_vectors(counter, words, expected):
    blocks = [np.array([c], "uint32") for c in counter]
    assert tuple(int(w[0]) for w in host.threefry2x32(*words, *blocks)) == expected
    on_tensors = threefry.threefry2x32(current, key(*words), *(key(c) for c in counter))
    assert tuple(int(current.to_numpy(w)[0]) for w in on_tensors) == expected


@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3, 4), (40000,), (0,)])
@pytest.mark.parametrize("stream", [0, 3])
def test_words_of_host_and_backend_are_equal(shape, stream):
    ours = host.words((7, 9), int(np.prod(shape)), stream).reshape(shape)
    theirs = current.to_numpy(threefry.words(current, key(7, 9), shape, stream))
    np.testing.assert_array_equal(ours, theirs.astype("uint32"))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_uniform_is_exact_and_below_one(dtype):
    u = current.to_numpy(threefry.uniform(current, key(1, 2), (5000,), dtype)).astype("float64")
    assert 0 <= u.min()
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < 0.02
    np.testing.assert_array_equal(u * 2.0 ** host.BITS[dtype] % 1, 0)


def test_uniform_of_host_and_backend_are_equal_bit_for_bit():
    theirs = current.to_numpy(threefry.uniform(current, key(5, 0), (100, 7)))
    np.testing.assert_array_equal(host.uniform((5, 0), (100, 7)), theirs)


def test_normal_of_host_and_backend_agree_to_rounding():
    theirs = current.to_numpy(threefry.normal(current, key(5, 0), (1001,)))
    np.testing.assert_allclose(host.normal((5, 0), (1001,)), theirs, rtol=3e-6, atol=2e-6)


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 - 1])
def test_small_seeds_are_keys_as_they_are(seed):
    assert host.key_of(seed) == (seed, 0)


def test_large_and_negative_seeds_have_keys_of_their_own():
    seeds = [0, 1, -1, -2, 2**32, 2**32 + 1, 2**33, 2**64, 2**64 + 1, 2**100]
    assert len({host.key_of(s) for s in seeds}) == len(seeds)


def test_first_bits_do_not_change():
    assert [hex(w) for w in host.words((42, 0), 4)] == FIRST_WORDS
    assert host.permutation(42, 0, 8).tolist() == FIRST_ORDER


FIRST_WORDS = ["0xde79f4b9", "0x268fd86c", "0x4f6cc618", "0xfe251627"]
FIRST_ORDER = [1, 3, 5, 2, 7, 4, 0, 6]
