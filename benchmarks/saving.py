"""Save and load a model of 1 GB, beside Keras and beside the plain rate of the disk and the page cache.

    MULTIKERAS_BACKEND=torch python benchmarks/saving.py [--keras] [--size GB] [--format .keras]

Each side runs in a child of its own, so that the most memory it ever had (VmHWM) is its own. A rate is that of the file's
bytes: saving is held against writing and syncing as many bytes, loading against reading them into fresh memory, in turn,
once from the disk (`cold`: the page cache has forgotten the file) and once from the page cache.
Each begins with memory that was in use a moment ago, and the figures are medians.
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
        for _ in range(0, size, len(block)):
            file.write(block)
        os.fsync(file.fileno())


def plain_read(path, size):
    arrays = []
    with open(path, "rb", 0) as file:
        for _ in range(LAYERS):
            arrays.append(np.empty(size // LAYERS, "uint8"))
            file.readinto(arrays[-1])
    return arrays


def forget(*paths):
    """Let the page cache forget files."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def warm(size):
    """Touch memory and free it: a virtual machine hands free memory back, and waits seconds a GB when it wants it again."""
    np.empty(size, "uint8")[:: 2**12] = 1


def in_turn(repeats, before, **jobs):
    """Return for each job the median seconds and processor seconds, the jobs taking turns: all meet the same neighbours."""
    found = {name: [] for name in jobs}
    for _ in range(repeats):
        for name, job in jobs.items():
            before()
            found[name].append(timed(job))
    return {name: [statistics.median(column) for column in zip(*times)] for name, times in found.items()}


def model_of(K, size):
    width = int((size / LAYERS / 4) ** 0.5)
    return K.Sequential([K.Input((width,)), *(K.layers.Dense(width, use_bias=False) for _ in range(LAYERS))])


def side(package, path, size, repeats):
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
    found = in_turn(repeats, lambda: warm(2 * size), plain_save=lambda: plain_write(other, size), save=lambda: save(path))
    kept = []
    if whole:
        del model

    def tidy():
        kept.clear()
        gc.collect()
        warm(2 * size)

    before = memory("VmRSS")
    forget_peak()

    def load():
        kept.append(K.saving.load_model(path) if whole else model.load_weights(path))

    load()
    peaks["load"] = (memory() - before + (0 if whole else size)) / size
    plain = lambda: plain_read(other, size)  # noqa: E731
    found |= in_turn(repeats, tidy, plain_load=plain, load=load)
    found |= in_turn(repeats, lambda: (tidy(), forget(path, other)), plain_cold=plain, cold=load)
    print(json.dumps({"size": size, "peaks": peaks, "seconds": found}))


def report(package, found):
    size, seconds = found["size"] / 1e9, found["seconds"]
    for what, peak in (("save", "save"), ("load", "load"), ("cold", "load")):
        (took, busy), (floor, floor_busy) = seconds[what], seconds[f"plain_{what}"]
        print(f"  {package:10} {what} {size / took:5.2f} GB/s = {floor / took:4.2f} of the plain {size / floor:5.2f} GB/s, "
              f"processor {busy / size:4.2f} s/GB beside {floor_busy / size:4.2f}, memory {found['peaks'][peak]:4.2f} x the model"
              )  # fmt: skip


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--keras", action="store_true", help="measure Keras too")
    parser.add_argument("--size", type=float, default=1.0, help="GB")
    parser.add_argument("--format", default=".keras", help=".keras, .weights.h5 or .safetensors")
    parser.add_argument("--folder", help="where to write: on the disk, or in memory as /dev/shm")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    size = int(given.size * 1e9)
    if given.side:
        side(given.side, given.path, size, given.repeats)
        return
    name = os.environ.get("MULTIKERAS_BACKEND", "")
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        print(f"{given.format} of {given.size} GB on {name} in {Path(folder).parent}")
        for package in ("multikeras", "keras")[: 1 + given.keras]:
            path = Path(folder, f"m{given.format}")
            command = [sys.executable, "-W", "ignore", __file__, "--side", package, "--path", str(path), f"--size={given.size}",
                       "--repeats", str(given.repeats)]  # fmt: skip
            out = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "KERAS_BACKEND": name})
            report(package, json.loads(out.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
