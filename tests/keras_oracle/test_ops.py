"""Ops give the values, shapes and dtypes of Keras on the same backend; see `op_cases.py`."""

import zlib

import numpy as np
import pytest
from helpers_parity import assert_same_values
from op_cases import TABLE, op_of

from multikeras.backend import current
from multikeras.core import tree

pytestmark = [pytest.mark.slow] if current.name == "jax" else []  # both sides compile for each shape

ADDED = {"lgamma", "copysign", "float_power", "gammainc", "column_stack", "matrix_power", "cov", "reconstruct_patches"}
"""Names that Keras got after the release that is installed."""

DIFFERENT = {
    "argpartition": "any order of the rest is right",
    "bincount": "Keras stacks the counts of rows of different length",
    "cholesky_inverse": "Keras on JAX takes no batches",
    "cross of 2": "torch knows three dimensions only",
    "empty": "nobody knows what is in it",
    "empty_like": "nobody knows what is in it",
    "cast to int": "out of range: whatever each framework does; ours is listed in docs/semantics.md",
    "cast to int64": "out of range: whatever each framework does; ours is listed in docs/semantics.md",
    "cast to uint64": "out of range: whatever each framework does; ours is listed in docs/semantics.md",
    "cast to uint8": "out of range: whatever each framework does; ours is listed in docs/semantics.md",
    "gaussian_blur": "Keras 3.15.1 on JAX and torch blurs along one dimension only and mixes channels",
    "get_item": "torch takes no negative steps",
    "imag": "torch refuses real numbers",
    "in_top_k": "Keras on TensorFlow refuses a target of -inf among the first",
    "linspace of tensors": "Keras on torch takes no axis",
    "lu_factor": "Keras on TensorFlow gives a permutation, and fails on batches",
    "lu_factor of 4 x 3": "Keras on TensorFlow takes square matrices only",
    "nancumsum": "Keras on TensorFlow replaces infinity too",
    "nonzero": "indices are int64 in Keras on torch",
    "norm": "Keras on TensorFlow takes no scalars",
    "one_hot": "Keras on torch refuses classes out of range",
    "pad edge": "Keras knows this mode on JAX only",
    "pad reflect": "frameworks refuse to pad by more than the tensor is long",
    "pad symmetric": "frameworks refuse to pad by more than the tensor is long",
    "quantile of all": "`nearest` rounds halves to even, as numpy; Keras on JAX down",
    "resize bicubic": "frameworks take different kernels; ours is that of Keras on JAX",
    "resize lanczos3": "Keras on torch has none",
    "resize lanczos5": "Keras on torch has none",
    "scatter_update": "Keras on TensorFlow does not cast the updates",
    "searchsorted": "Keras on TensorFlow takes values of one shape only",
    "segment_max": "an empty segment holds the lowest number in Keras on TensorFlow",
    "segment_min": "an empty segment holds the highest number in Keras on TensorFlow",
    "size": "a scalar tensor in Keras on TensorFlow",
    "slice": "Keras on torch has no size -1",
    "slice_update": "torch does not move the start back",
    "sobel_edges": "Keras on TensorFlow reflects at the edges, others put zeros",
    "solve": "Keras on JAX takes no vectors in batches",
    "sparsemax": "Keras 3.15.1 gives zeros",
    "split": "frameworks refuse negative indices",
    "take": "out of range: NaN on JAX, an error elsewhere",
    "take of all": "out of range: NaN on JAX, an error elsewhere",
    "top_k": "indices are int64 in Keras on torch",
    "unique of rows": "indices are int64 in Keras on torch",
    "vdot": "Keras on torch takes vectors only",
    "where": "indices are int64 in Keras on torch, in one tensor",
}
"""Where Keras depends on the backend or is wrong, and why: docs/semantics.md says what is done here."""


@pytest.mark.parametrize("name", [n for n in TABLE if n not in DIFFERENT and n.split(" ")[0] not in ADDED])
def test_op_agrees_with_keras(keras, name):
    make, dtypes = TABLE[name]
    args, kwargs = make(np.random.default_rng([zlib.crc32(name.encode()), 0]), dtypes[0])
    word = name.split(" ")[0]
    places = (keras.ops, keras.ops.image, keras.ops.linalg, keras.ops.nn, keras.ops.numpy)
    theirs = next(getattr(place, word) for place in places if hasattr(place, word))

    def given(x):
        return keras.ops.convert_to_tensor(x, dtype=str(x.dtype)) if isinstance(x, np.ndarray) else x

    expected = [
        keras.ops.convert_to_numpy(x) if keras.ops.is_tensor(x) else x
        for x in keras.tree.flatten(theirs(*keras.tree.map_structure(given, args), **kwargs))
    ]
    assert_same_values(tree.flatten(op_of(name)(*args, **kwargs)), expected, name)
