"""`Bidirectional`: a recurrent layer run both ways."""

from typing import Any

from multikeras import ops
from multikeras.core import serialization
from multikeras.layers._arguments import one_of
from multikeras.layers.layer import Layer

_MERGE = {
    "concat": lambda a, b: ops.concatenate([a, b], axis=-1),
    "sum": ops.add,
    "ave": lambda a, b: (a + b) / 2,
    "mul": ops.multiply,
}


_NEEDED = ("go_backwards", "return_sequences", "return_state", "stateful")


class Bidirectional(Layer):
    """Run a recurrent layer forwards and its copy backwards, and merge the outputs.

    Args:
        layer: The layer, such as an `LSTM`.
        merge_mode: "concat", "sum", "mul", "ave", or None for both outputs as a list.
        weights: Weights to start from.
        backward_layer: The layer to run backwards; a copy of `layer` with `go_backwards` turned by default.

    Call arguments as for `layer`; `initial_state` holds the states forwards, then those backwards.

    >>> import multikeras
    >>> layer = multikeras.layers.Bidirectional(multikeras.layers.LSTM(3))
    >>> layer(multikeras.ops.ones((2, 5, 4))).shape == (2, 6)
    True
    """

    def __init__(
        self,
        layer: Layer,
        merge_mode: str | None = "concat",
        weights: list | None = None,
        backward_layer: Layer | None = None,
        **kwargs: Any,
    ):
        for argument, value in (("layer", layer), ("backward_layer", backward_layer)):
            if not isinstance(value, Layer) and not (value is None and argument == "backward_layer"):
                raise ValueError(f"Bidirectional: {argument} must be a layer, got {argument}={value!r}.")
            missing = [n for n in _NEEDED if value is not None and not hasattr(value, n)]
            if missing:
                raise ValueError(
                    f"Bidirectional: {argument} must be a recurrent layer such as LSTM or RNN, or one with the attributes "
                    f"{', '.join(_NEEDED)}; {argument}={value!r} has no {', '.join(missing)}."
                )
        one_of("Bidirectional", "merge_mode", merge_mode, (*_MERGE, None))
        super().__init__(**kwargs)
        # `layer` itself is only copied: nothing keeps it.
        object.__setattr__(self, "_init_args", ((), {}))
        self.forward_layer = _copy(layer, {})
        if backward_layer is None:
            turned = {"go_backwards": not layer.go_backwards}
            self.backward_layer = _copy(layer, turned, f"backward_{layer.name}")
        else:
            self.backward_layer = backward_layer
        prefix = "forward_"
        if not layer.name.startswith(prefix) or backward_layer is None:
            _rename(self.forward_layer, prefix + layer.name.removeprefix(prefix))
        own = self.backward_layer.name.removeprefix("backward_").removeprefix(prefix)
        _rename(self.backward_layer, f"backward_{own}")
        self._check_agreement()
        for one in (self.forward_layer, self.backward_layer):
            # The step that one direction masks is one the other has seen: what is carried over must not be merged.
            one.zero_output_for_mask = layer.return_sequences or one.zero_output_for_mask
        self.merge_mode = merge_mode
        self._first_weights = weights
        self.stateful = layer.stateful
        self.return_sequences = layer.return_sequences
        self.return_state = layer.return_state
        self.supports_masking = True
        self.input_spec = layer.input_spec

    def _check_agreement(self):
        forward, backward = self.forward_layer, self.backward_layer
        if forward.go_backwards == backward.go_backwards:
            raise ValueError("Bidirectional: layer and backward_layer must differ in go_backwards.")
        for name in ("stateful", "return_sequences", "return_state"):
            ours, theirs = getattr(forward, name), getattr(backward, name)
            if ours != theirs:
                raise ValueError(
                    f"Bidirectional: layer and backward_layer must agree in {name}, got {ours} and {theirs}."
                )

    def build(self, sequences_shape, initial_state_shape=None):
        for layer in (self.forward_layer, self.backward_layer):
            if not layer.built:
                layer.build(sequences_shape)
                layer.built = True
        if self._first_weights is not None:
            self.set_weights(self._first_weights)

    def call(self, sequences, initial_state=None, mask=None, training=None):
        more: dict[str, Any] = {"training": bool(training)}
        if mask is not None:  # a layer that is told no more than that runs at once
            more["mask"] = mask
        first = second = more
        if initial_state is not None:
            half = len(initial_state) // 2
            first, second = ({**more, "initial_state": list(s)} for s in (initial_state[:half], initial_state[half:]))
        forward, backward = self.forward_layer(sequences, **first), self.backward_layer(sequences, **second)
        states: list = []
        if self.return_state:
            (forward, *states), (backward, *others) = forward, backward
            states = [*states, *others]
        if self.return_sequences:
            backward = ops.flip(backward, axis=1)
        if self.merge_mode is None:
            output: Any = (forward, backward)
        else:
            output = ops.cast(_MERGE[self.merge_mode](forward, backward), self.compute_dtype)
        if self.return_state:
            return (*output, *states) if self.merge_mode is None else (output, *states)
        return output

    @property
    def states(self):
        """The states of both layers, None before the first call or where they keep none."""
        forward, backward = self.forward_layer.states, self.backward_layer.states
        return None if not forward or not backward else [*forward, *backward]

    def reset_state(self):
        """Set the states of stateful layers to zero."""
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    reset_states = reset_state

    def compute_mask(self, inputs, mask=None):
        mask = mask[0] if isinstance(mask, list) else mask
        kept = mask if self.return_sequences else None
        outputs = [kept, kept] if self.merge_mode is None and self.return_sequences else kept
        if not self.return_state:
            return outputs
        states = [None] * (2 * len(self.forward_layer.state_size))
        return [*outputs, *states] if isinstance(outputs, list) else [outputs, *states]

    def get_config(self):
        return {
            **super().get_config(),
            "merge_mode": self.merge_mode,
            "layer": serialization.serialize_keras_object(self.forward_layer),
            "backward_layer": serialization.serialize_keras_object(self.backward_layer),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for name in ("layer", "backward_layer"):
            if config.get(name) is not None:
                config[name] = serialization.deserialize_keras_object(config[name], custom_objects)
        return cls(**config)


def _copy(layer: Layer, changes: dict, name: str | None = None) -> Any:
    """Return an unbuilt layer like `layer`."""
    config = {**layer.get_config(), **changes}
    return type(layer).from_config({**config, "name": name} if name else config)


def _rename(layer: Layer, name: str) -> None:
    layer.name = name
    layer._path = name
