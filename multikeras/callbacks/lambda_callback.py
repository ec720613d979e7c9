"""A callback made of functions."""

from multikeras.callbacks.callback import Callback


class LambdaCallback(Callback):
    """Call given functions at the moments they are named after.

    Args:
        on_epoch_begin, on_epoch_end: Called with (epoch, logs).
        on_train_begin, on_train_end: Called with (logs).
        on_train_batch_begin, on_train_batch_end: Called with (batch, logs).
        kwargs: Any other moment of `Callback` by name.
    """

    def __init__(
        self, on_epoch_begin=None, on_epoch_end=None, on_train_begin=None, on_train_end=None, on_train_batch_begin=None,
        on_train_batch_end=None, **kwargs,
    ):  # fmt: skip
        super().__init__()
        given = dict(
            on_epoch_begin=on_epoch_begin, on_epoch_end=on_epoch_end, on_train_begin=on_train_begin, on_train_end=on_train_end,
            on_train_batch_begin=on_train_batch_begin, on_train_batch_end=on_train_batch_end,
        )  # fmt: skip
        for name, function in {**given, **kwargs}.items():
            if function is not None or name in kwargs:
                setattr(self, name, function)
