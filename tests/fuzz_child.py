"""Loads damaged files, one after the other, in a process that may take only so much memory and die of it.

For each case one line: `begin I`, then `end I KIND` or `end I WRONG message`.
"""

import itertools
import os
import random
import resource
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

import mutations
import numpy as np

ROOM = 2**30
SECONDS = 20
"""Of the processor, so that a busy machine fails nothing. What waits for ever ends by the patience of the parent."""


def too_slow(*_):
    raise AssertionError(f"still loading after {SECONDS} seconds of the processor")


def outcome(path: Path, model, expected: list | None) -> str:
    """Return what loading a file did: the kind of its one clear error, "loaded", or what is wrong about it.

    `expected` are the weights that a damaged file must give if it gives any.
    """
    begin = time.process_time()
    try:
        weights = mutations.load(path, model)
        same = expected is None or all(map(np.array_equal, weights, expected, itertools.repeat(True)))
        return "loaded" if same else "WRONG numbers, without an error"
    except (ValueError, TypeError) as error:
        text = str(error)
        out_of_memory = "MemoryError" in text and "this machine has" not in text
        if out_of_memory or any(hint in text for hint in ("allocate", "Recursion", "KeyError:")):
            return f"WRONG a clear error hides {text!r}"[:400]
        if path.name not in text and path.name != "m.json":
            return f"WRONG {type(error).__name__} without the file: {text!r}"[:400]
        return type(error).__name__
    except OSError as error:
        return f"WRONG OSError {error}"
    except BaseException as error:
        spent = time.process_time() - begin
        return f"WRONG {type(error).__name__} {error} after {spent:.1f} s".replace("\n", " ")[:400]


def main(cases: int, first: int, *jobs: str) -> None:
    """Load `cases` files of each job, "file=kind", from case `first` of them all on."""
    warnings.simplefilter("ignore")
    folder = Path(tempfile.mkdtemp())
    model, files = mutations.originals(folder)
    weights = {name: mutations.load(folder / name, model) for name in files}
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGPROF, too_slow)
    for case in range(first, cases * len(jobs)):
        name, kind = jobs[case // cases].split("=")
        mutate = mutations.STRUCTURAL[name] if kind == "structural" else mutations.damaged
        (folder / name).write_bytes(mutate(files[name], random.Random(f"{name} {kind} {case % cases}")))
        expected = weights[name] if kind == "bytes" and not name.startswith("bare") else None
        print("begin", case, flush=True)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        result = outcome(folder / name, model, expected)
        signal.setitimer(signal.ITIMER_PROF, 0)
        print("end", case, result, f"({name} {kind} {case % cases})", flush=True)
        if case % cases == cases - 1:
            (folder / name).write_bytes(files[name])


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
