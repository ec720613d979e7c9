"""The loops, recurrences and CTC functions of `keras.backend` in Keras 2."""

from typing import Any

import numpy as np

from multikeras import ops


def map_fn(fn, elems, name=None, dtype=None):
    """Apply a function to each slice along the first axis."""
    return ops.map(fn, elems)


def foldl(fn, elems, initializer=None, name=None):
    """Combine the slices along the first axis from the first to the last."""
    rows = list(ops.unstack(elems))
    total = rows.pop(0) if initializer is None else initializer
    for row in rows:
        total = fn(total, row)
    return total


def foldr(fn, elems, initializer=None, name=None):
    """Combine the slices along the first axis from the last to the first."""
    return foldl(fn, ops.flip(elems, 0), initializer)


def rnn(
    step_function,
    inputs,
    initial_states,
    go_backwards=False,
    mask=None,
    constants=None,
    unroll=False,
    input_length=None,
    time_major=False,
    zero_output_for_mask=False,
    return_all_outputs=True,
):
    """Run a step function over time.

    Args:
        step_function: From (input, states) to (output, new states); `constants` follow the states.
        inputs: Tensor (batch, time, ...), time first with `time_major`.
        initial_states: List of tensors.
        go_backwards: Begin at the end.
        mask: Booleans (batch, time); where False the states stay.
        constants: Tensors handed to each step.
        unroll: Taken as it is: the loop is written out here.
        input_length: Not needed.
        time_major: Whether time is the first axis, of inputs and outputs.
        zero_output_for_mask: Outputs are zero where the mask is False, else the one before.
        return_all_outputs: Return all outputs, else the last.

    Returns: last output, all outputs, final states.
    """
    steps = ops.unstack(inputs if time_major else ops.swapaxes(inputs, 0, 1))
    masks: list[Any] = [None] * len(steps) if mask is None else ops.unstack(ops.cast(mask, "bool"), axis=1)
    states = [ops.convert_to_tensor(s) for s in initial_states]
    constants, outputs = list(constants or ()), []
    order = reversed(range(len(steps))) if go_backwards else range(len(steps))
    for t in order:
        output, new = step_function(steps[t], [*states, *constants])
        if masks[t] is not None:
            before = outputs[-1] if outputs and not zero_output_for_mask else ops.zeros_like(output)
            output = ops.where(_like(masks[t], output), output, before)
            new = [ops.where(_like(masks[t], n), n, s) for n, s in zip(new, states)]
        outputs.append(output)
        states = list(new)
    stacked = ops.stack(outputs if return_all_outputs else outputs[-1:], axis=0 if time_major else 1)
    return outputs[-1], stacked, states


def _like(mask: Any, x: Any) -> Any:
    return ops.reshape(mask, (*mask.shape, *(1,) * (len(x.shape) - len(mask.shape))))


def ctc_batch_cost(y_true, y_pred, input_length, label_length):
    """Return the CTC loss of each sample, shape (batch, 1); the blank is the last class.

    Args:
        y_true: Labels (batch, length).
        y_pred: Probabilities (batch, time, classes).
        input_length: Steps of each sample, (batch, 1).
        label_length: Labels of each sample, (batch, 1).
    """
    logs = ops.log(ops.convert_to_tensor(y_pred) + 1e-7)
    blank = logs.shape[-1] - 1
    labels, steps = (ops.reshape(ops.cast(n, "int32"), (-1,)) for n in (label_length, input_length))
    loss = ops.ctc_loss(ops.cast(y_true, "int32"), logs, labels, steps, mask_index=blank)
    return ops.expand_dims(loss, 1)


def ctc_decode(y_pred, input_length, greedy=True, beam_width=100, top_paths=1):
    """Return the likeliest label sequences, each (batch, time) padded with -1, and their scores."""
    y_pred = ops.log(ops.convert_to_tensor(y_pred) + 1e-7)
    strategy = "greedy" if greedy else "beam_search"
    decoded, scores = ops.ctc_decode(
        y_pred, ops.cast(ops.reshape(input_length, (-1,)), "int32"), strategy, beam_width, top_paths,
        merge_repeated=True, mask_index=y_pred.shape[-1] - 1,
    )  # fmt: skip
    return [decoded[i] for i in range(decoded.shape[0])], scores


def ctc_label_dense_to_sparse(labels, label_lengths):
    """Return places and values of the labels within their lengths, as numpy arrays: (indices, values, shape)."""
    labels, lengths = ops.convert_to_numpy(labels), np.ravel(ops.convert_to_numpy(label_lengths))
    inside = np.arange(labels.shape[1])[None] < lengths[:, None]
    return np.argwhere(inside), labels[inside], np.array(labels.shape)
