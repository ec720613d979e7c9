"""`TorchModuleWrapper`: a `torch.nn.Module` as a layer."""

from typing import Any

from multikeras.backend import current
from multikeras.core.variable import Variable
from multikeras.layers.layer import Layer


class TorchModuleWrapper(Layer):
    """Use a `torch.nn.Module` as a layer; its parameters are the layer's weights, not copies of them.

    Args:
        module: The module, its parameters already made.
        name: Name of the layer.
        output_shape: Shape of the output for symbolic inputs, with the batch; worked out by torch if not given.

    Needs the torch backend: a ValueError says so on others.
    """

    def __init__(self, module: Any, name: str | None = None, output_shape: Any = None, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        if not hasattr(current.Module, "named_parameters"):
            raise ValueError(
                f"TorchModuleWrapper needs the torch backend (set MULTIKERAS_BACKEND=torch); the backend is {current.name}."
            )
        if not hasattr(module, "named_parameters"):
            raise ValueError(f"TorchModuleWrapper: module must be a torch.nn.Module, got {module!r}.")
        self.module = module
        self.output_shape = output_shape
        current.register(self, "module", module)
        for path, parameter in module.named_parameters():
            variable = Variable(parameter, trainable=parameter.requires_grad, name=path.replace(".", "_"))
            variable._store = parameter  # the module and the layer write to one tensor
            self._own(variable)
        self.built = True

    def call(self, *args, training=None, **kwargs):
        if training is not None:
            self.module.train(bool(training))
        return self.module(*args, **kwargs)

    def compute_output_shape(self, input_shape):
        return super().compute_output_shape(input_shape) if self.output_shape is None else tuple(self.output_shape)

    def compute_output_spec(self, *args, **kwargs):
        if self.output_shape is None:
            return self._spec_by_call(args, kwargs)
        return super().compute_output_spec(*args, **kwargs)

    def get_config(self):
        raise NotImplementedError(
            f"TorchModuleWrapper {self.name!r} cannot be written to a config: a torch.nn.Module has none. Save its weights."
        )
