"""Strategies of `tf.distribute`: one step run as several replicas, each on its device with its rows of a batch."""

from collections.abc import Callable, Iterator
from typing import Any

from multikeras.backend._tf_programs import Programs, nest, tf

_AGGREGATION = tf.VariableAggregation
_PER_REPLICA = tf.types.experimental.distributed.PerReplica


def _in_replica() -> bool:
    """Tell whether this is a step run by a strategy: outside of any there is a replica too, which stands for nothing."""
    return tf.distribute.has_strategy() and not tf.distribute.in_cross_replica_context()


def _of_this_replica(store: Any) -> Any:
    """Return what to write to for `store`: in a replica the replica's own part, where replicas do not meet to write."""
    if not isinstance(store, tf.distribute.DistributedValues) or not _in_replica():
        return store
    if store.aggregation not in (_AGGREGATION.NONE, _AGGREGATION.ONLY_FIRST_REPLICA):
        return store
    # Replicas that count alike need not meet to hear the first one's count, and within `cond` they cannot.
    replica = int(tf.get_static_value(tf.distribute.get_replica_context().replica_id_in_sync_group))
    return store.values[replica % len(store.values)]  # here are those of this worker


class WholeBatches:
    """A distributed data set whose batches are put together again: steps hand out rows themselves."""

    def __init__(self, dataset: Any):
        self.dataset = dataset

    def __iter__(self) -> Iterator[Any]:
        for batch in self.dataset:
            yield nest.map_structure(lambda x: tf.concat(x.values, 0) if isinstance(x, _PER_REPLICA) else x, batch)

    def __len__(self) -> int:
        size = int(getattr(self.dataset, "cardinality", -1))
        if size < 0:
            raise TypeError("The number of batches is not known.")
        return size


class Replicas:
    """What a strategy does to steps."""

    def __init__(self, strategy: Any):
        self.strategy = strategy

    def scope(self) -> Any:
        """Return the context in which variables are made for all replicas."""
        return self.strategy.scope()

    def _rows(self, x: Any) -> Any:
        """Return the rows of this replica, in the first ones one more where they do not come out even."""
        if x is None or x.shape.rank == 0:
            return x
        context = tf.distribute.get_replica_context()
        i, n = context.replica_id_in_sync_group, self.strategy.num_replicas_in_sync
        if isinstance(x, tf.SparseTensor):
            return tf.sparse.split(x, n, axis=0)[i] if n > 1 else x
        rows = tf.shape(x)[0] if x.shape[0] is None else x.shape[0]
        each, more = rows // n, rows % n
        start = i * each + tf.minimum(i, more)
        return x[start : start + each + tf.cast(i < more, tf.int32)]

    def step(self, function: Callable, result: Callable | None = None, rows: bool = False) -> Callable:
        """Return `function` of a batch, run by every replica on its rows.

        Args:
            function: Maps a batch to a tree of tensors.
            result: Gives what to return instead, once all replicas are done.
            rows: Whether outputs are rows to be put together; else they are the means of the replicas.
        """

        def run(batch: Any) -> Any:
            out = self.strategy.run(lambda: function(nest.map_structure(self._rows, batch)))
            return result() if result is not None else nest.map_structure(self._joined if rows else self._mean, out)

        return run

    def _joined(self, x: Any) -> Any:
        parts = self.strategy.experimental_local_results(x)
        if len(parts) != self.strategy.num_replicas_in_sync:
            return self.strategy.gather(x, 0)
        return parts[0] if len(parts) == 1 else tf.concat(parts, 0)

    def _mean(self, x: Any) -> Any:
        parts = self.strategy.experimental_local_results(x)
        if x is None or isinstance(parts[0], (str, bytes)) or self.strategy.num_replicas_in_sync == 1:
            return parts[0]
        if len(parts) != self.strategy.num_replicas_in_sync:
            return self.strategy.reduce("MEAN", x, None)
        return tf.reduce_mean(tf.stack([tf.cast(p, tf.float32) for p in parts]), 0)


class Distributed(Programs):
    """Variables and sums under a strategy."""

    def replicas(self):
        return Replicas(tf.distribute.get_strategy()) if tf.distribute.has_strategy() else None

    def number_of_replicas(self):
        return tf.distribute.get_strategy().num_replicas_in_sync

    def sum_over_replicas(self, xs):
        if not _in_replica():
            return xs
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, xs)

    def whole_batches(self, data):
        return WholeBatches(data) if isinstance(data, tf.distribute.DistributedDataset) else data

    def add_rows(self, store, indices, values):
        if isinstance(store, tf.distribute.DistributedValues) or not isinstance(store, tf.Variable):
            return super().add_rows(store, indices, values)
        store.scatter_add(tf.IndexedSlices(values, indices))
        return store

    def assign(self, store, value):
        _of_this_replica(store).assign(value, read_value=False)
        return store
