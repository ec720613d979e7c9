# ruff: noqa: E501  rows of a table are easier to read whole
"""Cases for every op: how to draw its arguments, and the dtypes it takes.

A maker draws `(args, kwargs)` from a generator for a dtype; arrays among the arguments are the op's tensors.
"""

import numpy as np

from multikeras import ops
from multikeras.backend.dtypes import numpy_dtype

FLOATS = ("float32", "float16", "bfloat16", "float64")
INTS = ("int32", "uint8", "int64", "int8", "int16", "uint16", "uint32", "uint64")
REAL = (*FLOATS, *INTS)
ALL = (*REAL, "bool")
COMPLEX = ("complex64", "complex128")
EXACT = ("float32", "float64")
SHAPES = ((3,), (2, 3), (), (1, 3), (0, 3), (2, 1, 3), (2, 1, 2, 3), (1, 2, 1, 2, 3))
SPECIAL = (np.nan, np.inf, -np.inf, -0.0, 0.0, 0.5, -0.5, 1.5, 2.5, 1e4, -1e4)


class Tame(np.random.Generator):
    """A generator from which `draw` takes no special numbers, and shapes without entries are not drawn."""


def draw(rng, shape, dtype, low=-3.0, high=3.0, special=True):
    """Draw numbers between `low` and `high`; `special`: NaN, infinities, halves and the ends of integers among them."""
    special = special and not isinstance(rng, Tame)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if dtype.startswith("complex"):
        return (rng.uniform(low, high, shape) + 1j * rng.uniform(low, high, shape)).astype(dtype)
    if "int" not in dtype:
        x = np.asarray(rng.uniform(low, high, shape))
        if special:
            x = np.where(rng.random(shape) < 0.4, rng.choice(SPECIAL, shape), x)
        return np.asarray(x).astype(numpy_dtype(dtype))
    info = np.iinfo(dtype)
    x = rng.integers(max(int(low), info.min), int(high) + 1, shape)
    if special:
        x = np.where(rng.random(shape) < 0.2, rng.choice([info.min, min(info.max, 2**62)], shape), x)
    return np.asarray(x).astype(dtype)


def shape_of(rng, least=0, most=5):
    shapes = [s for s in SHAPES if least <= len(s) <= most and not (isinstance(rng, Tame) and 0 in s)]
    return shapes[rng.integers(len(shapes))]


def one(low=-3.0, high=3.0, special=True, least=0, **kwargs):
    return lambda rng, dtype: ([draw(rng, shape_of(rng, least), dtype, low, high, special)], kwargs)


def two(low=-3.0, high=3.0, special=True):
    """Two tensors that broadcast, the second of another rank."""

    def make(rng, dtype):
        shape = shape_of(rng)
        other = shape[rng.integers(0, len(shape) + 1) :] if shape else (2,)
        other = tuple(1 if rng.random() < 0.3 else n for n in other)
        xs = [draw(rng, s, dtype, low, high, special) for s in (shape, other)]
        return (xs[:: -1 if rng.random() < 0.5 else 1], {})

    return make


def axis_of(rng, rank, several=True):
    some = [None, *range(-rank, rank)]
    if several and rank > 1:
        some += [(0, -1), (-2,)]
    return some[rng.integers(len(some))]


def reduced(keepdims=True, several=True, special=True, filled=False, low=-3.0, high=3.0):
    def make(rng, dtype):
        shape = shape_of(rng)
        if filled and 0 in shape:
            shape = (2, 3)
        kwargs = {"axis": axis_of(rng, len(shape), several)}
        if keepdims:
            kwargs["keepdims"] = bool(rng.integers(2))
        return [draw(rng, shape, dtype, low, high, special)], kwargs

    return make


def cumulated(rng, dtype):
    shape = shape_of(rng)
    axis = axis_of(rng, len(shape), several=False)
    return [draw(rng, shape, dtype, -2, 2)], {"axis": axis}


def along(*args, shape=(3, 4), special=True, low=-3.0, high=3.0, **kwargs):
    """One tensor of a fixed shape with further arguments; functions among them are called with the generator."""

    def make(rng, dtype):
        more = [a(rng) if callable(a) else a for a in args]
        return [draw(rng, shape, dtype, low, high, special), *more], kwargs

    return make


def matrix(*args, shape=(2, 4, 4), definite=False, second=None, lower=None, **kwargs):
    """Well-conditioned matrices, `definite`, or triangular if `lower` is given; and a second tensor."""

    def make(rng, dtype):
        x = draw(rng, shape, dtype, -1, 1, special=False)
        if shape[-1] == shape[-2]:
            x = x @ np.conj(np.swapaxes(x, -1, -2)) if definite else x
            x = x + 3 * np.eye(shape[-1], dtype=dtype)
            x = x if lower is None else (np.tril(x) if lower else np.triu(x))
        more = [] if second is None else [draw(rng, second, dtype, -1, 1, special=False)]
        return [x, *more, *args], kwargs

    return make


def several(*shapes, low=-2.0, high=2.0, special=False, args=(), **kwargs):
    """Tensors of fixed shapes, then `args`."""
    return lambda rng, dtype: ([*(draw(rng, s, dtype, low, high, special) for s in shapes), *args], kwargs)


def listed(*shapes, **kwargs):
    return lambda rng, dtype: ([[draw(rng, s, dtype) for s in shapes]], kwargs)


def indices(high, *shape):
    return lambda rng: rng.integers(-high, high, shape).astype("int32")


def image(*args, shape=(2, 6, 5, 3), low=0.0, high=1.0, **kwargs):
    return along(*args, shape=shape, special=False, low=low, high=high, **kwargs)


def pair(*args, shape=(2, 8), **kwargs):
    """Real and imaginary part as one argument."""
    return lambda rng, dtype: ([tuple(draw(rng, shape, dtype, special=False) for _ in "ab"), *args], kwargs)


FEW = ("float32", "float64", "int32")
SPAN = {"low": -1e3, "high": 1e3}

TABLE = {
    # -- entry by entry: name, maker, dtypes
    **{n: (one(), ALL) for n in """square sign absolute conj real imag isfinite isinf isnan isneginf isposinf isreal
       logical_not nan_to_num ones_like zeros_like empty_like copy round floor ceil trunc signbit fabs relu relu6 ravel size
       ndim stop_gradient array""".split()},
    "abs": (one(), (*ALL, *COMPLEX)), "negative": (one(), (*REAL, *COMPLEX)),
    **{n: (one(), (*ALL, *COMPLEX) if n in ("exp", "sqrt", "sin", "cos", "tanh") else ALL) for n in """exp exp2 expm1 sqrt sin cos tanh arctan
       arcsinh sigmoid softsign hard_sigmoid hard_silu hard_tanh elu selu silu celu leaky_relu log_sigmoid softplus
       sparse_plus sparse_sigmoid squareplus hard_shrink soft_shrink threshold tanh_shrink gelu erf erfc deg2rad rad2deg
       cbrt angle""".split() if n != "threshold"}, "threshold": (along(0.5, -1), FLOATS),
    **{n: (one(-1.5, 1.5), ALL) for n in "sinh cosh tan arcsin arccos arctanh sinc i0".split()},
    **{n: (one(0.0, 6.0), ALL) for n in "log log1p log2 log10 rsqrt reciprocal arccosh".split()},
    "lgamma": (one(0.1, 9.0, special=False), ALL), "nonzero": (one(least=1), ALL), "erfinv": (one(-0.99, 0.99, special=False), FLOATS),
    **{n: (one(), (*INTS, "bool")) for n in ("bitwise_not", "bitwise_invert")},
    # -- two tensors
    **{n: (two(), (*ALL, *COMPLEX)) for n in "add multiply equal not_equal".split()},
    **{n: (two(), ALL) for n in """maximum minimum fmax fmin less less_equal greater greater_equal logical_and logical_or
       logical_xor arctan2 hypot logaddexp logaddexp2 divide_no_nan copysign isclose allclose heaviside outer append
       true_divide divide""".split()},
    "subtract": (two(), (*REAL, *COMPLEX)), "nextafter": (two(), FLOATS),
    **{n: (two(1, 5, special=False), ALL) for n in "mod floor_divide fmod".split()},
    **{f"{n} by sign": (two(-6, 6, special=False), FLOATS) for n in ("mod", "floor_divide", "fmod")},
    "power": (two(1, 4, special=False), (*FLOATS, *INTS)), "float_power": (two(0.5, 3, special=False), ALL),
    "gammainc": (two(0.1, 5, special=False), EXACT),
    **{n: (two(0, 99, special=False), (*INTS, "bool")) for n in "gcd lcm".split()},
    **{n: (two(0, 99), (*INTS, "bool")) for n in "bitwise_and bitwise_or bitwise_xor".split()},
    **{n: (two(0, 5, special=False), INTS) for n in "left_shift right_shift bitwise_left_shift bitwise_right_shift".split()},
    "ldexp": (along(lambda rng: rng.integers(-4, 5, (4,)).astype("int32")), FLOATS),
    "clip": (along(-1, 2), ALL), "kron": (several((2, 1, 3), (2, 2)), ALL), "cross": (several((2, 3), (2, 3)), REAL),
    "cross of 2": (several((4, 2), (2,), args=()), EXACT),
    # -- along axes
    **{n: (reduced(), ALL) for n in "sum prod any all mean var std nansum nanprod nanmean nanvar nanstd".split()},
    **{n: (reduced(filled=True), ALL) for n in "max min amax amin nanmax nanmin ptp median nanmedian".split()},
    **{n: (reduced(filled=True, several=False), ALL) for n in "argmax argmin nanargmax nanargmin".split()},
    "ptp": (reduced(filled=True), REAL), "count_nonzero": (reduced(keepdims=False), ALL), "logsumexp": (reduced(), ALL),
    "average": (reduced(keepdims=False), ALL),
    **{n: (cumulated, ALL) for n in "cumsum cumprod nancumsum nancumprod".split()},
    **{n: (along(q, shape=(3, 4), axis=1), (*FLOATS, "int32", "bool")) for n, q in
       (("quantile", 0.3), ("nanquantile", 0.3), ("percentile", 30), ("nanpercentile", 70))},
    "quantile of all": (along(np.array([0.0, 0.5, 1.0], "float32"), method="nearest"), FEW),
    "softmax": (along(axis=-1, special=False), FLOATS), "log_softmax": (along(axis=0), FLOATS), "sparsemax": (along(special=False), FLOATS),
    "glu": (along(axis=1), FLOATS), "normalize": (along(axis=1, special=False), FLOATS),
    "moments": (along(axes=(0, 1), special=False), FLOATS), "diff": (along(n=2, special=False), (*REAL, "bool")),
    "trapezoid": (along(special=False), ALL), "trace": (along(1), ALL), "diagonal": (along(1), ALL),
    # -- order
    **{n: (cumulated, ALL) for n in "sort argsort".split()},
    "argpartition": (along(2, special=False), REAL), "top_k": (along(2), ALL), "unique": (along(special=False), ALL),
    "unique of rows": (along(axis=0, return_index=True, return_inverse=True, return_counts=True), FEW),
    "isin": (along(lambda rng: rng.integers(0, 3, (5,))), (*FEW, "uint8")),
    "searchsorted": (lambda rng, dtype: ([np.sort(draw(rng, (5,), dtype, special=False)), draw(rng, (2, 3), dtype)], {}), REAL),
    "digitize": (along(np.array([-1.0, 0.5, 2.0], "float32")), (*FLOATS, "int32", "uint8")),
    "bincount": (along(shape=(2, 5), low=0, high=6, special=False), ("int32", "uint8", "int64", "int8")),
    "histogram": (along(shape=(9,), special=False), (*EXACT, "int32")),
    "in_top_k": (lambda rng, dtype: ([rng.integers(0, 4, (5,)), draw(rng, (5, 4), dtype), 2], {}), EXACT),
    # -- shape
    "reshape": (along((4, -1)), ALL), "transpose": (one(), ALL), "swapaxes": (along(0, -1), ALL), "moveaxis": (along(0, 1), ALL),
    "expand_dims": (one(axis=-1), ALL), "squeeze": (one(), ALL), "flip": (reduced(keepdims=False), ALL), "fliplr": (along(), ALL),
    "flipud": (along(), ALL), "rot90": (along(-1), ALL), "roll": (along(-2, axis=1), ALL), "tile": (along((2, 1, 2)), ALL),
    "repeat": (along(2, axis=-1), ALL), "broadcast_to": (along((2, 3, 4)), ALL), "pad": (along(((1, 2), (0, 1))), ALL),
    **{f"pad {m}": (along(((2, 3), (0, 5)), mode=m), (*FEW, "bool")) for m in ("reflect", "symmetric", "edge")},
    "split": (along([1, -1], axis=1), ALL), "array_split": (along(3, axis=1), ALL), "hsplit": (along(2), FEW),
    "vsplit": (along(3), FEW), "dsplit": (along([1], shape=(1, 2, 3)), FEW), "unstack": (along(axis=1), ALL),
    "tril": (along(-1), ALL), "triu": (along(1), ALL), "diag": (along(), ALL), "diagflat": (along(1), ALL),
    "view": (along("uint8"), (*FLOATS, "int32", "uint8")), "cast": (along("float16"), ALL),
    "cast to int": (along("int32"), ALL), "cast to uint8": (along("uint8", low=-999, high=999), ALL),
    "cast to int64": (along("int64"), ALL), "cast to uint64": (along("uint64"), (*FLOATS, "int32")), "cast to bool": (along("bool"), ALL),
    "saturate_cast": (along("uint8", low=-999, high=999), (*FEW, "int8")),
    **{n: (listed((2, 3), (2, 3)), ALL) for n in "stack hstack vstack dstack column_stack concatenate".split()},
    "meshgrid": (several((2,), (3,), indexing="ij"), FEW), "full_like": (along(7), ALL), "vander": (several((3,)), REAL),
    "rearrange": (along("a b -> b a"), ALL), "unfold": (several((1, 2, 5, 4), args=(2,), stride=2, padding=1), FEW),
    "fold": (several((1, 8, 4), args=(4, 2), stride=2), FEW), "depth_to_space": (several((1, 2, 3, 8), args=(2,)), FEW),
    "space_to_depth": (several((1, 4, 6, 2), args=(2,)), FEW),
    # -- index
    "take": (along(indices(9, 2, 2), axis=1), ALL), "take of all": (along(indices(20, 5)), FEW),
    "take_along_axis": (along(indices(4, 3, 2), axis=1), ALL), "get_item": (along((slice(None, None, -2), -1)), ALL),
    "where": (along(shape=(4,), low=0), FEW),
    "where of two": (lambda rng, dtype: ([rng.random((2, 1)) < 0.5, draw(rng, (1, 3), dtype), draw(rng, (), dtype)], {}), ALL),
    "select": (lambda rng, dtype: ([[rng.random(3) < 0.5, rng.random(3) < 0.5], [draw(rng, (3,), dtype) for _ in "ab"]], {}), FEW),
    "slice": (along((1, 2), (2, -1)), ALL), "slice_update": (several((3, 4), args=([1, 3], np.ones((2, 2), "float32"))), ALL),
    "scatter": (lambda rng, dtype: ([rng.integers(0, 4, (5, 1)), draw(rng, (5, 2), dtype, special=False), (4, 2)], {}), REAL),
    "scatter_update": (along(np.array([[0, 1], [2, 3]]), np.array([7, 9])), ALL),
    "unravel_index": (along((3, 4), shape=(5,), low=0, high=11, special=False), ("int32", "int64")),
    # -- products
    "matmul": (several((2, 3, 4), (4, 2)), (*ALL, *COMPLEX)), "dot": (several((2, 3, 4), (4, 2)), ALL), "inner": (several((2, 4), (3, 4)), ALL),
    "vdot": (several((2, 3), (3, 2)), (*FEW, *COMPLEX)), "tensordot": (several((2, 3, 4), (4, 3, 2), args=([[1, 2], [1, 0]],)), ALL),
    "matrix_power": (several((2, 3, 3), args=(3,)), EXACT), "cov": (several((3, 5)), (*FLOATS, "int32")),
    "corrcoef": (several((3, 5)), EXACT), "correlate": (several((7,), (3,), mode="same"), (*FLOATS, "int32")),
    "cdist": (several((2, 3, 4), (2, 5, 4)), EXACT),
    # -- linear algebra
    "cholesky": (matrix(definite=True), EXACT), "cholesky_inverse": (matrix(definite=True, lower=True), EXACT),
    **{n: (matrix(), EXACT) for n in "det inv slogdet lu_factor pinv matrix_rank".split()}, "logdet": (matrix(definite=True), EXACT),
    "lu_factor of 4 x 3": (matrix(shape=(4, 3)), EXACT),
    "solve": (matrix(second=(2, 4)), EXACT), "solve_triangular": (matrix(second=(2, 4, 3), lower=False), EXACT),
    "lstsq": (matrix(shape=(5, 3), second=(5,)), EXACT), "norm": (reduced(several=False, special=False), EXACT),
    **{f"norm {o}": (matrix(shape=(3, 4), ord=o, axis=(0, 1)), EXACT) for o in (1, -1, 2, -2, np.inf, "fro", "nuc")},
    **{f"norm of vectors {o}": (along(shape=(3, 4), special=False, ord=o, axis=-1), EXACT) for o in (0, 1, 3, -1.5, -np.inf)},
    # -- Fourier, segments, complex
    "fft": (pair(), EXACT), "fft2": (pair(shape=(2, 4, 3)), EXACT), "ifft2": (pair(shape=(2, 4, 3)), EXACT),
    "rfft": (several((2, 8), fft_length=6), EXACT), "irfft": (pair(shape=(2, 5)), EXACT),
    "stft": (several((2, 20), args=(6, 3, 8)), EXACT), "istft": (pair(6, 3, 8, shape=(2, 7, 5)), EXACT),
    "extract_sequences": (several((2, 9), args=(4, 2)), FEW), "view_as_complex": (several((3, 2)), EXACT),
    "view_as_real": (several((3, 2)), COMPLEX), "polar": (several((3,), (3,)), EXACT),
    **{n: (several((5, 2), args=(np.array([0, 2, 0, 1, 2]), 4)), (*FLOATS, "int32", "int64")) for n in
       "segment_sum segment_prod segment_max segment_min".split()},
    # -- made of numbers
    "arange": (lambda rng, dtype: ([1, 9, 3], {"dtype": dtype}), REAL), "eye": (lambda rng, dtype: ([3, 4, 1], {"dtype": dtype}), ALL),
    **{n: (lambda rng, dtype: ([(2, 3)], {"dtype": dtype}), ALL) for n in ("zeros", "ones", "empty")},
    "full": (lambda rng, dtype: ([(2, 3), 7], {"dtype": dtype}), ALL), "identity": (lambda rng, dtype: ([3], {"dtype": dtype}), ALL),
    "tri": (lambda rng, dtype: ([3, 4, 1], {"dtype": dtype}), ALL),
    **{n: (lambda rng, dtype: ([1.5, 4.0, 5], {"dtype": dtype}), (*FLOATS, "int32")) for n in "linspace logspace geomspace".split()},
    "linspace of tensors": (several((2,), (2,), args=(4,), endpoint=False, axis=-1), (*FLOATS, "int32")),
    **{n: (lambda rng, dtype: ([np.array(7, dtype)], {}), ("int32",)) for n in "bartlett blackman hamming hanning".split()},
    "kaiser": (lambda rng, dtype: ([np.array(7, dtype), 3.0], {}), ("int32",)),
    # -- networks
    "one_hot": (lambda rng, dtype: ([rng.integers(-1, 5, (2, 3)).astype(dtype), 4], {"axis": 1}), ("int32", "int64", "int8")),
    "multi_hot": (lambda rng, dtype: ([rng.integers(0, 4, (2, 3)).astype(dtype), 4], {}), ("int32", "int64", "int8")),
    "binary_crossentropy": (several((2, 3), (2, 3), low=0.05, high=0.95), FLOATS),
    "categorical_crossentropy": (several((2, 3), (2, 3), low=0.05, high=0.95), FLOATS),
    "sparse_categorical_crossentropy": (lambda rng, dtype: ([rng.integers(0, 3, (2,)), draw(rng, (2, 3), dtype, 0.1, 1, False)], {}), FLOATS),
    "psnr": (several((2, 3), (2, 3), args=(2.0,)), EXACT),
    "batch_normalization": (several((2, 3, 4), (4,), (4,), args=(-1,), low=0.1), FLOATS),
    "layer_normalization": (several((2, 3, 4), (4,), (4,)), FLOATS), "rms_normalization": (several((2, 3, 4), (4,)), FLOATS),
    "dot_product_attention": (several((1, 3, 4, 5), (1, 2, 2, 5), (1, 2, 2, 5), is_causal=True), FLOATS),
    **{n: (several((1, 5, 4, 2), args=(2, 2, "same")), FLOATS) for n in ("max_pool", "average_pool")},
    "adaptive_max_pool": (several((1, 5, 4, 2), args=(3,)), EXACT), "adaptive_average_pool": (several((1, 5, 4, 2), args=(3,)), EXACT),
    "conv": (several((1, 5, 4, 2), (2, 3, 2, 3), strides=2, padding="same"), FLOATS),
    "conv_transpose": (several((1, 3, 2, 2), (2, 3, 3, 2), strides=2, padding="valid"), FLOATS),
    "depthwise_conv": (several((1, 5, 4, 2), (2, 2, 2, 2)), FLOATS),
    "separable_conv": (several((1, 5, 4, 2), (2, 2, 2, 2), (1, 1, 4, 3)), FLOATS),
    # -- images
    "resize": (image((4, 7)), FLOATS), **{f"resize {m}": (image((4, 7), interpolation=m), EXACT) for m in
                                           ("nearest", "bicubic", "lanczos3", "lanczos5")},
    "resize of bytes": (image((4, 7), shape=(5, 5, 1), low=0, high=255), ("uint8",)),
    "affine_transform": (image(np.array([[1.1, 0.1, 0.5, 0.0, 0.9, -0.5, 0.0, 0.0]], "float32"), shape=(1, 5, 4, 2)), EXACT),
    "crop_images": (image(1, 1, target_height=3, target_width=2), FEW), "pad_images": (image(1, 1, target_height=9, target_width=8), FEW),
    "rgb_to_grayscale": (image(), FLOATS), "rgb_to_hsv": (image(), FLOATS), "hsv_to_rgb": (image(), FLOATS),
    "extract_patches": (image(2), FEW), "reconstruct_patches": (image(2, shape=(1, 2, 3, 12)), FEW),
    "extract_patches_3d": (image(2, shape=(1, 4, 4, 4, 2)), EXACT),
    "gaussian_blur": (image(), FLOATS), "sobel_edges": (image(), EXACT), "ssim": (several((1, 12, 12, 1), (1, 12, 12, 1), args=(1.0,), low=0), EXACT),
    "map_coordinates": (lambda rng, dtype: ([draw(rng, (4, 5), dtype, special=False), rng.uniform(-1, 5, (2, 6)).astype("float32"), 1], {}), EXACT),
    "scale_and_translate": (lambda rng, dtype: ([draw(rng, (4, 5), dtype, special=False), (6, 7), np.array([1.5, 1.2], "float32"),
                                                 np.array([0.5, -0.5], "float32"), (0, 1), "linear"], {}), EXACT),
    "perspective_transform": (lambda rng, dtype: ([draw(rng, (1, 4, 4, 1), dtype, special=False),
                                                   np.array([[[0, 0], [3, 0], [0, 3], [3, 3]]], "float32"),
                                                   np.array([[[0, 0], [3, 0], [1, 3], [3, 2]]], "float32")], {}), EXACT),
}  # fmt: skip

ELSEWHERE = {
    "test_transforms.py, test_vectorize.py": "associative_scan cond fori_loop map scan switch vectorized_map while_loop",
    "tests/random": "beta binomial categorical dropout gamma normal randint shuffle truncated_normal uniform elastic_transform",
    "tests/keras_oracle/test_recurrent.py": "gru lstm rnn simple_rnn",
    "its results are unique but for signs or order: test_decompositions": "eig eigh qr svd",
    "test_windows.py, test_sequences.py": "ctc_decode ctc_loss",
    "test_every_op.py": "einsum",
    "not public, tested with the layers": "affine averaged biased_conv dropped normalization_by_batch picked",
    "of multikeras.quantizers: tests/layers/test_quantized.py, tests/keras_oracle/test_quantized.py": "abs_max_quantize "
    "abs_max_quantize_grouped_with_zero_point compute_float8_amax_history compute_float8_scale quantize_and_dequantize",
}
"""Ops whose law needs more than a row here, by where it is tested."""


KNOWN = frozenset("squeeze correlate conv_transpose depthwise_conv separable_conv map_coordinates".split() + ["cross of 2"])
"""Rows whose tensors must have known sizes, or whose rank depends on them."""


def op_of(name):
    """Return the op that a row of the table is about: the first word of its name."""
    word = name.split(" ")[0]
    for place in (ops, ops.image, ops.linalg, ops.nn, ops.numpy):
        if hasattr(place, word):
            return getattr(place, word)
    raise AssertionError(f"no op {word}")
