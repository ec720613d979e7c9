"""`Function`: the graph between symbolic inputs and outputs as one operation."""

from typing import Any

from multikeras.core import tree
from multikeras.core.node import KerasTensor, Operation, node_of
from multikeras.models.plan import Graph, Plan
from multikeras.ops import convert_to_tensor


class Function(Operation):
    """The computation that leads from symbolic inputs to outputs, to be called on other tensors.

    Unlike a model it has no weights or training of its own; it may begin in the middle of a graph.

    Args:
        inputs: Symbolic tensors, nested as the inputs will be.
        outputs: Symbolic tensors, nested as the outputs will be.
        name: Name of the operation.

    >>> import multikeras
    >>> x = multikeras.KerasTensor((2, 3))
    >>> f = multikeras.Function(x, x * 2 + 1)
    >>> multikeras.ops.convert_to_numpy(f(multikeras.ops.ones((2, 3)))).tolist()
    [[3.0, 3.0, 3.0], [3.0, 3.0, 3.0]]
    """

    def __init__(self, inputs, outputs, name=None):
        super().__init__(name=name)
        self._inputs_struct, self._outputs_struct = inputs, outputs
        self._inputs, self._outputs = tree.flatten(inputs), tree.flatten(outputs)
        for what, tensors in (("inputs", self._inputs), ("outputs", self._outputs)):
            if not tensors or not all(isinstance(x, KerasTensor) for x in tensors):
                empty = f"`{what}` argument cannot be empty" if not tensors else f"`{what}` must be KerasTensors"
                raise ValueError(f"Function: {empty}, got {inputs if what == 'inputs' else outputs!r}.")
        graph = Graph(self._inputs, self._outputs)
        self._plan = Plan(graph)
        before = {id(node) for x in self._inputs if (node := node_of(x)) is not None and not node.is_input}
        self._operations = list({id(n.operation): n.operation for n in graph.nodes if id(n) not in before}.values())

    @property
    def operations(self) -> list[Operation]:
        """The operations of the graph, in an order in which they can run."""
        return list(self._operations)

    @property
    def inputs(self) -> list[KerasTensor]:
        """The symbolic inputs."""
        return self._inputs

    @property
    def outputs(self) -> list[KerasTensor]:
        """The symbolic outputs."""
        return self._outputs

    def _checked(self, inputs: Any) -> list:
        """Return the leaves of `inputs`, refusing another structure or other shapes than those of the graph."""
        try:
            tree.assert_same_structure(self._inputs_struct, inputs)
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"Function {self.name!r} was called with an invalid input structure: expected "
                f"{tree.map_structure(lambda x: x.shape, self._inputs_struct)}, got {inputs!r}."
            ) from error
        leaves = tree.flatten(inputs)
        for x, wanted in zip(leaves, self._inputs):
            shape = tuple(x.shape) if hasattr(x, "shape") else tuple(convert_to_tensor(x).shape)
            alike = len(shape) == len(wanted.shape)
            if not alike or any(None not in (a, b) and a != b for a, b in zip(shape, wanted.shape)):
                raise ValueError(
                    f"Function {self.name!r} was passed incompatible inputs: expected shape {wanted.shape}, got {shape}."
                )
        return leaves

    def call(self, inputs):
        """Run the graph on tensors."""
        leaves = [convert_to_tensor(x) for x in self._checked(inputs)]
        return tree.pack_sequence_as(self._outputs_struct, self._plan.run(leaves))

    def compute_output_spec(self, inputs):
        """Return shapes and dtypes of the outputs: the graph, run on symbolic tensors."""
        results = self._plan.run(self._checked(inputs), call=lambda f, *args, **kwargs: f.compute_output_spec(*args, **kwargs))
        return tree.pack_sequence_as(self._outputs_struct, results)

    def compute_output_shape(self, input_shape):
        """Return the shapes of the outputs for shapes of the inputs."""
        inputs = tree.map_structure_up_to(self._inputs_struct, KerasTensor, input_shape)
        return tree.map_structure(lambda x: tuple(x.shape), self.compute_output_spec(inputs))
