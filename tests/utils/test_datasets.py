"""Data sets of files and series, and data cut in two."""

import wave

import numpy as np
import pytest

from multikeras import preprocessing, utils
from multikeras.utils.dataset import Dataset


def numpy_of(element):
    return [np.asarray(x) for x in (element if isinstance(element, tuple) else (element,))]


@pytest.fixture
def pictures(tmp_path):
    image = pytest.importorskip("PIL.Image")
    for label, name in enumerate(("cats", "dogs")):
        (tmp_path / name / "more").mkdir(parents=True)
        for i in range(5):
            shade = np.full((8 + i, 12, 3), 100 * label + i, "uint8")
            image.fromarray(shade).save(tmp_path / name / ("more" if i % 2 else ".") / f"{i}.png")
    (tmp_path / "cats" / "notes.txt").write_text("no picture")
    return tmp_path


def test_images_of_a_directory_with_their_labels(pictures, capsys):
    data = utils.image_dataset_from_directory(pictures, batch_size=4, image_size=(6, 6), seed=1)
    assert "Found 10 files belonging to 2 classes." in capsys.readouterr().out
    assert data.class_names == ["cats", "dogs"]
    assert len(data) == 3
    rows = 0
    for element in data:
        x, y = numpy_of(element)
        assert x.shape[1:] == (6, 6, 3)
        assert (x.dtype, y.dtype) == ("float32", "int32")
        np.testing.assert_array_equal(x[:, 3, 3, 0] >= 100, y == 1)  # each picture kept its label
        rows += len(x)
    assert rows == 10


def test_parts_of_a_directory_do_not_overlap(pictures):
    options = {"batch_size": None, "image_size": (4, 4), "seed": 3, "validation_split": 0.3, "verbose": False}
    train, validation = utils.image_dataset_from_directory(pictures, subset="both", **options)
    assert (len(train), len(validation)) == (7, 3)
    assert not set(train.file_paths) & set(validation.file_paths)
    again = utils.image_dataset_from_directory(pictures, subset="validation", **options)
    assert again.file_paths == validation.file_paths


@pytest.mark.parametrize(("mode", "shape"), [("categorical", (2,)), ("binary", (1,)), ("int", ())])
def test_labels_in_every_mode(pictures, mode, shape):
    data = preprocessing.image_dataset_from_directory(pictures, label_mode=mode, image_size=(4, 4), verbose=False)
    x, y = numpy_of(next(iter(data)))
    assert y.shape == (len(x), *shape)


@pytest.mark.parametrize("options", [{"crop_to_aspect_ratio": True}, {"pad_to_aspect_ratio": True}, {"interpolation": "nearest"},
                                     {"interpolation": "bicubic"}, {"color_mode": "grayscale"}])  # fmt: skip
def test_sizes_are_changed_as_asked(pictures, options):
    data = utils.image_dataset_from_directory(pictures, labels=None, image_size=(5, 7), shuffle=False, verbose=False, **options)
    (x,) = numpy_of(next(iter(data)))
    assert x.shape == (10, 5, 7, 1 if "color_mode" in options else 3)
    if "pad_to_aspect_ratio" not in options:
        np.testing.assert_allclose(x[0], 0, atol=1e-3)
        np.testing.assert_allclose(x[-1], x[-1].flat[0], atol=1e-3)  # one shade stays one shade


def test_texts_and_sounds(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(2):
            (tmp_path / name / f"{i}.txt").write_text(f"{name} {i}")
            with wave.open(str(tmp_path / name / f"{i}.wav"), "wb") as file:
                file.setparams((1, 2, 8000, 0, "NONE", ""))
                file.writeframes(np.full(10 + i, 16384, "<i2").tobytes())
    texts = utils.text_dataset_from_directory(tmp_path, batch_size=4, shuffle=False, verbose=False)
    x, y = numpy_of(next(iter(texts)))
    assert [t.decode() if isinstance(t, bytes) else t for t in x.tolist()] == ["a 0", "a 1", "b 0", "b 1"]
    assert y.tolist() == [0, 0, 1, 1]
    sounds = utils.audio_dataset_from_directory(tmp_path, batch_size=4, shuffle=False, verbose=False)
    x, _ = numpy_of(next(iter(sounds)))
    assert x.shape == (4, 11, 1)
    assert x[1].tolist() == [[0.5]] * 11
    assert x[0, -1, 0] == 0


WRONG = {
    "labels": ({"labels": "other"}, "`labels` argument should be"),
    "mode": ({"label_mode": "other"}, "`label_mode` argument must be"),
    "names": ({"class_names": ["x", "y"]}, "`class_names` passed did not match"),
    "length": ({"labels": [0, 1]}, "match the number of files"),
    "split": ({"validation_split": 2, "subset": "training"}, "`validation_split` must be between 0 and 1"),
    "subset": ({"validation_split": 0.2, "subset": "other"}, "`subset` must be either"),
    "no split": ({"subset": "training"}, "`validation_split` must be set"),
    "seed": ({"validation_split": 0.2, "subset": "training"}, "must provide a `seed`"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_named(pictures, case):
    options, words = WRONG[case]
    with pytest.raises(ValueError, match=words):
        utils.image_dataset_from_directory(pictures, verbose=False, **options)


def test_windows_of_a_series_and_their_targets():
    series = np.arange(30.0)
    data = utils.timeseries_dataset_from_array(
        series, series * 10, 4, sampling_rate=2, sequence_stride=3, start_index=2, end_index=28, batch_size=3
    )
    begins = []
    for element in data:
        x, y = numpy_of(element)
        for row, target in zip(x, y):
            assert row.tolist() == [row[0] + 2 * i for i in range(4)]
            assert target == 10 * row[0]
            begins.append(row[0])
    assert begins == list(range(2, 22, 3))


def test_a_set_cut_in_two_has_all_its_elements():
    x, y = np.arange(20), np.arange(20) * 2
    left, right = utils.split_dataset((x, y), left_size=0.75, shuffle=True, seed=1)
    elements = [tuple(int(v) for v in numpy_of(e)) for part in (left, right) for e in part]
    assert (len(left), len(right)) == (15, 5)
    assert elements != sorted(elements)
    assert sorted(elements) == list(zip(x.tolist(), y.tolist()))


@pytest.mark.parametrize("sizes", [{}, {"left_size": 2.0}, {"left_size": 30}, {"left_size": 0.7, "right_size": 0.7}])
def test_sizes_that_cannot_be_are_refused(sizes):
    with pytest.raises(ValueError, match="size"):
        utils.split_dataset(np.arange(10), **sizes)


def test_a_dataset_does_what_its_methods_say():
    data = Dataset.from_tensor_slices(np.arange(10))
    assert [int(x) for x in data.filter(lambda x: x % 2).map(lambda x: x * x, 3)] == [1, 9, 25, 49, 81]
    assert [len(b) for b in data.batch(4)] == [4, 4, 2]
    assert len(data.batch(4, drop_remainder=True)) == len(list(data.batch(4, drop_remainder=True))) == 2
    assert [int(x) for x in data.batch(3).unbatch()] == list(range(10))
    assert len(data.repeat(3)) == len(list(data.repeat(3))) == 30
    assert [int(x) for x in data.skip(7).concatenate(data.take(2))] == [7, 8, 9, 0, 1]
    shuffled = data.shuffle(10, seed=4)
    first, second = ([int(x) for x in shuffled] for _ in range(2))
    assert first != second
    assert sorted(first) == sorted(second) == list(range(10))
    made = []
    cached = data.map(lambda x: made.append(int(x)) or x).cache()
    assert len(list(cached)) == len(list(cached)) == len(made) == 10
