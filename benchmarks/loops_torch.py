"""The training loop a torch user writes: eager modules, fused Adam, shuffled tensors in memory."""

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(128, eps=1e-3), nn.LayerNorm(128, eps=1e-3)
        self.qkv, self.out = nn.Linear(128, 384), nn.Linear(128, 128)
        self.up, self.down = nn.Linear(128, 512), nn.Linear(512, 128)

    def forward(self, x):
        b, t, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, t, 3, 4, 32).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, 128)
        x = x + self.out(y)
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.blocks = nn.Embedding(1000, 128), nn.Sequential(Block(), Block())
        self.head = nn.Linear(128, 10)

    def forward(self, x):
        return self.head(self.blocks(self.embedding(x)).mean(1))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(32, 128, batch_first=True), nn.Linear(128, 10)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


MODELS = {
    "tiny": lambda: nn.Sequential(
        nn.Linear(8, 10), nn.ReLU(), nn.Linear(10, 10), nn.ReLU(), nn.Linear(10, 1), nn.Sigmoid()
    ),
    "mlp": lambda: nn.Sequential(
        nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    ),
    "cnn": lambda: nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(), nn.Linear(128, 10),
    ),
    "lstm": Recurrent,
    "tfm": Transformer,
}  # fmt: skip


class Native:
    """One model and its loop."""

    def __init__(self, name, x, y, batch):
        self.model, self.batch, self.binary = MODELS[name](), batch, name == "tiny"
        self.x, self.y = torch.as_tensor(x), torch.as_tensor(y if self.binary else y.astype("int64"))
        if name == "cnn":
            self.x = self.x.permute(0, 3, 1, 2).contiguous()
        self.optimizer = torch.optim.Adam(self.model.parameters(), 1e-3, fused=True)

    def epochs(self, count):
        """Train for some epochs; return loss and accuracy of the last."""
        rows_in_all, batch = len(self.x), self.batch
        self.model.train()
        for _ in range(count):
            loss_sum, right = torch.zeros(()), torch.zeros(())
            order = torch.randperm(rows_in_all)
            for start in range(0, rows_in_all, batch):
                rows = order[start : start + batch]
                x, y = self.x[rows], self.y[rows]
                out = self.model(x)
                loss = self._loss(out, y)
                self.optimizer.zero_grad()
                loss.backward()
                self.optimizer.step()
                with torch.no_grad():
                    loss_sum += loss * len(x)
                    right += self._right(out, y)
        return float(loss_sum) / rows_in_all, float(right) / rows_in_all

    def _loss(self, out, y):
        return F.binary_cross_entropy(out, y) if self.binary else F.cross_entropy(out, y)

    def _right(self, out, y):
        return (((out > 0.5) == y) if self.binary else (out.argmax(1) == y)).sum()

    def probabilities(self, x):
        """Return what the models of the other packages give."""
        out = self.model(x)
        return out if self.binary else torch.softmax(out, -1)

    def evaluate(self):
        """Return loss and accuracy over all rows."""
        self.model.eval()
        with torch.inference_mode():
            loss_sum, right = torch.zeros(()), torch.zeros(())
            for i in range(0, len(self.x), self.batch):
                x, y = self.x[i : i + self.batch], self.y[i : i + self.batch]
                out = self.model(x)
                loss_sum += self._loss(out, y) * len(x)
                right += self._right(out, y)
        return float(loss_sum) / len(self.x), float(right) / len(self.x)

    def predict(self):
        """Return the outputs for all rows."""
        self.model.eval()
        with torch.inference_mode():
            parts = [self.probabilities(self.x[i : i + self.batch]) for i in range(0, len(self.x), self.batch)]
            return torch.cat(parts).numpy()

    def one(self):
        """Return a function that predicts one row."""
        self.model.eval()
        x = self.x[:1]

        def forward():
            with torch.inference_mode():
                return self.probabilities(x).numpy()

        return forward
