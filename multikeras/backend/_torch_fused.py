"""Torch's own kernels for what `multikeras.ops` composes.

Beside each stands how many times faster than the composite it is on one core (x86, float32): forward on 8 x 10 and on
256 x 1024 entries. Where a kernel would not mean the same, the composite does it.
"""

import math
import operator

import torch
import torch.nn.functional as F
from torch._C._functorch import is_batchedtensor
from torch.autograd import forward_ad
from torch.compiler import is_compiling

from multikeras import config
from multikeras.backend import dtypes, scope
from multikeras.backend._torch_programs import DTYPE, state
from multikeras.backend._torch_recording import NotRecordable, recording
from multikeras.backend.shapes import block_size, canonical_axes
from multikeras.backend.torch_backend import TorchBackend, widened

_FLOATS = frozenset((torch.float32, torch.float64))
_PLACES = frozenset((torch.int32, torch.int64))
_TENSORS = frozenset((torch.Tensor, torch.nn.Parameter))
_FAR = 1e9
_LAST = (-1, [-1], (-1,))
_store = operator.attrgetter("_store")  # twice as fast as the property, for each variable of each update
_dtype = operator.attrgetter("dtype")


def _spread(v, ndim, axis):
    """Return the vector `v` shaped to stand along `axis` of `ndim` dimensions."""
    return v.reshape(-1, *(1,) * (ndim - axis - 1))


def _stores(variables):
    return list(map(_store, variables))


def _in_place(variables, gradients):
    """Tell whether torch's kernels for many tensors may write the variables: floats of one dtype, not redirected.

    A gradient of another shape is for the composite, which says so; these kernels would read beyond its end.
    """
    if scope.stack.redirect is not None or is_compiling() or recording.compiles:
        return False
    stores = _stores(variables)
    kinds = set(map(_dtype, stores))
    alike = all(map(torch.Tensor.is_same_size, stores, gradients))
    return len(kinds) == 1 and kinds <= _FLOATS and alike and all(map(torch.Tensor.is_contiguous, stores))


def _is_plain(x):
    """Tell whether Python may look at values of `x`: not where a program is traced, batched or on a GPU, which would wait."""
    return type(x) in _TENSORS and x.is_cpu and not is_compiling() and not recording.active and not is_batchedtensor(x)


def _runs_fused(x, states, kernel, recurrent_kernel, mask, how):
    """Tell whether torch's kernels for recurrent layers serve: they believe the shapes that they are told."""
    units = recurrent_kernel.shape[0]
    if x.ndim != 3 or kernel.shape[0] != x.shape[2] or any(s.shape != (x.shape[0], units) for s in states):
        return False
    if not x.shape[0] or not x.shape[1] or not x.shape[2] or how.get("unroll") or is_compiling():
        return False
    if x.dtype not in _FLOATS or type(x) not in (torch.Tensor, torch.nn.Parameter):
        return False
    # There are no derivatives forwards or of derivatives.
    if state.differentiating > 1 or forward_ad._current_level >= 0 or torch._C._functorch.peek_interpreter_stack():
        return False
    if mask is None:
        return True
    if recording.active:
        raise NotRecordable("how a masked loop over time runs depends on the mask")
    if not _is_plain(mask):
        return False
    # Steps that count must come first, at least one in each sequence.
    return bool(mask[:, 0].all()) and bool((mask[:, 1:] <= mask[:, :-1]).all())


def _reset_first(w):
    """Exchange the gates of a GRU: update, reset, candidate to reset, update, candidate."""
    update, reset, candidate = w.chunk(3, -1)
    return torch.cat([reset, update, candidate], -1)


def _fused_loop(kernel, x, states, weights, mask, reverse=False, sequences=False, zero_masked=False, unroll=False):
    """Run `kernel` over (batch, steps, features) and return what `rnn` returns."""
    states = states if len(states) > 1 else states[0]
    rest = (weights, len(weights) == 4, 1, 0.0, torch.is_grad_enabled(), False)
    if mask is None:
        outputs, *states = kernel(x.flip(1) if reverse else x, states, *rest, True)
        states = [state[0] for state in states]
        return states[0], outputs if sequences else None, states  # a slice of all outputs takes 2 % more, with gradient
    lengths = mask.sum(1)
    steps = torch.arange(x.shape[1], device=x.device)
    if reverse:
        x = _at(x, (lengths[:, None] - 1 - steps).clamp(min=0))
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
    order = packed.sorted_indices
    states = tuple(s[:, order] for s in states) if isinstance(states, tuple) else states[:, order]
    data, *states = kernel(packed.data, packed.batch_sizes, states, *rest)
    states = [state[0, packed.unsorted_indices] for state in states]
    if not sequences:
        return states[0], None, states
    packed = torch.nn.utils.rnn.PackedSequence(data, packed.batch_sizes, order, packed.unsorted_indices)
    outputs, _ = torch.nn.utils.rnn.pad_packed_sequence(packed, True, total_length=x.shape[1])
    if reverse:
        # The masked steps come first, before there is any output.
        shift = steps - (x.shape[1] - lengths[:, None])
        outputs = torch.where((shift < 0)[..., None], 0.0, _at(outputs, shift.clamp(min=0)))
    elif not zero_masked:
        outputs = _at(outputs, torch.minimum(steps, lengths[:, None] - 1))
    last = states[0] if reverse or not zero_masked else torch.where(mask[:, -1:], states[0], 0.0)
    return last, outputs, states


def _at(x, steps):
    """Return (batch, steps, features) with the steps named for each sequence."""
    return torch.take_along_dim(x, steps[..., None], 1)


def _down(stores, numerators, denominators, rate):
    """Take quotients times `rate`, a scalar tensor, off the stores."""
    if stores[0].is_cpu:
        torch._foreach_addcdiv_(stores, numerators, denominators, (-rate).expand(len(stores)).contiguous())
        return
    torch._foreach_sub_(stores, torch._foreach_mul(torch._foreach_div(numerators, denominators), rate))


def _running(means, new, share):
    """Keep `share` of running means of squares, of `new`."""
    torch._foreach_mul_(means, share)
    torch._foreach_addcmul_(means, new, new, 1 - share)


def _roots(squares, epsilon):
    """Return the roots of `squares` plus `epsilon`."""
    roots = torch._foreach_add(squares, epsilon)
    torch._foreach_sqrt_(roots)
    return roots


def _unbiased_roots(squares, share, t, epsilon):
    """Return a scalar tensor and what, divided by it, is the roots of unbiased running means `squares` plus `epsilon`."""
    root = torch.sqrt(1 - share**t)
    roots = torch._foreach_sqrt(squares)
    torch._foreach_add_(roots, [root * epsilon] * len(roots))  # a single tensor's number would leave the device
    return root, roots


def _on(stores, steps, rate, sign=1):
    """Add `steps` times `rate`, a scalar tensor, and `sign` to the stores."""
    if stores[0].is_cpu:
        torch._foreach_addcmul_(stores, steps, [rate] * len(stores), sign)
    else:
        torch._foreach_add_(stores, torch._foreach_mul(steps, rate), alpha=sign)


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

    def softplus(self, x):  # 6.2, 8.4
        # With its standard threshold, 20, F.softplus is exact to 2e-9 only.
        return F.softplus(x, 1, 40)

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

    takes_numbers = frozenset(("clip",))

    def clip(self, x, x_min, x_max):  # 5.6, 3.0
        return torch.clamp(x, x_min, x_max) if x.dtype in _FLOATS else super().clip(x, x_min, x_max)

    def roll(self, x, shift, axis=None):  # 8.0, 4.2; with gradient 130
        if type(shift) is not int or type(axis) is not int or not -x.ndim <= axis < x.ndim:
            return super().roll(x, shift, axis)
        return torch.roll(x, shift, axis)

    def split(self, x, indices_or_sections, axis=0):  # 3.5, 3.5
        parts = indices_or_sections
        if type(parts) is not int or type(axis) is not int or not -x.ndim <= axis < x.ndim:
            return super().split(x, parts, axis)
        if parts < 1 or x.shape[axis] % parts or not x.shape[axis]:
            return super().split(x, parts, axis)
        return list(torch.split(x, x.shape[axis] // parts, axis))

    def norm(self, x, ord=None, axis=None, keepdims=False):  # 6.0, 6.5
        if ord not in (None, 2) or type(axis) is not int or x.dtype not in _FLOATS or not -x.ndim <= axis < x.ndim:
            return super().norm(x, ord, axis, keepdims)
        return torch.linalg.vector_norm(x, 2, axis, keepdims)

    def one_hot(self, x, num_classes, axis=-1, dtype=None, sparse=False):  # 1.1, 2.9
        if x.dtype not in (torch.int32, torch.int64) or axis not in (-1, x.ndim) or x.numel() * num_classes < 4096:
            return super().one_hot(x, num_classes, axis, dtype, sparse)
        dtype = DTYPE[dtypes.standardize_dtype(dtype)]
        places = x.long().unsqueeze(-1)
        inside = ((places >= 0) & (places < num_classes)).to(dtype)
        zeros = torch.zeros((*x.shape, num_classes), dtype=dtype, device=x.device)
        return zeros.scatter_(-1, places.clamp(0, num_classes - 1), inside)

    def top_k(self, x, k):  # 1.0, 57
        if not 0 < k < x.shape[-1] or x.dtype not in _FLOATS or not _is_plain(x):
            return super().top_k(x, k)
        values, indices = torch.topk(x, k + 1)
        if not (values[..., 1:] < values[..., :-1]).all():
            # torch.topk does not say which of equal entries it picks.
            return super().top_k(x, k)
        return values[..., :k], indices[..., :k].to(torch.int32)

    def binary_crossentropy(self, target, output, from_logits=False):  # with gradient 2.2, 1.8
        if not from_logits or output.dtype not in _FLOATS or target.shape != output.shape:
            return super().binary_crossentropy(target, output, from_logits)
        return F.binary_cross_entropy_with_logits(output, target, reduction="none")

    def sparse_categorical_crossentropy(self, target, output, from_logits=False, axis=-1):  # with gradient 2.0, 2.8
        fits = (
            from_logits and output.dtype in _FLOATS and target.dtype in (torch.int32, torch.int64) and output.ndim > 1
            and axis in (-1, output.ndim - 1) and target.shape == output.shape[:-1] and output.shape[-1]
        )  # fmt: skip
        if not fits:
            return super().sparse_categorical_crossentropy(target, output, from_logits, axis)
        classes = output.shape[-1]
        labels = target.reshape(-1).long()
        if not self.surely_in_range(labels, classes):
            # Classes out of range have no loss.
            labels = torch.where((labels < 0) | (labels >= classes), -100, labels)
        loss = F.cross_entropy(output.reshape(-1, classes), labels, reduction="none", ignore_index=-100)
        return loss.reshape(target.shape)

    def zeros_like(self, x, dtype=None):  # 2.1, 1.1
        return torch.zeros_like(x) if dtype is None else super().zeros_like(x, dtype)

    def ones_like(self, x, dtype=None):  # 1.8, 1.1
        return torch.ones_like(x) if dtype is None else super().ones_like(x, dtype)

    def tril(self, x, k=0):  # 13, 8.4
        return torch.tril(x, k) if type(k) is int and x.ndim > 1 and x.dtype in _FLOATS else super().tril(x, k)

    def triu(self, x, k=0):  # 12, 6.3
        return torch.triu(x, k) if type(k) is int and x.ndim > 1 and x.dtype in _FLOATS else super().triu(x, k)

    def diagonal(self, x, offset=0, axis1=0, axis2=1):  # 30, 27
        if type(offset) is not int or x.ndim < 2 or not all(-x.ndim <= a < x.ndim for a in (axis1, axis2)):
            return super().diagonal(x, offset, axis1, axis2)
        return torch.diagonal(x, offset, axis1, axis2)

    def layer_normalization(self, x, gamma=None, beta=None, axis=-1, epsilon=None, **kwargs):  # 7.8, 2.7
        if gamma is not None and beta is not None and x.dtype is torch.float32 and not kwargs and axis in _LAST:
            shape = gamma.shape
            if shape == beta.shape == x.shape[-1:] and gamma.dtype is beta.dtype is x.dtype:
                return torch.layer_norm(x, shape, gamma, beta, config.epsilon() if epsilon is None else epsilon)
        axes = canonical_axes(axis, x.ndim)
        shape = x.shape[min(axes) :]
        if kwargs or x.dtype not in _FLOATS or sorted(axes) != list(range(x.ndim - len(axes), x.ndim)):
            return super().layer_normalization(x, gamma, beta, axis, epsilon, **kwargs)
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
        if x.ndim > 1 and (not torch.is_grad_enabled() or torch.jit.is_tracing()):  # a trace is checked without gradients
            y = F.batch_norm(x.movedim(axis, 1), mean, variance, scale, offset, eps=epsilon)
            return y.movedim(1, axis)
        factor = torch.rsqrt(variance + epsilon)
        factor = _spread(factor if scale is None else factor * scale, x.ndim, axis)
        centred = x - _spread(mean, x.ndim, axis)
        return centred * factor if offset is None else torch.addcmul(_spread(offset, x.ndim, axis), centred, factor)

    def normalization_by_batch(self, x, axis, offset=None, scale=None, epsilon=1e-3):  # with gradient 16
        (axis,) = canonical_axes(axis, x.ndim)
        rows = x.numel() // (x.shape[axis] or 1)
        offset, scale = (None if v is None else self.asarray(v) for v in (offset, scale))
        unlike = any(v is not None and v.dtype != x.dtype for v in (offset, scale))
        if x.ndim < 2 or rows < 2 or x.dtype not in _FLOATS or unlike:
            return super().normalization_by_batch(x, axis, offset, scale, epsilon)
        last = axis == x.ndim - 1
        flat = x.reshape(-1, x.shape[-1]) if last else x.movedim(axis, 1)
        y, mean, inverse = torch.native_batch_norm(flat, scale, offset, None, None, True, 0.0, epsilon)
        # Exact to some ulp of epsilon, beside which it is used.
        variance = (inverse.reciprocal().square() - epsilon).clamp(min=0)
        y = y.reshape(x.shape) if last else y.movedim(1, axis)
        return y, mean, variance

    def affine(self, x, kernel, bias, axes=1):  # 1.4, with gradient 1.1 (10 rows, 8 to 10 units); 1.0 (256, 784 to 512)
        if x.ndim == 2 == kernel.ndim and bias.ndim == 1 == axes and x.dtype in _FLOATS:
            return torch.addmm(bias, x, kernel)
        inner, outer, free = kernel.shape[:axes], kernel.shape[axes:], x.shape[:-axes]
        if x.dtype not in _FLOATS or not free or x.shape[-axes:] != inner or bias.numel() != math.prod(outer):
            return super().affine(x, kernel, bias, axes)
        # Each view is a call, and one more in the derivative.
        matrix = kernel if kernel.ndim == 2 == axes + 1 else kernel.reshape(math.prod(inner), bias.numel())
        rows = x.reshape(math.prod(free), matrix.shape[0])
        y = torch.addmm(bias if bias.ndim == 1 else bias.reshape(-1), rows, matrix)
        return y.view(*free, *outer)

    def surely_in_range(self, indices, size):  # `take_along_axis`: 1.4, 1.6 (64 of each 1024)
        if not _is_plain(indices) or not indices.numel():
            return False
        low, high = torch.aminmax(indices)
        return low.item() >= 0 and high.item() < size

    def dropped(self, inputs, draws, least, rate):  # with gradient 2.0 (64 x 256)
        if inputs.dtype not in _FLOATS:
            return super().dropped(inputs, draws, least, rate)
        return inputs * draws.ge(least).to(inputs.dtype).mul_(1.0 / (1.0 - rate))

    def picked(self, x, indices, axis):
        if axis != 0 or x.ndim != 2 or x.dtype not in _FLOATS or indices.dtype not in _PLACES or not _is_plain(indices):
            return super().picked(x, indices, axis)
        try:
            return torch.embedding(x, indices)  # which looks at each index anyway
        except IndexError:
            return super().picked(x, indices, axis)

    def take(self, x, indices, axis):  # with gradient 1.0, 1.8 (5000 x 64, 1600 of them)
        if x.ndim == 2 and axis in (0, -2) and x.dtype in _FLOATS and indices.dtype in _PLACES:
            return torch.embedding(x, indices)
        return super().take(x, indices, axis)

    @staticmethod
    def _has_no_kernel(query, value, bias, mask, causal):
        """Tell whether torch would make all logits, or a mask of their size."""
        return query.shape[-1] != value.shape[-1] or (causal and not (mask is None and bias is None))

    def dot_product_attention(self, query, key, value, bias=None, mask=None, scale=None, is_causal=False,
                              flash_attention=None, attn_logits_soft_cap=None):  # fmt: skip # 4.1, 4.4 (causal)
        composed = (
            query.dtype not in _FLOATS or not query.ndim == key.ndim == value.ndim == 4
            or attn_logits_soft_cap is not None or query.shape[2] % key.shape[2]
            or not (scale is None or isinstance(scale, float))
            or (self._has_no_kernel(query, value, bias, mask, is_causal)
                and block_size(query.shape[1], query.shape[0], query.shape[2], key.shape[1]))
        )  # fmt: skip
        if composed:
            return super().dot_product_attention(
                query, key, value, bias, mask, scale, is_causal, flash_attention, attn_logits_soft_cap
            )
        if query.shape[2] != key.shape[2]:
            key, value = (x.repeat_interleave(query.shape[2] // key.shape[2], 2) for x in (key, value))
        if is_causal and (mask is not None or bias is not None):
            seen = torch.ones((query.shape[1], key.shape[1]), dtype=torch.bool, device=query.device).tril()
            mask, is_causal = seen if mask is None else self.asarray(mask).bool() & seen, False
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

    # -- loops over time: 5 times (batch 64, 50 steps, 64 features, 128 units), with gradient 4 times ------------------

    def lstm(self, x, h, c, kernel, recurrent_kernel, bias, mask=None, activation=None, recurrent_activation=None, **how):
        if activation or recurrent_activation or not _runs_fused(x, (h, c), kernel, recurrent_kernel, mask, how):
            return super().lstm(
                x, h, c, kernel, recurrent_kernel, bias, mask, activation, recurrent_activation, **how
            )
        # Gates stand in the same order, but kernels are transposed.
        weights = [kernel.t().contiguous(), recurrent_kernel.t().contiguous()]
        if bias is not None:
            weights += [bias, torch.zeros_like(bias)]
        states = h.unsqueeze(0).contiguous(), c.unsqueeze(0).contiguous()
        return _fused_loop(torch._VF.lstm, x, states, weights, mask, **how)

    def gru(self, x, h, kernel, recurrent_kernel, bias, recurrent_bias, mask=None, activation=None,
            recurrent_activation=None, reset_after=True, **how):  # fmt: skip
        plain = reset_after and not (activation or recurrent_activation)
        if not plain or not _runs_fused(x, (h,), kernel, recurrent_kernel, mask, how):
            return super().gru(
                x, h, kernel, recurrent_kernel, bias, recurrent_bias, mask, activation, recurrent_activation, reset_after,
                **how,
            )  # fmt: skip
        weights = [_reset_first(w).t().contiguous() for w in (kernel, recurrent_kernel)]
        if bias is not None or recurrent_bias is not None:
            first, second = bias, recurrent_bias
            first = torch.zeros_like(second) if first is None else first
            weights += [_reset_first(first), _reset_first(torch.zeros_like(first) if second is None else second)]
        return _fused_loop(torch._VF.gru, x, (h.unsqueeze(0).contiguous(),), weights, mask, **how)

    # -- update rules of optimizers: 190 times (six small variables), 6 times (two of a million entries) ---------------

    def fits(self, gradients, variables):  # 1.6, for ten
        tensors = set(map(type, gradients)) == {torch.Tensor}
        return tensors and list(map(_dtype, gradients)) == list(map(_dtype, _stores(variables)))

    def grow(self, variable, up):  # 3.0, for a counter
        if type(up) is not int or scope.stack.redirect is not None or state.journals or is_compiling():
            return super().grow(variable, up)
        variable.store.add_(up)
        return None

    def step_down(self, variable, down):  # 2.1, for a matrix of 256 by 256
        if not _in_place([variable], [down]) or down.dtype != variable.store.dtype or state.journals:
            return super().step_down(variable, down)
        with torch.no_grad():
            variable.store.sub_(down)
        return None

    def adam_step(self, gradients, variables, momentums, velocities, maxima, iterations, learning_rate, beta_1, beta_2,
                  epsilon):  # fmt: skip
        if not _in_place(variables, gradients):
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
        if not _in_place(variables, gradients):
            return super().sgd_step(gradients, variables, momentums, learning_rate, momentum, nesterov)
        speeds, lr = _stores(momentums or ()), learning_rate
        with torch.no_grad():
            if speeds:  # which the kernel would keep without the rate
                gradients, lr = torch._foreach_mul(gradients, -learning_rate), -1.0
            torch._fused_sgd_(
                _stores(variables), [g.contiguous() for g in gradients], speeds, weight_decay=0.0, momentum=momentum, lr=lr,
                dampening=0.0, nesterov=nesterov and bool(speeds), maximize=False, is_first_step=False,
            )  # fmt: skip
        return None

    def rmsprop_step(self, gradients, variables, velocities, momentums, averages, learning_rate, rho, momentum,
                     epsilon):  # fmt: skip
        if not _in_place(variables, gradients):
            return super().rmsprop_step(
                gradients, variables, velocities, momentums, averages, learning_rate, rho, momentum, epsilon
            )
        stores, squares = _stores(variables), _stores(velocities)
        with torch.no_grad():
            _running(squares, gradients, rho)
            if averages is not None:
                means = _stores(averages)
                torch._foreach_lerp_(means, gradients, 1 - rho)
                squares = torch._foreach_addcmul(squares, means, means, -1.0)
            roots = _roots(squares, epsilon)
            if momentums is None:
                _down(stores, gradients, roots, learning_rate)
                return None
            speeds = _stores(momentums)
            torch._foreach_mul_(speeds, momentum)
            _down(speeds, gradients, roots, -learning_rate)
            torch._foreach_sub_(stores, speeds)
        return None

    def adagrad_step(self, gradients, variables, accumulators, learning_rate, epsilon):
        if not _in_place(variables, gradients):
            return super().adagrad_step(gradients, variables, accumulators, learning_rate, epsilon)
        totals = _stores(accumulators)
        with torch.no_grad():
            torch._foreach_addcmul_(totals, gradients, gradients)
            _down(_stores(variables), gradients, _roots(totals, epsilon), learning_rate)
        return None

    def adadelta_step(self, gradients, variables, squares, deltas, learning_rate, rho, epsilon):
        if not _in_place(variables, gradients):
            return super().adadelta_step(gradients, variables, squares, deltas, learning_rate, rho, epsilon)
        squares, deltas = _stores(squares), _stores(deltas)
        with torch.no_grad():
            _running(squares, gradients, rho)
            steps = _roots(deltas, epsilon)
            torch._foreach_div_(steps, _roots(squares, epsilon))
            torch._foreach_mul_(steps, gradients)
            _running(deltas, steps, rho)
            _on(_stores(variables), steps, learning_rate, -1)
        return None

    def adamax_step(self, gradients, variables, momentums, norms, iterations, learning_rate, beta_1, beta_2, epsilon):
        if not _in_place(variables, gradients):
            return super().adamax_step(
                gradients, variables, momentums, norms, iterations, learning_rate, beta_1, beta_2, epsilon
            )
        means, largest = _stores(momentums), _stores(norms)
        with torch.no_grad():
            torch._foreach_lerp_(means, gradients, 1 - beta_1)
            torch._foreach_mul_(largest, beta_2)
            torch._foreach_maximum_(largest, torch._foreach_abs(gradients))
            rate = learning_rate / (1 - beta_1 ** (iterations.to(learning_rate.dtype) + 1))
            _down(_stores(variables), means, torch._foreach_add(largest, epsilon), rate)
        return None

    def nadam_step(self, gradients, variables, momentums, velocities, product, iterations, learning_rate, beta_1, beta_2,
                   epsilon):  # fmt: skip
        if not _in_place(variables, gradients):
            return super().nadam_step(
                gradients, variables, momentums, velocities, product, iterations, learning_rate, beta_1, beta_2, epsilon
            )
        stores, means, squares = _stores(variables), _stores(momentums), _stores(velocities)
        with torch.no_grad():
            t = iterations.to(learning_rate.dtype) + 1
            now, then = (beta_1 * (1 - 0.5 * 0.96**step) for step in (t, t + 1))
            torch._foreach_lerp_(means, gradients, 1 - beta_1)
            _running(squares, gradients, beta_2)
            root, roots = _unbiased_roots(squares, beta_2, t, epsilon)
            _down(stores, means, roots, learning_rate * root * then / (1 - product * then))
            _down(stores, gradients, roots, learning_rate * root * (1 - now) / (1 - product))
        return None

    def lion_step(self, gradients, variables, momentums, learning_rate, beta_1, beta_2):
        if not _in_place(variables, gradients):
            return super().lion_step(gradients, variables, momentums, learning_rate, beta_1, beta_2)
        means = _stores(momentums)
        with torch.no_grad():
            steps = torch._foreach_lerp(means, gradients, 1 - beta_1)
            torch._foreach_sign_(steps)
            _on(_stores(variables), steps, learning_rate, -1)
            torch._foreach_lerp_(means, gradients, 1 - beta_2)
        return None

    def lamb_step(self, gradients, variables, momentums, velocities, iterations, learning_rate, beta_1, beta_2, epsilon):
        if not _in_place(variables, gradients):
            return super().lamb_step(
                gradients, variables, momentums, velocities, iterations, learning_rate, beta_1, beta_2, epsilon
            )
        stores, means, squares = _stores(variables), _stores(momentums), _stores(velocities)
        with torch.no_grad():
            t = iterations.to(learning_rate.dtype) + 1
            torch._foreach_lerp_(means, gradients, 1 - beta_1)
            _running(squares, gradients, beta_2)
            root, roots = _unbiased_roots(squares, beta_2, t, epsilon)
            steps, unbias = torch._foreach_div(means, roots), root / (1 - beta_1**t)
            sizes, norms = (torch.stack(torch._foreach_norm(x)) for x in (stores, steps))
            trust = torch.where((sizes > 0) & (norms > 0), sizes / norms, unbias)
            torch._foreach_mul_(steps, (trust * learning_rate).unbind())
            torch._foreach_sub_(stores, steps)
        return None

    def ftrl_step(self, gradients, variables, accumulators, linears, learning_rate, power, l1, l2, shrinkage, beta):
        if not _in_place(variables, gradients) or power != -0.5 or l1 or shrinkage:
            return super().ftrl_step(
                gradients, variables, accumulators, linears, learning_rate, power, l1, l2, shrinkage, beta
            )
        stores, totals, linears = _stores(variables), _stores(accumulators), _stores(linears)
        with torch.no_grad():
            before = torch._foreach_sqrt(totals)
            torch._foreach_addcmul_(totals, gradients, gradients)
            roots = torch._foreach_sqrt(totals)
            torch._foreach_sub_(before, roots)
            torch._foreach_mul_(before, 1 / learning_rate)
            torch._foreach_add_(linears, gradients)
            torch._foreach_addcmul_(linears, before, stores)
            if beta or l2:
                torch._foreach_add_(roots, [beta + 2 * l2 * learning_rate] * len(roots))
            steps = torch._foreach_div(linears, roots)
            torch._foreach_mul_(steps, -learning_rate)
            torch._foreach_copy_(stores, steps)
        return None

    def schedule_free_step(self, gradients, variables, iterates, velocities, iterations, learning_rate, beta_1, beta_2,
                           epsilon):  # fmt: skip
        if not _in_place(variables, gradients):
            return super().schedule_free_step(
                gradients, variables, iterates, velocities, iterations, learning_rate, beta_1, beta_2, epsilon
            )
        stores, iterates, squares = _stores(variables), _stores(iterates), _stores(velocities)
        with torch.no_grad():
            t = iterations.to(learning_rate.dtype) + 1
            _running(squares, gradients, beta_2)
            torch._foreach_add_(stores, iterates, alpha=beta_1 - 1)
            root, roots = _unbiased_roots(squares, beta_2, t, epsilon)
            _down(iterates, gradients, roots, learning_rate * root)
            torch._foreach_mul_(stores, 1 - 1 / t)
            _on(stores, iterates, (1 - beta_1) + beta_1 / t)
        return None

    def adafactor_step(self, gradients, variables, rows, columns, squares, iterations, learning_rate, decay, epsilon_1,
                       epsilon_2, threshold, relative):  # fmt: skip
        if not _in_place(variables, gradients):
            return super().adafactor_step(
                gradients, variables, rows, columns, squares, iterations, learning_rate, decay, epsilon_1, epsilon_2,
                threshold, relative,
            )  # fmt: skip
        with torch.no_grad():
            t = iterations.to(learning_rate.dtype) + 1
            new = t**decay
            rate = torch.minimum(learning_rate, t.rsqrt()) if relative else learning_rate
            for g, v, row, column, s in zip(gradients, *map(_stores, (variables, rows, columns, squares))):
                if v.ndim < 2:
                    s.lerp_(g * g + epsilon_1, new)
                else:
                    for slot, axis in ((row, -1), (column, -2)):  # a norm takes no room for squares
                        mean = torch.linalg.vector_norm(g, dim=axis).square_().div_(g.shape[axis])
                        slot.lerp_(mean.add_(epsilon_1), new)
                    torch.mul((row / row.mean(-1, keepdim=True)).unsqueeze(-1), column.unsqueeze(-2), out=s)
                step = torch.rsqrt(s).mul_(g)
                size, norm = (torch.linalg.vector_norm(x) / math.sqrt(x.numel()) for x in (v, step))
                v.addcmul_(step, rate * size.clamp_(min=epsilon_2) / (norm / threshold).clamp_(min=1), value=-1)
        return None

    def orthogonalized(self, x, a, b, c, steps):
        if x.ndim != 2 or x.dtype not in _FLOATS:
            return super().orthogonalized(x, a, b, c, steps)
        tall = x.shape[0] > x.shape[1]
        x = x.t() if tall else x
        x = x / (torch.linalg.vector_norm(x) + 1e-7)
        for _ in range(steps):
            gram = x @ x.t()
            x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
        return x.t() if tall else x


BACKEND = TorchFused
