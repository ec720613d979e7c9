"""Images and sequences turned into arrays."""

from multikeras.preprocessing import image as image
from multikeras.preprocessing import sequence as sequence
from multikeras.utils.directories import image_dataset_from_directory as image_dataset_from_directory
from multikeras.utils.directories import text_dataset_from_directory as text_dataset_from_directory
from multikeras.utils.timeseries import timeseries_dataset_from_array as timeseries_dataset_from_array
