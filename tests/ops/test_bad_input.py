"""Bad arguments of ops: a ValueError or TypeError that names the op and what arrived, the same with and without data."""

import numpy as np
import pytest

from multikeras import KerasTensor, ops
from multikeras.backend import dtypes

ELEMENTWISE = "add subtract multiply divide maximum minimum power hypot logaddexp arctan2 equal less isclose mod".split()
REDUCTIONS = "sum prod max min mean var std any all argmax argmin median nansum logsumexp cumsum count_nonzero".split()
ALONG = "softmax log_softmax sort argsort normalize glu".split()


def tensors(shape, dtype="float32"):
    return {"eager": ops.ones(shape, dtype=dtype), "symbolic": KerasTensor(shape, dtype)}


@pytest.fixture(params=["eager", "symbolic"])
def make(request):
    """Return a function that makes a tensor of a shape, with or without data."""
    return lambda *shape, dtype="float32": tensors(shape, dtype)[request.param]


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_shapes_that_do_not_broadcast(name, make):
    with pytest.raises(ValueError, match=rf"^{name}: shapes (\(2, 3\), )?\(4,\)(, \(2, 3\))? do not"):
        getattr(ops, name)(make(2, 3), make(4))


@pytest.mark.parametrize("name", [*REDUCTIONS, *ALONG])
@pytest.mark.parametrize("axis", [2, -3, 17])
def test_an_axis_that_is_not_there(name, axis, make):
    with pytest.raises(ValueError, match=rf"{name}: .*{axis}.*rank 2"):
        getattr(ops, name)(make(2, 4), axis=axis)


@pytest.mark.parametrize("name", ["sum", "mean", "argmax", "sort", "softmax", "flip"])
def test_an_axis_that_is_no_number(name, make):
    with pytest.raises(TypeError, match=f"{name}: .*'rows'"):
        getattr(ops, name)(make(2, 4), axis="rows")


@pytest.mark.parametrize(
    "call",
    [
        lambda x, dtype: ops.cast(x, dtype),
        lambda x, dtype: ops.saturate_cast(x, dtype),
        lambda x, dtype: ops.ones_like(x, dtype=dtype),
        lambda x, dtype: ops.view(x, dtype=dtype),
        lambda x, dtype: ops.cumsum(x, dtype=dtype),
        lambda x, dtype: ops.one_hot(x, 3, dtype=dtype),
        lambda x, dtype: ops.zeros((2,), dtype=dtype),
        lambda x, dtype: ops.arange(3, dtype=dtype),
        lambda x, dtype: ops.eye(3, dtype=dtype),
    ],
)
def test_a_dtype_that_does_not_exist(call, make):
    with pytest.raises(ValueError, match="'flot32'.*float32"):
        call(make(3), "flot32")


LATE = {"gcd", "psnr"}
"""Calls that only data make wrong: Keras gives them a shape, and KerasTensors are floats unless somebody says so."""

# op: what is wrong with the call, what the error says
WRONG = {
    "matmul": (lambda t: ops.matmul(t(2, 3), t(2, 3)), r"\(2, 3\) and \(2, 3\)"),
    "reshape": (lambda t: ops.reshape(t(2, 3), (5,)), r"\(2, 3\).*\(5,\)"),
    "transpose": (lambda t: ops.transpose(t(2, 3), (0, 2)), "axis=2"),
    "squeeze": (lambda t: ops.squeeze(t(2, 3), 0), r"axis 0.*\(2, 3\)"),
    "expand_dims": (lambda t: ops.expand_dims(t(2, 3), 9), "axis=9"),
    "broadcast_to": (lambda t: ops.broadcast_to(t(2, 3), (5, 5)), r"\(2, 3\).*\(5, 5\)"),
    "concatenate of scalars": (lambda t: ops.concatenate([t(), t()]), "no axis"),
    "concatenate": (lambda t: ops.concatenate([t(2, 3), t(3, 4)]), r"\(2, 3\), \(3, 4\)"),
    "stack": (lambda t: ops.stack([t(2, 3), t(4)]), "rank"),
    "split": (lambda t: ops.split(t(5), 2), "2"),
    "pad": (lambda t: ops.pad(t(3), 1, mode="bogus"), "'bogus'"),
    "take": (lambda t: ops.take(t(2, 3), [0], axis=4), "axis=4"),
    "take_along_axis": (lambda t: ops.take_along_axis(t(2, 3), t(2, dtype="int32"), 0), "rank|shape"),
    "where": (lambda t: ops.where(t(2, 3), t(2, 3), t(4)), r"\(4,\)"),
    "einsum": (lambda t: ops.einsum("ij,jk->ik", t(2, 3), t(2, 3)), "."),
    "tensordot": (lambda t: ops.tensordot(t(2, 3), t(4, 5), 1), "."),
    "top_k": (lambda t: ops.top_k(t(2, 3), 9), "k=9"),
    "clip": (lambda t: ops.clip(t(2, 3), t(4), 1.0), r"\(4,\)"),
    "one_hot": (lambda t: ops.one_hot(t(3, dtype="int32"), 3, axis=8), "axis=8"),
    "quantile": (lambda t: ops.quantile(t(3), 0.5, method="bogus"), "'bogus'"),
    "searchsorted": (lambda t: ops.searchsorted(t(2, 3), t(2)), r"\(2, 3\)"),
    "cross": (lambda t: ops.cross(t(2, 4), t(2, 4)), "4"),
    "gcd": (lambda t: ops.gcd(t(2), t(2)), "float32"),
    "norm": (lambda t: ops.norm(t(2, 3), ord="bogus"), "bogus"),
    "det": (lambda t: ops.det(t(2, 3)), r"\(2, 3\)"),
    "solve": (lambda t: ops.solve(t(3, 3), t(2)), r"\(2,\)"),
    "qr": (lambda t: ops.qr(t(3, 3), mode="bogus"), "'bogus'"),
    "max_pool": (lambda t: ops.max_pool(t(1, 4, 4, 1), 2, padding="bogus"), "'bogus'"),
    "average_pool": (lambda t: ops.average_pool(t(2, 3), 2), r"\(2, 3\)"),
    "conv": (lambda t: ops.conv(t(1, 4, 4, 3), t(2, 2, 4, 5)), "3 .* 4"),
    "conv_transpose": (lambda t: ops.conv_transpose(t(1, 4, 4, 3), t(2, 2, 5, 4), 1), "3 channels.* 4"),
    "depthwise_conv": (lambda t: ops.depthwise_conv(t(1, 4, 4, 3), t(2, 2, 4, 1)), r"4"),
    "dot_product_attention": (lambda t: ops.dot_product_attention(t(1, 2, 3), t(1, 2, 3), t(1, 2, 3)), r"\(1, 2, 3\)"),
    "categorical_crossentropy": (lambda t: ops.categorical_crossentropy(t(2, 3), t(2, 4)), r"\(2, 3\).*\(2, 4\)"),
    "psnr": (lambda t: ops.psnr(t(2, 3), t(2, 4), 1.0), r"\(2, 3\).*\(2, 4\)"),
    "resize": (lambda t: ops.image.resize(t(4, 4, 1), (2, 2), interpolation="bogus"), "bogus"),
    "rgb_to_hsv": (lambda t: ops.image.rgb_to_hsv(t(4, 4, 2)), r"2"),
    "segment_sum": (lambda t: ops.segment_sum(t(4), t(3, dtype="int32"), 2), r"\(3,\).*\(4,\)"),
    "relu": (lambda t: ops.relu(None), "None"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name, make):
    call, says = WRONG[name]
    if name in LATE and isinstance(make(2), KerasTensor):
        call(make)
        return
    with pytest.raises((ValueError, TypeError), match=f"(?s)^.*{name.split()[0]}.*{says}"):
        call(make)


@pytest.mark.parametrize("name", ["add", "maximum", "bitwise_and", "equal"])
@pytest.mark.parametrize(("dtype", "number"), [("uint8", -1), ("uint8", 256), ("int8", 1000), ("int32", 2**40)])
def test_numbers_beyond_the_dtype(name, dtype, number):
    with pytest.raises(ValueError, match=f"{name}: .*{number}.*{dtype}"):
        getattr(ops, name)(ops.ones((2,), dtype=dtype), number)


def test_clip_takes_bounds_beyond_the_dtype():
    x = ops.convert_to_tensor(np.array([0, 7, 255], "uint8"))
    assert ops.convert_to_numpy(ops.clip(x, -5, 300)).tolist() == [0, 7, 255]
    assert dtypes.standardize_dtype(ops.clip(x, -5, 300).dtype) == "uint8"


def test_errors_of_axes_are_those_of_numpy_and_torch_too():
    for kind in (ValueError, IndexError, RuntimeError):
        with pytest.raises(kind):
            ops.sum(ops.ones((2,)), axis=3)
