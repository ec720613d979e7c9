"""`StackedRNNCells`: cells one on top of the other as one cell."""

from typing import Any

from multikeras import ops
from multikeras.core import serialization, tree
from multikeras.layers.layer import Layer


class StackedRNNCells(Layer):
    """Feed the output of each cell to the next, step by step.

    Args:
        cells: The cells, from the input upwards.

    Call arguments: `inputs`, `states` (a list with the states of each cell), `training`.

    >>> import multikeras
    >>> cells = [multikeras.layers.LSTMCell(3), multikeras.layers.GRUCell(2)]
    >>> multikeras.layers.RNN(cells)(multikeras.ops.ones((2, 5, 4))).shape == (2, 2)
    True
    """

    def __init__(self, cells: list, **kwargs: Any):
        super().__init__(**kwargs)
        for cell in cells:
            if not hasattr(cell, "call") or not hasattr(cell, "state_size"):
                raise ValueError(
                    f"StackedRNNCells: every cell must have `call` and `state_size`, got {cell!r} in "
                    f"cells={cells}."
                )
        self.cells = list(cells)

    @property
    def state_size(self) -> list:
        """The state sizes of each cell."""
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self):
        """The output size of the last cell."""
        last = self.cells[-1]
        if getattr(last, "output_size", None) is not None:
            return last.output_size
        return last.state_size[0] if isinstance(last.state_size, (list, tuple)) else last.state_size

    def get_initial_state(self, batch_size=None):
        """Return the first states of each cell."""
        return [initial_state(cell, batch_size, self.compute_dtype) for cell in self.cells]

    def build(self, input_shape):
        for cell in self.cells:
            if isinstance(cell, Layer) and not cell.built:
                cell.build(input_shape)
                cell.built = True
            size = getattr(cell, "output_size", None)
            if size is None:
                size = cell.state_size[0] if isinstance(cell.state_size, (list, tuple)) else cell.state_size
            input_shape = (input_shape[0], *(size if isinstance(size, (list, tuple)) else (size,)))

    def call(self, inputs, states, training=False, **kwargs):
        after = []
        for cell, state in zip(self.cells, states, strict=True):
            nested = tree.is_nested(state)
            more = {"training": training} if isinstance(cell, Layer) and cell._plan.takes_training else {}
            inputs, new = cell(inputs, list(state) if nested else [state], **more, **kwargs)
            after.append(new if nested or not tree.is_nested(new) else new[0])
        return inputs, after

    def get_config(self):
        cells = [serialization.serialize_keras_object(cell) for cell in self.cells]
        return {**super().get_config(), "cells": cells}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        cells = [serialization.deserialize_keras_object(c, custom_objects) for c in config.pop("cells")]
        return cls(cells, **config)


def initial_state(cell: Any, batch_size: Any, dtype: str) -> Any:
    """Return the first states of a cell: what it says, else zeros."""
    if hasattr(cell, "get_initial_state"):
        return cell.get_initial_state(batch_size=batch_size)
    if isinstance(cell.state_size, int):
        return ops.zeros((batch_size, cell.state_size), dtype=dtype)
    return [ops.zeros((batch_size, size), dtype=dtype) for size in cell.state_size]
