"""`Layer`: weights, sub-layers and a `call`, usable eagerly, compiled, or on symbolic tensors."""

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from multikeras import dtype_policies, regularizers
from multikeras.backend import current, scope
from multikeras.backend import dtypes as dtype_names
from multikeras.backend.shapes import Spec
from multikeras.core import naming, stored, tree
from multikeras.core.node import KerasTensor, Operation
from multikeras.core.registry import custom_object_scope
from multikeras.core.tracking import Tracker
from multikeras.core.variable import Variable
from multikeras.layers import _call, _config, _errors, _html
from multikeras.layers import input_spec as input_specs
from multikeras.layers._building import as_shape, build_for, default_build, recorded_build
from multikeras.layers._call import CallContext, calls, get_mask, is_tensor_like, masks, set_mask
from multikeras.layers._symbolic import Symbolic
from multikeras.layers._weights import Weights
from multikeras.layers.input_spec import InputSpec
from multikeras.layers.quantization.unquantized import Unquantized
from multikeras.layers.remat import remat_mode
from multikeras.metrics.metric import Metric
from multikeras.random.seed_generator import SeedGenerator
from multikeras.regularizers.regularizers import penalty_a_row

_NATIVE = current.Tensor
_NATIVE_MODULES = current.native_modules
_NATIVE_WEIGHTS = current.native_weights
_compiling = current.compiling
_BEFORE_ALL, _AFTER_ALL, _BACK_BEFORE_ALL, _BACK_AFTER_ALL = current.hooks_of_all
_BOOKKEEPING = frozenset(("_inbound_nodes", "_outbound_nodes", "_approved", "_approved_ranks", "_build_shapes", "_plan"))
"""Attributes that hold no layers or weights: looking for these skips them."""
_MOST_APPROVED = 64
_TRAINING = frozenset(("training",))


class _Losses:
    """Whether any layer of this process ever added a loss: until then nobody has to forget old ones."""

    in_use = False


class Layer(Weights, Unquantized, Symbolic, current.Module, Operation):
    """A function with weights.

    Subclasses define `call`, make weights in `build` (or `__init__`), and may define `compute_output_shape` or
    `compute_output_spec` where `call` cannot be run on shapes alone.

    Args:
        activity_regularizer: Regularizer of the outputs.
        trainable: Whether the weights are trained.
        dtype: Name or `DTypePolicy` of computations and weights.
        autocast: Whether floating inputs are cast to the compute dtype.
        name: Name, made up from the class if not given.

    >>> import numpy as np
    >>> from multikeras import layers, ops
    >>> class Scale(layers.Layer):
    ...     def build(self, input_shape):
    ...         self.factor = self.add_weight(shape=(input_shape[-1],), initializer="ones")
    ...     def call(self, x):
    ...         return x * self.factor * 3
    >>> ops.convert_to_numpy(Scale()(np.ones((1, 2), "float32"))).tolist()
    [[3.0, 3.0]]
    """

    not_in_config: tuple[str, ...] = ()
    """Arguments of the constructor that `get_config` leaves out."""
    also_in_config: tuple[str, ...] = ()
    """Attributes that `get_config` adds to the arguments."""
    takes_sparse = True
    """Whether sparse inputs reach `call` as they are; otherwise it gets dense ones. Its ops take both, operators may not."""
    wrap_module: Callable[[Any], "Layer"]
    """Makes a layer of one of the framework's own modules: set by the layer that can."""

    def __new__(cls, *args, **kwargs):
        layer = super().__new__(cls, *args, **kwargs)
        put = functools.partial(object.__setattr__, layer)
        put("_tracker", Tracker(Variable, Layer, Metric, SeedGenerator))
        put("_own_trainable", [])
        put("_own_non_trainable", [])
        put("_fast", False)
        put("built", False)
        put("_building", False)
        put("_build_shapes", None)
        put("_losses", [])
        return layer

    def __init__(self, *, activity_regularizer=None, trainable=True, dtype=None, autocast=True, name=None, **kwargs):
        current.Module.__init__(self)
        Operation.__init__(self, name=name)
        self._shape_from_arguments = _config.old_shape_spelling(kwargs)
        if kwargs:
            raise ValueError(_config.unknown_arguments(type(self), kwargs))
        self.activity_regularizer = regularizers.get(activity_regularizer)
        self._path: str = self.name
        self._trainable = bool(trainable)
        self.autocast = autocast
        self._input_spec: Any = None
        self._dtype_policy = dtype_policies.get(dtype)
        self._plan = _call.plan_of(type(self).call)
        self._mode: bool | None = None  # what torch's train() and eval() say
        self._unsaid = self._plan.training_default
        self._approved: set = set()
        self._approved_ranks: set = set()  # apart, as the compiler makes conditions of what is in it
        self._supports_masking = _is_overridden(type(self), "compute_mask")
        self._convert_input_args = True
        self._allow_non_tensor_positional_args = False
        self.supports_jit = True
        self._remat_mode = remat_mode()

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "build" in vars(cls):
            cls.build = recorded_build(cls.build)

    # -- attributes ------------------------------------------------------------------------------------------------

    def __setattr__(self, name, value):
        own = self.__dict__
        tracker = own.get("_tracker")
        untracked = tracker is None or name in _BOOKKEEPING
        if untracked or (isinstance(value, (bool, int, float, str, type(None))) and name not in tracker.values):
            object.__setattr__(self, name, value)
            return
        if isinstance(value, _NATIVE_WEIGHTS) and self.hold(name, value):
            return
        if isinstance(getattr(type(self), name, None), property):
            object.__setattr__(self, name, value)
            return
        if isinstance(value, _NATIVE_MODULES) and not isinstance(value, Layer):
            value = self.wrap_module(value)
        if calls.context is not None and isinstance(value, (Variable, Layer)) and not tracker.holds(value):
            self._refuse_new_state(f"{name} (a {type(value).__name__})")
        if tracker.note(name, value):
            if isinstance(value, Variable):
                self._own(value)
            current.register(self, name, value)
        else:
            self._owned()
        object.__setattr__(self, name, value)

    def __delattr__(self, name):
        value = self.__dict__.get(name)
        self._tracker.forget(name)
        if isinstance(value, Variable):
            self._own_trainable[:] = [v for v in self._own_trainable if v is not value]
            self._own_non_trainable[:] = [v for v in self._own_non_trainable if v is not value]
            current.unregister(self, name)
        super().__delattr__(name)

    def _own(self, variable: Variable) -> None:
        if not any(v is variable for v in (*self._own_trainable, *self._own_non_trainable)):
            (self._own_trainable if variable.trainable else self._own_non_trainable).append(variable)

    def _own_native(self, name: str, store: Any, trainable: bool) -> Variable:
        """Count a variable of the framework's own among this layer's."""
        with self._name_scope():
            variable = Variable.around(store, trainable, name)
        self._own(variable)
        return variable

    def _children(self) -> list:
        """Return the direct sub-layers."""
        return self._tracker.find(Layer)

    def _named_parts(self):
        """Give (dotted name, part) for the variables and layers that the framework's module shall know."""
        return self._tracker.named()

    def _flatten_layers(self, include_self: bool = True, recursive: bool = True) -> list:
        """Return this layer and all inside it, each once, outer before inner."""
        found: dict[int, Layer] = {}
        pending = [self]
        while pending:
            layer = pending.pop(0)
            if id(layer) not in found:
                found[id(layer)] = layer
                if recursive or layer is self:
                    pending[:0] = layer._children()
        return [x for x in found.values() if include_self or x is not self]

    # -- dtypes, specs ---------------------------------------------------------------------------------------------

    @property
    def dtype_policy(self):
        """The dtypes of computations and of weights."""
        return self._dtype_policy

    @dtype_policy.setter
    def dtype_policy(self, value):
        self._dtype_policy = dtype_policies.get(value)
        self._fast = False
        self._policy_was_set()

    @property
    def compute_dtype(self) -> str:
        return self._policy_here.compute_dtype

    @property
    def variable_dtype(self) -> str:
        return self._policy_here.variable_dtype

    @property
    def dtype(self) -> str:
        """The dtype of the weights."""
        return self.variable_dtype

    @property
    def input_dtype(self) -> str:
        """The dtype floating inputs are cast to."""
        return self.compute_dtype

    @property
    def input_spec(self):
        """What inputs must look like: an `InputSpec`, a tree of them, or None."""
        return self._input_spec

    @input_spec.setter
    def input_spec(self, value):
        if value is not None and not all(s is None or isinstance(s, InputSpec) for s in tree.flatten(value)):
            raise TypeError(f"input_spec of layer {self.name!r} must be InputSpec objects, got {value!r}.")
        self._input_spec = value

    @property
    def supports_masking(self) -> bool:
        """Whether masks may pass through."""
        return self._supports_masking

    @supports_masking.setter
    def supports_masking(self, value):
        self._supports_masking = bool(value)

    @property
    def path(self) -> str:
        """The names of the layers this one was built in, and its own, joined by '/'."""
        return self._path

    def _was_cast(self, dtype: str) -> None:
        """Follow the framework, which cast the weights."""
        if self.quantization_mode is None:
            self.dtype_policy = dtype

    def _name_scope(self):
        inside = self.__dict__.get("_path_prefix")
        return naming.name_scope(self.name, caller=self, override_parent=inside)

    # -- building --------------------------------------------------------------------------------------------------

    def get_build_config(self) -> dict | None:
        """Return what `build` was called with, for `build_from_config`."""
        shapes = self._build_shapes
        if shapes is None:
            return None
        if len(shapes) == 1:
            return {"input_shape": next(iter(shapes.values()))}
        return {"shapes_dict": shapes}

    def build_from_config(self, config: dict) -> None:
        """Build as `get_build_config` says."""
        if not config:
            return
        if "shapes_dict" in config:
            self.build(**{k: as_shape(v) for k, v in config["shapes_dict"].items()})
        elif "input_shape" in config:
            self.build(as_shape(config["input_shape"]))

    # -- calling ---------------------------------------------------------------------------------------------------

    def call(self, *args, **kwargs):
        """Compute the outputs."""
        raise NotImplementedError(f"Layer {type(self).__name__} does not define call().")

    def __call__(self, *args, **kwargs):
        if (
            self._fast and not (masks.in_use or _BEFORE_ALL or _AFTER_ALL or _BACK_BEFORE_ALL or _BACK_AFTER_ALL)
            and (not kwargs or kwargs.keys() == _TRAINING)
        ):  # fmt: skip
            x = args[0] if len(args) == 1 else None
            if _compiling():
                known = _call.kind_of(args, True) in self._approved_ranks
            else:
                known = ((x.dtype, x.shape) if type(x) is _NATIVE else _call.kind_of(args, False)) in self._approved
            if known and scope.stack.autocast is None:
                context = calls.context
                if context is not None or not _Losses.in_use:
                    if kwargs:
                        return self._told_call(args, **kwargs)
                    if self._plan.takes_training:
                        training = context.training if context is not None else None
                        return self.call(*args, training=self._unsaid if training is None else training)
                    return self.call(*args)
        return self.hooked_call(*args, **kwargs) if self.hooked else self._bare_call(args, kwargs)

    def _is_hooked(self) -> None:
        """Let calls from now on, and steps that were compiled or recorded, find out what the framework does around them."""
        self._fast = False
        Tracker.changes += 1

    def _set_mode(self, mode: bool) -> None:
        """Let calls that do not say whether they are for training be so or not; layers inside too, unless told."""
        self._mode = self._unsaid = mode
        for layer in self._children():
            if layer._mode is None:
                layer._set_mode(mode)

    def _told_call(self, args, training):
        """Return `call(*args)`, inputs that are approved, with `training` for this layer and for those inside."""
        context, plan = calls.context, self._plan
        if plan.variadic:  # takes it as it is, None too
            return self._bare_call(args, {"training": training})
        outermost = context is None
        if outermost:
            context = calls.context = CallContext(self)
        saved, told = context.training, training is not None
        if not told:
            training = self._unsaid if saved is None else saved
        if self._mode is None or told or saved is not None:  # otherwise layers inside have modes of their own
            context.training = training
        try:
            return self.call(*args, training=training) if plan.takes_training else self.call(*args)
        finally:
            context.training = saved
            if outermost:
                calls.context = None

    def _bare_call(self, args, kwargs):
        plan = self.__dict__.get("_plan")
        if plan is None:
            raise RuntimeError(f"{type(self).__name__}.__init__ must call super().__init__() before the layer is used.")
        context, outermost = calls.context, calls.context is None
        if outermost:
            context = calls.context = CallContext(self)
        saved = context.training
        try:
            if outermost and _Losses.in_use and not scope.in_stateless_scope():
                self._clear_losses()
            return self._call_in(context, plan, args, kwargs)
        except Exception as error:
            reason = _errors.stumbled(self, error, (args, kwargs))
            _errors.explain(self, error, args, kwargs)
            if reason:
                given = _errors.described(args, kwargs)
                raise ValueError(f"{type(self).__name__} {self.path!r} cannot take {given}: {reason}") from error
            raise
        finally:
            context.training = saved
            if outermost:
                calls.context = None

    def _call_in(self, context: CallContext, plan, args, kwargs):
        if self._convert_input_args:
            args, kwargs = tree.map_structure(self._convert_input, (args, kwargs))
        if not self._allow_non_tensor_positional_args:
            for x in tree.flatten(args):
                if x is not None and not is_tensor_like(x):
                    raise ValueError(
                        f"Layer {self.name!r}: only tensors may be passed by position, got {x!r} of type {type(x).__name__}. "
                        "Pass other arguments by name."
                    )
        training = kwargs.pop("training", None) if not plan.takes_training and "training" in kwargs and not plan.variadic \
            else kwargs.get("training")  # fmt: skip
        try:
            arguments = plan.bind(args, kwargs)
        except TypeError as error:
            raise TypeError(f"{type(self).__name__} {self.path!r}: {error}") from None
        symbolic = [x for x in tree.flatten(arguments) if isinstance(x, Spec)]
        first = next(iter(arguments.values()), None)
        if self._input_spec is not None:
            input_specs.check(self._input_spec, first, self.name)

        if plan.takes_training and training is None:
            training = arguments.get("training")
        if training is None:
            training = context.training
        if training is not None or self._mode is None:  # otherwise layers inside have modes of their own
            context.training = self._unsaid if training is None else training
        if training is None:
            training = self._unsaid
        if plan.takes_training and training is not None:
            kwargs = {**kwargs, "training": training} if not _given_by_position(plan, args, "training") else kwargs
            arguments["training"] = training

        tensors = {k: v for k, v in arguments.items() if k not in plan.masks and _call.has_tensors(v)}
        previous = kwargs.get("mask") if "mask" in plan.masks else None
        if plan.expects_masks and len(tensors) == 1 and arguments.get("mask") is None and tree.is_nested(first):
            kwargs = {**kwargs, "mask": tree.map_structure(get_mask, first)}
            arguments["mask"] = kwargs["mask"]
        if masks.in_use:
            for name, value in tensors.items():
                kept = tree.map_structure(get_mask, value)
                if all(m is None for m in tree.flatten(kept)):
                    continue
                if previous is None and name == next(iter(tensors)):
                    previous = kept
                argument = "mask" if len(tensors) == 1 else f"{name}_mask"
                if argument in plan.masks and arguments.get(argument) is None:
                    kwargs = {**kwargs, argument: kept}
                    arguments[argument] = kept

        if not self.built:
            with self._name_scope():
                self._path = naming.current_path()
                build_for(
                    self,
                    _is_overridden(type(self), "build"),
                    {k: v for k, v in arguments.items() if _call.has_tensors(v)},
                )
                self.built = True
                outputs = self._dispatch(symbolic, args, kwargs)
            current.register_all(self, self._named_parts())
            if self._mode is not None:
                self._set_mode(self._mode)
        else:
            outputs = self._dispatch(symbolic, args, kwargs)

        if self.activity_regularizer is not None:
            for x in tree.flatten(outputs):
                if current.is_tensor(x):
                    self.add_loss(penalty_a_row(self.activity_regularizer, x))
        if self._supports_masking:
            if previous is not None or _is_overridden(type(self), "compute_mask"):
                self._set_masks(first, outputs, previous)
        elif any(m is not None for m in tree.flatten(previous)):
            warnings.warn(
                f"Layer {self.name!r} of type {type(self).__name__} was passed an input with a mask, but does not support "
                "masking: the mask ends here.",
                stacklevel=4,
            )
        if not symbolic:
            self._consider_fast(args, kwargs, training)
        return outputs

    def _dispatch(self, symbolic, args, kwargs):
        if any(isinstance(x, KerasTensor) for x in symbolic):
            return self.symbolic_call(*args, **kwargs)
        if symbolic:
            return self.compute_output_spec(*args, **kwargs)
        dtype = self.compute_dtype
        if scope.stack.autocast is not None or (self.autocast and dtype != self.variable_dtype):
            with scope.AutocastScope(dtype if self.autocast else None):
                return self._checkpointed_call(*args, **kwargs)
        return self._checkpointed_call(*args, **kwargs)

    def _checkpointed_call(self, *args, **kwargs):
        if self._remat_mode is not None and self._remat_mode.applies_to(self):
            return self.rematerialized_call(self.call, *args, **kwargs)(*args, **kwargs)
        return self.call(*args, **kwargs)

    def rematerialized_call(self, layer_call: Callable, *args, **kwargs) -> Callable:
        """Return `layer_call` so wrapped that the backward pass computes it again."""
        return current.remat(layer_call)

    def _consider_fast(self, args, kwargs, training) -> None:
        """Let later calls with such inputs go straight to `call`."""
        more = [k for k in kwargs if k != "training"]
        kind = None if more or not current.hashable_shapes else _call.kind_of(args, False)
        if kind is None or masks.in_use or self._remat_mode is not None or self.hooked or _compiling():
            return
        policy = self._policy_here
        if (policy.compute_dtype != policy.variable_dtype or self.activity_regularizer is not None
                or _is_overridden(type(self), "_call_in")):  # fmt: skip
            return
        if len(self._approved) >= _MOST_APPROVED:
            self._approved.clear()
        self._approved.add(kind)
        self._approved_ranks.add(_call.kind_of(args, True))
        self._fast = True

    def _convert_input(self, x):
        """Return an input as a tensor, floats in the compute dtype if this layer casts."""
        if isinstance(x, (bool, int, float, str, type(None))):
            return x
        if isinstance(x, Spec):
            return x
        if current.is_tensor(x):
            if self.autocast and (dtype := current.dtype(x)) != self.compute_dtype and dtype_names.is_float(dtype):
                mask = get_mask(x) if masks.in_use else None
                x = current.cast(x, self.compute_dtype)
                if mask is not None:
                    set_mask(x, mask)
            return x
        if isinstance(x, Variable):
            return self._convert_input(x.value)
        if hasattr(x, "__array__") and not isinstance(x, type):
            array = np.asarray(x) if not isinstance(x, np.ndarray) else x
            if array.dtype.kind in "OSU":
                return current.asarray(array)
            float_in = dtype_names.is_float(dtype_names.standardize_dtype(array.dtype))
            return current.asarray(x, self.compute_dtype if self.autocast and float_in else None)
        if not current.is_sparse(x):
            return x
        if not self.takes_sparse:
            return self._convert_input(current.asarray(x))
        if self.autocast:
            indices, values, shape = current.sparse_parts(x)
            if dtype_names.is_float(dtype := current.dtype(values)) and dtype != self.compute_dtype:
                return current.sparse(indices, current.cast(values, self.compute_dtype), shape)
        return x

    def _set_masks(self, inputs, outputs, previous):
        flat = tree.flatten(outputs)
        if all(get_mask(x) is not None for x in flat):
            return
        computed = self.compute_mask(inputs, previous)
        if computed is None:
            return
        for x, mask in zip(flat, tree.flatten(computed)):
            if is_tensor_like(x) and get_mask(x) is None and mask is not None:
                set_mask(x, mask)

    def compute_mask(self, inputs, previous_mask):
        """Return the mask of the outputs; by default that of the inputs."""
        return previous_mask

    # -- losses ----------------------------------------------------------------------------------------------------

    def add_loss(self, loss) -> None:
        """Add a scalar, or several, to the loss of this call."""
        losses = tree.flatten(loss)
        for x in losses:
            if not (is_tensor_like(x) or isinstance(x, (int, float))):
                raise ValueError(f"add_loss of layer {self.name!r}: expected a scalar tensor, got {x!r}.")
        redirect = scope.stack.redirect
        while redirect is not None:
            if redirect.discard_writes:
                return
            if redirect.collect_losses:
                redirect.losses.extend(losses)
                return
            if isinstance(redirect, scope.StatelessScope):
                return  # nobody asked for them, and what is computed here may not outlive a trace
            redirect = redirect.outer
        _Losses.in_use = True
        self._losses.extend(losses)

    def _own_losses(self) -> list:
        return [x for layer in self._flatten_layers() for x in layer._losses] if _Losses.in_use else []

    @property
    def losses(self) -> list:
        """Scalars of `add_loss` and of activity regularizers in the last call, and of weight regularizers."""
        redirect = scope.stack.redirect
        added = redirect.losses if redirect is not None and redirect.collect_losses else self._own_losses()
        return [*added, *(v.regularizer(v) for v in self.trainable_weights if v.regularizer is not None)]

    def _clear_losses(self) -> None:
        if _Losses.in_use:
            for layer in self._flatten_layers():
                layer._losses.clear()

    def stateless_call(self, trainable_variables, non_trainable_variables, *args, return_losses=False, **kwargs):
        """Call with the given values of variables; return outputs and the new non-trainable values.

        Args:
            trainable_variables: Values of `trainable_variables`, in order.
            non_trainable_variables: Values of `non_trainable_variables`, in order.
            return_losses: Whether to return `losses` as well.
        """
        if not self.built:
            raise ValueError(
                f"stateless_call: layer {self.name!r} is not built yet. Call it once, or build() it, before."
            )
        pairs = []
        for what, variables, values in (
            ("trainable_variables", self.trainable_variables, trainable_variables),
            ("non_trainable_variables", self.non_trainable_variables, non_trainable_variables),
        ):
            values = list(values)
            if len(values) != len(variables):
                raise ValueError(
                    f"stateless_call: layer {self.name!r} has {len(variables)} {what}, {len(values)} values were given."
                )
            pairs += zip(variables, values)
        with scope.StatelessScope(pairs, collect_losses=return_losses) as stateless:
            outputs = self(*args, **kwargs)
            losses = self.losses if return_losses else None
        new = []
        for variable in self.non_trainable_variables:
            value = stateless.get_current_value(variable)
            new.append(variable.value if value is None else value)
        return (outputs, new, losses) if return_losses else (outputs, new)

    # -- files and configs -----------------------------------------------------------------------------------------

    def save_own_variables(self, store) -> None:
        """Put the values of this layer's own variables into `store`, a mapping, under "0", "1", ..."""
        stored.save(store, self._owned())

    @stored.by_position
    def load_own_variables(self, store) -> None:
        """Take the values of this layer's own variables from `store`."""
        variables = self._owned()
        if len(store.keys()) != len(variables):
            if variables and not store.keys():
                hint = "The file holds none: was the layer's state saved under another path?"
            elif not self.built:
                hint = "The layer is not built: call it once before loading, or give it a build()."
            else:
                hint = "Was the file written by another model?"
            raise ValueError(
                f"Layer {self.name!r} expects {len(variables)} variables ({[v.name for v in variables]}), the file "
                f"holds {len(store.keys())} for it. {hint}"
            )
        stored.load(store, variables)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make this layer again, ready for JSON."""
        own = _config.own_arguments(self, Layer)
        base = {
            "name": self.name, "trainable": self.trainable, "dtype": dtype_policies.serialize(self.dtype_policy)
        }  # fmt: skip
        if self.activity_regularizer is not None and "activity_regularizer" not in own:
            base["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        return {**base, **own}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None):
        """Make a layer from what `get_config` returned; classes and functions of users may be given by name."""
        with custom_object_scope(custom_objects):
            return cls(**_config.revived(cls, Layer, config))

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"

    __str__ = __repr__
    _repr_html_ = _html.html_of


Layer.build = recorded_build(default_build)  # type: ignore[method-assign]


@functools.cache
def _is_overridden(cls: type, method: str) -> bool:
    return getattr(cls, method) is not getattr(Layer, method)


def _given_by_position(plan, args, name: str) -> bool:
    return name in plan.names[: len(args)]
