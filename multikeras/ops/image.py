"""Operations on images: `multikeras.ops.image`."""

from multikeras.ops.image_color import hsv_to_rgb as hsv_to_rgb
from multikeras.ops.image_color import rgb_to_grayscale as rgb_to_grayscale
from multikeras.ops.image_color import rgb_to_hsv as rgb_to_hsv
from multikeras.ops.image_filter import extract_patches as extract_patches
from multikeras.ops.image_filter import extract_patches_3d as extract_patches_3d
from multikeras.ops.image_filter import gaussian_blur as gaussian_blur
from multikeras.ops.image_filter import sobel_edges as sobel_edges
from multikeras.ops.image_filter import ssim as ssim
from multikeras.ops.image_patches import reconstruct_patches as reconstruct_patches
from multikeras.ops.image_resize import crop_images as crop_images
from multikeras.ops.image_resize import pad_images as pad_images
from multikeras.ops.image_resize import resize as resize
from multikeras.ops.image_resize import scale_and_translate as scale_and_translate
from multikeras.ops.image_transform import affine_transform as affine_transform
from multikeras.ops.image_transform import elastic_transform as elastic_transform
from multikeras.ops.image_transform import map_coordinates as map_coordinates
from multikeras.ops.image_transform import perspective_transform as perspective_transform
