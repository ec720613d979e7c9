"""Loops over time on TensorFlow: LSTM as XLA for CPUs likes it.

What TensorFlow derives from a loop adds up the gradients of the kernels step by step. Here the gradient of a loop is a second
loop, which gives what each step sends back, and then one product for all steps; inputs are multiplied inside of the loop.
Batches a second of LSTM(128) over 64 x 50 x 32 (x86, two cores): `evaluate` 94 as a composite, 167 this way; `fit` 52 and 58.
As a plain graph it would be slower than the composite, whose gradient has more that need not wait: 46 and 44. GRU would not
gain: 69 and 67.
"""

from multikeras.backend._tf_programs import for_xla, forward_only, tf
from multikeras.backend.tf_backend import TensorFlowBackend

R = tf.raw_ops


class TensorFlowRecurrent(TensorFlowBackend):
    """`TensorFlowBackend` with loops over time that are differentiated as wholes."""

    @property
    def projects_in_loops(self):
        # Batches a second over 64 x 50 x 32 with 128 units: LSTM predicts 108 after one product of all, 124 this way, GRU 128
        # and 150; under XLA GRU evaluates 93 and 196. Gradients are those of one product: added up, they would take longer.
        return forward_only() and not tf.executing_eagerly() and not self.devices("gpu")

    def lstm(self, x, h, c, kernel, recurrent_kernel, bias, mask=None, activation=None, recurrent_activation=None, **how):
        custom = activation or recurrent_activation or mask is not None or how.get("unroll")
        if custom or not for_xla() or self.devices("gpu"):
            return super().lstm(x, h, c, kernel, recurrent_kernel, bias, mask, activation, recurrent_activation, **how)
        bias = tf.zeros(kernel.shape[-1:], kernel.dtype) if bias is None else bias
        reverse, sequences = bool(how.get("reverse")), bool(how.get("sequences"))
        xs = R.Transpose(x=x, perm=(1, 0, 2))
        h, c, *outputs = _lstm(self, reverse, sequences)(xs, h, c, kernel, recurrent_kernel, bias)
        if not sequences:
            return h, None, [h, c]
        outputs = R.Transpose(x=outputs[0], perm=(1, 0, 2))
        return h, self.flip(outputs, (1,)) if reverse else outputs, [h, c]


def _lstm(B, reverse, sequences):
    """Return the function from inputs, (steps, batch, features), states and weights to the last states, and all outputs."""

    @tf.custom_gradient
    def run(xs, h, c, kernel, recurrent, bias):
        kernels = tf.concat([kernel, recurrent], 0)

        def step(states, x):
            h, before = states
            # One product: it is large enough for XLA to give it both cores.
            i, f, g, o = tf.split(B.matmul(tf.concat([x, h], -1), kernels) + bias, 4, -1)
            i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
            c = f * before + i * g
            tanh_c = tf.tanh(c)
            saved = None if forward_only() else (h, i, f, g, o, before, tanh_c)
            return (o * tanh_c, c), (saved, o * tanh_c if sequences else None)

        (last, c), (saved, outputs) = B.scan(step, (h, c), xs, None, reverse)

        def back(upstream, at):
            (dh, dc), (doutput, (_, i, f, g, o, before, tanh_c)) = upstream, at
            dh = dh if doutput is None else dh + doutput
            dc = dc + R.TanhGrad(y=tanh_c, dy=dh * o)
            dz = tf.concat([
                R.SigmoidGrad(y=i, dy=dc * g), R.SigmoidGrad(y=f, dy=dc * before), R.TanhGrad(y=g, dy=dc * i),
                R.SigmoidGrad(y=o, dy=dh * tanh_c),
            ], -1)  # fmt: skip
            return (R.MatMul(a=dz, b=recurrent, transpose_b=True), dc * f), dz  # a kernel transposed before takes longer

        def pull(dh, dc, doutputs=None):
            (dh, dc), dz = B.scan(back, (dh, dc), (doutputs, saved), None, not reverse)
            dz, inputs = _rows(dz), _rows(tf.concat([xs, saved[0]], -1))
            dkernel, drecurrent = tf.split(R.MatMul(a=inputs, b=dz, transpose_a=True), [kernel.shape[0], recurrent.shape[0]])
            dxs = tf.reshape(R.MatMul(a=dz, b=kernel, transpose_b=True), tf.shape(xs))
            return dxs, dh, dc, dkernel, drecurrent, tf.reduce_sum(dz, 0)

        return (last, c, *((outputs,) if sequences else ())), pull

    return run


def _rows(x):
    """Return the entries of all steps one below the other."""
    return tf.reshape(x, (-1, x.shape[-1]))
