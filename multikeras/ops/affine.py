"""Products with a bias: what dense layers and convolutions do, and where a backend plugs in a kernel that does both."""

import math

from multikeras.ops._op import op
from multikeras.ops.nn_conv import conv_arguments


@op(tensors=3, promote=True)
def affine(B, x, kernel, bias, axes=1):
    """Multiply over the last `axes` axes of `x` and the first ones of `kernel`, and add `bias`.

    The other axes of `x`, then those of `kernel` make the output; `bias` has as many entries as the latter.

    >>> from multikeras import ops
    >>> from multikeras.ops.affine import affine
    >>> affine(ops.ones((2, 3, 4)), ops.ones((3, 4, 5)), ops.ones(5), axes=2).shape == (2, 5)
    True
    """
    inner, outer = kernel.shape[:axes], kernel.shape[axes:]
    if len(inner) == len(outer) == 1:
        return B.matmul(x, kernel) + bias
    rest = B.shape(x)[:-axes]
    x = x if axes == 1 else B.reshape(x, (*rest, math.prod(inner)))
    y = B.affine(x, B.reshape(kernel, (math.prod(inner), math.prod(outer))), B.reshape(bias, (-1,)))
    return y if len(outer) == 1 else B.reshape(y, (*rest, *outer))


@op(tensors=3, promote=True, inexact=True)
def biased_conv(B, inputs, kernel, bias, strides=1, padding="valid", data_format=None, dilation_rate=1):
    """Return `conv(inputs, kernel, ...)` plus an entry of the vector `bias` for each filter.

    >>> from multikeras import ops
    >>> from multikeras.ops.affine import biased_conv
    >>> biased_conv(ops.ones((1, 4, 2)), ops.ones((3, 2, 5)), ops.ones(5)).shape == (1, 2, 5)
    True
    """
    arguments = conv_arguments(inputs, kernel, strides, padding, data_format, dilation_rate)
    return B.conv_plus(inputs, kernel, bias, *arguments)
