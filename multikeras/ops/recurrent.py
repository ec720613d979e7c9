"""Loops over time. `lstm` and `gru` are where a backend plugs in a fused kernel; by default they scan.

All take inputs (batch, steps, ...) and return the output of the last step, the outputs of all
steps or None, and the list of last states. An override of `lstm` or `gru` defers to `super()` where
it cannot serve: a mask, or an activation other than None (tanh, sigmoid for the gates).
"""

from typing import Any

from multikeras.core import budget, tree
from multikeras.ops._op import op


@op
def rnn(B, x, states, step, mask=None, output=None, reverse=False, sequences=False, zero_masked=False, unroll=False):
    """Run `output, states = step(x[:, t], states)` over time.

    Args:
        x: (batch, steps, ...).
        states: Tree of first states (batch, ...).
        step: One step.
        mask: Bool (batch, steps): where False the states stay, and the output is that of the step before.
        output: Zeros of the shape of an output; needed with a mask.
        reverse: Go from the last step to the first.
        sequences: Whether to return the output of each step, in the order in which they are computed.
        zero_masked: Give zeros, not the output before, where masked.
        unroll: Write the steps out instead of looping; their number must be known.

    >>> from multikeras import ops
    >>> from multikeras.ops.recurrent import rnn
    >>> total = lambda x, states: (states[0] + x, [states[0] + x])
    >>> last, outputs, states = rnn(ops.ones((1, 3, 2)), [ops.zeros((1, 2))], total, sequences=True)
    >>> ops.convert_to_numpy(outputs)[0].tolist()
    [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]
    """
    steps: Any = x.shape[1]
    if unroll and steps is None:
        raise ValueError(f"rnn: unroll=True needs a known number of steps, got inputs of shape {tuple(x.shape)}.")
    xs, states = _time_first(B, x), tree.map_structure(B.asarray, states)

    def plain(states, x_t):
        output, after = step(x_t, states)
        return _nested_like(B, states, after), output if sequences else None

    def carrying(carry, x_t):
        output, after = step(x_t, carry[1])
        return (output, _nested_like(B, states, after)), None

    def masked(carry, slices):
        (before, states), (x_t, kept) = carry, slices
        output, after = step(x_t, states)
        after = tree.map_structure(lambda new, old: _choose(B, kept, new, old), _nested_like(B, states, after), states)
        seen = _choose(B, kept, output, B.zeros_like(before) if zero_masked else before)
        return (seen, after), seen if sequences else None

    def loop(advance, carry, xs):
        if not unroll:
            carry, outputs = B.scan(advance, carry, xs, None, reverse)
            return carry, B.flip(outputs, (0,)) if sequences and reverse else outputs
        budget.loop(10 * steps, "rnn: unroll=True")
        outputs = []
        for t in range(steps - 1, -1, -1) if reverse else range(steps):
            carry, y = advance(carry, tree.map_structure(lambda leaf, t=t: B.getitem(leaf, t), xs))
            outputs.append(y)
        return carry, B.stack(outputs, 0) if sequences else None

    if mask is not None:
        kept = B.cast(_time_first(B, B.asarray(mask)), "bool")
        (last, states), outputs = loop(masked, (B.asarray(output), states), (xs, kept))
    elif sequences:
        states, outputs = loop(plain, states, xs)
        last = B.getitem(outputs, -1)
    elif output is not None:
        (last, states), outputs = loop(carrying, (B.asarray(output), states), xs)
    else:
        # The last step stands outside of the loop: so only one output is ever kept.
        rest, final = (slice(1, None), 0) if reverse else (slice(None, -1), -1)
        steps = None if steps is None else steps - 1
        states, outputs = (states, None) if steps == 0 else loop(plain, states, B.getitem(xs, rest))
        last, after = step(B.getitem(xs, final), states)
        states = _nested_like(B, states, after)
    return last, _time_first(B, outputs) if sequences else None, states


def _time_first(B, x):
    """Exchange the first two dimensions."""
    return B.transpose(x, (1, 0, *range(2, len(x.shape))))


def _nested_like(B, states, after):
    """Return the states `after` a step nested as those before, lists and tuples mixed, and in their dtypes."""
    leaves = zip(tree.flatten(after), tree.flatten(states), strict=True)
    return tree.pack_sequence_as(
        states, [new if B.dtype(new) == B.dtype(old) else B.cast(new, B.dtype(old)) for new, old in leaves]
    )


def _choose(B, kept, new, old):
    for _ in range(len(new.shape) - len(kept.shape)):
        kept = B.expand_dims(kept, -1)
    return B.where(kept, new, B.cast(old, B.dtype(new)))


@op(tensors=5, promote=True)
def simple_rnn(B, x, h, kernel, recurrent_kernel, bias, mask=None, activation=None, **how):
    """Run `h = activation(x[:, t] @ kernel + bias + h @ recurrent_kernel)` over time; `how` goes to `rnn`."""
    activation = activation or B.tanh

    xs, projected = _projected(B, x, kernel, bias)

    def step(x, states):
        h = activation(projected(x) + B.matmul(states[0], recurrent_kernel))
        return h, [h]

    return B.rnn(xs, [h], step, mask, B.zeros_like(h), **how)


@op(tensors=6, promote=True)
def lstm(B, x, h, c, kernel, recurrent_kernel, bias, mask=None, activation=None, recurrent_activation=None, **how):
    """Run a long short-term memory over time (Hochreiter and Schmidhuber 1997); `how` goes to `rnn`.

    Args:
        x: (batch, steps, features).
        h, c: First states (batch, units).
        kernel, recurrent_kernel, bias: (features, 4 units), (units, 4 units), (4 units) or None: the input
            gate's, the forget gate's, the candidate's, the output gate's.
        activation, recurrent_activation: Functions; None for tanh and sigmoid.
    """
    activation, gate = activation or B.tanh, recurrent_activation or B.sigmoid
    xs, projected = _projected(B, x, kernel, bias)

    def step(x, states):
        h, c = states
        i, f, candidate, o = B.split(projected(x) + B.matmul(h, recurrent_kernel), 4, -1)
        c = gate(f) * c + gate(i) * activation(candidate)
        h = gate(o) * activation(c)
        return h, [h, c]

    return B.rnn(xs, [h, c], step, mask, B.zeros_like(h), **how)


@op(tensors=6, promote=True)
def gru(B, x, h, kernel, recurrent_kernel, bias, recurrent_bias, mask=None, activation=None, recurrent_activation=None,
        reset_after=True, **how):  # fmt: skip
    """Run a gated recurrent unit over time (Cho et al. 2014); `how` goes to `rnn`.

    Args:
        x: (batch, steps, features).
        h: First state (batch, units).
        kernel, recurrent_kernel: (features, 3 units), (units, 3 units): the update gate's, the reset gate's, the
            candidate's.
        bias, recurrent_bias: (3 units) or None; the second with `reset_after` only.
        activation, recurrent_activation: Functions; None for tanh and sigmoid.
        reset_after: Whether the reset gate acts after the product with `recurrent_kernel`, as in cuDNN.
    """
    activation, gate = activation or B.tanh, recurrent_activation or B.sigmoid
    units = recurrent_kernel.shape[0]
    xs, projected = _projected(B, x, kernel, bias)

    def step(x, states):
        h = states[0]
        x_z, x_r, x_candidate = B.split(projected(x), 3, -1)
        if reset_after:
            inner = B.matmul(h, recurrent_kernel)
            h_z, h_r, h_candidate = B.split(inner if recurrent_bias is None else inner + recurrent_bias, 3, -1)
            z, r = gate(x_z + h_z), gate(x_r + h_r)
            candidate = activation(x_candidate + r * h_candidate)
        else:
            h_z, h_r = B.split(B.matmul(h, B.getitem(recurrent_kernel, _first(2 * units))), 2, -1)
            z, r = gate(x_z + h_z), gate(x_r + h_r)
            candidate = activation(x_candidate + B.matmul(r * h, B.getitem(recurrent_kernel, _rest(2 * units))))
        h = z * h + (1 - z) * candidate
        return h, [h]

    return B.rnn(xs, [h], step, mask, B.zeros_like(h), **how)


def _first(n):
    return (Ellipsis, slice(None, n))


def _rest(n):
    return (Ellipsis, slice(n, None))


def _projected(B, x, kernel, bias):
    """Return what a loop goes over, and the function that makes of one step of it the inputs times the kernel."""

    def apply(x):
        x = B.matmul(x, kernel)
        return x if bias is None else x + bias

    return (x, apply) if B.projects_in_loops else (apply(x), lambda x: x)
