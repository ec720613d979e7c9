"""Names of `keras.metrics` in Keras 2."""

from multikeras.dropin.keras2.losses import KLD as KLD
from multikeras.dropin.keras2.losses import MAE as MAE
from multikeras.dropin.keras2.losses import MAPE as MAPE
from multikeras.dropin.keras2.losses import MSE as MSE
from multikeras.dropin.keras2.losses import MSLE as MSLE
from multikeras.dropin.keras2.losses import kld as kld
from multikeras.dropin.keras2.losses import kullback_leibler_divergence as kullback_leibler_divergence
from multikeras.dropin.keras2.losses import logcosh as logcosh
from multikeras.dropin.keras2.losses import mae as mae
from multikeras.dropin.keras2.losses import mape as mape
from multikeras.dropin.keras2.losses import mse as mse
from multikeras.dropin.keras2.losses import msle as msle
