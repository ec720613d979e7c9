"""The layers: all that `keras.layers` offers."""

from typing import Any as _Any

from multikeras.core import serialization as _serialization
from multikeras.layers.activations.activation import ELU as ELU
from multikeras.layers.activations.activation import Activation as Activation
from multikeras.layers.activations.activation import LeakyReLU as LeakyReLU
from multikeras.layers.activations.activation import PReLU as PReLU
from multikeras.layers.activations.activation import ReLU as ReLU
from multikeras.layers.activations.activation import Softmax as Softmax
from multikeras.layers.attention.attention import AdditiveAttention as AdditiveAttention
from multikeras.layers.attention.attention import Attention as Attention
from multikeras.layers.attention.multi_head_attention import GroupedQueryAttention as GroupQueryAttention  # noqa: F401
from multikeras.layers.attention.multi_head_attention import MultiHeadAttention as MultiHeadAttention
from multikeras.layers.bridges.flax_module import FlaxLayer as FlaxLayer
from multikeras.layers.bridges.jax_function import JaxLayer as JaxLayer
from multikeras.layers.bridges.saved_model import TFSMLayer as TFSMLayer
from multikeras.layers.bridges.torch_module import TorchModuleWrapper as TorchModuleWrapper
from multikeras.layers.convolution.faces import Conv1D as Conv1D
from multikeras.layers.convolution.faces import Conv1DTranspose as Conv1DTranspose
from multikeras.layers.convolution.faces import Conv2D as Conv2D
from multikeras.layers.convolution.faces import Conv2DTranspose as Conv2DTranspose
from multikeras.layers.convolution.faces import Conv3D as Conv3D
from multikeras.layers.convolution.faces import Conv3DTranspose as Conv3DTranspose
from multikeras.layers.convolution.faces import DepthwiseConv1D as DepthwiseConv1D
from multikeras.layers.convolution.faces import DepthwiseConv2D as DepthwiseConv2D
from multikeras.layers.convolution.faces import SeparableConv1D as SeparableConv1D
from multikeras.layers.convolution.faces import SeparableConv2D as SeparableConv2D
from multikeras.layers.core.dense import Dense as Dense
from multikeras.layers.core.einsum_dense import EinsumDense as EinsumDense
from multikeras.layers.core.embedding import Embedding as Embedding
from multikeras.layers.core.identity import Identity as Identity
from multikeras.layers.core.input_layer import Input as Input
from multikeras.layers.core.input_layer import InputLayer as InputLayer
from multikeras.layers.core.lambda_layer import Lambda as Lambda
from multikeras.layers.core.masking import Masking as Masking
from multikeras.layers.core.reversible_embedding import ReversibleEmbedding as ReversibleEmbedding
from multikeras.layers.core.wrapper import Wrapper as Wrapper
from multikeras.layers.input_spec import InputSpec as InputSpec
from multikeras.layers.layer import Layer as Layer
from multikeras.layers.merging.concatenate import Concatenate as Concatenate
from multikeras.layers.merging.dot import Dot as Dot
from multikeras.layers.merging.functions import add as add
from multikeras.layers.merging.functions import average as average
from multikeras.layers.merging.functions import concatenate as concatenate
from multikeras.layers.merging.functions import dot as dot
from multikeras.layers.merging.functions import maximum as maximum
from multikeras.layers.merging.functions import minimum as minimum
from multikeras.layers.merging.functions import multiply as multiply
from multikeras.layers.merging.functions import subtract as subtract
from multikeras.layers.merging.merge import Add as Add
from multikeras.layers.merging.merge import Average as Average
from multikeras.layers.merging.merge import Maximum as Maximum
from multikeras.layers.merging.merge import Minimum as Minimum
from multikeras.layers.merging.merge import Multiply as Multiply
from multikeras.layers.merging.merge import Subtract as Subtract
from multikeras.layers.normalization.batch_normalization import BatchNormalization as BatchNormalization
from multikeras.layers.normalization.group_normalization import GroupNormalization as GroupNormalization
from multikeras.layers.normalization.layer_normalization import LayerNormalization as LayerNormalization
from multikeras.layers.normalization.layer_normalization import RMSNormalization as RMSNormalization
from multikeras.layers.normalization.spectral_normalization import SpectralNormalization as SpectralNormalization
from multikeras.layers.normalization.unit_normalization import UnitNormalization as UnitNormalization
from multikeras.layers.pooling.faces import AdaptiveAveragePooling1D as AdaptiveAveragePooling1D
from multikeras.layers.pooling.faces import AdaptiveAveragePooling2D as AdaptiveAveragePooling2D
from multikeras.layers.pooling.faces import AdaptiveAveragePooling3D as AdaptiveAveragePooling3D
from multikeras.layers.pooling.faces import AdaptiveMaxPooling1D as AdaptiveMaxPooling1D
from multikeras.layers.pooling.faces import AdaptiveMaxPooling2D as AdaptiveMaxPooling2D
from multikeras.layers.pooling.faces import AdaptiveMaxPooling3D as AdaptiveMaxPooling3D
from multikeras.layers.pooling.faces import AveragePooling1D as AveragePooling1D
from multikeras.layers.pooling.faces import AveragePooling2D as AveragePooling2D
from multikeras.layers.pooling.faces import AveragePooling3D as AveragePooling3D
from multikeras.layers.pooling.faces import GlobalAveragePooling1D as GlobalAveragePooling1D
from multikeras.layers.pooling.faces import GlobalAveragePooling2D as GlobalAveragePooling2D
from multikeras.layers.pooling.faces import GlobalAveragePooling3D as GlobalAveragePooling3D
from multikeras.layers.pooling.faces import GlobalMaxPooling1D as GlobalMaxPooling1D
from multikeras.layers.pooling.faces import GlobalMaxPooling2D as GlobalMaxPooling2D
from multikeras.layers.pooling.faces import GlobalMaxPooling3D as GlobalMaxPooling3D
from multikeras.layers.pooling.faces import MaxPooling1D as MaxPooling1D
from multikeras.layers.pooling.faces import MaxPooling2D as MaxPooling2D
from multikeras.layers.pooling.faces import MaxPooling3D as MaxPooling3D
from multikeras.layers.preprocessing.normalization import Normalization as Normalization
from multikeras.layers.preprocessing.rescaling import Rescaling as Rescaling
from multikeras.layers.recurrent.bidirectional import Bidirectional as Bidirectional
from multikeras.layers.recurrent.cells import GRUCell as GRUCell
from multikeras.layers.recurrent.cells import LSTMCell as LSTMCell
from multikeras.layers.recurrent.cells import SimpleRNNCell as SimpleRNNCell
from multikeras.layers.recurrent.conv_lstm import ConvLSTM1D as ConvLSTM1D
from multikeras.layers.recurrent.conv_lstm import ConvLSTM2D as ConvLSTM2D
from multikeras.layers.recurrent.conv_lstm import ConvLSTM3D as ConvLSTM3D
from multikeras.layers.recurrent.gated import GRU as GRU
from multikeras.layers.recurrent.gated import LSTM as LSTM
from multikeras.layers.recurrent.gated import SimpleRNN as SimpleRNN
from multikeras.layers.recurrent.rnn import RNN as RNN
from multikeras.layers.recurrent.stacked import StackedRNNCells as StackedRNNCells
from multikeras.layers.recurrent.time_distributed import TimeDistributed as TimeDistributed
from multikeras.layers.regularization.activity_regularization import ActivityRegularization as ActivityRegularization
from multikeras.layers.regularization.dropout import AlphaDropout as AlphaDropout
from multikeras.layers.regularization.dropout import Dropout as Dropout
from multikeras.layers.regularization.dropout import GaussianDropout as GaussianDropout
from multikeras.layers.regularization.dropout import GaussianNoise as GaussianNoise
from multikeras.layers.regularization.dropout import SpatialDropout1D as SpatialDropout1D
from multikeras.layers.regularization.dropout import SpatialDropout2D as SpatialDropout2D
from multikeras.layers.regularization.dropout import SpatialDropout3D as SpatialDropout3D
from multikeras.layers.reshaping.borders import Cropping1D as Cropping1D
from multikeras.layers.reshaping.borders import Cropping2D as Cropping2D
from multikeras.layers.reshaping.borders import Cropping3D as Cropping3D
from multikeras.layers.reshaping.borders import ZeroPadding1D as ZeroPadding1D
from multikeras.layers.reshaping.borders import ZeroPadding2D as ZeroPadding2D
from multikeras.layers.reshaping.borders import ZeroPadding3D as ZeroPadding3D
from multikeras.layers.reshaping.reshape import Flatten as Flatten
from multikeras.layers.reshaping.reshape import Permute as Permute
from multikeras.layers.reshaping.reshape import RepeatVector as RepeatVector
from multikeras.layers.reshaping.reshape import Reshape as Reshape
from multikeras.layers.reshaping.up_sampling import UpSampling1D as UpSampling1D
from multikeras.layers.reshaping.up_sampling import UpSampling2D as UpSampling2D
from multikeras.layers.reshaping.up_sampling import UpSampling3D as UpSampling3D

# Shorter and older names of the same layers.
AvgPool1D = AveragePooling1D
AvgPool2D = AveragePooling2D
AvgPool3D = AveragePooling3D
Convolution1D = Conv1D
Convolution1DTranspose = Conv1DTranspose
Convolution2D = Conv2D
Convolution2DTranspose = Conv2DTranspose
Convolution3D = Conv3D
Convolution3DTranspose = Conv3DTranspose
GlobalAvgPool1D = GlobalAveragePooling1D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalAvgPool3D = GlobalAveragePooling3D
GlobalMaxPool1D = GlobalMaxPooling1D
GlobalMaxPool2D = GlobalMaxPooling2D
GlobalMaxPool3D = GlobalMaxPooling3D
MaxPool1D = MaxPooling1D
MaxPool2D = MaxPooling2D
MaxPool3D = MaxPooling3D
SeparableConvolution1D = SeparableConv1D
SeparableConvolution2D = SeparableConv2D


def serialize(layer: Layer) -> dict:
    """Return the config from which `deserialize` makes a layer like this."""
    return _serialization.serialize_keras_object(layer)


def deserialize(config: dict, custom_objects: dict | None = None) -> _Any:
    """Return the layer that `serialize` wrote."""
    layer = _serialization.deserialize_keras_object(config, custom_objects=custom_objects)
    if not isinstance(layer, Layer):
        raise ValueError(f"layers.deserialize: the config is not one of a layer, got {config!r}.")
    return layer
