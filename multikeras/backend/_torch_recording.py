"""A training step run without Python: its torch calls are noted once, then repeated by torch's own interpreter.

The time of a small model on torch goes into Python: layers, losses, optimizers, the tape. `record` runs a step while
`make_fx` notes each ATen call, those of the derivative too, and turns the notes into a loop in TorchScript. It makes
the same calls on the same numbers, so what it computes is equal bit for bit to the step run eagerly.
"""

import operator
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

_ATEN = torch.ops.aten


class _Recording(threading.local):
    active = False
    compiles = False


recording = _Recording()
"""Whether a step is being noted on this thread, and whether torch's compiler will make kernels for it."""


class NotRecordable(Exception):
    """A step that does something else than torch calls which are the same each time."""


def record(
    step: Callable[..., None], slices: Sequence, shared: Sequence, stores: Sequence, compile: bool = False
) -> Callable:
    """Run `step(slices, shared)` once, and return a function that repeats it for others.

    Args:
        step: Takes two lists of tensors and writes tensors of `stores` in place.
        slices: Tensors that differ from step to step.
        shared: Tensors that stay.
        stores: What the step may write; all get back their values if it cannot be recorded.
        compile: Whether torch's compiler makes kernels for it: slow to get ready, and faster than the interpreter.

    Returns:
        A function `(stacked, start, stop, shared, stores)`, which runs the steps over rows `start` to `stop` of the tensors
        `stacked`.
    """
    before = [store.detach().clone() for store in stores]
    recording.active, recording.compiles = True, compile
    try:
        graph = make_fx(lambda *leaves: step(*_groups(leaves, slices, shared)), tracing_mode="real")(
            *slices, *shared, *stores
        )
        _simplify(graph)
        keeps = any(map(_keeps_for_its_derivative, graph.graph.nodes))
        if compile and not keeps:
            return _by_inductor(graph, [*slices, *shared, *(store.detach() for store in stores)])
        return _by_interpreter(graph, len(slices), len(shared), len(stores), keeps)
    except Exception as error:
        with torch.no_grad():
            for store, value in zip(stores, before):
                store.copy_(value)
        raise NotRecordable(str(error)) from error
    finally:
        recording.active = recording.compiles = False


def _groups(leaves, slices, shared):
    return leaves[: len(slices)], leaves[len(slices) : len(slices) + len(shared)]


# -- simpler notes -----------------------------------------------------------------------------------------------------


def _is_call(node) -> bool:
    return node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload)


def _written(node) -> list:
    """Return the nodes whose tensors a call writes."""
    found = []
    if _is_call(node) and node.target._schema.is_mutable:
        for value, argument in zip(node.args, node.target._schema.arguments):
            if argument.is_write:
                found += value if isinstance(value, (list, tuple)) else [value]
    return found


def _returns_what_it_writes(schema) -> bool:
    return len(schema.returns) == 1 and schema.arguments[0].is_write and schema.name.endswith("_")


def _simplify(graph: torch.fx.GraphModule) -> None:
    """Compute what is the same in each step once, and leave out what nobody reads."""
    nodes = graph.graph.nodes
    for node in list(nodes):
        if _is_call(node) and node.target is _ATEN.detach.default:
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
        elif _is_call(node) and _returns_what_it_writes(node.target._schema):
            node.replace_all_uses_with(node.args[0])
    written = {n for node in nodes for n in _written(node)}
    known: dict[Any, torch.Tensor] = {}
    for node in list(nodes):
        if node.op == "get_attr":
            known[node] = getattr(graph, node.target)
        elif _is_call(node) and node not in written and _always_equal(node) and all(i in known for i in node.all_input_nodes):
            args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), known.__getitem__)
            with torch.no_grad():
                value = node.target(*args, **kwargs)
            if isinstance(value, torch.Tensor):
                name = f"known_{len(known)}"
                graph.register_buffer(name, value)
                with graph.graph.inserting_before(node):
                    constant = graph.graph.get_attr(name)
                node.replace_all_uses_with(constant)
                graph.graph.erase_node(node)
                known[constant] = value
    graph.graph.eliminate_dead_code(lambda node: node.op in ("placeholder", "output") or bool(_written(node)))


def _same_in_a_loop(graph: torch.fx.GraphModule, slices: int) -> set:
    """Return the nodes that give the same in each step of one loop: of what the steps share and do not write."""
    nodes = list(graph.graph.nodes)
    changed, renamed = set(), set()
    for node in reversed(nodes):
        (renamed if _is_call(node) and torch.Tag.inplace_view in node.target.tags else changed).update(_written(node))
        if node in changed:  # it may be a view of any input: schemas of `unsafe_chunk` and the like do not tell
            changed.update(node.all_input_nodes)
    changed |= renamed
    inputs = [node for node in nodes if node.op == "placeholder"][slices:]
    stay = {node for node in nodes if node.op == "get_attr" or node in inputs} - changed
    for node in nodes:
        same = node.target is operator.getitem or (_is_call(node) and _always_equal(node))
        if same and node.all_input_nodes and node not in changed and stay.issuperset(node.all_input_nodes):
            stay.add(node)
    return stay


def _always_equal(node) -> bool:
    target = node.target
    return not (target._schema.is_mutable or torch.Tag.nondeterministic_seeded in target.tags or target.namespace != "aten")


# -- the loop ----------------------------------------------------------------------------------------------------------


def _by_inductor(graph: torch.fx.GraphModule, examples: list) -> Callable:
    from torch.fx.experimental.symbolic_shapes import ShapeEnv  # 0.3 s to import: sympy

    # Compiled programs are kept between processes only where the sizes of their inputs are known from an environment.
    mode = FakeTensorMode(shape_env=ShapeEnv())
    fakes = [mode.from_tensor(x, static_shapes=True) for x in examples]
    layouts = [x.stride() for x in examples]
    with torch.no_grad():
        # A third of the time of a small step would go into looking how each input lies in memory: here a loop looks once.
        compiled: Any = torch._inductor.compile(graph, fakes, options={"size_asserts": False})

    def run(stacked, start, stop, shared, stores):
        stores = [store.detach() for store in stores]
        given = (*(rows[0] for rows in stacked), *shared, *stores)
        one = compiled if all(map(_lies_so, given, layouts)) else graph
        with torch.no_grad():
            for slices in zip(*(rows[start:stop].unbind(0) for rows in stacked)):
                one(*slices, *shared, *stores)

    return run


def _lies_so(x: torch.Tensor, strides: tuple) -> bool:
    """Tell whether the entries of a tensor lie so in memory; a dimension of one entry may have any stride."""
    return all(a == b for a, b, n in zip(x.stride(), strides, x.shape) if n > 1)


def _by_interpreter(graph: torch.fx.GraphModule, slices: int, shared: int, stores: int, keeps: bool) -> Callable:
    groups: dict[tuple, str] = {}
    constants: list[torch.Tensor] = []
    names: dict[Any, str] = {}
    stay = _same_in_a_loop(graph, slices)
    once: list[str] = []
    lines: list[str] = []
    inputs = [f"slice_{i}" for i in range(slices)] + [f"shared_{i}" for i in range(shared)]
    inputs += [f"store_{i}" for i in range(stores)]
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            names[node] = inputs[len(names)]
        elif node.op == "get_attr":
            names[node] = f"constant_{len(constants)}"
            constants.append(getattr(graph, node.target))
        elif node.op == "call_function":
            names[node] = f"t{len(names)}"
            for written in _lists_written(node):
                groups.setdefault(tuple(written), f"groups[{len(groups)}]")
            (once if node in stay else lines).append(f"{names[node]} = {_call(node, names, groups)}")
    head = [f"{kind}_{i} = {group}[{i}]" for kind, group, count in (
        ("shared", "shared", shared), ("store", "stores", stores), ("constant", "constants", len(constants)),
    ) for i in range(count)]  # fmt: skip
    rows = [f"slice_{i} = stacked[{i}][row]" for i in range(slices)]
    tensors = "List[Tensor]"
    source = "\n".join([
        f"def repeat(stacked: {tensors}, start: int, stop: int, shared: {tensors}, stores: {tensors}, "
        f"groups: List[{tensors}], constants: {tensors}):",
        *(f"    {line}" for line in [*head, *once]),
        "    for row in range(start, stop):",
        *(f"        {line}" for line in [*rows, *lines]),
        "    return stop\n",
    ])  # fmt: skip
    loop = torch.jit.CompilationUnit(source).repeat
    members = [[int(names[node].removeprefix("store_")) for node in group] for group in groups]

    def run(stacked, start, stop, shared, stores):
        # The calls of the derivative are among those noted; and nothing here changes from one run to the next that would
        # be worth the interpreter's own profiling.
        if keeps:
            stores = [store.detach() for store in stores]
        with torch.set_grad_enabled(keeps), torch.jit.optimized_execution(False):
            loop(stacked, start, stop, shared, stores, [[stores[i] for i in group] for group in members], constants)

    return run


def _keeps_for_its_derivative(node) -> bool:
    """Tell whether a call keeps what the call of its derivative needs only where gradients are on.

    oneDNN's LSTM does; and torch's compiler has no kernel for it.
    """
    return _is_call(node) and node.target is _ATEN.mkldnn_rnn_layer.default and node.args[-1]


def _lists_written(node) -> list:
    """Return the lists of stores that a call writes: TorchScript drops the call unless they are handed in as lists."""
    if not _is_call(node):
        return []
    lists = [v for v, a in zip(node.args, node.target._schema.arguments) if a.is_write and isinstance(v, (list, tuple))]
    found = [written for written in lists if written and all(n.op == "placeholder" for n in written)]
    if lists and not found and not all(map(_whole_result, lists)):
        raise NotRecordable(f"{node.target} writes a list of intermediate results that are not all those of one call.")
    return found


def _whole_result(nodes) -> Any:
    """Return the call on many tensors whose results these are, all of them and in order; None where there is none."""
    source = nodes[0].args[0] if nodes and nodes[0].target is operator.getitem else None
    of_it = source is not None and all(n.target is operator.getitem and n.args == (source, i) for i, n in enumerate(nodes))
    whole = of_it and _is_call(source) and "_foreach_" in source.target._schema.name and len(source.args[0]) == len(nodes)
    return source if whole else None


def _call(node, names, groups) -> str:
    if node.target is operator.getitem:
        return f"{names[node.args[0]]}[{node.args[1]}]"
    if not _is_call(node):
        raise NotRecordable(f"{node.target} is no torch operation.")
    schema = node.target._schema
    types = {a.name: a.type for a in schema.arguments}
    given = [_literal(value, a.type, names, groups) for value, a in zip(node.args, schema.arguments)]
    given += [f"{name}={_literal(value, types[name], names, groups)}" for name, value in node.kwargs.items()]
    return f"torch.ops.{node.target.namespace}.{schema.name.partition('::')[2]}({', '.join(given)})"


def _literal(value: Any, kind: Any, names: dict, groups: dict) -> str:
    """Return how TorchScript spells an argument of a type."""
    if isinstance(value, torch.fx.Node):
        return names[value]
    if isinstance(value, (list, tuple)):
        if value and tuple(value) in groups:
            return groups[tuple(value)]
        if value and isinstance(value[0], torch.fx.Node) and (source := _whole_result(value)):
            return names[source]
        while isinstance(kind, torch._C.OptionalType):
            kind = kind.getElementType()
        inner = kind.getElementType()
        parts = f"[{', '.join(_literal(v, inner, names, groups) for v in value)}]"
        if value and all(isinstance(v, torch.fx.Node) for v in value) and "Optional" not in str(inner.annotation_str):
            return parts
        return f"torch.jit.annotate(List[{inner.annotation_str}], {parts})"
    if isinstance(value, torch.device):
        return f"torch.device({str(value)!r})"
    if isinstance(value, float):
        return repr(value) if value == value and abs(value) != float("inf") else f"float({str(value)!r})"
    if isinstance(value, int) and not isinstance(value, bool) and str(kind) == "float":
        return repr(float(value))
    if value is None or isinstance(value, (bool, int, str, torch.dtype, torch.layout, torch.memory_format)):
        return repr(value)
    raise NotRecordable(f"a constant {value!r} of {type(value).__name__} cannot be written down.")
