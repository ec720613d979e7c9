"""Attention block by block gives what it gives at once, and nothing in it grows with the square of the length."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from multikeras import Variable, config, layers, ops
from multikeras.backend import current, shapes
from multikeras.backend.interface import Backend
from multikeras.layers.attention.attend import DROPPED, Sight, attend
from multikeras.random import SeedGenerator

RNG = np.random.default_rng(0)
BATCH, TARGET, SOURCE, HEADS, SIZE = 2, 7, 5, 4, 3


def draw(*shape):
    return RNG.standard_normal(shape).astype("float32")


@pytest.fixture
def in_blocks(monkeypatch):
    """Return a function that has attention take `n` numbers at once, and list of the block sizes that were chosen."""
    sizes, block_size = [], shapes.block_size
    epsilon = config.epsilon()

    def counted(*numbers):
        size = block_size(*numbers)
        sizes.extend([] if size is None else [size])
        return size

    def limit(n):
        config.set_epsilon(1.01 * epsilon)  # ops compiled before are compiled anew for another setting
        for name in ("MOST_AT_ONCE", "A_BLOCK"):
            monkeypatch.setattr(shapes, name, n)
        for module in [m for name, m in sys.modules.items() if name.startswith("multikeras.") and hasattr(m, "block_size")]:
            monkeypatch.setattr(module, "block_size", counted)
        return sizes

    yield limit
    config.set_epsilon(epsilon)


def slow(*case):
    return pytest.param(*case, marks=pytest.mark.slow)


def numbers(x):
    return np.asarray(ops.convert_to_numpy(x))


def agree(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def results(f, arrays, variables=(), compiled=True):
    """Return what `f` of arrays gives, and the gradients of its weighted sum."""
    if not current.supports_gradients:
        return [numbers(f(*map(ops.convert_to_tensor, arrays)))]
    inputs = [Variable(x) for x in arrays]
    wanted = [*inputs, *variables]

    def total():
        output = f(*(v.value for v in inputs))
        return ops.sum(output * ops.cos(ops.reshape(ops.arange(np.prod(output.shape), dtype="float32"), output.shape))), output

    step = current.value_and_grad(total, wanted, has_aux=True)
    (_, output), gradients = (current.jit(step, wanted) if compiled else step)()
    return [*map(numbers, (output, *gradients))]


def allowed(*shape):
    """Return a mask that leaves every target a source: without one, kernels differ in the gradient."""
    mask = RNG.random(shape) > 0.3
    mask[..., 0] = True
    return mask


OPS = {
    "plain": {},
    "causal": {"is_causal": True, "attn_logits_soft_cap": 4.0},
    "mask of sources": {"mask": allowed(BATCH, 1, 1, SOURCE)},
    "causal and mask of sources": {"mask": allowed(BATCH, 1, 1, SOURCE), "is_causal": True},
    "mask of all": {"mask": allowed(BATCH, HEADS, TARGET, SOURCE), "is_causal": True},
    "mask of few dimensions": {"mask": allowed(TARGET, SOURCE)},
    "bias": {"bias": draw(1, HEADS, TARGET, SOURCE), "scale": 0.3},
    "shared heads": {"shared": 2, "bias": draw(HEADS, 1, SOURCE)},
    "values of another size": {"size": 5},
}


@pytest.mark.parametrize(("name", "overridden"), [
    *(slow(n, False) if n in ("plain", "causal", "mask of few dimensions") else (n, False) for n in OPS),
    ("causal and mask of sources", True), slow("plain", True), slow("values of another size", True),
])  # fmt: skip
def test_the_op_by_blocks(name, overridden, in_blocks):
    how = dict(OPS[name])
    groups, size = HEADS // how.pop("shared", 1), how.pop("size", SIZE)
    arrays = [draw(BATCH, TARGET, HEADS, SIZE), draw(BATCH, SOURCE, groups, SIZE), draw(BATCH, SOURCE, groups, size)]
    op = ops.dot_product_attention if overridden else lambda *x, **how: Backend.dot_product_attention(current, *x, **how)

    def f(*x):
        return op(*x, **how)

    expected = results(f, arrays, compiled=overridden)
    sizes = in_blocks(3 * BATCH * HEADS * SOURCE)  # three targets at once: 7 are no multiple
    agree(results(f, arrays, compiled=overridden), expected)
    assert set(sizes) == {3} or (overridden and not sizes)  # a backend's own kernel needs none


@pytest.mark.parametrize(
    ("name", "masked", "causal"),
    [("Attention", True, True), ("Attention concat", True, False), ("AdditiveAttention", True, True),
     slow("Attention", True, False), slow("Attention concat", True, True), slow("AdditiveAttention", False, False)],
)  # fmt: skip
def test_layers_without_heads(name, masked, causal, in_blocks):
    layer = getattr(layers, name.split()[0])(use_scale=True, **({"score_mode": "concat"} if "concat" in name else {}))
    arrays = [draw(BATCH, TARGET, SIZE), draw(BATCH, SOURCE, SIZE), draw(BATCH, SOURCE, SIZE)]
    # Some targets see nothing: the first ones if none sees ahead, or all.
    sources = np.array([[0, 0, 1, 1, 0], [0, 0, 0, 0, 0]], bool)
    how = {"mask": [np.arange(BATCH * TARGET).reshape(BATCH, TARGET) % 4 > 0, sources]} if masked else {}
    layer.build([x.shape for x in arrays])
    layer.scale.assign(layer.scale * 0.7)

    def f(*inputs):
        return layer(list(inputs), use_causal_mask=causal, **how)

    expected = results(f, arrays, layer.trainable_variables)
    sizes = in_blocks(3 * BATCH * SOURCE * (1 if name == "Attention" else SIZE))
    agree(results(f, arrays, layer.trainable_variables), expected)
    assert set(sizes) == {3}


MASKS = {
    "plain": {},
    "targets and sources": {"query_mask": RNG.random((BATCH, 6)) > 0.3, "value_mask": RNG.random((BATCH, 6)) > 0.3},
    "causal": {"use_causal_mask": True, "key_mask": RNG.random((BATCH, 6)) > 0.3},
    "pairs": {"attention_mask": RNG.random((BATCH, 6, 6)) > 0.3, "value_mask": RNG.random((BATCH, 6)) > 0.3},
    "pairs of heads": {"attention_mask": RNG.random((BATCH, 1, 6, 6)) > 0.3},
}
HEADED = {
    "MultiHeadAttention": lambda **how: layers.MultiHeadAttention(2, 3, **how),
    "values of another size": lambda **how: layers.MultiHeadAttention(2, 3, value_dim=5, **how),
    "window": lambda **how: layers.MultiHeadAttention(2, 3, sliding_window=2, **how),
    "GroupedQueryAttention": lambda **how: layers.GroupQueryAttention(3, 4, 2, use_gate=True, **how),
}


@pytest.mark.parametrize(
    ("name", "mask"),
    [*(slow("MultiHeadAttention", m) for m in MASKS), ("values of another size", "causal"), slow("window", "plain"),
     ("GroupedQueryAttention", "pairs")],
)
def test_layers_with_heads(name, mask, in_blocks):
    layer, arrays = HEADED[name](), [draw(BATCH, 6, SIZE)]

    def f(x):
        return layer(x, x, **MASKS[mask])

    expected = results(f, arrays)
    heads = 4 if name.startswith("Group") else 2
    sizes = in_blocks(4 * BATCH * heads * 6)
    agree(results(f, arrays), expected)
    assert set(sizes) <= {4}
    assert sizes or current.name == "torch"


@pytest.mark.parametrize(("axes", "masked"), [slow((1,), True), slow((2,), False), ((1, 2), True)])
def test_attention_over_other_axes(axes, masked, in_blocks):
    shape = (2, 4, 3)
    layer = layers.MultiHeadAttention(2, 3, attention_axes=axes)
    over = [shape[a] for a in axes]
    how = {"attention_mask": RNG.random((2, *over, *over)) > 0.3} if masked else {}
    arrays = [draw(*shape, SIZE)]

    def f(x):
        return layer(x, x, **how)

    expected = results(f, arrays)
    sizes = in_blocks(16)
    agree(results(f, arrays), expected)
    assert sizes


LENGTH, RATE = 40, 0.3
EYE = np.eye(LENGTH, dtype="float32")[None]
"""As values: the output of attention is then the weights themselves."""


def _without_heads(layer):
    return lambda q, k, v, rate: layer([q, v, k], training=rate > 0)


def _with_heads(seed):
    def f(q, k, v, rate):
        q, k, v = (ops.expand_dims(x, 2) for x in (q, k, v))
        return ops.squeeze(attend(q, k, v, (1,), Sight(causal=True), rate, seed)[0], 2)

    return f


DROPPING = {
    "Attention": (1, lambda: _without_heads(layers.Attention(dropout=RATE, seed=3))),
    "AdditiveAttention": (SIZE, lambda: _without_heads(layers.AdditiveAttention(dropout=RATE, seed=3))),
    "heads": (1, lambda: _with_heads(SeedGenerator(3))),
}


@pytest.mark.gradients
@pytest.mark.parametrize(("name", "compiled"), [(n, True) for n in DROPPING] + [slow(n, False) for n in DROPPING])
def test_dropped_scores(name, compiled, in_blocks):
    """The weights are those without dropout, or 0; what is computed again for the gradient has the same ones dropped."""
    numbers_each, make = DROPPING[name]
    f, inputs = make(), [ops.convert_to_tensor(draw(1, LENGTH, SIZE)) for _ in "qk"]
    values, factors = Variable(EYE), draw(1, LENGTH, LENGTH)
    whole = numbers(f(*inputs, ops.convert_to_tensor(EYE), 0.0))[0]
    sizes = in_blocks(6 * LENGTH * numbers_each * DROPPED)

    def total():
        weights = f(*inputs, values.value, RATE)
        return ops.sum(weights * ops.convert_to_tensor(factors)), weights

    step = current.value_and_grad(total, [values], has_aux=True)
    if compiled:
        state = [v for v in _seeds(f) if v is not None]
        step = current.jit(step, [values, *state])
    draws = []
    for _ in range(2):
        (_, weights), (gradient,) = step()
        weights = numbers(weights)[0]
        kept = weights != 0
        np.testing.assert_allclose(weights, np.where(kept, whole / (1 - RATE), 0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(numbers(gradient)[0], weights.T @ factors[0], rtol=1e-5, atol=1e-5)
        draws.append(kept | (whole == 0))
    assert set(sizes) == {6}
    share = 1 - np.mean([d[whole != 0] for d in draws])
    assert abs(share - RATE) < 0.06
    assert not np.array_equal(*draws)
    blocks = [draws[0][i : i + 6] for i in range(0, 36, 6)]
    assert len({b.tobytes() for b in blocks}) == 6
    again = make()
    first = numbers(again(*inputs, ops.convert_to_tensor(EYE), RATE))[0]
    np.testing.assert_array_equal((first != 0) | (whole == 0), draws[0])  # the seed decides


def _seeds(f):
    """Return the variables of the generators in the closure of `f`."""
    held = [cell.cell_contents for cell in f.__closure__]
    return [getattr(getattr(x, "seed_generator", x), "state", None) for x in held]


LONG = {
    "op": ("ops.dot_product_attention(x, x, x, is_causal=True)", 8, 8),
    "op with a mask": ("ops.dot_product_attention(x, x, x, mask=seen[:, None, None], is_causal=True)", 8, 8),
    "dropout": ("layer(x[:, :, 0], x[:, :, 0], training=True)", 1, 8),
    "masks": ("layer(x[:, :, 0], x[:, :, 0], query_mask=seen, value_mask=seen, use_causal_mask=True)", 1, 8),
    "sums": ("sums([x[:, :, 0], x[:, :, 0]])", 1, 8),
}


@pytest.mark.slow
@pytest.mark.gradients
@pytest.mark.parametrize("name", LONG)
def test_memory_does_not_grow_with_the_square(name):
    length, (call, heads, size) = 4096, LONG[name]
    program = textwrap.dedent(f"""
        import resource
        import numpy as np
        from multikeras import Variable, config, layers, ops
        from multikeras.backend import current

        layer, sums = layers.MultiHeadAttention(8, 4, dropout=0.5), layers.AdditiveAttention()

        def grow(length):
            v, seen = Variable(np.ones((1, length, {heads}, {size}), "float32")), np.ones((1, length), bool)

            def total():
                x = v.value
                return ops.sum({call})

            total()
            seeds = [w for w in layer.variables if "seed" in w.path]
            ops.convert_to_numpy(current.jit(current.value_and_grad(total, [v]), [v, *seeds])()[1][0])
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        print(-grow(64) + grow({length}))
    """)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True)
    kilobytes = int(run.stdout.split()[-1])
    assert kilobytes < 1.5 * 4 * 8 * length * length / 1024  # at once: three such tensors, of 512 MB each
