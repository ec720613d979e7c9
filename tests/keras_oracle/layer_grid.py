"""The layers compared with Keras: class, constructor arguments, input shapes, call arguments."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

FORMATS = ("channels_last", "channels_first")


@dataclass(frozen=True)
class Part:
    """A layer among the arguments of another."""

    layer: str
    args: tuple = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    def __repr__(self):
        return f"{self.layer}({','.join([*map(repr, self.args), *(f'{k}={v!r}' for k, v in self.kwargs.items())])})"


def part(layer, /, *args, **kwargs):
    return Part(layer, args, kwargs)


@dataclass(frozen=True)
class Case:
    """One layer with its arguments and inputs; `inputs` is a shape, a list of shapes, or a tuple of shapes by position."""

    layer: str
    args: tuple = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    inputs: Any = (2, 5, 6)
    call: dict[str, Any] = field(default_factory=dict)
    dtype: str | None = None

    def make(self, layers, **more):
        """Return the layer of a package's namespace `layers`."""

        def made(x):
            if isinstance(x, Part):
                return getattr(layers, x.layer)(*map(made, x.args), **{k: made(v) for k, v in x.kwargs.items()})
            return [made(one) for one in x] if isinstance(x, list) else x

        return made(Part(self.layer, self.args, {**self.kwargs, **more}))

    def __str__(self):
        given = [*map(_shown, self.args), *(f"{k}={_shown(v)}" for k, v in {**self.kwargs, **self.call}.items())]
        return f"{self.layer}({','.join(given)})".replace(" ", "").replace("'", "")


def _shown(value):
    return getattr(value, "__name__", None) or repr(value)


def case(layer, /, *args, inputs=(2, 5, 6), call=None, dtype=None, **kwargs):
    return Case(layer, args, kwargs, inputs, call or {}, dtype)


def double(x):
    return x * 2.0


def passed_on(inputs, mask=None):
    return mask


def _core():
    yield case("Dense", 4, inputs=(2, 6))
    yield case("Embedding", 10, 3, mask_zero=True, inputs=(2, 4), dtype="int32")
    yield case("ReversibleEmbedding", 10, 3, inputs=(2, 4), dtype="int32", mask_zero=True)
    yield case("ReversibleEmbedding", 10, 3, inputs=(2, 4, 3), call={"reverse": True}, logit_soft_cap=2.0)
    yield case("ReversibleEmbedding", 10, 3, tie_weights=False, inputs=(2, 4, 3), call={"reverse": True},
               reverse_dtype="float32")  # fmt: skip
    yield case("Lambda", double)
    yield case("Lambda", double, output_shape=(5, 6), arguments={}, mask=passed_on)
    yield case("Dense", 4, activation="relu", use_bias=False)
    yield case("EinsumDense", "abc,cd->abd", (5, 4), bias_axes="d")
    yield case("EinsumDense", "...c,cde->...de", (3, 4), bias_axes="de", activation="tanh")
    yield case("EinsumDense", "bc...,cd->bd...", (4,), bias_axes="d")
    yield case("Embedding", 10, 3, inputs=(2, 4), dtype="int32")
    yield case("ReversibleEmbedding", 10, 3, tie_weights=False, inputs=(2, 4), dtype="int32")
    # Where Keras takes lora_alpha of Dense and Embedding for the rank, whatever is given, it is given as the rank here.
    yield case("Dense", 4, lora_rank=2, lora_alpha=2.0)
    yield case("EinsumDense", "abc,cd->abd", (5, 4), lora_rank=2, lora_alpha=4.0)
    yield case("Embedding", 10, 3, lora_rank=2, lora_alpha=2.0, inputs=(2, 4), dtype="int32")
    yield case("Masking", 0.5)
    yield case("Identity")
    for name in ("relu", "softmax", "gelu", "selu", "linear"):
        yield case("Activation", name)
    yield case("ReLU", max_value=0.5, negative_slope=0.1, threshold=0.2)
    yield case("LeakyReLU")
    yield case("LeakyReLU", 0.1)
    yield case("ReLU")
    yield case("PReLU")
    yield case("ELU", 0.5)
    yield case("PReLU", shared_axes=[1], alpha_initializer="ones")
    yield case("Softmax")
    yield case("Softmax", 1)


def _convolutions():
    for data_format in FORMATS:
        for padding in ("valid", "same"):
            for strides, dilation in ((1, 1), (2, 1), (1, 2)):
                how = {"data_format": data_format, "padding": padding, "strides": strides, "dilation_rate": dilation}
                yield case("Conv1D", 4, 3, **how, inputs=(2, 8, 6))
                yield case("Conv2D", 4, 3, **how, inputs=(2, 7, 8, 7))
                yield case("Conv1DTranspose", 4, 3, **how)
                yield case("Conv2DTranspose", 4, 3, **how, inputs=(2, 5, 6, 5))
                yield case("DepthwiseConv2D", 3, **how, depth_multiplier=2, inputs=(2, 7, 8, 7))
                yield case("SeparableConv1D", 4, 2, **how, depth_multiplier=2, inputs=(2, 7, 8))
    yield case("Conv1D", 4, 3, padding="causal", dilation_rate=2)
    yield case("Conv1D", 4, 3, groups=2, activation="relu", use_bias=False)
    yield case("Conv3D", 2, 2, strides=2, inputs=(1, 4, 5, 6, 3))
    yield case("Conv3DTranspose", 2, 2, strides=2, inputs=(1, 3, 3, 3, 2))
    yield case("Conv2DTranspose", 3, 3, strides=2, output_padding=1, inputs=(1, 4, 4, 3))
    yield case("Conv2D", 4, (3, 2), groups=2, activation="tanh", use_bias=False, inputs=(2, 5, 6, 4))
    yield case("Conv3D", 4, 2, padding="same", dilation_rate=2, groups=2, activation="elu", use_bias=False,
               inputs=(1, 4, 5, 4, 2))  # fmt: skip
    yield case("Conv3D", 2, 2, data_format="channels_first", inputs=(1, 3, 4, 4, 5))
    plain = {"activation": "softplus", "use_bias": False}
    yield case("Conv1DTranspose", 3, 3, strides=2, output_padding=1, **plain)
    yield case("Conv2DTranspose", 3, (2, 3), strides=(1, 2), **plain, inputs=(1, 4, 5, 3))
    yield case("Conv3DTranspose", 2, 2, padding="same", strides=2, output_padding=1, **plain, inputs=(1, 3, 2, 3, 2))
    yield case("Conv3DTranspose", 2, 2, 2, "same", "channels_first", 1, inputs=(1, 3, 2, 2, 2))
    yield case("Conv3DTranspose", 2, 3, data_format="channels_first", dilation_rate=2, inputs=(1, 2, 3, 2, 3))
    yield case("DepthwiseConv1D", 3, padding="same")
    yield case("DepthwiseConv1D", 3, strides=2, depth_multiplier=2, data_format="channels_first", **plain)
    yield case("DepthwiseConv1D", 2, dilation_rate=2)
    yield case("DepthwiseConv2D", (3, 2), **plain, inputs=(1, 5, 6, 2))
    yield case("SeparableConv1D", 4, 3, **plain)
    yield case("SeparableConv2D", 4, 3, inputs=(2, 5, 6, 3))
    yield case("SeparableConv2D", 4, 2, strides=2, padding="same", depth_multiplier=2, **plain, inputs=(2, 5, 6, 3))
    yield case("SeparableConv2D", 4, 2, dilation_rate=2, data_format="channels_first", inputs=(1, 3, 7, 8))


def _pooling():
    for rank in (1, 2, 3):
        for kind in ("Max", "Average"):
            for padding in ("valid", "same"):
                yield case(f"{kind}Pooling{rank}D", 2, padding=padding, inputs=(2, 7, 6, 5)[: rank + 1] + (3,))
                yield case(f"{kind}Pooling{rank}D", 3, padding=padding, strides=1, data_format="channels_first",
                           inputs=(2, 3) + (5,) * rank)  # fmt: skip
            yield case(f"Global{kind}Pooling{rank}D", inputs=(2,) + (4,) * rank + (3,))
            yield case(f"Global{kind}Pooling{rank}D", keepdims=True, data_format="channels_first",
                       inputs=(2, 3) + (4,) * rank)  # fmt: skip
            yield case(f"Adaptive{kind}Pooling{rank}D", 3, inputs=(2,) + (7,) * rank + (2,))
            yield case(f"Adaptive{kind}Pooling{rank}D", 2, data_format="channels_first", inputs=(2, 2) + (5,) * rank)


def _normalization():
    training = {"training": True}
    yield case("BatchNormalization")
    yield case("BatchNormalization", inputs=(4, 6), call=training)
    yield case("BatchNormalization", axis=1, center=False, momentum=0.9, inputs=(3, 4, 5), call=training)
    clipping = {"rmax": 1.2, "rmin": 0.5, "dmax": 0.3}
    yield case("BatchNormalization", renorm=True, renorm_momentum=0.8, renorm_clipping=clipping, inputs=(6, 4),
               call=training)  # fmt: skip
    yield case("BatchNormalization", scale=False, epsilon=0.1, call=training)
    yield case("BatchNormalization", synchronized=False, trainable=False, call=training)
    yield case("LayerNormalization")
    yield case("LayerNormalization", center=False, epsilon=0.1)
    yield case("LayerNormalization", axis=[1, 2], scale=False)
    yield case("LayerNormalization", 1)
    yield case("GroupNormalization", 2)
    yield case("GroupNormalization", -1, axis=1, inputs=(2, 4, 5, 6))
    yield case("GroupNormalization", 3, epsilon=0.1, center=False, scale=False)
    yield case("RMSNormalization")
    yield case("RMSNormalization", epsilon=0.1)
    yield case("RMSNormalization", (1, 2))
    yield case("UnitNormalization")
    yield case("UnitNormalization", (1, 2))
    yield case("Normalization")
    yield case("Normalization", (1, 2), invert=True)
    yield case("Normalization", None, mean=0.5, variance=2.0)
    yield case("Rescaling", 0.5)
    yield case("Rescaling", 2.0, offset=-1.0)
    for name in ("Dropout", "SpatialDropout1D", "GaussianNoise", "GaussianDropout", "AlphaDropout"):
        yield case(name, 0.5)
    yield case("SpatialDropout2D", 0.5, data_format="channels_first", inputs=(2, 3, 4, 5))
    yield case("SpatialDropout3D", 0.5, data_format="channels_first", inputs=(2, 3, 2, 2, 2))
    yield case("Dropout", 0.5, noise_shape=(2, 1, 6), seed=1)
    yield case("AlphaDropout", 0.5, noise_shape=(2, 1, 6), seed=1)
    yield case("ActivityRegularization", 0.1, 0.2)
    yield case("SpectralNormalization", part("Dense", 4), power_iterations=2, call=training)
    yield case("SpectralNormalization", part("Conv2D", 4, 2), inputs=(2, 4, 4, 3), call=training)
    yield case("SpectralNormalization", part("Dense", 4))


def _reshaping():
    yield case("Flatten")
    yield case("Flatten", data_format="channels_first", inputs=(2, 3, 4, 5))
    yield case("Reshape", (3, -1))
    yield case("Permute", (2, 1))
    yield case("RepeatVector", 3, inputs=(2, 4))
    yield case("Cropping1D", (1, 2))
    yield case("Cropping2D", ((1, 0), (2, 1)), inputs=(2, 4, 5, 3))
    yield case("Cropping3D", 1, data_format="channels_first", inputs=(1, 2, 4, 5, 6))
    yield case("ZeroPadding1D", 2)
    yield case("ZeroPadding2D", (1, 2), inputs=(2, 3, 4, 5))
    yield case("ZeroPadding3D", 1, inputs=(1, 2, 3, 4, 2))
    first = {"data_format": "channels_first"}
    yield case("Cropping2D", 1, **first, inputs=(2, 4, 5, 3))
    yield case("ZeroPadding1D", (1, 0), **first)
    yield case("ZeroPadding2D", ((1, 0), (2, 1)), **first, inputs=(2, 3, 4, 5))
    yield case("ZeroPadding3D", (1, 0, 2), **first, inputs=(1, 2, 3, 4, 2))
    yield case("UpSampling2D", 2, **first, inputs=(2, 3, 4, 2))
    yield case("UpSampling3D", (1, 2, 1), **first, inputs=(1, 2, 3, 2, 2))
    yield case("UpSampling1D", 3)
    yield case("UpSampling2D", (2, 3), inputs=(2, 3, 4, 2))
    yield case("UpSampling2D", 2, interpolation="bilinear", inputs=(2, 3, 4, 5))
    yield case("UpSampling3D", 2, inputs=(1, 2, 3, 2, 2))


def _merging():
    for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"):
        yield case(name, inputs=[(2, 5, 6), (2, 5, 6)])
    yield case("Add", inputs=[(2, 6), (2, 5, 6)])
    yield case("Concatenate", 1, inputs=[(2, 3, 6), (2, 5, 6)])
    yield case("Dot", (1, 2), inputs=[(2, 3, 4), (2, 5, 3)])
    yield case("Dot", -1, normalize=True, inputs=[(2, 4), (2, 4)])
    yield case("Dot", (2, 1), inputs=[(2, 3, 4, 6), (2, 4, 5)])


def _recurrent():
    for name in ("SimpleRNN", "LSTM", "GRU"):
        yield case(name, 3)
        yield case(name, 3, return_sequences=True, go_backwards=True)
        yield case(name, 3, return_sequences=True, return_state=True)
        yield case(name, 3, unroll=True, use_bias=False)
        yield case(name, 3, activation="relu")
    yield case("GRU", 3, reset_after=False)
    yield case("GRU", 3, reset_after=False, activation="elu", recurrent_activation="hard_sigmoid")
    yield case("LSTM", 3, unit_forget_bias=False, recurrent_activation="hard_sigmoid")
    yield case("ConvLSTM1D", 4, 3, return_sequences=True, inputs=(2, 3, 7, 2))
    yield case("ConvLSTM2D", 2, 3, padding="same", return_state=True, inputs=(2, 3, 5, 6, 2))
    yield case("ConvLSTM3D", 2, 2, inputs=(1, 2, 3, 3, 3, 2))


    kept = {"go_backwards": True, "return_state": True, "return_sequences": True}
    shaped = {"strides": 2, "padding": "same", "activation": "relu", "recurrent_activation": "hard_sigmoid"}
    for rank in (1, 2, 3):
        size = (5, 4, 3)[:rank]
        name = f"ConvLSTM{rank}D"
        yield case(name, 2, 2, **kept, **shaped, use_bias=False, inputs=(1, 2, *size, 2))
        yield case(name, 2, 2, data_format="channels_first", dilation_rate=2 if rank < 3 else 1, unit_forget_bias=False,
                   inputs=(1, 2, 2, *size))  # fmt: skip
        yield case(name, 2, 2, stateful=True, dropout=0.5, recurrent_dropout=0.5, inputs=(1, 2, *size, 2))
    for name in ("SimpleRNN", "LSTM", "GRU"):
        yield case(name, 3, stateful=True)
        yield case(name, 3, dropout=0.5, recurrent_dropout=0.5, seed=1)
        states = [(2, 3), (2, 3)] if name == "LSTM" else [(2, 3)]
        yield case(f"{name}Cell", 3, inputs=((2, 4), states))
        yield case(f"{name}Cell", 3, use_bias=False, activation="relu", dropout=0.5, recurrent_dropout=0.5, seed=1,
                   inputs=((2, 4), states))  # fmt: skip
    yield case("GRUCell", 3, reset_after=False, recurrent_activation="hard_sigmoid", inputs=((2, 4), [(2, 3)]))
    yield case("LSTMCell", 3, unit_forget_bias=False, recurrent_activation="tanh", inputs=((2, 4), [(2, 3)] * 2))
    cells = [part("LSTMCell", 3), part("GRUCell", 2)]
    yield case("StackedRNNCells", cells, inputs=((2, 4), [[(2, 3), (2, 3)], (2, 2)]))
    yield case("RNN", part("GRUCell", 3))
    yield case("RNN", cells, **kept, zero_output_for_mask=True)
    yield case("RNN", part("SimpleRNNCell", 3), stateful=True, unroll=True)
    for merge in ("concat", "sum", "mul", "ave", None):
        yield case("Bidirectional", part("LSTM", 3, return_sequences=True), merge)
    both = {"layer": part("GRU", 3, return_state=True), "backward_layer": part("GRU", 3, return_state=True, go_backwards=True)}
    yield case("Bidirectional", **both)
    yield case("TimeDistributed", part("Dense", 4))
    yield case("TimeDistributed", part("Conv1D", 4, 2), inputs=(2, 3, 5, 2))


def _attention():
    pair = [(2, 3, 4), (2, 5, 4)]
    yield case("Attention", inputs=pair)
    yield case("Attention", True, "concat", inputs=pair)
    scores = {"return_attention_scores": True}
    yield case("Attention", inputs=[(2, 5, 4), (2, 5, 4)], call={"use_causal_mask": True, **scores})
    yield case("AdditiveAttention", inputs=pair)
    yield case("AdditiveAttention", use_scale=False, dropout=0.5, inputs=pair)
    yield case("Attention", dropout=0.5, seed=1, inputs=pair)
    same = ((2, 5, 4), (2, 5, 4))
    for how in ({}, {"use_gate": True}, {"use_bias": False}, {"sliding_window": 2}):
        yield case("MultiHeadAttention", 2, 3, **how, inputs=same)
        yield case("GroupQueryAttention", 3, 4, 2, **how, inputs=same)
    quiet = {"dropout": 0.5, "flash_attention": False, "seed": 1}
    yield case("MultiHeadAttention", 2, 3, **quiet, inputs=same)
    yield case("GroupQueryAttention", 3, 4, 2, **quiet, inputs=same)
    yield case("GroupQueryAttention", 3, 4, 2, inputs=((2, 5, 4), (2, 3, 4)), call=scores)
    yield case("MultiHeadAttention", 2, 3, output_shape=7, inputs=same)
    yield case("MultiHeadAttention", 2, 3, inputs=same, call={"use_causal_mask": True})
    yield case("MultiHeadAttention", 2, 3, value_dim=5, inputs=((2, 5, 4), (2, 3, 4)), call=scores)
    yield case("MultiHeadAttention", 2, 3, attention_axes=(2,), inputs=((2, 3, 4, 5), (2, 3, 4, 5)))
    yield case("MultiHeadAttention", 2, 3, attention_axes=(1, 2), inputs=((2, 3, 4, 5), (2, 3, 4, 5)), call=scores)


CASES = [
    c
    for family in (_core, _convolutions, _pooling, _normalization, _reshaping, _merging, _recurrent, _attention)
    for c in family()
]


NOT_IN_THE_GRID = {
    "Layer": "the base class",
    "Wrapper": "a base class, without call()",
    "InputLayer": "takes no inputs: tests/models",
    "JaxLayer": "tests/layers/test_bridges.py",
    "FlaxLayer": "tests/layers/test_bridges.py",
    "TorchModuleWrapper": "tests/layers/test_bridges.py",
    "TFSMLayer": "tests/layers/test_bridges.py",
}
ARGUMENTS_NOT_VARIED = (
    "name", "dtype", "trainable", "kwargs", "seed", "quantization_config", "gptq_unpacked_column_size",
    "use_cudnn",  # changes nothing
    "weights",  # as initial values: tests/layers
)  # fmt: skip


# -- layers of either package made of the grid ---------------------------------------------------------------------------


def flat(tree):
    return [leaf for x in tree for leaf in flat(x)] if isinstance(tree, (list, tuple)) else [tree]


def arrays(case: Case):
    """Return the inputs by position, each an array or a list of arrays."""
    rng = np.random.default_rng(0)

    def one(shape):
        if isinstance(shape, list):
            return [one(s) for s in shape]
        if case.dtype == "int32":
            return rng.integers(0, 9, size=shape).astype("int32")
        return rng.normal(size=shape).astype("float32")

    by_position = isinstance(case.inputs, tuple) and isinstance(case.inputs[0], tuple)
    return [one(s) for s in case.inputs] if by_position else [one(case.inputs)]


def built(package, case: Case):
    """Return the layer of a package, called once, its weights set to draws that both packages share."""
    layer = case.make(package.layers)
    layer(*arrays(case), **case.call)
    rng = np.random.default_rng(1)
    set_weights(layer, [rng.uniform(0.1, 1.0, size=w.shape).astype("float32") for w in layer.weights])
    return layer


def set_weights(layer, weights):
    """Set the weights of either package's layer, and what it derives from them; states between batches become zero."""
    layer.set_weights(weights)
    if hasattr(layer, "finalize_state"):
        layer.finalize_state()
    forget_states(layer)


def forget_states(layer):
    """Set the states between batches to zero."""
    if getattr(layer, "stateful", False):
        layer.reset_state()


def outputs(package, layer, case: Case):
    return [np.asarray(package.ops.convert_to_numpy(y)) for y in flat(layer(*arrays(case), **case.call))]
