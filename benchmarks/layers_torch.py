"""Layers and updates as a torch user writes them, for `layers.py`."""

import torch
import torch.nn as nn
import torch.nn.functional as F


def tensor(array):
    return torch.from_numpy(array.copy())


def _step(call, x, parameters):
    x = x.clone().requires_grad_() if x.is_floating_point() else x
    wanted = [p for p in (x, *parameters) if p.requires_grad]
    g = torch.ones_like(call(x))
    return lambda: torch.autograd.grad(call(x), wanted, g, allow_unused=True)


def layer(layer, arguments, x, more):
    """Return forward and backward pass of a layer of multikeras or Keras."""
    parameters = [getattr(v, "store", None) if hasattr(v, "store") else v.value for v in layer.trainable_variables]
    return _step(lambda x: layer(*arguments(x), **more), x, parameters)


def _module(module, layout=lambda x: x, call=None):
    def make(array):
        net = module()
        return _step((lambda x: call(net, x)) if call else net, layout(tensor(array)), list(net.parameters()))

    return make


def _first(x):
    return x.movedim(-1, 1).contiguous()


def _dense_relu():
    return nn.Sequential(nn.Linear(256, 256), nn.ReLU())


def _attend(net, x):
    return net(x, x, x, need_weights=False)[0]


def _last(net, x):
    """Return the last state, of both directions side by side: a slice of the outputs takes longer, and is none of the second."""
    state = net(x)[1]
    return (state[0] if isinstance(state, tuple) else state).movedim(0, 1).flatten(1)


def _embedding():
    return nn.Embedding(5000, 64)


LAYERS = {
    "Dense": _module(_dense_relu), "Dense of sequences": _module(lambda: nn.Linear(64, 128)),
    "Embedding": _module(_embedding), "Conv1D": _module(lambda: nn.Conv1d(64, 64, 5), _first),
    "Conv2D": _module(lambda: nn.Conv2d(32, 32, 3), _first),
    "DepthwiseConv2D": _module(lambda: nn.Conv2d(32, 32, 3, groups=32), _first),
    "MaxPooling2D": _module(lambda: nn.MaxPool2d(2), _first), "AveragePooling2D": _module(lambda: nn.AvgPool2d(2), _first),
    "BatchNormalization": _module(lambda: nn.BatchNorm2d(32), _first),
    "LayerNormalization": _module(lambda: nn.LayerNorm(64)),
    "Dropout": _module(nn.Identity, call=lambda net, x: F.dropout(x, 0.3)),
    "LSTM": _module(lambda: nn.LSTM(64, 128, batch_first=True), call=_last),
    "LSTM of sequences": _module(lambda: nn.LSTM(64, 128, batch_first=True), call=lambda net, x: net(x)[0]),
    "GRU": _module(lambda: nn.GRU(64, 128, batch_first=True), call=_last),
    "Bidirectional LSTM": _module(lambda: nn.LSTM(64, 64, batch_first=True, bidirectional=True), call=_last),
    "MultiHeadAttention": _module(lambda: nn.MultiheadAttention(64, 4, batch_first=True), call=_attend),
}


def optimizer(k, optimizer, weights):
    """Return one update by an optimizer of multikeras or Keras."""
    variables = [k.Variable(w) for w in weights]
    grads = [tensor(w) * 1e-3 for w in weights]
    return lambda: optimizer.apply(grads, variables)


def own_optimizer(make, weights):
    """Return one update by torch's own."""
    parameters = [nn.Parameter(tensor(w)) for w in weights]
    for p in parameters:
        p.grad = p.detach() * 1e-3
    return make(parameters).step


class _Lion(torch.optim.Optimizer):
    """Lion, which torch has not, in as few calls as it takes."""

    def __init__(self, parameters):
        super().__init__(parameters, {"lr": 1e-3})
        for p in parameters:
            self.state[p]["mean"] = torch.zeros_like(p)

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            gradients, means = [p.grad for p in parameters], [self.state[p]["mean"] for p in parameters]
            steps = torch._foreach_lerp(means, gradients, 0.1)
            torch._foreach_sign_(steps)
            torch._foreach_add_(parameters, steps, alpha=-group["lr"])
            torch._foreach_lerp_(means, gradients, 0.01)


OPTIMIZERS = {
    "SGD": lambda p: torch.optim.SGD(p, 1e-2), "SGD momentum": lambda p: torch.optim.SGD(p, 1e-2, momentum=0.9),
    **{n: (lambda p, n=n: getattr(torch.optim, n)(p, 1e-3)) for n in "Adam AdamW RMSprop Adagrad Adadelta Adamax".split()},
    "Nadam": lambda p: torch.optim.NAdam(p, 1e-3), "Lion": _Lion,
}  # fmt: skip
