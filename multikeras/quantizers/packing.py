"""Two 4-bit integers in one byte."""

from multikeras import ops
from multikeras.backend.shapes import UNKNOWN

_DTYPES = ("int8", "uint8")


def pack_int4(arr, axis=0, dtype="int8"):
    """Put neighbours along `axis` into one byte, the first in its low half; an odd last one is joined by zero.

    Args:
        arr: Integers of `dtype`, from -8 to 7, or from 0 to 15 if unsigned.
        axis: Axis that becomes half as long.
        dtype: "int8" or "uint8".

    Returns the bytes, their shape, and the former length of `axis`, which `unpack_int4` needs.

    >>> from multikeras import ops, quantizers
    >>> packed, shape, length = quantizers.pack_int4(ops.array([1, -2, 3], "int8"))
    >>> ops.convert_to_numpy(packed).tolist(), shape, length
    ([-31, 3], (2,), 3)
    """
    if dtype not in _DTYPES:
        raise ValueError(f"pack_int4: dtype must be 'int8' or 'uint8', got {dtype!r}.")
    arr = ops.convert_to_tensor(arr)
    if ops.dtype(arr) != dtype:
        raise TypeError(f"pack_int4: expected integers of dtype {dtype}, got {ops.dtype(arr)}.")
    axis = _axis("pack_int4", axis, len(arr.shape))
    length = arr.shape[axis]
    odd = [(0, 0)] * len(arr.shape)
    odd[axis] = (0, length % 2)
    # Shifts and masks are of int32, where no bit is a sign.
    wide = ops.pad(ops.cast(arr, "int32"), odd)
    low, high = (ops.bitwise_and(wide[(slice(None),) * axis + (slice(i, None, 2),)], 15) for i in (0, 1))
    packed = _as_byte(ops.bitwise_or(low, ops.left_shift(high, 4)), dtype, bits=8)
    return packed, tuple(packed.shape), length


def unpack_int4(packed, orig_len, axis=0, dtype="int8"):
    """Return the integers that `pack_int4` put together.

    Args:
        packed: Bytes.
        orig_len: Length of `axis` before packing.
        axis, dtype: As they were packed.

    >>> from multikeras import ops, quantizers
    >>> ops.convert_to_numpy(quantizers.unpack_int4(ops.array([-31, 3], "int8"), 3)).tolist()
    [1, -2, 3]
    """
    if dtype not in _DTYPES:
        raise ValueError(f"unpack_int4: dtype must be 'int8' or 'uint8', got {dtype!r}.")
    packed = ops.convert_to_tensor(packed)
    if ops.dtype(packed) not in _DTYPES:
        raise TypeError(f"unpack_int4: expected int8 or uint8, got {ops.dtype(packed)}.")
    shape = list(packed.shape)
    axis = _axis("unpack_int4", axis, len(shape))
    wide = ops.cast(packed, "int32")
    halves = [ops.bitwise_and(wide, 15), ops.bitwise_and(ops.right_shift(wide, 4), 15)]
    shape[axis] = shape[axis] * 2
    both = ops.reshape(ops.stack(halves, axis + 1), [-1 if s in (None, UNKNOWN) else s for s in shape])
    return _as_byte(both[(slice(None),) * axis + (slice(orig_len),)], dtype, bits=4)


def _as_byte(wide, dtype: str, bits: int):
    """Read the lowest `bits` bits, signed if `dtype` is."""
    half = 2 ** (bits - 1)
    return ops.cast(ops.where(wide >= half, wide - 2 * half, wide) if dtype == "int8" else wide, dtype)


def _axis(name: str, axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise ValueError(f"{name}: axis={axis} is out of bounds for {rank} dimensions.")
    return axis % rank
