"""Derivatives of functions: of arguments, nested ones, Variables; of higher order; of functions given by hand."""

import numpy as np
import pytest

import multikeras
from multikeras import ops

pytestmark = pytest.mark.gradients


def value(x):
    return ops.convert_to_numpy(x).tolist()


def test_grad_of_one_argument():
    assert value(ops.grad(lambda x: ops.sum(x * x * x))(ops.convert_to_tensor([1.0, 2.0]))) == [3.0, 12.0]


def test_argnums_may_be_several_and_negative():
    y, grads = ops.value_and_grad(lambda a, b, c: a * b + c, argnums=(0, 1))(2.0, 3.0, 4.0)
    assert (value(y), [value(g) for g in grads]) == (10.0, [3.0, 2.0])
    assert value(ops.grad(lambda a, b: a * b, argnums=-1)(2.0, 3.0)) == 2.0


def test_arguments_may_nest():
    tree = {"w": ops.convert_to_tensor([1.0, 2.0]), "b": [ops.convert_to_tensor(3.0), None]}
    y, grads = ops.value_and_grad(lambda t: ops.sum(t["w"]) * t["b"][0])(tree)
    assert value(y) == 9.0
    assert value(grads["w"]) == [3.0, 3.0]
    assert value(grads["b"][0]) == 3.0
    assert grads["b"][1] is None


def test_aux_is_handed_on():
    (y, aux), g = ops.value_and_grad(lambda x: (x * x, {"n": ops.cast(7, "int32"), "twice": 2 * x}), has_aux=True)(3.0)
    assert (value(y), value(g), value(aux["n"]), value(aux["twice"])) == (9.0, 6.0, 7, 6.0)
    g, aux = ops.grad(lambda x: (x * x, x + 1), has_aux=True)(3.0)
    assert (value(g), value(aux)) == (6.0, 4.0)


def test_variables():
    v, w, unused = (multikeras.Variable(x) for x in (3.0, 2.0, 1.0))
    y, grads = ops.value_and_grad(lambda x: v * v * w * x, [v, w, unused])(2.0)
    assert value(y) == 36.0
    assert [value(g) for g in grads[:2]] == [24.0, 18.0]
    assert grads[2] is None


def test_variables_with_aux_and_writes():
    v, calls = multikeras.Variable(3.0), multikeras.Variable(0.0, trainable=False)

    def loss(x):
        calls.assign_add(1.0)
        return v * x, x

    (y, aux), (g,) = ops.value_and_grad(loss, [v], has_aux=True)(ops.convert_to_tensor(2.0))
    assert (value(y), value(aux), value(g), float(calls.numpy())) == (6.0, 2.0, 2.0, 1.0)


def test_second_and_third_order():
    f = lambda x: x * x * x * x  # noqa: E731
    assert value(ops.grad(ops.grad(f))(2.0)) == 48.0
    assert value(ops.grad(ops.grad(ops.grad(f)))(2.0)) == 48.0


def test_hessian_vector_product_forward_over_reverse():
    x, v = ops.convert_to_tensor([1.0, 2.0]), ops.convert_to_tensor([1.0, 0.0])
    _, product = ops.jvp(ops.grad(lambda x: ops.sum(x * x * x)), (x,), (v,))
    assert value(product) == [6.0, 0.0]


def test_vjp_of_several_outputs_and_inputs():
    outputs, pullback = ops.vjp(lambda a, b: {"sum": a + b, "product": a * b}, 2.0, 5.0)
    assert value(outputs["product"]) == 10.0
    a, b = pullback({"sum": ops.ones(()), "product": ops.ones(())})
    assert (value(a), value(b)) == (6.0, 3.0)


def test_jvp_with_aux():
    y, slope, aux = ops.jvp(lambda x: (x * x, x + 1), (3.0,), (2.0,), has_aux=True)
    assert (value(y), value(slope), value(aux)) == (9.0, 12.0, 4.0)


def test_jvp_agrees_with_vjp():
    x = ops.convert_to_tensor([0.3, -0.7, 1.2])
    v, u = ops.convert_to_tensor([1.0, 2.0, -1.0]), ops.convert_to_tensor([0.5, -1.5, 2.0])
    f = lambda x: ops.tanh(x) * ops.sum(x)  # noqa: E731
    _, along = ops.jvp(f, (x,), (v,))
    _, pullback = ops.vjp(f, x)
    np.testing.assert_allclose(float(ops.sum(along * u)), float(ops.sum(pullback(u)[0] * v)), rtol=1e-5)


def test_inside_jit():
    step = multikeras.jit(lambda x: ops.grad(lambda x: ops.sum(ops.exp(x)))(x))
    np.testing.assert_allclose(ops.convert_to_numpy(step(ops.zeros((3,)))), np.ones(3), rtol=1e-6)


def test_custom_gradient():
    @ops.custom_gradient
    def scaled(x):
        return x * 1.0, lambda *args, upstream=None: (args[0] if upstream is None else upstream) * 10.0

    assert value(ops.grad(scaled)(3.0)) == 10.0


def test_stop_gradient():
    assert value(ops.grad(lambda x: x * ops.stop_gradient(x))(3.0)) == 3.0


UGLY = {
    "norm at 0": (lambda x: ops.norm(x), [0.0, 0.0], [0.0, 0.0]),
    "norm of order 3 at 0": (lambda x: ops.norm(x, 3), [0.0, 0.0], [0.0, 0.0]),
    "normalize at 0": (lambda x: ops.sum(ops.normalize(x)) * 0.0, [0.0, 0.0], [0.0, 0.0]),
    "softplus at 0": (lambda x: ops.sum(ops.softplus(x)), [0.0], [0.5]),
    "sigmoid at 0": (lambda x: ops.sum(ops.sigmoid(x)), [0.0], [0.25]),
    "sigmoid far out": (lambda x: ops.sum(ops.sigmoid(x)), [-1000.0, 1000.0], [0.0, 0.0]),
    "elu far out": (lambda x: ops.sum(ops.elu(x)), [-1000.0, 1000.0], [0.0, 1.0]),
    "gelu far out": (lambda x: ops.sum(ops.gelu(x)), [-1000.0, 1000.0], [0.0, 1.0]),
    "logsumexp of equals": (lambda x: ops.logsumexp(x), [200.0, 200.0], [0.5, 0.5]),
    "logsumexp with -inf": (lambda x: ops.logsumexp(x), [0.0, -np.inf], [1.0, 0.0]),
    "sqrt at 0": (lambda x: ops.sum(ops.sqrt(x)), [0.0, 4.0], [np.inf, 0.25]),
    "max of ties": (lambda x: ops.max(x), [1.0, 2.0, 2.0], [0.0, 0.5, 0.5]),
    "min of ties": (lambda x: ops.min(x), [1.0, 1.0, 2.0], [0.5, 0.5, 0.0]),
    "abs at 0": (lambda x: ops.sum(ops.abs(x)), [0.0, -1.0], [0.0, -1.0]),
    "norm of order 1 at 0": (lambda x: ops.norm(x, 1), [0.0, 2.0], [0.0, 1.0]),
    "relu at 0": (lambda x: ops.sum(ops.relu(x)), [0.0, -1.0, 1.0], [0.0, 0.0, 1.0]),
    "relu6 at 6": (lambda x: ops.sum(ops.relu6(x)), [0.0, 6.0, 3.0], [0.0, 0.0, 1.0]),
    "hard_tanh at 1": (lambda x: ops.sum(ops.hard_tanh(x)), [-1.0, 1.0, 0.0], [0.0, 0.0, 1.0]),
    "hypot at 0": (lambda x: ops.hypot(x[0], x[1]), [0.0, 0.0], [0.0, 0.0]),
    "hypot of equals": (lambda x: ops.hypot(x[0], x[1]), [3.0, 3.0], [0.5**0.5, 0.5**0.5]),
    "logaddexp of equals": (lambda x: ops.logaddexp(x[0], x[1]), [1000.0, 1000.0], [0.5, 0.5]),
    "logaddexp2 of equals": (lambda x: ops.logaddexp2(x[0], x[1]), [3.0, 3.0], [0.5, 0.5]),
    "logaddexp with -inf": (lambda x: ops.logaddexp(x[0], x[1]), [-np.inf, 0.0], [0.0, 1.0]),
    "divide_no_nan by 0": (lambda x: ops.divide_no_nan(x[0], x[1]), [1.0, 0.0], [0.0, 0.0]),
    "where with a dead log": (lambda x: ops.sum(ops.where(x > 0, ops.log(x), x)), [-1.0, 1.0], [1.0, 1.0]),
    "nansum": (lambda x: ops.nansum(x), [np.nan, 2.0], [0.0, 1.0]),
    "nanmean": (lambda x: ops.nanmean(x), [np.nan, 2.0, 4.0], [0.0, 0.5, 0.5]),
    "nanmax": (lambda x: ops.nanmax(x), [np.nan, 2.0, 2.0], [0.0, 0.5, 0.5]),
    "prod with a 0": (lambda x: ops.prod(x), [0.0, 2.0, 3.0], [6.0, 0.0, 0.0]),
    "prod with zeros": (lambda x: ops.prod(x), [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]),
    "cumprod with a 0": (lambda x: ops.sum(ops.cumprod(x)), [2.0, 0.0, 3.0], [1.0, 8.0, 0.0]),
    "power of 0": (lambda x: ops.sum(ops.power(x, 2.0)), [0.0, -2.0], [0.0, -4.0]),
    "sinc at 0": (lambda x: ops.sum(ops.sinc(x)), [0.0], [0.0]),
    "variance of equals": (lambda x: ops.var(x), [2.0, 2.0], [0.0, 0.0]),
    "softmax with -inf": (lambda x: ops.softmax(x)[0], [0.0, -np.inf], [0.0, 0.0]),
    "max_pool of ties": (lambda x: ops.sum(ops.max_pool(ops.reshape(x, (1, 4, 1)), 2)),
                         [1.0, 1.0, 2.0, 2.0], [1.0, 0.0, 1.0, 0.0]),
    "crossentropy of sure mistakes": (
        lambda x: ops.sum(ops.binary_crossentropy(ops.convert_to_tensor([0.0, 1.0]), x, from_logits=True)),
        [1000.0, -1000.0], [1.0, -1.0]),
    "cdist of equals": (lambda x: ops.sum(ops.cdist(x[None], x[None])), [1.0, 2.0], [0.0, 0.0]),
}  # fmt: skip


@pytest.mark.parametrize("name", UGLY)
def test_gradients_are_finite_at_ugly_points(name):
    f, x, expected = UGLY[name]
    np.testing.assert_allclose(ops.convert_to_numpy(ops.grad(f)(ops.convert_to_tensor(x))), expected, atol=1e-5)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="scalar"):
        ops.grad(lambda x: x)(ops.ones((2,)))
    with pytest.raises(TypeError, match="int32"):
        ops.grad(lambda x: x)(ops.convert_to_tensor(1))
    with pytest.raises(ValueError, match="argnums"):
        ops.grad(lambda x: x, argnums=1)(1.0)
    with pytest.raises(TypeError, match="argnums"):
        ops.value_and_grad(lambda x: x, "x")
    with pytest.raises(ValueError, match="pair"):
        ops.grad(lambda x: x, has_aux=True)(1.0)


@pytest.mark.parametrize("jit", [False, True])
def test_python_numbers_in_a_loop_take_the_dtype_that_the_body_gives_them(jit):
    def run(x):
        def body(i, late, x):
            return i + 1, late + ops.where(ops.sum(x) > 4, 1.0, 0.0), x * 2

        return ops.while_loop(lambda i, late, x: i < 3, body, (0, 0, x))

    i, late, x = (multikeras.jit(run) if jit else run)(ops.convert_to_tensor([1.0, 2.0]))
    assert (value(i), value(late), value(x)) == (3, 2.0, [8.0, 16.0])
    assert [multikeras.backend.standardize_dtype(v.dtype) for v in (i, late)] == ["int32", "float32"]
