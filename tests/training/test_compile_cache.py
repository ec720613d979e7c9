"""Compiled programs outlive the process where the user says where to keep them."""

import os
import subprocess
import sys

import pytest

from multikeras import backend

_TRAIN = """
import numpy as np
import multikeras as mk

mk.utils.set_random_seed(0)
model = mk.Sequential([mk.Input((4,)), mk.layers.Dense(8, activation="relu"), mk.layers.Dropout(0.1), mk.layers.Dense(1)])
model.compile("adam", "mse", metrics=["mae"], jit_compile=True)
x = np.linspace(-1, 1, 80, dtype="float32").reshape(20, 4)
model.fit(x, x[:, :1], batch_size=8, epochs=2, verbose=0)
model.evaluate(x, x[:, :1], verbose=0)
model.predict(x, verbose=0)
"""
_JAX = f"""
from collections import Counter
import jax

events = Counter()
jax.monitoring.register_event_listener(lambda event, **_: events.update([event]))
{_TRAIN}
print(events["/jax/compilation_cache/cache_hits"], events["/jax/compilation_cache/cache_misses"])
"""
_TORCH = f"""
{_TRAIN}
from torch._dynamo.utils import counters
print(counters["inductor"]["fxgraph_cache_hit"], counters["inductor"]["fxgraph_cache_miss"])
"""
PROGRAMS = {
    "jax": (_JAX, {
        "JAX_COMPILATION_CACHE_DIR": "{}", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }),
    "torch": (_TORCH, {"TORCHINDUCTOR_CACHE_DIR": "{}"}),
}  # fmt: skip


def hits_and_misses(folder):
    program, variables = PROGRAMS[backend.current.name]
    environment = os.environ | {name: value.format(folder) for name, value in variables.items()}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return tuple(map(int, done.stdout.split()[-2:]))


@pytest.mark.slow
@pytest.mark.skipif(backend.current.name not in PROGRAMS, reason="this framework keeps no programs between processes")
def test_a_second_process_compiles_nothing(tmp_path):
    _, misses = hits_and_misses(tmp_path)
    assert misses
    hits, misses = hits_and_misses(tmp_path)
    assert hits
    assert not misses
