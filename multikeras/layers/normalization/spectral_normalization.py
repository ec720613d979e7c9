"""`SpectralNormalization`: a layer whose kernel is kept at spectral norm 1 (Miyato et al. 2018, arXiv:1802.05957)."""

from typing import Any

from multikeras import initializers, ops
from multikeras.layers._arguments import positive
from multikeras.layers.core.wrapper import Wrapper
from multikeras.layers.input_spec import InputSpec
from multikeras.layers.layer import Layer


class SpectralNormalization(Wrapper):
    """Divide the kernel (or the embeddings) of a layer by its largest singular value, in training.

    Args:
        layer: The layer.
        power_iterations: Steps of the power method a call.

    >>> import multikeras
    >>> layer = multikeras.layers.SpectralNormalization(multikeras.layers.Dense(3))
    >>> layer(multikeras.ops.ones((2, 4)), training=True).shape == (2, 3)
    True
    """

    def __init__(self, layer: Layer, power_iterations: int = 1, **kwargs: Any):
        super().__init__(layer, **kwargs)
        self.power_iterations = positive("SpectralNormalization", "power_iterations", power_iterations)

    def build(self, input_shape):
        super().build(input_shape)
        self.input_spec = InputSpec(shape=(None, *input_shape[1:]))
        names = [name for name in ("kernel", "embeddings") if hasattr(self.layer, name)]
        if not names:
            raise ValueError(
                f"SpectralNormalization {self.name!r}: layer {self.layer.name!r} of type "
                f"{type(self.layer).__name__} has "
                "neither kernel nor embeddings."
            )
        self.kernel = getattr(self.layer, names[0])
        self.kernel_shape = self.kernel.shape
        self.vector_u = self.add_weight(
            shape=(1, self.kernel.shape[-1]), initializer=initializers.TruncatedNormal(stddev=0.02), trainable=False,
            name="vector_u", dtype=self.kernel.dtype,
        )  # fmt: skip

    def call(self, inputs, training=False):
        if training:
            vector_u, kernel = self.normalized_weights()
            self.vector_u.assign(ops.cast(vector_u, self.vector_u.dtype))
            self.kernel.assign(ops.cast(kernel, self.kernel.dtype))
        output = self.layer(inputs)
        return ops.cast(output, inputs.dtype)

    def normalized_weights(self):
        """Return the new singular vector and the kernel divided by its singular value."""
        matrix = ops.reshape(self.kernel, (-1, self.kernel.shape[-1]))
        u = ops.convert_to_tensor(self.vector_u)
        for _ in range(self.power_iterations):
            v = ops.normalize(ops.matmul(u, ops.transpose(matrix)), axis=None)
            u = ops.normalize(ops.matmul(v, matrix), axis=None)
        u, v = ops.stop_gradient(u), ops.stop_gradient(v)
        largest = ops.matmul(ops.matmul(v, matrix), ops.transpose(u))
        return u, ops.reshape(ops.divide(self.kernel, largest), self.kernel.shape)
