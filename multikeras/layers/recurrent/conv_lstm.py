"""`ConvLSTM1D` to `ConvLSTM3D`: an LSTM whose products are convolutions (Shi et al. 2015, arXiv:1506.04214)."""

from typing import Any

from multikeras import ops
from multikeras.backend import shapes
from multikeras.layers._arguments import channel_axis, keep, layout, one_of, positive, sizes, weight
from multikeras.layers.input_spec import InputSpec
from multikeras.layers.layer import Layer
from multikeras.layers.recurrent.cells import DropoutRNNCell, forget_bias
from multikeras.layers.recurrent.rnn import RNN
from multikeras.random.seed_generator import SeedGenerator


class ConvLSTMCell(DropoutRNNCell, Layer):
    """One step of a `ConvLSTM` over `rank` spatial dimensions; arguments as there."""

    def __init__(
        self,
        rank: int,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
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
        super().__init__(**kwargs)
        keep(self, locals())
        what = f"ConvLSTM{rank}D"
        positive(what, "filters", filters)
        self.kernel_size = sizes(what, "kernel_size", kernel_size, rank)
        self.strides = sizes(what, "strides", strides, rank)
        self.dilation_rate = sizes(what, "dilation_rate", dilation_rate, rank)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(f"{what}: strides={self.strides} and dilation_rate={self.dilation_rate} cannot both exceed 1.")
        self.padding = one_of(what, "padding", padding, ("valid", "same"))
        self.data_format = layout(self, data_format)
        self.dropout, self.recurrent_dropout = min(1.0, max(0.0, dropout)), min(1.0, max(0.0, recurrent_dropout))
        self.input_spec = InputSpec(ndim=rank + 2)
        self.state_size = [filters, filters]
        self.seed_generator = SeedGenerator(seed)

    def build(self, inputs_shape, states_shape=None):
        axis = channel_axis(self.data_format)
        channels = inputs_shape[axis]
        if channels is None:
            raise ValueError(
                f"ConvLSTM{self.rank}D: the channels of its input must be known, got shape "
                f"{inputs_shape}."
            )
        self.input_spec = InputSpec(ndim=self.rank + 2, axes={axis: channels})
        filters = self.filters
        self.kernel = weight(self, "kernel", (*self.kernel_size, channels, 4 * filters))
        self.recurrent_kernel = weight(
            self, "recurrent_kernel", (*self.kernel_size, filters, 4 * filters), kind="recurrent"
        )
        self.bias = forget_bias(self, filters) if self.use_bias else None

    def call(self, inputs, states, training=False):
        h, c = states
        if training and self.dropout > 0:
            inputs = inputs * self.get_dropout_mask(inputs)
        if training and self.recurrent_dropout > 0:
            h = h * self.get_recurrent_dropout_mask(h)
        axis = channel_axis(self.data_format)
        z = ops.conv(inputs, self.kernel, self.strides, self.padding, self.data_format, self.dilation_rate)
        if self.bias is not None:
            ones = (1,) * self.rank
            shape = (1, *ones, 4 * self.filters) if axis == -1 else (1, 4 * self.filters, *ones)
            z = z + ops.reshape(self.bias, shape)
        z = z + ops.conv(h, self.recurrent_kernel, 1, "same", self.data_format)
        i, f, candidate, o = ops.split(z, 4, axis=axis)
        gate = self.recurrent_activation
        c = gate(f) * c + gate(i) * self.activation(candidate)
        h = gate(o) * self.activation(c)
        return h, [h, c]

    def state_shape(self, sizes_of_input) -> tuple:
        """Return the shape of a state for the sizes (batch, ...) of an input."""
        first = 1 if self.data_format == "channels_last" else 2
        spatial = [
            shapes.UNKNOWN if size is None else size
            for size in (
                shapes.window_size(s, k, stride, self.padding, d)
                for s, k, stride, d in zip(sizes_of_input[first:], self.kernel_size, self.strides, self.dilation_rate)
            )
        ]
        batch = sizes_of_input[0]
        return (batch, *spatial, self.filters) if first == 1 else (batch, self.filters, *spatial)


class ConvLSTM(RNN):
    """Run an LSTM over sequences of images, its products being convolutions.

    Args:
        filters: Channels of output and states.
        kernel_size, strides, dilation_rate: An int, or one for each spatial dimension.
        padding: "valid" or "same", of the convolution of the inputs.
        data_format: "channels_last" or "channels_first"; the setting's by default.
        activation, recurrent_activation: Functions or their names, of candidate and output, and of the gates.
        use_bias: Whether there is a bias.
        unit_forget_bias: Whether the bias of the forget gate starts at 1.
        dropout, recurrent_dropout: Shares of inputs and of states to drop in training.
        seed: Where the draws start.
        return_sequences, return_state, go_backwards, stateful: As for `RNN`.
    """

    rank: int
    not_in_config = ("cell",)
    also_in_config = ("activity_regularizer",)

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
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
        **kwargs: Any,
    ):
        arguments = locals()
        of_cell = {k: arguments[k] for k in _OF_CELL}
        shared = {"dtype": kwargs["dtype"]} if "dtype" in kwargs else {}
        cell = ConvLSTMCell(self.rank, **of_cell, **shared, name="conv_lstm_cell")
        super().__init__(
            cell, return_sequences, return_state, go_backwards, stateful, activity_regularizer=activity_regularizer,
            **kwargs,
        )  # fmt: skip
        self.input_spec = InputSpec(ndim=self.rank + 3)

    def build(self, sequences_shape, initial_state_shape=None):
        self._input_sizes = (sequences_shape[0], *sequences_shape[2:])
        super().build(sequences_shape, initial_state_shape)

    def call(self, sequences, initial_state=None, mask=None, training=False):
        batch, _, *rest = ops.shape(sequences)
        self._input_sizes = (batch, *rest)
        return super().call(sequences, initial_state, mask, training)

    def get_initial_state(self, batch_size):
        shape = self.cell.state_shape((batch_size, *self._input_sizes[1:]))
        return [ops.zeros(shape, dtype=self.compute_dtype) for _ in range(2)]


_OF_CELL = (
    "filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate", "activation",
    "recurrent_activation", "use_bias", "kernel_initializer", "recurrent_initializer", "bias_initializer",
    "unit_forget_bias", "kernel_regularizer", "recurrent_regularizer", "bias_regularizer", "kernel_constraint",
    "recurrent_constraint", "bias_constraint", "dropout", "recurrent_dropout", "seed",
)  # fmt: skip


def _of_cell(name: str) -> property:
    return property(lambda layer: getattr(layer.cell, name), doc=f"The cell's `{name}`.")


for _name in _OF_CELL:
    setattr(ConvLSTM, _name, _of_cell(_name))


class ConvLSTM1D(ConvLSTM):
    """Run an LSTM with convolutions over sequences (batch, steps, length, channels). Arguments as for `ConvLSTM2D`.

    >>> import multikeras
    >>> multikeras.layers.ConvLSTM1D(4, 3)(multikeras.ops.ones((2, 3, 6, 2))).shape == (2, 4, 4)
    True
    """

    rank = 1


class ConvLSTM2D(ConvLSTM):
    """Run an LSTM with convolutions over sequences of images (batch, steps, height, width, channels).

    Args:
        filters: Channels of output and states.
        kernel_size, strides, dilation_rate: An int, or one each for height and width.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first"; the setting's by default.
        activation, recurrent_activation: Functions or their names, of candidate and output, and of the gates.
        dropout, recurrent_dropout: Shares of inputs and of states to drop in training.
        return_sequences, return_state, go_backwards, stateful: As for `RNN`.

    >>> import multikeras
    >>> multikeras.layers.ConvLSTM2D(4, 3, padding="same")(multikeras.ops.ones((1, 2, 5, 5, 2))).shape == (1, 5, 5, 4)
    True
    """

    rank = 2


class ConvLSTM3D(ConvLSTM):
    """Run an LSTM with convolutions over sequences of volumes. Arguments as for `ConvLSTM2D`.

    >>> import multikeras
    >>> multikeras.layers.ConvLSTM3D(2, 2)(multikeras.ops.ones((1, 2, 3, 3, 3, 2))).shape == (1, 2, 2, 2, 2)
    True
    """

    rank = 3
