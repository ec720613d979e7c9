"""Ops that multiply and add: products of matrices and tensors, covariance, correlation, differences."""

from typing import Any

from multikeras.backend import dtypes
from multikeras.backend.shapes import canonical_axis
from multikeras.core import budget
from multikeras.ops import _sizes
from multikeras.ops._common import Tensor
from multikeras.ops._op import convert, convert_together, face, op
from multikeras.ops.reduce import widened


def _together(B, xs: Any) -> list[Tensor]:
    """Return tensors of one dtype; those that all are int8 as int32, so that their products can be added."""
    xs = [convert(B, x) if hasattr(x, "dtype") else x for x in xs]
    if all(getattr(x, "dtype", None) is not None and B.dtype(x) == "int8" for x in xs):
        return [B.cast(x, "int32") for x in xs]
    return convert_together(B, xs, False)


@face(tensors=2)
def matmul(B, x1: Any, x2: Any) -> Tensor:
    """Multiply matrices; vectors count as a row on the left and a column on the right, leading dimensions broadcast.

    >>> ops.matmul(ops.ones((2, 3)), ops.ones((3, 4))).shape == (2, 4)
    True
    """
    if B.dtype(x1) == B.dtype(x2) != "int8":
        return B.matmul(x1, x2)
    return B.matmul(*_together(B, (x1, x2)))


@face(tensors=0)
def einsum(B, subscripts: str, *operands: Any, **kwargs: Any) -> Tensor:
    """Multiply and sum over the dimensions that `subscripts` names, as in "ij,jk->ik".

    Without "->" the letters that occur once are kept, in the order of the alphabet.

    >>> ops.einsum("ij,jk->ik", ops.ones((2, 3)), ops.ones((3, 4))).shape == (2, 4)
    True
    """
    if not isinstance(subscripts, str):
        raise TypeError(f"einsum: subscripts must be a string, got {subscripts!r}.")
    kwargs.pop("optimize", None)
    if kwargs:
        raise TypeError(f"einsum: unknown argument {next(iter(kwargs))!r}.")
    xs = _together(B, operands)
    terms = subscripts.replace(" ", "").split("->")[0].split(",")
    if len(terms) != len(xs):
        raise ValueError(f"einsum: subscripts={subscripts!r} names {len(terms)} operands, {len(xs)} were given.")
    if "->" not in subscripts:
        letters = "".join(terms).replace(".", "")
        kept = sorted(c for c in set(letters) if letters.count(c) == 1)
        subscripts += "->" + ("..." if "..." in subscripts else "") + "".join(kept)
    return B.einsum(subscripts.replace(" ", ""), *xs)


@op(tensors=2, promote=True)
def tensordot(B, x1: Any, x2: Any, axes: Any = 2) -> Tensor:
    """Multiply and sum over pairs of axes: the last of `x1` with the first of `x2`, or those named.

    `axes` is how many, or a pair of axes or of sequences of axes.

    >>> ops.tensordot(ops.ones((2, 3)), ops.ones((3, 4)), axes=1).shape == (2, 4)
    True
    """
    rank1, rank2 = len(x1.shape), len(x2.shape)
    if isinstance(axes, int):
        first, second = list(range(rank1 - axes, rank1)), list(range(axes))
    else:
        first, second = ([a] if isinstance(a, int) else list(a) for a in axes)
    first = [canonical_axis(a, rank1, "tensordot") for a in first]
    second = [canonical_axis(a, rank2, "tensordot") for a in second]
    if len(first) != len(second):
        raise ValueError(f"tensordot: axes={axes!r} names {len(first)} axes of x1, {len(second)} of x2.")
    free1, free2 = ([a for a in range(r) if a not in used] for r, used in ((rank1, first), (rank2, second)))
    sizes1, sizes2 = B.shape(x1), B.shape(x2)
    inner = _sizes.product(sizes1[a] for a in first)
    left, right = [sizes1[a] for a in free1], [sizes2[a] for a in free2]
    x1 = B.reshape(B.transpose(x1, free1 + first), (_sizes.product(left), inner))
    x2 = B.reshape(B.transpose(x2, second + free2), (inner, _sizes.product(right)))
    return B.reshape(B.matmul(x1, x2), (*left, *right))


@op(tensors=2, promote=True)
def dot(B, x1: Any, x2: Any) -> Tensor:
    """Multiply and sum over the last dimension of `x1` and the last but one of `x2` (its only one, of a vector).

    >>> float(ops.dot([1.0, 2.0], [3.0, 4.0]))
    11.0
    """
    if not x1.shape or not x2.shape or len(x1.shape) * len(x2.shape) == 0:
        return x1 * x2
    return B.tensordot(x1, x2, (-1, -2 if len(x2.shape) > 1 else -1))


@op(tensors=2, promote=True)
def inner(B, x1: Any, x2: Any) -> Tensor:
    """Multiply and sum over the last dimensions of both.

    >>> float(ops.inner([1.0, 2.0], [3.0, 4.0]))
    11.0
    """
    if len(x1.shape) == 0 or len(x2.shape) == 0:
        return x1 * x2
    return B.tensordot(x1, x2, (-1, -1))


@op(tensors=2, promote=True)
def vdot(B, x1: Any, x2: Any) -> Tensor:
    """Multiply entry by entry, the first conjugated, and sum over all.

    >>> float(ops.vdot([[1.0, 2.0]], [[3.0, 4.0]]))
    11.0
    """
    x1 = B.conj(x1) if dtypes.is_complex(B.dtype(x1)) else x1
    return B.matmul(B.reshape(x1, (-1,)), B.reshape(x2, (-1,)))


@op(tensors=2, promote=True)
def outer(B, x1: Any, x2: Any) -> Tensor:
    """Multiply each entry of one with each of the other: a matrix.

    >>> ops.outer([1, 2], [3, 4, 5]).shape == (2, 3)
    True
    """
    return B.reshape(x1, (-1, 1)) * B.reshape(x2, (1, -1))


@op(tensors=2, promote=True)
def kron(B, x1: Any, x2: Any) -> Tensor:
    """Put, for each entry of `x1`, that multiple of `x2` in its place.

    >>> ops.kron([[1, 2]], [[1], [1]]).shape == (2, 2)
    True
    """
    rank = max(len(x1.shape), len(x2.shape))
    sizes1, sizes2 = ((1,) * (rank - len(x.shape)) + tuple(B.shape(x)) for x in (x1, x2))
    x1 = B.reshape(x1, tuple(s for size in sizes1 for s in (size, 1)))
    x2 = B.reshape(x2, tuple(s for size in sizes2 for s in (1, size)))
    return B.reshape(x1 * x2, tuple(a * b for a, b in zip(sizes1, sizes2)))


@op(tensors=2, promote=True)
def cross(
    B, x1: Any, x2: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Tensor:
    """Return cross products of vectors of 2 or 3 components, which lie along the given axes.

    The product of vectors of 2 components is a scalar, the third component.

    >>> [float(v) for v in ops.cross([1.0, 0.0, 0.0], [0.0, 1.0, 0.0])]
    [0.0, 0.0, 1.0]
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    x1, x2 = B.moveaxis(x1, axisa, -1), B.moveaxis(x2, axisb, -1)
    sizes = (x1.shape[-1], x2.shape[-1])
    if not all(n in (2, 3, None) for n in sizes):
        raise ValueError(f"cross: vectors need 2 or 3 components, got {sizes[0]} and {sizes[1]}.")

    def component(x, i):
        return B.getitem(x, (Ellipsis, i)) if x.shape[-1] in (None, 3) or i < 2 else B.getitem(x, (Ellipsis, 0)) * 0

    (a0, a1), (b0, b1) = ((component(x, 0), component(x, 1)) for x in (x1, x2))
    if sizes == (2, 2):
        return B.subtract(a0 * b1, a1 * b0)
    a2, b2 = component(x1, 2), component(x2, 2)
    parts = ((a1 * b2, a2 * b1), (a2 * b0, a0 * b2), (a0 * b1, a1 * b0))
    return B.moveaxis(B.stack([B.subtract(plus, minus) for plus, minus in parts], -1), -1, axisc)


@op
def trace(B, x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Add up a diagonal of the matrices along two axes; bools and small integers in 32 bits.

    >>> int(ops.trace([[1, 2], [3, 4]]))
    5
    """
    return B.sum(widened(B, B.diagonal(x, offset, axis1, axis2)), -1, False)


@op
def matrix_power(B, x: Any, n: int) -> Tensor:
    """Multiply square matrices with themselves `n` times; of negative `n`, their inverses.

    >>> float(ops.matrix_power([[1.0, 1.0], [0.0, 1.0]], 5)[0, 1])
    5.0
    """
    if len(x.shape) < 2 or x.shape[-1] != x.shape[-2]:
        raise ValueError(f"matrix_power: x must hold square matrices, got shape {tuple(x.shape)}.")
    one = B.add(B.eye(x.shape[-1], None, 0, B.dtype(x)), B.zeros_like(x))
    if n < 0:
        return B.matrix_power(B.solve(x, one), -n)
    result = one
    while n:
        result = B.matmul(result, x) if n % 2 else result
        n //= 2
        x = B.matmul(x, x) if n else x
    return result


# -- statistics and signals --------------------------------------------------------------------------------------------


@op(inexact=True)
def cov(B, m: Any, rowvar: bool = True, bias: bool = False) -> Tensor:
    """Return the covariance matrix of variables in rows (or, `rowvar=False`, columns) with observations in the others.

    Sums are divided by the number of observations less one, with `bias` by the number.

    >>> ops.cov([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]).shape == (2, 2)
    True
    """
    if len(m.shape) > 2:
        raise ValueError(f"cov: m must have rank 1 or 2, got shape {tuple(m.shape)}.")
    m = m if len(m.shape) == 2 else B.reshape(m, (1, -1))
    m = m if rowvar else B.transpose(m, (1, 0))
    off = m - B.mean(m, 1, keepdims=True)
    turned = B.transpose(B.conj(off) if dtypes.is_complex(B.dtype(m)) else off, (1, 0))
    result = B.matmul(off, turned) / (_sizes.count(B, m, 1) - (not bias))
    return result if result.shape != (1, 1) else B.reshape(result, ())


@op(inexact=True)
def corrcoef(B, x: Any) -> Tensor:
    """Return the correlation coefficients between the rows of a matrix.

    >>> round(float(ops.corrcoef([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])[0, 1]), 4)
    -1.0
    """
    covariance = B.cov(x)
    if len(covariance.shape) == 0:
        return covariance / covariance
    deviation = B.sqrt(B.real(B.diagonal(covariance)) if dtypes.is_complex(B.dtype(x)) else B.diagonal(covariance))
    deviation = B.cast(deviation, B.dtype(x))
    return covariance / B.expand_dims(deviation, 1) / B.expand_dims(deviation, 0)


@op(tensors=2, promote=True, inexact=True)
def correlate(B, x1: Any, x2: Any, mode: str = "valid") -> Tensor:
    """Slide one vector along another and return the products summed.

    `mode`: "valid" (only where they overlap in full), "same" (as long as the longer) or "full".

    >>> [float(v) for v in ops.correlate([1.0, 2.0, 3.0], [0.0, 1.0])]
    [2.0, 3.0]
    """
    if len(x1.shape) != 1 or len(x2.shape) != 1:
        raise ValueError(f"correlate: needs vectors, got shapes {tuple(x1.shape)} and {tuple(x2.shape)}.")
    if mode not in ("valid", "same", "full"):
        raise ValueError(f'correlate: mode must be "valid", "same" or "full", got {mode!r}.')
    n, m = x1.shape[0], x2.shape[0]
    if n is not None and m is not None and n < m:
        return B.flip(B.correlate(x2, x1, mode), (0,))
    if m is None:
        raise ValueError("correlate: the length of x2 must be known.")
    padding = {"valid": (0, 0), "same": (m // 2, m - 1 - m // 2), "full": (m - 1, m - 1)}[mode]
    found = B.conv(
        B.reshape(x1, (1, -1, 1)), B.reshape(x2, (-1, 1, 1)), (1,), (padding,), (1,), 1, "channels_last"
    )
    return B.reshape(found, (-1,))


@op
def diff(B, a: Any, n: int = 1, axis: int = -1) -> Tensor:
    """Subtract from each entry the one before it along an axis, `n` times over; of bools, tell where they change.

    >>> [int(v) for v in ops.diff([1, 4, 9])]
    [3, 5]
    """
    if n < 0:
        raise ValueError(f"diff: n must not be negative, got {n}.")
    budget.loop(n, "diff")
    before = (slice(None),) * canonical_axis(axis, len(a.shape), "diff")
    for _ in range(n):
        after, earlier = (B.getitem(a, (*before, s)) for s in (slice(1, None), slice(None, -1)))
        a = B.bitwise_xor(after, earlier) if B.dtype(a) == "bool" else B.subtract(after, earlier)
    return a


@op(inexact=True)
def trapezoid(B, y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Tensor:
    """Integrate along an axis by trapezoids, between points `x` or `dx` apart.

    >>> float(ops.trapezoid([1.0, 2.0, 3.0]))
    4.0
    """
    y = B.moveaxis(y, axis, -1)
    means = (B.getitem(y, (Ellipsis, slice(1, None))) + B.getitem(y, (Ellipsis, slice(None, -1)))) * 0.5
    if x is None:
        return B.sum(means, -1, False) * dx
    x = B.cast(convert(B, x), B.dtype(y))
    x = x if len(x.shape) == 1 else B.moveaxis(x, axis, -1)
    return B.sum(means * B.diff(x), -1, False)
