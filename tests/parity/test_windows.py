"""Convolutions and pooling over their whole grid: value, dtype and shape as on the numpy backend, shapes with None too."""

import itertools

import numpy as np
import pytest

from multikeras import backend, layers
from multikeras.backend import SPEC, current
from multikeras.backend.shapes import Spec
from multikeras.random import host

REFERENCE = backend.load("numpy")
SIZES = {1: (9,), 2: (8, 7), 3: (5, 6, 4)}
WINDOWS = {1: (3,), 2: (3, 2), 3: (2, 3, 2)}
FORMATS = ("channels_last", "channels_first")


def image(rank, channels, data_format, seed=1):
    sizes = (*SIZES[rank], channels) if data_format == "channels_last" else (channels, *SIZES[rank])
    return host.normal((seed, 0), (2, *sizes))


def agree(name, arrays, *arguments):
    """Compare a primitive with the numpy backend, and its shape with SpecBackend, sizes known and unknown."""
    got = current.to_numpy(getattr(current, name)(*map(current.asarray, arrays), *arguments))
    expected = np.asarray(getattr(REFERENCE, name)(*arrays, *arguments))
    assert got.dtype == expected.dtype == np.float32
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
    specs = [Spec(a.shape) for a in arrays]
    assert getattr(SPEC, name)(*specs, *arguments).shape == got.shape
    unknown = Spec((None, *(None if d > 3 else d for d in arrays[0].shape[1:])))
    inferred = getattr(SPEC, name)(unknown, *specs[1:], *arguments).shape
    assert len(inferred) == got.ndim
    assert all(a is None or a == b for a, b in zip(inferred, got.shape))


def paddings(rank):
    causal = tuple((w - 1, 0) for w in WINDOWS[rank])
    return ("valid", "same", causal)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_conv(rank, data_format):
    for strides, dilation, groups, padding in itertools.product((1, 2, 3), (1, 2), (1, 2, 4), paddings(rank)):
        kernel = host.normal((2, 0), (*WINDOWS[rank], 4 // groups, 8))
        agree("conv", [image(rank, 4, data_format), kernel], (strides,) * rank, padding, (dilation,) * rank, groups, data_format)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_conv_transpose(rank, data_format):
    kernel = host.normal((3, 0), (*WINDOWS[rank], 3, 4))
    for strides, dilation, padding, extra in itertools.product((1, 2, 3), (1, 2), ("valid", "same"), (None, 0)):
        if strides > 1 and dilation > 1:
            continue  # no framework has both
        arguments = (strides,) * rank, padding, (extra,) * rank, (dilation,) * rank, data_format
        agree("conv_transpose", [image(rank, 4, data_format), kernel], *arguments)


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("name", ["max_pool", "average_pool"])
def test_pool(name, rank, data_format):
    for strides, padding in itertools.product((1, 2, 3), ("valid", "same")):
        agree(name, [image(rank, 3, data_format)], WINDOWS[rank], (strides,) * rank, padding, data_format)


def test_causal_convolution_does_not_look_ahead():
    layer = layers.Conv1D(2, 3, padding="causal", dilation_rate=2)
    x = host.normal((4, 0), (1, 9, 3))
    before = current.to_numpy(layer(x))
    x[:, 5:] += 1
    after = current.to_numpy(layer(x))
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert abs(before[:, 5:] - after[:, 5:]).max() > 0


@pytest.mark.skipif(current.name == REFERENCE.name, reason="the reference would be wrong alike")
def test_the_comparison_fails_on_a_wrong_primitive(monkeypatch):
    right = current.average_pool
    monkeypatch.setattr(type(current), "average_pool", lambda self, *a: right(*a) * 1.01)
    with pytest.raises(AssertionError):
        agree("average_pool", [image(1, 3, "channels_last")], (3,), (1,), "valid", "channels_last")
