"""Fits of every kind of data, small and the same each time they run: python -m scenarios NAME FOLDER OUT KILL_AT."""

import os
import signal
import sys
from pathlib import Path

import numpy as np

import multikeras as mk
from multikeras import callbacks, layers

ROWS, BATCH, EPOCHS = 44, 8, 4


def arrays():
    x = np.random.RandomState(0).normal(size=(ROWS, 6)).astype("float32")
    return x, (x[:, :1] * x[:, 1:2] > 0).astype("float32")


def model_of(**options):
    mk.utils.set_random_seed(3)
    model = mk.Sequential(
        [
            mk.Input((6,)),
            layers.Dense(12, activation="tanh"),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(**{"optimizer": "adam", "loss": "binary_crossentropy", "metrics": ["accuracy", "auc"], **options})
    return model


class Dataset(mk.utils.PyDataset):
    """Shuffles its rows after each epoch, from a seed of its own."""

    def __init__(self, stateful=False, **kwargs):
        super().__init__(**kwargs)
        self.x, self.y = arrays()
        self.random = np.random.RandomState(5)
        self.order = np.arange(ROWS)
        if stateful:
            self.state_dict = lambda: {"order": self.order, "random": self.random.get_state()}
            self.load_state_dict = self._load

    def _load(self, state):
        self.order = state["order"]
        self.random.set_state(state["random"])

    @property
    def num_batches(self):
        return ROWS // BATCH

    def __getitem__(self, i):
        rows = self.order[i * BATCH : (i + 1) * BATCH]
        return self.x[rows], self.y[rows]

    def on_epoch_end(self):
        self.order = self.random.permutation(ROWS)


class StatefulBatches:
    """Draws rows at random, for ever; tells and takes its state."""

    def __init__(self):
        self.x, self.y = arrays()
        self.random = np.random.RandomState(9)
        self.given = 0

    def __iter__(self):
        return self

    def __next__(self):
        self.given += 1
        rows = self.random.randint(0, ROWS, BATCH)
        return self.x[rows], self.y[rows]

    def state_dict(self):
        return {"random": self.random.get_state(), "given": self.given}

    def load_state_dict(self, state):
        self.random.set_state(state["random"])
        self.given = state["given"]


def batches():
    random = np.random.RandomState(9)
    x, y = arrays()
    while True:
        rows = random.randint(0, ROWS, BATCH)
        yield x[rows], y[rows]


class Reopened:
    """A list of batches in a new order at each pass, as a torch loader with its own generator."""

    def __init__(self):
        self.random = np.random.RandomState(2)

    def __iter__(self):
        x, y = arrays()
        order = self.random.permutation(ROWS)
        for start in range(0, ROWS, BATCH):
            yield x[order[start : start + BATCH]], y[order[start : start + BATCH]]


def data_of(kind):
    """Return the arguments of fit that are about data."""
    x, y = arrays()
    if kind == "arrays":
        return {"x": x, "y": y, "batch_size": BATCH}
    if kind == "in_order":
        return {"x": x, "y": y, "batch_size": BATCH, "shuffle": False, "validation_split": 0.2}
    if kind == "steps":
        return {"x": x, "y": y, "batch_size": BATCH, "steps_per_epoch": 3}
    if kind == "py_dataset":
        return {"x": Dataset(), "shuffle": True, "validation_data": (x[:9], y[:9])}
    if kind == "py_dataset_threads":
        return {"x": Dataset(stateful=True, workers=2)}
    if kind == "generator":
        return {"x": batches(), "steps_per_epoch": 5, "validation_data": batches(), "validation_steps": 2}
    if kind == "stateful":
        return {"x": StatefulBatches(), "steps_per_epoch": 5}
    if kind == "stream":
        return {"x": Reopened()}
    if kind == "stream_steps":
        return {"x": Reopened(), "steps_per_epoch": 3}
    raise ValueError(kind)


KINDS = ("arrays", "in_order", "steps", "py_dataset", "py_dataset_threads", "generator", "stateful", "stream", "stream_steps")


class Mayhem(callbacks.Callback):
    """Calls a function at a training batch of the whole run."""

    takes_chunks = True

    def __init__(self, at, act):
        super().__init__()
        self.at, self.act = at, act

    def on_train_batch_end(self, batch, logs=None):
        if self.at is not None and int(self.model.optimizer.iterations.numpy()) >= self.at:
            self.act()

    def on_chunk_end(self, mode, batch, results):
        if mode == "train":
            self.on_train_batch_end(batch)

    def get_state(self):
        return {}


def fit(kind, folder, at=None, act=None, save_freq="epoch", model=None, more=(), **options):
    """Fit with backups in `folder`; `act` is called after step `at`. Return the model and the history."""
    mk.utils.clear_session()
    model = model_of() if model is None else model
    watch = [
        callbacks.BackupAndRestore(folder, save_freq=save_freq, **options),
        callbacks.EarlyStopping("loss", patience=50, restore_best_weights=False),
        callbacks.ReduceLROnPlateau("loss", patience=1, factor=0.5, min_delta=0.05),
        callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9),
        *more,
    ]
    if at is not None:
        watch.append(Mayhem(at, act))
    history = model.fit(**data_of(kind), epochs=EPOCHS, verbose=0, callbacks=watch)
    return model, history


def everything(model):
    """Return all variables of training as numpy arrays."""
    return [v.numpy() for v in model._state_of_training()]


def main(kind, folder, out, at, save_freq):
    class Slow(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            Path(out + ".steps").open("a").write("x")

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    frequency = save_freq if save_freq == "epoch" else int(save_freq)
    model, history = fit(kind, folder, int(at) if at != "-" else None, die, frequency, more=[Slow()])
    np.savez(out, *everything(model), loss=history.history["loss"], epoch=history.epoch)


if __name__ == "__main__":
    main(*sys.argv[1:])
