"""Faster spellings on JAX: composites as one compiled call, and max pooling whose gradient is cheap on CPUs.

A composite run eagerly costs a dispatch for each primitive in it. Compiled as a whole it costs one, about 4 us: for
8 x 10 entries relu becomes 39 times faster, softmax 30, gelu 150, `mean` 3, `not_equal` 2 (x86, float32).
Inside `jit` nothing changes.
"""

import functools
import inspect

import jax
import jax.numpy as jnp
from jax import lax

from multikeras.backend.interface import Backend
from multikeras.backend.jax_backend import JaxBackend, windows

_ONE_CALL = {
    1: "relu relu6 sigmoid sparse_sigmoid softplus softsign soft_shrink sparse_plus silu squareplus log_sigmoid leaky_relu "
       "hard_sigmoid hard_silu elu selu celu gelu glu tanh_shrink hard_tanh hard_shrink softmax log_softmax sparsemax "
       "logsumexp mean var std any all count_nonzero rsqrt logical_not isinf log2 log10 exp2 moments".split(),
    2: "not_equal greater_equal less_equal logical_and logical_or logical_xor hypot logaddexp".split(),
}  # fmt: skip
"""Composites with so many tensors in front of hashable options."""


class _OneCall:
    """Put in place of a composite on the class: the first look-up compiles it for the instance."""

    def __init__(self, name: str, tensors: int):
        self.name, self.tensors = name, tensors

    def __get__(self, instance, owner):
        composite = getattr(Backend, self.name)
        if instance is None:
            return composite
        options = list(inspect.signature(composite).parameters)[1 + self.tensors :]
        compiled = jax.jit(functools.partial(composite, instance), static_argnames=options, inline=True)
        if not options:
            call = compiled
        else:

            def call(*args, **kwargs):
                if list in map(type, args) or (kwargs and list in map(type, kwargs.values())):
                    return composite(instance, *args, **kwargs)
                return compiled(*args, **kwargs)

        setattr(instance, self.name, call)
        return call


class JaxFused(JaxBackend):
    """`JaxBackend` with composites compiled and pooling by strided slices."""

    for _tensors, _names in _ONE_CALL.items():
        for _name in _names:
            locals()[_name] = _OneCall(_name, _tensors)
    del _tensors, _names, _name

    def max_pool(self, x, window, strides, padding, data_format):
        # XLA scatters the gradient of reduce_window: 34 ms for 64 x 26 x 26 x 32 and windows of 2 x 2, this way 1.6 ms.
        if sum(window) > 16 or jax.default_backend() != "cpu":
            return super().max_pool(x, window, strides, padding, data_format)
        _, _, pairs = windows(x, window, strides, padding, data_format)
        first = 2 if data_format == "channels_first" else 1
        return _slice_pool(x, tuple(window), tuple(strides), tuple(pairs), first)


@functools.partial(jax.jit, static_argnums=(1, 2, 3, 4), inline=True)
def _slice_pool(x, window, strides, pairs, first):
    """Take maxima along one spatial dimension after another; the first of equal entries gets the gradient."""
    if any(map(any, pairs)):
        low = -jnp.inf if jnp.issubdtype(x.dtype, jnp.floating) else jnp.iinfo(x.dtype).min
        x = lax.pad(x, jnp.asarray(low, x.dtype), [(*pair, 0) for pair in pairs])
    for axis in reversed(range(first, first + len(window))):
        size, stride = window[axis - first], strides[axis - first]
        last = (x.shape[axis] - size) // stride * stride
        if last < 0:
            return jnp.zeros([max((d - w) // s + 1, 0) for d, w, s in _sizes(x, window, strides, first)], x.dtype)
        parts = [lax.slice_in_dim(x, i, i + last + 1, stride, axis) for i in range(size)]
        x = functools.reduce(_larger, parts)
    return x


def _sizes(x, window, strides, first):
    tail = x.ndim - first - len(window)
    return zip(x.shape, (1,) * first + window + (1,) * tail, (1,) * first + strides + (1,) * tail)


def _larger(a, b):
    """Return the maximum; among equals `a` alone, and NaN if there is one."""
    return jnp.where((b > a) | (b != b), b, a)


BACKEND = JaxFused
