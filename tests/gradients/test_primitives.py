"""The gradients of primitives agree with finite differences."""

import numpy as np
import pytest
from helpers import assert_gradients_match, case_rng

from multikeras.backend import current as B

pytestmark = pytest.mark.gradients

SMALL, POSITIVE, ABOVE_ONE, FAR = (-0.9, 0.9), (0.2, 2.0), (1.2, 3.0), (-4.0, 4.0)

UNARY = {
    SMALL: "sin cos tan sinh cosh tanh arcsin arccos arctan arcsinh arctanh erf erfc erfinv exp expm1 abs negative".split(),
    POSITIVE: ["log", "log1p", "sqrt"],
    ABOVE_ONE: ["arccosh"],
    FAR: ["sign", "floor", "ceil", "round", "stop_gradient_of_half"],
}
BINARY = {
    SMALL: ["add", "subtract", "multiply", "maximum", "minimum", "arctan2"],
    POSITIVE: ["divide", "power", "mod", "floor_divide"],
}
PAIRS = [(1, 0), (2, 1), (0, 1)]
LAST, FIRST = "channels_last", "channels_first"


def matrix(x):
    """Return well-conditioned symmetric positive definite matrices made from any."""
    return B.matmul(x, B.transpose(x, (0, 2, 1))) + B.asarray(np.eye(3) * 2.0)


def index(*values):
    return B.asarray(np.array(values, "int32"))


# name: (function of tensors, shapes of its arguments)
CASES = {
    "sum": (lambda x: B.sum(x, (0, 2)), [(2, 3, 2)]),
    "prod": (lambda x: B.prod(x, 1, True), [(2, 3, 2)]),
    "max": (lambda x: B.max(x, 1), [(2, 3)]),
    "min": (lambda x: B.min(x, (0, 1), True), [(2, 3)]),
    "cumsum": (lambda x: B.cumsum(x, 1), [(2, 4)]),
    "cumprod": (lambda x: B.cumprod(x, 0), [(4, 2)]),
    "sort": (lambda x: B.sort(x, 0), [(5, 2)]),
    "top_k": (lambda x: B.top_k(x, 2)[0], [(2, 5)]),
    "reshape": (lambda x: B.reshape(x, (3, -1)), [(2, 3)]),
    "transpose": (lambda x: B.transpose(x, (2, 0, 1)), [(2, 3, 4)]),
    "broadcast_to": (lambda x: B.broadcast_to(x, (2, 3, 4)), [(3, 1)]),
    "concatenate": (lambda x, y: B.concatenate([x, y], 1), [(2, 3), (2, 1)]),
    "pad": (lambda x: B.pad(x, ((1, 0), (2, 1))), [(2, 3)]),
    "pad reflect": (lambda x: B.pad(x, ((1, 0), (2, 1)), "reflect"), [(2, 3)]),
    "pad symmetric": (lambda x: B.pad(x, ((1, 0), (5, 1)), "symmetric"), [(2, 3)]),
    "flip": (lambda x: B.flip(x, (0,)), [(2, 3)]),
    "expand_dims": (lambda x: B.expand_dims(x, 1), [(2, 3)]),
    "squeeze": (lambda x: B.squeeze(x, (1,)), [(2, 1, 3)]),
    "where": (lambda x, y: B.where(B.asarray(np.array([True, False, True])), x, y), [(2, 3), (3,)]),
    "unstacked": (lambda x: B.unstacked(x)[1], [(2, 3)]),
    "getitem": (lambda x: B.getitem(x, (slice(None, None, -1), 1)), [(4, 3)]),
    "getitem indices": (lambda x: B.getitem(x, (slice(None), index(2, 0, 2))), [(4, 3)]),
    "take": (lambda x: B.take(x, index(2, 0, 2), 0), [(4, 3)]),
    "take_along_axis": (lambda x: B.take_along_axis(x, index([0, 0], [2, 1]), 1), [(2, 3)]),
    "scatter set": (lambda x, u: B.scatter(x, index([2], [0]), u), [(4, 3), (2, 3)]),
    "scatter add": (lambda x, u: B.scatter(x, index([2, 1], [2, 1]), u, "add"), [(4, 3), (2,)]),
    "slice": (lambda x: B.slice(x, (1, 0), (2, 2)), [(4, 3)]),
    "slice_update": (lambda x, u: B.slice_update(x, (1, 1), u), [(4, 3), (2, 2)]),
    "matmul": (B.matmul, [(2, 3), (3, 4)]),
    "matmul of vectors": (B.matmul, [(3,), (3,)]),
    "matmul broadcast": (B.matmul, [(2, 1, 2, 3), (4, 3, 2)]),
    "einsum": (lambda x, y: B.einsum("bij,bjk->kb", x, y), [(2, 3, 4), (2, 4, 2)]),
    "cholesky": (lambda x: B.cholesky(matrix(x)), [(2, 3, 3)]),
    "qr": (lambda x: list(B.qr(x, "reduced")), [(4, 3)]),
    "svd": (lambda x: B.svd(x, False)[1], [(4, 3)]),
    "eigh": (lambda x: B.eigh(matrix(x))[0], [(2, 3, 3)]),
    "solve": (lambda a, b: B.solve(matrix(a), b), [(2, 3, 3), (2, 3, 2)]),
    "solve_triangular": (lambda a, b: B.solve_triangular(matrix(a), b, True), [(2, 3, 3), (2, 3, 2)]),
    "slogdet": (lambda x: B.slogdet(matrix(x))[1], [(2, 3, 3)]),
    "rfft": (lambda x: B.rfft(x, 5), [(2, 5)]),
    "irfft": (lambda re, im: B.irfft(B.complex(re, im), 6), [(2, 4), (2, 4)]),
    "fft": (lambda re, im: B.fft(B.complex(re, im)), [(2, 4), (2, 4)]),
    "cast": (lambda x: B.cast(B.cast(x, "complex128"), "float64"), [(3,)]),
    "cond": (lambda x: B.cond(B.sum(x) < 100.0, lambda: x * x, lambda: x), [(3,)]),
    "scan": (lambda x: list(B.scan(lambda c, v: (c * v, c + v), x[0], x, None, reverse=True)), [(4, 2)]),
    "vectorized_map": (lambda x: B.vectorized_map(lambda row: B.sum(row * row), x), [(4, 2)]),
    "remat": (B.remat(lambda x: B.sin(x) * x), [(3,)]),
    "custom_gradient": (B.custom_gradient(lambda x: (x * x, lambda upstream: upstream * 2.0 * x)), [(3,)]),
}

for layout, ranks in ((LAST, (1, 2, 3)), (FIRST, (2,))):
    for rank in ranks:
        space, window, ones = (5, 4, 3)[:rank], (2, 3, 2)[:rank], (1,) * rank
        image = (2, *space, 4) if layout == LAST else (2, 4, *space)
        kernel, back = (*window, 4, 3), (*window, 3, 4)

        def conv(*arguments, layout=layout):
            return lambda x, k: B.conv(x, k, *arguments, layout)

        def conv_transpose(*arguments, layout=layout):
            return lambda x, k: B.conv_transpose(x, k, *arguments, layout)

        def pool(name, *arguments, layout=layout):
            return lambda x: getattr(B, name)(x, *arguments, layout)

        two, none = (2,) * rank, (None,) * rank
        CASES |= {
            f"conv{rank} {layout}": (conv(ones, "same", ones, 1), [image, kernel]),
            f"conv{rank} strides {layout}": (conv(two, "valid", ones, 1), [image, kernel]),
            f"conv{rank} dilation {layout}": (conv(ones, PAIRS[:rank], two, 1), [image, kernel]),
            f"conv{rank} groups {layout}": (conv(two, "same", ones, 2), [image, (*window, 2, 6)]),
            f"conv_transpose{rank} {layout}": (conv_transpose(two, "same", none, ones), [image, back]),
            f"conv_transpose{rank} valid {layout}": (conv_transpose(two, "valid", none, ones), [image, back]),
            f"max_pool{rank} {layout}": (pool("max_pool", two, two, "valid"), [image]),
            f"max_pool{rank} same {layout}": (pool("max_pool", window, two, "same"), [image]),
            f"max_pool{rank} overlap {layout}": (pool("max_pool", (3,) * rank, ones, "valid"), [image]),
            f"average_pool{rank} {layout}": (pool("average_pool", two, two, "valid"), [image]),
            f"average_pool{rank} same {layout}": (pool("average_pool", window, two, "same"), [image]),
        }


@pytest.mark.parametrize("name", CASES)
def test_primitive(name):
    f, argument_shapes = CASES[name]
    rng = case_rng(name)
    assert_gradients_match(f, [rng.uniform(-1, 1, shape) for shape in argument_shapes], seed=name)


@pytest.mark.parametrize(("domain", "name"), [(d, name) for d, names in UNARY.items() for name in names])
def test_unary(domain, name):
    if name == "stop_gradient_of_half":
        x = B.asarray(np.array([3.0]))
        result, pull = B.vjp(lambda x: x + B.stop_gradient(x), [x])
        assert B.to_numpy(result).tolist() == [6.0]
        assert B.to_numpy(pull(B.asarray(np.array([1.0])))[0]).tolist() == [1.0]
    else:
        assert_gradients_match(getattr(B, name), [case_rng(name).uniform(*domain, (2, 5))], seed=name)


@pytest.mark.parametrize(("domain", "name"), [(d, name) for d, names in BINARY.items() for name in names])
def test_binary(domain, name):
    rng = case_rng(name)
    assert_gradients_match(getattr(B, name), [rng.uniform(*domain, (2, 5)), rng.uniform(*domain, (5,))], seed=name)


def test_gammainc_of_its_second_argument():
    a = B.asarray(np.array([0.5, 1.5, 7.0]))
    assert_gradients_match(lambda x: B.gammainc(a, x), [np.array([0.3, 2.0, 6.0])])


def test_ties_of_max_share_the_gradient():
    x = B.asarray(np.array([[1.0, 2.0, 2.0]]))
    _, pull = B.vjp(lambda x: B.max(x, 1), [x])
    assert B.to_numpy(pull(B.asarray(np.array([1.0])))[0]).tolist() == [[0.0, 0.5, 0.5]]


def test_forward_derivative_agrees_with_reverse():
    rng = case_rng("jvp")
    x, k = rng.uniform(-1, 1, (1, 5, 2)), rng.uniform(-1, 1, (3, 2, 2))
    dx, dk = rng.uniform(-1, 1, x.shape), rng.uniform(-1, 1, k.shape)

    def f(x, k):
        return B.tanh(B.conv(x, k, (1,), "same", (1,), 1, LAST))

    xs, tangents = [B.asarray(x), B.asarray(k)], [B.asarray(dx), B.asarray(dk)]
    result, forward = B.jvp(f, xs, tangents)
    _, pull = B.vjp(f, xs)
    gradients = [B.to_numpy(g) for g in pull(B.full(tuple(result.shape), 1.0, "float64"))]
    expected = np.sum(gradients[0] * dx) + np.sum(gradients[1] * dk)
    assert np.isclose(B.to_numpy(forward).sum(), expected, rtol=1e-9)


@pytest.mark.parametrize("factor", [0.5, -1.0, 0.0, 1.001])
def test_the_helper_refuses_a_wrong_gradient(factor):
    wrong = B.custom_gradient(lambda x: (x * x, lambda upstream: upstream * x * (2.0 * factor)))
    with pytest.raises(AssertionError, match="the gradient says"):
        assert_gradients_match(wrong, [np.array([[0.5, -1.5]])])


def test_the_helper_refuses_one_wrong_entry():
    wrong = B.custom_gradient(lambda x: (x * x, lambda upstream: upstream * x * B.asarray(np.array([2.0, 2.0, 3.0]))))
    with pytest.raises(AssertionError, match="the gradient says"):
        assert_gradients_match(wrong, [np.array([0.5, -1.5, 1.0])])
