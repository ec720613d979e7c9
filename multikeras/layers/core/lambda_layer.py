"""`Lambda`: any function as a layer."""

import inspect
from collections.abc import Callable
from typing import Any

from multikeras.core import serialization, tree
from multikeras.layers.layer import Layer


class Lambda(Layer):
    """Apply a function to the inputs.

    A layer of your own is to be preferred: it can hold weights, and files need no code of the function.

    Args:
        function: The function; `mask` and `training` are passed to it if it has such arguments.
        output_shape: Shape of a sample of the output, or a function from shape to shape; worked out if not given.
        mask: The mask of the output, or a function (inputs, mask) that gives it.
        arguments: Further arguments of the function.

    >>> import multikeras
    >>> y = multikeras.layers.Lambda(lambda x, by: x * by, arguments={"by": 3.0})(multikeras.ops.ones((2,)))
    >>> multikeras.ops.convert_to_numpy(y).tolist()
    [3.0, 3.0]
    """

    def __init__(
        self,
        function: Callable,
        output_shape: Any = None,
        mask: Any = None,
        arguments: dict | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not callable(function):
            raise TypeError(f"Lambda: function must be callable, got {function!r}.")
        self.function = function
        self.arguments = arguments or {}
        self._output_shape = output_shape
        self.mask = mask
        if mask is not None:
            self.supports_masking = True
        names = inspect.signature(function).parameters if callable(function) else {}
        self._passes = [name for name in ("mask", "training") if name in names]
        self.built = type(self).build is Layer.build

    def call(self, inputs, mask=None, training=None):
        given = {"mask": mask, "training": training}
        more = {name: given[name] for name in self._passes if given[name] is not None}
        return self.function(inputs, **{**self.arguments, **more})

    def compute_output_shape(self, input_shape):
        if self._output_shape is None:
            return super().compute_output_shape(input_shape)
        if callable(self._output_shape):
            return self._output_shape(input_shape)
        first = tree.flatten(input_shape)[0] if not isinstance(input_shape[0], (list, tuple)) else input_shape[0][0]
        return (first, *self._output_shape)

    def compute_output_spec(self, *args, **kwargs):
        if self._output_shape is None:
            return self._spec_by_call(*tree.map_structure(self._spec_in, (args, kwargs)))
        return super().compute_output_spec(*args, **kwargs)

    def compute_mask(self, inputs, mask=None):
        return self.mask(inputs, mask) if callable(self.mask) else self.mask

    def get_config(self):
        config = {**super().get_config(), "function": serialization.serialize_keras_object(self.function)}
        if self._output_shape is not None:
            config["output_shape"] = serialization.serialize_keras_object(self._output_shape)
        if self.mask is not None:
            config["mask"] = serialization.serialize_keras_object(self.mask)
        return {**config, "arguments": serialization.serialize_keras_object(self.arguments)}

    @classmethod
    def from_config(cls, config, custom_objects=None, safe_mode=None):
        safe_mode = serialization.in_safe_mode() if safe_mode is None else safe_mode
        config = dict(config)
        for name in ("function", "output_shape", "mask", "arguments", "dtype"):
            if name in config:
                config[name] = _revived(config[name], custom_objects, safe_mode is not False)
        return cls(**config)


def _revived(value: Any, custom_objects: Any, safe_mode: bool) -> Any:
    if isinstance(value, list) and all(isinstance(v, (int, type(None))) for v in value):
        return tuple(value)
    return serialization.deserialize_keras_object(value, custom_objects=custom_objects, safe_mode=safe_mode)
