"""`RNN`: a cell run over time."""

from typing import Any

from multikeras import ops
from multikeras.backend import current
from multikeras.backend.shapes import Spec
from multikeras.core import tree
from multikeras.core.variable import Variable
from multikeras.layers._arguments import keep
from multikeras.layers._call import in_dtype
from multikeras.layers.input_spec import InputSpec
from multikeras.layers.layer import Layer
from multikeras.layers.recurrent.cells import DropoutRNNCell
from multikeras.layers.recurrent.stacked import StackedRNNCells, initial_state
from multikeras.ops import recurrent


class RNN(Layer):
    """Run a cell over the steps of sequences.

    Args:
        cell: A layer with `state_size` whose `call(inputs, states)` returns output and new states; or a list of them.
        return_sequences: Whether to return the output of every step, not only the last.
        return_state: Whether to return the last states as well.
        go_backwards: Whether to go from the last step to the first; outputs come in that order.
        stateful: Whether a batch starts from the states that the one before ended with.
        unroll: Whether to write the steps out instead of looping.
        zero_output_for_mask: Whether masked steps output zeros instead of the output before.

    Call arguments: `sequences` (batch, steps, ...); `initial_state`, a state or a list of them; `mask` (batch, steps);
    `training`.

    >>> import multikeras
    >>> multikeras.layers.RNN(multikeras.layers.LSTMCell(3))(multikeras.ops.ones((2, 5, 4))).shape == (2, 3)
    True
    """

    takes_sparse = False

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        **kwargs: Any,
    ):
        if isinstance(cell, (list, tuple)):
            cell = StackedRNNCells(cell)
        for attribute, what in (("call", "a `call` method"), ("state_size", "an attribute `state_size`")):
            if not hasattr(cell, attribute):
                raise ValueError(f"{type(self).__name__}: the RNN cell should have {what}, got cell={cell!r}.")
        super().__init__(**kwargs)
        keep(self, locals())
        self.supports_masking = True
        self.input_spec = InputSpec(min_ndim=2)
        self.states: Any = None

    @property
    def single_state(self) -> bool:
        """Whether the cell has one state."""
        return isinstance(self.cell.state_size, int)

    @property
    def state_size(self) -> list:
        """The sizes of the states."""
        size = self.cell.state_size
        return [size] if isinstance(size, int) else list(size)

    def build(self, sequences_shape, initial_state_shape=None):
        if isinstance(self.cell, Layer) and not self.cell.built:
            self.cell.build((sequences_shape[0], *sequences_shape[2:]))
            self.cell.built = True
        if self.stateful:
            if sequences_shape[0] is None:
                raise ValueError(
                    f"{type(self).__name__} {self.name!r}: a stateful layer needs a known batch size, got shape "
                    f"{sequences_shape}."
                )
            states = self.get_initial_state(sequences_shape[0])
            states = tree.map_structure(
                lambda s: Variable(s, trainable=False, dtype=self.variable_dtype, name="rnn_state"), states
            )
            object.__setattr__(self, "states", states)  # no weights

    def get_initial_state(self, batch_size):
        """Return the first states of a batch: what the cell says, else zeros."""
        states = initial_state(self.cell, batch_size, self.compute_dtype)
        return list(states) if tree.is_nested(states) else [states]

    def reset_state(self):
        """Set the states of a stateful layer to zero."""
        for state in tree.flatten(self.states) if self.states is not None else ():
            state.assign(ops.zeros_like(state))

    reset_states = reset_state

    def call(self, sequences, initial_state=None, mask=None, training=False):
        states = self._first_states(sequences, initial_state)
        mask = mask[0] if isinstance(mask, list) else mask
        if self.unroll and sequences.shape[1] is None:
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: unroll=True needs a known number of steps, got shape "
                f"{sequences.shape}."
            )
        last, outputs, states = self.inner_loop(sequences, states, mask, training)
        dtype = self.compute_dtype
        last = in_dtype(last, dtype)
        if self.stateful or self.return_state:
            states = tree.map_structure(lambda s: in_dtype(s, dtype), states)
        if self.stateful:
            for variable, value in zip(tree.flatten(self.states), tree.flatten(states)):
                variable.assign(ops.cast(value, variable.dtype))
        output = in_dtype(outputs, dtype) if self.return_sequences else last
        return (output, *states) if self.return_state else output

    def _first_states(self, sequences, given):
        if given is not None:
            states = list(given) if isinstance(given, (list, tuple)) else [given]
            self._check_given(states)
        elif self.stateful:
            # Copies: the variables are written before a backward pass has read what they hold.
            states = tree.map_structure(lambda s: current.copy_tensor(s.value), self.states)
            expected = tree.flatten(self.states)[0].shape[0]
            if sequences.shape[0] not in (expected, None):
                raise ValueError(
                    f"{type(self).__name__} {self.name!r}: a stateful layer takes batches of one size. Expected "
                    f"{expected}, got inputs of shape {tuple(sequences.shape)}."
                )
        else:
            states = self.get_initial_state(ops.shape(sequences)[0])
        dtype = self.compute_dtype
        if type(states) is list and not any(map(tree.is_nested, states)):
            return [in_dtype(s, dtype) for s in states]
        return tree.map_structure(lambda s: in_dtype(s, dtype), states)

    def _check_given(self, states):
        sizes = self.state_size
        found = [tuple(s.shape) if hasattr(s, "shape") else s for s in states]
        fit = len(states) == len(sizes) and all(
            s[-1] in (size, None) for s, size in zip(found, sizes) if isinstance(size, int) and isinstance(s, tuple) and s
        )
        if not fit:
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: initial_state must be {len(sizes)} tensor(s), one for each of the "
                f"state sizes {sizes}, got {len(states)} of shapes {found}."
            )

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Return the last output, all outputs or None, and the last states."""
        states = initial_state if tree.is_nested(initial_state) else [initial_state]
        takes_training = isinstance(self.cell, Layer) and self.cell._plan.takes_training
        more = {"training": training} if takes_training else {}
        self._draw_dropout(self.cell, sequences[:, 0], states, training)
        single = self.single_state

        def step(x, states):
            output, after = self.cell(x, states, **more)
            return output, after if isinstance(after, (list, tuple)) or not single else [after]

        output = None
        if mask is not None:
            spec = step(*tree.map_structure(lambda t: Spec(t.shape, ops.dtype(t)), (sequences[:, 0], states)))[0]
            batch = ops.shape(sequences)[0]
            output = ops.zeros((batch, *spec.shape[1:]), dtype=spec.dtype)
        try:
            return recurrent.rnn(
                sequences, states, step, mask=mask, output=output, reverse=self.go_backwards,
                sequences=self.return_sequences, zero_masked=self.zero_output_for_mask, unroll=self.unroll,
            )  # fmt: skip
        finally:
            self._forget_dropout(self.cell)

    def _draw_dropout(self, cell, x, states, training):
        """Draw the masks before the loop, so that they are the same in each step."""
        if isinstance(cell, DropoutRNNCell) and training:
            cell.get_dropout_mask(x)
            cell.get_recurrent_dropout_mask(tree.flatten(states)[0])
        elif isinstance(cell, StackedRNNCells):
            for i, (inner, state) in enumerate(zip(cell.cells, states)):
                self._draw_dropout(inner, x, state, training)
                if i + 1 < len(cell.cells):
                    x = tree.flatten(state)[0]

    def _forget_dropout(self, cell):
        for inner in getattr(cell, "cells", [cell]):
            if isinstance(inner, DropoutRNNCell):
                inner.reset_dropout_mask()
                inner.reset_recurrent_dropout_mask()

    def compute_mask(self, sequences, mask=None):
        mask = tree.flatten(mask)[0]
        output = mask if self.return_sequences else None
        return [output] + [None] * len(self.state_size) if self.return_state else output
