"""Convolutions and pooling on JAX by slices: XLA's own are slow on CPUs, their gradients slower."""

import functools
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from multikeras.backend.jax_backend import JaxBackend, windows

_MOST_ENTRIES = 2_500_000
"""How many numbers the windows of a convolution hold at most for which it is a product of matrices: 10 MB."""
_MOST_OTHERWISE = 100_000
"""The same over one dimension, or where the edges of more than a few channels are padded. From there on XLA's own is faster: fits
of three Conv1D beside each other 1.15 times, of a residual network of 16 channels 1.4 times. Below it products gain as the whole
loop is then one program."""
_FEW_CHANNELS = 4


class JaxWindows(JaxBackend):
    """`JaxBackend` with windows of images taken by strided slices."""

    def conv(self, x, kernel, strides, padding, dilation, groups, data_format):
        # With gradient, on two cores: 64 x 28 x 28 x 1 and 32 windows of 3 x 3 6.4 ms, as a product 2; 64 x 13 x 13 x 32 and
        # 64 windows 12 ms, 7; in a loop XLA takes 120. With groups of one channel, 8 x 26 x 26 x 32: 51 ms, this way 1.3.
        # Without gradient XLA's own takes less of the processors.
        first, axis = (2, 1) if data_format == "channels_first" else (1, -1)
        channels, window = x.shape[axis], kernel.shape[:-2]
        space = slice(first, first + len(window))
        reach = [(w - 1) * d + 1 for w, d in zip(window, dilation)]
        pairs = windows(x, reach, strides, padding, data_format)[2][space]
        counts = [(n + sum(p) - r) // s + 1 for n, p, r, s in zip(x.shape[space], pairs, reach, strides)]
        entries = x.shape[0] * math.prod(counts) * math.prod(window) * channels
        whole = functools.partial(
            super().conv, strides=strides, padding=padding, dilation=dilation, groups=groups, data_format=data_format
        )
        if jax.default_backend() != "cpu" or math.prod(window) > 64 or min(counts) < 1:
            return whole(x, kernel)
        how = axis, tuple(strides), pairs, tuple(dilation), tuple(counts)
        if groups == channels > 1 and kernel.shape[-2] == 1:
            return _depthwise(x, kernel, *how)
        padded = any(map(any, pairs)) and channels > _FEW_CHANNELS
        most = _MOST_OTHERWISE if padded or len(window) == 1 else _MOST_ENTRIES
        if groups > 1 or entries > most or x.dtype != jnp.float32 or not _traced(x, kernel):
            return whole(x, kernel)
        return _with_derivative_of(lambda x, kernel: _product(self, x, kernel, *how), whole)(x, kernel)

    # XLA adds up windows of 2 x 2 over 64 x 26 x 26 x 32 in 0.4 ms, slices of it in 0.18; it scatters the gradient of
    # their maxima: 34 ms, this way 1.6.

    def max_pool(self, x, window, strides, padding, data_format):
        if not _by_slices(window):
            return super().max_pool(x, window, strides, padding, data_format)
        where = _windows(x, window, strides, padding, data_format)
        if not _traced(x):
            return _slice_pool(x, _larger, *where)
        whole = super().max_pool
        # Where no gradient is taken, reduce_window fuses better.
        return _with_derivative_of(
            lambda x: _slice_pool(x, _larger, *where), lambda x: whole(x, window, strides, padding, data_format)
        )(x)

    def average_pool(self, x, window, strides, padding, data_format):
        where = _windows(x, window, strides, padding, data_format)
        if _traced(x) or any(map(any, where[2])) or not _by_slices(window):
            return super().average_pool(x, window, strides, padding, data_format)
        return _slice_pool(x, jnp.add, *where, math.prod(window))


def _by_slices(window):
    return sum(window) <= 16 and jax.default_backend() == "cpu"


def _windows(x, window, strides, padding, data_format):
    """Return window, strides, pairs of padding for all dimensions, and the first spatial dimension: all hashable."""
    _, _, pairs = windows(x, window, strides, padding, data_format)
    return tuple(window), tuple(strides), tuple(pairs), 2 if data_format == "channels_first" else 1


@functools.partial(jax.jit, static_argnums=(1, 2, 3, 4, 5, 6), inline=True)
def _slice_pool(x, combine, window, strides, pairs, first, divisor=1):
    """Combine the entries of windows along one spatial dimension after another, and divide.

    Of equal maxima the first gets the gradient.
    """
    if any(map(any, pairs)):
        low = -jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min
        x = lax.pad(x, lax.full((), low, x.dtype), [(*pair, 0) for pair in pairs])
    for axis in reversed(range(first, first + len(window))):
        size, stride = window[axis - first], strides[axis - first]
        last = (x.shape[axis] - size) // stride * stride
        if last < 0:
            return jnp.zeros([max((d - w) // s + 1, 0) for d, w, s in _sizes(x, window, strides, first)], x.dtype)
        parts = [lax.slice_in_dim(x, i, i + last + 1, stride, axis) for i in range(size)]
        x = functools.reduce(combine, parts)
    return x if divisor == 1 else x / jnp.asarray(divisor, x.dtype)


def _traced(*arrays):
    return any(isinstance(x, jax.core.Tracer) for x in arrays)


def _with_derivative_of(other, function):
    """Return `function`; where a derivative is taken it is computed as `other`, which is equal."""
    function = jax.custom_jvp(function)

    def derivative(primals, tangents):
        places = [i for i, t in enumerate(tangents) if not isinstance(t, SymbolicZero)]

        def of_some(*some):
            given = list(primals)
            for i, x in zip(places, some):
                given[i] = x
            return other(*given)

        return jax.jvp(of_some, [primals[i] for i in places], [tangents[i] for i in places])

    function.defjvp(derivative, symbolic_zeros=True)
    return function


def _padded(x, pairs):
    # As a whole: each slice of it would look for the edges again.
    return lax.optimization_barrier(jnp.pad(x, ((0, 0), *pairs, (0, 0)))) if any(map(any, pairs)) else x


@functools.partial(jax.jit, static_argnums=(2, 3, 4, 5, 6), inline=True)
def _depthwise(x, kernel, axis, strides, pairs, dilation, counts):
    """Add up the products of shifted images and entries of the window."""
    *window, _, filters = kernel.shape
    x = _padded(jnp.moveaxis(x, axis, -1), pairs)
    total: Any = 0
    for place in itertools.product(*map(range, window)):
        starts = [i * d for i, d in zip(place, dilation)]
        stops = [i + (c - 1) * s + 1 for i, c, s in zip(starts, counts, strides)]
        part = lax.slice(x, (0, *starts, 0), (x.shape[0], *stops, x.shape[-1]), (1, *strides, 1))
        # A channel has `filters // channels` entries, one after the other.
        total = total + part[..., None] * kernel[place].reshape(x.shape[-1], -1)
    return jnp.moveaxis(total.reshape(*total.shape[:-2], filters), -1, axis)


def _product(backend, x, kernel, axis, strides, pairs, dilation, counts):
    """Multiply a matrix of all windows by the kernel."""
    *window, _, filters = kernel.shape

    @jax.checkpoint  # derivatives collect the windows again: kept, they take as many images as the window has places
    def product(x, kernel):
        for i in reversed(range(len(window))):  # the last first: then entries lie in the order of the kernel's
            places = range(0, window[i] * dilation[i], dilation[i])
            reach = (counts[i] - 1) * strides[i] + 1
            x = lax.concatenate([lax.slice_in_dim(x, p, p + reach, strides[i], i + 1) for p in places], x.ndim - 1)
        return backend.matmul(lax.optimization_barrier(x), kernel.reshape(-1, filters))

    return jnp.moveaxis(product(_padded(jnp.moveaxis(x, axis, -1), pairs), kernel), -1, axis)


def _sizes(x, window, strides, first):
    tail = x.ndim - first - len(window)
    return zip(x.shape, (1,) * first + window + (1,) * tail, (1,) * first + strides + (1,) * tail)


def _larger(a, b):
    """Return the maximum; among equals `a` alone, and NaN if there is one."""
    return jnp.where((b > a) | (b != b), b, a)
