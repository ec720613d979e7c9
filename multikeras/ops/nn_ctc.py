"""Connectionist temporal classification (Graves et al., 2006): loss and decoding."""

from multikeras.backend import dtypes
from multikeras.backend.shapes import known
from multikeras.ops._op import convert, op

_LOW = -1e30
"""A logarithm of zero that survives subtraction."""


def _logaddexp(B, x, y):
    top = B.maximum(x, y)
    return top + B.log1p(B.exp(B.minimum(x, y) - top))


def _columns(*parts):
    return (..., *parts)


@op(tensors=2)
def ctc_loss(B, target, output, target_length, output_length, mask_index=0):
    """Return for each sample minus the log-probability of all alignments of `target` with `output`.

    Args:
        target: Class of each label, (batch, longest target).
        output: Logits, (batch, time, classes).
        target_length, output_length: How much of each sample counts, (batch,).
        mask_index: The class that stands for no label.

    >>> from multikeras import ops
    >>> round(float(ops.ctc_loss([[1]], ops.zeros((1, 1, 2)), [1], [1])[0]), 4)
    0.6931
    """
    if len(target.shape) != 2:
        raise ValueError(
            "ctc_loss: Targets `target` are expected to be a tensor of shape `(batch_size, max_length)`. "
            f"Received: target.shape={tuple(target.shape)}"
        )
    if len(output.shape) != 3:
        raise ValueError(
            "ctc_loss: Logits `output` are expected to be a tensor of shape `(batch_size, max_length, num_classes)`. "
            f"Received: output.shape={tuple(output.shape)}"
        )
    target_length, output_length = (B.cast(convert(B, v), "int32") for v in (target_length, output_length))
    for name, x in (("target", target), ("target_length", target_length), ("output_length", output_length)):
        if known(x.shape[0]) and known(output.shape[0]) and x.shape[0] != output.shape[0]:
            raise ValueError(
                "ctc_loss: Arguments `target`, `output`, `target_length` and `output_length` must have the same batch size. "
                f"Received: {name}.shape={tuple(x.shape)}, output.shape={tuple(output.shape)}"
            )
    log_p = B.log_softmax(B.cast(output, dtypes.result_type(B.dtype(output), "float32")), -1)
    labels, dtype = B.cast(target, "int32"), B.dtype(log_p)
    batch, length = B.shape(labels)
    # Between, before and after the labels stands the blank: blank, label, blank, label, ..., blank.
    pairs = B.concatenate([B.expand_dims(B.full((batch, length), mask_index, "int32"), 2), B.expand_dims(labels, 2)], 2)
    blank = B.full((batch, 1), mask_index, "int32")
    states = B.concatenate([B.reshape(pairs, (batch, length * 2)), blank], 1)
    two_before = B.concatenate([B.full((batch, 2), mask_index, "int32"), B.getitem(states, _columns(slice(None, -2)))], 1)
    may_skip = B.bitwise_not(B.equal(states, two_before))
    time = B.shape(log_p)[1]
    emitted = B.take_along_axis(log_p, B.broadcast_to(B.expand_dims(states, 1), (batch, time, length * 2 + 1)), 2)
    emitted = B.transpose(emitted, (1, 0, 2))
    low = B.asarray(_LOW, dtype)

    def after(alpha, n):
        return B.concatenate([B.full((batch, n), _LOW, dtype), B.getitem(alpha, _columns(slice(None, -n)))], 1)

    def step(carry, emission):
        t, alpha = carry
        reached = _logaddexp(B, _logaddexp(B, alpha, after(alpha, 1)), B.where(may_skip, after(alpha, 2), low)) + emission
        counts = B.expand_dims(t < output_length, 1)
        return (t + 1, B.where(counts, reached, alpha)), t

    # Before the first step all weight is on a state ahead of the first two.
    place = B.arange(0, length * 2 + 1, 1, "int32")
    start = B.where(place < 2, B.getitem(emitted, 0), low)
    (_, alpha), _ = B.scan(step, (B.asarray(1, "int32"), start), B.getitem(emitted, slice(1, None)), None)
    last = B.expand_dims(target_length * 2, 1)
    ends = B.bitwise_or(B.equal(place, last), B.equal(place, last - 1))
    return -B.logsumexp(B.where(ends, alpha, low), 1)


@op
def ctc_decode(B, inputs, sequence_lengths, strategy="greedy", beam_width=100, top_paths=1, merge_repeated=True, mask_index=0):
    """Return the likeliest label sequences of logits and their scores.

    Args:
        inputs: Logits, (batch, time, classes).
        sequence_lengths: How many steps of each sample count, (batch,).
        strategy: "greedy" takes the best class at each step, its score is minus the sum of their logits;
            "beam_search" follows `beam_width` prefixes and returns `top_paths`, scores are log-probabilities.
        merge_repeated: Whether, when greedy, equal neighbours are one label.
        mask_index: The class that stands for no label.

    Returns:
        Labels, (paths, batch, time), filled up with -1, and scores, (batch, paths).

    >>> from multikeras import ops
    >>> labels, scores = ops.ctc_decode([[[0.0, 5.0], [5.0, 0.0]]], [2])
    >>> ops.convert_to_numpy(labels).tolist()
    [[[1, -1]]]
    """
    if len(inputs.shape) != 3:
        raise ValueError(f"ctc_decode: inputs must have shape (batch, time, classes), got {tuple(inputs.shape)}.")
    if strategy not in ("greedy", "beam_search"):
        raise ValueError(f"ctc_decode: Invalid strategy {strategy}. Supported values are 'greedy' and 'beam_search'.")
    inputs = B.cast(inputs, dtypes.result_type(B.dtype(inputs), "float32"))
    lengths = B.expand_dims(B.cast(convert(B, sequence_lengths), "int32"), 1)
    if strategy == "greedy":
        return _greedy(B, inputs, lengths, merge_repeated, mask_index)
    return _beam_search(B, inputs, lengths, beam_width, top_paths, mask_index)


def _greedy(B, inputs, lengths, merge_repeated, mask_index):
    batch, time, _ = B.shape(inputs)
    place = B.arange(0, time, 1, "int32")
    counts = place < lengths
    best = B.argmax(inputs, -1)
    kept = B.bitwise_and(counts, B.bitwise_not(B.equal(best, B.asarray(mask_index, "int32"))))
    if merge_repeated:
        before = B.concatenate([B.full((batch, 1), -1, "int32"), B.getitem(best, _columns(slice(None, -1)))], 1)
        kept = B.bitwise_and(kept, B.bitwise_not(B.equal(best, before)))
    # Kept ones to the front, in their order.
    order = B.argsort(B.cast(B.bitwise_not(kept), "int32"), 1)
    number = B.sum(B.cast(kept, "int32"), 1, True)
    labels = B.where(place < number, B.take_along_axis(best, order, 1), B.asarray(-1, "int32"))
    scores = B.where(counts, B.max(inputs, -1), B.asarray(0, B.dtype(inputs)))
    return B.expand_dims(labels, 0), -B.sum(scores, 1, True)


def _beam_search(B, inputs, lengths, width, top_paths, mask_index):
    log_p = B.log_softmax(inputs, -1)
    (batch, time, classes), dtype = B.shape(log_p), B.dtype(log_p)
    low = B.asarray(_LOW, dtype)
    class_numbers, place = B.arange(0, classes, 1, "int32"), B.arange(0, time, 1, "int32")
    is_blank = B.equal(class_numbers, B.asarray(mask_index, "int32"))

    def chosen(x, index):
        """Return entries of (batch, width, ...) by an index (batch, width)."""
        if len(x.shape) == 2:
            return B.take_along_axis(x, index, 1)
        return B.take_along_axis(x, B.broadcast_to(B.expand_dims(index, 2), (batch, width, B.shape(x)[2])), 1)

    def step(carry, emission):
        # prefix: (batch, width, time) filled up with -1; size: its lengths; the two log-probabilities of a prefix are
        # those of the alignments that end in a blank and in its last label.
        t, prefix, size, ends_blank, ends_label = carry
        emission = B.expand_dims(emission, 1)
        total = _logaddexp(B, ends_blank, ends_label)
        at_end = B.equal(place, B.expand_dims(size - 1, 2))
        last = B.max(B.where(at_end, prefix, B.asarray(-1, "int32")), 2)
        is_last = B.equal(B.expand_dims(last, 2), class_numbers)
        stays_blank = total + B.max(B.where(is_blank, emission, low), 2)
        stays_label = ends_label + B.max(B.where(is_last, emission, low), 2)
        grown = B.where(is_last, B.expand_dims(ends_blank, 2), B.expand_dims(total, 2)) + emission
        grown = B.where(is_blank, low, grown)
        # A prefix that grows into another one of the beam adds to that.
        without_last = B.where(at_end, B.asarray(-1, "int32"), prefix)
        same = B.min(B.cast(B.equal(B.expand_dims(prefix, 2), B.expand_dims(without_last, 1)), "int32"), 3)
        pair = B.bitwise_and(same > 0, B.expand_dims(size > 0, 1))  # (batch, from, into)
        into = B.bitwise_and(B.expand_dims(pair, 3), B.expand_dims(is_last, 1))  # (batch, from, into, class)
        joins = B.max(B.max(B.where(into, B.expand_dims(grown, 2), low), 3), 1)
        stays_label = _logaddexp(B, stays_label, joins)
        grown = B.where(B.max(into, 2), low, grown)
        candidates = B.concatenate(
            [_logaddexp(B, stays_blank, stays_label), B.reshape(grown, (batch, width * classes))], 1
        )
        score, index = B.top_k(candidates, width)
        grows = index >= width
        past = B.where(grows, index - width, index)
        source = B.where(grows, B.floor_divide(past, B.full((), classes, "int32")), index)
        label = B.mod(past, B.full((), classes, "int32"))
        new_size, new_prefix = chosen(size, source), chosen(prefix, source)
        writes = B.bitwise_and(B.expand_dims(grows, 2), B.equal(place, B.expand_dims(new_size, 2)))
        new = (
            B.where(writes, B.expand_dims(label, 2), new_prefix),
            B.where(grows, new_size + 1, new_size),
            B.where(grows, low, chosen(stays_blank, source)),
            B.where(grows, score, chosen(stays_label, source)),
        )
        counts = t < lengths
        old = (prefix, size, ends_blank, ends_label)
        kept = (B.where(B.expand_dims(counts, 2) if len(a.shape) == 3 else counts, a, b) for a, b in zip(new, old))
        return (t + 1, *kept), t

    first = B.broadcast_to(B.where(B.arange(0, width, 1, "int32") < 1, B.asarray(0.0, dtype), low), (batch, width))
    start = (
        B.asarray(0, "int32"),
        B.full((batch, width, time), -1, "int32"),
        B.full((batch, width), 0, "int32"),
        first,
        B.full((batch, width), _LOW, dtype),
    )
    (_, prefix, _, ends_blank, ends_label), _ = B.scan(step, start, B.transpose(log_p, (1, 0, 2)), None)
    scores, index = B.top_k(_logaddexp(B, ends_blank, ends_label), top_paths)
    index = B.broadcast_to(B.expand_dims(index, 2), (batch, top_paths, time))
    return B.transpose(B.take_along_axis(prefix, index, 1), (1, 0, 2)), scores
