"""`TorchModuleWrapper`: a `torch.nn.Module` as a layer."""

import base64
from typing import Any

from multikeras.backend import current
from multikeras.core import serialization
from multikeras.core.variable import Variable
from multikeras.layers._call import calls
from multikeras.layers.bridges import need
from multikeras.layers.layer import Layer


class TorchModuleWrapper(Layer):
    """Use a `torch.nn.Module` as a layer; its parameters are the layer's weights, not copies of them.

    A module that becomes an attribute of a layer is wrapped by itself. A config holds the module whole, as torch writes
    it: reading one needs `safe_mode=False`.

    Args:
        module: The module, its parameters already made.
        name: Name of the layer.
        output_shape: Shape of the output for symbolic inputs, with the batch; worked out by torch if not given.

    Needs the torch backend: a ValueError says so on others.
    """

    def __init__(self, module: Any, name: str | None = None, output_shape: Any = None, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        need("torch", type(self))
        if not isinstance(module, current.native_modules):
            raise ValueError(f"TorchModuleWrapper: module must be a torch.nn.Module, got {module!r}.")
        object.__setattr__(self, "module", module)
        self.output_shape = output_shape
        current.register(self, "module", module)
        for path, parameter in module.named_parameters():
            self._own(Variable.around(parameter, parameter.requires_grad, path.replace(".", "_")))
        self.built = True

    def call(self, *args, training=None, **kwargs):
        self.module.train(training is not False)
        return self.module(*args, **kwargs)

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("_"):
                raise
            return getattr(self._inside(), name)

    def __getitem__(self, key):
        return self._inside()[key]

    def __iter__(self):
        return iter(self._inside())

    def __len__(self):
        return len(self.module)

    def __bool__(self):
        return True

    def _inside(self) -> Any:
        """Return the module, whose parts the layer around it uses, in the mode of the call that goes on."""
        if calls.context is not None:
            self.module.train((self._unsaid if calls.context.training is None else calls.context.training) is not False)
        return self.module

    def compute_output_shape(self, input_shape):
        return super().compute_output_shape(input_shape) if self.output_shape is None else tuple(self.output_shape)

    def compute_output_spec(self, *args, **kwargs):
        if self.output_shape is None:
            return self._spec_by_call(args, {**kwargs, "training": False})  # training would count the batch
        return super().compute_output_spec(*args, **kwargs)

    def save_own_variables(self, store):
        for name, value in self.module.state_dict().items():
            store[name] = current.to_numpy(value)

    def load_own_variables(self, store):
        self.module.load_state_dict({name: current.asarray(store[name][()]) for name in store.keys()})

    def get_config(self):
        packed = base64.b64encode(current.pack_module(self.module)).decode("ascii")
        return {**super().get_config(), "module": packed}

    @classmethod
    def from_config(cls, config, custom_objects=None, safe_mode=None):
        need("torch", cls)
        if not serialization.allows_code(safe_mode):
            raise ValueError(
                "The config of a TorchModuleWrapper holds a torch.nn.Module, to be read by torch.load(): arbitrary code "
                "execution. It is refused in safe mode. If you trust the source, pass safe_mode=False or call "
                "multikeras.config.enable_unsafe_deserialization()."
            )
        module = current.unpack_module(base64.b64decode(config["module"]))
        return super().from_config({**config, "module": module})


Layer.wrap_module = staticmethod(TorchModuleWrapper)  # type: ignore[assignment]
