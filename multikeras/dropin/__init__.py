"""Serving `import keras` from multikeras on any backend: `python -m multikeras`, `install()`, `%load_ext`."""

from multikeras.dropin.finder import KERAS_VERSION as KERAS_VERSION
from multikeras.dropin.finder import install as install
from multikeras.dropin.finder import load_ipython_extension as load_ipython_extension
from multikeras.dropin.missing import missing_names as missing_names
