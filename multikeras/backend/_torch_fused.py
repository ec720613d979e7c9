"""Torch's own kernels for what `multikeras.ops` composes.

Beside each stands how many times faster than the composite it is on one core (x86, float32): forward on 8 x 10 and on
256 x 1024 entries. Where a kernel would not mean the same, the composite does it.
"""



import torch
import torch.nn.functional as F

from multikeras import config
from multikeras.backend import scope
from multikeras.backend.shapes import canonical_axes
from multikeras.backend.torch_backend import TorchBackend, widened

_FLOATS = frozenset((torch.float32, torch.float64))
_FAR = 1e9


def _spread(v, ndim, axis):
    """Return the vector `v` shaped to stand along `axis` of `ndim` dimensions."""
    return v.reshape(-1, *(1,) * (ndim - axis - 1))


def _stores(variables):
    return [v.store for v in variables]


def _in_place(variables):
    """Tell whether torch's kernels for many tensors may write the variables: floats of one dtype, not redirected."""
    if scope.stack.redirect is not None or torch.compiler.is_compiling():
        return False
    dtype = variables[0].store.dtype
    return dtype in _FLOATS and all(v.store.dtype == dtype and v.store.is_contiguous() for v in variables)


class TorchFused(TorchBackend):
    """`TorchBackend` with torch's own kernels."""

    not_equal = torch.ne  # 2.5, 1.1
    less_equal, greater_equal = widened(torch.le, torch.bool), widened(torch.ge, torch.bool)  # 2.6, 2.5
    sigmoid, rsqrt, reciprocal = torch.sigmoid, torch.rsqrt, torch.reciprocal  # 17, 25; 6.1, 1.8; 3.5, 2.3
    relu, selu, log_sigmoid = widened(torch.relu), torch.selu, F.logsigmoid  # 5.4, 43; 14, 3.7; 12, 16
    isinf, log2, exp2 = torch.isinf, torch.log2, torch.exp2  # 2.6, 2.8; 4.4, 1.3; 4.2, 8.6

    def silu(self, x):  # 13, 25
        return F.silu(x)

    def relu6(self, x):  # 7.9, 48
        return F.relu6(x) if x.dtype in _FLOATS else super().relu6(x)

    def leaky_relu(self, x, negative_slope=0.2):  # 4.1, 36
        return F.leaky_relu(x, negative_slope)

    def elu(self, x, alpha=1.0):  # 8.0, 6.9
        return F.elu(x, alpha)

    def celu(self, x, alpha=1.0):  # 9.9, 7.2
        return F.celu(x, alpha)

    def softplus(self, x):  # 3.5, 6.1
        # F.softplus is exact to 2e-9 only.
        return torch.logaddexp(x, torch.zeros((), dtype=x.dtype, device=x.device))

    def gelu(self, x, approximate=True):  # 18, 12
        return F.gelu(x, approximate="tanh" if approximate else "none")

    def softmax(self, x, axis=-1):  # 4.0, 2.1
        return torch.softmax(x, axis) if isinstance(axis, int) else super().softmax(x, axis)

    def log_softmax(self, x, axis=-1):  # 4.9, 2.1
        return torch.log_softmax(x, axis) if isinstance(axis, int) else super().log_softmax(x, axis)

    def logsumexp(self, x, axis=None, keepdims=False):  # 3.2, 1.1
        return torch.logsumexp(x, canonical_axes(axis, x.ndim), keepdims)

    def mean(self, x, axis=None, keepdims=False):  # 2.1, 1.4
        return torch.mean(x, axis, keepdims) if x.ndim and axis not in ((), []) else x

    def moments(self, x, axes, keepdims=False, synchronized=False):  # 5.0, 1.0
        if x.dtype not in _FLOATS or axes in ((), []):
            return super().moments(x, axes, keepdims, synchronized)
        # torch.var_mean over leading axes is 10 times slower.
        mean = torch.mean(x, axes, True)
        centred = x - mean
        variance = torch.mean(centred * centred, axes, keepdims)
        return (mean if keepdims else mean.reshape(variance.shape)), variance

    def stack(self, x, axis=0):  # 3.0, 1.1
        return torch.stack(x, axis) if x else super().stack(x, axis)

    def zeros_like(self, x, dtype=None):  # 2.1, 1.1
        return torch.zeros_like(x) if dtype is None else super().zeros_like(x, dtype)

    def ones_like(self, x, dtype=None):  # 1.8, 1.1
        return torch.ones_like(x) if dtype is None else super().ones_like(x, dtype)

    def tril(self, x, k=0):  # 13, 8.4
        return torch.tril(x, k) if type(k) is int and x.ndim > 1 else super().tril(x, k)

    def triu(self, x, k=0):  # 12, 6.3
        return torch.triu(x, k) if type(k) is int and x.ndim > 1 else super().triu(x, k)

    def layer_normalization(self, x, gamma=None, beta=None, axis=-1, epsilon=None, **kwargs):  # 7.8, 2.7
        axes = canonical_axes(axis, x.ndim)
        shape = x.shape[min(axes) :]
        if kwargs or x.dtype not in _FLOATS or sorted(axes) != list(range(x.ndim - len(axes), x.ndim)):
            return super().layer_normalization(x, gamma, beta, axis, epsilon, **kwargs)
        gamma, beta = (None if v is None else self.asarray(v) for v in (gamma, beta))
        for v in (gamma, beta):
            if v is not None and (v.shape != shape or v.dtype != x.dtype):
                return super().layer_normalization(x, gamma, beta, axis, epsilon)
        return F.layer_norm(x, shape, gamma, beta, config.epsilon() if epsilon is None else epsilon)

    def batch_normalization(self, x, mean, variance, axis, offset=None, scale=None, epsilon=1e-3):  # 4.0, 1.7
        given = [None if v is None else self.asarray(v) for v in (mean, variance, offset, scale)]
        mean, variance, offset, scale = given
        axes = canonical_axes(axis, x.ndim)
        if len(axes) != 1 or x.dtype not in _FLOATS or any(v is not None and v.dtype != x.dtype for v in given):
            return super().batch_normalization(x, mean, variance, axis, offset, scale, epsilon)
        (axis,) = axes
        if not torch.is_grad_enabled() and x.ndim > 1:
            y = F.batch_norm(x.movedim(axis, 1), mean, variance, scale, offset, eps=epsilon)
            return y.movedim(1, axis)
        factor = torch.rsqrt(variance + epsilon)
        factor = _spread(factor if scale is None else factor * scale, x.ndim, axis)
        centred = x - _spread(mean, x.ndim, axis)
        return centred * factor if offset is None else torch.addcmul(_spread(offset, x.ndim, axis), centred, factor)

    def dot_product_attention(self, query, key, value, bias=None, mask=None, scale=None, is_causal=False,
                              flash_attention=None, attn_logits_soft_cap=None):  # fmt: skip # 4.1, 4.4 (causal)
        composed = (
            query.dtype not in _FLOATS or any(x.ndim != 4 for x in (query, key, value))
            or attn_logits_soft_cap is not None or query.shape[2] != key.shape[2]
            or (is_causal and (mask is not None or bias is not None))
            or not (scale is None or isinstance(scale, float))
        )  # fmt: skip
        if composed:
            return super().dot_product_attention(
                query, key, value, bias, mask, scale, is_causal, flash_attention, attn_logits_soft_cap
            )
        bias = None if bias is None else self.asarray(bias).to(query.dtype)
        if mask is not None:
            # Finite, so that a row that sees nothing stays a number.
            forbidden = torch.where(self.asarray(mask).bool(), 0.0, -1e30).to(query.dtype)
            bias = forbidden if bias is None else bias + forbidden
        query, key, value = (x.transpose(1, 2) for x in (query, key, value))
        if bias is not None:
            bias = torch.broadcast_to(bias, (*query.shape[:3], key.shape[2]))
        out = F.scaled_dot_product_attention(query, key, value, bias, is_causal=is_causal, scale=scale)
        return out.transpose(1, 2)

    # -- update rules of optimizers: 190 times (six small variables), 6 times (two of a million entries) ---------------

    def adam_step(self, gradients, variables, momentums, velocities, maxima, iterations, learning_rate, beta_1, beta_2,
                  epsilon):  # fmt: skip
        if not _in_place(variables):
            return super().adam_step(
                gradients, variables, momentums, velocities, maxima, iterations, learning_rate, beta_1, beta_2, epsilon
            )
        # The kernel undoes the bias before it adds epsilon, Keras after: at a far step it finds no bias left to undo. No
        # number leaves the device for it.
        t = iterations.to(learning_rate.dtype) + 1
        learning_rate = learning_rate * torch.sqrt(1 - beta_2**t) / (1 - beta_1**t)
        with torch.no_grad():
            torch._fused_adam_(
                _stores(variables), [g.contiguous() for g in gradients], _stores(momentums), _stores(velocities),
                _stores(maxima or ()), [torch.full((), _FAR, device=iterations.device)] * len(variables),
                lr=learning_rate, beta1=beta_1, beta2=beta_2, weight_decay=0.0, eps=epsilon, amsgrad=maxima is not None,
                maximize=False,
            )  # fmt: skip
        return None

    def sgd_step(self, gradients, variables, momentums, learning_rate, momentum, nesterov):
        if not _in_place(variables):
            return super().sgd_step(gradients, variables, momentums, learning_rate, momentum, nesterov)
        stores = _stores(variables)
        with torch.no_grad():
            steps = torch._foreach_mul(gradients, -learning_rate)
            if momentums is None:
                torch._foreach_add_(stores, steps)
                return None
            speeds = _stores(momentums)
            torch._foreach_mul_(speeds, momentum)
            torch._foreach_add_(speeds, steps)
            torch._foreach_add_(stores, speeds, alpha=momentum if nesterov else 1.0)
            if nesterov:
                torch._foreach_add_(stores, steps)
        return None

    def rmsprop_step(self, gradients, variables, velocities, momentums, averages, learning_rate, rho, momentum,
                     epsilon):  # fmt: skip
        if not _in_place(variables):
            return super().rmsprop_step(
                gradients, variables, velocities, momentums, averages, learning_rate, rho, momentum, epsilon
            )
        stores, squares = _stores(variables), _stores(velocities)
        with torch.no_grad():
            torch._foreach_mul_(squares, rho)
            torch._foreach_addcmul_(squares, gradients, gradients, 1 - rho)
            roots = squares
            if averages is not None:
                means = _stores(averages)
                torch._foreach_lerp_(means, gradients, 1 - rho)
                roots = torch._foreach_addcmul(squares, means, means, -1.0)
            steps = torch._foreach_div(gradients, torch._foreach_sqrt(torch._foreach_add(roots, epsilon)))
            steps = torch._foreach_mul(steps, learning_rate)
            if momentums is None:
                torch._foreach_sub_(stores, steps)
                return None
            speeds = _stores(momentums)
            torch._foreach_mul_(speeds, momentum)
            torch._foreach_add_(speeds, steps)
            torch._foreach_sub_(stores, speeds)
        return None


BACKEND = TorchFused
