"""Sparse tensors of TensorFlow by their parts: `SparseTensor` of single entries, `IndexedSlices` of slices."""

from multikeras.backend._tf_programs import recorded, tf


class SparseTensors:
    """The primitives on sparse tensors."""

    supports_sparse = sparse_batches = True

    def is_ragged(self, x):
        return isinstance(x, tf.RaggedTensor)

    def is_sparse(self, x):
        return isinstance(x, (tf.SparseTensor, tf.IndexedSlices))

    def sparse_parts(self, x, distinct=True):
        if isinstance(x, tf.SparseTensor):
            sizes = tuple(x.shape)
            if None in sizes:
                sizes = tuple(x.dense_shape[i] if n is None else n for i, n in enumerate(sizes))
            return x.indices, x.values, sizes
        shape = None if x.dense_shape is None else tf.get_static_value(x.dense_shape)
        if shape is None:
            return None
        indices, values = tf.cast(x.indices, tf.int64), x.values
        if distinct:
            indices, values = self._rows_added(indices, values)
        return indices[:, None], values, tuple(map(int, shape))

    def _rows_added(self, indices, values):
        """Return distinct rows with the sums of their values, then as many zeros as there were rows again.

        So the shapes do not depend on the indices, and XLA compiles it.
        """
        order = tf.argsort(indices, stable=True)
        indices = tf.gather(indices, order)
        group = tf.cumsum(tf.cast(indices != tf.concat([indices[:1], indices[:-1]], 0), tf.int32))
        size = tf.shape(indices)[0]
        sums = tf.math.unsorted_segment_sum(tf.gather(values, order), group, size)
        return tf.maximum(tf.math.unsorted_segment_max(indices, group, size), 0), sums

    def sparse(self, indices, values, shape, in_order=True):
        if indices.shape[1] < len(shape):
            return tf.IndexedSlices(values, indices[:, 0], tf.constant(shape, tf.int64))
        sizes = tf.stack([tf.cast(n, tf.int64) for n in shape]) if shape else tf.zeros((0,), tf.int64)
        x = tf.SparseTensor(tf.cast(indices, tf.int64), values, sizes)
        return x if in_order else tf.sparse.reorder(x)

    def coalesced(self, indices, values, shape):
        keys = tf.zeros(tf.shape(indices)[:1], tf.int64)
        for i in range(indices.shape[1]):
            keys = keys * tf.cast(shape[i], tf.int64) + tf.cast(indices[:, i], tf.int64)
        order = tf.argsort(keys, stable=True)
        _, inverse = tf.unique(tf.gather(keys, order))
        number = tf.reduce_max(inverse, keepdims=True) + 1 if keys.shape[0] != 0 else tf.zeros((1,), tf.int32)
        first = tf.math.unsorted_segment_min(order, inverse, number[0])
        return tf.gather(indices, first), tf.math.unsorted_segment_sum(tf.gather(values, order), inverse, number[0])

    def sparse_matmul(self, x, y):
        if not isinstance(x, tf.SparseTensor) or x.shape.rank != 2 or x.dtype not in (tf.float32, tf.float64):
            return tf.sparse.from_dense(self._dense_matmul(x, y)) if self.is_sparse(x) and self.is_sparse(y) else None
        both = self.is_sparse(y)
        y = self.asarray(y)
        if y.shape.rank != 2 or y.dtype != x.dtype:
            return None
        if recorded():  # then the gradient of y is about the rows that x has columns for
            columns, place = tf.unique(x.indices[:, 1], tf.int64)
            sizes = tf.stack([x.dense_shape[0], tf.size(columns, tf.int64)])
            x = tf.SparseTensor(tf.stack([x.indices[:, 0], place], 1), x.values, sizes)
            y = tf.gather(y, columns)
        out = tf.sparse.sparse_dense_matmul(x, y)
        return tf.sparse.from_dense(out) if both else out

    def _dense_matmul(self, x, y):
        return self.matmul(self.asarray(x), self.asarray(y))
