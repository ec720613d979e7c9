"""Nested structures: `flatten`, `map_structure` and their kin."""

from multikeras.core.tree import MAP_TO_NONE as MAP_TO_NONE
from multikeras.core.tree import assert_same_paths as assert_same_paths
from multikeras.core.tree import assert_same_structure as assert_same_structure
from multikeras.core.tree import flatten as flatten
from multikeras.core.tree import flatten_with_path as flatten_with_path
from multikeras.core.tree import is_nested as is_nested
from multikeras.core.tree import lists_to_tuples as lists_to_tuples
from multikeras.core.tree import map_shape_structure as map_shape_structure
from multikeras.core.tree import map_structure as map_structure
from multikeras.core.tree import map_structure_up_to as map_structure_up_to
from multikeras.core.tree import pack_sequence_as as pack_sequence_as
from multikeras.core.tree import traverse as traverse
