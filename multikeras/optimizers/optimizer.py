"""`Optimizer`: everything around an update rule.

A rule is `update_step(gradient, variable, learning_rate)`, or, for all variables at once, `update_all(gradients,
variables, learning_rate)`. State lives in Variables, so that a step may be compiled.
"""

import difflib
import inspect
import operator
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from multikeras import config, initializers, ops
from multikeras.backend import current, scope
from multikeras.core import naming, stored
from multikeras.core.arguments import guard
from multikeras.core.serialization import deserialize_keras_object, serialize_keras_object
from multikeras.core.variable import Variable
from multikeras.optimizers.rows import Rows, parted, rows_of, whole
from multikeras.optimizers.schedules.schedule import LearningRateSchedule

_constraint, _overwritten = map(operator.attrgetter, ("_constraint", "_overwrite_with_gradient"))  # half of properties' time


def frozen(variable: Any) -> Any:
    """Return the value of a variable as a constant to differentiation.

    It may change when the variable is assigned: compute with it first.
    """
    return current.stop_gradient(current.read(variable.value))


class Optimizer(current.Saved):
    """Update variables by their gradients: subclasses define `update_step(gradient, variable, learning_rate)`.

    Args:
        learning_rate: A number, a schedule, or a function without arguments.
        weight_decay: Fraction of a variable, times the learning rate, that is taken off at each step.
        clipnorm: Largest norm of each gradient.
        clipvalue: Largest absolute entry of gradients.
        global_clipnorm: Largest norm of all gradients together.
        use_ema: Keep moving averages of variables, which take their place in the end.
        ema_momentum: Share of the old average at each step.
        ema_overwrite_frequency: Put averages in place every so many steps as well.
        loss_scale_factor: What the loss was multiplied by.
        gradient_accumulation_steps: Update once in so many steps, by the mean gradient.
        name: Name, made up from the class if None.

    >>> import multikeras
    >>> v = multikeras.Variable([1.0, 2.0])
    >>> optimizer = multikeras.optimizers.SGD(learning_rate=0.5)
    >>> optimizer.apply([multikeras.ops.ones(2)], [v])
    >>> v.numpy().tolist()
    [0.5, 1.5]
    """

    def __init__(
        self,
        learning_rate: Any,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs,
    ):
        if kwargs.pop("decay", None) is not None:
            warnings.warn("Argument `decay` is no longer supported and is ignored.", stacklevel=3)
        if kwargs:
            known = {n for c in type(self).__mro__ for n in inspect.signature(c.__init__).parameters}
            near = ["learning_rate"] if "lr" in kwargs else [
                m for name in kwargs for m in difflib.get_close_matches(name, known - {"self", "args", "kwargs"}, 1)
            ]  # fmt: skip
            hint = f". Did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise ValueError(f"{type(self).__name__}: Argument(s) not recognized: {kwargs}{hint}")
        if sum(c is not None for c in (clipnorm, clipvalue, global_clipnorm)) > 1:
            raise ValueError(
                "Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set. Received: "
                f"{clipnorm=}, {clipvalue=}, {global_clipnorm=}"
            )
        if use_ema and not 0 <= ema_momentum <= 1:
            raise ValueError(f"`ema_momentum` must be in the range [0, 1]. Received: {ema_momentum=}")
        if use_ema and ema_overwrite_frequency and (not isinstance(ema_overwrite_frequency, int) or ema_overwrite_frequency < 1):
            raise ValueError(
                "`ema_overwrite_frequency` must be an integer >= 1 or None. Received: "
                f"{ema_overwrite_frequency=}"
            )
        if gradient_accumulation_steps and gradient_accumulation_steps < 2:
            raise ValueError(
                "`gradient_accumulation_steps` must be an integer >= 2. Received: "
                f"{gradient_accumulation_steps=}"
            )
        self.name = name or naming.auto_name(type(self).__name__)
        self.weight_decay = weight_decay
        self.clipnorm, self.clipvalue, self.global_clipnorm = clipnorm, clipvalue, global_clipnorm
        self.use_ema, self.ema_momentum, self.ema_overwrite_frequency = use_ema, ema_momentum, ema_overwrite_frequency
        self.loss_scale_factor = loss_scale_factor
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.built = False
        self._variables: list[Variable] = []
        self._trainable_variables: list[Variable] = []
        self._index: dict[int, int] = {}
        self._not_decayed: set[int] = set()
        self._not_decayed_pattern: re.Pattern | None = None
        self._to_restore: list | None = None
        self._adds_replicas = True
        """Whether gradients of replicas come unadded: an optimizer around this one may have added them up."""
        with naming.name_scope(self.name, caller=self):
            self._iterations = self._tracked(
                Variable(0, name="iteration", dtype="int32", trainable=False, aggregation="only_first_replica")
            )
            self._learning_rate = self._as_learning_rate(learning_rate)

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "update_step" in cls.__dict__ and "update_all" not in cls.__dict__:
            cls.update_all = Optimizer.update_all  # a rule for one variable replaces an inherited one for all
        if cls.update_all is not cls.__mro__[1].update_all and "takes_rows" not in cls.__dict__:
            cls.takes_rows = False
        if "__init__" in cls.__dict__:
            _spell_out(cls.__init__)
        guard(cls)

    takes_rows: bool = False
    """Whether the rule changes nothing where the gradient is zero, so that rows without a gradient need not be looked at."""

    # -- variables -----------------------------------------------------------------------------------------------------

    def _tracked(self, variable: Variable) -> Variable:
        self._variables.append(variable)
        current.register(self, str(len(self._variables) - 1), variable)
        return variable

    @property
    def variables(self) -> list[Variable]:
        """All variables of the optimizer itself, in the order in which they are saved."""
        return list(self._variables)

    @property
    def iterations(self) -> Any:
        """The number of updates so far."""
        if self.gradient_accumulation_steps:
            return ops.floor_divide(self._iterations, self.gradient_accumulation_steps)
        return self._iterations

    def build(self, variables: Sequence[Variable]) -> None:
        """Create the optimizer's variables for these trainable ones."""
        if self.built:
            return
        self._trainable_variables = list(variables)
        self._index = {id(v): i for i, v in enumerate(variables)}
        if self.use_ema:
            self._model_variables_moving_average = self.add_optimizer_variables(variables, "average")
        if self.gradient_accumulation_steps:
            self._accumulated_gradients = [self.add_variable_from_reference(v, "gradient_accumulator") for v in variables]
        self.built = True

    def add_variable(
        self,
        shape: Sequence[int],
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: str = "none",
        layout: Any = None,
        name: str | None = None,
    ) -> Variable:
        """Return a new variable of the optimizer."""
        with naming.name_scope(self.name, caller=self):
            variable = Variable(
                initializers.get(initializer), shape, dtype, trainable=False, aggregation=aggregation, layout=layout, name=name
            )
        return self._tracked(variable)

    def add_variable_from_reference(
        self, reference_variable: Variable, name: str | None = None, initializer: Any = "zeros"
    ) -> Variable:
        """Return a new variable of the optimizer of the shape and dtype of another."""
        path = getattr(reference_variable, "path", reference_variable.name).replace("/", "_")
        return self.add_variable(
            reference_variable.shape, initializer, reference_variable.dtype, name=f"{path}_{name or 'slot'}"
        )

    def add_optimizer_variables(self, trainable_variables: Sequence[Variable], name: Any, initializer: Any = "zeros") -> Any:
        """Return one new variable for each trainable one; for several names a list of these lists.

        With several names, the new variables of one trainable variable are made, and saved, one after the other. Variables
        that their gradient overwrites have None.
        """
        names = [name] if isinstance(name, str) else list(name)
        initializers = initializer if isinstance(initializer, (list, tuple)) else [initializer] * len(names)

        def slot(v, name, initializer):
            return None if v.overwrite_with_gradient else self.add_variable_from_reference(v, name, initializer)

        rows = [[slot(v, *how) for how in zip(names, initializers)] for v in trainable_variables]
        columns = tuple([row[k] for row in rows] for k in range(len(names)))
        return columns[0] if isinstance(name, str) else columns

    def _get_variable_index(self, variable: Variable) -> int:
        return self._index[id(variable)]

    def slots(self, slots: Sequence[Variable], variables: Sequence[Variable]) -> list[Variable]:
        """Return of `slots`, one for each trainable variable, those of `variables`."""
        index = self._index
        return [v.of(slots[index[id(v.variable)]]) if type(v) is Rows else slots[index[id(v)]] for v in variables]

    def assign(self, variable: Any, value: Any) -> None:
        """Write a variable."""
        variable.assign(ops.cast(value, variable.dtype))

    def assign_add(self, variable: Any, value: Any) -> None:
        """Add to a variable; of a sparse tensor of rows only these are written."""
        if not self._add_rows(variable, value, 1):
            variable.assign(frozen(variable) + ops.cast(value, variable.dtype))

    def assign_sub(self, variable: Any, value: Any) -> None:
        """Subtract from a variable; of a sparse tensor of rows only these are written."""
        if not self._add_rows(variable, value, -1):
            variable.assign(frozen(variable) - ops.cast(value, variable.dtype))

    def _add_rows(self, variable: Any, value: Any, sign: int) -> bool:
        """Add a sparse tensor of rows; False for any other value."""
        rows = rows_of(value, distinct=False)
        if rows is not None:
            variable.add_rows(rows[0], ops.cast(rows[1], variable.dtype) * sign)
        return rows is not None

    # -- learning rate -------------------------------------------------------------------------------------------------

    def _as_learning_rate(self, learning_rate: Any) -> Any:
        if isinstance(learning_rate, LearningRateSchedule):
            return learning_rate
        if callable(learning_rate) and not isinstance(learning_rate, Variable):
            return learning_rate
        if not isinstance(learning_rate, float):
            try:
                if isinstance(learning_rate, (bool, str)):
                    raise TypeError
                learning_rate = float(learning_rate)
            except (TypeError, ValueError):
                raise ValueError(
                    f"{type(self).__name__}: Argument `learning_rate` should be a number, a LearningRateSchedule or a function "
                    f"without arguments. Received instead: learning_rate={learning_rate!r}"
                ) from None
        return self._tracked(
            Variable(
                learning_rate,
                name="learning_rate",
                dtype=config.floatx(),
                trainable=False,
                aggregation="only_first_replica",
            )
        )

    def _get_current_learning_rate(self) -> Any:
        if isinstance(self._learning_rate, LearningRateSchedule):
            return self._learning_rate(self._iterations)
        return self._learning_rate if isinstance(self._learning_rate, Variable) else self._learning_rate()

    @property
    def learning_rate(self) -> Any:
        """The learning rate of the next update: a Variable, or what schedule or function say."""
        return self._get_current_learning_rate()

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        old = self._learning_rate
        new_is_function = callable(learning_rate) and not isinstance(learning_rate, Variable)
        if isinstance(old, Variable) and not new_is_function:
            old.assign(learning_rate)
            return
        if isinstance(old, LearningRateSchedule) and not new_is_function:
            raise TypeError(
                f"{type(self).__name__} was made with a LearningRateSchedule: its learning_rate cannot be set to a number. "
                "Make it with a number instead, or set another schedule."
            )
        if isinstance(old, Variable):
            self._variables = [v for v in self._variables if v is not old]
        with naming.name_scope(self.name, caller=self):
            self._learning_rate = self._as_learning_rate(learning_rate)

    # -- steps ---------------------------------------------------------------------------------------------------------

    def update_step(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Write `variable` by its gradient."""
        for cls in type(self).__mro__:
            rule = cls.__dict__.get("update_all", Optimizer.update_all)
            if rule is not Optimizer.update_all:
                return rule(self, [gradient], [variable], learning_rate)
        raise NotImplementedError(f"{type(self).__name__} must define update_step(gradient, variable, learning_rate).")

    def update_all(self, gradients: list, variables: list[Variable], learning_rate: Any) -> None:
        """Write all variables; by `update_step` one after the other unless there is a faster way."""
        for gradient, variable in zip(gradients, variables):
            self.update_step(gradient, variable, learning_rate)

    def update_rows(self, gradient: Any, variable: Variable, learning_rate: Any) -> None:
        """Write the rows of `variable` that a sparse gradient is about, by the rule for whole variables."""
        indices, values = rows_of(gradient)
        self.update_all([ops.cast(values, variable.dtype)], [Rows(self, variable, indices)], learning_rate)

    def apply_gradients(self, grads_and_vars: Any) -> Any:
        """Update variables, given as pairs of gradient and variable; return the number of updates."""
        gradients, variables = zip(*grads_and_vars)
        self.apply(list(gradients), list(variables))
        return self._iterations

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Variable] | None = None) -> None:
        """Update variables by their gradients, those the optimizer was built with by default.

        A gradient None leaves its variable as it is, with a warning; all None is a ValueError.
        """
        if len(grads) == 0:
            return
        if trainable_variables is None:
            if len(grads) != len(self._trainable_variables):
                raise ValueError(
                    f"{type(self).__name__}.apply: {len(grads)} gradients for {len(self._trainable_variables)} trainable "
                    "variables that the optimizer was built with. Gradients must match these one to one."
                )
            variables = self._trainable_variables
        else:
            variables = list(trainable_variables)
            if not self.built:
                with naming.name_scope(self.name, caller=self):
                    self.build(variables)
                self.built = True
            self._check_known(variables)
        self.restore()
        grads, variables = self._with_gradient(list(grads), list(variables))
        if self.loss_scale_factor is not None:
            grads = [g if v.overwrite_with_gradient else g / self.loss_scale_factor for g, v in zip(whole(grads), variables)]
        self._apply_or_accumulate(grads, variables)
        if self.use_ema:
            self._update_averages(self._trainable_variables)
        current.grow(self._iterations, 1)
        for variable in filter(_constraint, variables):
            variable.assign(variable.constraint(frozen(variable)))

    def _check_known(self, variables: list[Variable]) -> None:
        for variable in variables:
            if id(variable) not in self._index:
                raise ValueError(
                    f"{type(self).__name__}: Unknown variable: {variable.path}. An optimizer updates only the variables it was "
                    "first called or built with; make a new one for others."
                )

    def _with_gradient(self, grads: list, variables: list[Variable]) -> tuple[list, list[Variable]]:
        missing = [v.path for g, v in zip(grads, variables) if g is None]
        if not missing:
            return grads, variables
        if len(missing) == len(grads):
            raise ValueError("No gradients provided for any variable.")
        warnings.warn(
            f"Gradients do not exist for variables {missing} when minimizing the loss: they stay as they are. Does the loss "
            "depend on them?",
            stacklevel=3,
        )
        pairs = [(g, v) for g, v in zip(grads, variables) if g is not None]
        return [g for g, _ in pairs], [v for _, v in pairs]

    def _apply_or_accumulate(self, grads: list, variables: list[Variable]) -> None:
        steps = self.gradient_accumulation_steps
        if not steps:
            self._update(grads, variables)
            return
        grads = whole(grads)
        if self._adds_replicas:  # now: replicas cannot meet inside `cond`
            grads = current.sum_over_replicas(grads)
        accumulators = self.slots(self._accumulated_gradients, variables)

        def together():
            return [
                ops.maximum(g, frozen(a)) if v.overwrite_with_gradient else g + frozen(a)
                for g, a, v in zip(grads, accumulators, variables)
            ]

        def update():
            means = [g if v.overwrite_with_gradient else g / steps for g, v in zip(together(), variables)]
            self._update(means, variables)
            for a in self._accumulated_gradients:
                a.assign(ops.zeros(a.shape, dtype=a.dtype))
            return ops.zeros(())

        def accumulate():
            for a, g in zip(accumulators, together()):
                a.assign(g)
            return ops.zeros(())

        ops.cond((frozen(self._iterations) + 1) % steps == 0, update, accumulate)

    def _update(self, grads: list, variables: list[Variable]) -> None:
        grads = list(grads)
        if any(map(_overwritten, variables)):
            for g, v in zip(grads, variables):
                if v.overwrite_with_gradient:
                    v.assign(g)
            grads = [g for g, v in zip(grads, variables) if not v.overwrite_with_gradient]
            variables = [v for v in variables if not v.overwrite_with_gradient]
        by_rows, decayed = [], variables
        if current.supports_sparse and self.takes_rows and not self._clips() and current.number_of_replicas() == 1:
            grads, variables, by_rows = parted(grads, variables)
        if not current.fits(grads, variables):
            grads = [ops.convert_to_tensor(g, v.dtype, sparse=False) for g, v in zip(grads, variables)]
        grads = self._clip_gradients(grads)
        if self._adds_replicas and not self.gradient_accumulation_steps:
            grads = current.sum_over_replicas(grads)
        learning_rate = ops.convert_to_tensor(self._get_current_learning_rate())
        self._apply_weight_decay(decayed, learning_rate)
        if variables:
            self.update_all(grads, variables, learning_rate)
        for g, v in by_rows:
            self.update_rows(g, v, learning_rate)

    def _clips(self) -> bool:
        return bool(self.clipvalue or self.clipnorm or self.global_clipnorm)

    def _clip_gradients(self, grads: list) -> list:
        if self.clipvalue and self.clipvalue > 0:
            return [ops.clip(g, -self.clipvalue, self.clipvalue) for g in grads]
        if self.clipnorm and self.clipnorm > 0:
            return [g * (self.clipnorm / ops.maximum(_norm([g]), self.clipnorm)) for g in grads]
        if self.global_clipnorm and self.global_clipnorm > 0:
            factor = self.global_clipnorm / ops.maximum(_norm(grads), self.global_clipnorm)
            return [g * ops.cast(factor, g.dtype) for g in grads]
        return grads

    def exclude_from_weight_decay(
        self, var_list: Sequence[Variable] | None = None, var_names: Sequence[str] | None = None
    ) -> None:
        """Take no weight decay off these variables, or those whose name contains one of `var_names` (regular expressions)."""
        self._not_decayed = {id(v) for v in var_list or ()}
        self._not_decayed_pattern = re.compile("|".join(var_names)) if var_names else None

    def _use_weight_decay(self, variable: Variable) -> bool:
        pattern = self._not_decayed_pattern
        return id(variable) not in self._not_decayed and not (pattern is not None and pattern.search(variable.name))

    def _apply_weight_decay(self, variables: list[Variable], learning_rate: Any) -> None:
        if self.weight_decay is None:
            return
        for v in variables:
            if self._use_weight_decay(v):
                value = frozen(v)
                v.assign(value - value * (ops.cast(learning_rate, v.dtype) * self.weight_decay))

    def _averaged(self, variables: Sequence[Variable]) -> list[tuple[Variable, Variable]]:
        """Return pairs of a variable and its moving average, of those that have one."""
        averages = self.slots(self._model_variables_moving_average, variables)
        return [(v, average) for v, average in zip(variables, averages) if average is not None]

    def _update_averages(self, variables: list[Variable]) -> None:
        iterations = ops.convert_to_tensor(self.iterations)
        for v, average in self._averaged(variables):
            momentum = ops.cast(iterations != 0, v.dtype) * self.ema_momentum  # the first average is the variable itself
            mean = momentum * frozen(average) + (1 - momentum) * frozen(v)
            average.assign(mean)
            if self.ema_overwrite_frequency:
                v.assign(ops.where((iterations + 1) % self.ema_overwrite_frequency == 0, mean, frozen(v)))

    def finalize_variable_values(self, var_list: Sequence[Variable]) -> None:
        """Put the moving averages, if there are any, in place of the variables: the end of training."""
        if self.use_ema:
            for v, average in self._averaged(var_list):
                v.assign(frozen(average))

    def scale_loss(self, loss: Any) -> Any:
        """Return the loss multiplied by the scale that `apply` divides gradients by."""
        return loss if self.loss_scale_factor is None else loss * self.loss_scale_factor

    def stateless_apply(self, optimizer_variables: Sequence, grads: Sequence, trainable_variables: Sequence) -> tuple[list, list]:
        """Return new values of the trainable variables and of the optimizer's, given the old ones; change nothing."""
        if not self.built:
            raise ValueError(
                f"To call `stateless_apply`, {type(self).__name__} must be built: call "
                "optimizer.build(trainable_variables) first."
            )
        for what, given, own in (
            ("optimizer_variables", optimizer_variables, self.variables),
            ("trainable_variables", trainable_variables, self._trainable_variables),
        ):
            if len(given) != len(own):
                raise ValueError(
                    f"Argument `{what}` must be {len(own)} tensors, as many as {type(self).__name__} has. "
                    f"Received {len(given)}."
                )
        mine, theirs = self.variables, self._trainable_variables
        with scope.StatelessScope([*zip(theirs, trainable_variables), *zip(mine, optimizer_variables)]) as values:
            self.apply(grads)
        return [values.get_current_value(v) for v in theirs], [values.get_current_value(v) for v in mine]

    # -- files, configs ------------------------------------------------------------------------------------------------

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Write all of the optimizer's variables, in their order."""
        if not self.built:
            raise ValueError(
                "You are calling `set_weights()` on an optimizer that is not built. Call "
                "optimizer.build(trainable_variables) first."
            )
        for variable, weight in zip(self.variables, weights, strict=True):
            if tuple(variable.shape) != tuple(weight.shape):
                raise ValueError(
                    f"Optimizer variable {variable.path} has shape {variable.shape}, the given weight "
                    f"{tuple(weight.shape)}."
                )
            variable.assign(weight)

    def save_own_variables(self, store: Any) -> None:
        """Write the variables into `store` under their positions."""
        stored.save(store, self.variables)

    @stored.by_position
    def load_own_variables(self, store: Any) -> None:
        """Read the variables from `store`; a store of another number of variables is skipped with a warning."""
        if len(store.keys()) != len(self.variables):
            hint = "" if self.built else " The optimizer is not built: build it, or call it once, before loading."
            warnings.warn(
                f"Skipping variable loading for optimizer {self.name!r}: it has {len(self.variables)} variables, the saved one "
                f"{len(store.keys())}.{hint}",
                stacklevel=2,
            )
            return
        stored.load(store, self.variables)

    def get_config(self) -> dict[str, Any]:
        """Return the base arguments; subclasses add theirs."""
        rate = self._learning_rate
        settings = (
            "weight_decay", "clipnorm", "global_clipnorm", "clipvalue", "use_ema", "ema_momentum",
            "ema_overwrite_frequency", "loss_scale_factor", "gradient_accumulation_steps",
        )  # fmt: skip
        return {
            "name": self.name,
            "learning_rate": float(rate) if isinstance(rate, Variable) else serialize_keras_object(rate),
            **{name: getattr(self, name) for name in settings},
            **{name: getattr(self, name) for name in self.own_arguments},
        }

    own_arguments: tuple[str, ...] = ()
    """Names of the constructor's arguments that are kept as attributes and belong into the config."""

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> "Optimizer":
        """Return an optimizer made from `get_config()` of another."""
        if isinstance(config.get("learning_rate"), dict):
            rate = deserialize_keras_object(config["learning_rate"], custom_objects=custom_objects)
            config = {**config, "learning_rate": rate}
        return cls(**config)

    def restore(self) -> None:
        """Take up the state that a copy or a pickled optimizer was made with: once it is built, before a step is compiled."""
        if self._to_restore is not None:
            values, self._to_restore = self._to_restore, None
            self.set_weights(values)

    def __reduce__(self):
        values = [v.numpy() for v in self.variables] if self.built else None
        return _revived, (type(self), self.get_config(), values)

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}>"


def _spell_out(init: Callable) -> None:
    """Put the arguments of `Optimizer` in place of `*base` in the signature that is shown."""
    own = inspect.signature(init)
    if "base" not in own.parameters:
        return
    shown = {name: p for name, p in own.parameters.items() if name not in ("base", "kwargs")}
    shown |= {name: p for name, p in inspect.signature(Optimizer.__init__).parameters.items() if name not in shown}
    init.__signature__ = own.replace(parameters=shown.values())


def _revived(cls: Callable, config: dict, values: list | None) -> Optimizer:
    optimizer = cls.from_config(config)
    optimizer._to_restore = values
    return optimizer


def _norm(grads: list) -> Any:
    return ops.sqrt(sum(ops.sum(ops.square(g)) for g in grads))
