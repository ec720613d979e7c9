"""Sparse tensors of the framework: what stays sparse, and that values are those of dense tensors."""

import numpy as np
import pytest
from helpers import sparse

from multikeras import KerasTensor, ops
from multikeras.backend import current

pytestmark = pytest.mark.skipif(not current.supports_sparse, reason="this backend has no sparse tensors")

X = np.array([[1.0, 0.0, -0.7], [0.0, 0.0, 0.25], [0.0, 2.0, 0.0]], "float32")
Y = np.array([[0.0, 0.0, 3.0], [4.0, 0.0, 0.5], [0.0, 0.0, 0.0]], "float32")


def check(op, *args, stays=True, **kwargs):
    found = op(*[sparse(a) if isinstance(a, np.ndarray) else a for a in args], **kwargs)
    assert current.is_sparse(found) is stays
    expected = ops.convert_to_numpy(op(*args, **kwargs))
    assert tuple(found.shape) == expected.shape
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, atol=1e-6)


@pytest.mark.parametrize("name", "abs sin sqrt square tanh sign negative floor expm1 round isnan copy".split())
def test_zeros_to_zeros(name):
    check(getattr(ops, name), np.abs(X) if name == "sqrt" else X)
    assert ops.abs(KerasTensor((2, 3), sparse=True)).sparse


@pytest.mark.parametrize("name", ["cos", "exp", "logical_not", "softmax", "relu"])
def test_other_functions_are_dense(name):
    check(getattr(ops, name), X, stays=False)


@pytest.mark.parametrize("name", ["add", "subtract", "maximum", "minimum", "multiply"])
def test_two_sparse_tensors(name):
    check(getattr(ops, name), X, Y)
    check(getattr(ops, name), X, np.zeros_like(X) + np.eye(3, dtype="float32"))


def test_products_with_numbers_and_dense_tensors():
    check(ops.multiply, X, 3.0)
    check(ops.divide, X, 2.0)
    found = ops.multiply(sparse(X), ops.convert_to_tensor(Y))
    assert current.is_sparse(found)
    np.testing.assert_allclose(ops.convert_to_numpy(found), X * Y)
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(ops.convert_to_numpy(ops.divide(sparse(X), ops.convert_to_tensor(Y))), X / Y)
        np.testing.assert_allclose(ops.convert_to_numpy(ops.multiply(sparse(X), np.inf)), X * np.inf)


@pytest.mark.parametrize(
    ("op", "kwargs"),
    [
        (ops.transpose, {}), (ops.reshape, {"newshape": (9,)}), (ops.reshape, {"newshape": (1, 3, -1)}),
        (ops.expand_dims, {"axis": 1}), (ops.sum, {"axis": 0}), (ops.sum, {"axis": (0, 1)}),
        (ops.sum, {"axis": 1, "keepdims": True}),
        (ops.mean, {"axis": 1}), (ops.cast, {"dtype": "int32"}),
    ],
)  # fmt: skip
def test_shapes_and_sums(op, kwargs):
    check(op, X, **kwargs)


def test_concatenate_and_matmul():
    for found, expected in (
        (ops.concatenate([sparse(X), sparse(Y)], axis=1), np.concatenate([X, Y], 1)),
        (ops.matmul(sparse(X), sparse(Y)), X @ Y),
    ):
        assert current.is_sparse(found)
        np.testing.assert_allclose(ops.convert_to_numpy(found), expected, atol=1e-6)
    np.testing.assert_allclose(ops.convert_to_numpy(ops.matmul(sparse(X), Y)), X @ Y, atol=1e-6)


def test_entries_twice_count_twice():
    at = current.asarray(np.array([[0, 1], [2, 0], [0, 1]]))
    indices, values = current.coalesced(at, current.asarray(np.array([1.0, 2.0, 5.0], "float32")), (3, 2))
    assert ops.convert_to_numpy(indices).tolist() == [[0, 1], [2, 0]]
    assert ops.convert_to_numpy(values).tolist() == [6.0, 2.0]


@pytest.mark.parametrize("op", [ops.one_hot, ops.multi_hot])
def test_encodings(op):
    x = np.array([[0, 2], [1, 1]])
    found = op(x, 3, sparse=True)
    assert current.is_sparse(found)
    np.testing.assert_array_equal(ops.convert_to_numpy(found), ops.convert_to_numpy(op(x, 3)))


def test_conversion_keeps_or_drops_sparseness():
    assert current.is_sparse(ops.convert_to_tensor(sparse(X)))
    assert ops.is_tensor(sparse(X))
    assert ops.shape(sparse(X)) == (3, 3)
    assert not current.is_sparse(ops.convert_to_tensor(sparse(X), sparse=False))
