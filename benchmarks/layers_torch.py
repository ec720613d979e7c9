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


class _Own(torch.optim.Optimizer):
    """What torch has not, in as few calls as it takes: subclasses define `update(parameters, gradients, slots, t)`."""

    def __init__(self, parameters):
        super().__init__(parameters, {"lr": 1e-3})
        self.count = 0
        for p in parameters:
            self.state[p]["slots"] = [torch.zeros_like(p) for _ in range(2)]

    @torch.no_grad()
    def step(self):
        self.count += 1
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            slots = zip(*(self.state[p]["slots"] for p in parameters))
            self.update(parameters, [p.grad for p in parameters], *map(list, slots), group["lr"])


class _Lion(_Own):
    def update(self, parameters, gradients, means, _, lr):
        steps = torch._foreach_lerp(means, gradients, 0.1)
        torch._foreach_sign_(steps)
        torch._foreach_add_(parameters, steps, alpha=-lr)
        torch._foreach_lerp_(means, gradients, 0.01)


class _Lamb(_Own):
    def update(self, parameters, gradients, means, squares, lr):
        torch._foreach_lerp_(means, gradients, 0.1)
        torch._foreach_mul_(squares, 0.999)
        torch._foreach_addcmul_(squares, gradients, gradients, 0.001)
        roots = torch._foreach_div(squares, 1 - 0.999**self.count)
        torch._foreach_sqrt_(roots)
        torch._foreach_add_(roots, 1e-7)
        steps = torch._foreach_div(means, 1 - 0.9**self.count)
        torch._foreach_div_(steps, roots)
        sizes, norms = torch.stack(torch._foreach_norm(parameters)), torch.stack(torch._foreach_norm(steps))
        trust = torch.where((sizes > 0) & (norms > 0), sizes / norms, 1.0)
        torch._foreach_mul_(steps, list((trust * -lr).unbind()))
        torch._foreach_add_(parameters, steps)


class _Ftrl(_Own):
    def update(self, parameters, gradients, totals, linears, lr):
        before = torch._foreach_sqrt(totals)
        torch._foreach_addcmul_(totals, gradients, gradients)
        roots = torch._foreach_sqrt(totals)
        torch._foreach_sub_(before, roots)
        torch._foreach_add_(linears, gradients)
        torch._foreach_addcmul_(linears, before, parameters, 1 / lr)
        steps = torch._foreach_div(linears, roots)
        torch._foreach_mul_(steps, -lr)
        torch._foreach_copy_(parameters, steps)


class _ScheduleFree(_Own):
    def update(self, parameters, gradients, iterates, squares, lr):
        torch._foreach_mul_(squares, 0.999)
        torch._foreach_addcmul_(squares, gradients, gradients, 0.001)
        roots = torch._foreach_div(squares, 1 - 0.999**self.count)
        torch._foreach_sqrt_(roots)
        torch._foreach_add_(roots, 1e-8)
        # The average, of which the variable holds 0.9.
        torch._foreach_add_(parameters, iterates, alpha=-0.1)
        torch._foreach_addcdiv_(iterates, gradients, roots, -lr)
        torch._foreach_mul_(parameters, 1 - 1 / self.count)
        torch._foreach_add_(parameters, iterates, alpha=0.1 + 0.9 / self.count)


class _Muon(_Own):
    """As torch's, which rounds to bfloat16 and takes matrices only."""

    def update(self, parameters, gradients, means, squares, lr):
        for p, g, m, v in zip(parameters, gradients, means, squares):
            p.mul_(1 - 0.004 * lr)
            if p.ndim < 2:
                m.lerp_(g, 0.1)
                v.mul_(0.999).addcmul_(g, g, value=0.001)
                unbias = [1 - beta**self.count for beta in (0.9, 0.999)]
                p.addcdiv_(m, v.sqrt().add_(1e-7), value=-lr * unbias[1] ** 0.5 / unbias[0])
                continue
            m.mul_(0.95).add_(g)
            x = torch.add(g, m, alpha=0.95)
            x = x / (x.norm() + 1e-7)
            x = x.t() if p.shape[0] > p.shape[1] else x
            for _ in range(5):
                a = x @ x.t()
                x = torch.addmm(x, torch.addmm(a, a, a, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
            p.add_(x.t() if p.shape[0] > p.shape[1] else x, alpha=-lr * 0.2 * max(p.shape) ** 0.5)


OPTIMIZERS = {
    "SGD": lambda p: torch.optim.SGD(p, 1e-2), "SGD momentum": lambda p: torch.optim.SGD(p, 1e-2, momentum=0.9),
    **{n: (lambda p, n=n: getattr(torch.optim, n)(p, 1e-3)) for n in "Adam AdamW RMSprop Adagrad Adadelta Adamax".split()},
    "Nadam": lambda p: torch.optim.NAdam(p, 1e-3), "Lion": _Lion, "Lamb": _Lamb, "Ftrl": _Ftrl,
    "Adafactor": lambda p: torch.optim.Adafactor(p, 1e-3), "ScheduleFreeAdamW": _ScheduleFree, "Muon": _Muon,
}  # fmt: skip
