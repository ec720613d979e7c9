"""One law for every op: the backend in use, the numpy backend and the shape-only backend agree."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from multikeras import backend
from multikeras.backend import SPEC, current, dtypes
from multikeras.backend.shapes import Spec
from multikeras.core import tree
from multikeras.core.node import KerasTensor

REFERENCE = backend.load("numpy")
REFERENCE.unsigned_arithmetic = current.unsigned_arithmetic
TOLERANCE = {"float16": 2e-2, "bfloat16": 6e-2, "float32": 2e-5, "complex64": 2e-5}


def _described(x: Any) -> Any:
    """Return shape and dtype of a tensor, other leaves as they are."""
    if isinstance(x, Spec):
        return tuple(x.shape), x.dtype
    if type(x) in (int, float):
        return x
    return tuple(x.shape), dtypes.standardize_dtype(x.dtype)


def assert_same_values(found: Any, expected: Any, what: str) -> None:
    """Compare trees of native tensors with trees of arrays: structure, dtype, shape, value."""
    assert len(tree.flatten(found)) == len(tree.flatten(expected)), f"{what}: {found!r} is not nested like {expected!r}"
    for a, b in zip(tree.flatten(found), tree.flatten(expected)):
        if isinstance(a, int) and isinstance(b, int):
            assert a == b, what
            continue
        if _described(a)[1] == "bfloat16" and b.dtype == "float32":
            # numpy's own bfloat16 forgets itself beside a Python number; shapes alone say what the dtype must be.
            b = np.asarray(b).astype(np.asarray(current.to_numpy(a)).dtype)
        assert _described(a) == _described(b), f"{what}: {_described(a)} here, {_described(b)} on numpy"
        x, y = np.asarray(current.to_numpy(a)), np.asarray(b)
        if x.dtype.kind in "fcV" or "float" in x.dtype.name:
            tolerance = TOLERANCE.get(x.dtype.name, 1e-9)
            kind = "complex128" if x.dtype.kind == "c" else "float64"
            np.testing.assert_allclose(x.astype(kind), y.astype(kind), tolerance, tolerance, err_msg=what)
        else:
            np.testing.assert_array_equal(x, y, err_msg=what)


def assert_fits(spec: Any, found: Any, what: str) -> None:
    """Check that a tree of Specs describes a tree of tensors; None fits any size."""
    assert len(tree.flatten(spec)) == len(tree.flatten(found)), f"{what}: {spec!r} is not nested like the result"
    for s, x in zip(tree.flatten(spec), tree.flatten(found)):
        if not isinstance(s, Spec):
            assert isinstance(x, int), f"{what}: {s!r} for a tensor"
            continue
        shape, dtype = ((), "int32") if isinstance(x, int) else _described(x)
        assert s.dtype == dtype, f"{what}: spec says {s.dtype}, the result is {dtype}"
        fits = len(s.shape) == len(shape) and all(a in (None, b) for a, b in zip(s.shape, shape))
        assert fits, f"{what}: spec says {s.shape}, the result has {shape}"


def symbolic(x: Any, unknown: bool) -> Any:
    """Return a KerasTensor in place of an array, with None for the first size if `unknown`."""
    if not isinstance(x, np.ndarray):
        return x
    shape = (None, *x.shape[1:]) if unknown and x.ndim else x.shape
    return KerasTensor(shape, dtypes.standardize_dtype(x.dtype))


def assert_backends_agree(op: Callable, args: Sequence[Any], unknown: bool = True, **kwargs: Any) -> None:
    """Run `op` on this backend, on numpy and on shapes; arrays among `args` are its tensors.

    Value, dtype and shape must agree with numpy's, shape and dtype with what is computed without data, for
    sizes known and, unless `unknown` is False, for the first size of each tensor unknown.
    """
    what = f"{op.__name__}({', '.join(map(repr, args))}, {kwargs})"
    found = op(*args, **kwargs)
    assert_same_values(found, op.on(REFERENCE, *args, **kwargs), what)
    assert_fits(op.on(SPEC, *args, **kwargs), found, f"{what} on shapes")
    for lost in (False, True) if unknown else (False,):
        given = tree.map_structure(lambda x: symbolic(x, lost), list(args))  # noqa: B023
        if any(isinstance(x, KerasTensor) for x in tree.flatten(given)):
            assert_fits(op(*given, **kwargs), found, f"{what} on KerasTensors{' with None' if lost else ''}")

