"""LSTM and GRU on JAX for CPUs, with derivatives that multiply matrices once for all steps.

What JAX derives from a loop adds up the gradients of the kernels step by step: as many small products, and as many sums
of matrices, as there are steps. Here the derivative of a loop is a second loop, linear, over what each step would receive
from other inputs and kernels, all of it computed before in one product; JAX transposes the two on its own.
An LSTM of 128 units over 64 x 50 x 32 takes 19.7 ms with gradient as a composite, 16.0 this way (x86, two cores).
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from multikeras.backend.jax_backend import JaxBackend


class JaxRecurrent(JaxBackend):
    """`JaxBackend` with loops over time that are differentiated as wholes."""

    def lstm(self, x, h, c, kernel, recurrent_kernel, bias, mask=None, activation=None, recurrent_activation=None, **how):
        if activation or recurrent_activation or not _runs_whole(x, mask, how):
            return super().lstm(x, h, c, kernel, recurrent_kernel, bias, mask, activation, recurrent_activation, **how)
        bias = jnp.zeros(kernel.shape[-1], kernel.dtype) if bias is None else bias
        kernels = jnp.concatenate([kernel, recurrent_kernel])
        return _whole(_lstm, self, x, (h, c), (kernels, bias), how)

    def gru(self, x, h, kernel, recurrent_kernel, bias, recurrent_bias, mask=None, activation=None,
            recurrent_activation=None, reset_after=True, **how):  # fmt: skip
        if activation or recurrent_activation or not reset_after or not _runs_whole(x, mask, how):
            return super().gru(
                x, h, kernel, recurrent_kernel, bias, recurrent_bias, mask, activation, recurrent_activation, reset_after,
                **how,
            )  # fmt: skip
        none = jnp.zeros(kernel.shape[-1], kernel.dtype)
        biases = [none if b is None else b for b in (bias, recurrent_bias)]
        return _whole(_gru, self, x, (h,), (kernel, recurrent_kernel, *biases), how)


def _runs_whole(x, mask, how: dict) -> bool:
    return mask is None and not how.get("unroll") and x.shape[1] > 1 and jax.default_backend() == "cpu"


def _whole(loop, backend, x, states, weights, how):
    return _run(loop, backend, bool(how.get("reverse")), bool(how.get("sequences")), x, states, weights)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3), inline=True)
def _run(loop, backend, reverse, sequences, x, states, weights):
    xs = jnp.swapaxes(x, 0, 1)
    states, outputs = loop(backend, sequences, jnp.flip(xs, 0) if reverse else xs, states, weights)
    return states[0], jnp.swapaxes(outputs, 0, 1) if sequences else None, list(states)


def _flat(backend, x, kernel):
    """Return the product of the steps (steps, batch, features) and a kernel."""
    return backend.matmul(x.reshape(-1, x.shape[-1]), kernel).reshape(*x.shape[:-1], kernel.shape[-1])


def _total(terms, shape, dtype):
    """Return the sum of the terms there are, in a shape."""
    return jnp.broadcast_to(functools.reduce(jnp.add, terms, jnp.zeros((), dtype)), shape)


def _known(tangent) -> bool:
    return not isinstance(tangent, SymbolicZero)


def _dense(tangents):
    return tuple(jnp.zeros(t.aval.shape, t.aval.dtype) if isinstance(t, SymbolicZero) else t for t in tangents)


# -- LSTM --------------------------------------------------------------------------------------------------------------


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _lstm(backend, sequences, xs, states, weights):
    kernels, bias = weights

    def step(states, x):
        h, c = states
        c, tanh_c, (_, _, _, o) = _gates(jnp.concatenate([x, h], -1) @ kernels + bias, c)
        return (o * tanh_c, c), o * tanh_c if sequences else None

    return lax.scan(step, states, xs)


def _gates(z, c):
    """Return the new cell, its tanh, and the gates i, f, g, o."""
    i, f, g, o = jnp.split(z, 4, -1)
    i, f, g, o = lax.logistic(i), lax.logistic(f), jnp.tanh(g), lax.logistic(o)
    c = f * c + i * g
    return c, jnp.tanh(c), (i, f, g, o)


@functools.partial(_lstm.defjvp, symbolic_zeros=True)
def _lstm_derivative(backend, sequences, primals, tangents):
    xs, states, (kernels, bias) = primals
    features = xs.shape[-1]

    def step(states, x):
        h, before = states
        inputs = jnp.concatenate([x, h], -1)
        c, tanh_c, (i, f, g, o) = _gates(inputs @ kernels + bias, before)
        h = o * tanh_c
        slopes = g * i * (1 - i), before * f * (1 - f), i * (1 - g * g), tanh_c * o * (1 - o), o * (1 - tanh_c * tanh_c), f
        return (h, c), (inputs, slopes, h if sequences else None)

    states, (inputs, slopes, outputs) = lax.scan(step, states, xs)

    dxs, dstates, (dkernels, dbias) = tangents
    received = [_flat(backend, inputs, dkernels)] if _known(dkernels) else []
    received += [dbias] if _known(dbias) else []
    received += [_flat(backend, dxs, kernels[:features])] if _known(dxs) else []
    recurrent = kernels[features:]

    def linear(states, at):
        received, (by_i, by_f, by_g, by_o, by_c, f) = at
        dh, dc = states
        i, f_, g, o = jnp.split(received + dh @ recurrent, 4, -1)
        dc = f * dc + by_i * i + by_f * f_ + by_g * g
        dh = by_c * dc + by_o * o
        return (dh, dc), dh if sequences else None

    changes = lax.scan(linear, _dense(dstates), (_total(received, (*xs.shape[:-1], kernels.shape[-1]), xs.dtype), slopes))
    return (states, outputs), changes


# -- GRU ---------------------------------------------------------------------------------------------------------------


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _gru(backend, sequences, xs, states, weights):
    kernel, recurrent, bias, recurrent_bias = weights

    def step(states, x):
        h = _mixed(x @ kernel + bias, states[0] @ recurrent + recurrent_bias, states[0])[0]
        return (h,), h if sequences else None

    return lax.scan(step, states, xs)


def _mixed(x, inner, h):
    """Return the new state, the gates z and r, the candidate, and what of the old state the candidate receives."""
    x_z, x_r, x_candidate = jnp.split(x, 3, -1)
    h_z, h_r, h_candidate = jnp.split(inner, 3, -1)
    z, r = lax.logistic(x_z + h_z), lax.logistic(x_r + h_r)
    candidate = jnp.tanh(x_candidate + r * h_candidate)
    return z * h + (1 - z) * candidate, z, r, candidate, h_candidate


@functools.partial(_gru.defjvp, symbolic_zeros=True)
def _gru_derivative(backend, sequences, primals, tangents):
    xs, states, (kernel, recurrent, bias, recurrent_bias) = primals

    def step(states, x):
        before = states[0]
        h, z, r, candidate, h_candidate = _mixed(x @ kernel + bias, before @ recurrent + recurrent_bias, before)
        by_candidate = (1 - z) * (1 - candidate * candidate)
        slopes = (before - candidate) * z * (1 - z), by_candidate * h_candidate * r * (1 - r), by_candidate, z, r
        return (h,), (before, slopes, h if sequences else None)

    states, (before, slopes, outputs) = lax.scan(step, states, xs)

    dxs, dstates, (dkernel, drecurrent, dbias, drecurrent_bias) = tangents
    received = [_flat(backend, xs, dkernel)] if _known(dkernel) else []
    received += [dbias] if _known(dbias) else []
    received += [_flat(backend, dxs, kernel)] if _known(dxs) else []
    inner = [_flat(backend, before, drecurrent)] if _known(drecurrent) else []
    inner += [drecurrent_bias] if _known(drecurrent_bias) else []

    def linear(states, at):
        received, inner, (by_z, by_r, by_candidate, z, r) = at
        x_z, x_r, x_candidate = jnp.split(received, 3, -1)
        h_z, h_r, h_candidate = jnp.split(inner + states[0] @ recurrent, 3, -1)
        h = z * states[0] + by_z * (x_z + h_z) + by_r * (x_r + h_r) + by_candidate * (x_candidate + r * h_candidate)
        return (h,), h if sequences else None

    shape = (*xs.shape[:-1], kernel.shape[-1])
    changes = lax.scan(linear, _dense(dstates), (_total(received, shape, xs.dtype), _total(inner, shape, xs.dtype), slopes))
    return (states, outputs), changes
