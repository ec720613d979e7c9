"""Quantization acted out in floats, for training that shall get used to it."""

from multikeras import ops


def fake_quant_with_min_max_vars(inputs, min_vals, max_vals, num_bits=8, narrow_range=False, axis=None):
    """Round `inputs` to the 2**num_bits levels between two bounds; gradients pass unchanged between them.

    The bounds are moved a little so that zero is a level (Jacob et al. 2017, arXiv:1712.05877).

    Args:
        inputs: Floats.
        min_vals, max_vals: Bounds: scalars, or one for each place along `axis`.
        num_bits: Between 2 and 8, sometimes up to 16.
        narrow_range: Whether to leave out the lowest level.
        axis: Axis along which the bounds differ.

    >>> from multikeras import ops, quantizers
    >>> y = quantizers.fake_quant_with_min_max_vars(ops.array([-7.0, 1.2, 1.9, 900.0]), 0.0, 255.0)
    >>> ops.convert_to_numpy(y).tolist()
    [0.0, 1.0, 2.0, 255.0]
    """
    if not isinstance(num_bits, int) or num_bits < 2:
        raise ValueError(f"fake_quant_with_min_max_vars: num_bits must be an integer of at least 2, got {num_bits!r}.")
    if not ops.is_tensor(inputs) and not hasattr(inputs, "shape"):
        inputs = ops.convert_to_tensor(inputs)
    dtype = ops.dtype(inputs)
    precise = "float64" if dtype == "float64" else "float32"
    rank = len(inputs.shape)
    shape = () if axis is None else tuple(-1 if i == axis % rank else 1 for i in range(rank))
    bounds = [ops.reshape(ops.cast(ops.convert_to_tensor(v), precise), shape) for v in (min_vals, max_vals)]
    low, high, step = _nudged(*bounds, 1 if narrow_range else 0, 2**num_bits - 1)

    @ops.custom_gradient
    def rounded(x):
        wide = ops.cast(x, precise)
        levels = ops.floor((ops.clip(wide, low, high) - low) / step + 0.5)
        inside = ops.cast(ops.logical_and(wide >= low, wide <= high), dtype)
        return ops.cast(levels * step + low, dtype), lambda *a, upstream=None: (a[0] if upstream is None else upstream) * inside

    return rounded(inputs)


def _nudged(low, high, first: int, last: int) -> tuple:
    """Return bounds between which zero is one of the levels `first` to `last`, and the step from one to the next."""
    step = (high - low) / (last - first)
    zero = ops.clip(ops.floor(first - low / step + 0.5), first, last)
    return (first - zero) * step, (last - zero) * step, step
