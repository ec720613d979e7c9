"""Files and configs of models."""

from multikeras.core.serialization import CustomObjectScope as CustomObjectScope
from multikeras.core.serialization import custom_object_scope as custom_object_scope
from multikeras.core.serialization import deserialize_keras_object as deserialize_keras_object
from multikeras.core.serialization import get_custom_objects as get_custom_objects
from multikeras.core.serialization import get_registered_name as get_registered_name
from multikeras.core.serialization import get_registered_object as get_registered_object
from multikeras.core.serialization import register_keras_serializable as register_keras_serializable
from multikeras.core.serialization import serialize_keras_object as serialize_keras_object
from multikeras.saving.file_editor import KerasFileEditor as KerasFileEditor
from multikeras.saving.saving_api import load_model as load_model
from multikeras.saving.saving_api import load_weights as load_weights
from multikeras.saving.saving_api import save_model as save_model
from multikeras.saving.saving_api import save_weights as save_weights
from multikeras.saving.state_dict import from_state_dict as from_state_dict
from multikeras.saving.state_dict import to_state_dict as to_state_dict
