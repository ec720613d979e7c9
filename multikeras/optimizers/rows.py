"""Rows of variables: what an update rule reads and writes where a gradient is about few rows of a large table."""

from typing import Any

from multikeras import ops
from multikeras.backend import current


class Rows:
    """Some rows of a Variable: to an update rule a variable of its own, whose changes are added to the whole.

    Args:
        optimizer: Writes the variable.
        variable: The whole.
        indices: Int tensor (n,) of rows; one that is there again has the gradient 0 then.
    """

    def __init__(self, optimizer: Any, variable: Any, indices: Any):
        self.optimizer, self.variable, self.indices = optimizer, variable, indices
        self.dtype = variable.dtype
        self.value = current.stop_gradient(ops.take(variable, indices, axis=0))

    def of(self, slot: Any) -> "Rows":
        """Return the same rows of another variable."""
        return Rows(self.optimizer, slot, self.indices)

    def assign(self, value: Any) -> None:
        """Write the rows; all others stay as they are."""
        self.optimizer.assign_sub(self.variable, sparse_rows(self.indices, self.value - value, self.variable))
        self.value = value


def rows_of(gradient: Any, distinct: bool = True) -> Any:
    """Return indices and values of a gradient made of rows, None for any other.

    If `distinct`, values of an index that comes again are zeros, else they are to be added.
    """
    parts = current.sparse_parts(gradient, distinct) if current.supports_sparse and current.is_sparse(gradient) else None
    return (parts[0][:, 0], parts[1]) if parts is not None and parts[0].shape[1] == 1 < len(parts[2]) else None


def sparse_rows(indices: Any, values: Any, variable: Any) -> Any:
    """Return rows of a variable as a sparse tensor of its shape."""
    return current.sparse(ops.expand_dims(indices, 1), values, variable.shape)


def parted(gradients: list, variables: list) -> tuple[list, list, list]:
    """Return gradients that are not made of few rows, their variables, and the other pairs of gradient and variable."""
    pairs = list(zip(gradients, variables))
    few = [_is_few_rows(g, v) for g, v in pairs]
    dense = [pair for pair, rows in zip(pairs, few) if not rows]
    return [g for g, _ in dense], [v for _, v in dense], [pair for pair, rows in zip(pairs, few) if rows]


def _is_few_rows(gradient: Any, variable: Any) -> bool:
    """Tell whether a gradient names no more rows than there are, or an unknown number."""
    rows = rows_of(gradient, distinct=False)
    return rows is not None and (rows[0].shape[0] is None or rows[0].shape[0] <= variable.shape[0])


def whole(gradients: list) -> list:
    """Return gradients with dense tensors in place of sparse ones."""
    if not current.supports_sparse:
        return gradients
    return [current.asarray(g) if current.is_sparse(g) else g for g in gradients]
