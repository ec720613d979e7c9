"""One seed, one run: the same on every backend, checked against what was recorded on one of them."""

import hashlib

import numpy as np
import pytest

import multikeras as mk
from multikeras import backend, config, layers
from multikeras.random import host

RECORDED_WEIGHTS = "57130699f8a814cf"
RECORDED_LOSSES = [1.62489, 1.38797, 1.3676, 1.36079, 1.35679, 1.34181, 1.31785, 1.33269]


def convnet():
    return mk.Sequential(
        [
            mk.Input((12, 12, 1)),
            layers.Conv2D(8, 3, padding="same"),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(16, activation="relu"),
            layers.Dense(4, activation="softmax"),
        ]
    )


def data():
    x = host.normal((5, 0), (512, 12, 12, 1))
    y = (x[:, :6].mean((1, 2, 3)) > 0).astype("int32") + 2 * (x[:, :, :6].mean((1, 2, 3)) > 0).astype("int32")
    return x, y


def test_initial_weights_are_equal_bit_for_bit():
    mk.utils.set_random_seed(11)
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(w).tobytes() for w in convnet().get_weights()))
    assert digest.hexdigest()[:16] == RECORDED_WEIGHTS


def test_order_of_batches_is_a_function_of_seed_and_epoch():
    first, again, other = host.permutation(3, 0, 50), host.permutation(3, 0, 50), host.permutation(3, 1, 50)
    assert first.tolist() == again.tolist() != other.tolist()


@pytest.mark.skipif(not backend.current.supports_gradients, reason="this backend computes no gradients")
def test_128_steps_of_a_convnet_have_the_recorded_losses():
    before = config.random_mode()
    config.set_random("portable")
    try:
        mk.utils.set_random_seed(11)
        model = convnet()
        model.compile(mk.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
        losses = model.fit(*data(), batch_size=32, epochs=8, verbose=0).history["loss"]
    finally:
        config.set_random(before)
    np.testing.assert_allclose(losses, RECORDED_LOSSES, rtol=1e-3)
