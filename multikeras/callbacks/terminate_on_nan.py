"""Stop when the loss is no longer a number."""

import math
from typing import Any

from multikeras.callbacks.callback import Callback
from multikeras.utils.progbar import print_msg


class TerminateOnNaN(Callback):
    """Stop training at the first batch whose loss is NaN or infinite.

    Where several steps are one dispatch the loss is looked at after each dispatch.

    Args:
        raise_error: Raise RuntimeError instead of stopping quietly.
        explain: Say where it began. The state before each dispatch is kept; if the loss or a weight is not finite after it,
            its steps run again one by one, and the first bad one with a look at every op and layer, on the way forward
            and on the way back. Weights stay as training left them. Costs a copy of all variables a dispatch.

    Attributes:
        finding: With `explain`, what was found: `stage`, `name`, `layers`, `inputs`, `result`, `epoch`, `batch`; printing
            it gives the text that was shown.

    >>> from multikeras import callbacks
    >>> callbacks.TerminateOnNaN(explain=True).finding is None
    True
    """

    takes_chunks = True

    def __init__(self, raise_error: bool = False, explain: bool = False):
        super().__init__()
        self.raise_error, self.explain = raise_error, explain
        self.finding: Any = None

    def on_batch_begin(self, batch, logs=None):
        if self.explain:
            self.model._run.remember()

    def on_batch_end(self, batch, logs=None):
        loss = (logs or {}).get("loss")
        bad = loss is not None and not math.isfinite(loss)
        if not bad and not (self.explain and not self.model._run.is_finite()):
            return
        why = f"the loss is {float(loss)}" if bad else "weights are not finite"
        if self.explain:
            self.finding = self.model._run.explain()
            why += f".\n{self.finding}" if self.finding else "; it did not come again when the steps were run again one by one."
        if self.raise_error:
            raise RuntimeError(
                f"NaN or Inf loss encountered at batch {batch}: {why}\nLook for a learning rate that is too large, logarithms "
                "or divisions of zero, and bad values in the data."
            )
        print_msg(f"Batch {batch}: Invalid loss, terminating training" + (f": {why}" if self.explain else ""))
        self.model.stop_training = True

    def on_chunk_end(self, mode, batch, results):
        if mode == "train":
            self.on_batch_end(batch, results())
