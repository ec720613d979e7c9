"""Helpers around models: seeds, arrays, files, images, progress, drawings."""

from multikeras.backend.dtypes import standardize_dtype as standardize_dtype
from multikeras.config import disable_interactive_logging as disable_interactive_logging
from multikeras.config import enable_interactive_logging as enable_interactive_logging
from multikeras.config import is_interactive_logging_enabled as is_interactive_logging_enabled
from multikeras.core.node import is_keras_tensor as is_keras_tensor
from multikeras.core.serialization import CustomObjectScope as CustomObjectScope
from multikeras.core.serialization import custom_object_scope as custom_object_scope
from multikeras.core.serialization import deserialize_keras_object as deserialize_keras_object
from multikeras.core.serialization import get_custom_objects as get_custom_objects
from multikeras.core.serialization import get_registered_name as get_registered_name
from multikeras.core.serialization import get_registered_object as get_registered_object
from multikeras.core.serialization import register_keras_serializable as register_keras_serializable
from multikeras.core.serialization import serialize_keras_object as serialize_keras_object
from multikeras.utils.arrays import normalize as normalize
from multikeras.utils.arrays import pack_x_y_sample_weight as pack_x_y_sample_weight
from multikeras.utils.arrays import pad_sequences as pad_sequences
from multikeras.utils.arrays import to_categorical as to_categorical
from multikeras.utils.arrays import unpack_x_y_sample_weight as unpack_x_y_sample_weight
from multikeras.utils.dataset import Dataset as Dataset
from multikeras.utils.dataset import split_dataset as split_dataset
from multikeras.utils.directories import audio_dataset_from_directory as audio_dataset_from_directory
from multikeras.utils.directories import image_dataset_from_directory as image_dataset_from_directory
from multikeras.utils.directories import text_dataset_from_directory as text_dataset_from_directory
from multikeras.utils.files import get_file as get_file
from multikeras.utils.graph import clear_session as clear_session
from multikeras.utils.graph import get_source_inputs as get_source_inputs
from multikeras.utils.graph import model_to_dot as model_to_dot
from multikeras.utils.graph import plot_model as plot_model
from multikeras.utils.images import array_to_img as array_to_img
from multikeras.utils.images import img_to_array as img_to_array
from multikeras.utils.images import load_img as load_img
from multikeras.utils.images import save_img as save_img
from multikeras.utils.progbar import Progbar as Progbar
from multikeras.utils.py_dataset import PyDataset as PyDataset
from multikeras.utils.seeds import set_random_seed as set_random_seed
from multikeras.utils.timeseries import timeseries_dataset_from_array as timeseries_dataset_from_array

Sequence = PyDataset
