"""`vectorize`: a function of small tensors mapped over all further dimensions."""

import functools
import re
from collections.abc import Callable, Collection

from multikeras.backend import SPEC, current
from multikeras.backend.shapes import UNKNOWN, broadcast
from multikeras.core import tree
from multikeras.core.node import Operation, any_symbolic, as_spec
from multikeras.ops import _sizes
from multikeras.ops._op import convert, is_symbolic

_TERM = re.compile(r"\(([^()]*)\)")


def _core_ranks(signature: str | None, count: int) -> list[int]:
    """Return how many dimensions of each argument the function sees: of "(n),(n,k)->()", [1, 2]."""
    if signature is None:
        return [0] * count
    inputs, arrow, outputs = signature.replace(" ", "").partition("->")
    if not arrow or _TERM.sub("", inputs).strip(",") or _TERM.sub("", outputs).strip(","):
        raise ValueError(f'vectorize: signature={signature!r} is not of the form "(n),(n,k)->(k)".')
    ranks = [len([d for d in term.split(",") if d]) for term in _TERM.findall(inputs)]
    if len(ranks) != count:
        raise TypeError(f"vectorize: signature={signature!r} has {len(ranks)} arguments, {count} were given.")
    return ranks


def vectorize(
    pyfunc: Callable, *, excluded: Collection[int | str] | None = None, signature: str | None = None
) -> Callable:
    """Return a function that applies `pyfunc` to each entry of tensors, which broadcast.

    Args:
        pyfunc: Takes and returns tensors: scalars, or what `signature` says.
        excluded: Positions and names of arguments to hand on whole.
        signature: The dimensions that `pyfunc` sees, as in "(n),(n)->()".

    >>> double = ops.vectorize(lambda x: x * 2)
    >>> [int(v) for v in double(ops.arange(3))]
    [0, 2, 4]
    """
    if not callable(pyfunc):
        raise TypeError(f"vectorize: pyfunc must be callable, got {pyfunc!r}.")
    fixed = frozenset(excluded or ())

    @functools.wraps(pyfunc)
    def vectorized(*args, **kwargs):
        if any_symbolic(args, kwargs):
            return Vectorize(pyfunc, excluded, signature).symbolic_call(*args, **kwargs)
        B = SPEC if is_symbolic(args) or is_symbolic(kwargs) else current
        places = [i for i in range(len(args)) if i not in fixed]
        names = [k for k in kwargs if k not in fixed]
        xs = [convert(B, args[i]) for i in places] + [convert(B, kwargs[k]) for k in names]
        ranks = _core_ranks(signature, len(xs))

        def apply(tensors):
            parts = iter(tensors)
            given = [next(parts) if i in places else a for i, a in enumerate(args)]
            return pyfunc(*given, **{k: next(parts) if k in names else v for k, v in kwargs.items()})

        shapes = [tuple(B.shape(x)) for x in xs]
        splits = [len(s) - r for s, r in zip(shapes, ranks)]
        outer = broadcast(*(s[:split] for s, split in zip(shapes, splits)))
        outer = tuple(UNKNOWN if n is None else n for n in outer)
        if not outer:
            return apply(xs)
        total = _sizes.product(outer)
        rows = [
            B.reshape(B.broadcast_to(x, (*outer, *s[split:])), (total, *s[split:]))
            for x, s, split in zip(xs, shapes, splits)
        ]
        found = B.vectorized_map(apply, tuple(rows))
        return tree.map_structure(lambda y: B.reshape(y, (*outer, *B.shape(y)[1:])), found)

    return vectorized


class Vectorize(Operation):
    """A call of a vectorized function on symbolic tensors: a node of a Functional model."""

    def __init__(self, pyfunc, excluded=None, signature=None, name=None):
        super().__init__(name=name)
        self.pyfunc, self.excluded, self.signature = pyfunc, excluded, signature

    def call(self, *args, **kwargs):
        return vectorize(self.pyfunc, excluded=self.excluded, signature=self.signature)(*args, **kwargs)

    def compute_output_spec(self, *args, **kwargs):
        args, kwargs = tree.map_structure(as_spec, (args, kwargs))
        return self.call(*args, **kwargs)
