"""The primitive operations that a framework supplies: all that multikeras knows of it.

A primitive is strict. It receives native tensors of one already promoted dtype, complete
arguments and axes in range (negative ones too), and validates nothing: `multikeras.ops` has done
so. It neither promotes nor casts unless its contract says so. Dtypes are names ("float32").
Shapes are tuples whose entries may be ints, -1 where said, or what `shape` returned for a size
known only when a TensorFlow graph runs.

`Backend` also carries every composite of `multikeras.ops` as a method: `B.softmax(x, axis)` is the
definition in `ops/`, or a backend's faster override of it. See docs/adding_a_backend.md.
"""

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

import numpy as np

from multikeras.backend import memory

Array = Any  # a native tensor
Unary = Callable[[Any], Any]
Binary = Callable[[Any, Any], Any]
Tree = Any  # nested dicts, lists and tuples of tensors
Axes = int | tuple[int, ...] | None


class PlainModule:
    """The base of layers under a framework that has no modules of its own."""

    hooked: ClassVar[bool] = False
    """Whether the framework does something around calls of this layer: `hooked_call` makes these."""

    def hooked_call(self, *args: Any, **kwargs: Any) -> Any:
        """Call the layer, and what the framework does around it."""
        raise NotImplementedError

    def hold(self, name: str, tensor: Any) -> bool:
        """Take a native variable that became attribute `name` for a weight; tell whether it is read from elsewhere now."""
        return False


class Backend:
    """Every primitive with its contract."""

    name: ClassVar[str]
    Tensor: ClassVar[type]
    """The native class of a concrete tensor: `type(x) is B.Tensor` is the test of the fast path."""
    fast_types: ClassVar[tuple[type, ...]] = ()
    """Further classes of concrete tensors that ops take as they are: what `Variable.value` gives, say."""
    tensor_types: ClassVar[tuple[type, ...]]
    """Every class that counts as a native tensor (tracers, subclasses, native variables)."""
    native_inexact: ClassVar[frozenset] = frozenset()
    """The native dtypes, as `x.dtype` gives them, that are floating or complex."""
    Module: ClassVar[type] = PlainModule
    """The base class of `Layer`: what the framework's own tools (optimizers, savers) expect."""
    hooks_of_all: ClassVar[tuple[Any, Any, Any, Any]] = ((), (), (), ())
    """What the framework does around calls of every module: nothing as long as these are empty."""
    Saved: ClassVar[type] = PlainModule
    """The base class of `Optimizer`: what the framework's own savers expect of an object that has `variables`."""
    VariableBase: ClassVar[type] = object
    """The base class of `Variable`: the protocol by which native functions accept one."""

    compiling: ClassVar[Callable[[], bool]] = staticmethod(lambda: False)
    """Tells whether the framework's compiler reads the Python that runs, instead of being handed what it does."""

    has_values: ClassVar[bool] = True
    """Whether tensors hold numbers (False: shapes and dtypes alone)."""
    supports_gradients: ClassVar[bool] = True
    takes_numbers: ClassVar[frozenset] = frozenset()
    """Ops of three tensors whose method takes Python numbers for the last two, beside a floating tensor."""
    saturating_casts: ClassVar[bool] = False
    """Whether `cast` makes 0 of NaN, and the nearest integer of floats out of range."""
    supports_sparse: ClassVar[bool] = False
    """Whether the framework has sparse tensors, made of the parts that `sparse_parts` returns."""
    compiles_by_default: ClassVar[bool] = True
    """What `jit_compile="auto"` of a model comes to."""
    results_with_steps: ClassVar[bool] = False
    """Whether `repeat` computes its `result` together with the steps, rather than a program of its own."""
    variables_in_place: ClassVar[bool] = False
    """Whether `assign` changes the native store (else it returns a new one, and `jit` lifts variables)."""
    traces: ClassVar[bool] = True
    """Whether `jit` runs Python once for many calls, so that Python values are frozen into it."""

    projects_in_loops: bool = False
    """Whether a loop over time is faster where each step multiplies its inputs by the kernel than after one product of all."""

    key_dtype: ClassVar[str] = "uint32"
    """The dtype of random keys and of the words of the portable stream: "uint32", or "int64" without kernels for it."""

    widens_to_64_bits: ClassVar[bool] = True
    """Whether dtypes of 32 bits may promote to one of 64 (False where 64 bits come only when asked for)."""
    unsigned_arithmetic: ClassVar[bool] = True
    """Whether uint16, uint32 and uint64 can be added and multiplied (False: sums of uint8 are int32)."""

    # Elementwise, one argument: any shape; dtype kept. Floating functions receive floating or complex dtypes.
    # isfinite and isnan return bool; real and imag of a complex tensor return its float dtype; `round` goes to even.
    abs: Unary
    negative: Unary
    sign: Unary
    floor: Unary
    ceil: Unary
    round: Unary
    exp: Unary
    expm1: Unary
    log: Unary
    log1p: Unary
    sqrt: Unary
    sin: Unary
    cos: Unary
    tan: Unary
    sinh: Unary
    cosh: Unary
    tanh: Unary
    arcsin: Unary
    arccos: Unary
    arctan: Unary
    arcsinh: Unary
    arccosh: Unary
    arctanh: Unary
    erf: Unary
    erfc: Unary
    erfinv: Unary
    isfinite: Unary
    isnan: Unary
    bitwise_not: Unary
    real: Unary
    imag: Unary
    conj: Unary

    # Elementwise, two arguments of one dtype, shapes that broadcast; dtype kept, bool for equal and less.
    # `add` of bools is or, `multiply` of bools is and. `divide` receives inexact dtypes. `floor_divide` and `mod` round
    # towards minus infinity (sign of the divisor). `maximum` and `minimum` hand NaN on. `right_shift` is arithmetic.
    # Derivatives: a half each of equals in `maximum` and `minimum`, 0 of `abs` at 0, of x**0 and of `arctan2` of zeros.
    # `complex(re, im)` returns the complex dtype of two floats. Bitwise functions receive bools and integers.
    add: Binary
    subtract: Binary
    multiply: Binary
    divide: Binary
    floor_divide: Binary
    mod: Binary
    power: Binary
    maximum: Binary
    minimum: Binary
    arctan2: Binary
    equal: Binary
    less: Binary
    bitwise_and: Binary
    bitwise_or: Binary
    bitwise_xor: Binary
    left_shift: Binary
    right_shift: Binary
    nextafter: Binary
    gammainc: Binary
    complex: Binary

    # -- tensors ---------------------------------------------------------------------------------------------------

    def asarray(self, x: Any, dtype: str | None = None) -> Array:
        """Return `x` as a native tensor on the current device.

        `x` may be a native tensor, numpy array, Python scalar, (nested) sequence of these, a `Variable`
        (its value) or a tensor of another framework (by DLPack or numpy). Without `dtype` an array keeps its dtype (also
        float64 and int64); Python floats become `floatx`, ints int32, bools bool.
        """
        raise NotImplementedError

    def to_numpy(self, x: Array) -> Any:
        """Return a numpy array (ml_dtypes for bfloat16 and float8), detached from gradients, on the host."""
        raise NotImplementedError

    def cast(self, x: Array, dtype: str) -> Array:
        """Convert to `dtype`: floats truncate to integers, complex drops its imaginary part, non-zero is True."""
        raise NotImplementedError

    def bitcast(self, x: Array, dtype: str) -> Array:
        """Reinterpret the bytes as `dtype`; the last dimension grows or shrinks by the ratio of sizes, as in numpy."""
        raise NotImplementedError

    def shape(self, x: Array) -> tuple:
        """Return the shape: ints, and scalar int32 tensors for sizes that only the running graph knows."""
        raise NotImplementedError

    def dtype(self, x: Array) -> str:
        """Return the name of the dtype."""
        raise NotImplementedError

    def is_tensor(self, x: Any) -> bool:
        """Tell whether `x` is a native tensor (or tracer) of this backend."""
        return isinstance(x, self.tensor_types)

    def full(self, shape: tuple, value: Any, dtype: str) -> Array:
        """Return a tensor filled with `value`, a Python scalar or scalar tensor."""
        raise NotImplementedError

    def arange(self, start: Any, stop: Any, step: Any, dtype: str) -> Array:
        """Return start, start + step, ... below stop."""
        raise NotImplementedError

    def where(self, condition: Array, x: Array, y: Array) -> Array:
        """Choose from `x` where the bool `condition` holds, else from `y`; the three broadcast."""
        raise NotImplementedError

    def unstacked(self, x: Array) -> list[Array]:
        """Return the slices of `x` along its first axis."""
        return [self.getitem(x, i) for i in range(x.shape[0])]

    # -- sparse tensors, where the framework has them --------------------------------------------------------------

    after_fork: ClassVar[Callable[[], None] | None] = None
    """What a forked process does first; None where the framework does not survive a fork."""

    sparse_batches: ClassVar[bool] = False
    """Whether one compiled step takes sparse tensors of any number of entries."""

    def is_ragged(self, x: Any) -> bool:
        """Tell whether `x` is a tensor of rows of different lengths: `cast` and `concatenate` take it, `asarray` pads it."""
        return False

    def is_sparse(self, x: Any) -> bool:
        """Tell whether `x` is a sparse tensor of the framework."""
        return False

    def sparse_parts(self, x: Any, distinct: bool = True) -> tuple[Array, Array, tuple] | None:
        """Return indices (entries, depth), values (entries, *shape[depth:]) and shape; None if they cannot be told.

        If `distinct`, no two indices of values other than zero are equal; else values of equal indices are to be added.
        """
        raise TypeError(f"{self.name} has no sparse tensors.")

    def sparse(self, indices: Array, values: Array, shape: tuple, in_order: bool = True) -> Any:
        """Return the sparse tensor of these parts, whose indices differ and, if `in_order`, go up."""
        raise TypeError(f"{self.name} has no sparse tensors.")

    def coalesced(self, indices: Array, values: Array, shape: tuple) -> tuple[Array, Array]:
        """Return different indices that go up, and the sums of the values that belong to them."""
        raise TypeError(f"{self.name} has no sparse tensors.")

    def sparse_matmul(self, x: Any, y: Any) -> Any:
        """Multiply matrices of which one at least is sparse; None to have them multiplied as dense ones."""
        raise TypeError(f"{self.name} has no sparse tensors.")

    # -- reduce, order ---------------------------------------------------------------------------------------------

    def sum(self, x: Array, axis: Axes = None, keepdims: bool = False) -> Array:
        """Sum over one axis, several, or all (None); dtype kept."""
        raise NotImplementedError

    def prod(self, x: Array, axis: Axes = None, keepdims: bool = False) -> Array:
        """Multiply over axes; dtype kept."""
        raise NotImplementedError

    def max(self, x: Array, axis: Axes = None, keepdims: bool = False) -> Array:
        """Return the largest entries; NaN wins. Gradients are shared evenly by ties. Bools are allowed."""
        raise NotImplementedError

    def min(self, x: Array, axis: Axes = None, keepdims: bool = False) -> Array:
        """Return the smallest entries; NaN wins. Bools are allowed."""
        raise NotImplementedError

    def argmax(self, x: Array, axis: int) -> Array:
        """Return the int32 index of the first largest entry, of the first NaN if there is one."""
        raise NotImplementedError

    def argmin(self, x: Array, axis: int) -> Array:
        """Return the int32 index of the first smallest entry, of the first NaN if there is one."""
        raise NotImplementedError

    def cumsum(self, x: Array, axis: int) -> Array:
        """Sum along `axis` up to each entry; dtype kept."""
        raise NotImplementedError

    def cumprod(self, x: Array, axis: int) -> Array:
        """Multiply along `axis` up to each entry; dtype kept."""
        raise NotImplementedError

    def sort(self, x: Array, axis: int) -> Array:
        """Sort upwards, NaN last."""
        raise NotImplementedError

    def argsort(self, x: Array, axis: int) -> Array:
        """Return int32 indices that sort upwards, stably, NaN last."""
        raise NotImplementedError

    def top_k(self, x: Array, k: int) -> tuple[Array, Array]:
        """Return the `k` largest along the last axis, downwards, and their int32 indices (first of ties first)."""
        raise NotImplementedError

    # -- move ------------------------------------------------------------------------------------------------------

    def reshape(self, x: Array, shape: tuple) -> Array:
        """Give the entries another shape; one size may be -1."""
        raise NotImplementedError

    def transpose(self, x: Array, axes: Sequence[int]) -> Array:
        """Permute the dimensions."""
        raise NotImplementedError

    def broadcast_to(self, x: Array, shape: tuple) -> Array:
        """Repeat along size-1 and missing leading dimensions."""
        raise NotImplementedError

    def concatenate(self, xs: Sequence[Array], axis: int) -> Array:
        """Join along an existing axis."""
        raise NotImplementedError

    def pad(self, x: Array, widths: Sequence[tuple[int, int]], mode: str = "constant", value: Any = 0) -> Array:
        """Pad each dimension by (low, high), neither negative; mode "constant", "reflect" or "symmetric" of any width."""
        raise NotImplementedError

    def flip(self, x: Array, axis: Sequence[int]) -> Array:
        """Reverse the order along the axes."""
        raise NotImplementedError

    def expand_dims(self, x: Array, axis: int) -> Array:
        """Insert a dimension of size 1 before `axis`."""
        raise NotImplementedError

    def squeeze(self, x: Array, axis: Sequence[int]) -> Array:
        """Drop the named dimensions of size 1."""
        raise NotImplementedError

    # -- index -----------------------------------------------------------------------------------------------------

    def getitem(self, x: Array, key: Any) -> Array:
        """Index as numpy does: ints, slices (negative steps too), None, Ellipsis, integer and bool tensors."""
        raise NotImplementedError

    def take(self, x: Array, indices: Array, axis: int) -> Array:
        """Gather along `axis` by integer indices in range and not negative; their shape replaces the dimension."""
        raise NotImplementedError

    def surely_in_range(self, indices: Array, size: int) -> bool:
        """Tell whether all of these integers are seen to be in 0 ... size - 1; False where to look is dear."""
        return False

    def take_along_axis(self, x: Array, indices: Array, axis: int) -> Array:
        """Gather entry by entry; `indices` has the rank of `x`, in range and not negative; other dimensions broadcast."""
        raise NotImplementedError

    def scatter(self, x: Array, indices: Array, updates: Array, how: str = "set") -> Array:
        """Return `x` with `updates` written at `indices`.

        `indices` is (..., k), an index into the first k dimensions; `updates` is (..., rest of x.shape).
        `how` is "set" (the last of duplicates wins where the framework orders them), "add", "multiply", "max" or "min".
        Indices outside are dropped.
        """
        raise NotImplementedError

    def slice(self, x: Array, start: Sequence[Any], sizes: Sequence[int]) -> Array:
        """Cut out a block; `start` may hold scalar tensors. A start too large is moved back so that the block fits."""
        raise NotImplementedError

    def slice_update(self, x: Array, start: Sequence[Any], updates: Array) -> Array:
        """Return `x` with the block at `start` replaced; `start` is moved back as in `slice`."""
        raise NotImplementedError

    def searchsorted(self, sorted_sequence: Array, values: Array, side: str) -> Array:
        """Return int32 insertion points into a 1-D sorted tensor, before ("left") or after ("right") equals."""
        raise NotImplementedError

    def nonzero(self, x: Array) -> tuple[Array, ...]:
        """Return one int32 index tensor a dimension. Not in a JAX trace: the size depends on values."""
        raise NotImplementedError

    def unique(self, x: Array) -> tuple[Array, Array, Array, Array]:
        """Return sorted values, first indices, inverse and counts (int32) of a 1-D tensor. Not in a JAX trace."""
        raise NotImplementedError

    # -- contract --------------------------------------------------------------------------------------------------

    def matmul(self, x: Array, y: Array) -> Array:
        """Multiply matrices as numpy's `matmul`: vectors and broadcast leading dimensions; any dtype, dtype kept."""
        raise NotImplementedError

    def einsum(self, subscripts: str, *xs: Array) -> Array:
        """Sum products as numpy's `einsum` with an explicit output; any dtype, dtype kept."""
        raise NotImplementedError

    def conv(self, x: Array, kernel: Array, strides: tuple[int, ...], padding: Any, dilation: tuple[int, ...],
             groups: int, data_format: str) -> Array:  # fmt: skip
        """Correlate `x` with `kernel` over 1, 2 or 3 spatial dimensions.

        `x`: (batch, *spatial, channels) or, channels first, (batch, channels, *spatial). `kernel`:
        (*window, channels // groups, filters). `padding`: "valid", "same" (the odd one goes to the end) or a pair of
        ints for each spatial dimension. Strides and dilation may both differ from 1.
        """
        raise NotImplementedError

    def conv_plus(self, x: Array, kernel: Array, bias: Array, strides: tuple[int, ...], padding: Any,
                  dilation: tuple[int, ...], groups: int, data_format: str) -> Array:  # fmt: skip
        """Return `conv` plus an entry of the vector `bias` for each filter."""
        y = self.conv(x, kernel, strides, padding, dilation, groups, data_format)
        return self.add(y, self.reshape(bias, (-1,) + (1,) * len(strides) if data_format == "channels_first" else (-1,)))

    def conv_transpose(self, x: Array, kernel: Array, strides: tuple[int, ...], padding: str,
                       output_padding: tuple[int | None, ...], dilation: tuple[int, ...],
                       data_format: str) -> Array:  # fmt: skip
        """Correlate with `x` spread out by strides: the transpose of `conv`.

        `kernel`: (*window, filters, channels of x). `padding`: "valid" or "same". Sizes are those of
        `shapes.transposed_size`.
        """
        raise NotImplementedError

    def max_pool(self, x: Array, window: tuple[int, ...], strides: tuple[int, ...], padding: Any, data_format: str) -> Array:
        """Take the maximum of each window; padding ("valid", "same" or pairs) never wins."""
        raise NotImplementedError

    def average_pool(self, x: Array, window: tuple[int, ...], strides: tuple[int, ...], padding: Any,
                     data_format: str) -> Array:  # fmt: skip
        """Take the mean of each window over its entries that are not padding."""
        raise NotImplementedError

    # -- linear algebra, Fourier -----------------------------------------------------------------------------------

    def cholesky(self, x: Array) -> Array:
        """Return lower L with L L^H = x, over leading dimensions; ValueError or NaN if x is not positive definite."""
        raise NotImplementedError

    def qr(self, x: Array, mode: str) -> tuple[Array, Array]:
        """Return Q and R; mode "reduced" or "complete"."""
        raise NotImplementedError

    def svd(self, x: Array, full_matrices: bool) -> tuple[Array, Array, Array]:
        """Return U, the singular values downwards, V^H."""
        raise NotImplementedError

    def eigh(self, x: Array) -> tuple[Array, Array]:
        """Return eigenvalues upwards and eigenvectors (columns) of a Hermitian matrix."""
        raise NotImplementedError

    def eig(self, x: Array) -> tuple[Array, Array]:
        """Return complex eigenvalues and eigenvectors (columns) of a square matrix."""
        raise NotImplementedError

    def solve(self, a: Array, b: Array) -> Array:
        """Return x with a x = b; `b` is a matrix with the leading dimensions of `a`."""
        raise NotImplementedError

    def solve_triangular(self, a: Array, b: Array, lower: bool) -> Array:
        """Return x with a x = b for a triangular `a`; `b` is a matrix with the leading dimensions of `a`."""
        raise NotImplementedError

    def lu_factor(self, x: Array) -> tuple[Array, Array]:
        """Return L and U in one matrix and the int32 pivots (row exchanged with each row, from 0)."""
        raise NotImplementedError

    def slogdet(self, x: Array) -> tuple[Array, Array]:
        """Return sign and logarithm of the absolute value of the determinant."""
        raise NotImplementedError

    def fft(self, x: Array) -> Array:
        """Return the discrete Fourier transform of a complex tensor along the last axis."""
        raise NotImplementedError

    def rfft(self, x: Array, n: int) -> Array:
        """Return the n // 2 + 1 complex terms of a real tensor's transform; cuts or zero-pads the last axis to n."""
        raise NotImplementedError

    def irfft(self, x: Array, n: int) -> Array:
        """Return the n real values whose `rfft` is `x`, scaled by 1 / n; cuts or zero-pads the last axis to n // 2 + 1."""
        raise NotImplementedError

    # -- random: a key is a `key_dtype` tensor of shape (2,) (seed, counter); the same key, the same draw ---

    def random_uniform(self, key: Array, shape: tuple, dtype: str) -> Array:
        """Draw from [0, 1)."""
        raise NotImplementedError

    def random_normal(self, key: Array, shape: tuple, dtype: str) -> Array:
        """Draw from the normal distribution of mean 0 and deviation 1."""
        raise NotImplementedError

    def random_randint(self, key: Array, shape: tuple, low: Any, high: Any, dtype: str) -> Array:
        """Draw integers from [low, high), scalars or tensors that broadcast to `shape`."""
        raise NotImplementedError

    def random_halves(self, key: Array, shape: tuple) -> Array:
        """Draw all 16 bits of whole numbers, from [-2**15, 2**15), in any dtype: two of them are one random word."""
        return self.random_randint(key, shape, -(2**15), 2**15, "int32")

    def random_gamma(self, key: Array, shape: tuple, alpha: Array, dtype: str) -> Array:
        """Draw from the gamma distribution of shape parameter `alpha` (broadcasts) and scale 1."""
        raise NotImplementedError

    def random_binomial(self, key: Array, shape: tuple, counts: Array, probabilities: Array, dtype: str) -> Array:
        """Draw the number of successes; arguments broadcast to `shape`."""
        raise NotImplementedError

    # -- control: trees in, trees out ------------------------------------------------------------------------------

    def cond(self, predicate: Array, true_fn: Callable[[], Tree], false_fn: Callable[[], Tree]) -> Tree:
        """Run one of two functions; both give trees of the same structure, shapes and dtypes. They may write Variables."""
        raise NotImplementedError

    def while_loop(self, condition: Callable, body: Callable, state: tuple, maximum_iterations: int | None) -> tuple:
        """Run `state = body(*state)` (a tuple) while `condition(*state)`. Body may write Variables."""
        raise NotImplementedError

    def scan(
        self, f: Callable, init: Tree, xs: Tree, length: int | None, reverse: bool = False, unroll: int = 1
    ) -> tuple[Tree, Tree]:
        """Run `carry, y = f(carry, x)` over the leading axis of `xs` (None: `length` times); return carry and stacked ys."""
        raise NotImplementedError

    def vectorized_map(self, f: Callable[[Tree], Tree], xs: Tree) -> Tree:
        """Map `f` over the leading axis of all leaves of `xs` at once."""
        raise NotImplementedError

    def stop_gradient(self, x: Array) -> Array:
        """Return `x` as a constant to differentiation."""
        raise NotImplementedError

    def custom_gradient(self, f: Callable) -> Callable:
        """Give `f` its own derivative: `f(*args)` returns `(output, grad)`, `grad(*args, upstream=None)` the gradients."""
        raise NotImplementedError

    def remat(self, f: Callable) -> Callable:
        """Compute `f` again in the backward pass instead of keeping what it computed."""
        raise NotImplementedError

    # -- programs: functions that may read and write Variables as ordinary Python ----------------------------------

    def value_and_grad(
        self, f: Callable, variables: Sequence[Any], has_aux: bool = False, rows: bool = False
    ) -> Callable:
        """Return a function that computes `f` and its gradients with respect to `variables`.

        `f(*args)` returns a scalar, with `has_aux` a pair (scalar, tree). The result returns (what f returned,
        list of gradients as native tensors, None (or zeros where the framework cannot tell) for a variable that the
        scalar does not depend on).
        Other Variables that `f` writes are written when it returns. Usable inside itself (second order) and `jit`.
        `rows`: whether the gradient of a variable whose rows were taken may be a sparse tensor of rows.
        """
        raise NotImplementedError

    def vjp(self, f: Callable, xs: Sequence[Array]) -> tuple[Tree, Callable[[Tree], list[Array]]]:
        """Return `f(*xs)`, a tree, and the function from its cotangents to those of each of `xs` (zeros if none)."""
        raise NotImplementedError

    def jvp(self, f: Callable, xs: Sequence[Array], tangents: Sequence[Array]) -> tuple[Tree, Tree]:
        """Return `f(*xs)` and its derivative in the direction of `tangents`."""
        raise NotImplementedError

    def jit(
        self, f: Callable, variables: Sequence[Any] | None = None, compile: bool | str = "auto", pure: bool = False
    ) -> Callable:
        """Return `f` compiled, traced again for other shapes.

        Arguments and results are trees of tensors and other hashable leaves (which are static). `variables` are those
        `f` may read and write; None: found out by tracing. `compile`: True for the framework's strongest compiler (XLA,
        inductor), False for none beyond tracing, "auto" for what usually pays. `pure`: whether `f` does the same
        computation on `variables` each time, so that Python need not run it where that would be usual.
        """
        raise NotImplementedError

    def argument(self, x: Any) -> Any:
        """Return what a function made by `jit` takes for the tensor of the array `x`, whatever costs least."""
        return self.asarray(x)

    def repeat(
        self, step: Callable, variables: Sequence[Any], compile: bool | str = "auto", pure: bool = False,
        done: int | None = None, result: Callable | None = None,
    ) -> Callable:  # fmt: skip
        """Return a function `run(xs, start, stop, *shared)` of many steps in one dispatch.

        It calls `step(x, *shared)` for the slices `start` to `stop - 1`, Python ints, along the leading axis of the tree
        `xs`; None leaves are allowed. `step` writes `variables`, its result is dropped; something to `synchronize` on is
        returned. Backends that gain nothing loop in Python.

        A `pure` step does nothing but compute on tensors, the same each time: what it did once may be repeated without
        asking Python again, also by a framework that otherwise runs it each time. `done`: how many such steps made `variables`
        what they are; a compiler that takes long may leave out the first ones, the same in a run that was interrupted.
        Where `results_with_steps`, the same dispatch computes `result()` after the last step, which is then what is returned.
        """
        raise NotImplementedError

    def map_batches(self, f: Callable, variables: Sequence[Any]) -> Callable | None:
        """Return a function `run(xs, first, count, size, like)`: `f(x)` for `count` batches of the tree `xs` in one dispatch.

        A batch are `size` rows, the first of all is row `first`. `f` does nothing but compute on tensors and may write
        `variables`; `like` is what it gives for a batch. The results of all batches are joined along the leading axis; None,
        from here or from `run`, says that calling `f` for each batch is as good.
        """
        return None

    def no_gradients(self) -> AbstractContextManager:
        """Keep nothing for a backward pass inside a `with` block."""
        return nullcontext()

    def eval_shape(self, f: Callable, *specs: Tree) -> Tree:
        """Return the Specs of `f(*specs)` by the framework's own abstract evaluation; unknown sizes stay None.

        Every leaf of `specs` that is a `Spec` is a tensor, others are passed as they are. Writes to Variables are dropped.
        """
        raise NotImplementedError

    # -- devices, variables ----------------------------------------------------------------------------------------

    def device_scope(self, device: str) -> AbstractContextManager:
        """Place new tensors on "cpu:0", "gpu:1" ... inside a `with` block; ValueError listing devices if it is not there."""
        raise NotImplementedError

    def devices(self, kind: str | None = None) -> list[str]:
        """Return the names of the devices, of one kind if told: "cpu:0", "gpu:0", ..."""
        raise NotImplementedError

    def synchronize(self, tree: Tree) -> None:
        """Wait until the tensors of `tree` are computed."""

    def observe(self, x: Array, see: Callable[[Any], None]) -> None:
        """Call `see` with `x` as a numpy array once its value is known, which may be after this returns."""
        see(self.to_numpy(x))

    def observed(self, x: Array, see: Callable[[Any], None], see_gradient: Callable[[Any], None]) -> Array:
        """Return `x`; call `see` with its value and `see_gradient` with the gradient that comes back for it."""

        def identity(x):
            def gradient(upstream):
                self.observe(upstream, see_gradient)
                return upstream

            self.observe(x, see)
            return x, gradient

        return self.custom_gradient(identity)(x)

    def finish_observing(self) -> None:
        """Wait until `observe` has shown all it was given."""

    def make_variable(
        self, value: Array, trainable: bool, name: str, aggregation: str = "none", synchronization: str = "auto"
    ) -> Any:
        """Return the native store of a new variable holding `value`.

        `aggregation` and `synchronization` say how replicas combine it, where the framework has replicas.
        """
        raise NotImplementedError

    def set_trainable(self, store: Any, trainable: bool) -> None:
        """Tell a native store whether gradients are taken with respect to it."""

    def copy_tensor(self, x: Array) -> Array:
        """Return a tensor of its own memory, detached from any gradient."""
        return x

    def outside_trace(self, f: Callable[[], Array]) -> Array:
        """Run `f` eagerly even where a compiled function is being traced: initial values of variables."""
        return f()

    def read(self, store: Any) -> Array:
        """Return the tensor in a native store."""
        return store

    def assign(self, store: Any, value: Array) -> Any:
        """Write `value` (same shape and dtype) into a native store without a gradient; return the store to keep."""
        raise NotImplementedError

    def add_rows(self, store: Any, indices: Array, values: Array) -> Any:
        """Add to rows of a native store, once for each time that an index occurs; return the store to keep."""
        return self.assign(store, self.scatter(self.read(store), self.expand_dims(indices, 1), values, "add"))

    def adopt(self, array: np.ndarray) -> Array:
        """Return the tensor of an array that nobody else reads or writes from now on: on its memory where that works."""
        return self.asarray(array)

    def lend(self, array: np.ndarray) -> Any:
        """Return what a function made by `repeat` takes for an array that nobody writes before it ran."""
        return self.adopt(array)

    def peek(self, store: Any) -> np.ndarray:
        """Return the value of a native store as an array to read at once, on its memory where that works."""
        return self.to_numpy(self.read(store))

    def fill(self, store: Any, shape: tuple[int, ...], dtype: str, read: Callable[[np.ndarray], None]) -> Any:
        """Write what `read(array)` puts into an array of this shape and dtype into a store; return the store to keep."""
        array = memory.blank(shape, dtype)
        read(array)
        return self.assign(store, self.adopt(array))

    bind_face: ClassVar[Callable] = staticmethod(functools.partial)
    """Binds a public spelling of a primitive, a function of the backend and its arguments, to the backend."""

    hashable_shapes: ClassVar[bool] = True
    """Whether `(x.dtype, x.shape)` of a concrete tensor is hashable and cheap."""

    def register(self, module: Any, name: str, value: Any) -> None:
        """Tell the native module of a layer, or an optimizer, that `name` became a Variable, layer or metric."""

    def unregister(self, module: Any, name: str) -> None:
        """Tell the native module of a layer that attribute `name` is gone."""

    def register_all(self, module: Any, named: Any) -> None:
        """Register every (dotted name, variable or layer) of `named` that `register` has not seen, lists unrolled."""
        for name, value in list(named):
            self.register(module, name, value)

    def seed(self, seed: int) -> None:
        """Seed the framework's own global generator, where it has one."""

    def profiler(self, folder: str) -> Any:
        """Return a context that records a profile into a folder of TensorBoard; RuntimeError where none can be made."""
        raise RuntimeError(f"the {self.name} backend has no profiler")

    def device_memory(self) -> int | None:
        """Return the most bytes of an accelerator that were in use so far, None without one."""
        return None

    # -- replicas: steps that the framework's own strategies spread over devices ----------------------------------------

    def replicas(self) -> Any:
        """Return what runs the steps of a model made here as several replicas, None outside of any strategy.

        It has `scope()`, the context to make variables in, and `step(function, result, rows)`, a function of whole batches.
        """
        return None

    def number_of_replicas(self) -> int:
        """Return how many replicas share the loss that is computed here."""
        return 1

    def sum_over_replicas(self, xs: list) -> list:
        """Return the sums of each tensor over the replicas, as they are where there is but one."""
        return xs

    def whole_batches(self, data: Any) -> Any:
        """Return an iterable of whole batches for a data set that is spread over replicas, other data as they are."""
        return data

    # -- bridges: programs written in the framework itself, used as layers ---------------------------------------------

    bridges: ClassVar[frozenset[str]] = frozenset()
    """What can be used: "jax" (functions of JAX), "torch" (modules), "saved_model" (files of TensorFlow)."""
    native_modules: ClassVar[tuple[type, ...]] = ()
    """The framework's own classes of modules: an attribute of a layer that is one becomes a layer."""
    native_weights: ClassVar[tuple[type, ...]] = ()
    """Classes of what a module of the framework holds by name: `Module.hold` takes an attribute that is one."""

    def map_leaves(self, f: Callable, *trees: Tree) -> Tree:
        """Map over the leaves of trees of any kind registered with the framework ("jax")."""
        raise NotImplementedError

    def pack_module(self, module: Any) -> bytes:
        """Return a module and its parameters as bytes ("torch")."""
        raise NotImplementedError

    def unpack_module(self, data: bytes) -> Any:
        """Return the module in trusted bytes: this may run any code in them ("torch")."""
        raise NotImplementedError

    def load_endpoints(self, path: str) -> tuple[Any, dict[str, tuple[Callable, list]]]:
        """Return what a directory holds, to be kept alive, and its functions by name with their stores ("saved_model")."""
        raise NotImplementedError
