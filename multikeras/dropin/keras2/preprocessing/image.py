"""`keras.preprocessing.image`: images read, standardized and varied at random while a model trains."""

import os
from collections.abc import Callable
from collections.abc import Iterator as Iterates
from pathlib import Path
from typing import Any

import numpy as np

from multikeras import config
from multikeras.dropin.keras2.preprocessing.affine import apply_affine_transform as apply_affine_transform
from multikeras.dropin.keras2.preprocessing.affine import apply_brightness_shift as apply_brightness_shift
from multikeras.dropin.keras2.preprocessing.affine import apply_channel_shift as apply_channel_shift
from multikeras.dropin.keras2.preprocessing.affine import random_brightness as random_brightness
from multikeras.dropin.keras2.preprocessing.affine import random_channel_shift as random_channel_shift
from multikeras.dropin.keras2.preprocessing.affine import random_rotation as random_rotation
from multikeras.dropin.keras2.preprocessing.affine import random_shear as random_shear
from multikeras.dropin.keras2.preprocessing.affine import random_shift as random_shift
from multikeras.dropin.keras2.preprocessing.affine import random_zoom as random_zoom
from multikeras.preprocessing.image import array_to_img as array_to_img
from multikeras.preprocessing.image import img_to_array as img_to_array
from multikeras.preprocessing.image import load_img as load_img
from multikeras.preprocessing.image import save_img as save_img
from multikeras.preprocessing.image import smart_resize as smart_resize
from multikeras.utils.py_dataset import PyDataset

_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".tif", ".tiff")


class Iterator(PyDataset):
    """Batches of `n` samples, in a new random order each time round; `next()` gives batches without end."""

    def __init__(self, n: int, batch_size: int, shuffle: bool, seed: int | None, **kwargs: Any):
        super().__init__(**kwargs)
        self.n, self.batch_size, self.shuffle, self.seed = n, batch_size, shuffle, seed
        self.rounds = 0
        self.batch_index = 0
        self.on_epoch_end()

    def on_epoch_end(self) -> None:
        """Draw the order of the next round."""
        if self.shuffle:
            generator = np.random if self.seed is None else np.random.RandomState(self.seed + self.rounds)
            self.order = generator.permutation(self.n)
        else:
            self.order = np.arange(self.n)
        self.rounds += 1

    def reset(self) -> None:
        """Have `next()` go on with the first batch."""
        self.batch_index = 0

    def __len__(self) -> int:
        return -(-self.n // self.batch_size)

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise ValueError(f"There is no batch {index}: there are {len(self)}.")
        return self._batch(self.order[index * self.batch_size : (index + 1) * self.batch_size])

    def __iter__(self) -> Iterates:
        return self

    def __next__(self) -> Any:
        if self.batch_index >= len(self):
            self.batch_index = 0
            self.on_epoch_end()
        self.batch_index += 1
        return self[self.batch_index - 1]

    def next(self) -> Any:
        """Return the next batch."""
        return self.__next__()

    def _batch(self, chosen: np.ndarray) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define _batch(chosen).")

    def _save(self, batch: np.ndarray, chosen: np.ndarray) -> None:
        if self.save_to_dir:
            for i, x in zip(chosen, batch):
                name = f"{self.save_prefix}_{i}_{np.random.randint(10**7)}.{self.save_format}"
                save_img(os.path.join(self.save_to_dir, name), x, self.data_format)

    save_to_dir: Any = None
    save_prefix = ""
    save_format = "png"
    data_format: str | None = None


def _part(n: int, fraction: float | None, subset: str | None) -> slice:
    """Return the samples of a subset: the first ones are for validation."""
    if subset is None:
        return slice(None)
    if subset not in ("training", "validation"):
        raise ValueError(f'subset must be "training" or "validation", got {subset!r}.')
    first = int(n * (fraction or 0))
    return slice(0, first) if subset == "validation" else slice(first, None)


def _check_classes(y: np.ndarray, first: int) -> None:
    if not np.array_equal(np.unique(y[:first], axis=0), np.unique(y[first:], axis=0)):
        raise ValueError(
            "flow: the validation part, the first rows, and the training part do not have the same classes. Shuffle "
            "the data, or pass ignore_class_split=True."
        )


class NumpyArrayIterator(Iterator):
    """Batches of varied images from an array (n, height, width, channels) or channels first."""

    def __init__(
        self, x: Any, y: Any, image_data_generator: "ImageDataGenerator", batch_size: int = 32, shuffle: bool = False,
        sample_weight: Any = None, seed: int | None = None, data_format: str | None = None, save_to_dir: Any = None,
        save_prefix: str = "", save_format: str = "png", subset: str | None = None, ignore_class_split: bool = False,
        dtype: Any = None,
    ):  # fmt: skip
        self.dtype = dtype or config.floatx()
        x, *self.x_more = [np.asarray(a) for a in x] if isinstance(x, (tuple, list)) else [x]
        x = np.asarray(x)
        for name, other in (("y", y), ("sample_weight", sample_weight), *(("x", m) for m in self.x_more)):
            if other is not None and len(other) != len(x):
                raise ValueError(f"flow: the images are {len(x)}, {name} has {len(other)} entries.")
        if x.ndim != 4:
            raise ValueError(f"flow: x must have rank 4 (images with channels), its shape is {x.shape}.")
        part = _part(len(x), image_data_generator._validation_split, subset)
        if subset is not None and y is not None and not ignore_class_split:
            _check_classes(np.asarray(y), int(len(x) * image_data_generator._validation_split))
        self.x = np.asarray(x[part], self.dtype)
        self.x_more = [m[part] for m in self.x_more]
        self.y = None if y is None else np.asarray(y)[part]
        self.sample_weight = None if sample_weight is None else np.asarray(sample_weight)[part]
        self.image_data_generator = image_data_generator
        self.data_format = config.standardize_data_format(data_format)
        self.save_to_dir, self.save_prefix, self.save_format = save_to_dir, save_prefix, save_format
        super().__init__(len(self.x), batch_size, shuffle, seed)

    def _batch(self, chosen):
        generator = self.image_data_generator
        images = [generator.standardize(generator.random_transform(self.x[i])) for i in chosen]
        batch = np.stack(images).astype(self.dtype) if images else self.x[:0]
        self._save(batch, chosen)
        x = [batch, *(m[chosen] for m in self.x_more)] if self.x_more else batch
        if self.y is None:
            return x
        return (x, self.y[chosen]) if self.sample_weight is None else (x, self.y[chosen], self.sample_weight[chosen])


class DirectoryIterator(Iterator):
    """Batches of varied images from a folder with one folder a class."""

    def __init__(
        self, directory: Any, image_data_generator: "ImageDataGenerator", target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb", classes: list[str] | None = None, class_mode: str | None = "categorical",
        batch_size: int = 32, shuffle: bool = True, seed: int | None = None, data_format: str | None = None,
        save_to_dir: Any = None, save_prefix: str = "", save_format: str = "png", follow_links: bool = False,
        subset: str | None = None, interpolation: str = "nearest", keep_aspect_ratio: bool = False, dtype: Any = None,
    ):  # fmt: skip
        if class_mode not in ("categorical", "binary", "sparse", "input", None):
            raise ValueError(f"class_mode must be categorical, binary, sparse, input or None, got {class_mode!r}.")
        self.directory = os.fspath(directory)
        root = Path(directory)
        names = classes or sorted(p.name for p in root.iterdir() if p.is_dir())
        self.class_indices = {name: i for i, name in enumerate(names)}
        self.num_classes = len(names)
        self.class_mode, self.target_size, self.color_mode = class_mode, tuple(target_size), color_mode
        self.interpolation, self.keep_aspect_ratio = interpolation, keep_aspect_ratio
        self.dtype = dtype or config.floatx()
        self.data_format = config.standardize_data_format(data_format)
        self.save_to_dir, self.save_prefix, self.save_format = save_to_dir, save_prefix, save_format
        self.image_data_generator = image_data_generator
        self.filenames: list[str] = []
        labels: list[int] = []
        for name, number in self.class_indices.items():
            found = sorted(_images_below(root / name, follow_links))
            found = found[_part(len(found), image_data_generator._validation_split, subset)]
            self.filenames += [os.path.relpath(p, root) for p in found]
            labels += [number] * len(found)
        self.classes = self.labels = np.array(labels, "int32")
        self.filepaths = [os.path.join(self.directory, f) for f in self.filenames]
        self.samples = len(self.filenames)
        channels = {"grayscale": 1, "rgb": 3, "rgba": 4}[color_mode]
        last = self.data_format == "channels_last"
        self.image_shape = (*self.target_size, channels) if last else (channels, *self.target_size)
        print(f"Found {self.samples} images belonging to {self.num_classes} classes.")
        super().__init__(self.samples, batch_size, shuffle, seed)

    def _batch(self, chosen):
        generator = self.image_data_generator
        batch = np.zeros((len(chosen), *self.image_shape), self.dtype)
        for row, i in zip(batch, chosen):
            image = load_img(
                self.filepaths[i], self.color_mode, self.target_size, self.interpolation, self.keep_aspect_ratio
            )
            x = img_to_array(image, self.data_format, self.dtype)
            row[...] = generator.standardize(generator.random_transform(x))
        self._save(batch, chosen)
        if self.class_mode is None:
            return batch
        labels = self.classes[chosen]
        if self.class_mode == "input":
            return batch, batch.copy()
        if self.class_mode == "categorical":
            return batch, np.eye(self.num_classes, dtype=self.dtype)[labels]
        return batch, labels.astype(self.dtype)


def _images_below(folder: Path, follow_links: bool) -> Iterates[str]:
    for place, _, files in os.walk(folder, followlinks=follow_links):
        yield from (os.path.join(place, f) for f in files if f.lower().endswith(_ENDINGS))


class ImageDataGenerator:
    """Batches of images, varied at random each time and standardized.

    Args:
        featurewise_center: Subtract the mean of the data set (see `fit`).
        samplewise_center: Subtract each image's mean.
        featurewise_std_normalization: Divide by the deviation of the data set.
        samplewise_std_normalization: Divide by each image's deviation.
        zca_whitening: Make pixels uncorrelated.
        zca_epsilon: Keeps the whitening finite.
        rotation_range: Degrees.
        width_shift_range: Fraction of the width, pixels if 1 or more, or a list to choose from.
        height_shift_range: The same for the height.
        brightness_range: Two factors.
        shear_range: Degrees.
        zoom_range: Two factors, or a number z for 1 - z to 1 + z.
        channel_shift_range: Largest shift of channel values.
        fill_mode: What stands outside: nearest, constant, reflect, wrap.
        cval: The value of "constant".
        horizontal_flip: Mirror at random left to right.
        vertical_flip: Mirror at random upside down.
        rescale: Factor for all values, after the variations.
        preprocessing_function: Called with each varied image.
        data_format: `"channels_last"` or `"channels_first"`.
        validation_split: Fraction of `subset="validation"`.
        interpolation_order: 0 for the nearest pixel, 1 for bilinear.
        dtype: dtype of batches.

    >>> batches = ImageDataGenerator(rescale=1 / 255).flow(np.ones((5, 8, 8, 3)), np.arange(5), batch_size=2)
    >>> len(batches), batches[0][0].shape
    (3, (2, 8, 8, 3))
    """

    def __init__(
        self, featurewise_center: bool = False, samplewise_center: bool = False,
        featurewise_std_normalization: bool = False, samplewise_std_normalization: bool = False,
        zca_whitening: bool = False, zca_epsilon: float = 1e-6, rotation_range: float = 0,
        width_shift_range: Any = 0.0, height_shift_range: Any = 0.0, brightness_range: Any = None,
        shear_range: float = 0.0, zoom_range: Any = 0.0, channel_shift_range: float = 0.0, fill_mode: str = "nearest",
        cval: float = 0.0, horizontal_flip: bool = False, vertical_flip: bool = False, rescale: float | None = None,
        preprocessing_function: Callable | None = None, data_format: str | None = None, validation_split: float = 0.0,
        interpolation_order: int = 1, dtype: Any = None,
    ):  # fmt: skip
        if validation_split and not 0 < validation_split < 1:
            raise ValueError(f"ImageDataGenerator: validation_split must be between 0 and 1, got {validation_split}.")
        if isinstance(zoom_range, (int, float)):
            zoom_range = (1 - zoom_range, 1 + zoom_range)
        if len(zoom_range) != 2:
            raise ValueError(f"ImageDataGenerator: zoom_range must be a number or two, got {zoom_range!r}.")
        self.featurewise_center = featurewise_center or featurewise_std_normalization or zca_whitening
        self.samplewise_center = samplewise_center or samplewise_std_normalization
        self.featurewise_std_normalization = featurewise_std_normalization
        self.samplewise_std_normalization = samplewise_std_normalization
        self.zca_whitening, self.zca_epsilon = zca_whitening, zca_epsilon
        self.rotation_range, self.shear_range, self.zoom_range = rotation_range, shear_range, tuple(zoom_range)
        self.width_shift_range, self.height_shift_range = width_shift_range, height_shift_range
        self.brightness_range, self.channel_shift_range = brightness_range, channel_shift_range
        self.fill_mode, self.cval, self.interpolation_order = fill_mode, cval, interpolation_order
        self.horizontal_flip, self.vertical_flip = horizontal_flip, vertical_flip
        self.rescale, self.preprocessing_function = rescale, preprocessing_function
        self.data_format = config.standardize_data_format(data_format)
        self.dtype = dtype or config.floatx()
        self._validation_split = validation_split
        first = self.data_format == "channels_first"
        # Axes in one image.
        self.channel_axis, self.row_axis, self.col_axis = (0, 1, 2) if first else (2, 0, 1)
        self.mean: Any = None
        self.std: Any = None
        self.zca_whitening_matrix: Any = None

    def flow(
        self, x: Any, y: Any = None, batch_size: int = 32, shuffle: bool = True, sample_weight: Any = None,
        seed: int | None = None, save_to_dir: Any = None, save_prefix: str = "", save_format: str = "png",
        ignore_class_split: bool = False, subset: str | None = None,
    ) -> NumpyArrayIterator:  # fmt: skip
        """Return batches of varied images from an array."""
        return NumpyArrayIterator(
            x, y, self, batch_size, shuffle, sample_weight, seed, self.data_format, save_to_dir, save_prefix,
            save_format, subset, ignore_class_split, self.dtype,
        )  # fmt: skip

    def flow_from_directory(self, directory: Any, target_size: tuple[int, int] = (256, 256), **kwargs: Any):
        """Return batches of varied images from a folder with one folder a class; arguments of `DirectoryIterator`."""
        kwargs.setdefault("data_format", self.data_format)
        kwargs.setdefault("dtype", self.dtype)
        return DirectoryIterator(directory, self, target_size, **kwargs)

    def standardize(self, x: np.ndarray) -> np.ndarray:
        """Return an image after `preprocessing_function`, scaling, centering and whitening."""
        if self.preprocessing_function:
            x = self.preprocessing_function(x)
        x = np.array(x, self.dtype)
        if self.rescale:
            x *= self.rescale
        if self.samplewise_center:
            x -= x.mean(keepdims=True)
        if self.samplewise_std_normalization:
            x /= x.std(keepdims=True) + 1e-6
        for wanted, name in (("featurewise_center", "mean"), ("featurewise_std_normalization", "std")):
            if getattr(self, wanted) and getattr(self, name) is None:
                raise ValueError(f"ImageDataGenerator: {wanted} needs the data's {name}. Call fit(x) with some images.")
        if self.featurewise_center:
            x -= self.mean
        if self.featurewise_std_normalization:
            x /= self.std + 1e-6
        if self.zca_whitening:
            x = (x.reshape(1, -1) @ self.zca_whitening_matrix).reshape(x.shape)
        return x

    def _shift(self, asked: Any, size: int) -> float:
        if isinstance(asked, (list, tuple, np.ndarray)):
            return float(np.random.choice(asked)) * np.random.choice([-1, 1])
        if isinstance(asked, int):
            return float(np.random.randint(-asked, asked + 1))
        return np.random.uniform(-asked, asked) * (size if asked < 1 else 1)

    def get_random_transform(self, img_shape: tuple[int, ...], seed: int | None = None) -> dict[str, Any]:
        """Draw the variations of one image, as `apply_transform` takes them."""
        if seed is not None:
            np.random.seed(seed)
        uniform = np.random.uniform
        zoom = (1.0, 1.0) if self.zoom_range == (1, 1) else tuple(uniform(*self.zoom_range, 2))
        return {
            "theta": uniform(-self.rotation_range, self.rotation_range) if self.rotation_range else 0,
            "tx": self._shift(self.width_shift_range, img_shape[self.col_axis]) if _any(self.width_shift_range) else 0,
            "ty": self._shift(self.height_shift_range, img_shape[self.row_axis]) if _any(self.height_shift_range) else 0,
            "shear": uniform(-self.shear_range, self.shear_range) if self.shear_range else 0,
            "zx": zoom[0],
            "zy": zoom[1],
            "flip_horizontal": bool(self.horizontal_flip and np.random.random() < 0.5),
            "flip_vertical": bool(self.vertical_flip and np.random.random() < 0.5),
            "channel_shift_intensity": uniform(-self.channel_shift_range, self.channel_shift_range) or None,
            "brightness": uniform(*self.brightness_range) if self.brightness_range is not None else None,
        }

    def apply_transform(self, x: np.ndarray, transform_parameters: dict[str, Any]) -> np.ndarray:
        """Return an image varied as `get_random_transform` says."""
        how = transform_parameters
        x = apply_affine_transform(
            x, **{k: how[k] for k in ("theta", "tx", "ty", "shear", "zx", "zy") if k in how},
            row_axis=self.row_axis, col_axis=self.col_axis, channel_axis=self.channel_axis,
            fill_mode=self.fill_mode, cval=self.cval, order=self.interpolation_order,
        )  # fmt: skip
        if how.get("channel_shift_intensity") is not None:
            x = apply_channel_shift(x, how["channel_shift_intensity"], self.channel_axis)
        x = np.flip(x, self.col_axis) if how.get("flip_horizontal") else x
        x = np.flip(x, self.row_axis) if how.get("flip_vertical") else x
        return x if how.get("brightness") is None else apply_brightness_shift(x, how["brightness"], False)

    def random_transform(self, x: np.ndarray, seed: int | None = None) -> np.ndarray:
        """Return an image varied at random."""
        return self.apply_transform(x, self.get_random_transform(x.shape, seed))

    def fit(self, x: Any, augment: bool = False, rounds: int = 1, seed: int | None = None) -> None:
        """Find the mean, the deviation and the whitening of images (n, ...), varied ones with `augment`."""
        x = np.array(x, self.dtype)
        if x.ndim != 4:
            raise ValueError(f"ImageDataGenerator.fit: x must have rank 4, its shape is {x.shape}.")
        if seed is not None:
            np.random.seed(seed)
        if augment:
            x = np.stack([self.random_transform(image) for _ in range(rounds) for image in x])
        axes = tuple(a for a in range(4) if a != self.channel_axis + 1)
        shape = tuple(x.shape[a] if a == self.channel_axis + 1 else 1 for a in range(1, 4))
        if self.featurewise_center:
            self.mean = x.mean(axis=axes).reshape(shape)
            x = x - self.mean
        if self.featurewise_std_normalization:
            self.std = x.std(axis=axes).reshape(shape)
            x = x / (self.std + 1e-6)
        if self.zca_whitening:
            flat = x.reshape(len(x), -1)
            u, s, _ = np.linalg.svd(flat.T @ flat / len(flat))
            self.zca_whitening_matrix = (u / np.sqrt(s + self.zca_epsilon)) @ u.T


def _any(asked: Any) -> bool:
    return bool(np.any(asked))
