"""`EinsumDense`: a dense layer whose contraction is written as an einsum equation."""

import re
from typing import Any

from multikeras import ops
from multikeras.layers._arguments import keep, weight
from multikeras.layers.layer import Layer
from multikeras.layers.quantization import calibrated
from multikeras.layers.quantization import dense as quantized
from multikeras.layers.quantization.quantizable import Quantizable
from multikeras.ops.affine import affine


class EinsumDense(Quantizable, Layer):
    """Compute `activation(einsum(equation, inputs, kernel) + bias)`.

    Args:
        equation: Such as "abc,cd->abd"; input and output may both begin or end with "...".
        output_shape: Sizes of the output after the batch (and without those of "..."); None for ones the input tells.
        activation: Function or its name; None for none.
        bias_axes: Letters of the output that the bias has; None for no bias.
        lora_rank, lora_alpha: As for `Dense`.

    >>> import multikeras
    >>> layer = multikeras.layers.EinsumDense("abc,cd->abd", output_shape=(None, 8), bias_axes="d")
    >>> layer(multikeras.ops.ones((2, 3, 4))).shape == (2, 3, 8)
    True
    """

    not_in_config = ("gptq_unpacked_column_size", "lora_rank", "lora_alpha")
    also_in_config = ("activity_regularizer",)
    quantized_forms = quantized.FORMS | calibrated.FORMS
    name_of_zero = "zero_point"

    def __init__(
        self,
        equation: str,
        output_shape: Any,
        activation: Any = None,
        bias_axes: str | None = None,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        lora_rank: int | None = None,
        lora_alpha: float | None = None,
        gptq_unpacked_column_size: int | None = None,
        quantization_config: Any = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not re.fullmatch(r"[\w.\s]+,[\w.\s]+->[\w.\s]*", str(equation)):
            raise ValueError(f"EinsumDense: Invalid einsum equation {equation!r}: it must look like 'abc,cd->abd'.")
        output_shape = (output_shape,) if isinstance(output_shape, int) else tuple(output_shape)
        keep(self, locals())

    @property
    def partial_output_shape(self) -> tuple:
        """The output shape as it was given: None where the inputs say it."""
        return self.output_shape

    def build(self, input_shape):
        plan = plan_equation(self.equation, self.bias_axes, input_shape, self.output_shape)
        self.full_output_shape = plan["output"]
        self._rank = len(input_shape)
        self.build_weight(plan["kernel"], self._own_initializer(plan))
        self.bias = None if plan["bias"] is None else weight(self, "bias", plan["bias"])
        self._axes = 0 if self.bias is None else axes_multiplied(self.equation, self.bias_axes)
        self.built = True
        self.adapt_if_asked()

    def _own_initializer(self, plan):
        """Return the initializer of the kernel, told which axes are summed over if it can be told."""
        initializer = self.kernel_initializer
        if not (hasattr(initializer, "input_axes") and hasattr(initializer, "clone")):
            return initializer
        config = {**initializer.get_config(), "input_axes": plan["input_axes"], "output_axes": plan["output_axes"]}
        return type(initializer).from_config(config)

    def _lay_out(self, shape):
        super()._lay_out(shape)
        self.geometry = quantized.einsum(self.equation, self._rank, shape)

    @property
    def kernel(self):
        """The weight the equation names second, with its low-rank correction if there is one."""
        return self.with_lora(self._kernel)

    def call(self, inputs, training=None):
        kernel, bias = self.kernel, self.bias
        if self._axes:
            x = affine(inputs, kernel, bias, axes=self._axes)
        else:
            x = ops.einsum(self.equation, inputs, kernel)
            x = x if bias is None else ops.add(x, bias)
        return x if self.activation is None else self.activation(x)

    def compute_output_shape(self, input_shape):
        return plan_equation(self.equation, self.bias_axes, input_shape, self.output_shape)["output"]


def axes_multiplied(equation: str, bias_axes: str) -> int:
    """Return over how many axes a plain product of matrices and a bias multiplies, 0 if the equation is none.

    >>> axes_multiplied("abc,cde->abde", "de"), axes_multiplied("abcd,cde->abe", "e"), axes_multiplied("abc,cb->ab", "b")
    (1, 2, 0)
    """
    given, kernel, after = re.split(",|->", equation.replace(" ", ""))
    common = next((n for n in range(len(kernel) - 1, 0, -1) if given.endswith(kernel[:n])), 0)
    new = kernel[common:]
    plain = common and given[:-common] + new == after and new == bias_axes and not set(new) & set(given)
    return common if plain else 0


def plan_equation(equation: str, bias_axes: str | None, input_shape: tuple, output_shape: tuple) -> dict[str, Any]:
    """Work out shapes of kernel, bias and output, and which kernel axes are summed over and which are new.

    >>> plan_equation("...c,cde->...de", "e", (2, 7, 4), (3, 5))["kernel"]
    (4, 3, 5)
    """
    left, arrow, after = equation.replace(" ", "").partition("->")
    operands = left.split(",")
    if not arrow or len(operands) != 2 or not all(operands):
        raise ValueError(f"EinsumDense: equation={equation!r} must have the form 'inputs,kernel->output'.")
    given, kernel = operands
    rank = len(input_shape)
    dots = given.count("...")
    if dots != after.count("...") or dots > 1 or "..." in kernel:
        raise ValueError(
            f"EinsumDense: equation={equation!r} must have '...' in inputs and output alike, or in "
            "neither."
        )
    named, named_out = given.replace("...", ""), after.replace("...", "")
    elided = rank - len(named)
    if elided < 0:
        raise ValueError(
            f"EinsumDense: equation={equation!r} names {len(named)} axes, its input has shape "
            f"{input_shape}."
        )
    hidden: tuple = ()
    if dots and given.startswith("..."):
        hidden, known = input_shape[:elided], dict(zip(named, input_shape[elided:]))
        sizes, missing = dict(zip(named_out[::-1], output_shape[::-1])), len(named_out) - len(output_shape)
        full_prefix = True
    else:
        hidden, known = (input_shape[rank - elided :] if elided else ()), dict(zip(named, input_shape))
        sizes, missing = dict(zip(named_out[1:], output_shape)), len(named_out) - 1 - len(output_shape)
        full_prefix = False
    if missing < 0 or (missing > 0 and not full_prefix):
        sizes = dict(zip(named_out, output_shape)) if len(named_out) == len(output_shape) else sizes
    for letter, size in list(sizes.items()):
        if size is None:
            if letter not in known:
                raise ValueError(
                    f"EinsumDense: output_shape={output_shape} leaves axis {letter!r} of equation={equation!r} "
                    "unknown, "
                    "and the input does not have it."
                )
            sizes[letter] = known[letter]
        elif known.get(letter) not in (None, size):
            raise ValueError(
                f"EinsumDense: axis {letter!r} of equation={equation!r} has size {known[letter]} in the input of shape "
                f"{input_shape} but {size} in output_shape={output_shape}."
            )
    sizes = {**known, **{k: v for k, v in sizes.items() if v is not None}}
    for letter in kernel + named_out:
        if letter not in sizes:
            raise ValueError(
                f"EinsumDense: axis {letter!r} of equation={equation!r} is in neither input nor "
                "output_shape."
            )
    visible = tuple(sizes[letter] for letter in named_out)
    if dots and after.startswith("..."):
        output = (*hidden, *visible)
    elif dots:
        output = (*visible, *hidden)
    else:
        output = visible
    if bias_axes:
        unknown = [letter for letter in bias_axes if letter not in named_out]
        if unknown:
            raise ValueError(
                f"EinsumDense: bias_axes={bias_axes!r} names {unknown[0]!r}, which {equation!r} has not in its "
                "output."
            )
        first = min(named_out.index(letter) for letter in bias_axes)
        bias = tuple(sizes[letter] if letter in bias_axes else 1 for letter in named_out[first:])
        if dots and not after.startswith("..."):
            bias += (1,) * elided
    else:
        bias = None
    return {
        "kernel": tuple(sizes[letter] for letter in kernel),
        "bias": bias,
        "output": output,
        "input_axes": [i for i, letter in enumerate(kernel) if letter in named],
        "output_axes": [i for i, letter in enumerate(kernel) if letter in named_out and letter not in named],
    }
