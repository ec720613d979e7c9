"""Models: `Sequential`, functional and subclassed ones, and copies of them."""

from multikeras.models.cloning import clone_model as clone_model
from multikeras.models.functional import Functional as _Functional  # noqa: F401
from multikeras.models.model import Model as Model
from multikeras.models.model import model_from_json as model_from_json
from multikeras.models.sequential import Sequential as Sequential
from multikeras.saving.saving_api import load_model as load_model
from multikeras.saving.saving_api import save_model as save_model
