"""SpecBackend tells the shape and dtype that numpy computes, without computing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import multikeras.ops  # noqa: F401 (installs the composites)
from multikeras.backend.shapes import Spec
from multikeras.backend.spec_backend import SpecBackend

SPEC = SpecBackend()
SMALL = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)


def agrees(found, array):
    assert found.shape == np.shape(array)


@given(SMALL, SMALL)
def test_arithmetic(a, b):
    try:
        expected = np.broadcast_shapes(a, b)
    except ValueError:
        with pytest.raises(ValueError, match="do not broadcast"):
            SPEC.add(Spec(a), Spec(b))
    else:
        assert SPEC.add(Spec(a), Spec(b)).shape == expected
        assert SPEC.less(Spec(a), Spec(b)).dtype == "bool"


@given(SMALL, st.data())
def test_moves(shape, data):
    x = np.zeros(shape)
    axes = data.draw(st.permutations(range(len(shape))))
    axis = data.draw(st.integers(0, len(shape) - 1))
    agrees(SPEC.transpose(Spec(shape), axes), x.transpose(axes))
    agrees(SPEC.flip(Spec(shape), (axis,)), np.flip(x, axis))
    agrees(SPEC.expand_dims(Spec(shape), axis), np.expand_dims(x, axis))
    agrees(SPEC.concatenate([Spec(shape)] * 3, axis), np.concatenate([x] * 3, axis))
    agrees(SPEC.cumsum(Spec(shape), axis), np.cumsum(x, axis))
    widths = data.draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=len(shape), max_size=len(shape)))
    agrees(SPEC.pad(Spec(shape), widths), np.pad(x, widths))


@given(SMALL, st.integers(1, 4), st.integers(1, 4))
def test_matmul(batch, rows, columns):
    x, y = (*batch, rows, 3), (3, columns)
    agrees(SPEC.matmul(Spec(x), Spec(y)), np.zeros(x) @ np.zeros(y))
    with pytest.raises(ValueError, match="matmul"):
        SPEC.matmul(Spec((*batch, rows, 3)), Spec((4, columns)))


@given(SMALL, st.data())
def test_take(shape, data):
    axis = data.draw(st.integers(0, len(shape) - 1))
    picked = data.draw(SMALL)
    found = SPEC.take(Spec(shape), Spec(picked, "int32"), axis)
    agrees(found, np.take(np.zeros(shape), np.zeros(picked, int), axis))


def test_an_unknown_batch_stays_unknown():
    x = Spec((None, 3))
    assert SPEC.matmul(x, Spec((3, 5))).shape == (None, 5)
    assert SPEC.sum(x, 1).shape == (None,)
    assert SPEC.concatenate([x, Spec((2, 3))], 0).shape == (None, 3)
    assert SPEC.einsum("ij,jk->ik", x, Spec((3, 2))).shape == (None, 2)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_convolution_is_one_rule_for_every_rank(rank, data_format):
    def image(channels, size):
        spatial = (size,) * rank
        return (2, *spatial, channels) if data_format == "channels_last" else (2, channels, *spatial)

    kernel = Spec((*(3,) * rank, 4, 6))
    ones = (1,) * rank
    same = SPEC.conv(Spec(image(4, 8)), kernel, (2,) * rank, "same", ones, 1, data_format)
    valid = SPEC.conv(Spec(image(4, 8)), kernel, ones, "valid", ones, 1, data_format)
    assert same.shape == image(6, 4)
    assert valid.shape == image(6, 6)


def test_errors_name_the_primitive_and_the_shapes():
    with pytest.raises(ValueError, match=r"concatenate.*"):
        SPEC.concatenate([Spec((2, 3)), Spec((2, 4))], 0)
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(4, 3\)"):
        SPEC.add(Spec((2, 3)), Spec((4, 3)))


def test_composites_run_on_specs():
    x = Spec((None, 5))
    assert SPEC.softmax(x).shape == (None, 5)
    assert SPEC.logsumexp(x, -1).shape == (None,)
    assert SPEC.one_hot(Spec((None,), "int32"), 7).shape == (None, 7)
