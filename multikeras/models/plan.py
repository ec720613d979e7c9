"""The graph between symbolic tensors, put in order once and run as a flat list of calls."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from multikeras.core import tree
from multikeras.core.node import KerasTensor, Node, Operation, node_of


class Graph:
    """The nodes and operations that lead from inputs to outputs, in an order in which they can run.

    Operations stand by distance from the outputs, farthest first: the order of `model.layers`, so of weights.
    """

    def __init__(self, inputs: Sequence[KerasTensor], outputs: Sequence[KerasTensor]):
        self.inputs, self.outputs = list(inputs), list(outputs)
        sources = {id(x) for x in inputs}
        order: list[Node] = []
        seen_first: dict[int, int] = {}
        state: dict[int, str] = {}
        input_nodes = [node_of(x) for x in inputs]
        # Depth first without recursion, so that very deep models work.
        for output in outputs:
            stack: list[tuple[KerasTensor, bool]] = [(output, False)]
            while stack:
                x, expanded = stack.pop()
                node = node_of(x)
                if node is None:
                    if id(x) in sources:
                        continue
                    raise ValueError(
                        f"Model: output {output!r} depends on {x!r}, which is not among the inputs. "
                        "Every path from an output must end at one of the model's inputs."
                    )
                if expanded:
                    if state[id(node)] != "done":
                        state[id(node)] = "done"
                        order.append(node)
                    continue
                if id(node) in state:
                    continue
                state[id(node)] = "open"
                seen_first.setdefault(id(node.operation), len(seen_first))
                stack.append((x, True))
                if id(x) in sources:
                    continue
                if node.is_input:
                    raise ValueError(
                        f"Model: output {output!r} depends on input {x.name!r} (of layer {node.operation.name!r}), which is "
                        "not among the model's inputs."
                    )
                stack.extend((parent, False) for parent in reversed(node.inputs))
        for node in input_nodes:
            if node is not None and id(node) not in state:
                order.insert(0, node)
                seen_first.setdefault(id(node.operation), len(seen_first))
        self.nodes = order
        depths = self._depths(sources)
        operations = {id(n.operation): n.operation for n in order}
        self.operations: list[Operation] = sorted(
            operations.values(), key=lambda op: (-depths[id(op)], seen_first[id(op)])
        )
        for name, count in Counter(op.name for op in self.operations).items():
            if count > 1:
                raise ValueError(f"Model: the name {name!r} is used {count} times. All operation names must be unique.")

    def _depths(self, sources) -> dict[int, int]:
        node_depth: dict[int, int] = {}
        depth: dict[int, int] = {}
        inputs = {id(node_of(x)) for x in self.inputs}
        for node in reversed(self.nodes):
            d = max(node_depth.get(id(node), 0), depth.get(id(node.operation), 0))
            node_depth[id(node)] = depth[id(node.operation)] = d
            if id(node) in inputs:
                continue
            for parent in node.parents():
                node_depth[id(parent)] = max(d + 1, node_depth.get(id(parent), 0))
        return depth


BY_MODE: Any = object()
"""In place of a `training`: each layer by the mode it was set to, by torch's `train()` and `eval()`."""


class Plan:
    """Calls in order, each with the slots of a list of values it reads and writes."""

    def __init__(self, graph: Graph):
        slots = {id(x): i for i, x in enumerate(graph.inputs)}
        inputs = {id(node_of(x)) for x in graph.inputs}
        self.steps: list[tuple[Operation, Any, dict, Callable, int | list[int], list[int]]] = []
        self.says_training = False
        last_read: dict[int, int] = {}
        for node in graph.nodes:
            if id(node) in inputs or node.is_input:
                continue
            self.says_training |= "training" in node.kwargs
            last_read |= {slots[id(x)]: len(self.steps) for x in node.inputs}
            reads, fill = _slots_read(node, slots), _template((node.args, node.kwargs), slots)
            writes = []
            for x in node.outputs:
                writes.append(slots.setdefault(id(x), len(slots)))
            self.steps.append((node.operation, reads, node.kwargs, fill, writes[0] if len(writes) == 1 else writes, []))
        self.outputs = [slots[id(x)] for x in graph.outputs]
        self.size = len(slots)
        for slot, step in last_read.items():
            if slot not in self.outputs:
                self.steps[step][-1].append(slot)

    def run(self, inputs: Sequence[Any], call: Callable | None = None, training: bool | None = None) -> list:
        """Return the outputs for `inputs`; values that nobody reads any more are let go.

        `call(operation, *args, **kwargs)` replaces calling operations; `training` replaces the one a layer was called with.
        """
        values = [*inputs, *[None] * (self.size - len(inputs))]
        for operation, reads, told, fill, writes, done in self.steps:
            if reads is None or call is not None or (told and training is not None):
                args, kwargs = fill(values)
                if training is not None and "training" in kwargs:
                    kwargs["training"] = None if training is BY_MODE else training
                result = operation(*args, **kwargs) if call is None else call(operation, *args, **kwargs)
                del args, kwargs
            elif type(reads) is int:
                result = operation(values[reads], **told)
            else:
                result = operation(*[values[i] if type(i) is int else [values[j] for j in i] for i in reads], **told)
            if type(writes) is int:
                values[writes] = result if not isinstance(result, (list, tuple, dict)) else tree.flatten(result)[0]
            else:
                for slot, value in zip(writes, tree.flatten(result)):
                    values[slot] = value
            for slot in done:
                values[slot] = None
        return [values[i] for i in self.outputs]


_CONSTANTS = frozenset((bool, int, float, str, type(None)))


def _slots_read(node: Node, slots: dict[int, int]) -> Any:
    """Return the slot that a call takes; a list of them, and of lists, for several; None where it takes anything else."""
    reads: list = []
    for x in node.args:
        if isinstance(x, KerasTensor):
            reads.append(slots[id(x)])
        elif type(x) is list and x and all(isinstance(i, KerasTensor) for i in x):
            reads.append([slots[id(i)] for i in x])
        else:
            return None
    if not reads or any(type(x) not in _CONSTANTS for x in node.kwargs.values()):
        return None
    return reads[0] if len(reads) == 1 and type(reads[0]) is int else reads


def _template(arguments: Any, slots: dict[int, int]) -> Callable:
    """Return a function that puts values in place of the symbolic tensors of `arguments`."""

    def slot_of(x):
        return _Slot(slots[id(x)]) if isinstance(x, KerasTensor) else x

    template = tree.map_structure(slot_of, arguments)

    def fill(values):
        return tree.map_structure(lambda x: values[x.index] if type(x) is _Slot else x, template)

    return fill


class _Slot:
    __slots__ = ("index",)

    def __init__(self, index: int):
        self.index = index
