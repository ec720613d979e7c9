"""`quantize`: a layer exchanges its weight of floats for one of few bits."""

import functools
from typing import Any, ClassVar

from multikeras import dtype_policies, ops
from multikeras.core import stored
from multikeras.layers._arguments import weight
from multikeras.layers.lora import LowRankAdapted
from multikeras.layers.quantization.form import Form
from multikeras.quantizers.config import Int4QuantizationConfig, resolve


class Quantizable(LowRankAdapted):
    """Adds `quantize` to a layer with a kernel or embeddings, and building it under a quantized dtype policy.

    A class says in `quantized_forms` which modes it has. A layer that is quantized has its form's `call` in place of the
    class's, so that one that is not pays nothing.
    """

    quantized_forms: ClassVar[dict[str, Form]] = {}
    quantization_config: Any = None
    _form: Form | None = None
    _full_shape: tuple = ()

    @property
    def _is_quantized(self) -> bool:
        return self._form is not None

    def quantize(self, mode: str | None = None, type_check: bool = True, config: Any = None) -> None:
        """Exchange the weight of floats for one of few bits, for good.

        Args:
            mode: "int8", "int4", "float8", "gptq" or "awq"; may be left to the config.
            type_check: Whether to refuse subclasses, whose own `call` would not run any more.
            config: `QuantizationConfig` with the quantizers to use.
        """
        what = f"Layer {self.name!r} (of type {type(self).__name__!r})"
        config = resolve(mode, config)
        if not self.built:
            raise ValueError(f"Cannot quantize a layer that isn't yet built. {what} is not: call it or build() it first.")
        if type_check and "quantized_forms" not in vars(type(self)):
            raise NotImplementedError(
                f"Layer {type(self).__name__} does not have a `quantize` method implemented. Pass type_check=False if the "
                "inherited one will do."
            )
        if self._form is not None:
            raise ValueError(f"{what} is already quantized with dtype_policy={self._policy_here.name!r}. Received: {mode=}")
        name = self._policy_here.name
        self._exchange(config)
        self.dtype_policy = dtype_policies.get(f"{config.policy_mode()}_from_{name}")

    def _exchange(self, config: Any) -> None:
        form = self._form_for(config.mode)
        shape = tuple(getattr(self, f"_{self.lora_target}").shape)
        self._lay_out(shape)
        values = form.converted(self, config)
        form.forget(self)
        self.quantization_config = config
        self.quantized_build(shape, config.mode, config)
        for name, value in values.items():
            getattr(self, name).assign(value)

    def _lay_out(self, shape: tuple) -> None:
        """Note what forms must know of the weight's shape."""
        self._full_shape = shape

    def _form_for(self, mode: Any) -> Form:
        if mode not in self.quantized_forms:
            raise NotImplementedError(
                f"Invalid quantization mode. Layer {self.name!r} of type {type(self).__name__}: expected one of "
                f"{tuple(self.quantized_forms)}, got quantization_mode={mode!r}."
            )
        return self.quantized_forms[mode]

    def quantized_build(self, input_shape: tuple, mode: str, config: Any = None) -> None:
        """Make the variables of a mode for a weight of this shape."""
        form = self._form_for(mode)
        self._lay_out(tuple(input_shape))
        form.build(self, tuple(input_shape), config)
        self._form = form
        object.__setattr__(self, "call", functools.partial(form.call, self))

    def quantized_call(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the outputs as the mode of the dtype policy does."""
        return self._form_for(self.quantization_mode).call(self, *args, **kwargs)

    def build_weight(self, shape: tuple, initializer: Any = None) -> None:
        """Make the weight, or what stands for it under a quantized dtype policy."""
        target, mode = self.lora_target, self.quantization_mode
        if mode is not None:
            self.quantized_build(shape, mode, self.quantization_config)
        if mode is None or self._form.keeps_float:
            more = {} if initializer is None else {"initializer": initializer}
            setattr(self, f"_{target}", weight(self, target, shape, **more))

    def _policy_was_set(self) -> None:
        if not self.built or self._form is not None or self.quantization_mode is None:
            return
        if self.quantization_mode in ("gptq", "awq"):
            raise ValueError(
                f"Implicitly enabling {self.quantization_mode.upper()} quantization by setting `dtype_policy` to "
                f"{self._policy_here.name!r} is not supported: it needs data. Use quantize() with a config."
            )
        block = getattr(self._policy_here, "block_size", None)
        config = None if block is None else Int4QuantizationConfig(block_size=block)
        self._exchange(resolve(self.quantization_mode, config))

    def int4_block_size(self, config: Any) -> int | None:
        """Return how many rows share a scale in 4 bits, None for all of a column."""
        block = getattr(self._policy_here, "block_size", None) if config is None else config.block_size
        return None if block == -1 else block

    def calibrate(self, seen: Any, config: Any) -> None:
        """Round the weights for inputs such as those seen: for the modes that look at data."""
        self._form.calibrate(self, seen, config)  # type: ignore[union-attr]

    # -- low-rank correction and files -----------------------------------------------------------------------------

    def enable_lora(self, rank: int, *args: Any, **kwargs: Any) -> None:
        if self.quantization_mode in ("gptq", "awq"):
            raise NotImplementedError(f"lora is not currently supported with {self.quantization_mode.upper()} quantization.")
        super().enable_lora(rank, *args, **kwargs)

    def lora_shape(self) -> tuple:
        return self._full_shape or super().lora_shape()

    def with_lora(self, frozen: Any) -> Any:
        if self._form is not None:
            return self._form.shown(self)
        return super().with_lora(frozen) if self.lora_enabled else frozen

    def saved_weights(self) -> list:
        if self._form is None:
            return super().saved_weights()
        found = (getattr(self, name, None) for name in self._form.stored(self))
        return [v for v in found if v is not None]

    def save_own_variables(self, store: Any) -> None:
        if self._form is None:
            super().save_own_variables(store)
            return
        changed = self._form.merged(self) if self.lora_enabled else {}
        values = [changed.get(name, getattr(self, name, None)) for name in self._form.stored(self)]
        for i, value in enumerate(v for v in values if v is not None):
            store[str(i)] = ops.convert_to_numpy(value)

    @stored.by_position_if(lambda layer: not layer.lora_enabled and (layer._form is None or layer._form.loads_plainly))
    def load_own_variables(self, store: Any) -> None:
        if self._form is None:
            super().load_own_variables(store)
            return
        stored.load(store, self.saved_weights())
        self._form.was_loaded(self)
        if self.lora_enabled:
            for factor in (self.lora_a, self.lora_b):
                factor.assign(ops.zeros(factor.shape))
