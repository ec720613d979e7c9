"""The graph of calls: an `Operation` called on symbolic tensors leaves a `Node`."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from multikeras.backend.dtypes import standardize_dtype
from multikeras.backend.shapes import Spec
from multikeras.core import naming, tree


class KerasTensor(Spec):
    """A tensor of a model under construction: shape, dtype and the call it comes from.

    Args:
        shape: Sizes, None where any will do.
        dtype: Name of the dtype.
        name: Name, made up if not given.

    >>> import multikeras
    >>> x = multikeras.KerasTensor((None, 3))
    >>> (x + 1).shape
    (None, 3)
    """

    __slots__ = ("__dict__", "_keras_history", "name", "ragged", "record_history")

    def __init__(self, shape, dtype="float32", sparse=False, ragged=False, record_history=True, name=None, **kwargs):
        if sparse and ragged:
            raise ValueError("KerasTensor: sparse and ragged cannot both be True.")
        if kwargs:
            raise TypeError(f"KerasTensor: unknown argument {next(iter(kwargs))!r}.")
        super().__init__(standardize_shape(shape), standardize_dtype(dtype), bool(sparse))
        self.ragged = bool(ragged)
        self.record_history = record_history
        self.name = name or naming.auto_name("keras_tensor")

    def reshape(self, newshape):
        return self.operators["reshape"](self, newshape)

    def squeeze(self, axis=None):
        return self.operators["squeeze"](self, axis)

    @property
    def T(self):
        return self.operators["transpose"](self)

    operators: dict[str, Any] = {}  # filled by multikeras.ops

    def __repr__(self):
        kind = f"shape={self.shape}, dtype={self.dtype}, sparse={self.sparse}, ragged={self.ragged}"
        return f"<KerasTensor {kind}, name={self.name}>"

    def _refuse(self, what: str):
        raise TypeError(
            f"{what} needs values, but {self!r} only stands for a tensor of a model under construction. "
            "Use multikeras.ops, or put the code into a layer's call()."
        )

    def __array__(self, *args, **kwargs):
        self._refuse("numpy")

    def __jax_array__(self):
        self._refuse("JAX")

    def __tf_tensor__(self, dtype=None, name=None):
        self._refuse("TensorFlow")

    def __iter__(self):
        self._refuse("Iteration")

    def __bool__(self):
        self._refuse("A condition")

    def __float__(self):
        self._refuse("float()")

    def __int__(self):
        self._refuse("int()")

    __index__ = __int__


def standardize_shape(shape: Any) -> tuple:
    """Return `shape` as a tuple of ints and Nones, refusing anything else."""
    if shape is None or isinstance(shape, (str, bytes)) or not hasattr(shape, "__iter__"):
        raise ValueError(f"shape must be a sequence of ints and Nones, got {shape!r}.")
    sizes = []
    for size in shape:
        if size is not None and not hasattr(size, "__index__"):
            raise ValueError(f"shape={tuple(shape)!r}: {size!r} is neither an int nor None.")
        if size is not None and int(size) < 0 and size == size:
            raise ValueError(f"shape={tuple(shape)!r}: sizes cannot be negative.")
        sizes.append(None if size is None or size != size or int(size) < 0 else int(size))
    return tuple(sizes)


def is_keras_tensor(x: Any) -> bool:
    """Tell whether `x` is a symbolic tensor."""
    return isinstance(x, KerasTensor)


def any_symbolic(*trees: Any) -> bool:
    """Tell whether a KerasTensor is among the leaves."""
    return any(isinstance(x, KerasTensor) for t in trees for x in tree.flatten(t))


class History(NamedTuple):
    """Where a KerasTensor comes from: output `tensor_index` of call `node_index` of `operation`."""

    operation: "Operation | None"
    node_index: int
    tensor_index: int


class Node:
    """One call of an operation: its arguments and the symbolic tensors it returned."""

    def __init__(self, operation, args=(), kwargs=None, outputs=()):
        self.operation, self.args, self.kwargs = operation, args, kwargs or {}
        self.inputs = [x for x in tree.flatten((self.args, self.kwargs)) if isinstance(x, KerasTensor)]
        self.outputs = [x for x in tree.flatten(outputs) if isinstance(x, KerasTensor)] if outputs is not None else []
        for x in self.inputs:
            if not hasattr(x, "_keras_history"):
                # A KerasTensor made by hand is an input of the graph.
                x._keras_history = History(None, 0, 0)
        index = len(operation._inbound_nodes)
        operation._inbound_nodes.append(self)
        for i, x in enumerate(self.outputs):
            x._keras_history = History(operation, index, i)
        for producer in self.parents():
            producer.operation._outbound_nodes.append(self)

    @property
    def is_input(self) -> bool:
        return not self.inputs

    def parents(self) -> Iterator["Node"]:
        """Give the nodes that made the inputs."""
        for x in self.inputs:
            operation, index, _ = x._keras_history
            if operation is not None:
                yield operation._inbound_nodes[index]


def node_of(x: KerasTensor) -> Node | None:
    """Return the call that made `x`, None for a tensor made by hand."""
    history = getattr(x, "_keras_history", None)
    if history is None or history.operation is None:
        return None
    return history.operation._inbound_nodes[history.node_index]


class Operation:
    """Something that maps tensors to tensors and can stand in a graph: a layer, or an op with its arguments.

    Subclasses define `call`, and `compute_output_spec` where running `call` on shapes is not enough.
    """

    def __init__(self, name: str | None = None):
        if name is not None and (not isinstance(name, str) or "/" in name):
            raise ValueError(f"{type(self).__name__}: name must be a string without '/', got {name!r}.")
        self.name = name or naming.auto_name(type(self).__name__)
        self._inbound_nodes: list[Node] = []
        self._outbound_nodes: list[Node] = []

    def __new__(cls, *args, **kwargs):
        instance = super().__new__(cls)
        # What it was made from: the default config, see serialization.config_from_signature.
        object.__setattr__(instance, "_init_args", (args, kwargs))
        return instance

    def __call__(self, *args, **kwargs):
        return self.symbolic_call(*args, **kwargs) if any_symbolic(args, kwargs) else self.call(*args, **kwargs)

    def call(self, *args, **kwargs):
        raise NotImplementedError(f"{type(self).__name__} must define call().")

    def symbolic_call(self, *args, **kwargs):
        """Return KerasTensors for the outputs and record the call."""
        outputs = self.compute_output_spec(*args, **kwargs)
        outputs = tree.map_structure(as_keras_tensor, outputs)
        Node(self, args, kwargs, outputs)
        return outputs

    def compute_output_spec(self, *args, **kwargs):
        raise NotImplementedError(f"{type(self).__name__} must define compute_output_spec().")

    @property
    def input(self):
        """The symbolic input of the first call, a list if there are several."""
        return self._first_call("input", "inputs")

    @property
    def output(self):
        """The symbolic output of the first call, a list if there are several."""
        return self._first_call("output", "outputs")

    def _first_call(self, what, attribute):
        if not self._inbound_nodes:
            raise AttributeError(
                f"{type(self).__name__} {self.name!r} has no {what} yet: it was never called on symbolic tensors."
            )
        tensors = getattr(self._inbound_nodes[0], attribute)
        return tensors[0] if len(tensors) == 1 else list(tensors)


def as_keras_tensor(x: Any) -> Any:
    """Return a fresh KerasTensor like the Spec `x`; other leaves unchanged."""
    return KerasTensor(x.shape, x.dtype, sparse=x.sparse) if isinstance(x, Spec) else x


def as_spec(x: Any) -> Any:
    """Return the plain Spec of a KerasTensor, without its history; other leaves unchanged."""
    if not isinstance(x, KerasTensor):
        return x
    spec = Spec(x.shape, x.dtype, x.sparse)
    if getattr(x, "_keras_mask", None) is not None:
        spec._keras_mask = as_spec(x._keras_mask)
    return spec
