"""Linear algebra on matrices in the last two dimensions."""

import math

from multikeras.backend import dtypes
from multikeras.backend.shapes import InvalidArgument, canonical_axes, known
from multikeras.ops._op import convert, face, op
from multikeras.ops.transforms import jvp as jvp


def _require(op_name, x, square=False):
    """Refuse what has no matrix in its last two dimensions, or no square one."""
    if len(x.shape) < 2:
        raise ValueError(
            f"{op_name}: Expected a matrix in the last two dimensions (rank 2 or more),"
            f" got shape {tuple(x.shape)}."
        )
    rows, columns = x.shape[-2:]
    if square and rows != columns:
        raise ValueError(
            f"{op_name}: Expected a square matrix in the last two dimensions,"
            f" got shape {tuple(x.shape)}."
        )


def _transposed(B, x):
    rank = len(x.shape)
    return B.transpose(x, (*range(rank - 2), rank - 1, rank - 2))


def _adjoint(B, x):
    x = _transposed(B, x)
    return B.conj(x) if dtypes.is_complex(B.dtype(x)) else x


def _eye_like(B, x):
    return B.broadcast_to(B.eye(B.shape(x)[-1], None, 0, B.dtype(x)), B.shape(x))


def _epsilon(dtype):
    return {"float64": 2.0**-52, "complex128": 2.0**-52, "float16": 2.0**-10, "bfloat16": 2.0**-7}.get(dtype, 2.0**-23)


@face(inexact=True)
def cholesky(B, x, upper=False):
    """Return the triangular L with L L^H = x; `upper`: R with R^H R = x.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.cholesky([[4.0, 0.0], [0.0, 9.0]])).tolist()
    [[2.0, 0.0], [0.0, 3.0]]
    """
    _require("cholesky", x, square=True)
    lower = B.cholesky(x)
    try:
        failed = bool(B.isnan(B.sum(lower)))
    except TypeError:  # no values yet: a symbolic tensor, or a function being compiled
        failed = False
    if failed:
        raise ValueError("cholesky: x is not positive definite.")
    return _adjoint(B, lower) if upper else lower


@op(inexact=True)
def cholesky_inverse(B, x, upper=False):
    """Return the inverse of the matrix whose Cholesky factor is `x`.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.cholesky_inverse([[2.0, 0.0], [0.0, 1.0]])).tolist()
    [[0.25, 0.0], [0.0, 1.0]]
    """
    _require("cholesky_inverse", x, square=True)
    inverse = B.solve_triangular(_adjoint(B, x) if upper else x, _eye_like(B, x), True)
    return B.matmul(_adjoint(B, inverse), inverse)


@op(inexact=True)
def det(B, x):
    """Return the determinant.

    >>> from multikeras import ops
    >>> round(float(ops.det([[1.0, 2.0], [3.0, 4.0]])), 4)
    -2.0
    """
    _require("det", x, square=True)
    sign, log = B.slogdet(x)
    return sign * B.cast(B.exp(log), B.dtype(sign))


@op(inexact=True)
def logdet(B, x):
    """Return the logarithm of the determinant of a positive definite matrix.

    >>> from multikeras import ops
    >>> round(float(ops.logdet([[4.0, 0.0], [0.0, 1.0]])), 4)
    1.3863
    """
    _require("logdet", x, square=True)
    return B.slogdet(x)[1]


@face(inexact=True)
def slogdet(B, x):
    """Return the sign of the determinant and the logarithm of its absolute value.

    >>> from multikeras import ops
    >>> [round(float(v), 4) for v in ops.slogdet([[0.0, 1.0], [1.0, 0.0]])]
    [-1.0, 0.0]
    """
    _require("slogdet", x, square=True)
    return B.slogdet(x)


@face(inexact=True)
def eig(B, x):
    """Return the complex eigenvalues and eigenvectors, as columns, of a square matrix.

    >>> from multikeras import ops
    >>> values, vectors = ops.eig([[2.0, 0.0], [0.0, 2.0]])
    >>> values.shape == (2,)
    True
    """
    _require("eig", x, square=True)
    return B.eig(x)


@face(inexact=True)
def eigh(B, x):
    """Return the eigenvalues, upwards, and eigenvectors, as columns, of a Hermitian matrix.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.eigh([[3.0, 0.0], [0.0, 1.0]])[0]).tolist()
    [1.0, 3.0]
    """
    _require("eigh", x, square=True)
    return B.eigh(x)


@op(inexact=True)
def inv(B, x):
    """Return the inverse of a square matrix.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.inv([[2.0, 0.0], [0.0, 4.0]])).tolist()
    [[0.5, 0.0], [0.0, 0.25]]
    """
    _require("inv", x, square=True)
    return B.solve(x, _eye_like(B, x))


@face(inexact=True)
def lu_factor(B, x):
    """Return L and U in one matrix, and the row exchanged with each row.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.lu_factor([[2.0, 0.0], [0.0, 4.0]])[0]).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """
    _require("lu_factor", x)
    return B.lu_factor(x)


@face(inexact=True)
def qr(B, x, mode="reduced"):
    """Return Q with orthonormal columns and an upper triangular R whose product is `x`.

    >>> from multikeras import ops
    >>> q, r = ops.qr(ops.ones((3, 2)))
    >>> (q.shape, r.shape) == ((3, 2), (2, 2))
    True
    """
    _require("qr", x)
    if mode not in ("reduced", "complete"):
        raise ValueError(f"qr: mode must be 'reduced' or 'complete', got {mode!r}.")
    return B.qr(x, mode)


@face(inexact=True)
def svd(B, x, full_matrices=True, compute_uv=True):
    """Return U, the singular values downwards, and V^H; only the values without `compute_uv`.

    >>> from multikeras import ops
    >>> [round(float(v), 3) for v in ops.svd([[3.0, 0.0], [0.0, 4.0]], compute_uv=False)]
    [4.0, 3.0]
    """
    _require("svd", x)
    return B.svd(x, full_matrices) if compute_uv else B.svd(x, False)[1]


@op(inexact=True)
def pinv(B, x, rcond=None):
    """Return the Moore-Penrose inverse; singular values below `rcond` times the largest count as 0.

    >>> from multikeras import ops
    >>> round(float(ops.pinv([[2.0, 0.0], [0.0, 0.0]])[0, 0]), 3)
    0.5
    """
    _require("pinv", x)
    u, s, vh = B.svd(x, False)
    inverse = _inverted(B, s, rcond, x)
    return B.matmul(_adjoint(B, vh) * B.cast(B.expand_dims(inverse, -2), B.dtype(x)), _adjoint(B, u))


def _inverted(B, s, rcond, x):
    """Return 1 / s, 0 for the values that are noise."""
    if rcond is None:
        rcond = _epsilon(B.dtype(x)) * max(x.shape[-2:]) if all(map(known, x.shape[-2:])) else _epsilon(B.dtype(x))
    small = s <= B.max(s, -1, True) * rcond
    one = B.asarray(1, B.dtype(s))
    return B.where(small, B.asarray(0, B.dtype(s)), B.divide(one, B.where(small, one, s)))


@op(tensors=2, promote=True, inexact=True)
def lstsq(B, a, b, rcond=None):
    """Return the shortest x for which |a x - b| is least.

    >>> from multikeras import ops
    >>> [round(float(v), 3) for v in ops.lstsq([[1.0], [1.0]], [1.0, 3.0])]
    [2.0]
    """
    if len(a.shape) != 2 or len(b.shape) not in (1, 2):
        raise ValueError(
            "lstsq: a must be a matrix, b a vector or matrix,"
            f" got shapes {tuple(a.shape)} and {tuple(b.shape)}."
        )
    if known(a.shape[0]) and known(b.shape[0]) and a.shape[0] != b.shape[0]:
        raise ValueError(f"lstsq: a {tuple(a.shape)} and b {tuple(b.shape)} differ in rows.")
    u, s, vh = B.svd(a, False)
    columns = b if len(b.shape) == 2 else B.expand_dims(b, 1)
    # Never multiplied out to pinv(a): the two products one after the other lose fewer digits.
    scaled = B.matmul(_adjoint(B, u), columns) * B.cast(B.expand_dims(_inverted(B, s, rcond, a), 1), B.dtype(a))
    x = B.matmul(_adjoint(B, vh), scaled)
    return x if len(b.shape) == 2 else B.squeeze(x, (1,))


@op(inexact=True)
def matrix_rank(B, x, tol=None):
    """Return how many singular values are above `tol` (None: above rounding errors), int32.

    >>> from multikeras import ops
    >>> int(ops.matrix_rank([[1.0, 1.0], [1.0, 1.0]]))
    1
    """
    _require("matrix_rank", x)
    s = B.svd(x, False)[1]
    if tol is None:
        bound = B.max(s, -1, True) * (_epsilon(B.dtype(x)) * max((n for n in x.shape[-2:] if known(n)), default=1))
    else:
        bound = B.cast(convert(B, tol), B.dtype(s))
        bound = B.expand_dims(bound, -1) if len(bound.shape) else bound
    return B.sum(B.cast(s > bound, "int32"), -1)


def _require_system(op_name, a, b):
    _require(op_name, a, square=True)
    rank = len(a.shape)
    if len(b.shape) not in (rank, rank - 1):
        raise ValueError(
            f"{op_name}: Expected b of rank {rank} or {rank - 1},"
            f" got a {tuple(a.shape)} and b {tuple(b.shape)}."
        )
    rows = b.shape[-2 if len(b.shape) == rank else -1]
    if rows != a.shape[-1]:
        raise ValueError(f"{op_name}: Incompatible shapes: a {tuple(a.shape)} and b {tuple(b.shape)} differ in rows.")


@face(tensors=2, promote=True, inexact=True)
def solve(B, a, b):
    """Return x with a x = b; `b` holds vectors if it has one dimension less than `a`.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.solve([[2.0, 0.0], [0.0, 4.0]], [2.0, 2.0])).tolist()
    [1.0, 0.5]
    """
    _require_system("solve", a, b)
    if len(b.shape) == len(a.shape):
        return B.solve(a, b)
    return B.squeeze(B.solve(a, B.expand_dims(b, -1)), (len(a.shape) - 1,))


@face(tensors=2, promote=True, inexact=True)
def solve_triangular(B, a, b, lower=False):
    """Return x with a x = b for an upper, or `lower`, triangular `a`.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.solve_triangular([[2.0, 0.0], [0.0, 4.0]], [2.0, 2.0])).tolist()
    [1.0, 0.5]
    """
    _require_system("solve_triangular", a, b)
    if len(b.shape) == len(a.shape):
        return B.solve_triangular(a, b, lower)
    return B.squeeze(B.solve_triangular(a, B.expand_dims(b, -1), lower), (len(a.shape) - 1,))


def _power_norm(B, x, order, axes, keepdims):
    """Return sum(|x|**order)**(1 / order), scaled against overflow; its derivative at 0 is 0."""
    x = B.abs(x)
    one, zero = B.asarray(1, B.dtype(x)), B.asarray(0, B.dtype(x))
    top = B.stop_gradient(B.max(x, axes, True))
    top = B.where(B.bitwise_and(top > 0, B.isfinite(top)), top, one)
    x = B.divide(x, top)
    if order == 2:
        total = B.sum(x * x, axes, True)
    else:
        total = B.sum(B.where(x > 0, B.power(B.where(x > 0, x, one), B.asarray(order, B.dtype(x))), zero), axes, True)
    some = B.equal(total, zero)
    inner = B.where(some, one, total)
    root = B.sqrt(inner) if order == 2 else B.power(inner, B.asarray(1.0 / order, B.dtype(x)))
    norm = B.where(some, zero, root) * top
    return norm if keepdims else B.squeeze(norm, axes)


def _vector_norm(B, x, order, axes, keepdims):
    if order in (math.inf, -math.inf):
        return (B.max if order > 0 else B.min)(B.abs(x), axes, keepdims)
    if order == 0:
        zero = B.asarray(0, B.dtype(x))
        return B.sum(B.cast(B.bitwise_not(B.equal(x, zero)), _real(B, x)), axes, keepdims)
    if order == 1:
        return B.sum(B.abs(x), axes, keepdims)
    if order < 0:
        order = B.asarray(order, _real(B, x))
        total = B.sum(B.power(B.abs(x), order), axes, keepdims)
        return B.power(total, B.divide(B.asarray(1, B.dtype(total)), order))
    return _power_norm(B, x, order, axes, keepdims)


def _real(B, x):
    return {"complex64": "float32", "complex128": "float64"}.get(B.dtype(x), B.dtype(x))


def _matrix_norm(B, x, order, axes, keepdims):
    if order in (1, -1, math.inf, -math.inf):
        # The order decides along which of the two dimensions one adds up.
        along, over = axes if order in (1, -1) else axes[::-1]
        sums = B.sum(B.abs(x), along, True)
        norm = (B.max if order > 0 else B.min)(sums, over, True)
    else:
        rank = len(x.shape)
        rest = [i for i in range(rank) if i not in axes]
        s = B.svd(B.transpose(x, (*rest, *axes)), False)[1]
        norm = {2: B.max, -2: B.min, "nuc": B.sum}[order](s, -1, False)
        norm = B.reshape(norm, tuple(1 if i in axes else n for i, n in enumerate(B.shape(x))))
    return norm if keepdims else B.squeeze(norm, axes)


@op(inexact=True)
def norm(B, x, ord=None, axis=None, keepdims=False):
    """Return the norm of vectors (one axis) or matrices (two); of all entries if neither ord nor axis is given.

    `ord` is a number, "fro" or "nuc", as in `numpy.linalg.norm`.

    >>> from multikeras import ops
    >>> float(ops.norm([3.0, 4.0]))
    5.0
    """
    rank = len(x.shape)
    if axis is None and ord is not None and rank not in (1, 2):
        raise InvalidArgument(
            f"norm: with ord={ord!r} and no axis, x must be a vector or matrix,"
            f" got shape {tuple(x.shape)}."
        )
    axes = canonical_axes(axis, rank, "norm")
    if ord is None or (ord == "fro" and len(axes) == 2) or (ord == 2 and len(axes) == 1):
        return _power_norm(B, x, 2, axes, keepdims)
    valid = {1: "a number", 2: "1, -1, 2, -2, inf, -inf, 'fro' or 'nuc'"}.get(len(axes))
    if valid is None:
        raise InvalidArgument(f"norm: ord={ord!r} needs one axis or two, got axis={axis!r}.")
    if (len(axes) == 1 and isinstance(ord, str)) or (len(axes) == 2 and ord not in (1, -1, 2, -2, math.inf, -math.inf, "nuc")):
        raise InvalidArgument(
            f"norm: Invalid `ord` argument for {'vector' if len(axes) == 1 else 'matrix'} norm: "
            f"expected {valid}. Received: ord={ord}"
        )
    return _vector_norm(B, x, ord, axes, keepdims) if len(axes) == 1 else _matrix_norm(B, x, ord, axes, keepdims)
