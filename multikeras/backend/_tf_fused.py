"""TensorFlow's own kernels for what `multikeras.ops` composes.

Beside each stands how many times faster than the composite it is in eager mode (one core, x86, float32): forward on
8 x 10 and on 256 x 1024 entries. In graphs they save nodes, so tracing and XLA's compilation. Where a kernel would
not mean the same, the composite does it.
"""

from multikeras import config
from multikeras.backend import dtypes, scope
from multikeras.backend._tf_programs import DTYPE, recorded, tf
from multikeras.backend._tf_recurrent import TensorFlowRecurrent
from multikeras.backend.shapes import canonical_axes
from multikeras.backend.tf_backend import TensorFlowBackend, _axes, _ints

R = tf.raw_ops
_FLOATS = frozenset((tf.float32, tf.float64))
_NUMBERS = (int, float)
_TINY = {tf.float32: 1e-30, tf.float64: 1e-290}
"""Sums of squares above it have lost no digits to underflow."""
_LARGEST = {dtype: float(dtype.max) for dtype in _TINY}  # Python's: constants of these TensorFlow keeps
_INEXACT = _FLOATS | {tf.float16, tf.bfloat16}


def _with_derivative(f, pull, x):
    """Return `y = f(x)`, whose derivative, where one may be taken, is `pull(upstream, y)`."""
    if tf.executing_eagerly() and not recorded():
        return f(x)

    @tf.custom_gradient
    def derived(x):
        y = f(x)
        return y, lambda g: pull(g, y)

    return derived(x)


def _all(condition):
    return R.All(input=condition, axis=_axes(condition, None))


def _is_finite(total):
    """Tell whether all these sums of squares are: not where there is NaN."""
    return _all(R.Less(x=total, y=tf.constant(_LARGEST[total.dtype], total.dtype)))


def _place_of(places, extreme, exactly):
    """Return argmax or argmin by the kernel where it is exact: it skips NaN, and takes subnormal numbers for 0."""

    def place(self, x, axis):  # 0.3, 5
        size = x.shape.num_elements()
        if x.dtype not in _FLOATS or size is None or size < 4096:
            return exactly(self, x, axis)
        tiny, total = tf.constant(_TINY[x.dtype], x.dtype), R.L2Loss(t=x)
        tops = R.Abs(x=extreme(input=x, axis=axis, keep_dims=False))
        fits = R.LogicalAnd(x=R.Equal(x=total, y=total), y=_all(R.Greater(x=tops, y=tiny)))
        return tf.cond(fits, lambda: places(input=x, dimension=axis, output_type=tf.int32), lambda: exactly(self, x, axis))

    return place


def _in_place(variables):
    """Tell whether TensorFlow's kernels may write the variables: floats, not redirected."""
    return scope.stack.redirect is None and all(v.store.dtype in _FLOATS for v in variables)


class TensorFlowFused(TensorFlowRecurrent):
    """`TensorFlowBackend` with TensorFlow's own kernels."""

    not_equal = staticmethod(lambda x1, x2: R.NotEqual(x=x1, y=x2))  # 2.0, 1.1
    sigmoid = staticmethod(lambda x: R.Sigmoid(x=x))  # 17, 4.9; with gradient 5.9, 6.5
    rsqrt = staticmethod(lambda x: R.Rsqrt(x=x))  # 3.0, 2.4

    def less_equal(self, x1, x2):  # 3.1, 2.2
        return R.LessEqual(x=x1, y=x2) if x1.dtype != tf.bool else super().less_equal(x1, x2)

    def greater_equal(self, x1, x2):  # 2.9, 2.0
        return R.GreaterEqual(x=x1, y=x2) if x1.dtype != tf.bool else super().greater_equal(x1, x2)

    def square(self, x):  # 2.0, 1.0
        return R.Square(x=x) if x.dtype != tf.bool else super().square(x)

    def isinf(self, x):  # 5.0, 2.6
        return R.IsInf(x=x) if x.dtype in _INEXACT else super().isinf(x)

    def relu(self, x):  # 3.0, 2.9
        return R.Relu(features=x) if x.dtype in _INEXACT else super().relu(x)

    def relu6(self, x):  # 7.1, 7.9
        return R.Relu6(features=x) if x.dtype in _INEXACT else super().relu6(x)

    def elu(self, x, alpha=1.0):  # 11, 8.3
        return R.Elu(features=x) if x.dtype in _INEXACT and alpha == 1 else super().elu(x, alpha)

    def leaky_relu(self, x, negative_slope=0.2):  # 7.0, 4.7
        fits = x.dtype in _INEXACT and x.dtype != tf.float64 and type(negative_slope) is float
        return R.LeakyRelu(features=x, alpha=negative_slope) if fits else super().leaky_relu(x, negative_slope)

    def softplus(self, x):  # 13, 1.5
        return R.Softplus(features=x) if x.dtype in _INEXACT else super().softplus(x)

    def softsign(self, x):  # 6.9, 5.0
        return R.Softsign(features=x) if x.dtype in _INEXACT else super().softsign(x)

    def _last(self, x, axis):
        rank = x.shape.rank
        return x.dtype in _INEXACT and rank and (axis == -1 or axis == rank - 1)

    def softmax(self, x, axis=-1):  # 1.3, 4.5
        return R.Softmax(logits=x) if self._last(x, axis) else super().softmax(x, axis)

    def log_softmax(self, x, axis=-1):  # 11, 1.6
        return R.LogSoftmax(logits=x) if self._last(x, axis) else super().log_softmax(x, axis)

    takes_numbers = frozenset(("clip",))

    def clip(self, x, x_min, x_max):
        numbers = type(x_min) in _NUMBERS and type(x_max) in _NUMBERS
        if not numbers or not x_min <= x_max or x.dtype not in _INEXACT:
            return super().clip(x, x_min, x_max)
        low, high = (self.asarray(bound, x.dtype.name) for bound in (x_min, x_max))

        def clipped(x):
            return R.ClipByValue(t=x, clip_value_min=low, clip_value_max=high)

        def pull(g, y):
            return R.Select(condition=R.Equal(x=x, y=y), x=g, y=R.ZerosLike(x=g))

        return _with_derivative(clipped, pull, x)

    def norm(self, x, ord=None, axis=None, keepdims=False):  # 2.1, 3.0
        axes = canonical_axes(axis, x.shape.rank, "norm")
        if x.dtype not in _FLOATS or not (ord is None or (ord == 2 and len(axes) == 1)):
            return super().norm(x, ord, axis, keepdims)
        scaled = super().norm

        def euclidean(x):
            total = R.Sum(input=R.Square(x=x), axis=_ints(axes), keep_dims=True)
            # Scaling is for sums that overflow or lose digits to underflow.
            exact = R.LogicalAnd(x=_is_finite(total), y=_all(R.Greater(x=total, y=tf.constant(_TINY[x.dtype], x.dtype))))
            return tf.cond(exact, lambda: R.Sqrt(x=total), lambda: scaled(x, None, axis, True))

        def pull(g, _):
            y = self.norm(x, None, axes, True)
            return g * (x / self.where(y == 0, R.OnesLike(x=y), y))

        y = _with_derivative(euclidean, pull, x)
        return y if keepdims else R.Squeeze(input=y, axis=list(axes))

    def normalize(self, x, axis=-1, order=2, epsilon=None):
        composite, epsilon = super().normalize, config.epsilon() if epsilon is None else epsilon
        axes = canonical_axes(axis, x.shape.rank, "normalize")
        if x.dtype not in _FLOATS or order != 2 or len(axes) != 1 or not epsilon * epsilon > _TINY[x.dtype]:
            return composite(x, axis, order, epsilon)
        total = R.Sum(input=R.Square(x=x), axis=_ints(axes), keep_dims=True)
        least = tf.constant(epsilon * epsilon, x.dtype)
        return tf.cond(
            _is_finite(total),
            lambda: R.Mul(x=x, y=R.Rsqrt(x=R.Maximum(x=total, y=least))),
            lambda: composite(x, axis, order, epsilon),
        )

    argmax = _place_of(R.ArgMax, R.Max, TensorFlowBackend.argmax)
    argmin = _place_of(R.ArgMin, R.Min, TensorFlowBackend.argmin)

    def mean(self, x, axis=None, keepdims=False):  # 5.0, 2.4
        if x.dtype not in _FLOATS:
            return super().mean(x, axis, keepdims)
        axis = _axes(x, tuple(axis) if isinstance(axis, list) else axis)
        return R.Mean(input=x, axis=axis, keep_dims=keepdims)

    def any(self, x, axis=None, keepdims=False):  # 2.3, 3.0
        axis = _axes(x, tuple(axis) if isinstance(axis, list) else axis)
        return R.Any(input=self.cast(x, "bool"), axis=axis, keep_dims=keepdims)

    def all(self, x, axis=None, keepdims=False):  # 3.2, 2.7
        axis = _axes(x, tuple(axis) if isinstance(axis, list) else axis)
        return R.All(input=self.cast(x, "bool"), axis=axis, keep_dims=keepdims)

    def stack(self, x, axis=0):  # 3.3, 1.1
        # Too few tensors and an axis out of range are the composite's to refuse.
        return R.Pack(values=x, axis=axis) if x and axis in (0, -1) else super().stack(x, axis)

    def zeros_like(self, x, dtype=None):  # 2.0, 1.2
        return R.ZerosLike(x=x) if dtype is None and x.dtype in _FLOATS else super().zeros_like(x, dtype)

    def ones_like(self, x, dtype=None):  # 2.0, 1.3
        return R.OnesLike(x=x) if dtype is None and x.dtype in _FLOATS else super().ones_like(x, dtype)

    def one_hot(self, x, num_classes, axis=-1, dtype=None, sparse=False):  # 5.8, 4.9
        name = dtypes.standardize_dtype(dtype)
        if sparse or x.dtype not in (tf.int32, tf.int64) or axis != -1 or DTYPE[name] not in _FLOATS:
            return super().one_hot(x, num_classes, axis, dtype, sparse)
        on, off = self.asarray(1.0, name), self.asarray(0.0, name)
        return R.OneHot(indices=x, depth=num_classes, on_value=on, off_value=off)

    def surely_in_range(self, indices, size):
        if not tf.executing_eagerly() or not isinstance(indices, self.Tensor) or "CPU" not in indices.device:
            return False
        values = indices.numpy()
        return bool(values.size and values.min() >= 0 and values.max() < size)

    def tile(self, x, repeats):  # 3.4, 1.1
        if not isinstance(repeats, tuple) or len(repeats) != x.shape.rank or not all(type(r) is int for r in repeats):
            return super().tile(x, repeats)
        return R.Tile(input=x, multiples=_ints(repeats))

    def roll(self, x, shift, axis=None):  # 2.4, 4.9
        rank = x.shape.rank
        if not isinstance(shift, int) or not isinstance(axis, int) or not -rank <= axis < rank:
            return super().roll(x, shift, axis)
        return R.Roll(input=x, shift=shift, axis=axis)

    def split(self, x, indices_or_sections, axis=0):  # 4.7, 4.3
        parts, rank = indices_or_sections, x.shape.rank
        size = x.shape[axis] if isinstance(axis, int) and rank and -rank <= axis < rank else None
        if not isinstance(parts, int) or not size or parts < 1 or size % parts:
            return super().split(x, parts, axis)
        return list(R.Split(axis=axis, value=x, num_split=parts))

    def diagonal(self, x, offset=0, axis1=0, axis2=1):  # 30, 27
        rank = x.shape.rank
        if rank < 2 or offset != 0 or (axis1, axis2) not in ((-2, -1), (rank - 2, rank - 1)):
            return super().diagonal(x, offset, axis1, axis2)
        return R.MatrixDiagPart(input=x)

    def batch_normalization(self, x, mean, variance, axis, offset=None, scale=None, epsilon=1e-3):  # 3.2, 1.5
        # The fused kernels have no gradient for a mean and variance of the batch; vectors broadcast as they are.
        given = [None if v is None else self.asarray(v) for v in (mean, variance, offset, scale)]
        fits = x.dtype in _FLOATS and axis in (-1, x.shape.rank - 1)
        if not fits or any(v is not None and (v.dtype != x.dtype or v.shape.rank != 1) for v in given):
            return super().batch_normalization(x, mean, variance, axis, offset, scale, epsilon)
        mean, variance, offset, scale = given
        factor = R.Rsqrt(x=R.AddV2(x=variance, y=self.asarray(epsilon, x.dtype.name)))
        factor = factor if scale is None else R.Mul(x=factor, y=scale)
        y = R.Mul(x=R.Sub(x=x, y=mean), y=factor)
        return y if offset is None else R.AddV2(x=y, y=offset)

    def conv_plus(self, x, kernel, bias, strides, padding, dilation, groups, data_format):
        # A graph fuses this one with the convolution, and its derivative has a kernel.
        if data_format == "channels_first" or bias.dtype not in _FLOATS:
            return super().conv_plus(x, kernel, bias, strides, padding, dilation, groups, data_format)
        return R.BiasAdd(value=self.conv(x, kernel, strides, padding, dilation, groups, data_format), bias=bias)

    def max_pool(self, x, window, strides, padding, data_format):
        # The usual case without the ways around it, which are a tenth of an eager call for 64 x 26 x 26 x 32.
        if x.dtype != tf.float32 or len(window) != 2 or not isinstance(padding, str) or data_format != "channels_last":
            return super().max_pool(x, window, strides, padding, data_format)
        return R.MaxPool(input=x, ksize=[1, *window, 1], strides=[1, *strides, 1], padding=padding.upper())

    def affine(self, x, kernel, bias, axes=1):
        if kernel.shape.rank != 2 or bias.shape.rank != 1 or bias.dtype not in _FLOATS or axes != 1 or len(x.shape) < 2:
            return super().affine(x, kernel, bias, axes)
        rows = self._by_rows(x, kernel)
        if rows is None:
            return R.BiasAdd(value=self.matmul(x, kernel), bias=bias)
        return self.reshape(R.BiasAdd(value=rows, bias=bias), (*self.shape(x)[:-1], self.shape(kernel)[1]))

    def normalization_by_batch(self, x, axis, offset=None, scale=None, epsilon=1e-3):  # with gradient 7
        rank = x.shape.rank
        given = [None if v is None else self.asarray(v) for v in (offset, scale)]
        fits = x.dtype == tf.float32 and rank and rank > 1 and axis in (-1, rank - 1) and x.shape[-1]
        if not fits or any(v is not None and v.dtype != x.dtype for v in given):
            return super().normalization_by_batch(x, axis, offset, scale, epsilon)
        channels = x.shape[-1]
        offset, scale = (tf.fill((channels,), 0.0 + i) if v is None else v for i, v in enumerate(given))
        flat, nothing = R.Reshape(tensor=x, shape=(-1, 1, 1, channels)), tf.zeros((0,))
        y, mean, variance, *_ = R.FusedBatchNormV3(
            x=flat, scale=scale, offset=offset, mean=nothing, variance=nothing, epsilon=epsilon, is_training=True
        )
        # The kernel divides by one less than the number of rows.
        rows = tf.cast(tf.shape(flat)[0], x.dtype)
        return R.Reshape(tensor=y, shape=tf.shape(x)), mean, variance * ((rows - 1) / rows)

    def sparse_categorical_crossentropy(self, target, output, from_logits=False, axis=-1):  # with gradient 1.4, 1.5
        if not (
            from_logits and self._last(output, axis) and target.dtype in (tf.int32, tf.int64)
            and target.shape.rank == output.shape.rank - 1 and output.shape[-1]
            and output.shape.is_fully_defined() and output.shape[:-1] == target.shape
        ):  # fmt: skip
            return super().sparse_categorical_crossentropy(target, output, from_logits, axis)
        classes = output.shape[-1]
        labels = self.reshape(target, (-1,))
        logits = self.reshape(output, (-1, classes))
        if self.surely_in_range(labels, classes):
            loss, _ = R.SparseSoftmaxCrossEntropyWithLogits(features=logits, labels=labels)
            return self.reshape(loss, tuple(target.shape))
        # The kernel refuses classes out of range, which the composite gives no loss.
        inside = (labels >= 0) & (labels < classes)
        labels = R.SelectV2(condition=inside, t=labels, e=R.ZerosLike(x=labels))
        loss, _ = R.SparseSoftmaxCrossEntropyWithLogits(features=logits, labels=labels)
        loss = R.SelectV2(condition=inside, t=loss, e=R.ZerosLike(x=loss))
        return self.reshape(loss, tuple(target.shape))

    def picked(self, x, indices, axis):
        size = x.shape[axis]
        if indices.dtype not in (tf.int32, tf.int64) or not size or tf.executing_eagerly():
            return super().picked(x, indices, axis)
        # Two nodes instead of five: what is out of range at either end comes to that end, what is negative to its place.
        low, high, modulus = (tf.constant(n, indices.dtype) for n in (-size, size - 1, size))
        inside = R.FloorMod(x=R.ClipByValue(t=indices, clip_value_min=low, clip_value_max=high), y=modulus)
        return self.take(x, inside, axis)

    def dropped(self, inputs, draws, least, rate):  # with gradient 1.04 (64 x 256), 1.1 (1024 x 1024): choosing is slower
        if inputs.dtype not in _FLOATS:
            return super().dropped(inputs, draws, least, rate)
        return inputs * (R.Cast(x=draws >= least, DstT=inputs.dtype) * (1.0 / (1.0 - rate)))

    def step_down(self, variable, down):  # one node instead of three
        if not hasattr(variable, "store") or not _in_place((variable,)):  # rows of one have none
            return super().step_down(variable, down)
        R.AssignSubVariableOp(resource=variable.store.handle, value=down)
        return None

    def grow(self, variable, up):  # one node instead of three, and no new memory
        if not hasattr(variable, "store") or not _in_place((variable,)):
            return super().grow(variable, up)
        R.AssignAddVariableOp(resource=variable.store.handle, value=up)
        return None

    def sgd_step(self, gradients, variables, momentums, learning_rate, momentum, nesterov):  # one node instead of five
        if not _in_place(variables):
            return super().sgd_step(gradients, variables, momentums, learning_rate, momentum, nesterov)
        for i, (g, v) in enumerate(zip(gradients, variables)):
            rate = self.cast(learning_rate, v.dtype)
            if momentums is None:
                R.ResourceApplyGradientDescent(var=v.store.handle, alpha=rate, delta=g)
            else:
                R.ResourceApplyKerasMomentum(
                    var=v.store.handle, accum=momentums[i].store.handle, lr=rate, grad=g, momentum=momentum,
                    use_nesterov=nesterov,
                )  # fmt: skip

    def adam_step(self, gradients, variables, momentums, velocities, maxima, iterations, learning_rate, beta_1, beta_2,
                  epsilon):  # fmt: skip # one node instead of fifteen for each variable
        if not _in_place((*variables, *momentums)) or maxima is not None:
            return super().adam_step(
                gradients, variables, momentums, velocities, maxima, iterations, learning_rate, beta_1, beta_2, epsilon
            )
        rates = {}
        for g, v, m, s in zip(gradients, variables, momentums, velocities):
            name = v.dtype
            if name not in rates:
                # The kernel undoes the bias of its own powers: of powers that are 0 there is none.
                t = self.cast(iterations, name) + 1
                first, second = (1 - self.power(self.full((), beta, name), t) for beta in (beta_1, beta_2))
                rates[name] = self.cast(learning_rate, name) * self.sqrt(second) / first
            R.ResourceApplyAdam(
                var=v.store.handle, m=m.store.handle, v=s.store.handle, beta1_power=tf.zeros((), name),
                beta2_power=tf.zeros((), name), lr=rates[name], beta1=beta_1, beta2=beta_2, epsilon=epsilon, grad=g,
            )  # fmt: skip

    def adadelta_step(self, gradients, variables, squares, deltas, learning_rate, rho, epsilon):  # one node instead of 25
        if not _in_place((*variables, *squares)):
            return super().adadelta_step(gradients, variables, squares, deltas, learning_rate, rho, epsilon)
        for g, v, s, d in zip(gradients, variables, squares, deltas):
            R.ResourceApplyAdadelta(
                var=v.store.handle, accum=s.store.handle, accum_update=d.store.handle, lr=self.cast(learning_rate, v.dtype),
                rho=rho, epsilon=epsilon, grad=g,
            )  # fmt: skip
        return None

    def adamax_step(self, gradients, variables, momentums, norms, iterations, learning_rate, beta_1, beta_2, epsilon):
        if not _in_place((*variables, *momentums)):
            return super().adamax_step(
                gradients, variables, momentums, norms, iterations, learning_rate, beta_1, beta_2, epsilon
            )
        for g, v, m, n in zip(gradients, variables, momentums, norms):
            t = self.cast(iterations, v.dtype) + 1
            R.ResourceApplyAdaMax(
                var=v.store.handle, m=m.store.handle, v=n.store.handle, beta1_power=self.power(self.full((), beta_1, v.dtype), t),
                lr=self.cast(learning_rate, v.dtype), beta1=beta_1, beta2=beta_2, epsilon=epsilon, grad=g,
            )  # fmt: skip
        return None

    def ftrl_step(self, gradients, variables, accumulators, linears, learning_rate, power, l1, l2, shrinkage, beta):
        if not _in_place((*variables, *linears)):
            return super().ftrl_step(
                gradients, variables, accumulators, linears, learning_rate, power, l1, l2, shrinkage, beta
            )
        for g, v, a, z in zip(gradients, variables, accumulators, linears):
            rate = self.cast(learning_rate, v.dtype)
            R.ResourceApplyFtrlV2(
                var=v.store.handle, accum=a.store.handle, linear=z.store.handle, grad=g, lr=rate, l1=l1,
                l2=l2 + beta / (2 * rate), l2_shrinkage=shrinkage, lr_power=power,
            )  # fmt: skip
        return None


BACKEND = TensorFlowFused
