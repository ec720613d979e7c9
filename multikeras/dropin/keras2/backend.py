"""`keras.backend`: tensor functions under their Keras 2 names, each a call or two of `multikeras.ops`."""

from collections.abc import Callable
from typing import Any

import numpy as np

from multikeras import backend as _backends
from multikeras import config, ops, random
from multikeras.backend import scope as _scope
from multikeras.backend.dtypes import is_inexact as _is_inexact
from multikeras.backend.dtypes import result_type as result_type
from multikeras.backend.dtypes import standardize_dtype as standardize_dtype
from multikeras.config import epsilon as epsilon
from multikeras.config import floatx as floatx
from multikeras.config import image_data_format as image_data_format
from multikeras.config import set_epsilon as set_epsilon
from multikeras.config import set_floatx as set_floatx
from multikeras.config import set_image_data_format as set_image_data_format
from multikeras.core.naming import get_uid as get_uid
from multikeras.core.naming import name_scope as name_scope
from multikeras.core.naming import reset_uids as reset_uids
from multikeras.core.node import is_keras_tensor as is_keras_tensor
from multikeras.core.variable import Variable
from multikeras.dropin.keras2.images import conv1d as conv1d
from multikeras.dropin.keras2.images import conv2d as conv2d
from multikeras.dropin.keras2.images import conv2d_transpose as conv2d_transpose
from multikeras.dropin.keras2.images import conv3d as conv3d
from multikeras.dropin.keras2.images import depthwise_conv2d as depthwise_conv2d
from multikeras.dropin.keras2.images import pool2d as pool2d
from multikeras.dropin.keras2.images import pool3d as pool3d
from multikeras.dropin.keras2.images import resize_images as resize_images
from multikeras.dropin.keras2.images import resize_volumes as resize_volumes
from multikeras.dropin.keras2.images import separable_conv2d as separable_conv2d
from multikeras.dropin.keras2.images import spatial_2d_padding as spatial_2d_padding
from multikeras.dropin.keras2.images import spatial_3d_padding as spatial_3d_padding
from multikeras.dropin.keras2.images import temporal_padding as temporal_padding
from multikeras.dropin.keras2.sequences import ctc_batch_cost as ctc_batch_cost
from multikeras.dropin.keras2.sequences import ctc_decode as ctc_decode
from multikeras.dropin.keras2.sequences import ctc_label_dense_to_sparse as ctc_label_dense_to_sparse
from multikeras.dropin.keras2.sequences import foldl as foldl
from multikeras.dropin.keras2.sequences import foldr as foldr
from multikeras.dropin.keras2.sequences import map_fn as map_fn
from multikeras.dropin.keras2.sequences import rnn as rnn
from multikeras.utils.graph import clear_session as clear_session

# The same name and arguments as in `ops`.
abs, all, any = ops.abs, ops.all, ops.any
cast, cos, cumprod, cumsum, dot, elu = ops.cast, ops.cos, ops.cumprod, ops.cumsum, ops.dot, ops.elu
equal, exp, expand_dims, greater, greater_equal = ops.equal, ops.exp, ops.expand_dims, ops.greater, ops.greater_equal
less, less_equal, log, maximum, mean, min, minimum = (
    ops.less, ops.less_equal, ops.log, ops.maximum, ops.mean, ops.min, ops.minimum
)  # fmt: skip
max, not_equal, prod, reshape, round, sigmoid, sign = (
    ops.max, ops.not_equal, ops.prod, ops.reshape, ops.round, ops.sigmoid, ops.sign
)  # fmt: skip
sin, softmax, softplus, softsign, sqrt, square = ops.sin, ops.softmax, ops.softplus, ops.softsign, ops.sqrt, ops.square
squeeze, stack, std, sum, tanh, tile, transpose, var = (
    ops.squeeze, ops.stack, ops.std, ops.sum, ops.tanh, ops.tile, ops.transpose, ops.var
)  # fmt: skip


def backend() -> str:
    """Return the name of the backend in use."""
    return _backends.backend()


def is_float_dtype(dtype: Any) -> bool:
    """Tell whether a dtype is a real floating-point one."""
    name = standardize_dtype(dtype)
    return _is_inexact(name) and not name.startswith("complex")


def is_int_dtype(dtype: Any) -> bool:
    """Tell whether a dtype is an integer one."""
    return standardize_dtype(dtype).startswith(("int", "uint"))


# -- tensors and variables ---------------------------------------------------------------------------------------------


def arange(start, stop=None, step=1, dtype="int32"):
    """Return start, start + step, ... below stop."""
    return ops.arange(start, stop, step, dtype)


def constant(value, dtype=None, shape=None, name=None):
    """Return a tensor, a single value repeated to `shape`."""
    x = ops.convert_to_tensor(value, dtype or config.floatx())
    return x if shape is None else ops.broadcast_to(x, shape) if x.ndim == 0 else ops.reshape(x, shape)


def variable(value, dtype=None, name=None, constraint=None):
    """Return a variable."""
    made = Variable(value, dtype=dtype or config.floatx(), name=name)
    made.constraint = constraint
    return made


def zeros(shape, dtype=None, name=None):
    """Return zeros."""
    return ops.zeros(shape, dtype or config.floatx())


def ones(shape, dtype=None, name=None):
    """Return ones."""
    return ops.ones(shape, dtype or config.floatx())


def eye(size, dtype=None, name=None):
    """Return an identity matrix."""
    return ops.eye(size, dtype=dtype or config.floatx())


def zeros_like(x, dtype=None, name=None):
    """Return zeros of the shape of `x`."""
    return ops.zeros_like(x, dtype)


def ones_like(x, dtype=None, name=None):
    """Return ones of the shape of `x`."""
    return ops.ones_like(x, dtype)


def random_normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Return normally distributed numbers."""
    return random.normal(shape, mean, stddev, dtype or config.floatx(), seed)


def truncated_normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Return normally distributed numbers within two deviations."""
    return random.truncated_normal(shape, mean, stddev, dtype or config.floatx(), seed)


def random_uniform(shape, minval=0.0, maxval=1.0, dtype=None, seed=None):
    """Return evenly distributed numbers."""
    return random.uniform(shape, minval, maxval, dtype or config.floatx(), seed)


def random_bernoulli(shape, p=0.0, dtype=None, seed=None):
    """Return ones with probability `p`, else zeros."""
    return ops.cast(random.uniform(shape, seed=seed) < p, dtype or config.floatx())


def random_normal_variable(shape, mean, scale, dtype=None, name=None, seed=None):
    """Return a variable of normally distributed numbers."""
    return variable(random_normal(shape, mean, scale, dtype, seed), dtype, name)


def random_uniform_variable(shape, low, high, dtype=None, name=None, seed=None):
    """Return a variable of evenly distributed numbers."""
    return variable(random_uniform(shape, low, high, dtype, seed), dtype, name)


def cast_to_floatx(x):
    """Return `x` in floatx: numpy for numpy and lists."""
    return ops.cast(x, config.floatx()) if _backends.current.is_tensor(x) else np.asarray(x, config.floatx())


def int_shape(x):
    """Return the shape, None for unknown sizes."""
    return tuple(x.shape)


def ndim(x):
    """Return the rank."""
    return len(x.shape)


def shape(x):
    """Return the shape as an int32 tensor, as a tuple where it is not fully known."""
    sizes = ops.shape(x)
    return sizes if None in sizes else ops.convert_to_tensor(sizes, "int32")


def dtype(x):
    """Return the name of the dtype."""
    return standardize_dtype(x.dtype)


def count_params(x):
    """Return the number of entries."""
    return int(np.prod(x.shape))


def is_sparse(tensor):
    """Tell whether a tensor is sparse."""
    return bool(getattr(tensor, "sparse", False))


def to_dense(tensor):
    """Return `tensor`, which is dense here."""
    return ops.convert_to_tensor(tensor)


def eval(x):
    """Return the value as a numpy array."""
    return ops.convert_to_numpy(x)


def get_value(x):
    """Return the value as a numpy array."""
    return ops.convert_to_numpy(x)


def batch_get_value(tensors):
    """Return the values as numpy arrays."""
    return [get_value(x) for x in tensors]


def set_value(x, value):
    """Write a variable."""
    x.assign(value)


def batch_set_value(tuples):
    """Write the variables of pairs of variable and value."""
    for x, value in tuples:
        x.assign(value)


def update(x, new_x):
    """Write a variable; return its value."""
    return x.assign(new_x)


def update_add(x, increment):
    """Add to a variable; return its value."""
    return x.assign_add(increment)


def update_sub(x, decrement):
    """Subtract from a variable; return its value."""
    return x.assign_sub(decrement)


def moving_average_update(x, value, momentum):
    """Move a variable towards `value` by the fraction 1 - momentum."""
    return x.assign(x * momentum + value * (1.0 - momentum))


def learning_phase() -> int:
    """Return 0 outside compiled code: layers are told by `training=` what they are called for."""
    return 0 if _scope.stack.redirect is None else 1


# -- arithmetic --------------------------------------------------------------------------------------------------------


def pow(x, a):
    """Return x to the power a."""
    return ops.power(x, a)


def clip(x, min_value, max_value):
    """Keep entries within two bounds, either of which may be None."""
    x = x if min_value is None else ops.maximum(x, ops.cast(min_value, x.dtype))
    return x if max_value is None else ops.minimum(x, ops.cast(max_value, x.dtype))


def relu(x, alpha=0.0, max_value=None, threshold=0.0):
    """Return x above `threshold`, alpha * (x - threshold) below, at most `max_value`."""
    x = ops.convert_to_tensor(x)
    above = ops.where(x > threshold, x, ops.zeros_like(x))
    above = above if max_value is None else ops.minimum(above, ops.cast(max_value, above.dtype))
    return above if alpha == 0.0 else ops.where(x > threshold, above, (x - threshold) * alpha)


def hard_sigmoid(x):
    """Return 0.2 x + 0.5, kept within 0 and 1."""
    return ops.clip(x * 0.2 + 0.5, 0.0, 1.0)


def argmax(x, axis=-1):
    """Return where the largest entries are."""
    return ops.argmax(x, axis)


def argmin(x, axis=-1):
    """Return where the smallest entries are."""
    return ops.argmin(x, axis)


def l2_normalize(x, axis=None):
    """Divide by the Euclidean norm."""
    return ops.multiply(x, ops.rsqrt(ops.maximum(ops.sum(ops.square(x), axis, keepdims=True), 1e-12)))


def stop_gradient(variables):
    """Keep gradients from passing."""
    if isinstance(variables, (list, tuple)):
        return [ops.stop_gradient(x) for x in variables]
    return ops.stop_gradient(variables)


def dropout(x, level, noise_shape=None, seed=None):
    """Set a fraction `level` of the entries to zero and scale up the others."""
    return random.dropout(x, level, noise_shape, seed)


def batch_normalization(x, mean, var, beta, gamma, axis=-1, epsilon=0.001):
    """Return (x - mean) / deviation * gamma + beta."""
    x = ops.convert_to_tensor(x)
    out = (x - mean) * ops.rsqrt(ops.convert_to_tensor(var, x.dtype) + epsilon)
    out = out if gamma is None else out * gamma
    return out if beta is None else out + beta


def bias_add(x, bias, data_format=None):
    """Add a bias to the channels."""
    if config.standardize_data_format(data_format) == "channels_first" and len(x.shape) > 2:
        bias = ops.reshape(bias, (*bias.shape[-1:], *(1,) * (len(x.shape) - 2)))
    return ops.add(x, bias)


def batch_dot(x, y, axes=None):
    """Multiply entry by entry of the batch, summing over an axis of each; by default the last and the next to last."""
    if axes is None:
        axes = [len(x.shape) - 1, 1 if len(y.shape) == 2 else len(y.shape) - 2]
    axes = [axes, axes] if isinstance(axes, int) else list(axes)
    axes = [a % len(t.shape) for a, t in zip(axes, (x, y))]
    letters = iter("abcdefghijklmnopqrstuvwxy")
    first = ["z", *(next(letters) for _ in x.shape[1:])]
    second = ["z", *(next(letters) for _ in y.shape[1:])]
    second[axes[1]] = first[axes[0]]
    kept = [c for c in first + second[1:] if c != first[axes[0]]]
    out = ops.einsum(f"{''.join(first)},{''.join(second)}->{''.join(kept)}", x, y)
    return ops.expand_dims(out, 1) if len(kept) == 1 else out


# -- shapes ------------------------------------------------------------------------------------------------------------


def concatenate(tensors, axis=-1):
    """Join tensors along an axis."""
    return ops.concatenate(tensors, axis)


def flatten(x):
    """Return all entries in one dimension."""
    return ops.reshape(x, (-1,))


def batch_flatten(x):
    """Return the entries of each sample in one dimension."""
    return ops.reshape(x, (-1, int(np.prod(x.shape[1:]))))


def permute_dimensions(x, pattern):
    """Reorder the dimensions."""
    return ops.transpose(x, pattern)


def repeat(x, n):
    """Turn a matrix into a sequence of `n` equal steps."""
    return ops.repeat(ops.expand_dims(x, 1), n, axis=1)


def repeat_elements(x, rep, axis):
    """Repeat each slice along an axis."""
    return ops.repeat(x, rep, axis=axis)


def reverse(x, axes):
    """Turn axes around."""
    return ops.flip(x, axes)


def gather(reference, indices):
    """Return the rows with these numbers."""
    return ops.take(reference, indices, axis=0)


def one_hot(indices, num_classes):
    """Return one-hot rows."""
    return ops.one_hot(indices, num_classes)


def in_top_k(predictions, targets, k):
    """Tell for each row whether its target is among the k largest predictions."""
    return ops.in_top_k(targets, predictions, k)


def switch(condition, then_expression, else_expression):
    """Choose by a scalar condition between two values or functions, or entry by entry."""
    if callable(then_expression) or callable(else_expression):
        return ops.cond(condition, _as_function(then_expression), _as_function(else_expression))
    condition = ops.convert_to_tensor(condition, "bool")
    missing = len(then_expression.shape) - len(condition.shape)
    if missing > 0 and len(condition.shape) > 0:
        condition = ops.reshape(condition, (*condition.shape, *(1,) * missing))
    return ops.where(condition, then_expression, else_expression)


def _as_function(expression: Any) -> Callable[[], Any]:
    return expression if callable(expression) else lambda: expression


# -- losses, entry by entry --------------------------------------------------------------------------------------------


def binary_crossentropy(target, output, from_logits=False):
    """Return the cross-entropy of probabilities, entry by entry."""
    return ops.binary_crossentropy(target, output, from_logits)


def categorical_crossentropy(target, output, from_logits=False, axis=-1):
    """Return the cross-entropy of distributions over classes."""
    return ops.categorical_crossentropy(target, output, from_logits, axis)


def sparse_categorical_crossentropy(target, output, from_logits=False, axis=-1, ignore_class=None):
    """Return the cross-entropy of distributions over classes, the right ones given by number."""
    target = ops.cast(target, "int32")
    if ignore_class is None:
        return ops.sparse_categorical_crossentropy(target, output, from_logits, axis)
    counted = ops.not_equal(target, ignore_class)
    found = ops.sparse_categorical_crossentropy(target * ops.cast(counted, "int32"), output, from_logits, axis)
    return ops.where(counted, found, ops.zeros_like(found))


def binary_focal_crossentropy(
    target, output, apply_class_balancing=False, alpha=0.25, gamma=2.0, from_logits=False
):
    """Return the cross-entropy of probabilities, with those that are nearly right counting less (arXiv:1708.02002)."""
    target, output = ops.convert_to_tensor(target), ops.convert_to_tensor(output)
    output = ops.sigmoid(output) if from_logits else output
    right = target * output + (1 - target) * (1 - output)
    found = ops.power(1.0 - right, gamma) * ops.binary_crossentropy(target, output)
    return (target * alpha + (1 - target) * (1 - alpha)) * found if apply_class_balancing else found


def categorical_focal_crossentropy(target, output, alpha=0.25, gamma=2.0, from_logits=False, axis=-1):
    """Return the cross-entropy over classes, with those that are nearly right counting less (arXiv:1708.02002)."""
    target, output = ops.convert_to_tensor(target), ops.convert_to_tensor(output)
    output = ops.softmax(output, axis) if from_logits else output / ops.sum(output, axis, keepdims=True)
    output = ops.clip(output, config.epsilon(), 1.0 - config.epsilon())
    return ops.sum(-target * ops.log(output) * alpha * ops.power(1.0 - output, gamma), axis)
