"""How a dense layer lays out its product: which axes of the kernel are summed over, where its columns go in the output."""

import functools
import math
import string
from typing import Any

from multikeras import ops


class Matrix:
    """The product of `Dense`: the last axis of inputs with the first of the kernel."""

    def __init__(self, shape: tuple):
        self.shape = tuple(shape)
        self.rows, self.columns = self.shape
        self.summed_inputs: Any = -1
        self.summed_kernel: Any = 0
        self.scale_shape: tuple = (self.columns,)

    def product(self, x: Any, kernel: Any) -> Any:
        """Multiply."""
        return ops.matmul(x, kernel)

    def slope(self, upstream: Any, kernel: Any, x: Any) -> Any:
        """Return the gradient of the product with respect to the inputs."""
        return ops.matmul(upstream, ops.transpose(kernel))

    def low_rank(self, x: Any, a: Any, b: Any) -> Any:
        """Multiply by the product of two thin matrices."""
        return ops.matmul(ops.matmul(x, a), b)

    def scale_of_kernel(self, scale: Any) -> Any:
        """Return a scale that kept the summed axes as it fits the output."""
        return ops.reshape(scale, self.scale_shape)

    def scale_of_inputs(self, scale: Any) -> Any:
        """Return a scale of inputs that kept the summed axes as it fits the output."""
        return scale

    def scale_in_kernel(self, scale: Any) -> Any:
        """Return a scale that fits the output as it fits the kernel."""
        return scale

    def as_matrix(self) -> tuple[int, int]:
        """Return how many inputs and outputs the kernel has as a matrix: its largest axis is a side, or part of the first.

        >>> [einsum("abc,cde->abde", 3, shape).as_matrix() for shape in ((64, 4, 16), (4, 16, 64))]
        [(64, 64), (64, 64)]
        """
        shape = self.shape
        if len(shape) == 2 or shape[0] == max(shape):
            return shape[0], math.prod(shape[1:])
        return math.prod(shape[:-1]), shape[-1]

    def rows_of(self, x: Any) -> Any:
        """Return inputs as rows of what `as_matrix` counts as inputs; None if the product is of another form."""
        return ops.reshape(x, (-1, self.rows))

    def at(self, x: Any) -> "Matrix":
        """Return the geometry for inputs such as `x`."""
        return self


class Einsum(Matrix):
    """The product of `EinsumDense`: whatever its equation says."""

    def __init__(self, equation: str, rank: int, shape: tuple):
        self.equation, self.shape = equation, tuple(shape)
        self.x, self.k, self.y = letters(equation, rank)
        axes = range(len(self.k))
        self.summed_inputs = tuple(i for i, letter in enumerate(self.x) if letter not in self.y)
        self.summed_kernel = tuple(i for i in axes if self.k[i] not in self.y)
        self.kept = tuple(i for i in axes if self.k[i] in self.y)
        self.rows = math.prod(self.shape[i] for i in self.summed_kernel)
        self.columns = math.prod(self.shape[i] for i in self.kept)
        self.scale_shape = tuple(self.shape[self.k.index(c)] if c in self.k else 1 for c in self.y)

    def product(self, x, kernel):
        return ops.einsum(self.equation, x, kernel)

    def slope(self, upstream, kernel, x):
        # Axes of inputs that are in neither kernel nor output are summed over: all along them have the same slope.
        alone = "".join(letter for letter in self.x if letter not in self.k + self.y)
        ones = [ops.ones([x.shape[self.x.index(letter)] for letter in alone], ops.dtype(upstream))] if alone else []
        terms = ",".join([self.y, self.k, alone][: 2 + len(ones)])
        return ops.einsum(f"{terms}->{self.x}", upstream, kernel, *ones)

    def low_rank(self, x, a, b):
        return ops.einsum(self.equation, x, ops.matmul(a, b))

    def scale_of_kernel(self, scale):
        names = [self.k[i] for i in self.kept]
        scale = ops.reshape(scale, [self.shape[i] for i in self.kept])
        return ops.reshape(ops.transpose(scale, [names.index(c) for c in self.y if c in names]), self.scale_shape)

    def scale_in_kernel(self, scale):
        names = [c for c in self.y if c in self.k]
        scale = ops.reshape(scale, [self.shape[self.k.index(c)] for c in names])
        scale = ops.transpose(scale, [names.index(self.k[i]) for i in self.kept])
        return ops.expand_dims(scale, self.summed_kernel) if self.summed_kernel else scale

    def scale_of_inputs(self, scale):
        kept = [c for c in self.x if c in self.y]
        scale = ops.squeeze(scale, self.summed_inputs) if self.summed_inputs else scale
        scale = ops.transpose(scale, [kept.index(c) for c in self.y if c in kept])
        new = tuple(i for i, c in enumerate(self.y) if c not in kept)
        return ops.expand_dims(scale, new) if new else scale

    def rows_of(self, x):
        summed = [self.k[i] for i in self.summed_kernel]
        if self.as_matrix()[0] != self.rows or self.summed_kernel != tuple(range(len(summed))):
            return None
        if not all(letter in self.x for letter in summed):
            return None
        last = [self.x.index(letter) for letter in summed]
        first = [i for i in range(len(self.x)) if i not in last]
        return ops.reshape(ops.transpose(x, (*first, *last)), (-1, self.rows))

    def at(self, x):
        return einsum(self.equation, len(x.shape), self.shape)


einsum = functools.cache(Einsum)


def letters(equation: str, rank: int) -> tuple[str, str, str]:
    """Return the axes of inputs of `rank`, kernel and output, "..." spelled out.

    >>> letters("...b,bc->...c", 3)
    ('ADb', 'bc', 'ADc')
    """
    given, kernel, output = equation.replace(" ", "").replace("->", ",").split(",")
    free = [c for c in "A" + string.ascii_uppercase[3:] if c not in equation]
    hidden = "".join(free[: rank - len(given.replace("...", ""))]) if "..." in given else ""
    return given.replace("...", hidden), kernel, output.replace("...", hidden)
