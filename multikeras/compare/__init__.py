"""One Keras program on several backends, side by side: `multikeras compare script.py`."""

from multikeras.compare.results import BackendResult as BackendResult
from multikeras.compare.results import Fit as Fit
from multikeras.compare.results import Results as Results
from multikeras.compare.run import run as run
