"""The arithmetic of shapes agrees with numpy where sizes are known, and leaves open only what is open."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from multikeras.backend import shapes
from multikeras.backend.shapes import UNKNOWN

SIZES = st.integers(0, 5)
SHAPES = st.lists(SIZES, max_size=4).map(tuple)


def numpy_or_none(f):
    try:
        return f()
    except (ValueError, IndexError):
        return None


def ours_or_none(f):
    try:
        return f()
    except ValueError:
        return None


def blanked(shape, which):
    """Return `shape` with None where `which` says so."""
    return tuple(None if w else d for d, w in zip(shape, which))


@given(st.lists(SHAPES, min_size=1, max_size=3))
def test_broadcast_is_numpys(several):
    expected = numpy_or_none(lambda: np.broadcast_shapes(*several))
    assert ours_or_none(lambda: shapes.broadcast(*several)) == expected


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple), st.data())
def test_broadcast_with_unknown_sizes_allows_what_can_be(shape, data):
    ones = data.draw(st.lists(st.booleans(), min_size=len(shape), max_size=len(shape)))
    other = tuple(1 if one else d for d, one in zip(shape, ones))
    unknown = data.draw(st.lists(st.booleans(), min_size=len(shape), max_size=len(shape)))
    found = shapes.broadcast(blanked(shape, unknown), other)
    actual = np.broadcast_shapes(shape, other)
    assert all(f is None or f == d for f, d in zip(found, actual, strict=True))


@given(SHAPES, st.data())
def test_reduced_is_numpys(shape, data):
    axes = st.integers(-len(shape), len(shape) - 1) if shape else st.nothing()
    axis = data.draw(st.one_of(st.none(), axes, st.lists(axes, unique_by=lambda a: a % len(shape)).map(tuple)))
    keepdims = data.draw(st.booleans())
    assert shapes.reduced(shape, axis, keepdims) == np.sum(np.zeros(shape), axis=axis, keepdims=keepdims).shape


@given(SHAPES, st.lists(st.integers(-1, 6), max_size=3).filter(lambda t: t.count(-1) <= 1).map(tuple))
def test_reshaped_is_numpys(shape, target):
    expected = numpy_or_none(lambda: np.zeros(shape).reshape(target).shape)
    found = ours_or_none(lambda: shapes.reshaped(shape, target))
    if expected is None and 0 in shape and 0 in target:
        return  # numpy will not say what 0 / 0 is
    assert found == expected


def test_reshaped_keeps_an_unknown_batch_apart():
    assert shapes.reshaped((None, 4, 3), (-1, 12)) == (None, 12)
    assert shapes.reshaped((None, 4, 3), (None, -1)) == (None, 12)
    assert shapes.reshaped((None, 4), (2, -1)) == (2, None)


@given(size=st.integers(1, 20), window=st.integers(1, 6), stride=st.integers(1, 4), dilation=st.integers(1, 3),
       pads=st.one_of(st.just("valid"), st.tuples(st.integers(0, 3), st.integers(0, 3))))  # fmt: skip
def test_window_size_counts_windows(size, window, stride, dilation, pads):
    low, high = (0, 0) if pads == "valid" else pads
    reach = (window - 1) * dilation + 1
    windows = len(range(0, size + low + high - reach + 1, stride))
    assert shapes.window_size(size, window, stride, pads, dilation) == windows


@given(size=st.integers(1, 20), window=st.integers(1, 6), stride=st.integers(1, 4), dilation=st.integers(1, 3))
def test_same_padding_gives_one_window_a_stride(size, window, stride, dilation):
    pads = shapes.same_padding(size, window, stride, dilation)
    assert 0 <= pads[1] - pads[0] <= 1
    given_pads = shapes.window_size(size, window, stride, pads, dilation)
    assert given_pads == shapes.window_size(size, window, stride, "same", dilation) == -(-size // stride)


@given(size=st.integers(1, 12), window=st.integers(1, 5), stride=st.integers(1, 4))
def test_a_transposed_window_undoes_a_window(size, window, stride):
    wide = shapes.transposed_size(size, window, stride, "valid", None)
    assert shapes.window_size(wide, window, stride, "valid") == size
    wide = shapes.transposed_size(size, window, stride, "same", None)
    assert shapes.window_size(wide, window, stride, "same") == size


KEYS = st.one_of(
    st.integers(-3, 2),
    st.none(),
    st.just(Ellipsis),
    st.builds(slice, *[st.one_of(st.none(), st.integers(-4, 4))] * 2, st.sampled_from([None, 1, 2, -1])),
)


@given(st.lists(st.integers(1, 4), max_size=4).map(tuple), st.lists(KEYS, max_size=4).map(tuple))
def test_indexed_is_numpys(shape, key):
    expected = numpy_or_none(lambda: np.zeros(shape)[key].shape)
    assert ours_or_none(lambda: shapes.indexed(shape, key)) == expected


@pytest.mark.parametrize("size", [None, UNKNOWN])
def test_unknown_sizes_stay_unknown(size):
    assert shapes.window_size(size, 3, 2, "same") is None
    assert shapes.transposed_size(size, 3, 2, "same", None) is None
    assert shapes.reduced((size, 3), 1) == (size,)


def test_arithmetic_absorbs_the_unknown():
    for result in (UNKNOWN + 1, 1 - UNKNOWN, UNKNOWN * 0, 7 // UNKNOWN, -UNKNOWN, UNKNOWN % 2):
        assert result is UNKNOWN
    assert UNKNOWN != -1
    assert not shapes.known(UNKNOWN)
