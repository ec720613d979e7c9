"""Callbacks that change the learning rate."""

import math

from multikeras.callbacks.callback import Callback
from multikeras.callbacks.monitor import MonitorCallback
from multikeras.utils.progbar import print_msg


class LearningRateScheduler(Callback):
    """Set the learning rate before each epoch.

    Args:
        schedule: Function of (epoch, learning rate), or of (epoch), that returns the new learning rate.
        verbose: Whether to say so.
    """

    def __init__(self, schedule, verbose=0):
        super().__init__()
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch, logs=None):
        if not hasattr(self.model.optimizer, "learning_rate"):
            raise ValueError("LearningRateScheduler: the optimizer must have a learning_rate attribute.")
        before = float(self.model.optimizer.learning_rate)
        try:
            rate = self.schedule(epoch, before)
        except TypeError:
            rate = self.schedule(epoch)
        try:
            rate = float(rate)
        except (TypeError, ValueError):
            raise ValueError(f"LearningRateScheduler: the output of `schedule` must be a float, got {rate!r}.") from None
        self.model.optimizer.learning_rate = rate
        if self.verbose > 0:
            print_msg(f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate}.")

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)


class ReduceLROnPlateau(MonitorCallback):
    """Reduce the learning rate when a metric no longer gets better.

    Args:
        monitor: Name of the metric.
        factor: What the learning rate is multiplied by, below 1.
        patience: Epochs to wait.
        verbose: Whether to say so.
        mode: "min", "max" or "auto".
        min_delta: Least change that counts as better.
        cooldown: Epochs after a reduction in which nothing is counted.
        min_lr: Least learning rate.
    """

    def __init__(
        self,
        monitor="val_loss",
        factor=0.1,
        patience=10,
        verbose=0,
        mode="auto",
        min_delta=1e-4,
        cooldown=0,
        min_lr=0.0,
        **kwargs,
    ):
        super().__init__(monitor, mode, min_delta=min_delta)
        if factor >= 1.0:
            raise ValueError(f"ReduceLROnPlateau does not support a factor >= 1.0. Got {factor}")
        if kwargs:
            raise TypeError(f"ReduceLROnPlateau: unknown arguments {sorted(kwargs)}.")
        self.factor, self.patience, self.verbose = factor, patience, verbose
        self.cooldown, self.min_lr = cooldown, min_lr
        self.wait = self.cooldown_counter = 0

    def on_train_begin(self, logs=None):
        self.best, self.wait, self.cooldown_counter = None, 0, 0

    def in_cooldown(self) -> bool:
        """Tell whether a reduction was a short time ago."""
        return self.cooldown_counter > 0

    def on_epoch_end(self, epoch, logs=None):
        if self.monitor_op is None:
            self._set_monitor_op()
        logs = logs if logs is not None else {}
        rates = [float(optimizer.learning_rate) for optimizer in self._optimizers()]
        logs |= {"learning_rate": rates[0]} if len(rates) == 1 else {f"learning_rate_{i}": r for i, r in enumerate(rates)}
        value = self._value(logs)
        if value is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self._is_improvement(value, self.best):
            self.best, self.wait = value, 0
            return
        if self.in_cooldown():
            return
        self.wait += 1
        if self.wait < self.patience:
            return
        for optimizer in self._optimizers():
            before = float(optimizer.learning_rate)
            if not math.isclose(before, self.min_lr) and before > self.min_lr:
                after = max(before * self.factor, self.min_lr)
                optimizer.learning_rate = after
                if self.verbose > 0:
                    print_msg(f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {after}.")
                self.cooldown_counter, self.wait = self.cooldown, 0

    def _optimizers(self) -> list:
        """Return the optimizers that have a learning rate: the parts of a MultiOptimizer."""
        return getattr(self.model.optimizer, "optimizers", None) or [self.model.optimizer]
