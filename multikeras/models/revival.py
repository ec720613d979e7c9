"""The graph of a Functional model from its config: layers by name, and their calls, each as soon as its inputs are made.

What a config says is not trusted: every reference is looked up, and the work is linear in the number of calls.
"""

from collections import defaultdict, deque
from collections.abc import Iterator
from typing import Any

from multikeras.core import serialization
from multikeras.core.node import KerasTensor, Operation
from multikeras.layers.core.input_layer import InputLayer
from multikeras.layers.layer import Layer

Key = tuple[str, int]
"""A call: the name of the layer, and which of its calls."""


class _Call:
    """A recorded call that waits for `missing` others."""

    def __init__(self, operation: Operation, name: str, record: Any):
        self.operation, self.name, self.record = operation, name, record
        self.missing = 0


class Revival:
    """The layers of a config, and the tensors between them.

    Args:
        records: `config["layers"]` of a Functional model.
        custom_objects: Classes and functions by name.
    """

    def __init__(self, records: Any, custom_objects: dict[str, Any] | None):
        if not isinstance(records, (list, tuple)):
            raise ValueError(f"Model config: layers must be a list, it is {records!r}.")
        self.operations: dict[str, Operation] = {}
        self.first: dict[str, int] = {}
        calls: dict[str, deque[_Call]] = {}
        for record in records:
            name = _name(record)
            if name in self.operations:
                raise ValueError(f"Model config: two layers are named {name!r}.")
            op = _operation(record, name, custom_objects)
            self.operations[name] = op
            self.first[name] = 0 if isinstance(op, InputLayer) else len(op._inbound_nodes)
            calls[name] = deque(_Call(op, name, call) for call in record.get("inbound_nodes") or ())
        self._run(calls)

    def _run(self, calls: dict[str, deque[_Call]]) -> None:
        """Make the calls: those of one layer in their order, each after those whose tensors it takes."""
        waiting: dict[Key, list[_Call]] = defaultdict(list)
        for call in (c for queue in calls.values() for c in queue):
            needed = {self._key(history) for history in _histories(call.record)}
            if not needed:
                raise ValueError(f"Model config: a call of layer {call.name!r} takes no tensor of the model.")
            for key in needed:
                if not self._is_made(key):
                    waiting[key].append(call)
                    call.missing += 1
        ready = deque(queue[0] for queue in calls.values() if queue and not queue[0].missing)
        left = sum(map(len, calls.values()))
        while ready:
            call = ready.popleft()
            args, kwargs = self._arguments(call.record)
            made = len(call.operation._inbound_nodes) - self.first[call.name]
            call.operation(*args, **kwargs)
            left -= 1
            queue = calls[call.name]
            queue.popleft()
            for other in waiting.pop((call.name, made), ()):
                other.missing -= 1
                if not other.missing and other.name != call.name and calls[other.name][0] is other:
                    ready.append(other)
            if queue and not queue[0].missing:
                ready.append(queue[0])
        if left:
            names = sorted(name for name, queue in calls.items() if queue)
            raise ValueError(f"Model config: the calls of {names[:10]} refer to tensors that are never made.")

    def _key(self, history: Any) -> Key:
        valid = isinstance(history, (list, tuple)) and len(history) >= 3 and isinstance(history[0], str)
        if not valid or not all(isinstance(n, int) and n >= 0 for n in history[1:3]):
            raise ValueError(f"Model config: {history!r} is no reference to a tensor: expected [layer, call, output].")
        if history[0] not in self.operations:
            raise ValueError(f"Model config: a call refers to layer {history[0]!r}, which the config does not list.")
        return history[0], history[1]

    def _is_made(self, key: Key) -> bool:
        name, index = key
        return self.first[name] + index < len(self.operations[name]._inbound_nodes)

    def tensor(self, history: Any) -> KerasTensor:
        """Return the tensor that [layer, call, output] stands for."""
        key = self._key(history)
        if not self._is_made(key):
            raise ValueError(f"Model config: {list(history)} refers to a tensor that is never made.")
        outputs = self.operations[key[0]]._inbound_nodes[self.first[key[0]] + key[1]].outputs
        if history[2] >= len(outputs):
            raise ValueError(f"Model config: {list(history)} refers to output {history[2]} of {len(outputs)}.")
        return outputs[history[2]]

    def tensors(self, value: Any) -> Any:
        """Return the tensors of `input_layers` or `output_layers`, nested as these."""
        if isinstance(value, dict):
            return {k: self.tensors(v) for k, v in value.items()}
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"Model config: {value!r} is no reference to a tensor: expected [layer, call, output].")
        if len(value) == 3 and isinstance(value[0], str):
            return self.tensor(value)
        return [self.tensors(v) for v in value]

    def _arguments(self, call: Any) -> tuple[list, dict]:
        if isinstance(call, dict):
            return self._value(call["args"]), self._value(call["kwargs"])
        entries = _entries(call)
        found = [self.tensor(entry[:3]) for entry in entries]
        kwargs = {k: v for entry in entries if len(entry) > 3 for k, v in entry[3].items()}
        return [found[0] if len(found) == 1 else found], kwargs

    def _value(self, x: Any) -> Any:
        if _is_tensor(x):
            return self.tensor(x["config"]["keras_history"])
        if isinstance(x, dict) and "class_name" in x and "config" in x:
            return serialization.deserialize_keras_object(x)
        if isinstance(x, dict):
            return {k: self._value(v) for k, v in x.items()}
        return [self._value(v) for v in x] if isinstance(x, (list, tuple)) else x


def _name(record: Any) -> str:
    inner = record.get("config") if isinstance(record, dict) else None
    name = (record.get("name") or inner.get("name")) if isinstance(inner, dict) else None
    if not isinstance(name, str):
        raise ValueError(f"Model config: each layer must be an object with a config and a name, got {str(record)[:100]}.")
    return name


def _operation(record: dict, name: str, custom_objects: dict[str, Any] | None) -> Operation:
    op = serialization.deserialize_keras_object({**record, "build_config": None}, custom_objects=custom_objects)
    if not isinstance(op, Operation):
        raise ValueError(f"Model config: layer {name!r} is a {type(op).__name__}, not a layer or op.")
    if record.get("build_config") and isinstance(op, Layer) and not op.built:
        op.build_from_config(record["build_config"])
    return op


def _is_tensor(x: Any) -> bool:
    return isinstance(x, dict) and x.get("class_name") == "__keras_tensor__" and isinstance(x.get("config"), dict)


def _entries(call: Any) -> list:
    """Return the inputs of a call as Keras 2 wrote them: [layer, call, output, kwargs] each."""
    if not isinstance(call, (list, tuple)) or not call:
        raise ValueError(f"Model config: {call!r} is no call: expected an object with args and kwargs.")
    return [call] if isinstance(call[0], str) else list(call)


def _histories(call: Any) -> Iterator[Any]:
    """Give the references to tensors in the arguments of a call."""
    if not isinstance(call, dict):
        yield from (entry[:3] if isinstance(entry, (list, tuple)) else entry for entry in _entries(call))
        return
    if not isinstance(call.get("args"), (list, tuple)) or not isinstance(call.get("kwargs"), dict):
        raise ValueError(f"Model config: a call must have a list of args and an object of kwargs, got {str(call)[:100]}.")
    pending: list[Any] = [call["args"], call["kwargs"]]
    while pending:
        x = pending.pop()
        if _is_tensor(x):
            yield x["config"].get("keras_history")
        elif isinstance(x, dict):
            pending += x.values()
        elif isinstance(x, (list, tuple)):
            pending += x
