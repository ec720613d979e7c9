"""`SimpleRNN`, `LSTM`, `GRU`: cells over time, the product of inputs and kernel taken for all steps at once."""

from typing import Any

from multikeras import ops
from multikeras.core import naming
from multikeras.layers._arguments import one_of
from multikeras.layers.input_spec import InputSpec
from multikeras.layers.recurrent.cells import GRUCell, LSTMCell, SimpleRNNCell
from multikeras.layers.recurrent.rnn import RNN


class Gated(RNN):
    """What the three share: the arguments of the cell are also the layer's, and loops that know the cell."""

    not_in_config = ("cell", "use_cudnn")
    also_in_config = ("activity_regularizer",)
    use_cudnn: Any = "auto"

    def _with_cell(self, arguments: dict, kwargs: dict, cell_class: type) -> None:
        """Make the cell of the constructor's arguments and set up the RNN with it."""
        of_layer = ("self", "kwargs", "__class__", "activity_regularizer", "use_cudnn")
        of_cell = {k: v for k, v in arguments.items() if k not in (*of_layer, *_LOOP)}
        if "use_cudnn" in arguments:
            one_of(type(self).__name__, "use_cudnn", arguments["use_cudnn"], ("auto", True, False))
        kwargs.pop("implementation", None)
        shared = {"dtype": kwargs["dtype"]} if "dtype" in kwargs else {}
        # Not counted up: the cell's name is part of the paths of the weights.
        name = naming.to_snake_case(cell_class.__name__)
        cell = cell_class(**of_cell, **shared, trainable=kwargs.get("trainable", True), name=name)
        loop = {k: arguments[k] for k in _LOOP if k in arguments}
        super().__init__(cell, **loop, activity_regularizer=arguments["activity_regularizer"], **kwargs)
        self.input_spec = InputSpec(ndim=3)

    def inner_loop(self, sequences, initial_state, mask, training=False):
        cell = self.cell
        if training and cell.recurrent_dropout > 0:
            return super().inner_loop(sequences, initial_state, mask, training)
        if training and cell.dropout > 0:
            sequences = sequences * ops.expand_dims(cell.get_dropout_mask(sequences[:, 0]), 1)
            cell.reset_dropout_mask()
        return cell.over_time(
            sequences, initial_state, mask=mask, reverse=self.go_backwards, sequences=self.return_sequences,
            zero_masked=self.zero_output_for_mask, unroll=self.unroll,
        )  # fmt: skip


_LOOP = ("return_sequences", "return_state", "go_backwards", "stateful", "unroll")
_OF_CELL = (
    "units", "activation", "recurrent_activation", "use_bias", "kernel_initializer", "recurrent_initializer",
    "bias_initializer", "unit_forget_bias", "kernel_regularizer", "recurrent_regularizer", "bias_regularizer",
    "kernel_constraint", "recurrent_constraint", "bias_constraint", "dropout", "recurrent_dropout", "reset_after",
    "seed",
)  # fmt: skip


def _of_cell(name: str) -> property:
    return property(lambda layer: getattr(layer.cell, name), doc=f"The cell's `{name}`.")


for _name in _OF_CELL:
    setattr(Gated, _name, _of_cell(_name))


class SimpleRNN(Gated):
    """Run `state = activation(x[t] @ kernel + bias + state @ recurrent_kernel)` over time.

    Args:
        units: Size of output and state.
        activation: Function or its name.
        use_bias: Whether there is a bias.
        dropout, recurrent_dropout: Shares of inputs and of states to drop in training, the same in all steps.
        return_sequences, return_state, go_backwards, stateful, unroll: As for `RNN`.
        seed: Where the draws start.

    >>> import multikeras
    >>> multikeras.layers.SimpleRNN(3, return_sequences=True)(multikeras.ops.ones((2, 5, 4))).shape == (2, 5, 3)
    True
    """

    not_in_config = ("cell", "seed")

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
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ):
        self._with_cell(locals(), kwargs, SimpleRNNCell)


class LSTM(Gated):
    """Run a long short-term memory over time (Hochreiter and Schmidhuber 1997).

    Args:
        units: Size of output and states.
        activation, recurrent_activation: Functions or their names, of candidate and output, and of the gates.
        use_bias: Whether there is a bias.
        unit_forget_bias: Whether the bias of the forget gate starts at 1.
        dropout, recurrent_dropout: Shares of inputs and of states to drop in training, the same in all steps.
        return_sequences, return_state, go_backwards, stateful, unroll: As for `RNN`.
        use_cudnn: "auto", True or False; accepted, the backend's fused kernel is used where it can be.
        seed: Where the draws start.

    >>> import multikeras
    >>> output, h, c = multikeras.layers.LSTM(3, return_state=True)(multikeras.ops.ones((2, 5, 4)))
    >>> output.shape == h.shape == c.shape == (2, 3)
    True
    """

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
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        use_cudnn: Any = "auto",
        **kwargs: Any,
    ):
        self._with_cell(locals(), kwargs, LSTMCell)
        self.use_cudnn = use_cudnn


class GRU(Gated):
    """Run a gated recurrent unit over time (Cho et al. 2014, arXiv:1406.1078).

    Args:
        units: Size of output and state.
        activation, recurrent_activation: Functions or their names, of the candidate and of the gates.
        use_bias: Whether there is a bias.
        dropout, recurrent_dropout: Shares of inputs and of states to drop in training, the same in all steps.
        return_sequences, return_state, go_backwards, stateful, unroll: As for `RNN`.
        reset_after: Whether the reset gate acts after the recurrent product (as in cuDNN) or before.
        use_cudnn: "auto", True or False; accepted, the backend's fused kernel is used where it can be.
        seed: Where the draws start.

    >>> import multikeras
    >>> multikeras.layers.GRU(3, go_backwards=True)(multikeras.ops.ones((2, 5, 4))).shape == (2, 3)
    True
    """

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
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        reset_after: bool = True,
        use_cudnn: Any = "auto",
        **kwargs: Any,
    ):
        self._with_cell(locals(), kwargs, GRUCell)
        self.use_cudnn = use_cudnn
