"""What layers give on shapes alone: `call` run on them, or the rule that a layer has for them."""

import functools
import inspect

from multikeras.backend import dtypes as dtype_names
from multikeras.backend import scope
from multikeras.backend.shapes import Spec
from multikeras.core import tree
from multikeras.core.abstract import on_shapes
from multikeras.core.masking import get_mask
from multikeras.core.node import Node, as_keras_tensor, as_spec
from multikeras.layers import _call


class Symbolic:
    """Shapes and dtypes of outputs: the part of `Layer` that computes nothing."""

    autocast: bool
    built: bool
    compute_dtype: str
    _plan: _call.CallPlan

    def symbolic_call(self, *args, **kwargs):
        """Return KerasTensors for the outputs and record the call."""
        outputs = tree.map_structure(as_keras_tensor, self.compute_output_spec(*args, **kwargs))
        Node(self, args, kwargs, outputs)
        return outputs

    def compute_output_spec(self, *args, **kwargs):
        """Return shape and dtype of the outputs, by running `call` on shapes."""
        args, kwargs = tree.map_structure(self._spec_in, (args, kwargs))
        if type(self).compute_output_shape is not Symbolic.compute_output_shape:
            return self._spec_from_shape_rule(args, kwargs)
        return self._spec_by_call(args, kwargs)

    def _spec_by_call(self, args, kwargs):
        with scope.AutocastScope(self.compute_dtype if self.autocast else None):
            return on_shapes(self.call, args, kwargs)

    def _spec_from_shape_rule(self, args, kwargs):
        arguments = self._plan.bind(args, kwargs)
        shapes = {k: _call.shapes_of(v) for k, v in arguments.items() if _call.has_tensors(v)}
        names = list(inspect.signature(self.compute_output_shape).parameters)
        if len(names) <= 1 or len(shapes) == 1:
            result = self.compute_output_shape(next(iter(shapes.values())))
        else:
            result = self.compute_output_shape(**{f"{k}_shape": v for k, v in shapes.items() if f"{k}_shape" in names})
        return _call.map_shapes(lambda shape: Spec(shape, self.compute_dtype), result)

    def _spec_in(self, x):
        x = as_spec(x)
        if isinstance(x, Spec) and self.autocast and dtype_names.is_float(x.dtype) and x.dtype != self.compute_dtype:
            cast = Spec(x.shape, self.compute_dtype, x.sparse)
            if get_mask(x) is not None:
                cast._keras_mask = x._keras_mask
            return cast
        return x

    def compute_output_shape(self, *args, **kwargs):
        """Return the shapes of the outputs for inputs of given shapes, by running `call` on them."""
        layer = self
        if not self.built:
            # An unbuilt layer stays unbuilt: its copy is asked.
            try:
                with scope.SymbolicScope():
                    layer = type(self).from_config(self.get_config())
            except Exception:
                layer = self
        to_spec = functools.partial(_call.map_shapes, lambda s: Spec(s, self.compute_dtype))
        specs = [to_spec(a) for a in args]
        named = {k.removesuffix("_shape"): to_spec(v) for k, v in kwargs.items()}
        named = {k if k in self._plan.names else self._plan.names[0]: v for k, v in named.items()}
        return tree.map_structure(lambda s: s.shape, layer(*specs, **named))
