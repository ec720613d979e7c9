"""Torch's loaders of tensors: they take rows one by one and stack them, here the rows of a batch are taken at once."""

import functools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


def batches_of(iterable: Any) -> Iterator[Any]:
    """Return `iter(iterable)`; for a loader that only stacks rows of tensors one that is 7 to 10 times as fast."""
    torch = sys.modules.get("torch")
    if torch is not None and type(iterable) is torch.utils.data.DataLoader and _only_stacks(iterable, torch.utils.data):
        take = _taking(iterable.dataset, torch)
        if take is not None:
            iter(iterable)  # which draws from torch's generator: what is drawn later stays as it was
            return map(take, iterable.batch_sampler)
    return iter(iterable)


def _only_stacks(loader: Any, data: Any) -> bool:
    return (
        loader.collate_fn is data.default_collate
        and type(loader.batch_sampler) is data.BatchSampler
        and loader.num_workers == 0
        and not loader.pin_memory
    )


def _taking(dataset: Any, torch: Any) -> Callable[[list], list] | None:
    """Return what takes rows of a dataset of tensors, by their numbers."""
    if type(dataset) is torch.utils.data.TensorDataset:
        return functools.partial(_rows, torch, dataset.tensors)
    inner = _taking(dataset.dataset, torch) if type(dataset) is torch.utils.data.Subset else None
    return inner and (lambda rows: inner([dataset.indices[i] for i in rows]))


def _rows(torch: Any, tensors: tuple, rows: list) -> list:
    try:
        # Not t[rows]: that is done by several threads, which the model computes with.
        places = torch.from_numpy(np.asarray(rows))  # a fifth of the time of torch.tensor
        return [t.index_select(0, places.to(t.device)) for t in tensors]
    except (IndexError, RuntimeError, TypeError, ValueError):  # numbers from behind, which samplers of users may give
        return [t[rows] for t in tensors]
