"""A form: how the weight of a layer is kept and used in one mode."""

from typing import Any, ClassVar

from multikeras import ops


class Form:
    """What a quantized layer keeps in place of its weight, and how it computes with that.

    Forms have no state: whatever belongs to a layer is an attribute of the layer.
    """

    keeps_float: ClassVar[bool] = False
    """Whether the weight itself stays a variable of floats."""

    loads_plainly: ClassVar[bool] = True
    """Whether loading does nothing but assign the variables."""

    def build(self, layer: Any, shape: tuple, config: Any) -> None:
        """Make the variables for a weight of `shape`."""
        raise NotImplementedError

    def converted(self, layer: Any, config: Any) -> dict[str, Any]:
        """Return the values of these variables, by attribute, for the layer's weight as it is."""
        raise NotImplementedError

    def forget(self, layer: Any) -> None:
        """Take the weights of floats off the layer."""
        raise NotImplementedError

    def call(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        """Compute what the layer's `call` is to compute."""
        raise NotImplementedError

    def stored(self, layer: Any) -> list[str]:
        """Return the attributes that go into files, in order; those that are None or missing are left out."""
        raise NotImplementedError

    def was_loaded(self, layer: Any) -> None:
        """Take note that all variables come from a file."""

    def shown(self, layer: Any) -> Any:
        """Return what the property of the weight gives."""
        raise NotImplementedError

    def merged(self, layer: Any) -> dict[str, Any]:
        """Return the values of variables that change when the low-rank correction becomes part of the weight."""
        raise NotImplementedError


def constant(layer: Any, name: str, shape: tuple, dtype: str | None, initializer: Any = "zeros") -> Any:
    """Add a variable that is not trained."""
    return layer.add_weight(name=name, shape=shape, dtype=dtype, initializer=initializer, trainable=False)


def given_by_rule(product: Any, slope: Any, x: Any) -> Any:
    """Return `product(x)`, rounded numbers, whose gradient with respect to `x` is to be `slope(upstream)`."""

    @ops.custom_gradient
    def rounded(x):
        return product(x), lambda *args, upstream=None: slope(args[0] if upstream is None else upstream)

    return rounded(x)


def quantize_along(quantizer: Any, x: Any, axis: Any) -> tuple:
    """Return integers and scale by a quantizer, along `axis` unless it has one of its own."""
    if getattr(quantizer, "axis", axis) is None:
        return quantizer(x, axis=axis)
    return quantizer(x)


def dequantized(integers: Any, scale: Any, zero: Any, blocks: Any, dtype: str) -> Any:
    """Return a matrix of floats from integers (rows, columns), each row having its block's scale and zero point.

    Without zero points `scale` is one number a column, by which the floats had been multiplied.
    """
    floats = ops.cast(integers, dtype)
    if zero is None:
        return ops.divide(floats, ops.cast(scale, dtype))
    blocks = ops.cast(blocks, "int32")
    scale, zero = (ops.take(ops.cast(v, dtype), blocks, axis=0) for v in (scale, zero))
    return ops.multiply(ops.subtract(floats, zero), scale)
