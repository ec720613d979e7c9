"""Curves, weights and the graph of a model for TensorBoard."""

import contextlib
import os
import struct
import time
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from multikeras.backend import current
from multikeras.callbacks import _events
from multikeras.callbacks.callback import Callback
from multikeras.utils.graph import arrows

_MOST_IMAGES = 64


class TensorBoard(Callback):
    """Write what TensorBoard shows; look at it with `tensorboard --logdir logs`.

    The files are written here, so that neither TensorFlow nor TensorBoard is needed to make them.

    Args:
        log_dir: Folder; training goes to its `train`, validation to its `validation`.
        histogram_freq: Epochs from one histogram of all weights to the next, 0 for none.
        write_graph: Whether to write the graph of layers.
        write_images: Whether histograms come with the weights as pictures.
        write_steps_per_second: Whether to write the speed.
        update_freq: "epoch", "batch" or a number of batches: how often metrics of training are written.
        profile_batch: A batch, or the first and the last of several, that the framework's profiler records; 0 for none.
        embeddings_freq: Epochs from one table of embeddings to the next, 0 for none.
        embeddings_metadata: File with the names of rows, for all Embedding layers or by the name of the layer.

    >>> from multikeras import callbacks
    >>> callbacks.TensorBoard("logs", histogram_freq=1).update_freq
    'epoch'
    """

    takes_chunks = True
    writes_files = True

    def __init__(
        self, log_dir="logs", histogram_freq=0, write_graph=True, write_images=False, write_steps_per_second=False,
        update_freq="epoch", profile_batch=0, embeddings_freq=0, embeddings_metadata=None,
    ):  # fmt: skip
        super().__init__()
        self.log_dir = os.fspath(log_dir)
        self.histogram_freq, self.write_graph, self.write_images = histogram_freq, write_graph, write_images
        self.write_steps_per_second, self.profile_batch = write_steps_per_second, profile_batch
        self.update_freq = 1 if update_freq == "batch" else update_freq
        self.embeddings_freq, self.embeddings_metadata = embeddings_freq, embeddings_metadata
        self._profiled = _range(profile_batch)
        self._profile: Any = None
        self._writers: dict[str, _events.EventWriter] = {}
        self._step = self._seen = self._written_graph = 0
        self._mark = (0.0, 0)
        if self._profiled:
            try:
                current.profiler(self.log_dir)
            except RuntimeError as error:
                warnings.warn(f"TensorBoard: no profile is recorded, {error}.", stacklevel=2)
                self._profiled = None

    def get_state(self):
        return {"_step": self._step}

    def set_model(self, model):
        super().set_model(model)
        if self.embeddings_freq:
            self._write_projector()

    def writer(self, name: str) -> _events.EventWriter:
        """Return the file of "train" or "validation"."""
        if name not in self._writers:
            self._writers[name] = _events.EventWriter(Path(self.log_dir) / name)
        return self._writers[name]

    def _scalars(self, writer: str, logs: dict[str, Any], step: int, prefix: str, suffix: str = "") -> None:
        values = {k: v for k, v in logs.items() if np.ndim(v) == 0 and not isinstance(v, str)}
        if values:
            summaries = [_events.scalar(f"{prefix}{k}{suffix}", float(v)) for k, v in values.items()]
            self.writer(writer).add(b"".join(summaries), step)

    # -- training ------------------------------------------------------------------------------------------------------

    def on_train_begin(self, logs=None):
        self._step = _iterations(self.model)
        if self.write_graph and not self._written_graph and getattr(self.model, "built", False):
            self._write_graph()
            self._written_graph = 1

    def on_epoch_begin(self, epoch, logs=None):
        self._seen = getattr(getattr(self.model, "_run", None), "batch", 0)
        self._mark = self._epoch_mark = (time.perf_counter(), self._step)

    def batches_until_due(self):
        if self._profiled and self._step <= self._profiled[1]:
            return 1
        return None if self.update_freq == "epoch" else self.update_freq - self._step % self.update_freq

    def on_train_batch_begin(self, batch, logs=None):
        if self._profiled and self._profile is None and self._profiled[0] <= self._step + 1 <= self._profiled[1]:
            self._profile = current.profiler(str(Path(self.log_dir) / "train"))
            self._profile.__enter__()

    def on_train_batch_end(self, batch, logs=None):
        self._batches_done(batch, lambda: logs)

    def on_chunk_end(self, mode, batch, results):
        if mode == "train":
            self._batches_done(batch, results)

    def _batches_done(self, batch, results) -> None:
        self._step += batch + 1 - self._seen
        self._seen = batch + 1
        if self._profile is not None and self._step >= self._profiled[1]:
            self._end_profile()
        if self.update_freq == "epoch" or self._step % self.update_freq:
            return
        if self.write_steps_per_second:
            self._scalars("train", {"steps_per_second": _speed(self._mark, self._step)}, self._step, "batch_")
            self._mark = (time.perf_counter(), self._step)
        self._scalars("train", results() or {}, self._step, "batch_")

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        train = {k: v for k, v in logs.items() if not k.startswith("val_")}
        rate = getattr(getattr(self.model, "optimizer", None), "learning_rate", None)
        if rate is not None:
            train["learning_rate"] = float(current.to_numpy(getattr(rate, "value", rate)))
        if self.write_steps_per_second:
            train["steps_per_second"] = _speed(self._epoch_mark, self._step)
        self._scalars("train", train, epoch, "epoch_")
        self._scalars("validation", {k[4:]: v for k, v in logs.items() if k.startswith("val_")}, epoch, "epoch_")
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            self._write_weights(epoch)
        if self.embeddings_freq and epoch % self.embeddings_freq == 0:
            self._write_embeddings()
        for writer in self._writers.values():
            writer.flush()

    def on_test_end(self, logs=None):
        if logs and getattr(self.model, "optimizer", None) is not None:
            self._scalars("validation", logs, _iterations(self.model), "evaluation_", "_vs_iterations")

    def on_train_end(self, logs=None):
        self._end_profile()
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def on_train_interrupt(self, error):
        self.on_train_end()

    def _end_profile(self) -> None:
        if self._profile is not None:
            self._profile.__exit__(None, None, None)
            self._profile = None
            self._profiled = None

    # -- what is not a curve -------------------------------------------------------------------------------------------

    def _write_graph(self) -> None:
        layers = getattr(self.model, "layers", None) or [self.model]
        inputs: dict[int, list[str]] = {}
        for start, end in arrows(layers):
            inputs.setdefault(id(end), []).append(start.name)
        nodes = [(x.name, type(x).__name__, inputs.get(id(x), []), _described(x)) for x in layers]
        self.writer("train").add_graph(_events.graph(nodes))
        with contextlib.suppress(Exception):  # a model whose config is not offered has no conceptual graph
            self.writer("train").add(_events.text("keras", "graph_keras_model", self.model.to_json()), 0)

    def _write_weights(self, epoch: int) -> None:
        for weight in self.model.weights:
            value = weight.numpy().astype("float32")
            self.writer("train").add(_events.histogram(f"{weight.path}/histogram", value), epoch)
            if self.write_images:
                pictures = _pictures(value)
                if pictures:
                    height, width = pictures[0].shape
                    found = _events.image(f"{weight.path}/image", [png(p) for p in pictures], width, height)
                    self.writer("train").add(found, epoch)

    def _embeddings(self) -> dict[str, Any]:
        layers = getattr(self.model, "layers", ())
        return {x.name: x for x in layers if type(x).__name__ == "Embedding"}

    def _write_projector(self) -> None:
        """Tell TensorBoard's projector where tables of embeddings are."""
        given, layers = self.embeddings_metadata, self._embeddings()
        if isinstance(given, dict) and given.keys() - layers.keys():
            raise ValueError(
                f"TensorBoard: embeddings_metadata names {sorted(given.keys() - layers.keys())}, the Embedding layers are "
                f"{sorted(layers)}."
            )
        text = ""
        for name in layers:
            metadata = given.get(name) if isinstance(given, dict) else given
            path = "" if metadata is None else f'  metadata_path: "{os.fspath(metadata)}"\n'
            text += f'embeddings {{\n  tensor_name: "{name}/embeddings"\n{path}  tensor_path: "{name}.tsv"\n}}\n'
        Path(self.log_dir).mkdir(parents=True, exist_ok=True)
        (Path(self.log_dir) / "projector_config.pbtxt").write_text(text)

    def _write_embeddings(self) -> None:
        for name, layer in self._embeddings().items():
            np.savetxt(Path(self.log_dir) / f"{name}.tsv", layer.embeddings.numpy(), "%.6g", "\t")


def _range(profile_batch: Any) -> tuple[int, int] | None:
    """Return the first and last batch to profile, counted from 1."""
    if isinstance(profile_batch, str):
        profile_batch = [int(n) for n in profile_batch.split(",")]
    first, last = (profile_batch, profile_batch) if isinstance(profile_batch, int) else profile_batch
    if first < 0 or last < first:
        raise ValueError(
            f"TensorBoard: profile_batch must be a batch or a pair of first and last, got {profile_batch!r}."
        )
    return (first, last) if first else None


def _iterations(model: Any) -> int:
    optimizer = getattr(model, "optimizer", None)
    return 0 if optimizer is None else int(optimizer.iterations.numpy())


def _speed(mark: tuple[float, int], step: int) -> float:
    return (step - mark[1]) / max(time.perf_counter() - mark[0], 1e-9)


def _described(layer: Any) -> dict[str, str]:
    shape = getattr(layer, "output", None)
    return {"shape": str(getattr(shape, "shape", "?")), "dtype": str(getattr(layer, "compute_dtype", "?"))}


def _pictures(value: np.ndarray) -> list[np.ndarray]:
    """Return a weight as grey pictures: one for vectors and matrices, one a filter for kernels of convolutions."""
    if value.ndim == 0 or value.ndim > 4 or value.size == 0:
        return []
    if value.ndim == 1:
        value = value[None, :]
    if value.ndim == 2:
        value = value if value.shape[0] <= value.shape[1] else value.T
        return [value]
    planes = value.reshape(value.shape[0], -1, 1) if value.ndim == 3 else value.reshape(*value.shape[:2], -1)
    return [planes[..., i] for i in range(min(planes.shape[-1], _MOST_IMAGES))]


def png(grey: np.ndarray) -> bytes:
    """Return a matrix as a grey PNG file, from its least value in black to its greatest in white."""
    low, high = float(grey.min()), float(grey.max())
    pixels = ((grey - low) / ((high - low) or 1.0) * 255).astype("uint8")
    rows = np.pad(pixels, ((0, 0), (1, 0))).tobytes()  # each row begins with the number of its filter, none

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
