"""Gradients of ops with other arguments than in `op_cases.py` agree with finite differences."""

import numpy as np
import pytest
from helpers import assert_gradients_match, case_rng

from multikeras import ops
from multikeras.backend import current as B

pytestmark = [pytest.mark.gradients, pytest.mark.slow]

# name: (function, shapes)
MORE = {
    "roll": (lambda x: ops.roll(x, 1, 0), [(3, 2)]),
    "repeat": (lambda x: ops.repeat(x, 2, axis=1), [(2, 3)]),
    "tile": (lambda x: ops.tile(x, (2, 1)), [(2, 3)]),
    "stack": (lambda x, y: ops.stack([x, y], 1), [(2, 3), (2, 3)]),
    "split": (lambda x: ops.split(x, 2, 1), [(2, 4)]),
    "pad": (lambda x: ops.pad(x, ((1, 0), (0, 2))), [(2, 3)]),
    "clip": (lambda x: ops.clip(x, -0.5, 0.5), [(2, 5)]),
    "dot": (ops.dot, [(2, 3), (3, 2)]),
    "tensordot": (lambda x, y: ops.tensordot(x, y, 1), [(2, 3), (3, 2)]),
    "inner": (ops.inner, [(2, 3), (2, 3)]),
    "vdot": (ops.vdot, [(3,), (3,)]),
    "cross": (ops.cross, [(2, 3), (2, 3)]),
    "kron": (ops.kron, [(2, 2), (1, 3)]),
    "cdist": (ops.cdist, [(3, 2), (4, 2)]),
    "diag": (ops.diag, [(3,)]),
    "vander": (lambda x: ops.vander(x, 3), [(3,)]),
    "correlate": (lambda x, y: ops.correlate(x, y, "same"), [(5,), (3,)]),
    "cov": (ops.cov, [(2, 6)]),
    "corrcoef": (ops.corrcoef, [(2, 6)]),
    "quantile": (lambda x: ops.quantile(x, 0.3, axis=1), [(2, 5)]),
    "moments": (lambda x: ops.moments(x, (0,)), [(4, 3)]),
    "segment_sum": (lambda x: ops.segment_sum(x, np.array([0, 0, 1], "int32"), 2), [(3, 2)]),
    "segment_max": (lambda x: ops.segment_max(x, np.array([0, 0, 1], "int32"), 2), [(3, 2)]),
    "scatter": (lambda u: ops.scatter(np.array([[1], [1]], "int32"), u, (3, 2)), [(2, 2)]),
    "det": (ops.det, [(2, 3, 3)]),
    "inv": (lambda x: ops.inv(x + 3.0 * ops.eye(3, dtype="float64")), [(2, 3, 3)]),
    "logdet": (lambda x: ops.logdet(ops.matmul(x, ops.transpose(x)) + 2.0 * ops.eye(3, dtype="float64")), [(3, 3)]),
    "pinv": (ops.pinv, [(4, 2)]),
    "matrix_power": (lambda x: ops.matrix_power(x, 3), [(3, 3)]),
    "lstsq": (ops.lstsq, [(4, 2), (4, 2)]),
    "batch_normalization": (
        lambda x, g, b: ops.batch_normalization(x, ops.mean(x, 0), ops.var(x, 0), -1, b, g), [(4, 3), (3,), (3,)]),
    "layer_normalization": (lambda x, g, b: ops.layer_normalization(x, g, b), [(2, 5), (5,), (5,)]),
    "rms_normalization": (lambda x, g: ops.rms_normalization(x, g), [(2, 5), (5,)]),
    "dot_product_attention": (
        lambda q, k, v: ops.dot_product_attention(q, k, v), [(1, 3, 2, 4), (1, 5, 2, 4), (1, 5, 2, 4)]),
    "categorical_crossentropy": (
        lambda x: ops.categorical_crossentropy(np.eye(3), x, from_logits=True), [(3, 3)]),
    "sparse_categorical_crossentropy": (
        lambda x: ops.sparse_categorical_crossentropy(np.array([0, 2], "int32"), x, from_logits=True), [(2, 3)]),
    "binary_crossentropy": (
        lambda x: ops.binary_crossentropy(np.array([[0.0, 1.0, 1.0]]), x, from_logits=True), [(1, 3)]),
    "ctc_loss": (
        lambda x: ops.ctc_loss(np.array([[1, 2, 1]], "int32"), x, np.array([3], "int32"), np.array([6], "int32")),
        [(1, 6, 4)]),
    "depthwise_conv": (lambda x, k: ops.depthwise_conv(x, k), [(1, 5, 5, 2), (3, 3, 2, 2)]),
    "separable_conv": (
        lambda x, d, p: ops.separable_conv(x, d, p), [(1, 5, 5, 2), (3, 3, 2, 1), (1, 1, 2, 3)]),
    "adaptive_average_pool": (lambda x: ops.adaptive_average_pool(x, 2), [(1, 5, 5, 2)]),
    "adaptive_max_pool": (lambda x: ops.adaptive_max_pool(x, 2), [(1, 5, 5, 2)]),
    "unfold": (lambda x: ops.unfold(x, 2), [(1, 2, 4, 4)]),
    "resize": (lambda x: ops.image.resize(x, (5, 7)), [(1, 3, 4, 2)]),
    "gaussian_blur": (lambda x: ops.image.gaussian_blur(x), [(1, 5, 5, 2)]),
    "map_coordinates": (lambda x: ops.image.map_coordinates(x, np.array([[0.5, 1.2], [0.3, 1.9]]), 1), [(3, 4)]),
    "fft2": (lambda x, y: ops.fft2((x, y)), [(2, 3, 4), (2, 3, 4)]),
    "stft": (lambda x: ops.stft(x, 8, 4, 8), [(2, 24)]),
    "extract_sequences": (lambda x: ops.extract_sequences(x, 4, 2), [(2, 10)]),
    "associative_scan": (lambda x: ops.associative_scan(lambda a, b: a * b, x), [(5, 2)]),
    "map": (lambda x: ops.map(lambda row: ops.sum(row * row), x), [(3, 2)]),
    "median": (lambda x: ops.median(x, 1), [(2, 5)]),
}  # fmt: skip

SINGLE = {"resize": 1e-2}
"""Ops that compute in float32 whatever they get, and how closely differences can follow them there."""


@pytest.mark.parametrize("name", MORE)
def test_op(name):
    f, shapes = MORE[name]
    rng = case_rng(name)
    assert_gradients_match(f, [rng.uniform(-1, 1, shape) for shape in shapes], seed=name, tolerance=SINGLE.get(name, 2e-5))


def test_gradients_at_the_edges_are_finite():
    """Functions built from branches must not let NaN of the branch not taken through."""
    edges = B.asarray(np.array([-1e4, -100.0, -1e-30, 0.0, 1e-30, 100.0, 1e4]), "float32")
    for name in "sigmoid softplus silu log_sigmoid elu selu celu gelu softmax log_softmax logsumexp tanh sinc".split():
        result, pull = B.vjp(getattr(ops, name), [edges])
        (gradient,) = pull(B.full(tuple(result.shape), 1.0, "float32"))
        assert np.isfinite(B.to_numpy(gradient)).all(), f"{name}: {B.to_numpy(gradient)}"
