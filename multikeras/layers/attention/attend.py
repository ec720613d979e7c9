"""Scaled dot-product attention over any axes, and the masks that limit who sees whom."""

import functools
import math
import string
from typing import Any, NamedTuple

from multikeras import ops, random
from multikeras.backend import current
from multikeras.backend.shapes import block_size
from multikeras.ops.blocks import by_blocks, in_room
from multikeras.random import threefry
from multikeras.random.seed_generator import key_from

DROPPED = 4
"""How much more room scores take of which a share is dropped: draws, what is kept, and what becomes of them."""


class Sight(NamedTuple):
    """Who sees whom, in parts: put together, they grow with the square of the length.

    All are bool or become so, True where something may be seen.
    """

    targets: Any = None
    """(batch, targets): those that see anything."""
    sources: Any = None
    """(batch, sources): those that are seen."""
    pairs: Any = None
    """(batch, targets..., sources...), or with axes of batch and heads in front."""
    causal: bool = False
    """Whether a target sees no source after itself."""
    window: int | None = None
    """Distance from which on nothing is seen."""
    first: Any = 0
    """The position of the first target, where only some are at hand."""

    @property
    def squares(self) -> bool:
        """Whether the mask is larger than its parts; a causal one need not be made, the op knows it."""
        return bool(self.window) or sum(x is not None for x in self[:3]) > 1

    def mask(self, query: Any, key: Any, axis: int = 1) -> Any:
        """Return the mask (batch, targets, sources) of all parts, None if there is none."""
        masks = [] if self.pairs is None else [ops.cast(self.pairs, "bool")]
        if self.targets is not None:
            masks.append(ops.expand_dims(ops.cast(self.targets, "bool"), -1))
        if self.sources is not None:
            masks.append(ops.expand_dims(ops.cast(self.sources, "bool"), -2))
        if self.causal or self.window:
            distance = positions(query, axis) - ops.transpose(positions(key, axis)) + self.first
            if self.causal:
                masks.append(ops.expand_dims(distance >= 0, 0))
            if self.window:
                masks.append(ops.expand_dims(ops.abs(distance) < self.window, 0))
        return functools.reduce(ops.logical_and, masks) if masks else None


ALL = Sight()


def both(first: Any, second: Any) -> Any:
    """Return where two masks allow, each of which may be None."""
    if first is None or second is None:
        return second if first is None else first
    return ops.logical_and(first, second)


def positions(x: Any, axis: int) -> Any:
    """Return 0, 1, 2, ... along the size of `axis`, as a column."""
    return ops.expand_dims(ops.arange(ops.shape(x)[axis], dtype="int32"), -1)


def attend(query: Any, key: Any, value: Any, axes: tuple[int, ...], sight: Sight = ALL, rate: float = 0.0,
           seed: Any = None, scores_too: bool = False, flash: bool | None = None,
           blank: bool = False) -> tuple[Any, Any]:  # fmt: skip
    """Return what each target attends to, and the scores if asked for.

    Without the scores memory grows with the length, not with its square: the fused kernel, or block by block.

    Args:
        query, key, value: (batch, ..., heads, size); targets and sources lie along `axes`.
        axes: The axes attended over together.
        sight: Which sources may be seen.
        rate: Share of scores to drop.
        seed: A `SeedGenerator`, for that.
        scores_too: Whether the scores are wanted.
        flash: Whether the fused kernel is required, forbidden (False) or used where it can be (None).
        blank: Whether targets that see nothing get 0 from the kernel too, as they do where scores are dropped or returned;
            it gives them the mean.

    Returns output, of the shape of `query` but for the last size, and the scores (batch..., heads, targets...,
    sources...) or None.
    """
    fused = len(query.shape) == 4 and not rate and not scores_too and query.shape[-1] == value.shape[-1]
    sizes = None if scores_too or (fused and not sight.squares) else _sizes(query, key, axes, sight, rate)
    unknown = sizes is not None and any(map(current.is_tensor, sizes))
    if sizes is not None and (unknown or (size := block_size(*sizes)) is not None):
        first, *_ = axes
        over = None if sight.pairs is None else len(sight.pairs.shape) - 2 * len(axes)
        draws = key_from(current, seed) if rate else None

        def block(start, query, targets, pairs, key, value, sources, draws):
            seen = sight._replace(targets=targets, sources=sources, pairs=pairs, first=start)
            seed = None if draws is None else threefry.folded(current, draws, start)
            # The kernel would look at unknown sizes again.
            return _at_once(query, key, value, axes, seen, fused and not unknown, rate, seed, False, flash, blank)[0]

        cut, whole = [(query, first), (sight.targets, 1), (sight.pairs, over)], [key, value, sight.sources, draws]
        if unknown:
            return in_room(current, block, sizes, cut, whole, first), None
        return by_blocks(current, block, size, cut, whole, first), None
    return _at_once(query, key, value, axes, sight, fused, rate, seed, scores_too, flash, blank)


def _sizes(query, key, axes, sight, rate):
    """Return the number of targets along the first axis and sizes of what one takes; None where a mask's axes are unclear."""
    if not current.is_tensor(query) or (len(axes) > 1 and sight._replace(pairs=None) != ALL):
        return None
    first, *others = axes
    targets, sources = current.shape(query), current.shape(key)
    apart = [n for axis, n in enumerate(targets[1:-1], 1) if axis not in axes]
    # An unknown batch alone is no reason to decide as the program runs.
    batch = targets[0] if isinstance(targets[0], int) or any(map(current.is_tensor, (*targets[1:], *sources[1:]))) else None
    a_target = (batch, *apart, *(targets[a] for a in others), *(sources[a] for a in axes))
    return targets[first], *a_target, *((DROPPED,) if rate else ())


def _at_once(query, key, value, axes, sight, fused, rate, seed, scores_too, flash, blank):
    scale = 1.0 / math.sqrt(query.shape[-1])
    if fused:
        causal = sight.causal and isinstance(sight.first, int)
        mask = (sight._replace(causal=False) if causal else sight).mask(query, key)
        if blank and causal and mask is not None:  # both together may leave nothing
            causal, mask = False, sight.mask(query, key)
        if mask is not None and len(mask.shape) == 3:
            mask = ops.expand_dims(mask, 1)
        output = ops.dot_product_attention(
            query, key, value, mask=mask, scale=scale, is_causal=causal, flash_attention=flash
        )
        if blank and mask is not None:
            sees = ops.expand_dims(ops.swapaxes(ops.any(mask, axis=-1), 1, 2), -1)
            output = ops.where(sees, output, ops.zeros_like(output))
        return output, None
    letters = iter(string.ascii_lowercase)
    targets = [next(letters) for _ in query.shape[:-2]]
    sources = [next(letters) if axis in axes else letter for axis, letter in enumerate(targets)]
    heads, size, out = next(letters), next(letters), next(letters)
    shared = [letter for axis, letter in enumerate(targets) if axis not in axes]
    scores_in = [*shared, heads, *(targets[a] for a in axes), *(sources[a] for a in axes)]
    q, k, s, v, o = ("".join(part) for part in (
        [*targets, heads, size], [*sources, heads, size], scores_in, [*sources, heads, out], [*targets, heads, out],
    ))  # fmt: skip
    scores = ops.einsum(f"{q},{k}->{s}", query * scale, key)
    scores = masked_softmax(scores, sight.mask(query, key, axes[0]), len(axes))
    seen = random.dropout(scores, rate, seed=seed) if rate else scores
    return ops.einsum(f"{s},{v}->{o}", seen, value), scores if scores_too else None


def masked_softmax(scores: Any, mask: Any, over: int) -> Any:
    """Return the softmax over the last `over` axes, 0 where `mask` is False."""
    if mask is not None:
        mask = ops.cast(mask, "bool")
        while len(mask.shape) < len(scores.shape):
            mask = ops.expand_dims(mask, -2 * over - 1 if len(mask.shape) >= 2 * over else 0)
        lowest = -3e4 if ops.dtype(scores) == "float16" else -1e9
        scores = ops.where(mask, scores, ops.cast(lowest, scores.dtype))
    if over == 1:
        weights = ops.softmax(scores, axis=-1)
    else:
        weights = ops.exp(scores - ops.logsumexp(scores, axis=tuple(range(-over, 0)), keepdims=True))
    return weights if mask is None else weights * ops.cast(mask, weights.dtype)
