"""The primitives on PyTorch, run eagerly; variables are `torch.nn.Parameter`s written in place."""

import contextlib
import functools
import math

import ml_dtypes
import numpy as np
import torch
import torch.nn.functional as F

from multikeras.backend import _torch_module, dtypes, shapes
from multikeras.backend._torch_programs import DTYPE, INEXACT, NAME, TorchPrograms, VariableBase, is_store, state
from multikeras.backend._torch_recording import recording

_SCALARS = frozenset((bool, int, float, complex))
# Where to compute what torch has no kernel for, https://docs.pytorch.org/docs/stable/tensor_attributes.html
_WIDE = {
    torch.bool: torch.int64, torch.uint16: torch.int32, torch.uint32: torch.int64, torch.uint64: torch.int64,
    torch.float8_e4m3fn: torch.float32, torch.float8_e5m2: torch.float32,
}  # fmt: skip
_HALF = frozenset((torch.float16, torch.bfloat16))
# numpy reads dtypes it does not know as integers of their size.
_AS_INTEGER = {torch.bfloat16: torch.int16, torch.float8_e4m3fn: torch.uint8, torch.float8_e5m2: torch.uint8}


def widened(f, result=None, bools=True):
    """Return `f`, computed in a wider dtype and cast back where torch lacks the kernel."""

    def call(x, *rest):
        try:
            return f(x, *rest)
        except RuntimeError:
            wide = _WIDE.get(x.dtype)
            if wide is None or (x.dtype == torch.bool and not bools):
                raise
        rest = [y.to(wide) if isinstance(y, torch.Tensor) and y.dtype == x.dtype else y for y in rest]
        return f(x.to(wide), *rest).to(result or x.dtype)

    return staticmethod(functools.wraps(f, assigned=("__name__", "__doc__"), updated=())(call))


def _default_device() -> torch.device:
    if torch.accelerator.is_available():
        return torch.device(torch.accelerator.current_accelerator().type, 0)
    return torch.device("cpu")


def _axes(axis):
    return () if axis is None else axis


# -- windows: channels first, and two or three spatial dimensions (one becomes two) ------------------------------------

_CONV = {4: F.conv2d, 5: F.conv3d}
_CONV_TRANSPOSE = {4: F.conv_transpose2d, 5: F.conv_transpose3d}
_MAX_POOL = {4: F.max_pool2d, 5: F.max_pool3d}
_AVERAGE_POOL = {4: F.avg_pool2d, 5: F.avg_pool3d}


def _framed(x, window, strides, padding, dilation, data_format):
    """Return the arguments for a view of `x` that is (batch, channels, *spatial) with two or three spatial sizes."""
    if len(window) == 1:
        x = x.unsqueeze(1 if data_format == "channels_last" else 2)
        window, strides, dilation = (1, *window), (1, *strides), (1, *dilation)
        padding = padding if isinstance(padding, str) else ((0, 0), *padding)
    if data_format == "channels_last":
        # A view in torch's channels_last memory format, for which there are kernels.
        x = x.permute(0, x.ndim - 1, *range(1, x.ndim - 1))
    return x, tuple(window), tuple(strides), padding, tuple(dilation)


def _unframed(y, ndim, data_format):
    if data_format == "channels_last":
        y = y.permute(0, *range(2, y.ndim), 1)
    return y.squeeze(1 if data_format == "channels_last" else 2) if ndim == 3 else y


def _kernel(kernel):
    if kernel.ndim == 3:
        kernel = kernel.unsqueeze(0)
    return kernel.permute(kernel.ndim - 1, kernel.ndim - 2, *range(kernel.ndim - 2))


def _pairs(sizes, window, strides, padding, dilation=(1, 1, 1)):
    if padding == "valid":
        return [(0, 0)] * len(window)
    if padding == "same":
        return [shapes.same_padding(*args) for args in zip(sizes, window, strides, dilation)]
    return [tuple(pair) for pair in padding]


def _padded(x, pairs, value=0.0):
    return F.pad(x, [width for pair in reversed(pairs) for width in pair], value=value)


def _plain(pairs, window):
    """Tell whether torch's pooling can pad so: alike on both sides, at most half a window."""
    return all(low == high <= k // 2 for (low, high), k in zip(pairs, window))


def _ceiled(sizes, window, strides, pairs):
    """Tell whether torch's pooling with `ceil_mode` has just the windows wanted, which saves a padded copy."""

    def count(n, k, s):
        windows = -((k - n) // s) + 1
        return windows - 1 if (windows - 1) * s >= n else windows

    return all(
        low == 0 and count(n, k, s) == shapes.window_size(n, k, s, (low, high))
        for n, k, s, (low, high) in zip(sizes, window, strides, pairs)
    )


def _mixed(z):
    """Mix 64 bits (the finalizer of SplitMix64, https://doi.org/10.1145/2714064.2660195)."""
    z = (z + 0x9E3779B97F4A7C15) & (2**64 - 1)
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & (2**64 - 1)
    return z ^ (z >> 31)


def _halves(generator, shape, device):
    """Draw 16 bits an entry, four entries a word."""
    n = math.prod(shape)
    words = torch.empty(-(-n // 4), dtype=torch.int64, device=device).random_(-(2**63), None, generator=generator)
    return words.view(torch.int16)[:n].view(shape)


_DRAWS = {
    "uniform": lambda g, parameters, bounds, shape, out: torch.rand(shape, generator=g, **out),
    "normal": lambda g, parameters, bounds, shape, out: torch.randn(shape, generator=g, **out),
    "integers": lambda g, parameters, bounds, shape, out: torch.randint(*bounds, shape, generator=g, device=out["device"]),
    "halves": lambda g, parameters, bounds, shape, out: _halves(g, shape, out["device"]),
    "gamma": lambda g, parameters, bounds, shape, out: torch._standard_gamma(*parameters, generator=g),
    "binomial": lambda g, parameters, bounds, shape, out: torch.binomial(*parameters, generator=g),
}  # fmt: skip


def _draw(kind, key, parameters, bounds, shape, dtype, device=None):
    """Draw from the generator of a device, seeded with `key`."""
    device = key.device if device is None else device
    generator = state.generators.get(device)
    if generator is None:
        generator = state.generators[device] = torch.Generator(device)
    seed, counter = key.tolist()
    generator.manual_seed(_mixed(_mixed(seed) ^ counter))
    return _DRAWS[kind](generator, parameters, bounds, shape, {"dtype": dtype, "device": device}).to(dtype)


# One call in recordings of steps: the generator is seeded anew at each repetition.
_library = torch.library.Library("multikeras", "DEF")
_library.define("draw(str kind, Tensor key, Tensor[] parameters, int[] bounds, int[] shape, ScalarType dtype) -> Tensor")
_library.impl("draw", _draw, "CompositeExplicitAutograd")
torch.library.register_fake(
    "multikeras::draw",
    lambda kind, key, parameters, bounds, shape, dtype: torch.empty(shape, dtype=dtype, device=key.device),
    lib=_library,
)


def _leaves(items):
    for item in items:
        if isinstance(item, (list, tuple)):
            yield from _leaves(item)
        else:
            yield item


class TorchBackend(TorchPrograms):
    """Primitives by torch functions; see `Backend` for what each does."""

    name = "torch"
    Tensor = torch.Tensor
    tensor_types = (torch.Tensor,)
    fast_types = (torch.nn.Parameter,)
    after_fork = staticmethod(lambda: torch.set_num_threads(1))  # its threads were not copied
    native_inexact = INEXACT
    Module = _torch_module.Module
    hooks_of_all = _torch_module.HOOKS_OF_ALL
    VariableBase = VariableBase
    compiles_by_default = False
    variables_in_place = True
    traces = False
    key_dtype = "int64"
    unsigned_arithmetic = False

    exp, expm1, log, log1p, sqrt = torch.exp, torch.expm1, torch.log, torch.log1p, torch.sqrt
    sin, cos, tan, sinh, cosh, tanh = torch.sin, torch.cos, torch.tan, torch.sinh, torch.cosh, torch.tanh
    arcsin, arccos, arctan = torch.arcsin, torch.arccos, torch.arctan
    arcsinh, arccosh, arctanh = torch.arcsinh, torch.arccosh, torch.arctanh
    erf, erfc, erfinv = torch.erf, torch.erfc, torch.erfinv
    isnan, real, imag = torch.isnan, torch.real, torch.imag
    divide, arctan2, nextafter = torch.divide, torch.arctan2, torch.nextafter
    multiply, equal, where = torch.multiply, torch.eq, torch.where
    gammainc = torch.special.gammainc

    abs, negative = widened(torch.abs), widened(torch.negative, bools=False)
    floor, ceil, round = widened(torch.floor), widened(torch.ceil), widened(torch.round)
    isfinite = widened(torch.isfinite, torch.bool)
    bitwise_not = widened(torch.bitwise_not)
    add, subtract, power = widened(torch.add), widened(torch.subtract, bools=False), widened(torch.pow)
    # torch.floor_divide has no derivative.
    floor_divide, mod = widened(functools.partial(torch.div, rounding_mode="floor")), widened(torch.remainder)
    maximum, minimum = widened(torch.maximum), widened(torch.minimum)
    less = widened(torch.lt, torch.bool)
    bitwise_and, bitwise_or, bitwise_xor = torch.bitwise_and, torch.bitwise_or, torch.bitwise_xor
    left_shift, right_shift = widened(torch.bitwise_left_shift), widened(torch.bitwise_right_shift)
    matmul = widened(torch.matmul)

    _sgn = widened(torch.sgn)

    def sign(self, x):
        # torch gives NaN the sign 0.
        return torch.where(torch.isnan(x), x, self._sgn(x)) if x.dtype in INEXACT else self._sgn(x)

    def complex(self, re, im):
        if re.dtype in _HALF:
            re, im = re.float(), im.float()
        return torch.complex(re, im)

    def conj(self, x):
        return torch.conj_physical(x) if x.is_complex() else x

    # -- tensors ---------------------------------------------------------------------------------------------------

    def __init__(self):
        self.default_device = _default_device()

    @property
    def device(self) -> torch.device:
        """Where new tensors go."""
        return state.device or self.default_device

    def asarray(self, x, dtype=None):
        if isinstance(x, torch.Tensor):
            pass
        elif type(x) in _SCALARS:
            return self._from_scalar(x, dtype)
        elif isinstance(x, VariableBase):
            x = x.value
        elif isinstance(x, (list, tuple, range)):
            x, dtype = self._from_sequence(x, dtype)
        elif hasattr(x, "__dlpack__") and not isinstance(x, (np.ndarray, np.generic)):
            try:
                x = torch.from_dlpack(x)
            except (RuntimeError, TypeError, ValueError, BufferError):
                x = self._from_numpy(np.asarray(x))
        else:
            x = self._from_numpy(np.asarray(x))
        device = state.device or self.default_device
        if x.device != device and x.device.type != "meta":
            x = x.to(device)
        return x if dtype is None or x.dtype == DTYPE[dtype] else self.cast(x, dtype)

    def _from_scalar(self, x, dtype):
        dtype, device = dtype or dtypes.result_type(type(x)), state.device or self.default_device
        if type(x) is int and not -(2**31) <= x < 2**31:
            dtype = ("int64" if x < 2**63 else "uint64") if dtype == "int32" else dtype
            return torch.tensor(x, dtype=DTYPE[dtype], device=device)
        return torch.scalar_tensor(x, dtype=DTYPE[dtype], device=device)

    @staticmethod
    def _from_numpy(x):
        if x.dtype.kind in "OSUMm":
            raise ValueError(
                f"A {x.dtype} array of shape {x.shape} is not numeric; torch holds numbers and bools only. "
                "Lists must be nested evenly."
            )
        if not x.dtype.isnative:
            x = x.astype(x.dtype.newbyteorder("="))
        dtype = DTYPE[dtypes.standardize_dtype(x.dtype)]
        if dtype in _AS_INTEGER:
            x = x.view(np.int16 if x.itemsize == 2 else np.uint8)
        if not x.flags.writeable or any(s < 0 for s in x.strides):
            x = x.copy()
        x = torch.from_numpy(x) if x.ndim else torch.tensor(x)
        return x.view(dtype) if dtype in _AS_INTEGER else x

    def _from_sequence(self, x, dtype):
        flat = list(_leaves(x))
        kinds = set(map(type, flat))
        if dtype is None:
            others = {(i if hasattr(i, "dtype") else np.asarray(i)).dtype for i in flat if type(i) not in _SCALARS}
            dtype = dtypes.result_type(*(kinds & _SCALARS), *others)
        if kinds <= _SCALARS:
            if dtype == "int32" and any(not -(2**31) <= i < 2**31 for i in flat):
                dtype = "int64"
            try:
                return torch.tensor(x, dtype=DTYPE[dtype], device=self.device), dtype
            except (TypeError, RuntimeError):
                return self._from_numpy(np.array(x)), dtype
        if any(isinstance(i, (torch.Tensor, VariableBase)) for i in flat):
            return torch.stack([self.asarray(item, dtype) for item in x]), dtype
        return self._from_numpy(np.array(x)), dtype

    def to_numpy(self, x):
        # A variable's memory will be written again.
        x = x.detach().clone() if is_store(x) else x.detach()
        if x.device.type != "cpu":
            x = x.cpu()
        if x.dtype in _AS_INTEGER:
            return x.contiguous().view(_AS_INTEGER[x.dtype]).numpy().view(getattr(ml_dtypes, NAME[x.dtype]))
        return x.resolve_conj().resolve_neg().numpy()

    def cast(self, x, dtype):
        dtype = DTYPE[dtype]
        if x.is_complex() and not dtype.is_complex and dtype != torch.bool:
            x = x.real
        return x.to(dtype)

    def bitcast(self, x, dtype):
        return x.contiguous().view(DTYPE[dtype])

    def shape(self, x):
        return tuple(x.shape)

    def dtype(self, x):
        return NAME[x.dtype]

    def full(self, shape, value, dtype):
        if isinstance(value, torch.Tensor):
            return torch.broadcast_to(self.cast(value, dtype), shape).clone()
        return torch.full(shape, value, dtype=DTYPE[dtype], device=self.device)

    def arange(self, start, stop, step, dtype):
        wanted = DTYPE[dtype]
        return torch.arange(start, stop, step, dtype=_WIDE.get(wanted, wanted), device=self.device).to(wanted)

    def unstacked(self, x):
        return list(x.unbind(0))

    # -- reduce, order ---------------------------------------------------------------------------------------------

    def sum(self, x, axis=None, keepdims=False):
        if axis == ():
            return x
        if x.dtype in INEXACT and x.dtype not in _WIDE:
            return torch.sum(x, axis, keepdims)
        wide = _WIDE.get(x.dtype, x.dtype)
        return torch.sum(x.to(wide), axis, keepdims, dtype=wide).to(x.dtype)

    def prod(self, x, axis=None, keepdims=False):
        dtype = _WIDE.get(x.dtype, x.dtype)
        y = x.to(dtype)
        for a in sorted(shapes.canonical_axes(axis, x.ndim), reverse=True):
            y = torch.prod(y, a, keepdims, dtype=dtype)
        return y.to(x.dtype)

    _amax, _amin = widened(torch.amax), widened(torch.amin)

    def max(self, x, axis=None, keepdims=False):
        return x if axis == () else self._amax(x, _axes(axis), keepdims)

    def min(self, x, axis=None, keepdims=False):
        return x if axis == () else self._amin(x, _axes(axis), keepdims)

    def argmax(self, x, axis):
        return torch.argmax(x.to(_WIDE.get(x.dtype, x.dtype)), axis).to(torch.int32)

    def argmin(self, x, axis):
        return torch.argmin(x.to(_WIDE.get(x.dtype, x.dtype)), axis).to(torch.int32)

    def cumsum(self, x, axis):
        return torch.cumsum(x, axis, dtype=_WIDE.get(x.dtype, x.dtype)).to(x.dtype)

    def cumprod(self, x, axis):
        return torch.cumprod(x, axis, dtype=_WIDE.get(x.dtype, x.dtype)).to(x.dtype)

    def sort(self, x, axis):
        if x.is_complex():
            return torch.take_along_dim(x, self.argsort(x, axis).long(), axis)
        return torch.sort(x, dim=axis, stable=True).values

    def argsort(self, x, axis):
        if not x.is_complex():
            return torch.sort(x, dim=axis, stable=True).indices.to(torch.int32)
        by_imag = torch.sort(x.imag, dim=axis, stable=True).indices
        by_real = torch.sort(torch.take_along_dim(x.real, by_imag, axis), dim=axis, stable=True).indices
        return torch.take_along_dim(by_imag, by_real, axis).to(torch.int32)

    def top_k(self, x, k):
        # torch.topk does not say which of equal entries it picks.
        values, indices = torch.sort(x, dim=-1, descending=True, stable=True)
        return values[..., :k], indices[..., :k].to(torch.int32)

    # -- move ------------------------------------------------------------------------------------------------------

    reshape, broadcast_to, expand_dims = torch.reshape, torch.broadcast_to, torch.unsqueeze
    concatenate, squeeze, flip = torch.concatenate, torch.squeeze, widened(torch.flip)
    transpose = torch.permute

    def pad(self, x, widths, mode="constant", value=0):
        if mode == "constant":
            if isinstance(value, torch.Tensor):
                value = value.item()
            return F.pad(x, [w for pair in reversed(widths) for w in pair], value=value)
        for axis, pair in enumerate(widths):
            if any(pair):
                order = torch.from_numpy(np.pad(np.arange(x.shape[axis]), pair, mode=mode)).to(x.device)
                x = self.take(x, order, axis)
        return x

    # -- index -----------------------------------------------------------------------------------------------------

    def getitem(self, x, key):
        if type(key) is int:
            return x[key]
        keys = list(key) if isinstance(key, tuple) else [key]
        keys = [k if k is None or k is Ellipsis or isinstance(k, (int, slice)) else self._index(k) for k in keys]
        advanced = any(isinstance(k, torch.Tensor) and k.ndim for k in keys)
        masks = [k.ndim for k in keys if isinstance(k, torch.Tensor) and k.dtype == torch.bool]
        used = sum(k is not None and k is not Ellipsis for k in keys) - len(masks) + sum(masks)
        axis, flips = 0, []
        for i, k in enumerate(keys):
            if isinstance(k, slice):
                if k.step is not None and k.step < 0:
                    # torch slices forwards only.
                    size = x.shape[axis]
                    steps = range(*k.indices(size))
                    flips.append(axis)
                    first = size - 1 - steps.start
                    keys[i] = slice(first, first - steps.step * len(steps), -steps.step) if len(steps) else slice(0, 0)
                axis += 1
            elif k is Ellipsis:
                axis += x.ndim - used
            elif isinstance(k, torch.Tensor) and k.dtype == torch.bool:
                axis += k.ndim
            elif k is not None:
                if advanced and not isinstance(k, bool) and not (isinstance(k, torch.Tensor) and k.ndim):
                    # numpy counts integers beside index tensors among these, torch takes them out first.
                    keys[i] = torch.as_tensor(k, device=x.device).reshape(1)
                axis += 1
        return (self.flip(x, flips) if flips else x)[tuple(keys)]

    def _index(self, k):
        k = self.asarray(k)
        return k if k.dtype in (torch.bool, torch.int64, torch.int32) else k.long()

    def take(self, x, indices, axis):
        if x.ndim == 0:
            return x.expand(indices.shape)
        axis %= x.ndim
        if x.dtype in (torch.uint16, torch.uint32, torch.uint64):
            return x[(slice(None),) * axis + (indices.long(),)]
        if indices.dtype not in (torch.int32, torch.int64):
            indices = indices.long()
        if indices.ndim == 1:
            return torch.index_select(x, axis, indices)
        taken = torch.index_select(x, axis, indices.reshape(-1))
        return taken.reshape(x.shape[:axis] + indices.shape + x.shape[axis + 1 :])

    _take_along, _gather = widened(torch.take_along_dim), widened(torch.gather)

    def take_along_axis(self, x, indices, axis):
        if indices.dtype not in (torch.int32, torch.int64):
            indices = indices.long()
        sizes, wanted = list(x.shape), list(indices.shape)
        sizes[axis] = wanted[axis] = 0
        if sizes == wanted:  # a third of the time
            return self._gather(x, axis, indices)
        return self._take_along(x, indices.long(), axis)

    def scatter(self, x, indices, updates, how="set"):
        depth = indices.shape[-1]
        sizes, rest = x.shape[:depth], x.shape[depth:]
        indices = indices.reshape(-1, depth).long()
        limits = torch.tensor(sizes, device=x.device)
        strides = torch.tensor([math.prod(sizes[i + 1 :]) for i in range(depth)], device=x.device)
        inside = ((indices >= 0) & (indices < limits)).all(-1)
        rows, width = math.prod(sizes), math.prod(rest)
        # Indices outside go to an extra row, which is cut off.
        flat = torch.where(inside, (indices * strides).sum(-1), rows)
        wide = _WIDE.get(x.dtype, x.dtype)
        base = F.pad(x.to(wide).reshape(rows, width), (0, 0, 0, 1))
        updates = updates.to(wide).reshape(len(flat), width)
        if how in ("set", "add"):
            base = base.index_put((flat,), updates, accumulate=how == "add")
        else:
            reduce = {"multiply": "prod", "max": "amax", "min": "amin"}[how]
            base = base.scatter_reduce(0, flat[:, None].expand_as(updates), updates, reduce)
        return base[:rows].reshape(*sizes, *rest).to(x.dtype)

    def slice(self, x, start, sizes):
        for axis, (begin, size) in enumerate(zip(start, sizes)):
            if size != x.shape[axis]:
                x = x.narrow(axis, min(max(int(begin), 0), x.shape[axis] - size), size)
        return x

    def slice_update(self, x, start, updates):
        part = [axis for axis, size in enumerate(updates.shape) if size != x.shape[axis]]

        def put(x, axes):
            if not axes:
                return updates
            axis, size = axes[0], updates.shape[axes[0]]
            begin = min(max(int(start[axis]), 0), x.shape[axis] - size)
            return torch.slice_scatter(x, put(x.narrow(axis, begin, size), axes[1:]), axis, begin, begin + size)

        return put(x, part)

    def searchsorted(self, sorted_sequence, values, side):
        wide = _WIDE.get(values.dtype, values.dtype)
        return torch.searchsorted(sorted_sequence.to(wide), values.to(wide).contiguous(), side=side, out_int32=True)

    def nonzero(self, x):
        x = x.to(_WIDE.get(x.dtype, x.dtype))
        return tuple(i.to(torch.int32) for i in torch.nonzero(x, as_tuple=True))

    def unique(self, x):
        order = self.argsort(x, 0).long()
        ordered = x[order]
        new = torch.ones(len(x), dtype=torch.bool, device=x.device)
        new[1:] = (ordered[1:] != ordered[:-1]) & ~(torch.isnan(ordered[1:]) & torch.isnan(ordered[:-1]))
        (starts,) = torch.nonzero(new, as_tuple=True)
        inverse = torch.empty_like(order)
        inverse[order] = torch.cumsum(new, 0) - 1
        counts = torch.diff(starts, append=starts.new_tensor([len(x)]))
        return ordered[starts], *(i.to(torch.int32) for i in (order[starts], inverse, counts))

    # -- contract --------------------------------------------------------------------------------------------------

    def einsum(self, subscripts, *xs):
        dtype = xs[0].dtype
        # Sums of small integers come back as int64, which the next product refuses.
        wide = _WIDE.get(dtype, dtype) if dtype in INEXACT else torch.int64
        return torch.einsum(subscripts, *(x.to(wide) for x in xs)).to(dtype)

    def conv(self, x, kernel, strides, padding, dilation, groups, data_format):
        wide = _WIDE.get(x.dtype, x.dtype)
        y = self.conv_plus(x.to(wide), kernel.to(wide), None, strides, padding, dilation, groups, data_format)
        return y.to(x.dtype)

    def conv_plus(self, x, kernel, bias, strides, padding, dilation, groups, data_format):
        x, window, strides, padding, dilation = _framed(x, kernel.shape[:-2], strides, padding, dilation, data_format)
        both = 0
        if padding != "valid":
            pairs = _pairs(x.shape[2:], window, strides, padding, dilation)
            both = list(map(min, pairs))
            if both != list(map(max, pairs)):
                x = _padded(x, [(max(low - high, 0), max(high - low, 0)) for low, high in pairs])
        y = _CONV[x.ndim](x, _kernel(kernel), bias, strides, both, dilation, groups)
        return _unframed(y, kernel.ndim, data_format)

    def conv_transpose(self, x, kernel, strides, padding, output_padding, dilation, data_format):
        if len(strides) == 1:
            output_padding = (None, *output_padding)
        x, window, strides, _, dilation = _framed(x, kernel.shape[:-2], strides, padding, dilation, data_format)
        lows, extras, sizes = [], [], []
        for n, k, s, extra, d in zip(x.shape[2:], window, strides, output_padding, dilation):
            size = shapes.transposed_size(n, k, s, padding, extra, d)
            surplus = (n - 1) * s + (k - 1) * d + 1 - size
            low = max(surplus, 0) // 2
            lows.append(low)
            sizes.append(size)
            extras.append(2 * low - surplus)
        apply = functools.partial(_CONV_TRANSPOSE[x.ndim], x, _kernel(kernel), None, strides, dilation=dilation)
        if all(0 <= e < max(s, d) for e, s, d in zip(extras, strides, dilation)):
            y = apply(lows, extras)
        else:
            y = apply(0, 0)
            y = _padded(y, [(-low, size + low - have) for low, size, have in zip(lows, sizes, y.shape[2:])])
        return _unframed(y, kernel.ndim, data_format)

    def max_pool(self, x, window, strides, padding, data_format):
        rank = x.ndim
        x, window, strides, padding, _ = _framed(x, window, strides, padding, (1,) * len(window), data_format)
        if padding == "valid" and x.dtype in INEXACT:
            return _unframed(_MAX_POOL[x.ndim](x, window, strides), rank, data_format)
        pairs = _pairs(x.shape[2:], window, strides, padding)
        apply = functools.partial(_MAX_POOL[x.ndim], kernel_size=window, stride=strides)
        dtype = x.dtype
        if dtype not in INEXACT:
            x = x.to(torch.int64)
        if _plain(pairs, window):
            y = apply(x, padding=[low for low, _ in pairs])
        elif _ceiled(x.shape[2:], window, strides, pairs):
            y = apply(x, ceil_mode=True)
        else:
            lowest = -math.inf if dtype in INEXACT else torch.iinfo(x.dtype).min
            y = apply(_padded(x, pairs, lowest))
        return _unframed(y.to(dtype), rank, data_format)

    def average_pool(self, x, window, strides, padding, data_format):
        rank = x.ndim
        x, window, strides, padding, _ = _framed(x, window, strides, padding, (1,) * len(window), data_format)
        pairs = _pairs(x.shape[2:], window, strides, padding)
        apply = functools.partial(_AVERAGE_POOL[x.ndim], kernel_size=window, stride=strides, count_include_pad=False)
        if _plain(pairs, window):
            y = apply(x, padding=[low for low, _ in pairs])
        elif _ceiled(x.shape[2:], window, strides, pairs):
            y = apply(x, ceil_mode=True)
        else:
            y = apply(_padded(x, pairs))
            for axis, (n, k, s, (low, _)) in enumerate(zip(x.shape[2:], window, strides, pairs), 2):
                starts = [i * s - low for i in range(y.shape[axis])]
                share = [k / max(min(i + k, n) - max(i, 0), 1) for i in starts]
                y = y * torch.tensor(share, dtype=y.dtype, device=y.device).reshape(-1, *(1,) * (y.ndim - 1 - axis))
        return _unframed(y, rank, data_format)

    # -- linear algebra, Fourier -----------------------------------------------------------------------------------

    def cholesky(self, x):
        try:
            return torch.linalg.cholesky(x)
        except torch.linalg.LinAlgError as error:
            raise ValueError(f"cholesky: the matrix (shape {tuple(x.shape)}) is not positive definite.") from error

    def qr(self, x, mode):
        return tuple(torch.linalg.qr(x, mode))

    def svd(self, x, full_matrices):
        return tuple(torch.linalg.svd(x, full_matrices))

    def eigh(self, x):
        return tuple(torch.linalg.eigh(x))

    def eig(self, x):
        return tuple(torch.linalg.eig(x))

    solve = torch.linalg.solve

    def solve_triangular(self, a, b, lower):
        return torch.linalg.solve_triangular(a, b, upper=not lower)

    def lu_factor(self, x):
        factors, pivots = torch.linalg.lu_factor(x)
        return factors, pivots - 1

    def slogdet(self, x):
        return tuple(torch.linalg.slogdet(x))

    fft, rfft, irfft = torch.fft.fft, torch.fft.rfft, torch.fft.irfft

    # -- random ----------------------------------------------------------------------------------------------------

    def _draw(self, kind, key, shape, dtype, parameters=(), bounds=()):
        arguments = kind, key, [*parameters], [*bounds], [*shape], DTYPE[dtype]
        if recording.active or torch.compiler.is_compiling():
            return torch.ops.multikeras.draw(*arguments)
        return _draw(*arguments, device=self.device)

    def random_uniform(self, key, shape, dtype):
        return self._draw("uniform", key, shape, dtype)

    def random_normal(self, key, shape, dtype):
        return self._draw("normal", key, shape, dtype)

    def random_randint(self, key, shape, low, high, dtype):
        if isinstance(low, int) and isinstance(high, int):
            return self._draw("integers", key, shape, dtype, bounds=(low, high))
        low, high = (self.asarray(bound, "int64") for bound in (low, high))
        return (low + self._draw("integers", key, shape, "int64", bounds=(0, 2**62)) % (high - low)).to(DTYPE[dtype])

    def random_halves(self, key, shape):
        return self._draw("halves", key, shape, "int16")

    def random_gamma(self, key, shape, alpha, dtype):
        alpha = torch.broadcast_to(alpha, shape).to(torch.promote_types(alpha.dtype, torch.float32))
        return self._draw("gamma", key, shape, dtype, [alpha])

    def random_binomial(self, key, shape, counts, probabilities, dtype):
        wide = torch.float64 if probabilities.dtype == torch.float64 else torch.float32
        given = [torch.broadcast_to(p, shape).to(wide) for p in (counts, probabilities)]
        return self._draw("binomial", key, shape, dtype, given)

    # -- devices, variables ----------------------------------------------------------------------------------------

    def devices(self, kind=None):
        there = ["cpu:0"]
        if torch.accelerator.is_available():
            there += [f"gpu:{i}" for i in range(torch.accelerator.device_count())]
        return [d for d in there if kind is None or d.startswith(kind.lower())]

    @contextlib.contextmanager
    def device_scope(self, device):
        kind, _, index = str(device).lower().replace("cuda", "gpu").partition(":")
        name = f"{kind}:{index or 0}"
        if name not in self.devices():
            raise ValueError(f"device={device!r} is not there. Devices here: {', '.join(self.devices())}.")
        before = state.device
        state.device = torch.device("cpu") if kind == "cpu" else torch.device(_default_device().type, int(index or 0))
        try:
            yield
        finally:
            state.device = before

    def synchronize(self, tree):
        if self.device.type != "cpu":
            torch.accelerator.synchronize()

    register, unregister = staticmethod(_torch_module.register), staticmethod(_torch_module.unregister)

    def make_variable(self, value, trainable, name, aggregation="none", synchronization="auto"):
        with torch.inference_mode(False):  # a variable outlives the mode it happens to be made in
            value = value.clone() if value.is_inference() else value.contiguous()
            return torch.nn.Parameter(value, requires_grad=trainable and value.dtype in INEXACT)

    def set_trainable(self, store, trainable):
        store.requires_grad_(trainable and store.dtype in INEXACT)

    def copy_tensor(self, x):
        return x.detach().clone()

    def assign(self, store, value):
        for journal in state.journals:
            if id(store) not in journal:
                journal[id(store)] = store, store.detach().clone()
        if value is store:
            return store
        if store.requires_grad or value.requires_grad:
            with torch.no_grad():
                store.copy_(value)
        else:
            store.copy_(value)
        return store

    def peek(self, store):
        return self.to_numpy(store.detach())

    def fill(self, store, shape, dtype, read):
        if store.device.type != "cpu" or not store.is_contiguous() or state.journals:
            return super().fill(store, shape, dtype, read)
        read(self.peek(store))
        return store

    def seed(self, seed):
        torch.manual_seed(seed)

    def profiler(self, folder):
        return torch.profiler.profile(on_trace_ready=torch.profiler.tensorboard_trace_handler(folder))

    def device_memory(self):
        return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None


BACKEND = TorchBackend
