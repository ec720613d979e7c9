"""Attention block by block gives what it gives at once, in memory that grows with the length, not with its square."""

import importlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from multikeras import Variable, layers, ops
from multikeras.backend import current
from multikeras.backend.interface import Backend

attention = importlib.import_module("multikeras.ops.nn_attention")
RNG = np.random.default_rng(0)
BATCH, TARGET, SOURCE, HEADS, SIZE = 2, 7, 5, 4, 3


def draw(*shape):
    return RNG.standard_normal(shape).astype("float32")


CASES = {
    "plain": {},
    "causal": {"is_causal": True, "attn_logits_soft_cap": 4.0},
    "mask of sources": {"mask": RNG.random((BATCH, 1, 1, SOURCE)) > 0.3},
    "mask of all": {"mask": RNG.random((BATCH, HEADS, TARGET, SOURCE)) > 0.3, "is_causal": True},
    "mask of few dimensions": {"mask": RNG.random((TARGET, SOURCE)) > 0.3},
    "bias": {"bias": draw(1, HEADS, TARGET, SOURCE), "scale": 0.3},
    "shared heads": {"shared": 2, "bias": draw(HEADS, 1, SOURCE)},
}


def output_and_gradients(how):
    """Return what the composite gives, which a backend may override, and its gradients if there are any."""
    how = dict(how)
    groups = HEADS // how.pop("shared", 1)
    rng = np.random.default_rng(1)
    shapes = (BATCH, TARGET, HEADS, SIZE), (BATCH, SOURCE, groups, SIZE), (BATCH, SOURCE, groups, SIZE)
    arrays = [rng.standard_normal(s).astype("float32") for s in shapes]
    factors = ops.convert_to_tensor(rng.standard_normal(shapes[0]).astype("float32"))

    def composite(q, k, v):
        return Backend.dot_product_attention(current, q, k, v, **how)

    output = composite(*map(ops.convert_to_tensor, arrays))
    if not current.supports_gradients:
        return [ops.convert_to_numpy(output)]
    variables = [Variable(x) for x in arrays]
    total = current.value_and_grad(lambda: ops.sum(composite(*map(ops.convert_to_tensor, variables)) * factors), variables)
    return [ops.convert_to_numpy(x) for x in (output, *total()[1], *current.jit(total, variables)()[1])]


@pytest.mark.parametrize("name", CASES)
def test_blocks_give_the_same(name, monkeypatch):
    expected = output_and_gradients(CASES[name])
    blocks, by_blocks = [], attention._by_blocks
    for limit in ("MOST_LOGITS", "_BLOCK"):
        monkeypatch.setattr(attention, limit, 3 * BATCH * HEADS * SOURCE)  # three targets at once: 7 are no multiple
    monkeypatch.setattr(attention, "_by_blocks", lambda *args: blocks.append(args[2]) or by_blocks(*args))
    found = output_and_gradients(CASES[name])
    assert set(blocks) == {3}
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_a_long_attention_layer_gives_the_same(masked, causal, monkeypatch):
    layer = layers.Attention(use_scale=True)
    query, value, key = draw(3, TARGET, SIZE), draw(3, SOURCE, 4), draw(3, SOURCE, SIZE)
    # Some targets see nothing: the first ones if none sees ahead, or all.
    sources = np.array([[0, 0, 1, 1, 0], [1, 1, 0, 0, 1], [0, 0, 0, 0, 0]], bool)
    how = {"mask": [np.arange(3 * TARGET).reshape(3, TARGET) % 4 > 0, sources] if masked else None}
    layer.build([query.shape, value.shape, key.shape])
    layer.scale.assign(0.7)
    expected = layer([query, value, key], use_causal_mask=causal, **how)
    called, fused = [], layer._fused
    monkeypatch.setattr(importlib.import_module("multikeras.layers.attention.attention"), "MOST_LOGITS", 3)
    monkeypatch.setattr(layer, "_fused", lambda *args: called.append(args) or fused(*args))
    found = layer([query, value, key], use_causal_mask=causal, **how)
    assert called
    np.testing.assert_allclose(ops.convert_to_numpy(found), ops.convert_to_numpy(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.gradients
def test_memory_does_not_grow_with_the_square():
    length, heads = 4096, 8
    program = textwrap.dedent(f"""
        import resource
        import numpy as np
        from multikeras import Variable, ops
        from multikeras.backend import current

        def grow(length):
            x = Variable(np.ones((1, length, {heads}, 8), "float32"))
            total = lambda: ops.sum(ops.dot_product_attention(x.value, x.value, x.value, is_causal=True))
            ops.convert_to_numpy(current.jit(current.value_and_grad(total, [x]), [x])()[1][0])
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        print(-grow(64) + grow({length}))
    """)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True)
    kilobytes = int(run.stdout.split()[-1])
    assert kilobytes < 1.5 * 4 * heads * length * length / 1024  # at once: three such tensors, of 512 MB each
