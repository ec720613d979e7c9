"""What a model under construction is made of, as data and as a drawing."""

import gc
import itertools
import os
import re
import sys
from typing import Any

from multikeras.core import naming, tree
from multikeras.core.node import KerasTensor, node_of
from multikeras.random import seed_generator

try:
    import pydot  # pyright: ignore[reportMissingImports]
except ImportError:
    pydot = None


def clear_session(free_memory: bool = True) -> None:
    """Forget the names given to layers so far and the process-wide random state; free what is unreachable.

    >>> import multikeras
    >>> clear_session()
    >>> multikeras.layers.Dense(1).name
    'dense'
    """
    naming.reset_uids()
    seed_generator.set_global_seed(None)
    if free_memory:
        gc.collect()


def get_source_inputs(tensor: KerasTensor) -> list[KerasTensor]:
    """Return the model inputs that a symbolic tensor is computed from, each once.

    >>> import multikeras
    >>> x = multikeras.Input((3,))
    >>> get_source_inputs(multikeras.layers.Dense(2)(x))[0] is x
    True
    """
    if not hasattr(tensor, "_keras_history"):
        return [tensor]
    sources: dict[int, KerasTensor] = {}
    seen, waiting = set(), [tensor]
    while waiting:
        x = waiting.pop()
        if id(x) in seen:
            continue
        seen.add(id(x))
        node = node_of(x)
        if node is None or node.is_input:
            sources[id(x)] = x
        else:
            waiting.extend(reversed(node.inputs))
    return list(sources.values())


def model_to_dot(
    model: Any,
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    subgraph: bool = False,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
    **kwargs,
) -> Any:
    """Draw a model as a `pydot` graph: a box a layer, an arrow a tensor.

    Args:
        model: A built Sequential or Functional model; any other is one box.
        show_shapes: Write input and output shapes.
        show_dtype: Write the dtype.
        show_layer_names: Write the layer's name.
        rankdir: `"TB"` from top to bottom, `"LR"` from left to right.
        expand_nested: Draw the layers of models inside the model.
        dpi: Dots an inch.
        subgraph: Return a `pydot.Cluster`.
        show_layer_activations: Write the activation.
        show_trainable: Write whether the layer is trained.
        splines: How arrows run, a graphviz setting.
    """
    if pydot is None:
        raise ImportError(
            "Drawing a model needs pydot and graphviz. Install them with: pip install pydot, and graphviz from "
            "https://graphviz.org/download/."
        )
    if kwargs:
        raise ValueError(f"model_to_dot: unknown argument {next(iter(kwargs))!r}.")
    if not getattr(model, "built", True):
        raise ValueError(f"model_to_dot: model {model.name!r} is not built. Call it on data or model.build(shape).")
    if subgraph:
        dot = pydot.Cluster(graph_name=_identifier(model), label=model.name, style="dashed", labeljust="l")
    else:
        dot = pydot.Dot(rankdir=rankdir, dpi=dpi, splines=splines, concentrate=True)
        dot.set_node_defaults(shape="plaintext", fontname="Helvetica")
    shown = {
        "shapes": show_shapes, "dtype": show_dtype, "names": show_layer_names,
        "activations": show_layer_activations, "trainable": show_trainable,
    }  # fmt: skip
    layers = getattr(model, "layers", None) or [model]
    for layer in layers:
        if expand_nested and getattr(layer, "layers", None):
            inner = model_to_dot(
                layer, show_shapes, show_dtype, show_layer_names, rankdir, True, dpi, True,
                show_layer_activations, show_trainable, splines,
            )  # fmt: skip
            dot.add_subgraph(inner)
        else:
            dot.add_node(pydot.Node(_identifier(layer), label=_label(layer, shown)))
    for start, end in arrows(layers):
        start, end = _edge_of(start, expand_nested, -1), _edge_of(end, expand_nested, 0)
        dot.add_edge(pydot.Edge(_identifier(start), _identifier(end)))
    return dot


def _identifier(layer: Any) -> str:
    return f'"{re.sub(chr(34), "", layer.name)}-{id(layer)}"'


def _edge_of(layer: Any, expand: bool, which: int) -> Any:
    """Return the layer an arrow ends at: of a model that is drawn expanded its first or last one."""
    inner = getattr(layer, "layers", None)
    return _edge_of(inner[which], expand, which) if expand and inner else layer


def arrows(layers: list) -> list[tuple[Any, Any]]:
    """Return the pairs of layers whose first feeds the second."""
    inside = {id(layer) for layer in layers}
    found = []
    for layer in layers:
        for node in getattr(layer, "_inbound_nodes", ()):
            for parent in node.parents():
                pair = (parent.operation, layer)
                if id(parent.operation) in inside and pair not in found:
                    found.append(pair)
    # A Sequential model that was built without symbolic calls.
    return found or list(itertools.pairwise(layers))


def _label(layer: Any, shown: dict[str, bool]) -> str:
    title = type(layer).__name__
    rows = [f"<b>{layer.name}</b> ({title})" if shown["names"] else f"<b>{title}</b>"]
    if shown["activations"] and getattr(layer, "activation", None) is not None:
        activation = layer.activation
        rows.append(f"Activation: {getattr(activation, '__name__', type(activation).__name__)}")
    if shown["shapes"]:
        rows += [f"{side.title()} shape: {_shapes(layer, side)}" for side in ("input", "output")]
    if shown["dtype"]:
        rows.append(f"Dtype: {getattr(layer, 'compute_dtype', '?')}")
    if shown["trainable"] and hasattr(layer, "trainable"):
        rows.append("Trainable" if layer.trainable else "Non-trainable")
    cells = "".join(f'<tr><td cellpadding="4">{row}</td></tr>' for row in rows)
    return f'<<table border="1" cellborder="0" cellspacing="0">{cells}</table>>'


def _shapes(layer: Any, side: str) -> str:
    try:
        return str(tree.map_structure(lambda x: x.shape, getattr(layer, side)))
    except (AttributeError, ValueError):
        return "?"


def plot_model(
    model: Any,
    to_file: str | os.PathLike = "model.png",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
    **kwargs,
) -> Any:
    """Draw a model into a file whose ending names the format; in a notebook return the image.

    Arguments after `to_file` are those of `model_to_dot`. Needs pydot and graphviz.
    """
    dot = model_to_dot(
        model, show_shapes, show_dtype, show_layer_names, rankdir, expand_nested, dpi, False,
        show_layer_activations, show_trainable, splines, **kwargs,
    )  # fmt: skip
    path = os.fspath(to_file)
    extension = os.path.splitext(path)[1][1:]
    if not extension:
        path, extension = path + ".png", "png"
    dot.write(path, format=extension)
    display = sys.modules.get("IPython.display")
    return display.Image(filename=path) if display is not None and extension != "pdf" else None
