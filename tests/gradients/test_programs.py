"""Functions that read and write Variables: derivatives, compilation, loops."""

import numpy as np
import pytest

from multikeras.backend import current as B
from multikeras.backend.scope import StatelessScope
from multikeras.core.variable import Variable

pytestmark = pytest.mark.gradients


def variable(value):
    return Variable(np.asarray(value, "float32"))


def number(x):
    return B.to_numpy(x).tolist()


def test_value_and_grad_returns_aux_and_writes_other_variables():
    w, seen = variable([1.0, 2.0]), variable(0.0)

    def loss(x):
        seen.assign(seen.value + 1)
        return B.sum(w.value * w.value * x), {"x": x, "tag": "a", "none": None}

    (value, aux), (gradient,) = B.value_and_grad(loss, [w], has_aux=True)(B.asarray(3.0))
    assert number(value) == 15
    assert number(gradient) == [6, 12]
    assert aux["tag"] == "a"
    assert aux["none"] is None
    assert number(aux["x"]) == 3
    assert float(seen.numpy()) == 1


def test_a_variable_that_is_not_read_has_no_gradient():
    w, unread = variable(2.0), variable(1.0)
    _, gradients = B.value_and_grad(lambda: w.value * w.value, [unread, w])()
    assert gradients[0] is None
    assert number(gradients[1]) == 4


@pytest.mark.parametrize("compiled", [False, True])
def test_second_order(compiled):
    w = variable([1.0, 2.0])

    def slope():
        _, (gradient,) = B.value_and_grad(lambda: B.sum(w.value * w.value * w.value), [w])()
        return B.sum(gradient)

    f = B.value_and_grad(slope, [w])
    _, (second,) = (B.jit(f, [w]) if compiled else f)()
    assert number(second) == [6, 12]


@pytest.mark.parametrize("given", [None, "some", "all"])
def test_jit_carries_variables(given):
    a, b = variable(1.0), variable(10.0)

    def step(x, flag=True):
        a.assign(a.value + x)
        if flag:
            b.assign(b.value + a.value)
        return {"sum": a.value + b.value, "flag": flag}

    f = B.jit(step, {None: None, "some": [a], "all": [a, b]}[given])
    x = B.asarray(2.0)
    assert number(f(x)["sum"]) == 16
    result = f(x, flag=False)
    assert result["flag"] is False
    assert number(result["sum"]) == 18
    assert (float(a.numpy()), float(b.numpy())) == (5, 13)


def test_jit_sees_values_assigned_outside():
    a = variable(1.0)
    f = B.jit(lambda x: a.value * x)
    assert number(f(B.asarray(2.0))) == 2
    a.assign(5.0)
    assert number(f(B.asarray(2.0))) == 10


def test_jit_of_jit():
    a = variable(1.0)

    @B.jit
    def inner(x):
        a.assign(a.value + x)
        return a.value

    outer = B.jit(lambda x: inner(x) + inner(x))
    assert number(outer(B.asarray(1.0))) == 5
    assert float(a.numpy()) == 3


def test_jit_inside_a_stateless_scope():
    a = variable(1.0)

    def increment():
        a.assign(a.value + 1)

    f = B.jit(increment, [a])
    with StatelessScope([(a, B.asarray(5.0))]) as scope:
        f()
    assert number(scope.get_current_value(a)) == 6
    assert float(a.numpy()) == 1


@pytest.mark.parametrize("given", ["all", "some"])
def test_repeat_writes_variables(given):
    total, last = variable(0.0), variable(0.0)

    def step(row):
        total.assign(total.value + row["x"])
        last.assign(row["x"])

    B.repeat(step, [total, last] if given == "all" else [total])({"x": B.asarray([1.0, 2.0, 3.0])}, 0, 3)
    assert (float(total.numpy()), float(last.numpy())) == (6, 3)


def test_control_flow_writes_variables():
    a = variable(1.0)

    def double():
        a.assign(a.value * 2)
        return a.value

    f = B.jit(lambda p: B.cond(p, double, lambda: a.value), [a])
    assert number(f(B.asarray(True))) == 2
    assert number(f(B.asarray(False))) == 2

    def body(i):
        a.assign(a.value + 1)
        return (i + 1,)

    loop = B.jit(lambda n: B.while_loop(lambda i: i < n, body, (B.asarray(0),), None)[0], [a])
    assert number(loop(B.asarray(3))) == 3
    assert float(a.numpy()) == 5


def test_while_loop_stops_at_the_maximum():
    (i,) = B.while_loop(lambda i: i < 10, lambda i: (i + 1,), (B.asarray(0),), 4)
    assert number(i) == 4


def test_scan_carries_variables():
    a = variable(0.0)

    def f(carry, x):
        a.assign(a.value + x)
        return carry * x, {"y": a.value}

    carry, ys = B.jit(lambda xs: B.scan(f, B.asarray(1.0), xs, None), [a])(B.asarray([1.0, 2.0, 4.0]))
    assert number(carry) == 8
    assert number(ys["y"]) == [1, 3, 7]
    assert float(a.numpy()) == 7


def test_remat_passes_gradients_to_variables():
    w = variable(2.0)
    block = B.remat(lambda x, power: w.value**power * x)
    value, (gradient,) = B.value_and_grad(lambda: block(B.asarray(3.0), 2), [w])()
    assert number(value) == 12
    assert number(gradient) == 12


def test_a_function_may_make_variables():
    made = []

    def f(x):
        if not made:
            made.append(Variable(lambda shape, dtype: B.full(shape, 2.0, dtype), shape=(2,)))
        made[0].assign(made[0].value * x)
        return made[0].value

    f = B.jit(f)
    assert number(f(B.asarray(3.0))) == [6, 6]
    assert made[0].numpy().tolist() == [6, 6]
