"""Loaders of tensors give what torch's own iterators give, and leave torch's generators as these do."""

import sys

import numpy as np
import pytest

from multikeras.backend import current

if current.name != "torch":
    pytest.skip("no backend plays a part: where torch is the backend is enough", allow_module_level=True)

import torch
from torch.utils import data

from multikeras.training.data.loaders import batches_of

N = 23
TENSORS = {
    "floats and classes": lambda: (torch.randn(N, 3, 2), torch.arange(N)),
    "half and bool": lambda: (torch.randn(N, 4).bfloat16(), torch.arange(N) % 2 == 0, torch.arange(N, dtype=torch.uint8)),
    "float64": lambda: (torch.randn(N, dtype=torch.float64),),
    "not in one piece": lambda: (torch.randn(3, N).t(),),
}
DATASETS = {
    "whole": lambda tensors: data.TensorDataset(*tensors),
    "subset": lambda tensors: data.Subset(data.TensorDataset(*tensors), range(2, 19)),
    "split of a split": lambda tensors: data.random_split(
        data.random_split(data.TensorDataset(*tensors), [20, 3], torch.Generator().manual_seed(1))[0], [15, 5]
    )[0],
}
LOADERS = {
    "in order": lambda d: data.DataLoader(d, 4),
    "shuffled": lambda d: data.DataLoader(d, 4, shuffle=True, drop_last=True),
    "own generator": lambda d: data.DataLoader(d, 5, shuffle=True, generator=torch.Generator().manual_seed(3)),
    "weighted": lambda d: data.DataLoader(d, 4, sampler=data.WeightedRandomSampler(torch.ones(len(d)), 9)),
    "from behind": lambda d: data.DataLoader(d, 4, sampler=[-1, 2, -3, 0, 1]),
    "batches of one's own": lambda d: data.DataLoader(d, batch_sampler=[[0, 3], [2], [1, 1, 4]]),
    "not batched": lambda d: data.DataLoader(d, None),
    "collated by a user": lambda d: data.DataLoader(d, 4, collate_fn=lambda rows: torch.stack([row[0] for row in rows])),
}
AT_ONCE = {"in order", "shuffled", "own generator", "weighted", "from behind"}


def _passes(iterate, make):
    torch.manual_seed(5)
    loader = make()
    return [[*iterate(loader)] for _ in range(2)], torch.get_rng_state()


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize("dataset", DATASETS)
@pytest.mark.parametrize("tensors", TENSORS)
def test_batches_are_those_of_torch(tensors, dataset, loader):
    def make():
        return LOADERS[loader](DATASETS[dataset](TENSORS[tensors]()))

    expected, state = _passes(iter, make)
    found, after = _passes(batches_of, make)
    assert torch.equal(state, after)
    assert isinstance(batches_of(make()), map) is (loader in AT_ONCE)
    for one, other in zip(expected, found, strict=True):
        for batch, again in zip(one, other, strict=True):
            assert type(batch) is type(again)
            for x, y in zip(batch, again, strict=True):
                assert x.dtype == y.dtype
                torch.testing.assert_close(x, y, rtol=0, atol=0)


def test_derivatives_pass():
    x = torch.randn(6, 2, requires_grad=True)
    (batch,) = next(batches_of(data.DataLoader(data.TensorDataset(x), 4)))
    batch.sum().backward()
    np.testing.assert_array_equal(x.grad.sum(1), [2, 2, 2, 2, 0, 0])


def test_datasets_of_users_go_through_torch():
    class Doubled(data.TensorDataset):
        def __getitem__(self, i):
            return [2 * x for x in super().__getitem__(i)]

    ((batch,),) = batches_of(data.DataLoader(Doubled(torch.ones(3)), 3))
    np.testing.assert_array_equal(batch, [2, 2, 2])


def test_a_number_outside_is_an_error():
    with pytest.raises(IndexError):
        next(batches_of(data.DataLoader(data.TensorDataset(torch.ones(3)), 2, sampler=[0, 7])))


def test_torch_is_not_needed(monkeypatch):
    monkeypatch.delitem(sys.modules, "torch")
    assert [*batches_of([1, 2])] == [1, 2]
