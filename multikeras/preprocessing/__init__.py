"""Images and sequences turned into arrays."""

from multikeras.preprocessing import image as image
from multikeras.preprocessing import sequence as sequence
