"""Mixed precision: the dtype policies under their older names."""

from multikeras.config import dtype_policy as dtype_policy
from multikeras.config import set_dtype_policy as set_dtype_policy
from multikeras.dtype_policies import DTypePolicy as DTypePolicy
from multikeras.dtype_policies import DTypePolicy as Policy  # noqa: F401
from multikeras.dtype_policies import get as get
from multikeras.optimizers import LossScaleOptimizer as LossScaleOptimizer

global_policy = dtype_policy
set_global_policy = set_dtype_policy
