"""Weights by the names and in the layouts of torch: the `state_dict` of a module of the same architecture.

Modules of torch are matched with layers in order. A layer gives, and takes, a dict of arrays as its counterpart has them.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]


def _same(x: np.ndarray) -> np.ndarray:
    return x


def _turned(x: np.ndarray) -> np.ndarray:
    """Swap (..., in, out) and (out, in, ...)."""
    return np.transpose(x, (x.ndim - 1, x.ndim - 2, *range(x.ndim - 2)))


def _turned_back(x: np.ndarray) -> np.ndarray:
    return np.transpose(x, (*range(2, x.ndim), 1, 0))


_LINEAR = {"weight": ("kernel", _turned, _turned_back), "bias": ("bias", _same, _same)}
_NORM = {"weight": ("gamma", _same, _same), "bias": ("beta", _same, _same)}
_RUNNING = {"running_mean": ("moving_mean", _same, _same), "running_var": ("moving_variance", _same, _same)}
_BY_ATTRIBUTE: dict[str, dict[str, tuple[str, Callable, Callable]]] = {
    **dict.fromkeys(("Dense", "Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"), _LINEAR),
    "Embedding": {"weight": ("embeddings", _same, _same)},
    "LayerNormalization": _NORM,
    "GroupNormalization": _NORM,
    "RMSNormalization": {"weight": ("scale", _same, _same)},
    "BatchNormalization": {**_NORM, **_RUNNING},
    "PReLU": {"weight": ("alpha", lambda x: x.reshape(-1), _same)},
}
"""For a class of layers: the name torch has, our attribute, the way there and the way back."""


def _give_by_attribute(layer: Any) -> Arrays:
    table = _BY_ATTRIBUTE[_kind(layer)]
    found = {name: (getattr(layer, attribute), there) for name, (attribute, there, _) in table.items()}
    return {name: there(variable.numpy()) for name, (variable, there) in found.items() if variable is not None}


def _take_by_attribute(layer: Any, arrays: Arrays) -> list[tuple[Any, np.ndarray]]:
    table = _BY_ATTRIBUTE[_kind(layer)]
    return [(getattr(layer, table[n][0]), table[n][2](x)) for n, x in arrays.items() if n in table]


def _give_depthwise(layer: Any) -> Arrays:
    kernel = _depthwise_there(layer.kernel.numpy())
    return {"weight": kernel} if layer.bias is None else {"weight": kernel, "bias": layer.bias.numpy()}


def _depthwise_there(x: np.ndarray) -> np.ndarray:
    """Return (..., channels, multiplier) as (channels * multiplier, 1, ...)."""
    x = np.transpose(x, (x.ndim - 2, x.ndim - 1, *range(x.ndim - 2)))
    return x.reshape(-1, 1, *x.shape[2:])


def _take_depthwise(layer: Any, arrays: Arrays) -> list[tuple[Any, np.ndarray]]:
    weight, shape = arrays["weight"], layer.kernel.shape
    weight = weight.reshape(shape[-2], shape[-1], *weight.shape[2:])
    found = [(layer.kernel, np.transpose(weight, (*range(2, weight.ndim), 0, 1)))]
    return found if layer.bias is None else [*found, (layer.bias, arrays["bias"])]


_GATES = {"SimpleRNN": (0,), "LSTM": (0, 1, 2, 3), "GRU": (1, 0, 2)}
"""Where torch has each gate. The one of GRU swaps reset and update."""


def _gates(kind: str, x: np.ndarray) -> np.ndarray:
    """Reorder the gates along the last axis: the order there is also the way back."""
    parts = np.split(x, len(_GATES[kind]), axis=-1)
    return np.concatenate([parts[i] for i in _GATES[kind]], axis=-1)


def _give_recurrent(layer: Any, ending: str = "") -> Arrays:
    kind, cell = _kind(layer), layer.cell
    if kind == "GRU" and not cell.reset_after:
        raise ValueError(f"Layer {layer.name!r}: torch's GRU is the one with reset_after=True.")
    found = {
        f"weight_ih_l0{ending}": _gates(kind, cell.kernel.numpy()).T,
        f"weight_hh_l0{ending}": _gates(kind, cell.recurrent_kernel.numpy()).T,
    }
    if cell.bias is None:
        return found
    bias = _gates(kind, cell.bias.numpy())
    inner, recurrent = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
    return {**found, f"bias_ih_l0{ending}": inner, f"bias_hh_l0{ending}": recurrent}


def _take_recurrent(layer: Any, arrays: Arrays, ending: str = "") -> list[tuple[Any, np.ndarray]]:
    kind, cell = _kind(layer), layer.cell
    found = [
        (cell.kernel, _gates(kind, arrays[f"weight_ih_l0{ending}"].T)),
        (cell.recurrent_kernel, _gates(kind, arrays[f"weight_hh_l0{ending}"].T)),
    ]
    if cell.bias is None:
        return found
    inner, recurrent = arrays[f"bias_ih_l0{ending}"], arrays[f"bias_hh_l0{ending}"]
    bias = np.stack([inner, recurrent]) if len(cell.bias.shape) == 2 else inner + recurrent
    return [*found, (cell.bias, _gates(kind, bias))]


def _give_bidirectional(layer: Any) -> Arrays:
    return {**_give_recurrent(layer.forward_layer), **_give_recurrent(layer.backward_layer, "_reverse")}


def _take_bidirectional(layer: Any, arrays: Arrays) -> list[tuple[Any, np.ndarray]]:
    return _take_recurrent(layer.forward_layer, arrays) + _take_recurrent(layer.backward_layer, arrays, "_reverse")


def _projections(layer: Any) -> list[Any]:
    return [layer._query_dense, layer._key_dense, layer._value_dense]


def _give_attention(layer: Any) -> Arrays:
    projections, output = _projections(layer), layer._output_dense
    kernels = [p.kernel.numpy() for p in projections]
    if any(k.shape[0] != k.shape[1] * k.shape[2] for k in kernels):
        raise ValueError(f"Layer {layer.name!r}: torch's MultiheadAttention needs num_heads * key_dim features in all inputs.")
    last = output.kernel.numpy()
    found = {
        "in_proj_weight": np.concatenate([k.reshape(len(k), -1).T for k in kernels]),
        "out_proj.weight": last.reshape(-1, last.shape[-1]).T,
    }
    if output.bias is None:
        return found
    biases = np.concatenate([p.bias.numpy().reshape(-1) for p in projections])
    return {**found, "in_proj_bias": biases, "out_proj.bias": output.bias.numpy()}


def _take_attention(layer: Any, arrays: Arrays) -> list[tuple[Any, np.ndarray]]:
    projections, output = _projections(layer), layer._output_dense
    found = [
        (p.kernel, w.T.reshape(p.kernel.shape)) for p, w in zip(projections, np.split(arrays["in_proj_weight"], 3))
    ]
    found.append((output.kernel, arrays["out_proj.weight"].T.reshape(output.kernel.shape)))
    if output.bias is None:
        return found
    found += [(p.bias, b.reshape(p.bias.shape)) for p, b in zip(projections, np.split(arrays["in_proj_bias"], 3))]
    return [*found, (output.bias, arrays["out_proj.bias"])]


_KINDS: dict[str, tuple[Callable[[Any], Arrays], Callable[[Any, Arrays], list]]] = {
    **dict.fromkeys(_BY_ATTRIBUTE, (_give_by_attribute, _take_by_attribute)),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), (_give_depthwise, _take_depthwise)),
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN"), (_give_recurrent, _take_recurrent)),
    "Bidirectional": (_give_bidirectional, _take_bidirectional),
    "MultiHeadAttention": (_give_attention, _take_attention),
}  # fmt: skip
_IGNORED = ("num_batches_tracked",)
"""What torch counts and we do not."""


def _kind(layer: Any) -> str | None:
    return next((c.__name__ for c in type(layer).__mro__ if c.__name__ in _KINDS), None)


def _leaves(layer: Any) -> Iterable[Any]:
    """Give the layers with counterparts in torch, in the order in which they were made part of the model."""
    if _kind(layer) is not None:
        if layer.weights:
            yield layer
        return
    own = [v.name for v in (*layer._own_trainable, *layer._own_non_trainable)]
    if own:
        raise ValueError(f"{type(layer).__name__} {layer.name!r} has no counterpart in torch for its weights {own}.")
    inner = layer.layers if hasattr(layer, "get_layer") else layer._flatten_layers(include_self=False, recursive=False)
    for part in inner:
        yield from _leaves(part)


def _prefix(layer: Any, root: Any) -> str:
    """Return the names of the layers around one and its own, with dots."""
    steps = layer.weights[0].path.split("/")
    stop = steps.index(layer.name) + 1 if layer.name in steps else len(steps) - 1
    steps = steps[1:stop] if steps[0] == root.name and stop > 1 else steps[:stop]
    return ".".join(steps)


def _matched(layers: list[Any], names: Iterable[str]) -> list[tuple[Any, str, dict[str, str]]]:
    """Return for each layer the module in `names` that has its place, and the names of its tensors."""
    left = [name for name in names if name.rpartition(".")[2] not in _IGNORED]
    found = []
    for layer in layers:
        wanted = list(_KINDS[_kind(layer) or ""][0](layer))
        first = left[0] if left else None
        ending = next((n for n in wanted if first is not None and (first == n or first.endswith(f".{n}"))), None)
        if first is None or ending is None:
            raise ValueError(
                f"The module does not match: layer {layer.name!r} ({type(layer).__name__}) needs {wanted}, next comes {first!r}."
            )
        prefix = first[: len(first) - len(ending)]
        missing = [n for n in wanted if prefix + n not in left]
        if missing:
            raise ValueError(f"The module does not match: {prefix!r} has no {missing}, which layer {layer.name!r} needs.")
        left = [name for name in left if name not in {prefix + n for n in wanted}]
        found.append((layer, prefix, {n: prefix + n for n in wanted}))
    if left:
        raise ValueError(f"The module does not match: no layer of the model takes {left[:6]}.")
    return found


def to_state_dict(model: Any, like: Mapping[str, Any] | None = None) -> dict[str, np.ndarray]:
    """Return the weights as the `state_dict` of a torch module of the same architecture.

    Args:
        model: A model or layer.
        like: A `state_dict` whose names are to be used, its modules in the order of the layers; by default the names of
            the layers.

    Raises ValueError for layers that torch has no counterpart of, and for modules that do not match.

    >>> import multikeras as mk
    >>> model = mk.Sequential([mk.Input((3,)), mk.layers.Dense(2, name="out")])
    >>> {name: value.shape for name, value in mk.saving.to_state_dict(model).items()}
    {'out.weight': (2, 3), 'out.bias': (2,)}
    """
    layers = list(_leaves(model))
    if like is None:
        named = [(layer, f"{_prefix(layer, model)}.") for layer in layers]
    else:
        named = [(layer, prefix) for layer, prefix, _ in _matched(layers, like)]
    found: dict[str, np.ndarray] = {}
    for layer, prefix in named:
        found |= {prefix + n: np.ascontiguousarray(x) for n, x in _KINDS[_kind(layer) or ""][0](layer).items()}
    for name in like or ():
        if name.rpartition(".")[2] in _IGNORED:
            found[name] = np.zeros((), "int64")
    return {name: found[name] for name in like} if like is not None else found


def from_state_dict(model: Any, state_dict: Mapping[str, Any]) -> None:
    """Assign the weights in the `state_dict` of a torch module of the same architecture, matched in order.

    Raises ValueError naming the layer for what does not match; the model stays as it was then.

    >>> import multikeras as mk
    >>> model = mk.Sequential([mk.Input((3,)), mk.layers.Dense(2)])
    >>> mk.saving.from_state_dict(model, {"0.weight": [[1, 2, 3], [4, 5, 6]], "0.bias": [7, 8]})
    >>> model.get_weights()[0].tolist()
    [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]
    """
    values = []
    for layer, prefix, names in _matched(list(_leaves(model)), state_dict):
        arrays = {n: _array(state_dict[name]) for n, name in names.items()}
        given = _KINDS[_kind(layer) or ""][0](layer)
        for n, expected in given.items():
            if arrays[n].size != expected.size or arrays[n].shape != expected.shape:
                raise ValueError(
                    f"{prefix + n!r} has shape {arrays[n].shape}, layer {layer.name!r} needs {expected.shape} there."
                )
        values += _KINDS[_kind(layer) or ""][1](layer, arrays)
    for variable, value in values:
        variable.assign(np.ascontiguousarray(value).reshape(variable.shape))


def _array(x: Any) -> np.ndarray:
    if hasattr(x, "detach"):
        x = x.detach().cpu()
        x = x.float().numpy() if "bfloat16" in str(x.dtype) else x.numpy()
    return np.asarray(x)
