"""Initializers have the distributions of Keras's, and one stream on every backend."""

import hashlib

import numpy as np
import pytest

from multikeras import initializers, ops

DRAWN = ["GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform", "RandomNormal", "RandomUniform",
         "TruncatedNormal", "Orthogonal", "VarianceScaling"]  # fmt: skip
CHECKSUMS = {
    "GlorotNormal": "9db33545e2f8b98a",
    "GlorotUniform": "ab27808a30473716",
    "HeNormal": "37a29afe3d8f9302",
    "HeUniform": "7343ac9b58ed460e",
    "LecunNormal": "a2d849b0fe51af6c",
    "LecunUniform": "58bbc997b7ee3381",
    "RandomUniform": "2fbccf620f73486c",
    "TruncatedNormal": "816076d77e099d80",
    "VarianceScaling": "a2d849b0fe51af6c",
}


def values(name, shape, seed=7, **arguments):
    return np.asarray(ops.convert_to_numpy(getattr(initializers, name)(seed=seed, **arguments)(shape)))


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize("shape", [(200, 300), (3, 3, 40, 50)])
def test_distribution(keras, name, shape):
    ours = values(name, shape)
    theirs = getattr(keras.initializers, name)(seed=7)(shape)
    theirs = np.asarray(theirs.detach() if hasattr(theirs, "detach") else theirs)
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    np.testing.assert_allclose(ours.std(), theirs.std(), rtol=0.03)
    np.testing.assert_allclose(ours.mean(), theirs.mean(), atol=theirs.std() / 20)
    np.testing.assert_allclose(np.abs(ours).max(), np.abs(theirs).max(), rtol=0.35)


@pytest.mark.parametrize("name", [n for n in DRAWN if n not in ("Orthogonal", "RandomNormal")])
def test_bits_are_the_same_on_every_backend(name):
    assert hashlib.sha256(values(name, (16, 8)).tobytes()).hexdigest()[:16] == CHECKSUMS[name]


@pytest.mark.parametrize("window", ["hann", "hamming", "blackman", "tukey", "bartlett", "parzen", "bohman", "nuttall", None])
@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("side", ["real", "imag"])
def test_stft(keras, window, periodic, side):
    ours = ops.convert_to_numpy(initializers.STFT(side, window, periodic=periodic)((8, 1, 5)))
    theirs = keras.initializers.STFT(side, window, periodic=periodic)((8, 1, 5))
    np.testing.assert_allclose(ours, np.asarray(theirs), atol=1e-5)


def test_seeds():
    fixed, fresh = initializers.RandomNormal(seed=3), initializers.RandomNormal()
    draws = [
        ops.convert_to_numpy(initializer((4,))).tolist()
        for initializer in (fixed, initializers.RandomNormal(seed=3), fresh, fresh, initializers.RandomNormal())
    ]
    assert draws[0] == draws[1]
    assert draws[2] == draws[3]
    assert draws[3] != draws[4]


@pytest.mark.parametrize("name", [*DRAWN, "Zeros", "Ones", "Constant", "STFT"])
def test_config_is_exchangeable(keras, name):
    ours = initializers.serialize(getattr(initializers, name)())
    assert keras.initializers.serialize(keras.initializers.deserialize(ours)) == ours
