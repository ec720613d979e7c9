"""A step recorded on torch does in a loop what it does call by call, and each loop reads what its tensors hold then."""

import pytest

from multikeras import backend

if backend.current.name != "torch":
    pytest.skip("other frameworks compile their steps", allow_module_level=True)

import torch

from multikeras.backend import _torch_recording


def adds_a_product(slices, given):
    """Nothing but rows changes: the turned and summed matrix is the same in each step."""
    (row, out), (weights, store) = slices, given
    out.copy_(row @ weights.t().contiguous() + (weights * 2).sum() + torch.zeros_like(store[0]))


def writes_what_it_reads(slices, given):
    (row, out), (weights, store) = slices, given
    out.copy_(row @ (store * 2).t())
    store.add_(weights)


def writes_through_a_view(slices, given):
    (row, out), (weights, store) = slices, given
    doubled = store.t().contiguous() * 2
    store.view(-1)[:3].mul_(0.5)
    out.copy_(row @ (doubled + store.exp()) + weights.sum())


def writes_into_what_it_makes(slices, given):
    (row, out), (weights, store) = slices, given
    made = weights * 3
    made[0].add_(store.sum())
    made.t().mul_(row)
    out.copy_(made.sum(0))


def writes_into_a_product(slices, given):
    (row, out), (weights, store) = slices, given
    made = torch.ops.aten._unsafe_view(weights @ store, [2, 8])
    made.add_(row[0])
    out.copy_(made[0, :4] + made[1, 4:].unsqueeze(0).sum(0))


def writes_into_parts(slices, given):
    """As torch's GRU does: the parts are said to be no views."""
    (row, out), (weights, store) = slices, given
    first, second = (weights @ store).unsafe_chunk(2)
    out.copy_(first.add_(row).sigmoid_().mul_(second).sum(0))


def gives_other_sizes(slices, given):
    (row, out), (weights, store) = slices, given
    out.copy_(row + (weights @ store).sum(0).unsqueeze_(0).squeeze_(0))


def draws(slices, given):
    (row, out), (weights, _) = slices, given
    out.copy_(row @ torch.nn.functional.dropout(weights, 0.5))


STEPS = [
    adds_a_product, writes_what_it_reads, writes_through_a_view, writes_into_what_it_makes, writes_into_a_product,
    writes_into_parts, gives_other_sizes, draws,
]  # fmt: skip


@pytest.mark.parametrize("written", ["a shared tensor", "a store"])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_a_loop_equals_its_steps(step, written):
    rows = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))

    def tensors(seed):
        generator = torch.Generator().manual_seed(seed)
        return [torch.randn(4, 4, generator=generator) for _ in range(2)]

    def split(pair):
        return ([], pair) if written == "a store" else (pair, [])

    outs, pair = torch.zeros(6, 4), tensors(0)
    shared, stores = split(pair)
    taken = (lambda slices, shared: step(slices, pair)) if stores else step
    loop = _torch_recording.record(taken, [rows[0], outs[0]], shared, stores)
    for seed in (2, 3):  # other values, in the same program
        torch.manual_seed(seed)
        expected, other = torch.zeros(6, 4), tensors(seed)
        for i in range(6):
            step([rows[i], expected[i]], other)
        torch.manual_seed(seed)
        found, pair = torch.zeros(6, 4), tensors(seed)
        loop([rows, found], 0, 6, *split(pair))
        assert torch.equal(found, expected)
        assert all(map(torch.equal, pair, other))


def test_what_stays_is_computed_once_a_loop():
    rows, outs, pair = torch.ones(1000, 4), torch.empty(1000, 4), [torch.ones(4, 4), torch.ones(4, 4)]
    loop = _torch_recording.record(adds_a_product, [rows[0], outs[0]], pair, [])
    with torch.profiler.profile() as calls:
        loop([rows, outs], 0, 1000, pair, [])
    counts = {event.key: event.count for event in calls.key_averages()}
    assert counts["aten::clone"] == counts["aten::sum"] == 1
    assert counts["aten::copy_"] >= 1000
