"""What a torch user writes for the cases of `ops.py`, by name, and how torch runs them."""

import torch
import torch.nn.functional as F


def tensor(array):
    return torch.from_numpy(array)


def finish(y):
    return y


def cotangent(y):
    return torch.ones_like(y)


def gradient(call, xs, g):
    """Return a function that takes forward and backward pass."""
    xs = [x.detach().clone().requires_grad_() if x.is_floating_point() else x for x in xs]
    wanted = [x for x in xs if x.requires_grad]
    return lambda: torch.autograd.grad(call(*xs), wanted, g)


def channels_first(x):
    """Return an image or a kernel laid out as torch wants it."""
    return x.movedim(-1, 1).contiguous()


def _kernel(k):
    return k.permute(-1 % k.ndim, -2 % k.ndim, *range(k.ndim - 2)).contiguous()


def _batch_norm(x, mean, variance, gamma, beta):
    return (x - mean) * torch.rsqrt(variance + 1e-3) * gamma + beta


def _separable(x, d, p):
    return F.conv2d(F.conv2d(x, d, groups=32), p)


LAYOUT = {
    "conv1d": (channels_first, _kernel), "conv first": (channels_first, _kernel), "conv": (channels_first, _kernel),
    "depthwise_conv": (channels_first, lambda k: k.permute(2, 3, 0, 1).reshape(-1, 1, 3, 3).contiguous()),
    "separable_conv": (
        channels_first, lambda k: k.permute(2, 3, 0, 1).reshape(-1, 1, 3, 3).contiguous(), _kernel
    ),
    "conv_transpose": (channels_first, lambda k: k.permute(3, 2, 0, 1).contiguous()),
    "max_pool": (channels_first,), "average_pool": (channels_first,),
    **dict.fromkeys(("dot_product_attention", "attention causal"), (lambda x: x.transpose(1, 2).contiguous(),) * 3),
}  # fmt: skip
"""How the arguments of some cases are laid out beforehand."""

NATIVE = {
    **{name: getattr(torch, name) for name in
       "add multiply divide maximum exp log sqrt tanh sigmoid abs square where relu erf".split()},
    "power": torch.pow,
    "gelu": lambda x: F.gelu(x, approximate="tanh"), "silu": F.silu, "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "elu": F.elu, "softplus": F.softplus, "clip": lambda x: torch.clamp(x, -0.5, 0.5),
    "greater": torch.gt,
    "sum": lambda x: torch.sum(x, -1), "mean": lambda x: torch.mean(x, -1), "max": lambda x: torch.amax(x, -1),
    "var": lambda x: torch.var(x, -1, correction=0), "logsumexp": lambda x: torch.logsumexp(x, -1),
    "argmax": lambda x: torch.argmax(x, -1), "cumsum": lambda x: torch.cumsum(x, -1),
    "norm": lambda x: torch.linalg.vector_norm(x, 2, -1),
    "softmax": lambda x: torch.softmax(x, -1), "log_softmax": lambda x: torch.log_softmax(x, -1),
    "layer_normalization": lambda x, g, b: F.layer_norm(x, g.shape, g, b, 1e-5),
    "rms_normalization": lambda x, g: F.rms_norm(x, g.shape, g, 1e-7),
    "batch_normalization": _batch_norm,
    "moments": lambda x: torch.var_mean(x, 0, correction=0)[1],
    "normalize": lambda x: F.normalize(x, dim=-1),
    "reshape": lambda x: torch.reshape(x, (1024, 256)), "transpose": lambda x: torch.permute(x, (0, 2, 1)),
    "concatenate": lambda x, y: torch.concatenate([x, y], -1), "stack": lambda x, y: torch.stack([x, y]),
    "split": lambda x: torch.split(x, x.shape[-1] // 4, -1)[0], "pad": lambda x: F.pad(x, (1, 1, 1, 1)),
    "tile": lambda x: torch.tile(x, (2, 1)), "repeat": lambda x: torch.repeat_interleave(x, 2, -1),
    "expand_dims": lambda x: torch.unsqueeze(x, 1), "broadcast_to": lambda x: torch.broadcast_to(x, (8, 256, 1024)),
    "flip": lambda x: torch.flip(x, (-1,)),
    "roll": lambda x: torch.roll(x, 7, -1), "take": lambda x, i: F.embedding(i, x),
    "take_along_axis": lambda x, i: torch.take_along_dim(x, i.long(), -1),
    "one_hot": lambda i: F.one_hot(i.long(), 1000).float(),
    "slice": lambda x: x[1:-1, ::2],
    "matmul": torch.matmul, "einsum": lambda x, y: torch.einsum("bij,bjk->bik", x, y),
    "tensordot": lambda x, y: torch.tensordot(x, y, 1),
    "conv1d": lambda x, k: F.conv1d(x, k), "conv": lambda x, k: F.conv2d(x, k), "conv first": lambda x, k: F.conv2d(x, k),
    "depthwise_conv": lambda x, k: F.conv2d(x, k, groups=32), "separable_conv": _separable,
    "conv_transpose": lambda x, k: F.conv_transpose2d(x, k, stride=2, output_padding=0),
    "max_pool": lambda x: F.max_pool2d(x, 2), "average_pool": lambda x: F.avg_pool2d(x, 2),
    "dot_product_attention": F.scaled_dot_product_attention,
    "attention causal": lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
    "categorical_crossentropy": lambda t, x: -(t * torch.log_softmax(x, -1)).sum(-1),
    "sparse_categorical_crossentropy": lambda t, x: F.cross_entropy(x, t.long(), reduction="none"),
    "binary_crossentropy": lambda t, x: F.binary_cross_entropy_with_logits(x, t, reduction="none"),
    "sort": lambda x: torch.sort(x, -1).values, "top_k": lambda x: torch.topk(x, 10).values,
    "solve": torch.linalg.solve, "cholesky": torch.linalg.cholesky, "qr": lambda x: torch.linalg.qr(x)[1],
}  # fmt: skip
