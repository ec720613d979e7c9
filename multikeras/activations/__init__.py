"""Activation functions by name, most of them ops."""

from typing import Any

from multikeras.activations.functions import exponential as exponential
from multikeras.activations.functions import gelu as gelu
from multikeras.activations.functions import linear as linear
from multikeras.activations.functions import mish as mish
from multikeras.activations.functions import relu as relu
from multikeras.core.serialization import Kind as _Kind
from multikeras.core.serialization import serialize_keras_object as _serialize
from multikeras.ops import celu as celu
from multikeras.ops import elu as elu
from multikeras.ops import glu as glu
from multikeras.ops import hard_shrink as hard_shrink
from multikeras.ops import hard_sigmoid as hard_sigmoid
from multikeras.ops import hard_silu as hard_silu
from multikeras.ops import hard_tanh as hard_tanh
from multikeras.ops import leaky_relu as leaky_relu
from multikeras.ops import log_sigmoid as log_sigmoid
from multikeras.ops import log_softmax as log_softmax
from multikeras.ops import relu6 as relu6
from multikeras.ops import selu as selu
from multikeras.ops import sigmoid as sigmoid
from multikeras.ops import silu as silu
from multikeras.ops import soft_shrink as soft_shrink
from multikeras.ops import softmax as softmax
from multikeras.ops import softplus as softplus
from multikeras.ops import softsign as softsign
from multikeras.ops import sparse_plus as sparse_plus
from multikeras.ops import sparse_sigmoid as sparse_sigmoid
from multikeras.ops import sparsemax as sparsemax
from multikeras.ops import squareplus as squareplus
from multikeras.ops import tanh as tanh
from multikeras.ops import tanh_shrink as tanh_shrink
from multikeras.ops import threshold as threshold

swish, hard_swish = silu, hard_silu

_ALL = (
    celu, elu, exponential, gelu, glu, hard_shrink, hard_sigmoid, hard_silu, hard_tanh, leaky_relu, linear, log_sigmoid,
    log_softmax, mish, relu, relu6, selu, sigmoid, silu, soft_shrink, softmax, softplus, softsign, sparse_plus,
    sparse_sigmoid, sparsemax, squareplus, tanh, tanh_shrink, threshold,
)  # fmt: skip
_KIND = _Kind(
    "activation function",
    {**{f.__name__: f for f in _ALL}, "swish": silu, "hard_swish": hard_silu},
    default=linear,
    instantiate=False,
)


def serialize(activation: Any) -> Any:
    """Return the name of a builtin function, the config of anything else.

    >>> from multikeras import activations
    >>> activations.serialize(activations.relu)
    'relu'
    """
    name = getattr(activation, "__name__", None)
    if isinstance(name, str) and name in _KIND.table:
        return name
    config = _serialize(activation)
    return config["config"] if isinstance(config, dict) and config.get("class_name") == "__lambda__" else config


def deserialize(config: Any, custom_objects: dict | None = None) -> Any:
    """Return the function of a name or config."""
    return _KIND.deserialize(config, custom_objects)


def get(identifier: Any) -> Any:
    """Return the function a name or config stands for, `linear` for None; other callables as they are.

    >>> from multikeras import activations
    >>> activations.get("swish").__name__, activations.get(None).__name__
    ('silu', 'linear')
    """
    return _KIND.get(identifier)
