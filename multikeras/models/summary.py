"""The table of a model's layers."""

import re
import shutil
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from multikeras.backend import dtypes
from multikeras.core.tracking import unique
from multikeras.utils.tables import table


def readable_size(variables: list) -> str:
    """Return the memory of variables in words: "12.50 KB"."""
    size: float = sum(int(np.prod(v.shape)) * dtypes.numpy_dtype(v.dtype).itemsize for v in variables)
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if size < 1024 or unit == "TB":
            return f"{size:.2f} {unit}"
        size /= 1024
    return ""


def _count(variables: list) -> int:
    return sum(int(np.prod(v.shape)) for v in variables)


def _shape(layer: Any) -> str:
    shapes: list[str] = []
    for node in layer._inbound_nodes:
        for x in node.outputs:
            if str(x.shape) not in shapes:
                shapes.append(str(x.shape))
    if not shapes:
        functional = getattr(layer, "_functional", None)
        if functional is not None:
            return str(functional.output_shape)
        if layer.built and layer._build_shapes and len(layer._build_shapes) == 1:
            try:
                return str(layer.compute_output_shape(next(iter(layer._build_shapes.values()))))
            except Exception:  # a call that cannot be run on shapes has no line here
                return "?"
        return "?"
    return shapes[0] if len(shapes) == 1 else ", ".join(shapes)


def _steps(model: Any) -> list:
    """Return what the lines are about: the layers, in a graph the ops between them too."""
    graph = getattr(model, "_graph", None)
    return model.layers if graph is None else list(graph.operations)


def _incoming(layer: Any, nodes: set) -> list[str]:
    return [
        f"{x._keras_history.operation.name}[{x._keras_history.node_index}][{x._keras_history.tensor_index}]"
        for node in layer._inbound_nodes if id(node) in nodes
        for x in node.inputs
        if x._keras_history.operation is not None
    ]  # fmt: skip


def _is_line(model: Any) -> bool:
    """Tell whether the layers simply follow one another."""
    graph = getattr(model, "_graph", None)
    if graph is None:
        return True
    calls = [len(n.inputs) for n in graph.nodes if not n.is_input]
    used = [id(x) for n in graph.nodes for x in n.inputs]
    return all(n == 1 for n in calls) and len(used) == len(set(used)) and len(graph.nodes) == len(graph.operations)


def _range(layers: list, names: list[str]) -> list:
    chosen = []
    for pattern in names:
        found = [i for i, layer in enumerate(layers) if layer.name == pattern or re.match(pattern, layer.name)]
        if not found:
            raise ValueError(f"summary: layer_range={names} names no layer by {pattern!r}.")
        chosen.append((found[0], found[-1]))
    first, last = sorted((chosen[0][0], chosen[1][1]))
    return layers[first : last + 1]


class Row(NamedTuple):
    """What a summary says of one layer or op."""

    indent: str
    name: str
    kind: str
    shape: str
    count: str
    incoming: str
    trainable: str


def _rows(model: Any, layers: list, expand_nested: bool, line: bool, depth: int = 0) -> Iterator[Row]:
    nodes = {id(n) for n in getattr(getattr(model, "_graph", None), "nodes", [])}
    for layer in layers:
        weights = getattr(layer, "weights", [])  # ops of a graph have none
        built = getattr(layer, "built", True) or not hasattr(layer, "build")
        yield Row(
            "   " * depth + ("└ " if depth else ""),
            layer.name,
            type(layer).__name__,
            _shape(layer),
            f"{_count(weights):,}" if built else "0 (unbuilt)",
            "" if line else ", ".join(_incoming(layer, nodes)) or "-",
            "-" if not weights else "Y" if layer.trainable else "N",
        )
        if expand_nested and getattr(layer, "layers", None):
            yield from _rows(model, _steps(layer), expand_nested, line, depth + 1)


def _chosen(model: Any, layer_range: Any) -> list:
    layers = _steps(model)
    if layer_range:
        if len(layer_range) != 2:
            raise ValueError(
                f"summary: layer_range must hold the names of the first and last layer, got {layer_range!r}."
            )
        layers = _range(layers, list(layer_range))
    return layers


def totals_of(model: Any) -> list[str]:
    """Return how many numbers a model and its optimizer hold, in words."""
    trainable, fixed = unique(model.trainable_weights), unique(model.non_trainable_weights)
    optimizer = getattr(model, "optimizer", None)
    state = list(optimizer.variables) if optimizer is not None and getattr(optimizer, "built", False) else []
    totals = [
        ("Total params", [*trainable, *fixed, *state]),
        ("Trainable params", trainable),
        ("Non-trainable params", fixed),
    ]
    totals += [("Optimizer params", state)] if state else []
    return [f"{what}: {_count(vs):,} ({readable_size(vs)})" for what, vs in totals]


def html_of(model: Any) -> str:
    """Return the table of a model as HTML."""
    line = _is_line(model)
    columns = ["Layer", "Type", "Output shape", "Params #"] + ([] if line else ["Connected to"])
    rows = _rows(model, _steps(model), True, line)
    cells = [(r.indent + r.name, r.kind, r.shape, r.count, r.incoming)[: len(columns)] for r in rows]
    return table(columns, cells, f"{type(model).__name__} {model.name}", totals_of(model))


def print_summary(model, line_length=None, positions=None, print_fn=None, expand_nested=False, show_trainable=False,
                  layer_range=None) -> None:  # fmt: skip
    """Print the table of `model.summary()`."""
    from rich.console import Console  # slow to import: only programs that print a summary pay
    from rich.markup import escape
    from rich.table import Table

    line = _is_line(model)
    columns = ["Layer (type)", "Output Shape", "Param #"] + ([] if line else ["Connected to"])
    columns += ["Trainable"] if show_trainable else []
    width = line_length or min(80 if line else 98, shutil.get_terminal_size(fallback=(98, 0)).columns)
    shown = Table(width=width, show_lines=True)
    ends = list(positions or ([0.45, 0.80, 1.0] if line else [0.3, 0.56, 0.70, 1.0]))
    if show_trainable and positions is None:
        ends = [p * 0.88 for p in ends] + [1.0]
    starts = [0, *ends]
    for i, name in enumerate(columns):
        share = starts[i + 1] - starts[i] if i + 1 < len(starts) else 0.1
        share = share if starts[-1] <= 1 else share / width
        shown.add_column(
            name,
            justify="right" if name == "Param #" else "left",
            width=max(int((width - len(columns) - 1) * share) - 2, 5),
        )

    for row in _rows(model, _chosen(model, layer_range), expand_nested, line):
        cells = [f"{row.indent}[bold]{escape(row.name)}[/] ([cyan]{row.kind}[/])", f"[green]{escape(row.shape)}[/]", row.count]
        cells += [] if line else [escape(row.incoming)]
        shown.add_row(*cells, *([row.trainable] if show_trainable else []))

    console = Console(
        record=print_fn is not None, width=max(width, 40), highlight=False, soft_wrap=False,
        force_terminal=False if print_fn is not None or not _is_terminal() else None,
        file=open_null() if print_fn is not None else None,
    )  # fmt: skip
    console.print(f'[bold]Model: "{escape(model.name)}"[/]')
    console.print(shown)
    for text in totals_of(model):
        console.print(f" {text}")
    if print_fn is not None:
        text = console.export_text()
        print_fn(text)


def _is_terminal() -> bool:
    return shutil.get_terminal_size(fallback=(0, 0)).columns > 0


class open_null:
    """A file that forgets what is written to it."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        """Do nothing."""
