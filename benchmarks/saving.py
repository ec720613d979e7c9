"""Save and load a model of 1 GB, beside Keras and beside the plain rate of the disk and the page cache.

    MULTIKERAS_BACKEND=torch python benchmarks/saving.py [--keras] [--size GB] [--format .keras]

Each side runs in a child of its own, so that the most memory it ever had (VmHWM) is its own. A rate is that of the file's
bytes: saving is held against writing and syncing as many bytes, loading against reading them into fresh memory.
"""

import argparse
import importlib
import json
import os
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
    start = time.perf_counter()
    f()
    return time.perf_counter() - start


def plain(path, size, repeats):
    """Return the seconds of writing and syncing a file of that size, and of reading it into fresh memory."""
    block = np.ones(2**24, "uint8")

    def write():
        with open(path, "wb", 0) as file:
            for _ in range(0, size, len(block)):
                file.write(block)
            os.fsync(file.fileno())

    def read():
        with open(path, "rb", 0) as file:
            for _ in range(LAYERS):
                arrays.append(np.empty(size // LAYERS, "uint8"))
                file.readinto(arrays[-1])

    writes, reads = [], []
    for _ in range(repeats):
        arrays: list = []
        writes.append(timed(write))
        reads.append(timed(read))
    path.unlink()
    return {"save": min(writes), "load": min(reads)}


def model_of(K, size):
    width = int((size / LAYERS / 4) ** 0.5)
    return K.Sequential([K.Input((width,)), *(K.layers.Dense(width, use_bias=False) for _ in range(LAYERS))])


def side(package, path, size, repeats):
    """Print what one package takes: seconds, and the most memory as a multiple of the model."""
    K = importlib.import_module(package)
    whole = path.suffix == ".keras"
    model = model_of(K, size)
    size = sum(int(np.prod(w.shape)) * 4 for w in model.weights)
    forget_peak()
    before = memory("VmRSS")
    save = model.save if whole else model.save_weights
    seconds = min(timed(lambda: save(path)) for _ in range(repeats))
    saving = (memory() - before + size) / size
    if whole:
        del model
        empty = memory("VmRSS")
        forget_peak()
        kept = []
        loads = [timed(lambda: kept.append(K.saving.load_model(path)))]
        loading = (memory() - empty) / size
        for _ in range(repeats - 1):
            kept.clear()
            loads.append(timed(lambda: kept.append(K.saving.load_model(path))))
    else:
        forget_peak()
        before = memory("VmRSS")
        loads = [timed(lambda: model.load_weights(path)) for _ in range(repeats)]
        loading = (memory() - before + size) / size
    print(json.dumps({"save": seconds, "load": min(loads), "saving": saving, "loading": loading}))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--keras", action="store_true", help="measure Keras too")
    parser.add_argument("--size", type=float, default=1.0, help="GB")
    parser.add_argument("--format", default=".keras", help=".keras, .weights.h5 or .safetensors")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    size = int(given.size * 1e9)
    if given.side:
        side(given.side, given.path, size, given.repeats)
        return
    name = os.environ.get("MULTIKERAS_BACKEND", "")
    with tempfile.TemporaryDirectory() as folder:
        disk = plain(Path(folder, "plain"), size, given.repeats)
        print(f"{given.format} of {given.size} GB on {name}; plain: write {size / disk['save'] / 1e9:.2f}, "
              f"read {size / disk['load'] / 1e9:.2f} GB/s")  # fmt: skip
        for package in ("multikeras", "keras")[: 1 + given.keras]:
            path = Path(folder, f"m{given.format}")
            command = [sys.executable, "-W", "ignore", __file__, "--side", package, "--path", str(path), f"--size={given.size}",
                       "--repeats", str(given.repeats)]  # fmt: skip
            out = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "KERAS_BACKEND": name})
            found = json.loads(out.stdout.splitlines()[-1])
            for what, peak in (("save", "saving"), ("load", "loading")):
                rate = size / found[what] / 1e9
                print(f"  {package:10} {what} {rate:5.2f} GB/s = {rate * disk[what] / size * 1e9:4.2f} of plain, "
                      f"memory {found[peak]:4.2f} x the model")  # fmt: skip
            path.unlink()


if __name__ == "__main__":
    main()
