"""`Input` and `InputLayer`: where a model under construction begins."""

import warnings
from typing import Any

from multikeras.backend import current, dtypes
from multikeras.core.node import KerasTensor, Node, standardize_shape
from multikeras.layers.input_spec import InputSpec
from multikeras.layers.layer import Layer


class InputLayer(Layer):
    """The node of a graph that stands for data to come; use `Input` to get its tensor.

    Args:
        shape: Sizes without the batch.
        batch_size: Size of the batch, None for any.
        dtype: Dtype of the data.
        sparse, ragged: Whether the data is sparse or ragged, where the backend has such tensors.
        batch_shape: Sizes with the batch, instead of `shape` and `batch_size`.
        input_tensor: A KerasTensor to use instead of a new one.
        optional: Whether None may be given instead of data.
    """

    def __init__(
        self,
        shape: Any = None,
        batch_size: int | None = None,
        dtype: Any = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: Any = None,
        input_tensor: Any = None,
        optional: bool = False,
        name: str | None = None,
        **kwargs: Any,
    ):
        if "input_shape" in kwargs:
            warnings.warn("Argument `input_shape` is deprecated. Use `shape` instead.", stacklevel=2)
            shape = kwargs.pop("input_shape")
        if kwargs.pop("batch_input_shape", None) is not None:
            raise ValueError("InputLayer: batch_input_shape is now called batch_shape.")
        super().__init__(name=name, **kwargs)
        if input_tensor is not None:
            output = _checked_tensor(input_tensor, shape, batch_size, dtype, sparse, batch_shape)
            batch_shape, dtype = output.shape, output.dtype
            sparse, ragged = output.sparse, output.ragged
        else:
            batch_shape = _whole_shape(shape, batch_size, batch_shape)
            dtype = dtypes.standardize_dtype(dtype)
            for kind, wanted in (("sparse", sparse), ("ragged", ragged)):
                if wanted and not getattr(current, f"supports_{kind}", False):
                    raise ValueError(f"InputLayer: `{kind}=True` is not supported with the {current.name} backend.")
            if sparse and ragged:
                raise ValueError("InputLayer: sparse and ragged cannot both be True.")
            output = KerasTensor(batch_shape, dtype, sparse=bool(sparse), ragged=bool(ragged), name=self.name)
        self.batch_shape = batch_shape
        self.sparse, self.ragged, self.optional = bool(sparse), bool(ragged), optional
        self._dtype = dtype
        self.built = type(self).build is Layer.build
        Node(self, outputs=output)
        self.input_spec = InputSpec(shape=batch_shape, dtype=None, optional=optional, name=self.name)

    def call(self):
        return None

    @property
    def dtype(self) -> str:
        """The dtype of the data."""
        return self._dtype

    def _was_cast(self, dtype: str) -> None:
        self._dtype = self._inbound_nodes[0].outputs[0].dtype = dtype

    def get_config(self) -> dict:
        names = ("batch_shape", "dtype", "sparse", "ragged", "name", "optional")
        return {name: getattr(self, name) for name in names}


def _whole_shape(shape: Any, batch_size: int | None, batch_shape: Any) -> tuple:
    if batch_shape is None and shape is None:
        raise ValueError("Input: you must pass a `shape` argument.")
    if batch_shape is not None and shape is not None:
        raise ValueError(f"Input: you cannot pass both `shape` and `batch_shape`, got {shape} and {batch_shape}.")
    if batch_shape is not None and batch_size is not None:
        raise ValueError(
            f"Input: you cannot pass both `batch_size` and `batch_shape`, got {batch_size} and "
            f"{batch_shape}."
        )
    return standardize_shape(batch_shape) if batch_shape is not None else (batch_size, *standardize_shape(shape))


def _checked_tensor(tensor: Any, shape: Any, batch_size: Any, dtype: Any, sparse: Any, batch_shape: Any) -> KerasTensor:
    """Return `tensor`, refusing one that contradicts the other arguments."""
    if not isinstance(tensor, KerasTensor):
        raise ValueError(
            f"Argument `input_tensor` must be a KerasTensor, got {tensor!r} of type "
            f"{type(tensor).__name__}."
        )
    given: dict[str, tuple] = {
        "batch_size": (batch_size, tensor.shape[0] if tensor.shape else None),
        "shape": (None if shape is None else standardize_shape(shape), tensor.shape[1:]),
        "batch_shape": (None if batch_shape is None else standardize_shape(batch_shape), tensor.shape),
        "dtype": (None if dtype is None else dtypes.standardize_dtype(dtype), tensor.dtype),
        "sparse": (sparse, tensor.sparse),
    }
    for argument, (wanted, have) in given.items():
        if wanted is not None and wanted != have:
            raise ValueError(
                f"Input: you cannot provide an incompatible `{argument}`: the tensor given has {have}, "
                f"but {argument}={wanted!r}."
            )
    return tensor


def Input(
    shape: Any = None,
    batch_size: int | None = None,
    dtype: Any = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
    batch_shape: Any = None,
    name: str | None = None,
    tensor: KerasTensor | None = None,
    optional: bool = False,
) -> KerasTensor:
    """Return the symbolic tensor that stands for data of a shape and dtype.

    Args:
        shape: Sizes without the batch; None where any will do.
        batch_size: Size of the batch, None for any.
        dtype: Dtype of the data, `floatx` by default.
        sparse, ragged: Whether the data is sparse or ragged, where the backend has such tensors.
        batch_shape: Sizes with the batch, instead of `shape` and `batch_size`.
        name: Name of the input layer.
        tensor: A KerasTensor to use instead of a new one.
        optional: Whether None may be given instead of data.

    >>> import multikeras
    >>> multikeras.Input((28, 28, 1)).shape
    (None, 28, 28, 1)
    """
    layer = InputLayer(
        shape=shape, batch_size=batch_size, dtype=dtype, sparse=sparse, ragged=ragged, batch_shape=batch_shape,
        input_tensor=tensor, optional=optional, name=name,
    )  # fmt: skip
    return layer.output
