"""The ops of the numpy family agree on every backend, with and without data, for many shapes and dtypes."""

import numpy as np
import pytest
from helpers_parity import assert_backends_agree
from hypothesis import given, settings
from hypothesis import strategies as st

from multikeras import ops
from multikeras.backend import current

SHAPES = st.sampled_from([(), (1,), (4,), (2, 3), (3, 1), (2, 3, 4)])
DTYPES = st.sampled_from(["float32", "float16", "int32", "int8", "uint8", "bool", "float64"])
FEW = settings(max_examples=12, deadline=None, derandomize=True)


@st.composite
def arrays(draw, shapes=SHAPES, dtypes=DTYPES):
    """Draw an array of numbers that functions are tame at: between -2 and 2, integers 0 to 5."""
    shape, dtype, seed = draw(shapes), draw(dtypes), draw(st.integers(0, 9999))
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, shape) if "float" in dtype else rng.integers(0, 2 if dtype == "bool" else 6, shape)
    return np.asarray(x, dtype)


FLOATING = arrays(dtypes=st.sampled_from(["float32", "float64"]))
MATRICES = arrays(shapes=st.sampled_from([(2, 3), (3, 3), (2, 4, 3)]))

UNARY = """abs ceil copy cbrt conj cos cosh deg2rad exp exp2 expm1 fabs floor heaviside imag isfinite isinf isnan isneginf
isposinf isreal logical_not nan_to_num ones_like rad2deg ravel real round sign sin sinc sinh square tan tanh trunc
zeros_like arctan arcsinh i0 signbit angle""".split()

BINARY = """add multiply maximum minimum equal not_equal less less_equal greater greater_equal logical_and logical_or
logical_xor arctan2 hypot logaddexp logaddexp2 fmax fmin divide_no_nan copysign isclose heaviside outer kron append
""".split()

REDUCE = "sum prod max min mean var std any all ptp amax amin count_nonzero nansum nanmax nanmin nanmean nanvar".split()

MOVED = [
    (ops.reshape, ((-1,),), {}), (ops.transpose, (), {}), (ops.expand_dims, (1,), {}), (ops.flip, (), {}),
    (ops.tile, ((2, 1, 3),), {}), (ops.repeat, (2,), {"axis": 1}), (ops.repeat, (3,), {}), (ops.roll, (1,), {"axis": 0}),
    (ops.roll, (2,), {}), (ops.swapaxes, (0, 1), {}), (ops.moveaxis, (0, -1), {}), (ops.rot90, (), {"k": 3}),
    (ops.pad, (1,), {"constant_values": 1}), (ops.pad, (((0, 1), (1, 0)),), {"mode": "reflect"}),
    (ops.split, ([1],), {"axis": 1}), (ops.array_split, (2,), {"axis": 1}), (ops.hsplit, ([2],), {}), (ops.fliplr, (), {}),
    (ops.diagonal, (), {"offset": 1}), (ops.trace, (), {}), (ops.tril, (), {}), (ops.triu, (), {"k": 1}), (ops.diag, (), {}),
    (ops.diff, (), {"axis": 1}), (ops.cumsum, (), {"axis": 0}), (ops.cumprod, (), {}), (ops.sort, (), {"axis": 0}),
    (ops.argsort, (), {}), (ops.argmax, (), {"axis": 1}), (ops.argmin, (), {"keepdims": True}), (ops.median, (), {"axis": 0}),
    (ops.quantile, (0.3,), {"axis": 1, "keepdims": True}), (ops.size, (), {}), (ops.ndim, (), {}), (ops.view, ("uint8",), {}),
    (ops.corrcoef, (), {}), (ops.cov, (), {}), (ops.trapezoid, (), {}), (ops.average, (), {"axis": 0}),
    (ops.get_item, ((0, slice(None, None, 2)),), {}), (ops.nanmedian, (), {"axis": 1}), (ops.column_stack, (), {}),
]  # fmt: skip
"""Ops of one matrix with their other arguments."""


@pytest.mark.parametrize("name", UNARY)
@FEW
@given(data=st.data())
def test_unary(name, data):
    x = data.draw(FLOATING if name in ("sinc", "i0", "signbit", "angle", "copy") else arrays())
    if name != "heaviside":
        assert_backends_agree(getattr(ops, name), [x])


@pytest.mark.parametrize("name", BINARY)
@FEW
@given(data=st.data())
def test_binary(name, data):
    x, dtype = data.draw(arrays()), data.draw(DTYPES)
    y = np.asarray(data.draw(arrays(shapes=st.just(x.shape[-1:]))), dtype)
    assert_backends_agree(getattr(ops, name), [x, y])


@pytest.mark.parametrize("name", REDUCE)
@FEW
@given(x=arrays(), data=st.data())
def test_reductions(name, x, data):
    axis = data.draw(st.sampled_from([None, *range(-x.ndim, x.ndim)]))
    more = {} if name == "count_nonzero" else {"keepdims": data.draw(st.booleans())}
    if not (name == "ptp" and x.dtype == bool):
        assert_backends_agree(getattr(ops, name), [x], axis=axis, **more)


@pytest.mark.parametrize(("op", "args", "kwargs"), MOVED, ids=[f"{op.__name__}-{i}" for i, (op, _, _) in enumerate(MOVED)])
@settings(max_examples=6, deadline=None, derandomize=True)
@given(dtype=st.sampled_from(["float32", "int32"]), rows=st.integers(2, 4))
def test_one_matrix(op, args, kwargs, dtype, rows):
    x = np.random.default_rng(rows).permutation(rows * 3).reshape(rows, 3).astype(dtype)
    assert_backends_agree(op, [[x, x] if op is ops.column_stack else x, *args], **kwargs)


INDEX = st.sampled_from([np.array(1), np.array([0, -1]), np.array([[2, 1], [0, 0]]), np.array([7, -9])])


@FEW
@given(x=MATRICES, indices=INDEX, data=st.data())
def test_take_counts_from_the_end_and_stays_inside(x, indices, data):
    axis = data.draw(st.sampled_from([None, *range(-x.ndim, x.ndim)]))
    size = x.size if axis is None else x.shape[axis]
    expected = np.take(x, np.where(indices < 0, indices + size, indices), axis, mode="clip")
    assert_backends_agree(ops.take, [x, indices.astype("int32")], axis=axis)
    np.testing.assert_array_equal(current.to_numpy(ops.take(x, indices, axis)), expected)


KEYS = [
    0, -1, slice(1, None), (slice(None), 1), (Ellipsis, None, 0), (slice(None, None, -1), slice(0, 2)),
    np.array([0, 1]), (slice(None), np.array([[0, 2], [1, 1]])), (np.array([0, 1]), np.array([2, 0])),
    (np.array([1, 0]), slice(None, 2)),
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=range(len(KEYS)))
def test_get_item_indexes_as_numpy(key):
    x = np.arange(12.0, dtype="float32").reshape(4, 3)
    np.testing.assert_array_equal(current.to_numpy(ops.get_item(x, key)), x[key])


@FEW
@given(
    shapes=st.sampled_from([((3,), (3,)), ((2, 3), (3, 4)), ((2, 3), (3,)), ((5, 1, 2, 3), (4, 3, 2)), ((3,), (2, 3, 4))]),
    dtype=st.sampled_from(["float32", "int32", "int8", "float64"]),
)
def test_matmul(shapes, dtype):
    x, y = (np.random.default_rng(i).integers(-3, 4, s).astype(dtype) for i, s in enumerate(shapes))
    assert_backends_agree(ops.matmul, [x, y], unknown=False)
    assert_backends_agree(ops.dot, [x, y], unknown=False) if x.ndim < 3 else None


@pytest.mark.parametrize(
    ("subscripts", "shapes"),
    [
        ("ij,jk->ik", [(2, 3), (3, 4)]), ("ij,jk", [(2, 3), (3, 4)]), ("...ij,jk->...ik", [(5, 2, 3), (3, 4)]),
        ("ii->i", [(3, 3)]), ("ij->", [(2, 3)]), ("bij,bjk,bk->bi", [(2, 3, 4), (2, 4, 5), (2, 5)]), ("i,j", [(2,), (3,)]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_einsum(subscripts, shapes, dtype):
    xs = [np.random.default_rng(i).integers(-3, 4, s).astype(dtype) for i, s in enumerate(shapes)]
    assert_backends_agree(ops.einsum, [subscripts, *xs])
    expected = np.einsum(subscripts, *(x.astype("float64") for x in xs))
    np.testing.assert_allclose(current.to_numpy(ops.einsum(subscripts, *xs)), expected)


@pytest.mark.parametrize(
    ("op", "args"),
    [
        (ops.arange, (2, 9, 3)), (ops.arange, (5.0,)), (ops.linspace, (0, 1, 7)), (ops.linspace, (0, 5, 4, False)),
        (ops.logspace, (0, 2, 5)), (ops.geomspace, (1.0, 81.0, 5)), (ops.eye, (3, 4, 1)), (ops.tri, (3, 4, -1)),
        (ops.zeros, ((2, 3),)), (ops.ones, (3, "int32")), (ops.full, ((2, 2), 7, "uint8")), (ops.identity, (3,)),
        (ops.hanning, (6,)), (ops.hamming, (5,)), (ops.blackman, (7,)), (ops.bartlett, (4,)), (ops.kaiser, (6, 3.0)),
    ],
)  # fmt: skip
def test_creation(op, args):
    assert_backends_agree(op, args)


@FEW
@given(
    x=arrays(shapes=st.sampled_from([(6,), (2, 4)]), dtypes=st.sampled_from(["int32", "float32"])),
    axis=st.sampled_from([None, 0]),
)
def test_unique_rebuilds_its_input(x, axis):
    x = np.round(x)
    values, first, inverse, counts = map(current.to_numpy, ops.unique(x, True, True, True, True, axis))
    expected = np.unique(x, return_index=True, return_inverse=True, return_counts=True, axis=axis)
    np.testing.assert_array_equal(values, expected[0])
    np.testing.assert_array_equal(first, expected[1])
    np.testing.assert_array_equal(counts, expected[3])
    np.testing.assert_array_equal(np.take(values, inverse, axis or 0), x)


@pytest.mark.parametrize("op", [ops.segment_sum, ops.segment_prod, ops.segment_max, ops.segment_min])
@pytest.mark.parametrize(("shape", "segments", "expected"), [((0,), 3, (3,)), ((0, 2), None, (0, 2)), ((4, 0), None, (1, 0))])
def test_segments_of_nothing(op, shape, segments, expected):
    data, ids = np.zeros(shape, "float32"), np.zeros(shape[:1], "int32")
    assert tuple(op(data, ids, segments).shape) == expected
    assert_backends_agree(op, (data, ids, segments), unknown=False)
