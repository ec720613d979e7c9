"""`Module`: layers as torch knows modules, with its hooks, modes, casts, and tensors that it puts in place of others."""

import functools
import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch.nn.modules import module as torch_modules

from multikeras.backend._torch_programs import DTYPE, NAME, VariableBase

HOOKS_OF_ALL = (
    torch_modules._global_forward_pre_hooks, torch_modules._global_forward_hooks,
    torch_modules._global_backward_pre_hooks, torch_modules._global_backward_hooks,
)  # fmt: skip
"""Hooks for the calls of every module there is."""


class Held(dict):
    """Tensors of a module by name: what torch puts in the place of a variable's tensor, the variable holds from then on."""

    def __init__(self):
        self.variables: dict[str, Any] = {}

    def __setitem__(self, name: str, tensor: Any):
        super().__setitem__(name, tensor)
        if tensor is not None and name in self.__dict__.get("variables", ()):  # pickle sets items first, attributes later
            self.variables[name].hold(tensor)

    def link(self, name: str, variable: Any) -> None:
        """Let a variable follow the tensor of a name."""
        super().__setitem__(name, variable.store)
        self.variables[name] = variable

    def unlink(self, name: str) -> None:
        """Let go of a name and its variable."""
        self.pop(name, None)
        self.variables.pop(name, None)


def _hooking(name: str) -> Callable:
    """Return a method of torch's modules so that calls of the layer take notice of it from then on."""
    method = getattr(torch.nn.Module, name)

    @functools.wraps(method)
    def call(self, *args, **kwargs):
        self._is_hooked()
        return method(self, *args, **kwargs)

    return call


class Module(torch.nn.Module):
    """Base of `Layer`: a torch module whose attributes stay plain attributes, which keeps reading them fast.

    Variables are made parameters, or buffers if they were never meant to be trained.
    """

    def __new__(cls, *args, **kwargs):
        instance = super().__new__(cls, *args, **kwargs)
        # Here and not in __init__, which users call late or with arguments of their own.
        torch.nn.Module.__init__(instance)
        for name, value in (("_parameters", Held()), ("_buffers", Held()), ("training", False)):
            object.__setattr__(instance, name, value)
        return instance

    def __init__(self):
        pass

    def __getattr__(self, name):
        # torch asks here once a property has raised AttributeError, and would hide what that said.
        inherited = getattr(type(self), name, None)
        return inherited.__get__(self) if isinstance(inherited, property) else super().__getattr__(name)

    @property
    def torch_params(self) -> dict[str, torch.nn.Parameter]:
        """The parameters of all variables, by path."""
        return {v.path: v.store for v in self.variables}

    # -- calls -----------------------------------------------------------------------------------------------------

    for _name in (
        "register_forward_pre_hook", "register_forward_hook", "register_full_backward_pre_hook",
        "register_full_backward_hook", "register_backward_hook", "compile",
    ):  # fmt: skip
        locals()[_name] = _hooking(_name)
    del _name

    @property
    def hooked(self) -> bool:
        """Whether torch does something around calls of this module."""
        return bool(
            self._forward_hooks or self._forward_pre_hooks or self._backward_hooks or self._backward_pre_hooks
            or self._compiled_call_impl or any(HOOKS_OF_ALL) or torch.jit.is_tracing()
        )  # fmt: skip

    def hooked_call(self, *args, **kwargs):
        """Call the layer, and what torch does around it."""
        return torch.nn.Module.__call__(self, *args, **kwargs)

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "call" in vars(cls) and "forward" not in vars(cls):

            @functools.wraps(vars(cls)["call"])  # torch.export names inputs by the parameters
            def forward(self, *args, **kwargs):
                return self._bare_call(args, kwargs)

            cls.forward = forward

    def train(self, mode: bool = True):
        """Say whether calls that do not say so themselves are for training; until then Keras's rules hold."""
        self._set_mode(bool(mode))
        return super().train(mode)

    # -- tensors ---------------------------------------------------------------------------------------------------

    def register_parameter(self, name: str, param: Any) -> None:
        param = param.store if isinstance(param, VariableBase) else param
        super().register_parameter(name, param)
        if param is not None and not any(v.store is param for v in self.variables):
            self._parameters.link(name, self._own_native(name, param, param.requires_grad))

    def hold(self, name: str, tensor: Any) -> bool:
        """Put a tensor under a name that is known, or a parameter under a new one; tell whether it was put there."""
        parameter = isinstance(tensor, torch.nn.Parameter)
        for held in (self._parameters, self._buffers):
            if name in held and (parameter or held is self._buffers):
                held[name] = _marked(tensor)
                return True
            if name in held.variables and name not in held:  # torch took it off, to compute it itself from now on
                if parameter:
                    held[name] = tensor
                else:
                    held.variables[name].hold(tensor)
                return True
        if parameter:
            self.__dict__.pop(name, None)
            self.register_parameter(name, tensor)
        return parameter

    def __delattr__(self, name: str) -> None:
        for held in (self._parameters, self._buffers):
            if name in held.variables:  # which stays: torch is about to compute its tensor itself, or did
                held.pop(name, None)
                return
        super().__delattr__(name)

    def get_parameter(self, target: str) -> torch.nn.Parameter:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        return module._parameters[name] if isinstance(module, Module) else module.get_parameter(name)

    def requires_grad_(self, requires_grad: bool = True):
        """Freeze the layer or train it."""
        self.trainable = requires_grad
        return super().requires_grad_(requires_grad)

    def _apply(self, fn, recurse=True):
        super()._apply(fn, recurse)
        for held in (self._parameters, self._buffers):
            for name, variable in held.variables.items():
                tensor = held.get(name)
                if tensor is not None:
                    variable.hold(_marked(tensor))
        with torch.no_grad():
            dtype = NAME[fn(torch.empty(0, dtype=DTYPE[self.dtype])).dtype]
        if dtype != self.dtype:
            self._was_cast(dtype)
        return self


def _key(module: Module, name: str) -> str:
    """Return what torch's own names call an attribute: `_kernel` is "kernel", unless that is another attribute's."""
    owners, plain = module.__dict__.setdefault("_module_keys", {}), name.replace(".", "_")
    numbered = (f"{plain}_{i}" for i in itertools.count(1))
    return next(k for k in itertools.chain((plain.lstrip("_") or plain, plain), numbered) if owners.setdefault(k, name) == name)


def _marked(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor known to be a variable's: as a parameter of torch's, or a buffer."""
    if not isinstance(tensor, torch.nn.Parameter):
        tensor._is_buffer = tensor.persistent = True  # type: ignore[attr-defined]  # as torch.nn.Buffer does
    return tensor


def register(module: Module, name: str, value: Any) -> None:
    """Enter a variable or a module under the name of an attribute."""
    if not isinstance(module, Module):
        return
    if isinstance(value, VariableBase):
        if not value.learned and isinstance(value.store, torch.nn.Parameter):
            value.hold(_marked(value.store.detach()))
        (module._parameters if value.learned else module._buffers).link(_key(module, name), value)
    elif isinstance(value, torch.nn.Module):
        module._modules[_key(module, name)] = value


def unregister(module: Module, name: str) -> None:
    """Strike out what stands under the name of an attribute."""
    key = _key(module, name)
    module._parameters.unlink(key)
    module._buffers.unlink(key)
    module._modules.pop(key, None)
