"""`TFSMLayer`: a TensorFlow SavedModel as a layer."""

import difflib
from typing import Any

from multikeras.backend import current
from multikeras.core import serialization
from multikeras.core.tracking import unique
from multikeras.core.variable import Variable
from multikeras.layers.bridges import need
from multikeras.layers.layer import Layer


class TFSMLayer(Layer):
    """Use a TensorFlow SavedModel as a layer; its variables are the layer's weights.

    Args:
        filepath: The SavedModel's directory.
        call_endpoint: Name of its function, or signature, to call.
        call_training_endpoint: Name of the one to call in training; the same if not given.
        trainable: Whether its trainable variables are trained.
        name: Name of the layer.
        dtype: Dtype or policy of the layer.

    Needs the tensorflow backend: a ValueError says so on others. What a SavedModel does is code, so a config that names
    one is read with `safe_mode=False` only.
    """

    def __init__(
        self, filepath: str, call_endpoint: str = "serve", call_training_endpoint: str | None = None,
        trainable: bool = True, name: str | None = None, dtype: Any = None,
    ):  # fmt: skip
        need("saved_model", type(self))
        super().__init__(trainable=trainable, name=name, dtype=dtype)
        self.filepath = str(filepath)
        self.call_endpoint, self.call_training_endpoint = call_endpoint, call_training_endpoint
        self._kept, endpoints = current.load_endpoints(self.filepath)
        for argument in ("call_endpoint", "call_training_endpoint"):
            _check(getattr(self, argument), endpoints, argument, self.filepath)
        self._function, stores = endpoints[call_endpoint]
        self._training_function, more = endpoints[call_training_endpoint or call_endpoint]
        for store in unique([*stores, *more]):
            name = store.name.rpartition(":")[0].rpartition("/")[2] or "variable"
            self._own(Variable.around(store, store.trainable, name))
        self.built = True

    def call(self, inputs, training=False, **kwargs):
        return (self._training_function if training else self._function)(inputs, **kwargs)

    @classmethod
    def from_config(cls, config, custom_objects=None, safe_mode=None):
        if not serialization.allows_code(safe_mode):
            raise ValueError(
                "The config of a TFSMLayer names a SavedModel to be loaded from a file of its own: arbitrary code "
                "execution. It is refused in safe mode. If you trust the source, pass safe_mode=False or call "
                "multikeras.config.enable_unsafe_deserialization()."
            )
        return super().from_config(config)


def _check(name: str | None, endpoints: dict, argument: str, path: str) -> None:
    if name is None or name in endpoints:
        return
    near = difflib.get_close_matches(name, endpoints, 1)
    hint = f"Did you mean {near[0]!r}?" if near else f"It has: {', '.join(sorted(endpoints)) or 'none'}."
    raise ValueError(f"TFSMLayer: The endpoint {name!r} ({argument}) is not in the SavedModel {path!r}. {hint}")
