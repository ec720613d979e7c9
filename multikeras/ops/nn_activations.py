"""Activation functions."""

import math

from multikeras import config
from multikeras.backend import dtypes
from multikeras.backend.shapes import canonical_axis, known
from multikeras.ops._common import constant
from multikeras.ops._op import op


def _negative_abs(B, x):
    """Return -|x| with the derivative of -x at 0."""
    return B.where(x < 0, x, -x)


@op
def relu(B, x):
    """Return x where positive, else 0.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.relu([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """
    if B.dtype(x) == "bool":
        return x
    zero = constant(B, x, 0)
    return B.where(B.less_equal(x, zero), zero, x)


@op
def relu6(B, x):
    """Return x cut off below 0 and above 6.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.relu6([-1.0, 2.0, 9.0])).tolist()
    [0.0, 2.0, 6.0]
    """
    return B.where(B.less(x, constant(B, x, 6)), B.relu(x), B.minimum(B.stop_gradient(x), constant(B, x, 6)))


@op(inexact=True)
def sigmoid(B, x):
    """Return 1 / (1 + exp(-x)), relatively exact on both sides.

    >>> from multikeras import ops
    >>> float(ops.sigmoid(0.0))
    0.5
    """
    e = B.exp(_negative_abs(B, x))
    return B.divide(B.where(x < 0, e, constant(B, x, 1)), e + 1.0)


@op(inexact=True)
def sparse_sigmoid(B, x):
    """Return 0 below -1, 1 above 1, and (x + 1) / 2 between.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.sparse_sigmoid([-2.0, 0.0, 2.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    middle = B.where(x >= 1, constant(B, x, 1), (x + 1.0) * 0.5)
    return B.where(x <= -1, constant(B, x, 0), middle)


@op(inexact=True)
def softplus(B, x):
    """Return log(1 + exp(x)) without overflow.

    >>> from multikeras import ops
    >>> float(ops.softplus(1000.0))
    1000.0
    """
    return B.where(x < 0, constant(B, x, 0), x) + B.log1p(B.exp(_negative_abs(B, x)))


@op(inexact=True)
def softsign(B, x):
    """Return x / (1 + |x|).

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.softsign([-1.0, 1.0])).tolist()
    [-0.5, 0.5]
    """
    return B.divide(x, B.abs(x) + 1.0)


@op(inexact=True)
def soft_shrink(B, x, threshold=0.5):
    """Move x towards 0 by `threshold`, to 0 where it is nearer.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.soft_shrink([-2.0, 0.2, 2.0])).tolist()
    [-1.5, 0.0, 1.5]
    """
    return B.where(x > threshold, x - threshold, B.where(x < -threshold, x + threshold, constant(B, x, 0)))


@op(inexact=True)
def sparse_plus(B, x):
    """Return 0 below -1, x above 1, and (x + 1)**2 / 4 between.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.sparse_plus([-2.0, 0.0, 2.0])).tolist()
    [0.0, 0.25, 2.0]
    """
    y = x + 1.0
    return B.where(x <= -1, constant(B, x, 0), B.where(x < 1, y * y * 0.25, x))


@op(inexact=True)
def silu(B, x):
    """Return x * sigmoid(x).

    >>> from multikeras import ops
    >>> float(ops.silu(0.0))
    0.0
    """
    return x * B.sigmoid(x)


@op(inexact=True)
def squareplus(B, x, b=4):
    """Return (x + sqrt(x**2 + b)) / 2.

    >>> from multikeras import ops
    >>> float(ops.squareplus(0.0))
    1.0
    """
    return (x + B.sqrt(x * x + float(b))) * 0.5


@op(inexact=True)
def log_sigmoid(B, x):
    """Return the logarithm of sigmoid(x) without underflow.

    >>> from multikeras import ops
    >>> float(ops.log_sigmoid(-1000.0))
    -1000.0
    """
    return -B.softplus(-x)


@op(inexact=True)
def leaky_relu(B, x, negative_slope=0.2):
    """Return x where positive, else `negative_slope` * x.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.leaky_relu([-10.0, 2.0], 0.5)).tolist()
    [-5.0, 2.0]
    """
    return B.where(x > 0, x, x * negative_slope)


@op(inexact=True)
def hard_sigmoid(B, x):
    """Return x / 6 + 0.5 cut off below 0 and above 1.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.hard_sigmoid([-3.0, 0.0, 3.0])).tolist()
    [0.0, 0.5, 1.0]
    """
    return B.relu6(x + 3.0) / 6.0


@op(inexact=True)
def hard_silu(B, x):
    """Return x * hard_sigmoid(x).

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.hard_silu([0.0, 3.0])).tolist()
    [0.0, 3.0]
    """
    return x * B.hard_sigmoid(x)


@op(inexact=True)
def elu(B, x, alpha=1.0):
    """Return x where positive, else `alpha` * (exp(x) - 1).

    >>> from multikeras import ops
    >>> float(ops.elu(3.0))
    3.0
    """
    return B.where(x > 0, x, B.expm1(B.where(x > 0, constant(B, x, 0), x)) * constant(B, x, alpha))


@op(inexact=True)
def selu(B, x):
    """Return the scaled `elu` that keeps mean 0 and variance 1 (Klambauer et al., 2017).

    >>> from multikeras import ops
    >>> round(float(ops.selu(1.0)), 4)
    1.0507
    """
    return B.elu(x, 1.6732632423543772) * constant(B, x, 1.0507009873554805)


@op(inexact=True)
def celu(B, x, alpha=1.0):
    """Return x where positive, else `alpha` * (exp(x / alpha) - 1).

    >>> from multikeras import ops
    >>> float(ops.celu(3.0))
    3.0
    """
    low = B.where(x > 0, constant(B, x, 0), x)
    return B.where(x > 0, x, B.expm1(low * (1.0 / alpha)) * alpha)


@op(inexact=True)
def gelu(B, x, approximate=True):
    """Return x times the normal distribution function of x, `approximate`: by the hyperbolic tangent.

    >>> from multikeras import ops
    >>> round(float(ops.gelu(1.0, approximate=False)), 4)
    0.8413
    """
    if not approximate:
        return x * 0.5 * B.erfc(x * constant(B, x, -math.sqrt(0.5)))
    cubic, steep = constant(B, x, 0.044715), constant(B, x, math.sqrt(8.0 / math.pi))
    return x * B.sigmoid((x * x * cubic + 1.0) * x * steep)


@op(inexact=True)
def glu(B, x, axis=-1):
    """Split x in two along `axis` and return the first half times the sigmoid of the second.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.glu([2.0, 0.0])).tolist()
    [1.0]
    """
    axis = canonical_axis(axis, len(x.shape), "glu")
    size = x.shape[axis]
    if known(size) and size % 2:
        raise ValueError(f"glu: axis {axis} of shape {tuple(x.shape)} must have an even size.")
    half, before = B.shape(x)[axis] // 2, (slice(None),) * axis
    return B.getitem(x, (*before, slice(None, half))) * B.sigmoid(B.getitem(x, (*before, slice(half, None))))


@op(inexact=True)
def tanh_shrink(B, x):
    """Return x - tanh(x).

    >>> from multikeras import ops
    >>> float(ops.tanh_shrink(0.0))
    0.0
    """
    return x - B.tanh(x)


@op
def hard_tanh(B, x):
    """Return x cut off below -1 and above 1.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.hard_tanh([-3.0, 0.5, 3.0])).tolist()
    [-1.0, 0.5, 1.0]
    """
    if not dtypes.is_inexact(B.dtype(x)):
        return B.clip(x, -1, 1)
    return B.where(x <= -1, constant(B, x, -1), B.where(x >= 1, constant(B, x, 1), x))


@op
def hard_shrink(B, x, threshold=0.5):
    """Return x where |x| is above `threshold`, else 0.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.hard_shrink([-3.0, 0.2, 3.0])).tolist()
    [-3.0, 0.0, 3.0]
    """
    size = B.abs(x) if dtypes.is_inexact(B.dtype(x)) else B.abs(B.cast(x, config.floatx()))
    return B.where(size > threshold, x, constant(B, x, 0))


@op
def threshold(B, x, threshold, default_value):
    """Return x where it is above `threshold`, else `default_value`.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.threshold([-3.0, 0.2, 3.0], 1.0, 9.0)).tolist()
    [9.0, 9.0, 3.0]
    """
    return B.where(x > threshold, x, constant(B, x, default_value))


def _axes(axis):
    return tuple(axis) if isinstance(axis, list) else axis


@op(inexact=True)
def softmax(B, x, axis=-1):
    """Return exp(x) divided by its sum over `axis`, an int or several; None: over all.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.softmax([0.0, 0.0])).tolist()
    [0.5, 0.5]
    """
    e = B.exp(x - B.stop_gradient(B.max(x, _axes(axis), True)))
    return B.divide(e, B.sum(e, _axes(axis), True))


@op(inexact=True)
def log_softmax(B, x, axis=-1):
    """Return the logarithm of `softmax(x)` without overflow.

    >>> from multikeras import ops
    >>> round(float(ops.log_softmax([0.0, 0.0])[0]), 4)
    -0.6931
    """
    x = x - B.stop_gradient(B.max(x, _axes(axis), True))
    return x - B.log(B.sum(B.exp(x), _axes(axis), True))


@op(inexact=True)
def sparsemax(B, x, axis=-1):
    """Return the nearest point of the probability simplex, mostly with zeros (Martins and Astudillo, 2016).

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.sparsemax([3.0, 0.0])).tolist()
    [1.0, 0.0]
    """
    axis = canonical_axis(axis, len(x.shape), "sparsemax")
    x = x - B.stop_gradient(B.max(x, axis, True))
    down = -B.sort(-x, axis)
    ranks = B.reshape(B.arange(1, B.shape(x)[axis] + 1, 1, B.dtype(x)), (-1,) + (1,) * (len(x.shape) - axis - 1))
    kept = B.cast(down * ranks + 1.0 > B.cumsum(down, axis), B.dtype(x))
    excess = B.divide(B.sum(down * kept, axis, True) - 1.0, B.sum(kept, axis, True))
    return B.relu(x - excess)


@op(tensors=2, promote=True, inexact=True)
def polar(B, abs_, angle):
    """Return the complex number of the given absolute value and angle.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.real(ops.polar(2.0, 0.0))).tolist()
    2.0
    """
    return B.complex(abs_ * B.cos(angle), abs_ * B.sin(angle))


swish = silu
hard_swish = hard_silu


