"""A fit that was ended half-way and started again ends as if nothing had been."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import multikeras as mk
from multikeras import backend, callbacks, layers
from multikeras.saving import snapshot

from faults import scenarios

pytestmark = pytest.mark.skipif(not backend.current.supports_gradients, reason="this backend computes no gradients")


class Killed(Exception):
    """Stands for a kill: nothing is tidied up for the backup."""


def die():
    raise Killed


def same(a, b):
    assert len(a) == len(b)
    for x, y in zip(a, b):
        np.testing.assert_array_equal(x, y)


QUICK = (("arrays", 4), ("py_dataset", "epoch"), ("stateful", 4))
CASES = [(k, f) for k in scenarios.KINDS for f in ("epoch", 4)]


@pytest.mark.parametrize(
    ("kind", "save_freq"), [pytest.param(*c, marks=() if c in QUICK else pytest.mark.slow) for c in CASES]
)
def test_a_resumed_fit_ends_bit_for_bit_as_one_that_was_not_ended(kind, save_freq, tmp_path):
    whole, history = scenarios.fit(kind, tmp_path / "whole", save_freq=save_freq)
    with pytest.raises(Killed):
        scenarios.fit(kind, tmp_path / "killed", at=7 if "steps" in kind else 14, act=die, save_freq=save_freq)
    resumed, resumed_history = scenarios.fit(kind, tmp_path / "killed", save_freq=save_freq)
    same(scenarios.everything(whole), scenarios.everything(resumed))
    assert history.history == resumed_history.history
    assert history.epoch == resumed_history.epoch
    assert not list(tmp_path.iterdir())  # the backups of finished fits are removed
