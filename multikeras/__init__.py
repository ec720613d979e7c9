"""Keras programs on TensorFlow, PyTorch and JAX.

>>> import multikeras as mk
>>> model = mk.Sequential([mk.Input((4,)), mk.layers.Dense(2)])
>>> model.count_params()
10
"""

import importlib as _importlib

from multikeras import activations as activations
from multikeras import backend as backend
from multikeras import callbacks as callbacks
from multikeras import config as config
from multikeras import constraints as constraints
from multikeras import datasets as datasets
from multikeras import dtype_policies as dtype_policies
from multikeras import initializers as initializers
from multikeras import layers as layers
from multikeras import losses as losses
from multikeras import metrics as metrics
from multikeras import mixed_precision as mixed_precision
from multikeras import models as models
from multikeras import ops as ops
from multikeras import optimizers as optimizers
from multikeras import preprocessing as preprocessing
from multikeras import quantizers as quantizers
from multikeras import random as random
from multikeras import regularizers as regularizers
from multikeras import saving as saving
from multikeras import tree as tree
from multikeras import utils as utils
from multikeras.backend.scope import StatelessScope as StatelessScope
from multikeras.backend.scope import SymbolicScope as SymbolicScope
from multikeras.core.naming import name_scope as name_scope
from multikeras.core.node import KerasTensor as KerasTensor
from multikeras.core.node import Operation as Operation
from multikeras.core.variable import Variable as Variable
from multikeras.dropin import install as install
from multikeras.dropin import load_ipython_extension as load_ipython_extension
from multikeras.dtype_policies import DTypePolicy as DTypePolicy
from multikeras.dtype_policies import FloatDTypePolicy as FloatDTypePolicy
from multikeras.initializers import Initializer as Initializer
from multikeras.layers import Input as Input
from multikeras.layers import InputSpec as InputSpec
from multikeras.layers import Layer as Layer
from multikeras.layers.remat import RematScope as RematScope
from multikeras.layers.remat import remat as remat
from multikeras.losses import Loss as Loss
from multikeras.metrics import Metric as Metric
from multikeras.models import Model as Model
from multikeras.models import Sequential as Sequential
from multikeras.models.function import Function as Function
from multikeras.ops.transforms import jit as jit
from multikeras.optimizers import Optimizer as Optimizer
from multikeras.quantizers import Quantizer as Quantizer
from multikeras.regularizers import Regularizer as Regularizer
from multikeras.version import __version__ as __version__
from multikeras.version import version as version

device = backend.current.device_scope


def __getattr__(name: str):
    # The comparison is a tool beside the library: loaded when it is asked for.
    if name == "compare":
        return _importlib.import_module("multikeras.compare")
    raise AttributeError(f"module 'multikeras' has no attribute {name!r}")
