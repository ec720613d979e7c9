"""Time ops forward and backward: multikeras, the framework itself, Keras.

    MULTIKERAS_BACKEND=torch python benchmarks/ops.py [NAME ...] [--json FILE]
    python benchmarks/ops.py --backends jax torch tensorflow     writes benchmarks/results and docs/benchmarks.md

All three run in one process on one thread and take turns. Forward is an eager call. Forward and backward is what training
does: eager on torch, compiled by `jax.jit` and `tf.function`; there the forward pass is compiled too.
"""

import argparse
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from timing import keep_memory, one_thread, typical

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
RESULTS = HERE / "results"
MATRIX, SEQUENCE, IMAGE, SMALL_IMAGE = (256, 1024), (32, 128, 256), (64, 26, 26, 32), (8, 26, 26, 32)
HEADS = (4, 256, 4, 64)


class Case(NamedTuple):
    """A call on `o`, which is `multikeras.ops` or `keras.ops`, of arrays made by `arguments`."""

    call: Callable
    arguments: tuple
    gradient: bool = True


def _positive(*shape):
    return lambda rng: rng.uniform(0.5, 2.0, shape).astype("float32")


def _integers(high, *shape):
    return lambda rng: rng.integers(0, high, shape).astype("int32")


def _definite(rng):
    x = rng.standard_normal((16, 64, 64))
    return (x @ x.transpose(0, 2, 1) + 64 * np.eye(64)).astype("float32")


def _probabilities(rng):
    x = rng.uniform(0.1, 1, (256, 1000)).astype("float32")
    return x / x.sum(-1, keepdims=True)


def _named(names, arguments, gradient=True):
    return {n: Case(lambda o, *xs, n=n: getattr(o, n)(*xs), arguments, gradient) for n in names.split()}


_ROWS, _CHANNELS = (1024,), (256,)
_LOSS = (256, 1000)

CASES: dict[str, Case] = {
    **_named("add multiply maximum", (MATRIX, MATRIX)),
    **_named("divide power", (_positive(*MATRIX), _positive(*MATRIX))),
    **_named("exp tanh sigmoid abs square erf relu gelu silu softplus elu leaky_relu", (MATRIX,)),
    **_named("log sqrt", (_positive(*MATRIX),)),
    "clip": Case(lambda o, x: o.clip(x, -0.5, 0.5), (MATRIX,)),
    "where": Case(lambda o, c, x, y: o.where(c, x, y), (lambda rng: rng.random(MATRIX) < 0.5, MATRIX, MATRIX)),
    **_named("greater", (MATRIX, MATRIX), False),
    **{n: Case(lambda o, x, n=n: getattr(o, n)(x, axis=-1), (MATRIX,)) for n in
       "sum mean max var logsumexp cumsum norm softmax log_softmax normalize".split()},
    "argmax": Case(lambda o, x: o.argmax(x, axis=-1), (MATRIX,), False),
    "layer_normalization": Case(lambda o, x, g, b: o.layer_normalization(x, g, b, epsilon=1e-5),
                                (SEQUENCE, _CHANNELS, _CHANNELS)),
    "rms_normalization": Case(lambda o, x, g: o.rms_normalization(x, g), (SEQUENCE, _CHANNELS)),
    "batch_normalization": Case(lambda o, x, m, v, g, b: o.batch_normalization(x, m, v, -1, b, g),
                                (SEQUENCE, _CHANNELS, _positive(256), _CHANNELS, _CHANNELS)),
    "moments": Case(lambda o, x: o.moments(x, 0)[0], (MATRIX,)),
    "reshape": Case(lambda o, x: o.reshape(x, (1024, 256)), (MATRIX,)),
    "transpose": Case(lambda o, x: o.transpose(x, (0, 2, 1)), (SEQUENCE,)),
    "concatenate": Case(lambda o, x, y: o.concatenate([x, y], axis=-1), (MATRIX, MATRIX)),
    "stack": Case(lambda o, x, y: o.stack([x, y]), (MATRIX, MATRIX)),
    "split": Case(lambda o, x: o.split(x, 4, axis=-1)[0], (MATRIX,)),
    "pad": Case(lambda o, x: o.pad(x, ((1, 1), (1, 1))), (MATRIX,)),
    "tile": Case(lambda o, x: o.tile(x, (2, 1)), (MATRIX,)),
    "repeat": Case(lambda o, x: o.repeat(x, 2, axis=-1), (MATRIX,)),
    "expand_dims": Case(lambda o, x: o.expand_dims(x, 1), (MATRIX,)),
    "broadcast_to": Case(lambda o, x: o.broadcast_to(x, (8, 256, 1024)), (MATRIX,)),
    "flip": Case(lambda o, x: o.flip(x, -1), (MATRIX,)),
    "roll": Case(lambda o, x: o.roll(x, 7, -1), (MATRIX,)),
    "slice": Case(lambda o, x: x[1:-1, ::2], (MATRIX,)),
    "take": Case(lambda o, x, i: o.take(x, i, axis=0), (MATRIX, _integers(256, 32, 128))),
    "take_along_axis": Case(lambda o, x, i: o.take_along_axis(x, i, axis=-1), (MATRIX, _integers(1024, 256, 64))),
    "one_hot": Case(lambda o, i: o.one_hot(i, 1000), (_integers(1000, 256),), False),
    "matmul": Case(lambda o, x, y: o.matmul(x, y), (MATRIX, (1024, 256))),
    "einsum": Case(lambda o, x, y: o.einsum("bij,bjk->bik", x, y), ((16, 128, 64), (16, 64, 128))),
    "tensordot": Case(lambda o, x, y: o.tensordot(x, y, 1), ((8, 128, 256), (256, 256))),
    "conv1d": Case(lambda o, x, k: o.conv(x, k), ((16, 128, 64), (5, 64, 64))),
    "conv": Case(lambda o, x, k: o.conv(x, k), (SMALL_IMAGE, (3, 3, 32, 64))),
    "depthwise_conv": Case(lambda o, x, k: o.depthwise_conv(x, k), (SMALL_IMAGE, (3, 3, 32, 1))),
    "separable_conv": Case(lambda o, x, d, p: o.separable_conv(x, d, p), (SMALL_IMAGE, (3, 3, 32, 1), (1, 1, 32, 64))),
    "conv_transpose": Case(lambda o, x, k: o.conv_transpose(x, k, 2), ((8, 14, 14, 32), (3, 3, 16, 32))),
    "max_pool": Case(lambda o, x: o.max_pool(x, 2, 2), (IMAGE,)),
    "average_pool": Case(lambda o, x: o.average_pool(x, 2, 2), (IMAGE,)),
    "dot_product_attention": Case(lambda o, q, k, v: o.dot_product_attention(q, k, v), (HEADS,) * 3),
    "attention causal": Case(lambda o, q, k, v: o.dot_product_attention(q, k, v, is_causal=True), (HEADS,) * 3),
    "categorical_crossentropy": Case(lambda o, t, x: o.categorical_crossentropy(t, x, from_logits=True),
                                     (_probabilities, _LOSS)),
    "sparse_categorical_crossentropy": Case(lambda o, t, x: o.sparse_categorical_crossentropy(t, x, from_logits=True),
                                            (_integers(1000, 256), _LOSS)),
    "binary_crossentropy": Case(lambda o, t, x: o.binary_crossentropy(t, x, from_logits=True), (_probabilities, _LOSS)),
    "sort": Case(lambda o, x: o.sort(x), (MATRIX,)),
    "top_k": Case(lambda o, x: o.top_k(x, 10)[0], (MATRIX,)),
    "solve": Case(lambda o, a, b: o.solve(a, b), (_definite, (16, 64, 8))),
    "cholesky": Case(lambda o, a: o.cholesky(a), (_definite,)),
    "qr": Case(lambda o, a: o.qr(a)[1], ((16, 64, 64),)),
}  # fmt: skip


def _arrays(case: Case, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [a(rng) if callable(a) else rng.standard_normal(a).astype("float32") for a in case.arguments]


def _calls(name: str, native: Any, backward: bool, libraries: dict) -> dict[str, Callable]:
    """Return a function without arguments for each library."""
    case = CASES[name]
    arrays = [native.tensor(a) for a in _arrays(case)]
    own = [layout(x) for layout, x in zip(native.LAYOUT[name], arrays)] if name in native.LAYOUT else arrays
    entries = {"native": (native.NATIVE[name], own)}
    for library, o in libraries.items():
        entries[library] = ((lambda *xs, o=o: case.call(o, *xs)), arrays)
    calls = {}
    for library, (call, xs) in entries.items():
        if backward:
            calls[library] = native.gradient(call, xs, native.cotangent(call(*xs)))
        else:
            calls[library] = lambda call=call, xs=xs: native.finish(call(*xs))
    return calls


def _overhead(native: Any, libraries: dict) -> dict[str, float]:
    """Return what an eager `add` of two small tensors costs."""
    x, y = (native.tensor(np.ones((2, 2), "float32")) for _ in range(2))
    calls = {"native": lambda f=native.NATIVE["add"]: f(x, y)}
    calls |= {library: (lambda f=o.add: f(x, y)) for library, o in libraries.items()}
    return typical(calls, rounds=60)


def measure(names: list[str], rounds: int) -> dict:
    """Return seconds by case, direction and library on the backend in use."""
    one_thread()
    keep_memory()
    from multikeras import backend, ops

    name = backend.backend()
    os.environ["KERAS_BACKEND"] = name
    libraries = {"ours": ops}
    try:
        import keras

        libraries["keras"] = keras.ops
    except ImportError:
        print("Keras is not installed: its column stays empty.")
    native = importlib.import_module(f"ops_{name}")
    times: dict[str, dict] = {}
    print(f"{name:34}{'forward':>12}{'forward and backward':>26}")
    print(f"{'ours / native, Keras / native':34}{'ms':>8}{'ours':>7}{'Keras':>7}{'ms':>10}{'ours':>7}{'Keras':>7}")
    if not names:
        times["add of 2 x 2"] = {"forward": _overhead(native, libraries)}
        print(_line("add of 2 x 2", times["add of 2 x 2"]))
    for case in names or CASES:
        if case not in native.NATIVE:
            continue
        times[case] = {}
        for direction in ("forward", "backward") if CASES[case].gradient else ("forward",):
            times[case][direction] = typical(_calls(case, native, direction == "backward", libraries), rounds)
        print(_line(case, times[case]), flush=True)
    print(*summary(name, times), sep="\n")
    return {"backend": name, "machine": f"{platform.machine()}, {os.cpu_count()} cores", "seconds": times}


def _line(case: str, times: dict) -> str:
    cells = [f"{case:34}"]
    for direction, widths in (("forward", (8, 7, 7)), ("backward", (10, 7, 7))):
        if direction in times:
            t = times[direction]
            cells.append(f"{t['native'] * 1e3:{widths[0]}.3f}{t['ours'] / t['native']:{widths[1]}.2f}")
            cells.append(f"{t['keras'] / t['native']:{widths[2]}.2f}" if "keras" in t else " " * widths[2])
    return "".join(cells)


def summary(backend: str, times: dict) -> list[str]:
    """Return a line a direction: how many cases are close to the framework's own call, and the geometric mean."""
    lines = []
    for direction in ("forward", "backward", "training"):
        bound = 1.05 if direction == "training" else 1.1
        found = [t[direction] for t in times.values() if "native" in t.get(direction, ())]
        if found:
            ratios = {who: [t[who] / t["native"] for t in found if who in t] for who in ("ours", "keras")}
            close = sum(r <= bound for r in ratios["ours"])
            means = ", ".join(f"{who} {statistics.geometric_mean(r):.2f}" for who, r in ratios.items() if r)
            lines.append(f"{backend} {direction}: {close} of {len(found)} at most {bound:.2f}; geometric mean {means}")
    return lines


def table(results: list[dict]) -> str:
    """Return the table in Markdown: for each backend time of the framework, and ours and Keras's as its multiple."""
    directions = list(dict.fromkeys(d for r in results for t in r["seconds"].values() for d in t))
    head = ["", *(f"{r['backend']} {d}" for r in results for d in directions)]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    cases = list(dict.fromkeys(c for r in results for c in r["seconds"]))
    for case in cases:
        cells = [f"`{case}`"]
        for r in results:
            for direction in directions:
                t = r["seconds"].get(case, {}).get(direction)
                cells.append("" if t is None else _cell(t))
        lines.append("| " + " | ".join(cells) + " |")
    sums = [f"- {line}" for r in results for line in summary(r["backend"], r["seconds"])]
    return "\n".join([*sums, "", *lines])


def _cell(t: dict) -> str:
    if "native" not in t:
        return f"{t['ours'] * 1e3:.2f} ms, Keras {t['keras'] * 1e3:.2f} ms" if "keras" in t else f"{t['ours'] * 1e3:.2f} ms"
    duration = f"{t['native'] * 1e6:.1f} us" if t["native"] < 1e-3 else f"{t['native'] * 1e3:.2f} ms"
    keras = f"{t['keras'] / t['native']:.2f}" if "keras" in t else "-"
    return f"**{t['ours'] / t['native']:.2f}** / {keras} ({duration})"


def main(measure: Callable, subject: str, description: str) -> None:
    """Run the command line: measure here, or in one process a backend."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="cases; all by default")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", type=Path, help="where to write the times")
    parser.add_argument("--backends", nargs="+", help="measure these, one process each, and write all tables")
    arguments = parser.parse_args()
    if not arguments.backends:
        result = measure(arguments.names, arguments.rounds)
        if arguments.json:
            arguments.json.parent.mkdir(exist_ok=True, parents=True)
            arguments.json.write_text(json.dumps(result, indent=1))
        return
    for backend in arguments.backends:
        environment = {**os.environ, "MULTIKERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, sys.argv[0], "--json", str(RESULTS / f"{subject}_{backend}.json")]
        subprocess.run([*command, "--rounds", str(arguments.rounds)], env=environment, check=True)
    write_page()


def write_page() -> None:
    """Write docs/benchmarks.md from what was measured last."""
    parts = [PAGE]
    for subject, heading in (("ops", "Ops"), ("layers", "Layers and optimizers")):
        results = [json.loads(f.read_text()) for f in sorted(RESULTS.glob(f"{subject}_*.json"))]
        if results:
            parts += [f"## {heading}", table(results)]
    (HERE.parent / "docs" / "benchmarks.md").write_text("\n\n".join(parts) + "\n")


PAGE = """# Benchmarks of ops, layers and optimizers

Written by `python benchmarks/ops.py --backends jax torch tensorflow` and `python benchmarks/layers.py --backends ...`. They
run multikeras, the framework by itself and Keras 3.15.1 in one process, in turns, on one CPU thread, in float32.

A cell is **ours / native**, then Keras / native, then the CPU time of the native call: below 1 is faster than the framework.
Forward is an eager call. Backward is forward and backward together, as in training: eager on torch, compiled by `jax.jit` and
`tf.function` (not XLA). Times are medians of turns, with freed memory kept. Calls of a few microseconds show what a call through
Python costs; figures vary by some 10 % from run to run."""


if __name__ == "__main__":
    main(measure, "ops", __doc__)
