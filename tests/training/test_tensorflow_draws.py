"""What is drawn from a `tf.data` set by its operation is what its own iterator gives."""

import collections

import numpy as np
import pytest

from multikeras.backend import current

if current.name != "tensorflow":
    pytest.skip("no backend plays a part: where TensorFlow is the backend is enough", allow_module_level=True)

import tensorflow as tf

from multikeras.training.data.loaders import batches_of

X, Y = np.arange(46, dtype="float32").reshape(23, 2), np.arange(23)
Pair = collections.namedtuple("Pair", ("b", "a"))


def slices(structure):
    return tf.data.Dataset.from_tensor_slices(structure)


SETS = {
    "pairs": lambda: slices((X, Y)).batch(5).prefetch(2),
    "x alone": lambda: slices(X).batch(5),
    "one leaf in a tuple": lambda: slices((X,)).batch(4, drop_remainder=True),
    "dicts": lambda: slices(({"b": X, "a": Y}, {"out": Y})).batch(5),
    "named": lambda: slices(Pair(X, (Y, X))).batch(5),
    "words": lambda: slices((np.array(["one", "two", "three"]), np.arange(3))).batch(2),
    "of a generator": lambda: tf.data.Dataset.from_generator(
        lambda: ((np.ones((n, 2), "float32"), n) for n in (1, 3, 2)),
        output_signature=(tf.TensorSpec((None, 2)), tf.TensorSpec((), tf.int32)),
    ),
    "shuffled": lambda: slices((X, Y)).shuffle(23, seed=4).batch(5),
    "drawn at random": lambda: slices(Y).map(lambda y: tf.random.stateless_uniform((2,), (1, tf.cast(y, "int32")))).batch(5),
    "empty": lambda: slices((X, Y)).take(0).batch(5),
    "ragged": lambda: slices((tf.ragged.constant([[1, 2], [3], [4, 5, 6]]), np.arange(3))).batch(2),
    "sparse": lambda: slices((tf.sparse.from_dense(X), Y)).batch(5),
    "sets": lambda: slices((X, Y)).window(5).take(2),
}


def _plain(x):
    return [*map(_plain, x)] if isinstance(x, tf.data.Dataset) else x


@pytest.mark.parametrize("kind", SETS)
def test_batches_are_those_of_the_iterator(kind):
    tf.random.set_seed(0)
    data = SETS[kind]()
    expected = [[*map(_plain, tf.nest.flatten(batch))] for _ in range(2) for batch in data]
    structures = [batch for batch in data]
    tf.random.set_seed(0)
    data = SETS[kind]()
    found = [batch for _ in range(2) for batch in batches_of(data)]
    assert len(found) == len(expected)
    for batch, leaves in zip(found, expected):
        for a, b in zip(tf.nest.flatten(batch), leaves):
            tf.nest.map_structure(np.testing.assert_array_equal, *(tf.nest.map_structure(_numpy, _plain(v)) for v in (a, b)))
    for batch, like in zip(found, structures):
        tf.nest.assert_same_structure(batch, like)
        assert type(batch) is type(like)


def _numpy(x):
    if isinstance(x, tf.SparseTensor):
        x = tf.sparse.to_dense(x)
    return x.to_list() if isinstance(x, tf.RaggedTensor) else x.numpy()


def test_what_fails_in_the_data_is_told_after_what_came_before():
    bad = np.where(Y == 12, np.nan, Y)
    drawn = batches_of(slices(bad).batch(5).map(lambda y: tf.debugging.check_numerics(y, "bad rows")))
    assert [*next(drawn).numpy()] == [0, 1, 2, 3, 4]
    assert [*next(drawn).numpy()] == [5, 6, 7, 8, 9]
    with pytest.raises(tf.errors.InvalidArgumentError):
        next(drawn)


def test_the_end_stays_the_end():
    drawn = batches_of(slices(Y).batch(20))
    assert [len(batch) for batch in drawn] == [20, 3]
    assert next(drawn, None) is None
