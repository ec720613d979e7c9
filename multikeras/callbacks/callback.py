"""`Callback`: what fit, evaluate and predict call as they go on."""

from typing import Any


class Callback:
    """Base of callbacks: override the methods of the moments you want to see.

    As soon as one callback overrides a method of single training batches, fit runs batch by batch instead of many
    steps a dispatch.

    Attributes:
        params: Dict with `epochs`, `steps` and `verbose`.
        model: The model.

    >>> import multikeras as mk
    >>> class Count(mk.callbacks.Callback):
    ...     epochs = 0
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         self.epochs += 1
    >>> Count().epochs
    0
    """

    def __init__(self):
        self.params: dict[str, Any] | None = None
        self._model: Any = None

    @property
    def model(self) -> Any:
        return getattr(self, "_model", None)

    def set_params(self, params: dict[str, Any]) -> None:
        """Take the parameters of a run."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Take the model of a run."""
        self._model = model

    def on_batch_begin(self, batch, logs=None):
        """Do something before a training batch."""

    def on_batch_end(self, batch, logs=None):
        """Do something after a training batch."""

    def on_train_batch_begin(self, batch, logs=None):
        """Do something before a training batch."""
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch, logs=None):
        """Do something after a training batch; `logs` holds the metrics so far."""
        self.on_batch_end(batch, logs=logs)

    def on_test_batch_begin(self, batch, logs=None):
        """Do something before a batch of evaluation."""

    def on_test_batch_end(self, batch, logs=None):
        """Do something after a batch of evaluation."""

    def on_predict_batch_begin(self, batch, logs=None):
        """Do something before a batch of prediction."""

    def on_predict_batch_end(self, batch, logs=None):
        """Do something after a batch of prediction; `logs["outputs"]` holds the outputs."""

    def on_epoch_begin(self, epoch, logs=None):
        """Do something before an epoch."""

    def on_epoch_end(self, epoch, logs=None):
        """Do something after an epoch; `logs` holds its metrics, those of validation under `val_` names."""

    def on_train_begin(self, logs=None):
        """Do something before training."""

    def on_train_end(self, logs=None):
        """Do something after training."""

    def on_test_begin(self, logs=None):
        """Do something before evaluation."""

    def on_test_end(self, logs=None):
        """Do something after evaluation."""

    def on_predict_begin(self, logs=None):
        """Do something before prediction."""

    def on_predict_end(self, logs=None):
        """Do something after prediction."""


def observes(callback: Callback, *methods: str) -> bool:
    """Tell whether a callback overrides one of `methods`, in its class or on the instance."""
    return any(getattr(type(callback), m, None) is not getattr(Callback, m) or m in vars(callback) for m in methods)
