"""Every op agrees with the numpy backend and with shapes alone, over all dtypes it takes; see `op_cases.py`."""

import zlib

import numpy as np
import pytest
from helpers_parity import assert_backends_agree
from op_cases import ALL, ELSEWHERE, KNOWN, TABLE, op_of

from multikeras import ops
from multikeras.backend import current
from multikeras.ops._op import registry

ALIASES = {"absolute", "bitwise_invert", "conjugate", "hard_swish", "swish", "true_divide"}
"""Second names of ops: tested by being the same function."""
NOT_OPS = {"convert_to_numpy", "convert_to_tensor", "custom_gradient", "dtype", "grad", "is_tensor", "jvp", "shape",
           "value_and_grad", "vectorize", "vjp"}  # fmt: skip


def check(name, number):
    make, dtypes = TABLE[name]
    dtype = dtypes[number % len(dtypes)]
    if current.name == "numpy" and dtype == "bfloat16":
        dtype = "float32"  # numpy's bfloat16 beside a Python number becomes float32
    args, kwargs = make(np.random.default_rng([zlib.crc32(name.encode()), number]), dtype)
    assert_backends_agree(op_of(name), args, unknown=name not in KNOWN, **kwargs)


@pytest.mark.parametrize("name", TABLE)
def test_op(name):
    """One dtype here, float32 first; two where nothing is compiled for each."""
    dtypes = TABLE[name][1]
    check(name, 0)
    if not (current.name == "jax" or len(dtypes) == 1):
        check(name, 1 + zlib.crc32(name.encode()) % (len(dtypes) - 1))


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE)
def test_op_in_every_dtype(name):
    dtypes = TABLE[name][1]
    for number in range(4 if current.name == "jax" else 2 * len(dtypes)):
        check(name, 1 + number)


UNLIKE = {
    "left_shift": "numpy makes int8 of bools", "right_shift": "as above", "bitwise_left_shift": "as above",
    "bitwise_right_shift": "as above", "gammainc": "of 0 and 0: 0 or NaN", "lu_factor of 4 x 3": "of singular matrices",
    "segment_min": "torch counts uint64 in int64", "threshold": "numpy has no -1 of unsigned integers",
    **dict.fromkeys("inv solve solve_triangular cholesky cholesky_inverse".split(), "numpy has no bfloat16 to solve in"),
    "arange": "of bools: words of JAX", "scatter": "of bools: words of JAX",
    "resize of bytes": "rounds floats, whose last bit differs", "scale_and_translate": "as above",
}  # fmt: skip
"""Where dtypes beyond those of the row are not the same, and why."""


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in TABLE if n not in UNLIKE])
def test_op_in_dtypes_beyond_the_row(name):
    """What the row does not promise is right all the same, or refused in words."""
    make, dtypes = TABLE[name]
    others = [d for d in ALL if d not in dtypes and (current.name, d) != ("numpy", "bfloat16")]
    seed = zlib.crc32(name.encode())
    if current.name == "jax" and others:  # it compiles for each
        others = [others[seed % len(others)]]
    for number, dtype in enumerate(others):
        args, kwargs = make(np.random.default_rng([seed, number]), dtype)
        try:
            op_of(name)(*args, **kwargs)
        except (TypeError, ValueError) as error:
            refused = str(error)
        else:
            refused = ""
            assert_backends_agree(op_of(name), args, unknown=name not in KNOWN, **kwargs)
        assert not refused or refused.startswith(f"{op_of(name).__name__}: "), f"{name} of {dtype}: {refused}"


def test_no_op_is_forgotten():
    listed = {name.split(" ")[0] for name in TABLE} | {name for line in ELSEWHERE.values() for name in line.split()}
    public = set(registry) | {n for n, f in vars(ops).items() if callable(f) and n[0] != "_"}
    assert public - listed - ALIASES - NOT_OPS == set()
    assert all(getattr(ops, alias) in registry.values() for alias in ALIASES)


@pytest.mark.parametrize("subscripts", ["ij,jk->ik", "bij,bjk->bik", "ii->i", "ij->", "...i,i->...", "i,j->ij", "ij,ij->j"])
@pytest.mark.parametrize("dtype", ["float32", "int8", "bool"])
def test_einsum(subscripts, dtype):
    sizes = dict(b=2, i=3, j=4, k=2) | ({"i": 3, "j": 3} if subscripts == "ii->i" else {})
    rng = np.random.default_rng(5)
    terms = [t.replace("...", "b") for t in subscripts.split("->")[0].split(",")]
    xs = [rng.integers(0, 2, tuple(sizes[c] for c in t)).astype(dtype) for t in terms]
    assert_backends_agree(ops.einsum, [subscripts, *xs])


DECOMPOSITIONS = {
    "qr": (ops.qr, lambda q, r: q @ r),
    "svd": (lambda x: ops.svd(x, full_matrices=False), lambda u, s, vh: (u * s[..., None, :]) @ vh),
    "eigh": (lambda x: ops.eigh(x + np.swapaxes(x, -1, -2)), lambda w, v: (v * w[..., None, :]) @ np.swapaxes(v, -1, -2)),
    "eig": (ops.eig, lambda w, v: (v * w[..., None, :]) @ np.linalg.inv(v)),
}


@pytest.mark.parametrize("name", DECOMPOSITIONS)
@pytest.mark.parametrize("shape", [(3, 3), (2, 1, 4, 4), (1, 1)])
def test_decompositions_multiply_back(name, shape):
    f, back = DECOMPOSITIONS[name]
    x = np.random.default_rng(7).normal(size=shape).astype("float32")
    parts = [ops.convert_to_numpy(part) for part in f(x)]
    expected = x + np.swapaxes(x, -1, -2) if name == "eigh" else x
    np.testing.assert_allclose(back(*parts), expected, atol=1e-4)


@pytest.mark.parametrize("scale", [1.0, 1e-42])
@pytest.mark.parametrize("op", [ops.argmax, ops.argmin, ops.argsort])
def test_order_sees_subnormal_numbers(op, scale):
    x = np.array([0.0, -3.0, 2.0, -0.0, 2.0, 1.0], "float32") * np.float32(scale)
    assert_backends_agree(op, [x])


@pytest.mark.parametrize("op", [ops.floor_divide, ops.mod, ops.fmod])
@pytest.mark.parametrize("dtype", ["int32", "uint8", "int64", "int8"])
def test_integers_divided_by_zero_give_zero(op, dtype):
    assert_backends_agree(op, [np.array([7, 0, 5], dtype), np.array([0, 0, 2], dtype)])


def test_reconstructed_patches_are_the_image():
    image = np.random.default_rng(0).random((2, 7, 5, 3), "float32")
    for size, padding in (((2, 2), "valid"), ((2, 3), "same"), ((7, 5), "valid")):
        patches = ops.image.extract_patches(image, size, padding=padding)
        cut = image if padding == "same" else image[:, : 7 // size[0] * size[0], : 5 // size[1] * size[1]]
        back = ops.image.reconstruct_patches(patches, size, cut.shape[1:3], padding=padding)
        np.testing.assert_array_equal(ops.convert_to_numpy(back), cut)
    with pytest.raises(ValueError, match="output_size"):
        ops.image.reconstruct_patches(patches, 1, padding="same")
    with pytest.raises(ValueError, match="strides"):
        ops.image.reconstruct_patches(patches, 2, strides=1)
