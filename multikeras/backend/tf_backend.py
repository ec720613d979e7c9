"""The primitives on TensorFlow, eager and in graphs.

Raw operations are used where they exist: they skip the dispatch of `tf.*`, half of what a small eager call costs.
Where TensorFlow has no kernel for a dtype, the operation runs in a wider one and the result is cast back.
"""

import math
from functools import lru_cache

import numpy as np

from multikeras import config
from multikeras.backend import dtypes, shapes
from multikeras.backend._tf_distribute import Distributed
from multikeras.backend._tf_programs import DTYPE, VariableBase, recorded, tf
from multikeras.backend._tf_sparse import SparseTensors

R = tf.raw_ops

_BOOL = {tf.bool: tf.int32}
_UNSIGNED = {tf.uint8: tf.int32, tf.uint16: tf.int32, tf.uint32: tf.int64, tf.uint64: tf.int64}
_INTEGERS = {tf.int8: tf.int32, tf.int16: tf.int32, **_UNSIGNED}
_HALF = {tf.float16: tf.float32, tf.bfloat16: tf.float32}
_DERIVED = frozenset((tf.float32, tf.float64, tf.float16, tf.bfloat16))
_FLOAT8 = {DTYPE[name]: tf.float32 for name in dtypes.FLOAT8}
_INDIRECT = ("bool", *dtypes.FLOAT8)  # what tf.constant does not make of an int
_KEY_BITS = {tf.float32: tf.int32, tf.float64: tf.int64}
_SIGNED = {tf.uint8: tf.int8, tf.uint16: tf.int16, tf.uint32: tf.int32, tf.uint64: tf.int64}


@lru_cache(4096)
def _constant(values):
    with tf.device("cpu:0"):
        return tf.constant(np.asarray(values, np.int32))


def _ints(values):
    """Return a tuple of sizes, axes or pairs as an int32 tensor: eager calls spend most on converting tuples."""
    try:
        return _constant(values) if tf.executing_eagerly() else np.asarray(values, np.int32)
    except (TypeError, NotImplementedError):  # sizes that are tensors
        return tf.stack([_ints(v) if isinstance(v, tuple) else tf.cast(v, tf.int32) for v in values])


def _cast(x, dtype):
    return x if x.dtype == dtype else R.Cast(x=x, DstT=dtype)


def _wide(f, *gaps):
    """Return `f` running in a wider dtype where its first argument's dtype is one of `gaps`."""
    wider = {k: v for gap in gaps for k, v in gap.items()}

    def run(x, *xs, **kwargs):
        dtype = wider.get(x.dtype)
        if dtype is None:
            return f(x, *xs, **kwargs)
        out = f(_cast(x, dtype), *(_cast(y, dtype) for y in xs), **kwargs)
        return tuple(_cast(y, x.dtype) for y in out) if isinstance(out, tuple) else _cast(out, x.dtype)

    return run


def _unary(name, *gaps):
    op = getattr(R, name)
    return staticmethod(_wide(lambda x: op(x=x), *gaps) if gaps else lambda x: op(x=x))


def _binary(name, *gaps):
    op = getattr(R, name)
    return staticmethod(_wide(lambda x, y: op(x=x, y=y), *gaps) if gaps else lambda x, y: op(x=x, y=y))


def _for(dtype, then, otherwise):
    """Return the function `then` of arguments of `dtype`, `otherwise` of others."""
    return staticmethod(lambda x, *y: then(x, *y) if x.dtype == dtype else otherwise(x, *y))


def _bitwise(name, logical):
    op, of_bools = getattr(R, name), getattr(R, logical)
    return _for(tf.bool, lambda x, y: of_bools(x=x, y=y), lambda x, y: op(x=x, y=y))


def _summed(x, like):
    """Add up what broadcasting repeated of `like`."""
    if x.shape == like.shape and x.shape.is_fully_defined():
        return x
    axes = R.BroadcastGradientArgs(s0=tf.shape(like), s1=tf.shape(x))[0]
    return tf.reshape(tf.reduce_sum(x, axes), tf.shape(like))


def _derived(f, derivatives):
    """Return `f(x, y)` with `derivatives(upstream, x, y)`, where TensorFlow's own are others than elsewhere."""

    @tf.custom_gradient
    def derived(x, y):
        return f(x, y), lambda g: tuple(_summed(d, v) for d, v in zip(derivatives(g, x, y), (x, y)))

    def run(x, y):
        if x.dtype in _DERIVED and (recorded() or not tf.executing_eagerly()):
            return derived(x, y)
        return f(x, y)

    return staticmethod(run)


def _shared(compare):
    """Return the derivatives of maximum or minimum: a half each where both are equal."""

    def derivatives(g, x, y):
        g, zeros = R.Select(condition=R.Equal(x=x, y=y), x=g / 2, y=g), R.ZerosLike(x=g)
        return tuple(R.Select(condition=compare(x=a, y=b), x=g, y=zeros) for a, b in ((x, y), (y, x)))

    return derivatives


def _of_power(g, x, y):
    one = tf.ones((), x.dtype)
    by_base = g * y * R.Pow(x=x, y=tf.where(y == 0, one, y) - one)
    return by_base, g * R.Pow(x=x, y=y) * R.Log(x=tf.where(x == 0, one, x))


def _of_angle(g, y, x):
    g = g / tf.where((x == 0) & (y == 0), tf.ones((), x.dtype), x * x + y * y)
    return g * x, -g * y


@tf.custom_gradient
def _lu(x):
    """Return the factors of square matrices and their permutation; TensorFlow itself has no derivative of them."""
    def pull(g, _):
        factors, permutation = _lu(x)  # anew, so that it is differentiated too in derivatives of derivatives
        # From d(P x) = dL U + L dU: the strict lower part of L^-1 d(P x) U^-1 is of L, the rest of U.
        upper = tf.linalg.band_part(factors, 0, -1)
        eye = tf.eye(tf.shape(x)[-1], dtype=x.dtype)
        lower = factors - upper + eye
        of_lower = tf.matmul(lower, tf.linalg.band_part(g, -1, 0) - tf.linalg.band_part(g, 0, 0), adjoint_a=True)
        of_upper = tf.matmul(tf.linalg.band_part(g, 0, -1), upper, adjoint_b=True)
        inner = tf.linalg.band_part(of_lower, -1, 0) - tf.linalg.band_part(of_lower, 0, 0) + tf.linalg.band_part(of_upper, 0, -1)
        inner = tf.linalg.triangular_solve(lower, inner, adjoint=True)
        inner = tf.linalg.adjoint(tf.linalg.triangular_solve(upper, tf.linalg.adjoint(inner), lower=False))
        back = tf.argsort(permutation)
        return tf.gather(inner, back, batch_dims=x.shape.rank - 2, axis=-2)

    return tuple(tf.linalg.lu(x)), pull


def _axes(x, axis):
    if axis is None:
        return _ints(tuple(range(x.shape.rank)))
    return _ints(axis) if isinstance(axis, tuple) else axis


def _reduction(name, of_bools):
    op, logical = getattr(R, name), getattr(R, of_bools)

    def reduce(self, x, axis=None, keepdims=False):
        axis = _axes(x, axis)
        if x.dtype == tf.bool:
            return logical(input=x, axis=axis, keep_dims=keepdims)
        return op(input=x, axis=axis, keep_dims=keepdims)

    return reduce


def _is_static(shape):
    return all(isinstance(s, (int, np.integer)) for s in shape)


def _last(f):
    """Let `f`, which works along the last axis, work along any."""

    def run(self, x, axis):
        rank = x.shape.rank
        if axis in (-1, rank - 1):
            return f(self, x)
        order = list(range(rank))
        order[axis], order[-1] = order[-1], order[axis]
        return self.transpose(f(self, self.transpose(x, order)), order)

    return run


def _sort_key(x, nan_last=True):
    """Return signed integers ordered as `x` is, NaN last or first."""
    if x.dtype in _HALF or x.dtype in _FLOAT8:
        x = _cast(x, tf.float32)
    if x.dtype in _KEY_BITS:
        # All by bits: comparisons of floats take subnormal ones for 0.
        bits = R.Bitcast(input=x, type=_KEY_BITS[x.dtype])
        size = R.BitwiseAnd(x=bits, y=bits.dtype.max)
        nan = R.Greater(x=size, y=tf.bitcast(tf.constant(np.inf, x.dtype), bits.dtype))
        key = R.SelectV2(condition=R.Less(x=bits, y=tf.zeros((), bits.dtype)), t=R.Neg(x=size), e=size)
        return R.SelectV2(condition=nan, t=bits.dtype.max if nan_last else bits.dtype.min, e=key)
    if x.dtype in _SIGNED:
        bits = tf.bitcast(x, _SIGNED[x.dtype])
        return tf.bitwise.bitwise_xor(bits, tf.constant(bits.dtype.min, bits.dtype))
    return _cast(x, tf.int32) if x.dtype == tf.bool else x


def _next_half(x, y):
    """Return the 16-bit float after `x` on the way to `y`: the bits of its magnitude, one more or less."""
    bits = tf.bitcast(x, tf.int16)
    one = tf.ones((), tf.int16)
    step = tf.where((x < y) == (x > 0), one, -one)
    from_zero = tf.where(y > 0, one, one + tf.int16.min)
    moved = tf.bitcast(tf.where(x == 0, from_zero, bits + step), x.dtype)
    return tf.where((x < y) | (x > y), moved, tf.where(x == y, y, x + y))


class TensorFlowBackend(SparseTensors, Distributed):
    """The primitives on TensorFlow."""

    name = "tensorflow"
    Tensor = tf.__internal__.EagerTensor  # asked by name: to make a tensor would settle which devices there are
    tensor_types = (tf.Tensor, tf.Variable, tf.IndexedSlices, tf.RaggedTensor)
    native_inexact = frozenset(DTYPE[d] for d in (*dtypes.FLOATS, *dtypes.FLOAT8, *dtypes.COMPLEX))

    abs = _for(tf.complex64, lambda x: R.ComplexAbs(x=x, Tout=tf.float32), _wide(tf.abs, _UNSIGNED, _BOOL))
    negative = _unary("Neg", _UNSIGNED)
    sign = _unary("Sign", _UNSIGNED)
    floor, ceil, round = _unary("Floor"), _unary("Ceil"), _unary("Rint", _HALF)
    exp, expm1, log, log1p, sqrt = (_unary(n) for n in ("Exp", "Expm1", "Log", "Log1p", "Sqrt"))
    sin, cos, tan, sinh, cosh, tanh = (_unary(n) for n in ("Sin", "Cos", "Tan", "Sinh", "Cosh", "Tanh"))
    arcsin, arccos, arctan = _unary("Asin"), _unary("Acos"), _unary("Atan")
    arcsinh, arccosh, arctanh = _unary("Asinh"), _unary("Acosh"), _unary("Atanh")
    # The kernel for 64 bits says NaN of minus infinity; beyond 6 it is 1 in any case.
    erf = _for(tf.float64, lambda x: R.Erf(x=tf.clip_by_value(x, -6.0, 6.0)), lambda x: R.Erf(x=x))
    erfc = _unary("Erfc")
    erfinv = staticmethod(_wide(lambda x: tf.math.erfinv(x), _HALF))
    bitwise_not = _for(tf.bool, lambda x: R.LogicalNot(x=x), lambda x: R.Invert(x=x))
    real, imag = staticmethod(tf.math.real), staticmethod(tf.math.imag)
    conj = staticmethod(lambda x: R.Conj(input=x) if x.dtype.is_complex else x)

    add = _for(tf.bool, lambda x, y: R.LogicalOr(x=x, y=y), lambda x, y: R.AddV2(x=x, y=y))
    multiply = _for(tf.bool, lambda x, y: R.LogicalAnd(x=x, y=y), lambda x, y: R.Mul(x=x, y=y))
    subtract, divide = _binary("Sub"), _binary("RealDiv")
    floor_divide, mod = _binary("FloorDiv", _BOOL), _binary("FloorMod", _BOOL)
    power = _derived(_wide(lambda x, y: R.Pow(x=x, y=y), _UNSIGNED), _of_power)
    maximum = _derived(_wide(lambda x, y: R.Maximum(x=x, y=y), _BOOL), _shared(R.GreaterEqual))
    minimum = _derived(_wide(lambda x, y: R.Minimum(x=x, y=y), _BOOL), _shared(R.LessEqual))
    arctan2 = _derived(lambda y, x: R.Atan2(y=y, x=x), _of_angle)
    equal, less = _binary("Equal"), staticmethod(lambda x, y: R.Less(x=x, y=y) if x.dtype != tf.bool else ~x & y)
    bitwise_and = _bitwise("BitwiseAnd", "LogicalAnd")
    bitwise_or = _bitwise("BitwiseOr", "LogicalOr")
    bitwise_xor = staticmethod(lambda x, y: tf.not_equal(x, y) if x.dtype == tf.bool else R.BitwiseXor(x=x, y=y))
    left_shift, right_shift = _binary("LeftShift", _BOOL), _binary("RightShift", _BOOL)
    nextafter = staticmethod(lambda x, y: _next_half(x, y) if x.dtype in _HALF else R.NextAfter(x1=x, x2=y))
    gammainc = staticmethod(_wide(lambda a, x: R.Igamma(a=a, x=x), _HALF))
    complex = staticmethod(tf.complex)

    def isfinite(self, x):
        if x.dtype.is_complex:
            return R.IsFinite(x=tf.math.real(x)) & R.IsFinite(x=tf.math.imag(x))
        return R.IsFinite(x=x) if x.dtype.is_floating else tf.ones_like(x, tf.bool)

    def isnan(self, x):
        return R.NotEqual(x=x, y=x, incompatible_shape_error=True)

    # -- tensors ---------------------------------------------------------------------------------------------------

    def asarray(self, x, dtype=None):
        kind = type(x)
        if isinstance(x, VariableBase):
            x = x.value
        if isinstance(x, tf.Variable):
            x = x.value()
        if isinstance(x, tf.Tensor):
            return x if dtype is None else self.cast(x, dtype)
        if kind in (bool, int, float, complex):
            if dtype is None:
                dtype = "int64" if kind is int and not -(2**31) <= x < 2**31 else dtypes.standardize_dtype(kind)
            fits = dtypes.is_inexact(dtype) and dtype not in dtypes.FLOAT8 if kind is float else dtype not in _INDIRECT
            if not fits or kind is complex:
                return self.cast(tf.constant(x), dtype)
            # TensorFlow keeps small scalars and takes -0.0 for 0.0.
            x = np.asarray(x) if kind is float and not x else int(x) if kind is bool else x
            return tf.constant(x, DTYPE[dtype])
        if isinstance(x, (tf.IndexedSlices, tf.RaggedTensor)):
            return self.asarray(tf.convert_to_tensor(x) if isinstance(x, tf.IndexedSlices) else x.to_tensor(), dtype)
        if isinstance(x, tf.SparseTensor):
            return self.asarray(tf.sparse.to_dense(x), dtype)
        if isinstance(x, (list, tuple)):
            return self._of_sequence(x, dtype)
        if hasattr(x, "__tf_tensor__"):
            return self.asarray(tf.convert_to_tensor(x), dtype)
        if hasattr(x, "detach"):
            x = x.detach().cpu()
        try:
            x = np.asarray(x)
        except TypeError:
            x = tf.experimental.dlpack.from_dlpack(x.__dlpack__())
        if dtype is not None and isinstance(x, np.ndarray) and x.dtype.kind not in "SUO":
            x = x.astype(dtypes.numpy_dtype(dtype))
        return tf.convert_to_tensor(x)

    def _of_sequence(self, x, dtype):
        kinds = set()

        def look(x):
            for item in x:
                if isinstance(item, (list, tuple)):
                    look(item)
                else:
                    kinds.add(type(item))

        look(x)
        if any(issubclass(k, (*self.tensor_types, VariableBase)) for k in kinds):
            parts = [p if type(p) in (bool, int, float, complex) else self.asarray(p) for p in x]
            weak = [type(p) if not isinstance(p, tf.Tensor) else p.dtype.name for p in parts]
            dtype = dtype or dtypes.result_type(*weak)
            return tf.stack([self.asarray(p, dtype) for p in parts])
        if not kinds:
            dtype = dtype or config.floatx()
        elif kinds <= {bool, int, float, complex}:
            dtype = dtype or dtypes.result_type(*(k for k in (bool, int, float, complex) if k in kinds))
        x = np.array(x)
        if dtype == "int32" and x.dtype == np.int64 and x.size and not -(2**31) <= x.min() <= x.max() < 2**31:
            dtype = "int64"
        return self.asarray(x, dtype)

    def to_numpy(self, x):
        return np.asarray(x.numpy()) if hasattr(x, "numpy") else np.asarray(x)

    def cast(self, x, dtype):
        to = DTYPE[dtype]
        if x.dtype == to:
            return x
        if type(x) is tf.RaggedTensor:
            return tf.cast(x, to)
        if x.dtype.is_complex and not to.is_complex:
            x = tf.math.real(x) if to != tf.bool else tf.not_equal(x, tf.zeros((), x.dtype))
        if (to in _FLOAT8 and not x.dtype.is_floating) or (x.dtype in _FLOAT8 and not to.is_floating):
            x = R.Cast(x=x, DstT=tf.float32)
        return x if x.dtype == to else R.Cast(x=x, DstT=to)

    def bitcast(self, x, dtype):
        to = DTYPE[dtype]
        if x.dtype in _FLOAT8 or to in _FLOAT8:
            return tf.convert_to_tensor(self.to_numpy(x).view(dtypes.numpy_dtype(dtype)))
        if x.dtype == tf.bool:
            x = R.Cast(x=x, DstT=tf.uint8)
        if to == tf.bool:
            return R.Cast(x=self.bitcast(x, "uint8"), DstT=tf.bool)
        shape = self.shape(x)
        if x.dtype.size > to.size:
            return tf.reshape(tf.bitcast(x, to), (*shape[:-1], shape[-1] * (x.dtype.size // to.size)))
        if x.dtype.size < to.size:
            ratio = to.size // x.dtype.size
            x = tf.reshape(x, (*shape[:-1], shape[-1] // ratio, ratio))
        return tf.bitcast(x, to)

    def shape(self, x):
        static = tuple(x.shape)
        if None not in static:
            return static
        sizes = x.bounding_shape(out_type=tf.int32) if type(x) is tf.RaggedTensor else tf.shape(x)
        return tuple(sizes[i] if s is None else s for i, s in enumerate(static))

    def dtype(self, x):
        return x.dtype.name

    def full(self, shape, value, dtype):
        if dtype in dtypes.FLOAT8:
            return self.cast(self.full(shape, value, "float32"), dtype)
        return R.Fill(dims=_ints(tuple(shape)), value=self.asarray(value, dtype))

    def arange(self, start, stop, step, dtype):
        # The kernel for floats adds up steps: in float64 the error vanishes in the cast.
        kind = "float64" if dtypes.is_inexact(dtype) else "int64"
        return self.cast(tf.range(*(self.asarray(s, kind) for s in (start, stop, step))), dtype)

    def where(self, condition, x, y):
        if x.dtype in _FLOAT8:
            return _cast(tf.where(condition, _cast(x, tf.float32), _cast(y, tf.float32)), x.dtype)
        return R.SelectV2(condition=condition, t=x, e=y)

    def unstacked(self, x):
        return tf.unstack(x)

    def copy_tensor(self, x):
        # Tensors are immutable and a tf.Variable copies before it writes.
        return x

    # -- reduce, order ---------------------------------------------------------------------------------------------

    sum, prod = _reduction("Sum", "Any"), _reduction("Prod", "All")
    max, min = _reduction("Max", "Any"), _reduction("Min", "All")

    def argmax(self, x, axis):
        # The kernels skip NaN and take subnormal floats for 0; integers in the same order have neither.
        x = _sort_key(x) if x.dtype.is_floating else x
        return R.ArgMax(input=x, dimension=axis, output_type=tf.int32)

    def argmin(self, x, axis):
        x = _sort_key(x, nan_last=False) if x.dtype.is_floating else x
        return R.ArgMin(input=x, dimension=axis, output_type=tf.int32)

    def cumsum(self, x, axis):
        return _wide(tf.cumsum, _BOOL)(x, axis=axis)

    def cumprod(self, x, axis):
        size = x.shape[axis]
        if size is None or not (x.dtype.is_floating or x.dtype.is_complex):
            return _wide(tf.math.cumprod, _BOOL)(x, axis=axis)
        # The kernel's gradient divides by the entries and is wrong behind a zero.
        before, step = (slice(None),) * (axis % x.shape.rank), 1
        while step < size:
            x = tf.concat([x[(*before, slice(step))], x[(*before, slice(step, None))] * x[(*before, slice(-step))]], axis)
            step *= 2
        return x

    def _order(self, x):
        if x.dtype.is_complex:
            by_imag = self._order(tf.math.imag(x))
            by_real = self._order(tf.gather(tf.math.real(x), by_imag, batch_dims=x.shape.rank - 1))
            return tf.gather(by_imag, by_real, batch_dims=x.shape.rank - 1)
        # top_k gives the first of equals first; bitwise not reverses the order of integers without overflow.
        return tf.math.top_k(tf.bitwise.invert(_sort_key(x)), self.shape(x)[-1]).indices

    argsort = _last(_order)
    sort = _last(lambda self, x: tf.gather(x, self._order(x), batch_dims=x.shape.rank - 1))

    def top_k(self, x, k):
        values, indices = tf.math.top_k(_cast(x, tf.int32) if x.dtype == tf.bool else x, k)
        return _cast(values, x.dtype), indices

    # -- move ------------------------------------------------------------------------------------------------------

    def reshape(self, x, shape):
        return R.Reshape(tensor=x, shape=_ints(tuple(shape)))

    def transpose(self, x, axes):
        return R.Transpose(x=x, perm=_ints(tuple(axes)))

    def broadcast_to(self, x, shape):
        return R.BroadcastTo(input=x, shape=_ints(tuple(shape)))

    def concatenate(self, xs, axis):
        if type(xs[0]) is tf.RaggedTensor:
            return tf.concat(xs, axis)
        return R.ConcatV2(values=xs, axis=axis) if len(xs) > 1 else xs[0]

    def pad(self, x, widths, mode="constant", value=0):
        if x.dtype in _FLOAT8:
            return _cast(self.pad(_cast(x, tf.float32), widths, mode, value), x.dtype)
        if mode == "constant":
            widths = _ints(tuple(map(tuple, widths))) if widths else np.zeros((0, 2), np.int32)
            return R.PadV2(input=x, paddings=widths, constant_values=self.asarray(value, x.dtype.name))
        for axis, (low, high) in enumerate(widths):
            if low or high:
                x = self._mirrored(x, axis, low, high, mode == "reflect")
        return x

    def _mirrored(self, x, axis, low, high, reflect):
        # Positions go up and down again with this period, whatever the width.
        n = self.shape(x)[axis]
        period = tf.maximum(2 * n - 2 if reflect else 2 * n, 1)
        at = tf.range(-low, n + high) % period
        return tf.gather(x, tf.minimum(at, period - at if reflect else period - 1 - at), axis=axis)

    def flip(self, x, axis):
        return R.ReverseV2(tensor=x, axis=_ints(tuple(axis))) if axis else x

    def expand_dims(self, x, axis):
        return R.ExpandDims(input=x, axis=axis)

    def squeeze(self, x, axis):
        return R.Squeeze(input=x, axis=list(axis)) if axis else x

    # -- index -----------------------------------------------------------------------------------------------------

    def _normal_key(self, x, key):
        """Return the key as a list with an entry for each dimension and None: ints, slices, integer arrays."""
        entries = []
        for k in key if isinstance(key, tuple) else (key,):
            if k is None or k is Ellipsis or (isinstance(k, (slice, int, np.integer)) and not isinstance(k, bool)):
                entries.append(k)
                continue
            k = k if isinstance(k, np.ndarray) else self.asarray(k)
            if k.dtype == bool or k.dtype == tf.bool:
                entries.extend(self.nonzero(self.asarray(k)))
            else:
                entries.append(k)
        used = sum(k is not None and k is not Ellipsis for k in entries)
        if not any(k is Ellipsis for k in entries):
            entries.append(Ellipsis)
        at = next(i for i, k in enumerate(entries) if k is Ellipsis)
        return entries[:at] + [slice(None)] * (x.shape.rank - used) + entries[at + 1 :]

    def _sliced(self, x, entries):
        """Index by ints, slices and None, one entry for each dimension and None, as one strided slice."""
        begin, end, strides, from_start, to_end, new, drop = [], [], [], 0, 0, 0, 0
        for i, k in enumerate(entries):
            first, last, step = 0, 0, 1
            if k is None:
                new |= 1 << i
            elif isinstance(k, slice):
                first, last, step = k.start, k.stop, 1 if k.step is None else k.step
                from_start |= (first is None) << i
                to_end |= (last is None) << i
            else:
                first, last, drop = k, k + 1, drop | 1 << i
                to_end |= (isinstance(k, int) and k == -1) << i
            begin.append(0 if first is None else first)
            end.append(0 if last is None else last)
            strides.append(step)
        return R.StridedSlice(
            input=x, begin=_ints(tuple(begin)), end=_ints(tuple(end)), strides=_ints(tuple(strides)),
            begin_mask=from_start, end_mask=to_end, new_axis_mask=new, shrink_axis_mask=drop,
        )  # fmt: skip

    def getitem(self, x, key):
        entries = self._normal_key(x, key)
        if not any(hasattr(k, "shape") and len(k.shape) for k in entries):
            return self._sliced(x, entries)
        # Ints beside index arrays are index arrays too; slices and new axes come first, then one gather.
        arrays, positions, basic, dim = [], [], [], 0
        for i, k in enumerate(entries):
            if k is None or isinstance(k, slice):
                basic.append(k)
            else:
                arrays.append((dim, k))
                positions.append(i)
                basic.append(slice(None))
            dim += 1
        if any(k != slice(None) for k in basic):
            x = self._sliced(x, basic)
        sizes = self.shape(x)
        indices = []
        for dim, k in arrays:
            k = tf.convert_to_tensor(k)
            k = k if k.dtype in (tf.int32, tf.int64) else tf.cast(k, tf.int64)
            indices.append(tf.where(k < 0, k + tf.cast(sizes[dim], k.dtype), k))
        dims = [dim for dim, _ in arrays]
        if len(dims) == 1:
            return tf.gather(x, indices[0], axis=dims[0])
        shape = indices[0].shape
        wide = tf.int64 if any(k.dtype == tf.int64 for k in indices) else tf.int32
        total = sum(tf.zeros_like(k, wide) for k in indices)
        indices = tf.stack([tf.cast(k, wide) + total for k in indices], axis=-1)
        rest = [d for d in range(x.shape.rank) if d not in dims]
        out = tf.gather_nd(self.transpose(x, dims + rest), indices)
        if positions[-1] - positions[0] + 1 != len(positions):
            return out
        shape, before = indices.shape.rank - 1, dims[0]
        order = list(range(shape, shape + before)) + list(range(shape)) + list(range(shape + before, out.shape.rank))
        return self.transpose(out, order)

    def take(self, x, indices, axis):
        indices = indices if indices.dtype in (tf.int32, tf.int64) else tf.cast(indices, tf.int64)
        return R.GatherV2(params=x, indices=indices, axis=axis, batch_dims=0)

    def take_along_axis(self, x, indices, axis):
        rank = x.shape.rank
        axis %= rank
        indices = indices if indices.dtype in (tf.int32, tf.int64) else tf.cast(indices, tf.int64)
        a, b = self.shape(x), self.shape(indices)
        common = [self._wider(s, t) for s, t in zip(a, b)]
        if any(s is None or s != t for i, (s, t) in enumerate(zip(x.shape, indices.shape)) if i != axis):
            x = tf.broadcast_to(x, [*common[:axis], a[axis], *common[axis + 1 :]])
            indices = tf.broadcast_to(indices, [*common[:axis], b[axis], *common[axis + 1 :]])
        order = list(range(rank))
        order[axis], order[-1] = order[-1], order[axis]
        if axis != rank - 1:
            x, indices = self.transpose(x, order), self.transpose(indices, order)
        out = R.GatherV2(params=x, indices=indices, axis=rank - 1, batch_dims=rank - 1)
        return out if axis == rank - 1 else self.transpose(out, order)

    @staticmethod
    def _wider(s, t):
        if _is_static((s, t)):
            return t if s == 1 else s
        known = [d for d in (s, t) if _is_static((d,)) and d != 1]
        return known[0] if known else tf.maximum(s, t)

    def scatter(self, x, indices, updates, how="set"):
        if x.dtype == tf.bool and how != "set":
            return tf.cast(self.scatter(tf.cast(x, tf.int32), indices, tf.cast(updates, tf.int32), how), tf.bool)
        depth = indices.shape[-1]
        sizes = self.shape(x)
        indices = indices if indices.dtype in (tf.int32, tf.int64) else tf.cast(indices, tf.int64)
        n = math.prod(sizes[:depth])
        limits = tf.cast(tf.stack(sizes[:depth]), indices.dtype)
        inside = tf.reduce_all((indices >= 0) & (indices < limits), axis=-1)
        strides = tf.math.cumprod(limits, exclusive=True, reverse=True)
        at = tf.where(inside, tf.reduce_sum(indices * strides, axis=-1), -1)
        at = tf.reshape(at, (-1,))
        rest = sizes[depth:]
        updates = tf.reshape(updates, (self.shape(at)[0], *rest))
        if how == "set":
            # A row after the last takes what falls outside.
            flat = tf.concat([tf.reshape(x, (n, *rest)), tf.zeros((1, *rest), x.dtype)], 0)
            out = tf.tensor_scatter_nd_update(flat, tf.where(at < 0, tf.cast(n, at.dtype), at)[:, None], updates)
            return tf.reshape(out[:n], sizes)
        segments = {"add": tf.math.unsorted_segment_sum, "multiply": tf.math.unsorted_segment_prod,
                    "max": tf.math.unsorted_segment_max, "min": tf.math.unsorted_segment_min}[how]  # fmt: skip
        merge = {"add": self.add, "multiply": self.multiply, "max": self.maximum, "min": self.minimum}[how]
        found = tf.reshape(segments(updates, at, n), sizes)
        if how in ("max", "min"):
            # A segment without updates holds the most extreme number there is, but for infinity.
            touched = tf.math.unsorted_segment_max(tf.ones_like(at), at, n) > 0
            x = tf.where(tf.reshape(touched, (*sizes[:depth], *(1,) * len(rest))), merge(x, found), x)
            return x
        return merge(x, found)

    def _fitted(self, x, start, sizes):
        def fit(s, size, length):
            if _is_static((s, size, length)):
                return max(min(int(s), size - length), 0)
            return tf.maximum(tf.minimum(tf.cast(s, tf.int32), tf.cast(size - length, tf.int32)), 0)

        return [fit(s, size, length) for s, size, length in zip(start, self.shape(x), sizes)]

    def slice(self, x, start, sizes):
        start = tf.unstack(start) if isinstance(start, tf.Tensor) else start
        if not sizes:
            return x
        return R.Slice(input=x, begin=_ints(tuple(self._fitted(x, start, sizes))), size=_ints(tuple(sizes)))

    def slice_update(self, x, start, updates):
        sizes = self.shape(updates)
        if not sizes:
            return updates
        start = tf.unstack(start) if isinstance(start, tf.Tensor) else start
        begin = self._fitted(x, start, sizes)
        end = _ints(tuple(b + s for b, s in zip(begin, sizes)))
        begin, strides = _ints(tuple(begin)), _ints((1,) * len(sizes))
        return R.TensorStridedSliceUpdate(input=x, begin=begin, end=end, strides=strides, value=updates)

    def searchsorted(self, sorted_sequence, values, side):
        if values.dtype.is_floating:
            sorted_sequence, values = _sort_key(sorted_sequence), _sort_key(values)  # with NaN last
        found = tf.searchsorted(sorted_sequence, tf.reshape(values, (-1,)), side)
        return tf.reshape(found, tf.shape(values))

    def nonzero(self, x):
        x = x if x.dtype == tf.bool else tf.not_equal(x, tf.zeros((), x.dtype))
        return tuple(tf.unstack(tf.cast(tf.where(x), tf.int32), axis=1))

    def unique(self, x):
        order = self.argsort(x, 0)
        ordered = tf.gather(x, order)
        same = (ordered[1:] == ordered[:-1]) | ((ordered[1:] != ordered[1:]) & (ordered[:-1] != ordered[:-1]))
        starts = tf.concat([tf.ones_like(order[:1], tf.bool), ~same], 0)
        at = tf.cast(tf.where(starts)[:, 0], tf.int32)
        group = tf.cumsum(tf.cast(starts, tf.int32)) - 1
        inverse = tf.scatter_nd(order[:, None], group, tf.shape(order))
        counts = tf.concat([at[1:], tf.shape(order)], 0) - at if self.shape(x)[0] is not None else at
        counts = counts[: tf.shape(at)[0]]
        return tf.gather(ordered, at), tf.gather(order, at), inverse, counts

    # -- contract --------------------------------------------------------------------------------------------------

    _CONTRACTED = {tf.bool: tf.int32, **_INTEGERS, **_FLOAT8}

    def matmul(self, x, y):
        wide = self._CONTRACTED.get(x.dtype)
        if wide is not None:
            return _cast(self.matmul(_cast(x, wide), _cast(y, wide)), x.dtype)
        a, b = x.shape.rank, y.shape.rank
        if a == 2 and b == 2:
            return R.MatMul(a=x, b=y)
        if a == 1 and b == 1:
            return tf.reduce_sum(x * y)
        if a == 1:
            return tf.squeeze(self.matmul(x[None], y), -2)
        if b == 1:
            return tf.squeeze(self.matmul(x, y[:, None]), -1)
        rows = self._by_rows(x, y)
        return R.BatchMatMulV2(x=x, y=y) if rows is None else self.reshape(rows, (*self.shape(x)[:-1], self.shape(y)[1]))

    def _by_rows(self, x, y):
        """Return the product of all rows of `x`, of rank above 2, by the matrix `y`; None where that does not pay.

        The gradient of y is one product too, where BatchMatMul would make one for each matrix of x and add them up: 10 to
        35 % faster with gradients, 5 % without. Eagerly the shapes cost 70 us.
        """
        if (x.shape.rank or 0) < 3 or y.shape.rank != 2 or not y.shape[0] or (tf.executing_eagerly() and not recorded()):
            return None
        return R.MatMul(a=R.Reshape(tensor=x, shape=(-1, y.shape[0])), b=y)

    def einsum(self, subscripts, *xs):
        wide = self._CONTRACTED.get(xs[0].dtype)
        if wide is not None:
            return _cast(tf.einsum(subscripts, *(_cast(x, wide) for x in xs)), xs[0].dtype)
        return tf.einsum(subscripts, *xs) if len(xs) > 2 else R.Einsum(inputs=xs, equation=subscripts.replace(" ", ""))

    def _on_last(self, f, x, data_format):
        """Run `f` with channels last: kernels for CPUs know no other order."""
        if data_format == "channels_last":
            return f(x)
        rank = x.shape.rank
        out = f(self.transpose(x, (0, *range(2, rank), 1)))
        return self.transpose(out, (0, rank - 1, *range(1, rank - 1)))

    def _padded(self, x, padding, value=0):
        """Return `x` with explicit pairs of padding applied and the padding left to the kernel."""
        if isinstance(padding, str):
            return x, padding.upper()
        return self.pad(x, [(0, 0), *padding, (0, 0)], value=value), "VALID"

    @staticmethod
    def _spread(kernel, dilation):
        """Return the kernel with zeros between its entries."""
        for axis, d in enumerate(dilation):
            if d > 1 and kernel.shape[axis] > 1:
                kernel = tf.expand_dims(kernel, axis + 1)
                n = kernel.shape[axis]
                zeros = [[0, 0]] * kernel.shape.rank
                zeros[axis + 1] = [0, d - 1]
                shape = list(kernel.shape)
                shape[axis : axis + 2] = [n * d]
                kernel = tf.reshape(tf.pad(kernel, zeros), shape)
                kernel = kernel[(slice(None),) * axis + (slice(0, (n - 1) * d + 1),)]
        return kernel

    def conv(self, x, kernel, strides, padding, dilation, groups, data_format):
        self.convolutions += 1
        if x.dtype.is_integer or x.dtype == tf.bool:
            x, kernel, dtype = _cast(x, tf.float64), _cast(kernel, tf.float64), x.dtype
            return _cast(self.conv(x, kernel, strides, padding, dilation, groups, data_format), dtype)

        def run(x):
            padded, mode = self._padded(x, padding)
            return self._conv(padded, kernel, tuple(strides), mode, tuple(dilation), groups)

        return self._on_last(run, x, data_format)

    def _conv(self, x, kernel, strides, mode, dilation, groups):
        if len(strides) == 1:
            # A line is an image of height 1; depthwise kernels want equal strides, and a height of 1 has one window.
            line, window = R.ExpandDims(input=x, axis=1), R.ExpandDims(input=kernel, axis=0)
            return R.Squeeze(input=self._conv(line, window, strides * 2, mode, (1, *dilation), groups), axis=[1])
        if max(dilation) > 1 and not (len(strides) == 2 and self._has_gpu()):
            return self._dilated(x, kernel, strides, mode, dilation, groups)
        strides_, native = [1, *strides, 1], len(strides) == 2 and self._has_gpu()
        if groups > 1 and len(strides) == 2 and kernel.shape[2] == 1 and strides[0] == strides[1]:
            kernel = self._spread(kernel, dilation)
            kernel = tf.reshape(kernel, (*kernel.shape[:2], groups, kernel.shape[3] // groups))
            return R.DepthwiseConv2dNative(input=x, filter=kernel, strides=strides_, padding=mode)
        if groups > 1 and not native:
            # CPUs have no gradient of grouped convolutions.
            parts = zip(tf.split(x, groups, -1), tf.split(kernel, groups, -1))
            return tf.concat([self._conv(a, k, strides, mode, dilation, 1) for a, k in parts], -1)
        if len(strides) == 3:
            return R.Conv3D(input=x, filter=kernel, strides=strides_, padding=mode)
        return R.Conv2D(input=x, filter=kernel, strides=strides_, padding=mode, dilations=[1, *dilation, 1])

    def _dilated(self, x, kernel, strides, mode, dilation, groups):
        # CPUs have no gradient of dilated convolutions. Without strides, every d-th entry makes an image of its own.
        once = (1,) * len(strides)
        if max(strides) > 1:
            return self._conv(x, self._spread(kernel, dilation), strides, mode, once, groups)

        def undilated(x, *_):
            return self._conv(x, kernel, once, "VALID", once, groups)

        return tf.nn.with_space_to_batch(x, list(dilation), mode, undilated, filter_shape=kernel.shape[:-2])

    @staticmethod
    def _has_gpu():
        return bool(tf.config.list_physical_devices("GPU"))

    def conv_transpose(self, x, kernel, strides, padding, output_padding, dilation, data_format):
        self.convolutions += 1
        def run(x):
            sizes = self.shape(x)
            spread = self._spread(kernel, dilation)
            wanted = [
                shapes.transposed_size(n, k, s, padding, o, d)
                for n, k, s, o, d in zip(sizes[1:-1], kernel.shape, strides, output_padding, dilation)
            ]
            if padding == "same" and all(o is None for o in output_padding):  # the operation cuts, without a copy
                return self._transposed(x, spread, tuple(strides), [sizes[0], *wanted, kernel.shape[-2]], "SAME")
            full = [(n - 1) * s + k for n, s, k in zip(sizes[1:-1], strides, spread.shape)]
            out = self._transposed(x, spread, tuple(strides), [sizes[0], *full, kernel.shape[-2]])
            for axis, (have, want) in enumerate(zip(full, wanted), 1):
                out = self._centred(out, axis, have, want)
            return out

        return self._on_last(run, x, data_format)

    @staticmethod
    def _transposed(x, kernel, strides, sizes, padding="VALID"):
        if len(strides) == 1:
            sizes = [sizes[0], 1, *sizes[1:]]
            return tf.squeeze(TensorFlowBackend._transposed(x[:, None], kernel[None], (1, *strides), sizes, padding), 1)
        op = R.Conv2DBackpropInput if len(strides) == 2 else R.Conv3DBackpropInputV2
        strides = [1, *strides, 1]
        out = op(input_sizes=tf.stack(sizes), filter=kernel, out_backprop=x, strides=strides, padding=padding)
        return tf.ensure_shape(out, [s if isinstance(s, int) else None for s in sizes])

    def _centred(self, x, axis, have, want):
        """Cut `have` entries down to `want`, the odd one at the end, or add zeros at the end."""
        key = (slice(None),) * axis
        if _is_static((have, want)):
            low = max(have - want, 0) // 2
            x = x[(*key, slice(low, low + want))] if have > want else x
            zeros = max(want - have, 0)
        else:
            low = tf.maximum(have - want, 0) // 2
            x = x[(*key, slice(low, low + want))]
            zeros = tf.maximum(want - have, 0)
        if _is_static((zeros,)) and zeros == 0:
            return x
        return self.pad(x, [(0, zeros if i == axis else 0) for i in range(x.shape.rank)])

    _POOLED = {**_BOOL, tf.uint32: tf.int64, tf.uint64: tf.float64}

    def _pool(self, op, x, window, strides, padding, data_format, value):
        def pool(x, w, s, mode):
            if len(w) == 1:
                return self.squeeze(pool(self.expand_dims(x, 1), (1, *w), (1, *s), mode), (1,))
            if len(w) == 2:
                return op(x, ksize=[1, *w, 1], strides=[1, *s, 1], padding=mode)
            # Maxima and means over boxes are those of columns of those of planes; kernels of rank 3 know few dtypes.
            batch, depth, *plane, channels = self.shape(x)
            x = pool(tf.reshape(x, (batch * depth, *plane, channels)), w[1:], s[1:], mode)
            _, *plane, _ = self.shape(x)
            x = pool(tf.reshape(x, (batch, depth, math.prod(plane), channels)), (w[0], 1), (s[0], 1), mode)
            return tf.reshape(x, (batch, self.shape(x)[1], *plane, channels))

        def run(x):
            padded, mode = self._padded(x, padding, value)
            return pool(padded, tuple(window), tuple(strides), mode)

        return self._on_last(run, x, data_format)

    def max_pool(self, x, window, strides, padding, data_format):
        if x.dtype in self._POOLED:
            wide = _cast(x, self._POOLED[x.dtype])
            return _cast(self.max_pool(wide, window, strides, padding, data_format), x.dtype)
        lowest = -math.inf if x.dtype.is_floating else x.dtype.min
        maxima = lambda x, **how: R.MaxPool(input=x, **how)  # noqa: E731
        return self._pool(maxima, x, window, strides, padding, data_format, lowest)

    def average_pool(self, x, window, strides, padding, data_format):
        means = lambda x, **how: R.AvgPool(value=x, **how)  # noqa: E731
        mean = self._pool(means, x, window, strides, padding, data_format, 0)
        if isinstance(padding, str):
            return mean
        return mean / self._pool(means, tf.ones_like(x), window, strides, padding, data_format, 0)

    # -- linear algebra, Fourier -----------------------------------------------------------------------------------

    def cholesky(self, x):
        try:
            return _wide(tf.linalg.cholesky, _HALF)(x)
        except tf.errors.InvalidArgumentError as error:
            raise ValueError(f"cholesky: the matrix is not positive definite (shape {tuple(x.shape)}).") from error

    def qr(self, x, mode):
        return tuple(_wide(lambda x: tuple(tf.linalg.qr(x, full_matrices=mode == "complete")), _HALF)(x))

    def svd(self, x, full_matrices):
        s, u, v = tf.linalg.svd(x, full_matrices=full_matrices)
        return u, s, tf.linalg.adjoint(v)

    def eigh(self, x):
        return tuple(tf.linalg.eigh(x))

    def eig(self, x):
        return tuple(tf.linalg.eig(x))

    def solve(self, a, b):
        return _wide(tf.linalg.solve, _HALF)(a, b)

    def solve_triangular(self, a, b, lower):
        return _wide(lambda a, b: tf.linalg.triangular_solve(a, b, lower=lower), _HALF)(a, b)

    def lu_factor(self, x):
        if x.shape[-1] != x.shape[-2]:
            return self._eliminated(x)
        factors, permutation = _lu(x)
        n = permutation.shape[-1]
        places = tf.range(n)
        rows, pivots = tf.broadcast_to(places, tf.shape(permutation)), []
        # The k-th pivot is where the row that belongs at k stands after the exchanges so far.
        for k in range(n):
            pivot = tf.argmax(tf.cast(rows == permutation[..., k : k + 1], tf.int8), -1, output_type=tf.int32)
            pivots.append(pivot)
            rows = tf.where(places == pivot[..., None], rows[..., k : k + 1], rows)
            rows = tf.where(places == k, -1, rows)
        return factors, tf.stack(pivots, -1)

    def _eliminated(self, x):
        """Return the factors and pivots of a matrix that is not square, which the kernel refuses, by elimination."""
        m, n = x.shape[-2:]
        places, below, pivots = tf.range(m), tf.range(m)[:, None], []
        for k in range(min(m, n)):
            pivot = k + tf.argmax(tf.abs(x[..., k:, k]), -1, output_type=tf.int32)
            pivots.append(pivot)
            order = tf.where(places == k, pivot[..., None], tf.where(places == pivot[..., None], k, places))
            x = tf.gather(x, order, batch_dims=x.shape.rank - 2, axis=-2)
            ratio = tf.where(below > k, x[..., k : k + 1] / x[..., k : k + 1, k : k + 1], 0)
            rest = tf.where(tf.range(n) > k, x - ratio * x[..., k : k + 1, :], x)
            x = tf.where((below > k) & (tf.range(n) == k), ratio, rest)
        return x, tf.stack(pivots, -1)

    def slogdet(self, x):
        sign, logarithm = tf.linalg.slogdet(x)
        return sign, tf.math.real(logarithm)

    def fft(self, x):
        return tf.signal.fft(x)

    def rfft(self, x, n):
        # The kernel's gradient knows no cut.
        return tf.signal.rfft(x[..., :n] if isinstance(n, int) else x, [n])

    def irfft(self, x, n):
        return tf.signal.irfft(x, [n])

    # -- random: Philox by number; XLA draws other numbers with it, see `draws` ----------------------------------------

    @staticmethod
    def _seed(key):
        return R.Bitcast(input=key, type=tf.int32) if key.dtype == tf.uint32 else key

    def _drawn(self, op, key, shape, dtype):
        self.draws += 1
        key, counter = R.StatelessRandomGetKeyCounter(seed=self._seed(key))
        return op(shape=_ints(tuple(shape)), key=key, counter=counter, alg=1, dtype=dtype)

    def random_uniform(self, key, shape, dtype):
        return self._drawn(R.StatelessRandomUniformV2, key, shape, DTYPE[dtype])

    def random_normal(self, key, shape, dtype):
        return self._drawn(R.StatelessRandomNormalV2, key, shape, DTYPE[dtype])

    def random_randint(self, key, shape, low, high, dtype):
        bits = self._drawn(R.StatelessRandomUniformFullIntV2, key, shape, tf.uint64)
        low, high = self.asarray(low, "int64"), self.asarray(high, "int64")
        span = R.Cast(x=high - low, DstT=tf.uint64)
        return self.cast(R.Cast(x=R.FloorMod(x=bits, y=span), DstT=tf.int64) + low, dtype)

    def random_halves(self, key, shape):
        even = bool(shape) and isinstance(shape[-1], int) and shape[-1] % 2 == 0
        sizes = (*shape[:-1], shape[-1] // 2) if even else shape
        words = self._drawn(R.StatelessRandomUniformFullIntV2, key, sizes, tf.int32)
        if not even:
            return R.RightShift(x=words, y=tf.constant(16))
        return R.Reshape(tensor=R.Bitcast(input=words, type=tf.int16), shape=_ints(tuple(shape)))

    def random_gamma(self, key, shape, alpha, dtype):
        kind = DTYPE[dtype] if dtype in ("float32", "float64") else tf.float32
        drawn = tf.random.stateless_gamma(shape, self._seed(key), _cast(alpha, kind), dtype=kind)
        return self.cast(drawn, dtype)

    def random_binomial(self, key, shape, counts, probabilities, dtype):
        counts, probabilities = _cast(counts, tf.float32), _cast(probabilities, tf.float32)
        drawn = tf.random.stateless_binomial(shape, self._seed(key), counts, probabilities, tf.float32)
        return self.cast(drawn, dtype)


BACKEND = TensorFlowBackend
