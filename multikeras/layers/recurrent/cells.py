"""`SimpleRNNCell`, `LSTMCell`, `GRUCell`: one step of a recurrent layer."""

from typing import Any

from multikeras import activations, initializers, ops, random
from multikeras.layers._arguments import keep, number, positive, weight
from multikeras.layers.layer import Layer
from multikeras.ops import recurrent
from multikeras.random.seed_generator import SeedGenerator


class DropoutRNNCell:
    """Gives a cell masks for inputs and states that stay the same for all steps of a sequence.

    The cell has `dropout`, `recurrent_dropout` and `seed_generator`.
    """

    _dropout_mask: Any = None
    _recurrent_dropout_mask: Any = None

    def get_dropout_mask(self, step_input):
        """Return the mask of the inputs, drawn at the first step; None without dropout."""
        if self._dropout_mask is None and self.dropout > 0:
            self._dropout_mask = self._drawn(step_input, self.dropout)
        return self._dropout_mask

    def get_recurrent_dropout_mask(self, step_input):
        """Return the mask of the states, drawn at the first step; None without dropout."""
        if self._recurrent_dropout_mask is None and self.recurrent_dropout > 0:
            self._recurrent_dropout_mask = self._drawn(step_input, self.recurrent_dropout)
        return self._recurrent_dropout_mask

    def _drawn(self, like, rate):
        return random.dropout(ops.ones_like(like), rate=rate, seed=self.seed_generator)

    def reset_dropout_mask(self):
        """Forget the mask of the inputs."""
        self._dropout_mask = None

    def reset_recurrent_dropout_mask(self):
        """Forget the mask of the states."""
        self._recurrent_dropout_mask = None


class GatedCell(DropoutRNNCell, Layer):
    """What the cells share: weights for `gates` gates side by side, dropout, zeros as first states."""

    gates = 1

    def _set_up(self, arguments: dict) -> None:
        arguments = {k: v for k, v in arguments.items() if k not in ("dropout", "recurrent_dropout")}
        keep(self, arguments)
        positive(self, "units", self.units)
        self.state_size: Any = self.units
        self.output_size = self.units
        self.seed_generator = SeedGenerator(self.seed)

    def _clip_dropout(self, dropout: float, recurrent_dropout: float) -> None:
        self.dropout = min(1.0, max(0.0, number(self, "dropout", dropout)))
        self.recurrent_dropout = min(1.0, max(0.0, number(self, "recurrent_dropout", recurrent_dropout)))

    def build(self, input_shape):
        features = input_shape[-1]
        if features is None:
            raise ValueError(
                f"{type(self).__name__} {self.name!r}: the features of its input must be known, got shape "
                f"{input_shape}."
            )
        self.kernel = weight(self, "kernel", (features, self.gates * self.units))
        shape = (self.units, self.gates * self.units)
        self.recurrent_kernel = weight(self, "recurrent_kernel", shape, kind="recurrent")
        self.bias = self._build_bias() if self.use_bias else None

    def _build_bias(self):
        return weight(self, "bias", (self.gates * self.units,))

    def call(self, inputs, states, training=False):
        states = list(states) if isinstance(states, (list, tuple)) else [states]
        if training and self.dropout > 0:
            inputs = inputs * self.get_dropout_mask(inputs)
        if training and self.recurrent_dropout > 0:
            states[0] = states[0] * self.get_recurrent_dropout_mask(states[0])
        output, _, after = self.over_time(ops.expand_dims(inputs, 1), states)
        return output, after

    def over_time(self, x, states, **how):
        """Run over (batch, steps, features); return the last output, all outputs or None, the states."""
        raise NotImplementedError(f"{type(self).__name__} must define over_time().")

    def get_initial_state(self, batch_size=None):
        """Return zeros for each state."""
        sizes = self.state_size if isinstance(self.state_size, (list, tuple)) else [self.state_size]
        dtype = self.compute_dtype
        return [ops.zeros((batch_size, size), dtype=dtype) for size in sizes]


def unless(standard: Any, function: Any) -> Any:
    """Return None where `function` is the standard one: loops over time have it fused."""
    return None if function is standard else function


class SimpleRNNCell(GatedCell):
    """One step of `SimpleRNN`: `activation(inputs @ kernel + bias + state @ recurrent_kernel)`.

    Args:
        units: Size of output and state.
        activation: Function or its name.
        use_bias: Whether there is a bias.
        dropout, recurrent_dropout: Shares of inputs and of states to drop in training.
        seed: Where the draws start.

    Call arguments: `inputs` (batch, features), `states`, `training`. Returns output and states.

    >>> import multikeras
    >>> cell, x = multikeras.layers.SimpleRNNCell(3), multikeras.ops.ones((2, 4))
    >>> cell(x, cell.get_initial_state(2))[0].shape == (2, 3)
    True
    """

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self._set_up(locals())
        self._clip_dropout(dropout, recurrent_dropout)

    def call(self, sequence, states, training=False):
        output, after = super().call(sequence, states, training)
        return output, after if isinstance(states, (list, tuple)) else after[0]

    def over_time(self, x, states, **how):
        return recurrent.simple_rnn(
            x, states[0], self.kernel, self.recurrent_kernel, self.bias,
            activation=unless(activations.tanh, self.activation), **how,
        )  # fmt: skip


class LSTMCell(GatedCell):
    """One step of `LSTM`. States: output and memory.

    Args:
        units: Size of output and states.
        activation, recurrent_activation: Functions or their names, of candidate and output, and of the gates.
        use_bias: Whether there is a bias.
        unit_forget_bias: Whether the bias of the forget gate starts at 1.
        dropout, recurrent_dropout: Shares of inputs and of states to drop in training.
        seed: Where the draws start.

    Call arguments: `inputs` (batch, features), `states`, `training`. Returns output and states.

    >>> import multikeras
    >>> cell, x = multikeras.layers.LSTMCell(3), multikeras.ops.ones((2, 4))
    >>> cell(x, cell.get_initial_state(2))[0].shape == (2, 3)
    True
    """

    gates = 4

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ):
        self.implementation = kwargs.pop("implementation", 2)
        super().__init__(**kwargs)
        self._set_up(locals())
        self._clip_dropout(dropout, recurrent_dropout)
        self.state_size = [units, units]

    def _build_bias(self):
        return forget_bias(self, self.units)

    def over_time(self, x, states, **how):
        return recurrent.lstm(
            x, states[0], states[1], self.kernel, self.recurrent_kernel, self.bias,
            activation=unless(activations.tanh, self.activation),
            recurrent_activation=unless(activations.sigmoid, self.recurrent_activation), **how,
        )  # fmt: skip


def forget_bias(cell: Any, units: int) -> Any:
    """Add the bias of an LSTM; the forget gate's starts at 1 if `unit_forget_bias`."""
    initializer = cell.bias_initializer
    if cell.unit_forget_bias:
        own, ones = initializer, initializers.get("ones")

        def initializer(shape, dtype=None):
            parts = [own((units,), dtype=dtype), ones((units,), dtype=dtype), own((2 * units,), dtype=dtype)]
            return ops.concatenate(parts, axis=0)

    return cell.add_weight(
        name="bias", shape=(4 * units,), initializer=initializer, regularizer=cell.bias_regularizer,
        constraint=cell.bias_constraint,
    )  # fmt: skip


class GRUCell(GatedCell):
    """One step of `GRU`.

    Args:
        units: Size of output and state.
        activation, recurrent_activation: Functions or their names, of the candidate and of the gates.
        use_bias: Whether there is a bias.
        dropout, recurrent_dropout: Shares of inputs and of states to drop in training.
        reset_after: Whether the reset gate acts after the recurrent product (as in cuDNN) or before.
        seed: Where the draws start.

    Call arguments: `inputs` (batch, features), `states`, `training`. Returns output and states.

    >>> import multikeras
    >>> cell, x = multikeras.layers.GRUCell(3), multikeras.ops.ones((2, 4))
    >>> cell(x, cell.get_initial_state(2))[0].shape == (2, 3)
    True
    """

    gates = 3

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        reset_after: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ):
        self.implementation = kwargs.pop("implementation", 2)
        super().__init__(**kwargs)
        self._set_up(locals())
        self._clip_dropout(dropout, recurrent_dropout)

    def _build_bias(self):
        return weight(self, "bias", (2, 3 * self.units) if self.reset_after else (3 * self.units,))

    def call(self, inputs, states, training=False):
        output, after = super().call(inputs, states, training)
        return output, after if isinstance(states, (list, tuple)) else after[0]

    def over_time(self, x, states, **how):
        bias, recurrent_bias = self.bias, None
        if bias is not None and self.reset_after:
            bias, recurrent_bias = ops.unstack(bias, axis=0)
        return recurrent.gru(
            x, states[0], self.kernel, self.recurrent_kernel, bias, recurrent_bias,
            activation=unless(activations.tanh, self.activation),
            recurrent_activation=unless(activations.sigmoid, self.recurrent_activation),
            reset_after=self.reset_after, **how,
        )  # fmt: skip
