"""How much CPU time calls take, in turns, so that a busy moment of the machine hits all of them."""

import contextlib
import ctypes
import gc
import os
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any


def one_thread() -> None:
    """Keep frameworks loaded from now on to one thread, so that figures do not depend on what other cores do."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = "1"
    flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


def keep_memory() -> None:
    """Let the C library keep freed memory: else it is chance which of equal calls must have pages made."""
    with contextlib.suppress(AttributeError, OSError):  # of another C library than GNU's
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, 1 << 25)
        mallopt(_TRIM_THRESHOLD, 1 << 30)


def _duration(call: Callable[[], Any], times: int) -> float:
    # Of this process alone: what else the machine does costs cache lines, but does not count.
    start = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - start) / times


def typical(calls: Mapping[str, Callable[[], Any]], rounds: int = 20, sample: float = 0.005) -> dict[str, float]:
    """Return the median CPU time of each call, in seconds.

    Not the shortest: what another thread still spins on when a turn ends is counted a moment later, in the next turn.

    Args:
        calls: Functions that return once the result is there.
        rounds: How often each has its turn; less often where a turn takes long.
        sample: Seconds a turn should last: short calls are repeated.
    """
    times = {}
    longest = 0.0
    for name, call in calls.items():
        call()
        once = min(_duration(call, 3) for _ in range(2))
        times[name] = max(1, int(sample / max(once, 1e-7)))
        longest = max(longest, once)
    rounds = min(rounds, max(5, int(0.1 / longest)))
    found = {name: [] for name in calls}
    order = list(calls)
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name in order:
                found[name].append(_duration(calls[name], times[name]))
            order = order[1:] + order[:1]
    finally:
        gc.enable()
    return {name: statistics.median(durations) for name, durations in found.items()}
