"""The helper that compares backends notices every kind of disagreement."""

import numpy as np
import pytest
from helpers_parity import assert_backends_agree, assert_same_values

from multikeras import ops
from multikeras.backend import current
from multikeras.backend.shapes import Spec
from multikeras.ops._op import op

X = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], "float32")


def test_a_right_op_passes():
    assert_backends_agree(ops.mean, [X], axis=1)


def wrong(**how):
    """Return `ops.square` with an error in one place: the value, dtype or shape here, or the spec."""

    class Wrong:
        __name__ = "wrong"
        on = staticmethod(ops.square.on)

        def __call__(self, x):
            if isinstance(x, Spec):
                return how.get("spec", ops.square)(x)
            return how.get("here", ops.square)(x)

    return Wrong()


@pytest.mark.parametrize(
    "how",
    [
        {"here": lambda x: ops.square(x) + 1e-2},
        {"here": lambda x: ops.cast(ops.square(x), "float16")},
        {"here": lambda x: ops.expand_dims(ops.square(x), 0)},
        {"here": lambda x: (ops.square(x), ops.square(x))},
        {"spec": lambda x: Spec(x.shape, "int32")},
        {"spec": lambda x: Spec((*x.shape, 1), x.dtype)},
        {"spec": lambda x: Spec((2, 4), x.dtype)},
    ],
)
def test_a_wrong_op_fails(how):
    with pytest.raises(AssertionError):
        assert_backends_agree(wrong(**how), [X])


def test_integers_are_compared_exactly():
    with pytest.raises(AssertionError):
        assert_same_values(current.asarray(np.array([10**6])), np.array([10**6 + 1]), "integers")


def test_a_composite_made_outside_the_library_is_compared_too():
    @op(tensors=2, promote=True)
    def parity_probe(B, x1, x2):
        """Add twice."""
        return x1 + x2 + x2

    assert_backends_agree(parity_probe, [X, X[:1]])
