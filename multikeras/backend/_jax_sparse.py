"""Sparse arrays of JAX, `BCOO`, by their parts. Its module is imported with the first of them: it takes long."""

import functools

import jax
import jax.numpy as jnp


@functools.cache
def _sparse():
    from jax.experimental import sparse

    return sparse


class SparseTensors:
    """The primitives on sparse arrays."""

    supports_sparse = True

    def is_sparse(self, x):
        return hasattr(x, "todense") and type(x).__name__ == "BCOO"

    def dense(self, x):
        if x.dtype != bool:
            return x.todense()
        # Entries are added up, which bools cannot be.
        return _sparse().BCOO((x.data.astype("int8"), x.indices), shape=x.shape).todense().astype(bool)

    def sparse_parts(self, x, distinct=True):
        if x.n_batch:
            x = _sparse().bcoo_update_layout(x, n_batch=0)
        shape = tuple(x.shape)
        if x.unique_indices or not distinct:
            return x.indices, x.data, shape
        return (*self.coalesced(x.indices, x.data, shape), shape)

    def sparse(self, indices, values, shape, in_order=True):
        return _sparse().BCOO((values, indices), shape=shape, unique_indices=True, indices_sorted=False)

    def coalesced(self, indices, values, shape):
        x = _sparse().BCOO((values, indices), shape=shape)
        # A function being compiled keeps the number of entries, the spare ones out of bounds.
        traced = isinstance(indices, jax.core.Tracer)
        x = _sparse().bcoo_sum_duplicates(x, nse=indices.shape[0] if traced else None)
        return x.indices, x.data

    def sparse_matmul(self, x, y):
        return _sparse().sparsify(jnp.matmul)(x, y)
