"""The Keras 2 names of tf.keras: values worked out by hand or by numpy."""

import numpy as np
import pytest

from multikeras import ops
from multikeras.dropin.finder import served

K = served("backend")
image = served("preprocessing.image")
text = served("preprocessing.text")
sequence = served("preprocessing.sequence")
x = np.arange(6, dtype="float32").reshape(2, 3)


def value(found):
    return np.asarray(ops.convert_to_numpy(found))


@pytest.mark.parametrize(
    ("call", "wanted"),
    [
        (lambda: K.mean(x, axis=1), [1, 4]),
        (lambda: K.argmax(x), [2, 2]),
        (lambda: K.clip(x, 1, None), np.maximum(x, 1)),
        (lambda: K.relu(x - 3, alpha=0.5, max_value=1), [[-1.5, -1, -0.5], [0, 1, 1]]),
        (lambda: K.relu(x, threshold=2.0), [[0, 0, 0], [3, 4, 5]]),
        (lambda: K.hard_sigmoid(x - 3), [[0, 0.1, 0.3], [0.5, 0.7, 0.9]]),
        (lambda: K.dot(x, x.T), x @ x.T),
        (lambda: K.batch_dot(x, x, axes=1), (x * x).sum(1, keepdims=True)),
        (lambda: K.batch_dot(np.ones((2, 3, 4), "float32"), np.ones((2, 4, 5), "float32")), np.full((2, 3, 5), 4)),
        (lambda: K.batch_flatten(np.ones((2, 3, 4))), np.ones((2, 12))),
        (lambda: K.permute_dimensions(x, (1, 0)), x.T),
        (lambda: K.repeat(x, 2), np.stack([x, x], 1)),
        (lambda: K.repeat_elements(x, 2, 1), x.repeat(2, 1)),
        (lambda: K.reverse(x, 1), x[:, ::-1]),
        (lambda: K.gather(x, [1]), x[1:]),
        (lambda: K.switch(np.array([True, False]), x, -x), [[0, 1, 2], [-3, -4, -5]]),
        (lambda: K.l2_normalize(x[1:], 1), x[1:] / np.sqrt(50)),
        (lambda: K.bias_add(x, np.array([1, 2, 3], "float32")), x + [1, 2, 3]),
        (lambda: K.foldl(lambda a, b: a - b, np.array([5.0, 1.0, 2.0], "float32")), 2),
        (lambda: K.foldr(lambda a, b: a - b, np.array([5.0, 1.0, 2.0], "float32")), -4),
        (lambda: K.map_fn(lambda row: row * 2, x), x * 2),
        (lambda: K.temporal_padding(np.ones((1, 2, 1))), [[[0], [1], [1], [0]]]),
        (lambda: K.pool2d(np.arange(16, dtype="float32").reshape(1, 4, 4, 1), (2, 2), (2, 2))[0, :, :, 0], [[5, 7], [13, 15]]),
        (lambda: K.conv1d(np.ones((1, 3, 1), "float32"), np.ones((2, 1, 1), "float32"), padding="causal"), [[[1], [2], [2]]]),
        (lambda: K.categorical_crossentropy(np.eye(3, dtype="float32"), np.full((3, 3), 1 / 3, "float32")), [np.log(3)] * 3),
    ],
)  # fmt: skip
def test_backend_function(call, wanted):
    np.testing.assert_allclose(value(call()), wanted, rtol=1e-5, atol=1e-6)


def test_backend_variables():
    v = K.variable(2.0)
    K.update_add(v, 1.0)
    assert K.get_value(v) == 3
    K.set_value(v, 7)
    assert K.eval(v) == 7
    assert (K.int_shape(x), K.ndim(x), K.count_params(x), K.dtype(x)) == ((2, 3), 2, 6, "float32")


def test_recurrence_keeps_states_where_masked():
    def step(inputs, states):
        return states[0] + inputs, [states[0] + inputs]

    inputs, mask = np.ones((2, 3, 1), "float32"), np.array([[True, True, True], [True, False, True]])
    last, outputs, (state,) = K.rnn(step, inputs, [np.zeros((2, 1), "float32")], mask=mask)
    assert value(outputs)[..., 0].tolist() == [[1, 2, 3], [1, 1, 2]]
    assert value(last).tolist() == value(state).tolist() == [[3], [2]]


def test_reduction_and_short_loss_names():
    losses = served("losses")
    assert losses.Reduction.SUM in losses.Reduction.all()
    assert losses.MSE is losses.mean_squared_error
    with pytest.raises(ValueError, match="reduction"):
        losses.Reduction.validate("mean")


def test_legacy_optimizer_takes_lr_and_decay():
    legacy = served("optimizers.legacy")
    assert float(legacy.SGD(lr=0.5, momentum=0.9).learning_rate.numpy()) == 0.5
    assert type(legacy.Adam(0.1, decay=0.01)).__mro__[1].__name__ == "Adam"


# -- texts and sequences -----------------------------------------------------------------------------------------------


def test_tokenizer():
    tokenizer = text.Tokenizer(num_words=5, oov_token="?")
    tokenizer.fit_on_texts(["The cat sat.", "the dog sat on the mat"])
    assert tokenizer.word_index == {"?": 1, "the": 2, "sat": 3, "cat": 4, "dog": 5, "on": 6, "mat": 7}
    assert tokenizer.texts_to_sequences(["the dog sat", "cat"]) == [[2, 1, 3], [4]]
    assert tokenizer.sequences_to_texts([[2, 4]]) == ["the cat"]
    assert tokenizer.texts_to_matrix(["the the cat"], "count").tolist() == [[0, 0, 2, 0, 1]]
    again = text.tokenizer_from_json(tokenizer.to_json())
    assert again.texts_to_sequences(["the dog sat"]) == [[2, 1, 3]]


def test_timeseries_generator():
    windows = sequence.TimeseriesGenerator(np.arange(10), np.arange(10) * 2, length=4, sampling_rate=2, stride=3, batch_size=2)
    assert len(windows) == 1
    inputs, targets = windows[0]
    assert inputs.tolist() == [[0, 2], [3, 5]]
    assert targets.tolist() == [8, 14]


def test_skipgrams_pair_neighbours():
    couples, labels = sequence.skipgrams([1, 2, 3], 4, window_size=1, negative_samples=0, shuffle=False)
    assert couples == [[1, 2], [2, 1], [2, 3], [3, 2]]
    assert labels == [1] * 4
    couples, labels = sequence.skipgrams([1, 2, 3], 4, negative_samples=1.0, seed=0)
    assert sum(labels) * 2 == len(labels) == len(couples)


# -- images ------------------------------------------------------------------------------------------------------------


def axes():
    return {"row_axis": 0, "col_axis": 1, "channel_axis": 2}


def test_affine_transforms():
    picture = np.random.default_rng(0).random((5, 5, 1)).astype("float32")
    turned = image.apply_affine_transform(picture, theta=90, **axes())
    np.testing.assert_allclose(turned, np.rot90(picture, 1), atol=1e-5)
    shifted = image.apply_affine_transform(picture, tx=2, fill_mode="constant", cval=-1, **axes())
    np.testing.assert_allclose(shifted[:, :3], picture[:, 2:], atol=1e-5)
    assert (shifted[:, 3:] == -1).all()
    around = image.apply_affine_transform(picture, tx=1, fill_mode="wrap", order=0, **axes())
    np.testing.assert_array_equal(around, np.roll(picture, -1, 1))


def test_height_shifts_go_up_and_down():
    picture = np.zeros((6, 8, 1), "float32")
    picture[2, 3] = 1
    generator = image.ImageDataGenerator(height_shift_range=[2], fill_mode="constant")
    assert np.argwhere(generator.random_transform(picture))[0].tolist() in ([0, 3, 0], [4, 3, 0])


def test_generator_standardizes_and_batches():
    pictures = np.random.default_rng(0).random((10, 4, 4, 3)).astype("float32")
    generator = image.ImageDataGenerator(featurewise_center=True, featurewise_std_normalization=True, validation_split=0.2)
    generator.fit(pictures)
    batches = generator.flow(pictures, np.arange(10) % 2, batch_size=3, subset="training", seed=1)
    assert (len(batches), batches.n) == (3, 8)
    assert [len(batches[i][0]) for i in range(3)] == [3, 3, 2]
    standard = np.stack([generator.standardize(p) for p in pictures])
    np.testing.assert_allclose(standard.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(standard.std((0, 1, 2)), 1, atol=1e-3)
    with pytest.raises(ValueError, match="Call fit"):
        image.ImageDataGenerator(featurewise_center=True).standardize(pictures[0])


def test_whitening_makes_pixels_uncorrelated():
    pictures = np.random.default_rng(0).normal(size=(200, 2, 2, 1)).cumsum(1)
    generator = image.ImageDataGenerator(zca_whitening=True)
    generator.fit(pictures)
    flat = np.stack([generator.standardize(p) for p in pictures]).reshape(200, -1)
    np.testing.assert_allclose(flat.T @ flat / 200, np.eye(4), atol=0.05)


def test_images_of_a_folder(tmp_path):
    pytest.importorskip("PIL")
    for i, name in enumerate(["cat", "dog"]):
        (tmp_path / name).mkdir()
        for j in range(3):
            image.save_img(tmp_path / name / f"{j}.png", np.full((6, 6, 3), 100 * i + j), scale=False)
    batches = image.ImageDataGenerator(rescale=1 / 255).flow_from_directory(
        tmp_path, target_size=(4, 4), batch_size=4, class_mode="binary", shuffle=False
    )
    pictures, labels = batches[0]
    assert batches.class_indices == {"cat": 0, "dog": 1}
    assert pictures.shape == (4, 4, 4, 3)
    assert labels.tolist() == [0, 0, 0, 1]
    assert pictures[3].max() == pytest.approx(100 / 255)
