"""Low-rank adaptation: train two thin matrices beside a frozen weight (Hu et al. 2021, arXiv:2106.09685)."""

from typing import Any

from multikeras import initializers, ops
from multikeras.core import naming, stored


class LowRankAdapted:
    """Adds `enable_lora` to a layer; mixed into layers with a kernel or embeddings.

    The layer keeps the weight as `_<lora_target>` and reads it through a property that returns
    `self.with_lora(self._<lora_target>)`. Files hold the sum, so they load without adaptation.
    """

    lora_target = "kernel"
    lora_enabled = False
    lora_rank: int | None = None
    lora_alpha: float | None = None
    lora_a: Any = None
    lora_b: Any = None

    def adapt_if_asked(self) -> None:
        """Enable the adaptation at the end of `build` where the constructor was given a rank."""
        if self.lora_rank:
            self.enable_lora(self.lora_rank, lora_alpha=self.lora_alpha)

    def enable_lora(
        self,
        rank: int,
        lora_alpha: float | None = None,
        a_initializer: Any = "he_uniform",
        b_initializer: Any = "zeros",
    ) -> None:
        """Freeze the weight and add a trainable correction `a @ b * lora_alpha / rank`.

        Args:
            rank: Inner size of the two factors.
            lora_alpha: Scale of the correction; `rank` by default.
            a_initializer, b_initializer: How the factors start; by default their product is zero.
        """
        target = self.lora_target
        frozen = getattr(self, f"_{target}", None)
        what = f"{type(self).__name__} {self.name!r}: enable_lora"
        if getattr(self, f"{target}_constraint", None) is not None:
            raise ValueError(f"{what} does not go together with {target}_constraint.")
        if not self.built or frozen is None:
            raise ValueError(f"{what} needs a layer that is built. Call build() or the layer first.")
        if self.lora_enabled:
            raise ValueError(f"{what} can be called once only; lora is already enabled with rank {self.lora_rank}.")
        shape = self.lora_shape()
        regularizer = getattr(self, f"{target}_regularizer", None)
        with naming.name_scope(self.name, caller=self, override_parent=self.path.rpartition("/")[0]):
            for letter, size, initializer in (
                ("a", (*shape[:-1], rank), a_initializer), ("b", (rank, shape[-1]), b_initializer),
            ):  # fmt: skip
                factor = self.add_weight(
                    name=f"lora_{target}_{letter}", shape=size, initializer=initializers.get(initializer),
                    regularizer=regularizer,
                )  # fmt: skip
                setattr(self, f"lora_{target}_{letter}", factor)
                setattr(self, f"lora_{letter}", factor)
        frozen.trainable = False
        self.lora_enabled = True
        self.lora_rank = rank
        self.lora_alpha = lora_alpha if lora_alpha is not None else rank

    def lora_shape(self) -> tuple:
        """Return the shape of the weight that is corrected."""
        return tuple(getattr(self, f"_{self.lora_target}").shape)

    def with_lora(self, frozen: Any) -> Any:
        """Return the weight plus its correction, or the weight where there is none."""
        if not self.lora_enabled:
            return frozen
        return ops.add(frozen, ops.multiply(ops.matmul(self.lora_a, self.lora_b), self.lora_alpha / self.lora_rank))

    def saved_weights(self) -> list:
        """Return the weights that go into files, in order."""
        return [v for v in (getattr(self, f"_{self.lora_target}"), getattr(self, "bias", None)) if v is not None]

    def save_own_variables(self, store: Any) -> None:
        if self.lora_enabled:
            for i, variable in enumerate(self.saved_weights()):
                value = getattr(self, self.lora_target) if i == 0 else variable
                store[str(i)] = ops.convert_to_numpy(value)
        else:
            super().save_own_variables(store)

    @stored.by_position_if(lambda layer: not layer.lora_enabled)
    def load_own_variables(self, store: Any) -> None:
        if not self.lora_enabled:
            super().load_own_variables(store)
            return
        for i, variable in enumerate(self.saved_weights()):
            variable.assign(store[str(i)])
        for factor in (self.lora_a, self.lora_b):
            factor.assign(ops.zeros(factor.shape))

    def get_config(self) -> dict:
        config = super().get_config()
        return {**config, "lora_rank": self.lora_rank, "lora_alpha": self.lora_alpha} if self.lora_rank else config
