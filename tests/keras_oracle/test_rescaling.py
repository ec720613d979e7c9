"""Rescaling gives the numbers, dtypes and configs of Keras's."""

import numpy as np
import pytest

import multikeras as mk
from multikeras import layers, ops

X = np.random.default_rng(0).uniform(0, 255, (2, 4, 5, 3))
CASES = [
    ({"scale": 1 / 255}, X),
    ({"scale": 2, "offset": 1}, X.astype("uint8")),
    ({"scale": [1.0, 2.0, 3.0], "offset": [0.0, 1.0, 2.0]}, X.astype("float32")),
    ({"scale": np.array([1.0, 2.0, 3.0]), "offset": -1}, X[0, 0].astype("int16")),
    ({"scale": np.float32(2), "dtype": "mixed_float16"}, X),
    ({"scale": 0.5, "dtype": "bfloat16"}, X[0, 0, 0].astype("bool")),
    ({"scale": 0.5, "offset": np.array(0.5)}, [1, 2, 3]),
    ({"scale": 0.5}, 3),
]


@pytest.mark.parametrize("case", range(len(CASES)))
def test_it_is_what_keras_gives(case, keras):
    options, x = CASES[case]
    ours, theirs = layers.Rescaling(name="layer", **options), keras.layers.Rescaling(name="layer", **options)
    assert repr(ours.get_config()) == repr(theirs.get_config())
    expected = theirs(x)
    for layer in (ours, layers.Rescaling.from_config(ours.get_config())):
        y = layer(x)
        assert ops.dtype(y) == keras.ops.dtype(expected)
        y, z = (np.asarray(f(v), "float64") for f, v in ((mk.ops.convert_to_numpy, y), (keras.ops.convert_to_numpy, expected)))
        np.testing.assert_allclose(y, z, rtol=1e-6)
    assert ours.built
    assert not ours.weights


def test_channels_may_come_first(monkeypatch):
    monkeypatch.setattr("multikeras.config.image_data_format", lambda: "channels_first")
    y = layers.Rescaling([1.0, 2.0, 3.0], [0.0, 0.0, 1.0])(np.ones((2, 3, 4, 5), "float32"))
    assert ops.convert_to_numpy(y)[0, :, 0, 0].tolist() == [1.0, 2.0, 4.0]


def test_what_is_no_number_is_refused():
    with pytest.raises(TypeError, match="scale must be a number or several, got scale='a'"):
        layers.Rescaling("a")


def test_in_a_model_and_in_a_pipeline():
    x = mk.Input((4,), dtype="uint8")
    model = mk.Model(x, layers.Rescaling(0.5, 1)(x))
    assert model.predict(np.full((2, 4), 4, "uint8"), verbose=0).tolist() == [[3.0] * 4] * 2
    tf = pytest.importorskip("tensorflow")
    batch = next(iter(tf.data.Dataset.from_tensor_slices(X).batch(2).map(layers.Rescaling(0.5))))
    np.testing.assert_allclose(batch.numpy(), X / 2, rtol=1e-6)
