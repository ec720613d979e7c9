"""First values of weights; random ones are equal bit for bit on every backend."""

from typing import Any

import numpy as np

from multikeras import backend
from multikeras.core import variable as _variable
from multikeras.core.serialization import Kind as _Kind
from multikeras.core.serialization import by_both_names as _by_both_names
from multikeras.core.serialization import serialize_keras_object as _serialize
from multikeras.initializers.constant import STFT as STFT
from multikeras.initializers.constant import Constant as Constant
from multikeras.initializers.constant import Identity as Identity
from multikeras.initializers.constant import Ones as Ones
from multikeras.initializers.constant import Zeros as Zeros
from multikeras.initializers.initializer import Initializer as Initializer
from multikeras.initializers.random import GlorotNormal as GlorotNormal
from multikeras.initializers.random import GlorotUniform as GlorotUniform
from multikeras.initializers.random import HeNormal as HeNormal
from multikeras.initializers.random import HeUniform as HeUniform
from multikeras.initializers.random import LecunNormal as LecunNormal
from multikeras.initializers.random import LecunUniform as LecunUniform
from multikeras.initializers.random import Orthogonal as Orthogonal
from multikeras.initializers.random import RandomNormal as RandomNormal
from multikeras.initializers.random import RandomUniform as RandomUniform
from multikeras.initializers.random import TruncatedNormal as TruncatedNormal
from multikeras.initializers.random import VarianceScaling as VarianceScaling

constant, identity, ones, zeros, stft = Constant, Identity, Ones, Zeros, STFT
IdentityInitializer, OrthogonalInitializer, STFTInitializer = Identity, Orthogonal, STFT
glorot_normal, glorot_uniform, he_normal, he_uniform = GlorotNormal, GlorotUniform, HeNormal, HeUniform
lecun_normal, lecun_uniform, orthogonal = LecunNormal, LecunUniform, Orthogonal
random_normal, random_uniform = RandomNormal, RandomUniform
truncated_normal, variance_scaling = TruncatedNormal, VarianceScaling

_KIND = _Kind(
    "initializer",
    {
        **_by_both_names(
            Initializer, Constant, Identity, Ones, Zeros, STFT, GlorotNormal, GlorotUniform, HeNormal, HeUniform,
            LecunNormal, LecunUniform, Orthogonal, RandomNormal, RandomUniform, TruncatedNormal, VarianceScaling,
        ),
        "IdentityInitializer": Identity, "OrthogonalInitializer": Orthogonal, "STFTInitializer": STFT,
        "normal": RandomNormal, "uniform": RandomUniform, "one": Ones, "zero": Zeros,
    },
)  # fmt: skip


def serialize(initializer: Any) -> Any:
    """Return the config of an initializer."""
    return _serialize(initializer)


def deserialize(config: Any, custom_objects: dict | None = None) -> Any:
    """Return the initializer of a config."""
    return _KIND.deserialize(config, custom_objects)


def get(identifier: Any) -> Any:
    """Return the initializer that a name, config, class, callable or array stands for, None for None.

    An array gives itself, for its own shape only.

    >>> from multikeras import initializers
    >>> initializers.get("he_normal").get_config()["seed"] is None
    True
    """
    if isinstance(identifier, np.ndarray) or backend.current.is_tensor(identifier):
        return _given(identifier)
    return _KIND.get(identifier)


def _given(tensor: Any) -> Any:
    def initialize(shape, dtype=None):
        if tuple(shape) != tuple(tensor.shape):
            raise ValueError(
                f"Expected `shape` to be {tuple(tensor.shape)} for a tensor as initializer. Received: "
                f"shape={tuple(shape)}"
            )
        return backend.current.asarray(tensor, None if dtype is None else backend.dtypes.standardize_dtype(dtype))

    return initialize


_variable.initializers_get = get
