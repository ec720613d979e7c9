"""Every override gives what the composite in its place gives, values and gradients."""

import importlib

import numpy as np
import pytest
from helpers import case_rng

from multikeras import backend, ops
from multikeras.backend import current, dtypes
from multikeras.backend.interface import Backend
from multikeras.core import tree
from multikeras.ops._op import registry

assert ops
_MODULE = {"jax": "jax", "torch": "torch", "tensorflow": "tf"}.get(current.name)
PLAIN = importlib.import_module(f"multikeras.backend.{_MODULE}_backend").BACKEND() if _MODULE else current
FUSED = {
    name: override for part in reversed(type(current).__mro__) if part not in type(PLAIN).__mro__
    for name, override in vars(part).items()
}  # fmt: skip

M, CUBE = (3, 4), (2, 3, 4)


class Ints:
    """Integers below `high` of a shape."""

    def __init__(self, high, *shape, dtype="int32", low=-1):
        self.high, self.shape, self.dtype, self.low = high, shape, dtype, low


def _made(rng, a):
    if isinstance(a, Ints):
        return rng.integers(a.low, a.high, a.shape).astype(a.dtype)
    if isinstance(a, list):
        return [_made(rng, x) for x in a]
    return rng.uniform(0.2, 2.0, a) * rng.choice([-1, 1], a) if isinstance(a, tuple) else a


class Plain:
    """An argument that is no tensor."""

    def __init__(self, value):
        self.value = value


P, ROWS = Plain, (4,)
_IMAGE, _HEADS = (2, 7, 6, 4), (2, 5, 3, 4)
_SHORT = np.array([[1, 1, 1, 1, 1], [1, 0, 0, 0, 0], [1, 1, 1, 0, 0]], bool)
_HOLES = np.array([[1, 0, 1, 0, 1], [0, 1, 1, 1, 0], [0, 0, 0, 0, 0]], bool)

_EXTREME = np.array([[1e30, 3e30, 0, 1], [0, 0, 0, 0], [1e-30, -1e-30, 0, 0], [-0.0, 1e-40, 0, -1e-40], [-1, -1e-9, -2, -3],
                     [0, np.nan, 1, 2]], "float32")  # fmt: skip


def _loops(x, *weights):
    """Return the ways a loop over time may run."""
    ways = [(reverse, sequences, zero) for reverse in (False, True) for sequences in (False, True) for zero in (False, True)]
    return [
        ((x, *weights, P(mask)), {"reverse": reverse, "sequences": sequences, "zero_masked": zero})
        for reverse, sequences, zero in ways
        for mask in ((None,) if zero else (None, _SHORT, _HOLES))
    ] + [((x, *weights, P(_SHORT)), {"sequences": True, "zero_masked": True, "reverse": r}) for r in (False, True)]


def _windows(**options):
    return [((_IMAGE, P(window), P(strides), P(padding), P(layout)), options)
            for window, strides, layout in (((2, 2), (2, 2), "channels_last"), ((3, 2), (1, 2), "channels_last"),
                                            ((2, 3), (1, 1), "channels_first"))
            for padding in ("valid", "same")]  # fmt: skip


_X = (3, 5, 4)
_ONE = [((CUBE,), {}), ((ROWS,), {})]
_REDUCE = [((CUBE,), {}), ((CUBE,), {"axis": -1}), ((CUBE,), {"axis": (0, 2), "keepdims": True}), ((CUBE,), {"axis": [1]})]
_AXIS = [((CUBE,), {}), ((CUBE,), {"axis": 1})]
_TWO = [((CUBE, CUBE), {}), ((CUBE, ROWS), {})]
_PLACES = [((x, P(axis)), {}) for x in ((64, 65), P(np.tile(_EXTREME, 1100)), P(-_EXTREME)) for axis in (0, 1)]
_COLORS = [((P(np.linspace(0, 1, 60).reshape(2, 5, 2, 3)),), {})]
_CASES: dict[str, list] = {
    **dict.fromkeys("mean var std logsumexp any all".split(), _REDUCE),
    "count_nonzero": _REDUCE[:2], "glu": _ONE,
    **dict.fromkeys("softmax log_softmax sparsemax".split(), _AXIS),
    "moments": [((CUBE, P(-1)), {}), ((CUBE, P((0, 1))), {"keepdims": True})],
    "norm": [*_REDUCE[:3], ((CUBE,), {"ord": 2, "axis": 1}), ((CUBE,), {"ord": 1, "axis": -1}), ((M,), {"ord": "nuc"}),
             ((CUBE,), {"axis": -1, "keepdims": True})],
    "normalize": [((CUBE,), {}), ((CUBE,), {"axis": 0, "order": 3}), ((P(_EXTREME),), {}), ((P(_EXTREME[:-1]),), {"axis": 0})],
    **dict.fromkeys(("argmax", "argmin"), _PLACES),
    "elu": [((M,), {}), ((M,), {"alpha": 0.5})],
    "gelu": [((M,), {}), ((M,), {"approximate": False})],
    "leaky_relu": [((M,), {}), ((M,), {"negative_slope": 0.1})],
    "softplus": [*_ONE, ((P(np.array([-800.0, -30, 0, 18, 25, 39, 41, 800])),), {})],
    "split": [((CUBE, P(2), P(-1)), {}), ((CUBE, P([1]), P(1)), {}), ((CUBE, P(3), P(1)), {})],
    "tile": [((M, P((2, 3))), {}), ((M, P(2)), {}), ((M, P((2, 1, 1))), {})],
    "roll": [((M, P(1)), {}), ((M, P(-5)), {"axis": 1}), ((M, P((1, 2))), {"axis": (0, 1)})],
    "stack": [(([M, M],), {}), (([M, M],), {"axis": -1}), (([M, M],), {"axis": 1})],
    "one_hot": [((Ints(6, 3, 2), P(5)), {}), ((Ints(1100, 8), P(1000)), {"dtype": "float32"}), ((Ints(6, 4), P(5)), {"axis": 0}),
                ((Ints(1100, 8, dtype="int64"), P(1000)), {"dtype": "int32"})],
    **{n: [((M,), {}), ((CUBE,), {"k": -1})] for n in ("tril", "triu")},
    **{n: [((M,), {}), ((M,), {"dtype": "int32"})] for n in ("zeros_like", "ones_like")},
    **dict.fromkeys("not_equal less_equal greater_equal logical_and logical_or logical_xor hypot logaddexp".split(), _TWO),
    "clip": [((CUBE, P(np.float64(-0.5)), P(np.float64(0.7))), {})],
    "top_k": [((P(np.array([[3.0, 1, 2, 2, 0], [5, 4, 3, 2, 1], [1, 1, 1, 1, np.nan]])), P(k)), {}) for k in (1, 2, 5)],
    "layer_normalization": [((CUBE, ROWS, ROWS), {}), ((CUBE,), {"axis": (1, 2)}), ((CUBE, (3,)), {"axis": 1}),
                            ((CUBE,), {"rms_scaling": True, "epsilon": 1e-3})],
    "rms_normalization": [((CUBE, ROWS), {}), ((CUBE,), {"axis": 0}), ((CUBE,), {"axis": (1, 2)})],
    "batch_normalization": [((CUBE, ROWS, P(np.ones(4)), P(-1)), {}), ((CUBE, ROWS, P(np.ones(4)), P(2), ROWS, ROWS), {}),
                            ((CUBE, (3,), P(np.ones(3)), P(1), (3,)), {})],
    "normalization_by_batch": [((CUBE, P(-1)), {}), ((CUBE, P(1), (3,), (3,)), {}), ((M, P(1), ROWS, P(None)), {})],
    "averaged": [(((2, 3, 4, 5), (2, 5, 3, 6)), {}), (((1, 1, 2, 1), (1, 1, 1, 2)), {})],
    "dropped": [(((3, 5),), {"draws": np.linspace(0, 1, 15, endpoint=False).reshape(3, 5), "least": 0.4, "rate": 0.25})],
    "orthogonalized": [((shape, P(3.4445), P(-4.7750), P(2.0315), P(5)), {}) for shape in ((5, 3), (3, 5), (2, 3, 4))],
    "picked": [((M, Ints(3, 2, 2, low=0), P(0)), {}), ((M, Ints(7, 9), P(0)), {}), ((CUBE, Ints(3, 5), P(1)), {})],
    "take": [((M, Ints(3, 2, 2, low=0), P(0)), {}), ((CUBE, Ints(3, 5, low=0), P(1)), {}), ((M, Ints(4, 2, low=0), P(1)), {})],
    "binary_crossentropy": [((P(np.eye(3, 4)), M), {"from_logits": True}), ((P(np.eye(3)), P(np.full((3, 3), 0.3))), {})],
    "categorical_crossentropy": [((P(np.eye(3, 4)), M), {"from_logits": True}),
                                 ((P(np.eye(3)), P(np.full((3, 3), 0.3))), {}),
                                 ((P(np.eye(4, 3).T), M), {"from_logits": True, "axis": 0})],
    "sparse_categorical_crossentropy": [((Ints(6, 2, 3), (2, 3, 5)), {"from_logits": True}),
                                        ((Ints(5, 2, 3, low=0), (2, 3, 5)), {"from_logits": True}),
                                        ((Ints(3, 3), P(np.full((3, 4), 0.3))), {}),
                                        ((Ints(2, 4), (3, 4)), {"from_logits": True, "axis": 0}),
                                        ((Ints(3, 3, 1), (3, 4)), {"from_logits": True})],
    "dot_product_attention": [((_HEADS,) * 3, {}), ((_HEADS,) * 3, {"is_causal": True}), ((_HEADS,) * 3, {"scale": 0.3}),
                              ((_HEADS, (2, 6, 3, 4), (2, 6, 3, 4), (2, 1, 5, 6)), {}),
                              ((_HEADS, (2, 6, 1, 4), (2, 6, 1, 4)), {"is_causal": True}),
                              ((*(_HEADS,) * 3, P(None), P(np.tri(5, dtype=bool)[None, None])), {}),
                              ((*(_HEADS,) * 3, (2, 3, 5, 5), P(np.tri(5, dtype=bool)[None, None])), {"is_causal": True}),
                              ((_HEADS,) * 3, {"attn_logits_soft_cap": 2.0})],
    **dict.fromkeys(("max_pool", "average_pool"), _windows()),
    **dict.fromkeys("rgb_to_grayscale rgb_to_hsv hsv_to_rgb".split(), _COLORS),
    "resize": [((_IMAGE, P((5, 9))), {"interpolation": how, "antialias": how == "lanczos3"})
               for how in ("nearest", "bilinear", "bicubic", "lanczos3")],
    "tensordot": [((CUBE, (4, 2)), {"axes": 1}), ((CUBE, CUBE), {"axes": ((0, 2), (0, 2))})],
    "diagonal": [((CUBE,), {}), ((CUBE, P(0), P(-2), P(-1)), {}), ((M,), {"offset": -1}), ((CUBE, P(1), P(2), P(0)), {})],
    "full": [((P((2, 3)), P(0), P("int32")), {}), ((P(()), P(0), P("float32")), {}), ((P((4,)), P(1.5), P("float64")), {})],
    "conv": [((_IMAGE, (3, 2, 4, 5), P((1, 2)), P("same"), P((1, 1)), P(1), P("channels_last")), {}),
             ((_IMAGE, (3, 3, 1, 4), P((1, 1)), P("same"), P((1, 1)), P(4), P("channels_last")), {}),
             (((2, 4, 7, 6), (2, 3, 1, 8), P((2, 1)), P("same"), P((1, 1)), P(4), P("channels_first")), {}),
             ((_IMAGE, (2, 3, 1, 8), P((1, 1)), P("valid"), P((2, 1)), P(4), P("channels_last")), {}),
             ((_IMAGE, (3, 3, 2, 4), P((1, 1)), P("valid"), P((1, 1)), P(2), P("channels_last")), {})],
    "affine": [(((3, 4), (4, 5), (5,)), {}), (((2, 3, 4), (4, 5), (5,)), {}), (((2, 3, 4), (4, 2, 5), (2, 5)), {}),
               (((2, 3, 4), (3, 4, 5), (5,)), {"axes": 2})],
    "conv_plus": [((_IMAGE, (3, 3, 2, 4), (4,), P((1, 1)), P("same"), P((1, 1)), P(2), P("channels_last")), {}),
                  (((2, 2, 7, 6), (2, 3, 2, 8), (8,), P((2, 1)), P("valid"), P((1, 1)), P(1), P("channels_first")), {})],
    "lstm": _loops(_X, (3, 6), (3, 6), (4, 24), (6, 24), (24,))
            + [((_X, (3, 6), (3, 6), (4, 24), (6, 24), P(None)), {"sequences": True})],
    "gru": [((*a[:6], P(None) if i % 2 else a[6], *a[7:]), k)
            for i, (a, k) in enumerate(_loops(_X, (3, 6), (4, 18), (6, 18), (18,), (18,)))]
           + [((_X, (3, 6), (4, 18), (6, 18), P(None), P(None)), {}),
              ((_X, (3, 6), (4, 18), (6, 18), (18,), P(None)), {"reset_after": False})],
}  # fmt: skip
_CASES["gru"] = [((*a[:6], *a[6:]), k) for a, k in _CASES["gru"]]
# Where there is no derivative, or which one is a matter of taste.
_NO_GRADIENT = {"one_hot", "sparsemax", "top_k", "any", "all", "count_nonzero", "isinf"}


def _is_override(name):
    rules = name.endswith("_step") or name in ("step_down", "grow", "fits")  # of optimizers
    return not (name.startswith("_") or rules or name in ("faces", "bind_face", "surely_in_range"))


def _names():
    return [n for n in FUSED if _is_override(n) and callable(getattr(current, n))]


def _is_the_composite(name):
    """Tell whether the override is the composite, compiled."""
    return type(FUSED[name]).__name__ == "_OneCall"


def _run(B, name, args, kwargs):
    """Run `name` on a backend; return its results and the gradient of a sum of them."""
    kwargs = {k: current.asarray(v) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()}  # not differentiated
    positions = [i for i, a in enumerate(args) if isinstance(a, (np.ndarray, list)) and np.asarray(a).dtype.kind == "f"]
    tensors = [current.asarray(a) if isinstance(a, np.ndarray) else a for a in args]
    tensors = [[current.asarray(x) for x in a] if i in positions and isinstance(a, list) else a for i, a in enumerate(tensors)]
    wanted = [tensors[i] for i in positions]

    def f(*xs):
        given = list(tensors)
        for i, x in zip(positions, tree.pack_sequence_as(wanted, list(xs))):
            given[i] = x
        return [y for y in tree.flatten(getattr(B, name)(*given, **kwargs)) if y is not None]

    leaves = tree.flatten(wanted)
    results = f(*leaves)
    if _is_the_composite(name) or name in _NO_GRADIENT or not all(dtypes.is_float(current.dtype(y)) for y in results):
        return results, []
    kept = 1 if name == "normalization_by_batch" else None
    results, pull = current.vjp(lambda *xs: f(*xs)[:kept], leaves)
    weights = [current.asarray(np.linspace(0.5, 1.5, (y.shape and int(np.prod(y.shape))) or 1).reshape(tuple(y.shape)),
                               current.dtype(y)) for y in results]  # fmt: skip
    return results, pull(weights)


@pytest.mark.parametrize("indices", [[], [0, 4], [-1, 2], [5], [[3, 0], [1, 6]], [2**31 - 1], [-(2**31)]])
def test_indices_in_range_are_in_range(indices):
    indices = np.array(indices, "int32")
    inside = bool(((indices >= 0) & (indices < 5)).all())
    assert not current.surely_in_range(current.asarray(indices), 5) or inside


@pytest.mark.parametrize("name", _names())
def test_an_override_is_its_composite(name):
    cases = _CASES.get(name) or (_TWO if len(registry[name].leading) == 2 else _ONE)
    for number, (args, kwargs) in enumerate(cases[:1] if _is_the_composite(name) else cases):
        rng = case_rng(f"{name}{number}")
        for dtype in (("float32", "float64")[number % 2],):
            given = [a.value if isinstance(a, Plain) else _made(rng, a) for a in args]
            given = tree.map_structure(
                lambda a: a.astype(dtype) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a, given  # noqa: B023
            )
            found, expected = _run(current, name, given, kwargs), _run(PLAIN, name, given, kwargs)
            what = f"{name}{args}{kwargs} {dtype}"
            tolerance = {"float32": 2e-5, "float64": 1e-9}[dtype]
            for a, b in zip(tree.flatten(found), tree.flatten(expected), strict=True):
                assert current.dtype(a) == current.dtype(b), what
                x, y = np.asarray(current.to_numpy(a)), np.asarray(current.to_numpy(b))
                assert x.shape == y.shape, what
                np.testing.assert_allclose(x.astype("float64"), y.astype("float64"), tolerance, tolerance, err_msg=what)


@pytest.mark.skipif(not FUSED, reason="this backend has no overrides")
def test_the_plain_backend_has_none():
    assert type(PLAIN) is not type(current)
    for name in _names():
        if name in registry and hasattr(Backend, name):
            assert getattr(type(PLAIN), name) is not getattr(type(current), name) or name in FUSED, name
    assert backend
