"""Every random op runs inside a compiled function: as one graph, without a look at values, with the eager numbers."""

import numpy as np
import pytest

import multikeras
from multikeras import ops, random
from multikeras.backend import current

LOGITS = ops.zeros((2, 5))
pytestmark = [pytest.mark.slow] if current.name == "jax" else []  # it compiles for each

DRAWS = {
    "uniform": lambda seed: random.uniform((3, 2), -1.0, 2.0, seed=seed),
    "normal": lambda seed: random.normal((3, 2), seed=seed),
    "truncated_normal": lambda seed: random.truncated_normal((3, 2), seed=seed),
    "randint": lambda seed: random.randint((3, 2), 0, 1000, seed=seed),
    "gamma": lambda seed: random.gamma((3,), 2.0, seed=seed),
    "beta": lambda seed: random.beta((3,), 2.0, 3.0, seed=seed),
    "binomial": lambda seed: random.binomial((30,), 9.0, 0.4, seed=seed),
    "categorical": lambda seed: random.categorical(LOGITS, 4, seed=seed),
    "dropout": lambda seed: random.dropout(ops.ones((40,)), 0.5, seed=seed),
    "shuffle": lambda seed: random.shuffle(ops.arange(20), seed=seed),
}


def test_no_op_is_forgotten():
    public = {name for name in dir(random) if name[0].islower() and callable(getattr(random, name))}
    assert public - {"key_from"} == set(DRAWS)


def twice(f):
    return [np.asarray(ops.convert_to_numpy(f())) for _ in range(2)]


def assert_equal(found, expected):
    for a, b in zip(found, expected):
        # Compilers may round products once where eager code does twice.
        np.testing.assert_allclose(a.astype("float64"), b.astype("float64"), 2e-6)


@pytest.mark.parametrize("name", DRAWS)
def test_compiled_draws_are_the_eager_ones(name, mode):
    draw, eager, compiled = DRAWS[name], random.SeedGenerator(5), random.SeedGenerator(5)
    expected, found = twice(lambda: draw(eager)), twice(multikeras.jit(lambda: draw(compiled)))
    assert_equal(found, expected)
    assert (found[0] != found[1]).any(), "the generator does not move on inside"
    np.testing.assert_array_equal(compiled.state.numpy(), eager.state.numpy())


@pytest.mark.slow
@pytest.mark.skipif(current.name != "torch", reason="torch.compile is torch's")
@pytest.mark.parametrize("name", DRAWS)
def test_torch_compiles_a_draw_as_one_graph(name, mode):
    import torch

    draw, eager, compiled, graphs = DRAWS[name], random.SeedGenerator(5), random.SeedGenerator(5), []

    def kept(graph, inputs):
        graphs.append(graph)
        return graph

    torch._dynamo.reset()
    found = twice(torch.compile(lambda: draw(compiled), fullgraph=True, backend=kept))
    assert_equal(found, twice(lambda: draw(eager)))
    assert len(graphs) == 1
    called = {str(node.target) for node in graphs[0].graph.nodes}
    assert not called & {"item", "tolist", "cpu", "numpy", "aten._local_scalar_dense.default"}


@pytest.mark.skipif(current.name != "jax", reason="tracers are JAX's")
@pytest.mark.parametrize("name", DRAWS)
def test_jax_traces_a_draw_without_state(name, mode):
    import jax

    generator = random.SeedGenerator(5)

    @jax.jit
    def pure(state):
        with multikeras.StatelessScope([(generator.state, state)]) as scope:
            x = DRAWS[name](generator)
        return x, scope.get_current_value(generator.state)

    first, state = pure(generator.state.value)
    second, _ = pure(state)
    assert_equal([np.asarray(first), np.asarray(second)], twice(lambda: DRAWS[name](generator)))


@pytest.mark.skipif(current.name != "tensorflow", reason="graphs are TensorFlow's")
@pytest.mark.parametrize("name", DRAWS)
def test_tensorflow_traces_a_draw_without_python(name, mode):
    import tensorflow as tf

    generator = random.SeedGenerator(5)
    graph = tf.function(lambda: DRAWS[name](generator)).get_concrete_function().graph
    assert not {op.type for op in graph.get_operations()} & {"PyFunc", "EagerPyFunc", "PyFuncStateless"}
