"""GPTQ and AWQ for models: one block after the other, each seeing what comes out of those that are done."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from multikeras import ops
from multikeras.core import tree
from multikeras.layers.layer import Layer
from multikeras.layers.quantization.quantizable import Quantizable
from multikeras.quantizers.rounding import Seen


def calibrate(model: Layer, config: Any, wanted: Callable[[Layer], bool]) -> None:
    """Quantize the dense layers in the blocks of `model`, calibrated by the data of `config`."""
    before, blocks = _structure(model, config)
    batches = [ops.convert_to_tensor(x) for x in windows(config)]
    for layer in before:
        batches = [layer(x) for x in batches]
    for block in blocks:
        layers = [x for x in block._flatten_layers() if _has_form(x, config.mode) and x.built and wanted(x)]
        seen = _watch(layers, lambda: [block(x) for x in batches])  # noqa: B023
        for layer in layers:
            layer.quantize(config.mode, config=config)
            layer.calibrate(seen[id(layer)], config)
        batches = [ops.stop_gradient(block(x)) for x in batches]


def _has_form(layer: Layer, mode: str) -> bool:
    own = isinstance(layer, Quantizable) and "quantized_forms" in vars(type(layer))
    return own and mode in layer.quantized_forms and layer.quantization_mode is None


def _structure(model: Layer, config: Any) -> tuple[list, list]:
    structure = config.quantization_layer_structure
    if structure is None and hasattr(model, "get_quantization_layer_structure"):
        structure = model.get_quantization_layer_structure(config.mode)
    keys = ("pre_block_layers", "sequential_blocks")
    if not isinstance(structure, dict) or any(key not in structure for key in keys):
        raise ValueError(
            f"For mode={config.mode!r}, a valid quantization structure is needed: a dict with lists of layers, those before the "
            f"blocks under {keys[0]!r}, the blocks under {keys[1]!r}. Pass it as `quantization_layer_structure`, or "
            f"let the model's get_quantization_layer_structure(mode) return it. Got {structure!r}."
        )
    return list(structure[keys[0]]), list(structure[keys[1]])


def windows(config: Any) -> list[np.ndarray]:
    """Return `num_samples` arrays (1, sequence_length) of numbers, spread over the data, which repeats if it is short."""
    if config.dataset is None or isinstance(config.dataset, str):
        raise ValueError(f"{type(config).__name__}: dataset must be an iterable of texts or numbers, got {config.dataset!r}.")
    encode = getattr(config.tokenizer, "tokenize", config.tokenizer)
    parts = []
    for sample in config.dataset:
        if isinstance(sample, str) and encode is None:
            raise ValueError(f"{type(config).__name__}: texts need a tokenizer.")
        numbers = encode(sample) if isinstance(sample, str) else sample
        parts.append(np.asarray(ops.convert_to_numpy(ops.convert_to_tensor(numbers))).reshape(-1))
    stream = np.concatenate(parts) if parts else np.zeros(0)
    if not stream.size:
        raise ValueError(f"{type(config).__name__}: dataset is empty.")
    length = config.sequence_length
    stream = np.resize(stream, max(stream.size, length))
    starts = np.linspace(0, stream.size - length, config.num_samples).astype(int)
    return [stream[start : start + length][None].astype("int32") for start in starts]


def _watch(layers: list, run: Callable[[], Any]) -> dict[int, Seen]:
    """Return what inputs each layer was given in `run`."""
    seen: dict[int, Seen] = {}
    for layer in layers:
        layer._lay_out(tuple(layer._kernel.shape))
        seen[id(layer)] = Seen(layer.geometry.as_matrix()[0])
        object.__setattr__(layer, "call", functools.partial(_noting, layer, type(layer).call, seen[id(layer)]))
        layer._fast = False
    try:
        tree.map_structure(lambda x: None, run())
    finally:
        for layer in layers:
            object.__delattr__(layer, "call")
    return seen


def _noting(layer: Any, call: Callable, seen: Seen, inputs: Any, *args: Any, **kwargs: Any) -> Any:
    rows = layer.geometry.at(inputs).rows_of(inputs)
    if rows is not None:
        seen.add(ops.convert_to_numpy(ops.stop_gradient(rows)))
    return call(layer, inputs, *args, **kwargs)
