"""Data sets made of the files in a directory: images, texts, sounds; one sub-directory a class."""

import os
import wave
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from multikeras import config
from multikeras.utils.dataset import Dataset, native
from multikeras.utils.images import centered_box, img_to_array, load_img
from multikeras.utils.progbar import print_msg

_IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
_MODES = ("int", "categorical", "binary", None)
_COLORS = {"grayscale": 1, "rgb": 3, "rgba": 4}
_READERS = 4


class _Files:
    """The files of a directory, their labels, and which part of them is wanted.

    Args:
        what: Name of what the files hold, for messages.
        endings: Endings of their names.
    """

    def __init__(
        self, what, endings, directory, labels, label_mode, class_names, shuffle, seed, validation_split, subset, follow_links,
        verbose,
    ):  # fmt: skip
        _check(labels, label_mode, class_names, validation_split, subset, shuffle, seed)
        if not os.path.isdir(directory):
            raise ValueError(f"directory={os.fspath(directory)!r} does not exist or is no directory.")
        labels = None if label_mode is None else labels
        self.mode = None if labels is None else label_mode
        inferred = isinstance(labels, str)
        folders = sorted(e.name for e in os.scandir(directory) if e.is_dir(follow_symlinks=True)) if inferred else [""]
        if class_names is not None and inferred and set(class_names) != set(folders):
            raise ValueError(
                f"The `class_names` passed did not match the names of the sub-directories: got {list(class_names)}, found "
                f"{folders}."
            )
        self.class_names = list(class_names or folders) if inferred else sorted({str(v) for v in labels or ()})
        found = [(p, i) for i, name in enumerate(self.class_names if inferred else [""])
                 for p in _walk(Path(directory) / name, endings, follow_links)]  # fmt: skip
        self.paths = [str(p) for p, _ in found]
        if not inferred and labels is not None and len(labels) != len(self.paths):
            raise ValueError(
                f"Expected the lengths of `labels` to match the number of files in the target directory: {len(labels)} labels, "
                f"{len(self.paths)} files in {os.fspath(directory)!r}."
            )
        self.labels = [i for _, i in found] if inferred or labels is None else list(labels)
        if self.mode == "binary" and len(self.class_names) != 2:
            raise ValueError(
                f'When passing `label_mode="binary"`, there must be exactly 2 `class_names`, got {self.class_names}.'
            )
        if not self.paths:
            raise ValueError(f"No {what} found in directory {os.fspath(directory)}. Allowed formats: {endings}")
        if verbose:
            of = f" belonging to {len(self.class_names)} classes" if labels is not None else ""
            print_msg(f"Found {len(self.paths)} files{of}.")
        self.seed = int(np.random.randint(1_000_000)) if seed is None else int(seed)
        if shuffle:
            order = np.arange(len(self.paths))
            np.random.RandomState(self.seed).shuffle(order)
            self.paths, self.labels = [self.paths[i] for i in order], [self.labels[i] for i in order]
        self.shuffle, self.split, self.subset, self.verbose = shuffle, validation_split, subset, verbose

    def datasets(self, read: Callable, batch_size: int | None) -> Any:
        """Return the data set, or those of training and validation."""
        if not self.split:
            return self._dataset(slice(None), read, batch_size)
        held_out = int(self.split * len(self.paths))
        cut = len(self.paths) - held_out
        parts = {"training": slice(0, cut), "validation": slice(cut, None)}
        if self.verbose:
            wanted = parts if self.subset == "both" else (self.subset,)
            for name in wanted:
                print_msg(f"Using {cut if name == 'training' else held_out} files for {name}.")
        if self.subset == "both":
            return tuple(self._dataset(part, read, batch_size) for part in parts.values())
        return self._dataset(parts[self.subset], read, batch_size)

    def _dataset(self, part: slice, read: Callable, batch_size: int | None) -> Any:
        paths, labels = self.paths[part], self._encoded(np.asarray(self.labels[part]))
        rows = Dataset.from_tensor_slices((np.asarray(paths, dtype=object), labels))
        if self.shuffle:
            rows = rows.shuffle(None if batch_size is None else batch_size * 8, seed=self.seed)
        mode = self.mode
        data = rows.map(lambda path, label: read(path) if mode is None else (read(path), label), _READERS)
        data = data if batch_size is None else data.batch(batch_size)
        data.class_names, data.file_paths = (None if mode is None else self.class_names), paths
        return native(data, batched=batch_size is not None)

    def _encoded(self, labels: np.ndarray) -> np.ndarray:
        if self.mode == "binary":
            return labels.astype("float32")[:, None]
        if self.mode == "categorical":
            return np.eye(len(self.class_names), dtype="float32")[labels.astype("int64")]
        return labels.astype("int32")


def _walk(folder: Path, endings: Sequence[str], follow_links: bool) -> list[Path]:
    found = []
    for root, folders, names in os.walk(folder, followlinks=follow_links):
        folders.sort()
        found += [Path(root) / name for name in sorted(names) if name.lower().endswith(tuple(endings))]
    return sorted(found)


def _check(labels, label_mode, class_names, validation_split, subset, shuffle, seed) -> None:
    if labels not in ("inferred", None) if isinstance(labels, str) or labels is None else not isinstance(labels, (list, tuple)):
        raise ValueError(
            "`labels` argument should be a list or tuple of integers, one a file in the order of their paths, 'inferred' to take "
            f"them from the sub-directories, or None; got {labels!r}."
        )
    if label_mode not in _MODES:
        raise ValueError(f"`label_mode` argument must be one of int, categorical, binary and None, got {label_mode!r}.")
    if labels != "inferred" and class_names is not None:
        raise ValueError('You can only pass `class_names` if `labels="inferred"`.')
    if validation_split and not 0 < validation_split < 1:
        raise ValueError(f"`validation_split` must be between 0 and 1, got {validation_split}.")
    if (validation_split or subset) and not (validation_split and subset):
        missing, given = ("subset", "validation_split") if validation_split else ("validation_split", "subset")
        raise ValueError(f"If `{given}` is set, `{missing}` must be set too.")
    if subset not in ("training", "validation", "both", None):
        raise ValueError(f'`subset` must be either "training", "validation" or "both", got {subset!r}.')
    if validation_split and shuffle and seed is None:
        raise ValueError(
            "With `validation_split` and shuffling you must provide a `seed`, so that training and validation do not overlap."
        )


def _check_format(format: str) -> None:
    if format not in ("tf", "grain"):
        raise ValueError(f'`format` should be either "tf" or "grain", got {format!r}.')


def image_dataset_from_directory(
    directory, labels="inferred", label_mode="int", class_names=None, color_mode="rgb", batch_size=32, image_size=(256, 256),
    shuffle=True, seed=None, validation_split=None, subset=None, interpolation="bilinear", follow_links=False,
    crop_to_aspect_ratio=False, pad_to_aspect_ratio=False, data_format=None, format="tf", verbose=True,
):  # fmt: skip
    """Return batches of the images in a directory, float32 from 0 to 255, and of their labels.

    A `tf.data` set where TensorFlow is loaded, a `utils.Dataset` elsewhere, with `class_names` and `file_paths`.

    Args:
        directory: Where the images are; one sub-directory a class, in the order of their names.
        labels: "inferred", None, or a list of integers for the files sorted by path.
        label_mode: "int", "categorical" (one-hot), "binary" (0.0 or 1.0), or None for images only.
        class_names: Names of the sub-directories in the order of the labels.
        color_mode: "grayscale", "rgb" or "rgba".
        batch_size: Images a batch; None for single images.
        image_size: Height and width that all are brought to.
        shuffle: Whether to draw files at random.
        seed: Seed of that.
        validation_split: Share that is held out.
        subset: "training", "validation" or "both" of them.
        interpolation: How sizes are changed: "bilinear", "nearest", "bicubic", "lanczos3", "area", ...
        follow_links: Whether links to directories are followed.
        crop_to_aspect_ratio: Cut the middle out instead of distorting.
        pad_to_aspect_ratio: Add a border of zeros instead of distorting.
        data_format: "channels_last" or "channels_first".
        format: Kept for programs that give it, "tf" or "grain".
        verbose: Whether to say how many files were found.
    """
    _check_format(format)
    if color_mode not in _COLORS:
        raise ValueError(f"`color_mode` must be one of {{{', '.join(_COLORS)}}}, got {color_mode!r}.")
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError("Only one of `pad_to_aspect_ratio` and `crop_to_aspect_ratio` can be True.")
    data_format = config.standardize_data_format(data_format)
    files = _Files("images", _IMAGES, directory, labels, label_mode, class_names, shuffle, seed, validation_split, subset,
                   follow_links, verbose)  # fmt: skip
    height, width = image_size

    def read(path):
        image = load_img(path, color_mode)
        if crop_to_aspect_ratio:
            image = image.crop(centered_box(image.height, image.width, height, width))
        x = img_to_array(image, "channels_last", "float32")
        x = _padded(x, height, width) if pad_to_aspect_ratio else x
        x = resized(x, height, width, interpolation)
        return x.transpose(2, 0, 1) if data_format == "channels_first" else x

    return files.datasets(read, batch_size)


def _padded(x: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return an image with borders of zeros that give it the target's proportions."""
    to_height, to_width = max(x.shape[0], x.shape[1] * height // width), max(x.shape[1], x.shape[0] * width // height)
    extra = to_height - x.shape[0], to_width - x.shape[1]
    return np.pad(x, [(e // 2, e - e // 2) for e in extra] + [(0, 0)])


def resized(x: np.ndarray, height: int, width: int, interpolation: str = "bilinear") -> np.ndarray:
    """Return an image of another size; "bilinear" and "nearest" take the nearest points, without smoothing.

    >>> resized(np.arange(4.0).reshape(2, 2, 1), 1, 1)[0, 0].tolist()
    [1.5]
    """
    if x.shape[:2] == (height, width):
        return x
    if interpolation == "nearest":
        rows, columns = ((np.arange(n) + 0.5) * size / n for n, size in ((height, x.shape[0]), (width, x.shape[1])))
        return x[rows.astype(int)[:, None], columns.astype(int)]
    if interpolation != "bilinear":
        from PIL import Image  # image files are read by it, so it is there

        names = {"lanczos3": "LANCZOS", "lanczos5": "LANCZOS", "area": "BOX", "gaussian": "HAMMING", "mitchellcubic": "BICUBIC"}
        kind = getattr(Image.Resampling, names.get(interpolation, interpolation.upper()), None)
        if kind is None:
            raise ValueError(f"interpolation={interpolation!r} is unknown. Take bilinear, nearest, bicubic, lanczos3 or area.")
        planes = [Image.fromarray(x[..., i]).resize((width, height), kind) for i in range(x.shape[2])]
        return np.stack([np.asarray(plane) for plane in planes], axis=-1)
    for axis, size in ((0, height), (1, width)):
        at = np.clip((np.arange(size) + 0.5) * x.shape[axis] / size - 0.5, 0, x.shape[axis] - 1)
        low = np.floor(at).astype(int)
        share = (at - low).astype(x.dtype).reshape([-1 if i == axis else 1 for i in range(3)])
        high = np.minimum(low + 1, x.shape[axis] - 1)
        x = x.take(low, axis) * (1 - share) + x.take(high, axis) * share
    return x


def text_dataset_from_directory(
    directory, labels="inferred", label_mode="int", class_names=None, batch_size=32, max_length=None, shuffle=True, seed=None,
    validation_split=None, subset=None, follow_links=False, format="tf", verbose=True,
):  # fmt: skip
    """Return batches of the texts in the `.txt` files of a directory, and of their labels.

    Texts are string tensors on TensorFlow, numpy arrays of `str` elsewhere. Arguments are those of
    `image_dataset_from_directory`; `max_length` cuts texts after so many bytes.
    """
    _check_format(format)
    files = _Files("text files", (".txt",), directory, labels, label_mode, class_names, shuffle, seed, validation_split, subset,
                   follow_links, verbose)  # fmt: skip

    def read(path):
        content = Path(path).read_bytes()
        return np.asarray((content if max_length is None else content[:max_length]).decode("utf-8", "replace"), dtype=object)

    return files.datasets(read, batch_size)


def audio_dataset_from_directory(
    directory, labels="inferred", label_mode="int", class_names=None, batch_size=32, sampling_rate=None,
    output_sequence_length=None, ragged=False, shuffle=True, seed=None, validation_split=None, subset=None, follow_links=False,
    verbose=True,
):  # fmt: skip
    """Return batches of the sounds in the `.wav` files of a directory, float32 from -1 to 1, and of their labels.

    A sound has the shape (samples, channels). Arguments are those of `image_dataset_from_directory`, and:

    Args:
        sampling_rate: Samples a second that all are brought to.
        output_sequence_length: Length that all are cut or filled to; without it those of a batch get that of its longest.
        ragged: Whether batches keep different lengths; not offered here: arrays have one length.
    """
    if sampling_rate is not None and not isinstance(sampling_rate, int):
        raise ValueError(f"`sampling_rate` should have an integer value. Received: sampling_rate={sampling_rate}")
    if sampling_rate is not None and sampling_rate <= 0:
        raise ValueError(f"`sampling_rate` should be higher than 0. Received: sampling_rate={sampling_rate}")
    if ragged and output_sequence_length is not None:
        raise ValueError("Cannot set both `ragged` and `output_sequence_length`: one length is not ragged.")
    if ragged:
        raise ValueError("ragged=True: batches of different lengths are not offered. Give output_sequence_length.")
    files = _Files("audio files", (".wav",), directory, labels, label_mode, class_names, shuffle, seed, validation_split, subset,
                   follow_links, verbose)  # fmt: skip
    length = output_sequence_length
    if length is None and batch_size is not None:
        length = max(_samples(path, sampling_rate) for path in files.paths)

    def read(path):
        x = read_wav(path, sampling_rate)
        return x if length is None else np.pad(x[:length], ((0, max(length - len(x), 0)), (0, 0)))

    return files.datasets(read, batch_size)


def _samples(path: str, rate: int | None) -> int:
    with wave.open(path, "rb") as file:
        return file.getnframes() if rate is None else round(file.getnframes() * rate / file.getframerate())


def read_wav(path: str, rate: int | None = None) -> np.ndarray:
    """Return the samples of a `.wav` file, (samples, channels) from -1 to 1, by linear interpolation at another rate."""
    with wave.open(path, "rb") as file:
        width, channels, frames = file.getsampwidth(), file.getnchannels(), file.readframes(file.getnframes())
        own = file.getframerate()
    if width not in (1, 2, 4):
        raise ValueError(f"{path!r} has {8 * width} bits a sample; 8, 16 and 32 are read.")
    x = np.frombuffer(frames, {1: "u1", 2: "<i2", 4: "<i4"}[width]).reshape(-1, channels).astype("float64")
    x = (x - 128) / 128 if width == 1 else x / 2.0 ** (8 * width - 1)
    if rate not in (None, own):
        at = np.linspace(0, len(x) - 1, round(len(x) * rate / own))  # type: ignore[operator]
        x = np.stack([np.interp(at, np.arange(len(x)), x[:, i]) for i in range(channels)], axis=1)
    return x.astype("float32")
