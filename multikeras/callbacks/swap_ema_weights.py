"""Evaluate and save with the moving averages of the weights."""

from multikeras.callbacks.callback import Callback


class SwapEMAWeights(Callback):
    """Put the moving averages of the weights in place for evaluation and prediction, and the weights back after.

    The optimizer must have been made with `use_ema=True`.

    Args:
        swap_on_epoch: Whether to swap at the end of each epoch, before other callbacks save, and back at its begin.
    """

    def __init__(self, swap_on_epoch=False):
        super().__init__()
        self.swap_on_epoch = swap_on_epoch
        self._swapped = False

    def _optimizer(self):
        optimizer = getattr(self.model, "optimizer", None)
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        if not getattr(optimizer, "use_ema", False):
            raise ValueError("SwapEMAWeights must be used when `use_ema=True` is set on the optimizer.")
        return optimizer

    def _swap(self):
        optimizer = self._optimizer()
        if not hasattr(optimizer, "_model_variables_moving_average"):
            raise ValueError("SwapEMAWeights: the optimizer is not built yet. Train first.")
        for variable, average in zip(optimizer._trainable_variables, optimizer._model_variables_moving_average):
            if average is None:
                continue
            value = variable.numpy()
            variable.assign(average.numpy())
            average.assign(value)
        self._swapped = not self._swapped

    def on_epoch_begin(self, epoch, logs=None):
        if self.swap_on_epoch and self._swapped:
            self._swap()

    def on_epoch_end(self, epoch, logs=None):
        if self.swap_on_epoch and not self._swapped:
            self._swap()

    def on_test_begin(self, logs=None):
        if not self._swapped:
            self._swap()

    def on_test_end(self, logs=None):
        if self._swapped:
            self._swap()

    def on_predict_begin(self, logs=None):
        if not self.swap_on_epoch and not self._swapped:
            self._swap()

    def on_predict_end(self, logs=None):
        if not self.swap_on_epoch and self._swapped:
            self._swap()

    def on_train_interrupt(self, error):
        if self._swapped:
            self._swap()
