"""Save and load a model of 1 GB, beside Keras and beside the plain rate of the disk and the page cache.

    MULTIKERAS_BACKEND=torch python benchmarks/saving.py [--keras] [--size GB] [--format .keras]

Each side runs in a child of its own, so that the most memory it ever had (VmHWM) is its own. A rate is that of the file's
bytes: saving is held against writing and syncing as many bytes, loading against reading the same file into fresh memory, one
array a layer, once from the disk (`cold`: the page cache has forgotten the file) and once from the page cache.

In every turn both are timed, one directly after the other, and each goes first in every other turn. Before each the page cache
is brought into the same state, memory was in use a moment ago and is free again, and what was read is kept until the clock has
stopped. Shares of the plain rate are medians over the turns of the ratio in one turn, with the lowest; rates are medians.
"""

import argparse
import gc
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

LAYERS = 16


def memory(field="VmHWM"):
    """Return the bytes a process has, or ever had (VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {field} in /proc/self/status")


def forget_peak():
    Path("/proc/self/clear_refs").write_text("5")


def timed(f):
    """Return the seconds that passed, and those of the processor, in all threads."""
    start, busy = time.perf_counter(), time.process_time()
    f()
    return time.perf_counter() - start, time.process_time() - busy


def plain_write(path, size):
    block = np.ones(2**24, "uint8")
    with open(path, "wb", 0) as file:
        for at in range(0, size, len(block)):
            file.write(block[: size - at])
        os.fsync(file.fileno())


def plain_read(path, size):
    arrays = []
    with open(path, "rb", 0) as file:
        for _ in range(LAYERS):
            arrays.append(np.empty(size // LAYERS, "uint8"))
            file.readinto(arrays[-1])
    return arrays


def forget(path):
    """Let the page cache forget a file."""
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def remember(path):
    """Let the page cache hold a file, by reading it once."""
    with open(path, "rb", 0) as file:
        buffer = bytearray(2**24)
        while file.readinto(buffer):
            pass


def warm(size):
    """Touch memory and free it: a virtual machine hands free memory back, and waits seconds a GB when it wants it again."""
    np.empty(size, "uint8")[:: 2**12] = 1


def in_turn(turns, before, plain, ours):
    """Return the (seconds, processor seconds) of both jobs in every turn; what a job returns is kept until it was timed."""
    found = {"plain": [], "ours": []}
    for turn in range(turns):
        jobs = [("plain", plain), ("ours", ours)]
        for name, job in reversed(jobs) if turn % 2 else jobs:
            before()
            kept = []
            found[name].append(timed(lambda job=job, kept=kept: kept.append(job())))
            del kept
            gc.collect()
    return found


def model_of(K, size):
    width = int((size / LAYERS / 4) ** 0.5)
    return K.Sequential([K.Input((width,)), *(K.layers.Dense(width, use_bias=False) for _ in range(LAYERS))])


def side(package, path, size, turns):
    """Print what one package takes: seconds, and the most memory as a multiple of the model."""
    K = importlib.import_module(package)
    whole = path.suffix == ".keras"
    model = model_of(K, size)
    size = sum(int(np.prod(w.shape)) * 4 for w in model.weights)
    save = model.save if whole else model.save_weights
    other = path.with_name("plain")
    forget_peak()
    before = memory("VmRSS")
    save(path)
    peaks = {"save": (memory() - before + size) / size}
    found = {"save": in_turn(turns, lambda: warm(2 * size), lambda: plain_write(other, size), lambda: save(path))}
    other.unlink()
    if whole:
        del model
        gc.collect()

    def load():
        return K.saving.load_model(path) if whole else model.load_weights(path)

    before = memory("VmRSS")
    forget_peak()
    load()
    peaks["load"] = (memory() - before + (0 if whole else size)) / size
    plain = lambda: plain_read(path, size)  # noqa: E731
    for name, state in (("load", remember), ("cold", forget)):
        found[name] = in_turn(turns, lambda state=state: (warm(2 * size), state(path)), plain, load)
    print(json.dumps({"size": size, "peaks": peaks, "seconds": found}))


def report(package, found):
    size = found["size"] / 1e9
    for what, times in found["seconds"].items():
        shares = [plain[0] / ours[0] for plain, ours in zip(times["plain"], times["ours"])]
        floor, floor_busy = (statistics.median(column) for column in zip(*times["plain"]))
        took, busy = (statistics.median(column) for column in zip(*times["ours"]))
        peak = found["peaks"]["save" if what == "save" else "load"]
        print(f"  {package:10} {what} {size / took:5.2f} GB/s = {statistics.median(shares):4.2f} (lowest {min(shares):4.2f}) of "
              f"the plain {size / floor:5.2f} GB/s, processor {busy / size:4.2f} s/GB beside {floor_busy / size:4.2f}, "
              f"memory {peak:4.2f} x the model")  # fmt: skip


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--keras", action="store_true", help="measure Keras too")
    parser.add_argument("--size", type=float, default=1.0, help="GB")
    parser.add_argument("--format", default=".keras", help=".keras, .weights.h5 or .safetensors")
    parser.add_argument("--folder", help="where to write: on the disk, or in memory as /dev/shm")
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    size = int(given.size * 1e9)
    if given.side:
        side(given.side, given.path, size, given.turns)
        return
    name = os.environ.get("MULTIKERAS_BACKEND", "")
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        print(f"{given.format} of {given.size} GB on {name} in {Path(folder).parent}")
        for package in ("multikeras", "keras")[: 1 + given.keras]:
            path = Path(folder, f"m{given.format}")
            command = [sys.executable, "-W", "ignore", __file__, "--side", package, "--path", str(path), f"--size={given.size}",
                       "--turns", str(given.turns)]  # fmt: skip
            out = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "KERAS_BACKEND": name})
            report(package, json.loads(out.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
