"""Faster spellings on JAX: composites as one compiled call.

A composite run eagerly costs a dispatch for each primitive in it. Compiled as a whole it costs one, about 4 us: for
8 x 10 entries relu becomes 39 times faster, softmax 30, gelu 150, `mean` 3, `not_equal` 2 (x86, float32); for 8 images of
32 x 32 `resize` 10, `rgb_to_hsv` 11.
Inside `jit` nothing changes.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from multikeras import config
from multikeras.backend import dtypes
from multikeras.backend._jax_programs import JaxVariable
from multikeras.backend._jax_recurrent import JaxRecurrent
from multikeras.backend._jax_windows import JaxWindows
from multikeras.backend.interface import Backend
from multikeras.backend.shapes import canonical_axes

_ONE_CALL = {
    1: "relu6 sigmoid sparse_sigmoid softplus softsign soft_shrink sparse_plus silu squareplus log_sigmoid leaky_relu "
       "hard_sigmoid hard_silu elu selu celu gelu glu tanh_shrink hard_tanh hard_shrink softmax log_softmax sparsemax "
       "logsumexp mean var std any all count_nonzero rsqrt reciprocal square logical_not isinf log2 log10 exp2 moments "
       "normalize layer_normalization rms_normalization split tile one_hot tril triu nan_to_num stack "
       "rgb_to_grayscale rgb_to_hsv hsv_to_rgb resize".split(),
    2: "not_equal greater_equal less_equal logical_and logical_or logical_xor hypot logaddexp binary_crossentropy "
       "categorical_crossentropy sparse_categorical_crossentropy tensordot".split(),
    3: "clip batch_normalization dot_product_attention".split(),
}  # fmt: skip
"""Composites with so many tensors in front of hashable options."""
_FACES = {"take": 2, "take_along_axis": 2, "repeat": 1, "where": 3}
"""Public spellings of primitives that do more than call these."""
_MORE_TENSORS = {
    "layer_normalization": ("gamma", "beta"), "rms_normalization": ("scale",), "batch_normalization": ("offset", "scale"),
    "dot_product_attention": ("bias", "mask"),
}  # fmt: skip
_FLOAT32, _FLOAT64 = dtypes.numpy_dtype("float32"), dtypes.numpy_dtype("float64")
_OPTIONS = frozenset((bool, int, float, str, type(None), tuple))


def _is_array(x: Any) -> bool:
    """Tell whether `x` may be compiled over; 64-bit floats may not: JAX would round Python's numbers beside them to 32."""
    if type(x) is list:
        return all(map(_is_array, x))
    return x is None or type(x) is float or (isinstance(x, jax.Array) and x.dtype != _FLOAT64)


def _one_call(composite: Callable, backend: Backend, tensors: int) -> Callable:
    """Return `composite`, compiled where its arguments are arrays and hashable options."""
    names = list(inspect.signature(composite).parameters)[1:]
    more = _MORE_TENSORS.get(composite.__name__, ())
    arrays = frozenset(n for i, n in enumerate(names) if i < tensors or n in more)
    positions = [n in arrays for n in names]

    # Settings that a composite may read are part of what it is compiled for.
    def run(settings, *args, **kwargs):
        return composite(backend, *args, **kwargs)

    static = [i + 1 for i, is_array in enumerate(positions) if not is_array]
    static_names = [n for n in names if n not in arrays]
    compiled = jax.jit(run, static_argnums=(0, *static), static_argnames=static_names, inline=True)

    def call(*args, **kwargs):
        if len(args) + len(kwargs) < tensors:  # `where` of a condition alone, whose result has no fixed size
            return composite(backend, *args, **kwargs)
        values = []
        for x, is_array in zip(args, positions):
            kind = type(x)
            if isinstance(x, JaxVariable):
                x = x.value
            if not (_is_array(x) if is_array else kind in _OPTIONS):
                return composite(backend, *args, **kwargs)
            values.append(x)
        for name, x in kwargs.items():
            if isinstance(x, JaxVariable):
                kwargs[name] = x = x.value
            if not (_is_array(x) if name in arrays else type(x) in _OPTIONS and name in names):
                return composite(backend, *args, **kwargs)
        return compiled((config.floatx(), config.epsilon(), config.image_data_format()), *values, **kwargs)

    return call


def _sigmoid(B, x):  # an LSTM with gradient: 34 ms composed, 29 this way
    return lax.logistic(x) if x.dtype == _FLOAT32 else Backend.sigmoid(B, x)


def _softmax(B, x, axis=-1):  # its derivative is of the result: with gradient 1.0, 1.3
    fits = x.dtype == _FLOAT32 and x.size and type(axis) is int and -x.ndim <= axis < x.ndim
    return jax.nn.softmax(x, axis) if fits else Backend.softmax(B, x, axis)


def _split(B, x, indices_or_sections, axis=0):  # 29, 26
    parts = indices_or_sections
    if type(parts) is not int or parts < 1 or type(axis) is not int or not -x.ndim <= axis < x.ndim or x.shape[axis] % parts:
        return Backend.split(B, x, parts, axis)
    return list(lax.split(x, [x.shape[axis] // parts] * parts, axis))


_KERNELS = {"sigmoid": _sigmoid, "softmax": _softmax, "split": _split}
"""What XLA compiles to faster code than the composite, at least with gradient."""


class _OneCall:
    """Put in place of a composite on the class: the first look-up compiles it for the instance."""

    def __init__(self, name: str, tensors: int):
        self.name, self.tensors = name, tensors

    def __get__(self, instance, owner):
        composite = _KERNELS.get(self.name) or getattr(Backend, self.name)
        if instance is None:
            return composite
        call = _one_call(composite, instance, self.tensors)
        setattr(instance, self.name, call)
        return call


class JaxFused(JaxWindows, JaxRecurrent):
    """`JaxBackend` with composites compiled."""

    for _tensors, _names in _ONE_CALL.items():
        for _name in _names:
            locals()[_name] = _OneCall(_name, _tensors)
    del _tensors, _names, _name

    takes_numbers = frozenset(("clip",))

    @staticmethod
    def bind_face(function, backend):
        tensors = _FACES.get(function.__name__)
        return functools.partial(function, backend) if tensors is None else _one_call(function, backend, tensors)

    def full(self, shape, value, dtype):  # 45, 4: metrics are set to 0 at each epoch
        if type(value) is int and value == 0 and dtype in _NARROW_NUMBERS:
            return _zeros(tuple(shape), dtype)
        return super().full(shape, value, dtype)

    def averaged(self, logits, values):  # attention of 32 x 64 x 4 x 32: 2.0 ms, 1.5; of 2 x 512 x 8 x 64, with gradient: 49, 36
        # Divided are the averages, not the weights, which are more numbers.
        if logits.dtype != _FLOAT32 or values.dtype != _FLOAT32 or not logits.size:
            return super().averaged(logits, values)
        weights = jnp.exp(logits - lax.stop_gradient(jnp.max(logits, -1, keepdims=True)))
        total = jnp.einsum("bnts->btn", weights)
        return jnp.einsum("bnts,bsnh->btnh", weights, values) / total[..., None]

    def roll(self, x, shift, axis=None):  # 9, 8; with gradient 47
        if type(shift) is not int or type(axis) is not int or not -x.ndim <= axis < x.ndim:
            return super().roll(x, shift, axis)
        return jnp.roll(x, shift, axis)

    @property
    def projects_in_loops(self):
        # An LSTM of 128 units over 64 x 50 x 32 with gradient: 26 ms, and 53 after one product (XLA on a CPU).
        return jax.default_backend() == "cpu"

    def relu(self, x):
        # A network of two convolutions with pooling: forward 6.7 ms with `where`, 5.4 with one maximum.
        return _relu(x)

    def normalization_by_batch(self, x, axis, offset=None, scale=None, epsilon=1e-3):  # with gradient 1.2
        offset, scale = (None if v is None else self.asarray(v) for v in (offset, scale))
        if any(v is not None and v.dtype != _FLOAT32 for v in (x, offset, scale)) or not x.size:
            return super().normalization_by_batch(x, axis, offset, scale, epsilon)
        (axis,) = canonical_axes(axis, x.ndim, "normalization_by_batch")
        channels = x.shape[axis]
        offset, scale = (jnp.full(channels, i, x.dtype) if v is None else v for i, v in ((0, offset), (1, scale)))
        y, mean, variance = _normalized(jnp.moveaxis(x, axis, -1), offset, scale, epsilon)
        return jnp.moveaxis(y, -1, axis), mean, variance

    def norm(self, x, ord=None, axis=None, keepdims=False):  # 4, 2
        axes = canonical_axes(axis, x.ndim, "norm")
        if x.dtype not in (_FLOAT32, _FLOAT64) or not (ord is None or (ord == 2 and len(axes) == 1)):
            return super().norm(x, ord, axis, keepdims)
        return _norm(self, x, axes, bool(keepdims))


_relu = jax.jit(jax.nn.relu, inline=True)
_zeros = jax.jit(jnp.zeros, static_argnums=(0, 1), inline=True)
_NARROW_NUMBERS = frozenset(("float32", "int32"))


@functools.partial(jax.jit, static_argnums=3, inline=True)
def _normalized(x, offset, scale, epsilon):
    """Return `x` with each channel, the last axis, normalized over all others, multiplied and shifted; mean and variance."""
    rows = tuple(range(x.ndim - 1))

    @jax.custom_jvp
    def normalized(x, offset, scale):
        mean = jnp.mean(x, rows)
        centred = x - mean
        variance = jnp.mean(centred * centred, rows)
        return centred * (lax.rsqrt(variance + epsilon) * scale) + offset, mean, variance

    @normalized.defjvp
    def derivative(primals, tangents):
        # Numbers of a channel are put together before they meet those of rows: the gradient then takes two sums over rows.
        (x, offset, scale), (dx, d_offset, d_scale) = primals, tangents
        y, mean, variance = normalized(x, offset, scale)
        inverse, centred = lax.rsqrt(variance + epsilon), x - mean
        d_mean, d_variance = jnp.mean(dx, rows), 2 * jnp.mean(centred * dx, rows)
        slope = inverse * d_scale - 0.5 * inverse**3 * scale * d_variance
        dy = centred * slope + (inverse * scale) * dx + (d_offset - inverse * scale * d_mean)
        return (y, mean, variance), (dy, d_mean, d_variance)

    return normalized(x, offset, scale)


@functools.partial(jax.jit, static_argnums=(0, 2, 3), inline=True)
def _norm(backend, x, axes, keepdims):
    """Return Euclidean norms; scaled where sums of squares overflow or lose digits to underflow."""
    tiny = 1e-30 if x.dtype == _FLOAT32 else 1e-290

    @jax.custom_jvp
    def norm(x):
        total = jnp.sum(x * x, axes, keepdims=True)
        exact = jnp.all((total > tiny) & (total < jnp.inf))
        return lax.cond(exact, lambda: jnp.sqrt(total), lambda: Backend.norm(backend, x, None, axes, True))

    @norm.defjvp
    def derivative(primals, tangents):
        (x,), (dx,), y = primals, tangents, norm(*primals)
        return y, jnp.sum(x / jnp.where(y == 0, 1, y) * dx, axes, keepdims=True)

    return norm(x) if keepdims else jnp.squeeze(norm(x), axes)


BACKEND = JaxFused
