"""The train, test and predict step, once for all backends; subclasses of Model override them."""

import functools
import inspect
from typing import Any

from multikeras.backend import current, scope
from multikeras.core import tree
from multikeras.core.masking import masks_of, put_masks
from multikeras.core.tracking import unique
from multikeras.losses.loss import shared, whole
from multikeras.ops import sum as sum_of
from multikeras.utils.arrays import unpack_x_y_sample_weight


class Steps:
    """What happens to one batch."""

    optimizer: Any
    _compiled_loss: Any
    _compiled_metrics: Any
    _loss_tracker: Any

    def train_step(self, *data: Any) -> Any:
        """Take one step of gradient descent; return the metrics so far.

        An own `train_step` may use `multikeras.ops.value_and_grad(f, variables)` and `self.optimizer.apply(...)`, which
        run on every backend, or the means of the backend it is for. Written as `train_step(self, state, data)` it gets
        the values of (trainable, non-trainable, optimizer, metrics) variables and returns metrics and new values.
        """
        if len(data) == 2:
            return self._with_state("train_step", *data)
        x, y, sample_weight = unpack_x_y_sample_weight(data[0])
        variables = self.trainable_variables  # type: ignore[attr-defined]

        def loss_of():
            y_pred = self._predict_for(x, training=True)
            loss = self._compute_loss_tracked(x, y, y_pred, sample_weight, training=True)
            scaled = loss if self.optimizer is None else self.optimizer.scale_loss(loss)
            return scaled, (loss, y_pred, masks_of(y_pred))

        if variables:
            rows = self.optimizer is not None and self.optimizer.takes_rows
            (_, (loss, y_pred, masks)), gradients = current.value_and_grad(loss_of, variables, has_aux=True, rows=rows)()
            put_masks(y_pred, masks)  # the outputs that leave a derivative are other tensors
            self.optimizer.apply(gradients, variables)
        else:
            _, (loss, y_pred, _) = loss_of()
        self._track_loss(loss, x)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def test_step(self, *data: Any) -> Any:
        """Compute loss and metrics of one batch; return the metrics so far."""
        if len(data) == 2:
            return self._with_state("test_step", *data)
        x, y, sample_weight = unpack_x_y_sample_weight(data[0])
        y_pred = self._predict_for(x, training=False)
        loss = self._compute_loss_tracked(x, y, y_pred, sample_weight, training=False)
        self._track_loss(loss, x)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def predict_step(self, *data: Any) -> Any:
        """Return the outputs for one batch."""
        if len(data) == 2:
            return self._with_state("predict_step", *data)
        x, _, _ = unpack_x_y_sample_weight(data[0])
        return self._predict_for(x, training=False)

    def _predict_for(self, x: Any, training: bool) -> Any:
        takes_training = self._plan.takes_training  # type: ignore[attr-defined]
        return self(x, training=training) if takes_training else self(x)  # type: ignore[operator]

    def _track_loss(self, loss: Any, x: Any) -> None:
        rows = next((leaf.shape[0] for leaf in tree.flatten(x) if leaf is not None and len(leaf.shape)), 1)
        self._loss_tracker.update_state(
            whole(loss), sample_weight=current.shape(tree.flatten(x)[0])[0] if rows is None else rows
        )

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training: bool = True) -> Any:
        """Return the loss of a batch: that of `compile`, plus what layers added.

        Args:
            x: Inputs.
            y: Targets.
            y_pred: What the model made of `x`.
            sample_weight: Weights of the rows.
            training: Whether it is for training.
        """
        parts = []
        if self._compiled_loss is not None:
            value = self._compiled_loss(y, y_pred, sample_weight)
            if value is not None:
                parts.append(value)
        parts += [shared(sum_of(current.asarray(loss))) for loss in self.losses]  # type: ignore[attr-defined]
        if not parts:
            raise ValueError(
                f"Model {self.name!r} has no loss to minimize. Give compile() a loss=, call add_loss() in a layer, "  # type: ignore[attr-defined]
                "or override compute_loss()."
            )
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def _compute_loss_tracked(self, x, y, y_pred, sample_weight, training):
        return self.compute_loss(
            x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, **_training_if_taken(self.compute_loss, training)
        )

    def compute_metrics(self, x, y, y_pred, sample_weight=None) -> dict[str, Any]:
        """Let the metrics of `compile` see a batch; return the values of all metrics."""
        if self._compiled_metrics is not None:
            self._compiled_metrics.update_state(y, y_pred, sample_weight)
        return self.get_metrics_result()

    def get_metrics_result(self) -> dict[str, Any]:
        """Return the values of all metrics by name."""
        found: dict[str, Any] = {}
        for metric in self.metrics:  # type: ignore[attr-defined]
            result = metric.result()
            found.update(result if isinstance(result, dict) else {metric.name: result})
        return found

    def stateless_compute_loss(
        self, trainable_variables, non_trainable_variables, metrics_variables, x=None, y=None, y_pred=None,
        sample_weight=None, training=True,
    ):  # fmt: skip
        """Compute the loss with given values of variables.

        Returns:
            The loss, and a triple of the new trainable, non-trainable and metrics values.
        """
        groups = [
            (self.trainable_variables, trainable_variables),  # type: ignore[attr-defined]
            (self.non_trainable_variables, non_trainable_variables),  # type: ignore[attr-defined]
            (self.metrics_variables, metrics_variables),  # type: ignore[attr-defined]
        ]
        pairs = [pair for variables, values in groups for pair in zip(variables, values)]
        with scope.StatelessScope(pairs) as stateless:
            loss = self._compute_loss_tracked(x, y, y_pred, sample_weight, training)
            after = [[v.value for v in variables] for variables, _ in groups]
        del stateless
        return loss, tuple(after)

    # -- train steps that take and return state -------------------------------------------------------------------

    def _state_variables(self) -> list[list]:
        optimizer = [] if self.optimizer is None else self.optimizer.variables
        return [
            self.trainable_variables, self.non_trainable_variables, list(optimizer), self.metrics_variables  # type: ignore[attr-defined]
        ]  # fmt: skip

    def _state_step(self, step: str, data: Any) -> Any:
        """Call an own step written as `step(self, state, data)`: values of variables in, new ones out."""
        groups = self._groups_of(step)
        state = tuple([v.value for v in group] for group in groups)
        result, after = getattr(self, step)(state, data)
        for group, values in zip(groups, after):
            for variable, value in zip(group, values):
                variable.assign(value)
        return result

    def _groups_of(self, step: str) -> list[list]:
        trainable, non_trainable, optimizer, metrics = self._state_variables()
        if step == "train_step":
            return [trainable, non_trainable, optimizer, metrics]
        return [trainable, non_trainable, metrics] if step == "test_step" else [trainable, non_trainable]

    def _with_state(self, step: str, state: Any, data: Any) -> tuple[Any, tuple]:
        """Run the step of this class on given values of variables; return its result and the new values."""
        groups = self._groups_of(step)
        pairs = [pair for variables, values in zip(groups, state) for pair in zip(variables, values)]
        with scope.StatelessScope(pairs):
            result = getattr(Steps, step)(self, data)
            return result, tuple([v.value for v in variables] for variables in groups)

    def step_function(self, step: str):
        """Return `step` as a function of data alone."""
        method = getattr(self, step)
        if _takes_state(method):
            return lambda data: self._state_step(step, data)
        return method

    def _state_of_training(self) -> list:
        """Return every variable that a step may read or write."""
        groups = self._state_variables()
        own = [*self.variables, *groups[2], *groups[3]]  # type: ignore[attr-defined]
        return unique(own)


def _takes_state(method: Any) -> bool:
    """Tell whether a step is written as `step(state, data)`; one that takes anything is called as Keras calls it there."""
    function = getattr(method, "__func__", None)
    if function is not None and function is getattr(Steps, function.__name__, None):
        return False  # ours do either, and write only what changes where the values are not handed to them
    parameters = inspect.signature(method).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters) and len(parameters) <= 2:
        return not current.variables_in_place
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty for p in parameters) == 2


def _training_if_taken(method: Any, training: bool) -> dict[str, bool]:
    return {"training": training} if _takes_training(getattr(method, "__func__", method)) else {}


@functools.cache
def _takes_training(function: Any) -> bool:
    parameters = inspect.signature(function).parameters
    return "training" in parameters or "kwargs" in parameters
