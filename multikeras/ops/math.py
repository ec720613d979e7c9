"""Fourier transforms, segments, error functions and the like."""

import math

import numpy as np

from multikeras.backend import dtypes
from multikeras.backend.shapes import UNKNOWN, Spec, known
from multikeras.ops._op import convert, convert_together, face, op
from multikeras.ops._sizes import from_value

# -- elementwise -------------------------------------------------------------------------------------------------------


@face(inexact=True)
def erf(B, x):
    """Return the error function.

    >>> from multikeras import ops
    >>> round(float(ops.erf(1.0)), 4)
    0.8427
    """
    return B.erf(x)


@face(inexact=True)
def erfc(B, x):
    """Return 1 - erf(x), relatively exact for large x.

    >>> from multikeras import ops
    >>> round(float(ops.erfc(1.0)), 4)
    0.1573
    """
    return B.erfc(x)


@face(inexact=True)
def erfinv(B, x):
    """Return the y with erf(y) = x.

    >>> from multikeras import ops
    >>> float(ops.erfinv(0.0))
    0.0
    """
    return B.erfinv(x)


@op(inexact=True)
def rsqrt(B, x):
    """Return 1 / sqrt(x).

    >>> from multikeras import ops
    >>> float(ops.rsqrt(4.0))
    0.5
    """
    return B.divide(B.asarray(1, B.dtype(x)), B.sqrt(x))


@op(inexact=True)
def logsumexp(B, x, axis=None, keepdims=False):
    """Return log(sum(exp(x))) without overflow.

    >>> from multikeras import ops
    >>> round(float(ops.logsumexp([1000.0, 1000.0])), 3)
    1000.693
    """
    axis = tuple(axis) if isinstance(axis, list) else axis
    top = B.stop_gradient(B.max(x, axis, True))
    top = B.where(B.isfinite(top), top, B.asarray(0, B.dtype(x)))
    y = B.log(B.sum(B.exp(x - top), axis, keepdims))
    return y + (top if keepdims else B.reshape(top, B.shape(y)))


@op
def view_as_complex(B, x):
    """Return the complex numbers whose real and imaginary parts stand in the last dimension, of size 2, as complex64.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.real(ops.view_as_complex([[1.0, 2.0]]))).tolist()
    [1.0]
    """
    if not len(x.shape) or x.shape[-1] != 2:
        raise ValueError(f"view_as_complex: the last dimension must have size 2, got shape {tuple(x.shape)}.")
    x = B.cast(x, "float32")
    return B.complex(B.getitem(x, (..., 0)), B.getitem(x, (..., 1)))


@op
def view_as_real(B, x):
    """Return real and imaginary part in a new last dimension.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.view_as_real(ops.view_as_complex([[1.0, 2.0]]))).tolist()
    [[1.0, 2.0]]
    """
    if not dtypes.is_complex(B.dtype(x)):
        raise TypeError(f"view_as_real: x must be complex, got {B.dtype(x)}.")
    return B.concatenate([B.expand_dims(part, len(x.shape)) for part in (B.real(x), B.imag(x))], len(x.shape))


@op(tensors=2, promote=True, inexact=True)
def cdist(B, x, y):
    """Return the Euclidean distances of all pairs of rows of `x` (..., m, d) and `y` (..., n, d).

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.cdist([[0.0, 0.0]], [[3.0, 4.0], [0.0, 1.0]])).tolist()
    [[5.0, 1.0]]
    """
    if known(x.shape[-1]) and known(y.shape[-1]) and x.shape[-1] != y.shape[-1]:
        raise ValueError(
            "cdist: x and y must agree in their last dimension,"
            f" got shapes {tuple(x.shape)} and {tuple(y.shape)}."
        )
    return B.norm(B.expand_dims(x, len(x.shape) - 1) - B.expand_dims(y, len(y.shape) - 2), 2, -1)


# -- order, segments ---------------------------------------------------------------------------------------------------


@face
def top_k(B, x, k, sorted=True):
    """Return the `k` largest values along the last axis, downwards, and their indices.

    >>> from multikeras import ops
    >>> values, indices = ops.top_k([1.0, 5.0, 3.0], 2)
    >>> [float(v) for v in values], [int(i) for i in indices]
    ([5.0, 3.0], [1, 2])
    """
    if not len(x.shape) or (known(x.shape[-1]) and known(k) and not 0 <= k <= x.shape[-1]):
        raise ValueError(f"top_k: k={k} must be at most the size of the last dimension, x has shape {tuple(x.shape)}.")
    return B.top_k(x, k)


@op(tensors=2)
def in_top_k(B, targets, predictions, k):
    """Tell for each row of `predictions` whether fewer than `k` entries exceed that of the target class.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.in_top_k([0, 1], [[0.1, 0.9], [0.1, 0.9]], 1)).tolist()
    [False, True]
    """
    classes = B.shape(predictions)[-1]
    targets = B.expand_dims(B.cast(targets, "int32"), len(targets.shape))
    inside = B.bitwise_and(targets >= 0, targets < classes)
    index = B.where(inside, targets, B.asarray(0, "int32"))
    chosen = B.take_along_axis(predictions, index, len(predictions.shape) - 1)
    above = B.sum(B.cast(B.less(chosen, predictions), "int32"), -1)
    return B.bitwise_and(above < k, B.squeeze(B.bitwise_and(inside, B.isfinite(chosen)), (len(targets.shape) - 1,)))


def _segments(B, data, segment_ids, num_segments, how, empty):
    """Combine the rows of `data` that share a segment; a segment without rows holds `empty`."""
    ids = B.cast(convert(B, segment_ids), "int32")
    if len(ids.shape) != 1:
        raise ValueError(
            f"segment ops: Argument `segment_ids` should be an 1-D vector, got shape {tuple(ids.shape)}."
        )
    if known(ids.shape[0]) and known(data.shape[0]) and ids.shape[0] != data.shape[0]:
        raise ValueError(
            "segment ops: Argument `segment_ids` and `data` should have same leading dimension. "
            f"Got {tuple(ids.shape)} and {tuple(data.shape)}."
        )
    if num_segments is None:
        # With the size of the result unknown until the values are seen.
        num_segments = 0 if ids.shape[0] == 0 else _as_size(B, B.max(ids) + 1)
    out = B.full((num_segments, *B.shape(data)[1:]), empty, B.dtype(data))
    return B.scatter(out, B.expand_dims(ids, 1), data, how)


def _as_size(B, x):
    """Return a scalar tensor as a size: an int where it has a value, UNKNOWN for a shape without data."""
    return UNKNOWN if isinstance(x, Spec) else from_value(x)


def _lowest(dtype, sign):
    if dtypes.is_float(dtype):
        return -sign * math.inf
    info = np.iinfo(dtype if dtype != "bool" else "uint8")
    return info.min if sign > 0 else info.max


@op(tensors=2)
def segment_sum(B, data, segment_ids, num_segments=None, sorted=False):
    """Add up the rows of `data` that have the same segment id.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.segment_sum([1, 2, 10], [0, 0, 1], 3)).tolist()
    [3, 10, 0]
    """
    return _segments(B, data, segment_ids, num_segments, "add", 0)


@op(tensors=2)
def segment_prod(B, data, segment_ids, num_segments=None, sorted=False):
    """Multiply the rows of `data` that have the same segment id.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.segment_prod([1, 2, 10], [0, 0, 1], 3)).tolist()
    [2, 10, 1]
    """
    return _segments(B, data, segment_ids, num_segments, "multiply", 1)


@op(tensors=2)
def segment_max(B, data, segment_ids, num_segments=None, sorted=False):
    """Take the largest of the rows of `data` that have the same segment id; the lowest number where there are none.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.segment_max([1, 2, 10], [0, 0, 1], 2)).tolist()
    [2, 10]
    """
    return _segments(B, data, segment_ids, num_segments, "max", _lowest(B.dtype(data), 1))


@op(tensors=2)
def segment_min(B, data, segment_ids, num_segments=None, sorted=False):
    """Take the smallest of the rows of `data` that have the same segment id; the highest number where there are none.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.segment_min([1, 2, 10], [0, 0, 1], 2)).tolist()
    [1, 10]
    """
    return _segments(B, data, segment_ids, num_segments, "min", _lowest(B.dtype(data), -1))


# -- Fourier -----------------------------------------------------------------------------------------------------------


def _joined(B, x, op_name):
    """Return a pair (real, imaginary), or a complex tensor, as a complex tensor."""
    if not isinstance(x, (tuple, list)):
        x = convert(B, x)
        if not dtypes.is_complex(B.dtype(x)):
            raise ValueError(
                f"{op_name}: Input `x` should be a tuple of two tensors, real and imaginary. "
                f"Received: x={x}"
            )
        return x
    if len(x) != 2:
        raise ValueError(
            f"{op_name}: Input `x` should be a tuple of two tensors, real and imaginary. "
            f"Received: x={x}"
        )
    re, im = convert_together(B, x, inexact=True)
    if tuple(re.shape) != tuple(im.shape):
        raise ValueError(
            f"{op_name}: Both the real and imaginary parts should have the same shape,"
            f" got {tuple(re.shape)} and {tuple(im.shape)}."
        )
    return B.complex(re, im)


def _parts(B, x):
    return B.real(x), B.imag(x)


def _need_rank(op_name, x, rank):
    if len(x.shape) < rank:
        raise ValueError(f"{op_name}: Input should have rank >= {rank}. Received: shape {tuple(x.shape)}")
    last = x.shape[-rank:]
    if not all(map(known, last)):
        raise ValueError(
            f"{op_name}: Input should have its last {rank} dimension(s) known. "
            f"Received: shape {tuple(x.shape)}"
        )


def _fft2(B, x):
    last = len(x.shape) - 1
    axes = (*range(last - 1), last, last - 1)
    return B.transpose(B.fft(B.transpose(B.fft(x), axes)), axes)


@face(tensors=0)
def fft(B, x):
    """Return the discrete Fourier transform of x = (real, imaginary) along the last axis as such a pair.

    >>> from multikeras import ops
    >>> [float(v) for v in ops.fft(([1.0, 1.0], [0.0, 0.0]))[0]]
    [2.0, 0.0]
    """
    x = _joined(B, x, "fft")
    _need_rank("fft", x, 1)
    return _parts(B, B.fft(x))


@op(tensors=0)
def fft2(B, x):
    """Return the discrete Fourier transform of x = (real, imaginary) along the last two axes as such a pair.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.fft2((ops.ones((2, 2)), ops.zeros((2, 2))))[0]).tolist()
    [[4.0, 0.0], [0.0, 0.0]]
    """
    x = _joined(B, x, "fft2")
    _need_rank("fft2", x, 2)
    return _parts(B, _fft2(B, x))


@op(tensors=0)
def ifft2(B, x):
    """Return the pair whose `fft2` is x = (real, imaginary).

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.ifft2((ops.ones((2, 2)), ops.zeros((2, 2))))[0]).tolist()
    [[1.0, 0.0], [0.0, 0.0]]
    """
    x = _joined(B, x, "ifft2")
    _need_rank("ifft2", x, 2)
    re, im = _parts(B, _fft2(B, B.conj(x)))
    size = float(x.shape[-1] * x.shape[-2])
    return re / size, im / -size


@face(inexact=True)
def rfft(B, x, fft_length=None):
    """Return the transform of a real tensor along the last axis as (real, imaginary), fft_length // 2 + 1 terms.

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.rfft([1.0, 1.0])[0]).tolist()
    [2.0, 0.0]
    """
    return _parts(B, B.rfft(x, B.shape(x)[-1] if fft_length is None else fft_length))


@face(tensors=0)
def irfft(B, x, fft_length=None):
    """Return the real tensor whose `rfft` is x = (real, imaginary).

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.irfft(([2.0, 0.0], [0.0, 0.0]))).tolist()
    [1.0, 1.0]
    """
    x = _joined(B, x, "irfft")
    return B.irfft(x, (B.shape(x)[-1] - 1) * 2 if fft_length is None else fft_length)


@op
def extract_sequences(B, x, sequence_length, sequence_stride):
    """Cut the last axis into overlapping pieces, one every `sequence_stride` entries: (..., pieces, sequence_length).

    >>> from multikeras import ops
    >>> ops.convert_to_numpy(ops.extract_sequences([1, 2, 3, 4], 2, 1)).tolist()
    [[1, 2], [2, 3], [3, 4]]
    """
    size = B.shape(x)[-1]
    count = (size - sequence_length) // sequence_stride + 1
    starts = B.arange(0, count, 1, "int32") * sequence_stride
    index = B.expand_dims(starts, 1) + B.arange(0, sequence_length, 1, "int32")
    return B.take(x, index, len(x.shape) - 1)


def _window(B, window, sequence_length, sequence_stride, fft_length, dtype, op_name):
    """Return the window, in the middle of `fft_length` entries."""
    if not hasattr(sequence_stride, "__index__") or sequence_stride < 1:
        raise ValueError(
            f"{op_name}: `sequence_stride` must be a positive integer. "
            f"Received: sequence_stride={sequence_stride}"
        )
    if fft_length < sequence_length:
        raise ValueError(
            f"{op_name}: `fft_length` must equal or larger than `sequence_length`. "
            f"Received: sequence_length={sequence_length}, fft_length={fft_length}"
        )
    turn = 2 * np.pi * np.arange(sequence_length) / sequence_length
    if isinstance(window, str):
        if window not in ("hann", "hamming"):
            raise ValueError(
                f"{op_name}: If a string is passed to `window`, it must be one of `'hann'`, `'hamming'`. "
                f"Received: window={window}"
            )
        window = 0.5 - 0.5 * np.cos(turn) if window == "hann" else 0.54 - 0.46 * np.cos(turn)
    window = B.asarray(np.ones(sequence_length) if window is None else window, dtype)
    if len(window.shape) != 1 or window.shape[0] != sequence_length:
        raise ValueError(
            f"{op_name}: The shape of `window` must be equal to [sequence_length]. "
            f"Received: window shape={tuple(window.shape)}"
        )
    before = (fft_length - sequence_length) // 2
    return B.pad(window, ((before, fft_length - sequence_length - before),))


@op(inexact=True)
def stft(B, x, sequence_length, sequence_stride, fft_length, window="hann", center=True):
    """Return the Fourier transforms of windowed, overlapping pieces as (real, imaginary), (..., pieces, terms).

    `window` is "hann", "hamming", a tensor of `sequence_length` entries or None; `center` pads so that each piece is
    centred on its time.

    >>> from multikeras import ops
    >>> ops.stft(ops.ones((16,)), 4, 2, 4)[0].shape == (9, 3)
    True
    """
    window = _window(B, window, sequence_length, sequence_stride, fft_length, B.dtype(x), "stft")
    if center:
        x = B.pad(x, ((0, 0),) * (len(x.shape) - 1) + ((fft_length // 2, fft_length // 2),), "reflect")
    return _parts(B, B.rfft(B.extract_sequences(x, fft_length, sequence_stride) * window, fft_length))


def _overlapped(B, pieces, stride):
    """Add up pieces, (..., pieces, length), each `stride` entries after the one before."""
    *leading, count, length = B.shape(pieces)
    rank = len(leading)
    index = B.expand_dims(B.arange(0, count, 1, "int32") * stride, 1) + B.arange(0, length, 1, "int32")
    updates = B.transpose(pieces, (rank, rank + 1, *range(rank)))
    total = B.full(((count - 1) * stride + length, *leading), 0, B.dtype(pieces))
    total = B.scatter(total, B.expand_dims(index, 2), updates, "add")
    return B.transpose(total, (*range(1, rank + 1), 0))


@op(tensors=0)
def istft(B, x, sequence_length, sequence_stride, fft_length, length=None, window="hann", center=True):
    """Return the signal whose `stft` is x = (real, imaginary).

    >>> from multikeras import ops
    >>> x = ops.stft(ops.ones((16,)), 4, 2, 4)
    >>> [round(float(v), 3) for v in ops.istft(x, 4, 2, 4)[:3]]
    [1.0, 1.0, 1.0]
    """
    pieces = B.irfft(_joined(B, x, "istft"), fft_length)
    dtype = B.dtype(pieces)
    window = _window(B, window, sequence_length, sequence_stride, fft_length, dtype, "istft")
    signal = _overlapped(B, pieces * window, sequence_stride)
    weight = _overlapped(B, B.broadcast_to(window * window, B.shape(pieces)[-2:]), sequence_stride)
    tiny = B.asarray(1e-10, dtype)
    signal = B.divide(signal, B.where(weight > tiny, weight, B.asarray(1, dtype)))
    start = fft_length // 2 if center else 0
    if length is not None:
        stop = start + length
    else:
        stop = B.shape(signal)[-1] - start
    signal = B.getitem(signal, (..., slice(start, stop)))
    return signal if length is None or known(signal.shape[-1]) else B.reshape(signal, (*B.shape(signal)[:-1], length))
