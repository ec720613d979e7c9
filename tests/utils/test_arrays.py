"""One-hot rows, unit vectors, padded sequences, batches taken apart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from multikeras import KerasTensor, ops, utils


@given(hnp.arrays("int64", hnp.array_shapes(max_dims=3), elements=st.integers(0, 6)))
def test_to_categorical_has_one_one_a_row(x):
    found = utils.to_categorical(x, 7)
    wanted = x[..., 0] if x.ndim > 1 and x.shape[-1] == 1 else x
    assert found.shape == (*wanted.shape, 7)
    assert (found.sum(-1) == 1).all()
    assert (found.argmax(-1) == wanted).all()


def test_to_categorical_of_a_tensor_is_a_tensor():
    found = utils.to_categorical(ops.convert_to_tensor([0, 2]))
    assert ops.is_tensor(found)
    assert ops.convert_to_numpy(found).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert utils.to_categorical(KerasTensor((None,), "int32"), 4).shape == (None, 4)


def test_to_categorical_refuses_classes_that_do_not_fit():
    with pytest.raises(IndexError, match="num_classes=3"):
        utils.to_categorical([0, 5], 3)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_normalize_gives_unit_norm(order):
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    for found in (utils.normalize(x, order=order), ops.convert_to_numpy(utils.normalize(ops.convert_to_tensor(x), order=order))):
        np.testing.assert_allclose(np.linalg.norm(found, order, axis=-1), 1, rtol=1e-5)
    assert not utils.normalize(np.zeros((2, 2))).any()


@given(
    st.lists(st.lists(st.integers(1, 99), max_size=6), min_size=1, max_size=5), st.integers(1, 8),
    st.sampled_from(["pre", "post"]), st.sampled_from(["pre", "post"]),
)  # fmt: skip
def test_pad_sequences_keeps_the_right_end(rows, maxlen, padding, truncating):
    found = utils.pad_sequences(rows, maxlen, padding=padding, truncating=truncating)
    assert found.shape == (len(rows), maxlen)
    assert found.dtype == "int32"
    for row, out in zip(rows, found.tolist()):
        kept = row[-maxlen:] if truncating == "pre" else row[:maxlen]
        zeros = [0] * (maxlen - len(kept))
        assert out == (zeros + kept if padding == "pre" else kept + zeros)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"sequences": 5}, "list of sequences"),
        ({"sequences": [1, 2]}, "every entry"),
        ({"sequences": [[1]], "padding": "left"}, "padding"),
        ({"sequences": [[1]], "truncating": "left"}, "truncating"),
        ({"sequences": [["a"]], "value": "pad"}, "dtype"),
        ({"sequences": [[[1, 2]], [[1]]]}, "sequence 1"),
    ],
)
def test_pad_sequences_names_what_is_wrong(arguments, match):
    with pytest.raises(ValueError, match=match):
        utils.pad_sequences(**arguments)


def test_batches_are_packed_and_unpacked():
    assert utils.pack_x_y_sample_weight(1) == 1
    assert utils.pack_x_y_sample_weight([1]) == ([1],)
    assert utils.pack_x_y_sample_weight(1, 2, 3) == (1, 2, 3)
    assert utils.unpack_x_y_sample_weight([1, 2]) == (1, 2, None)
    assert utils.unpack_x_y_sample_weight({"a": 1}) == ({"a": 1}, None, None)
    with pytest.raises(ValueError, match="tuple of 4"):
        utils.unpack_x_y_sample_weight((1, 2, 3, 4))
