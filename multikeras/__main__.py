"""The command line: `multikeras [--report] script.py`, `multikeras compare`, `multikeras env`."""

import argparse
import atexit
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from multikeras import compare
from multikeras.backend import backend
from multikeras.compare.table import print_results
from multikeras.dropin import missing
from multikeras.dropin.environment import print_environment
from multikeras.dropin.run import run_module, run_script

_USAGE = """\
multikeras [--report] script.py [args]     run a Keras program on multikeras
multikeras [--report] -m module [args]     the same for a module
multikeras compare script.py [options]     run it on each backend and compare
multikeras env                             versions, devices, the backend chosen and why"""


def _run_arguments(argv: list[str]) -> argparse.Namespace:
    about = "Run Keras programs on JAX, torch or TensorFlow."
    parser = argparse.ArgumentParser("multikeras", usage=_USAGE, description=about)
    parser.add_argument("--report", action="store_true", help="list at the end the names that multikeras lacks")
    parser.add_argument("-m", dest="module", nargs=argparse.REMAINDER, help="run a module")
    parser.add_argument("script", nargs=argparse.REMAINDER, help="the program and its arguments")
    return parser.parse_args(argv)


def _compare_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("multikeras compare", description="Run a Keras program on several backends.")
    parser.add_argument("script")
    parser.add_argument("--backends", nargs="+", metavar="NAME", help="default: all frameworks that are installed")
    parser.add_argument("--seed", type=int, default=0, help="the same for all (default: 0)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: multikeras-compare/SCRIPT")
    parser.add_argument(
        "--require-parity", type=float, metavar="TOL", help="fail unless the loss curves agree within this relative gap"
    )
    options, rest = argv, []
    if "--" in argv:
        options, rest = argv[: argv.index("--")], argv[argv.index("--") + 1 :]
    found = parser.parse_args(options)
    found.args = rest
    return found


def _honour_keras_backend() -> None:
    """Let KERAS_BACKEND choose where MULTIKERAS_BACKEND does not, by starting this command anew if need be."""
    wanted = os.environ.get("KERAS_BACKEND")
    if not wanted or os.environ.get("MULTIKERAS_BACKEND"):
        return
    os.environ["MULTIKERAS_BACKEND"] = wanted
    if wanted != backend():
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _compare(argv: list[str]) -> int:
    asked = _compare_arguments(argv)
    out = asked.out or Path("multikeras-compare") / Path(asked.script).stem
    try:
        results = compare.run(
            asked.script, asked.backends, seed=asked.seed, out=out, require_parity=asked.require_parity, args=asked.args
        )
    except (ValueError, FileNotFoundError) as error:
        print(f"multikeras {error}", file=sys.stderr)
        return 2
    console = Console()
    print_results(results, console)
    console.print(f"Written: {out / 'results.json'}, {out / 'report.html'}", highlight=False, soft_wrap=True)
    return results.exit_status


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] == ["compare"]:
        return _compare(argv[1:])
    if argv[:1] == ["env"]:
        return print_environment()
    asked = _run_arguments(argv)
    if not asked.module and not asked.script:
        print(_USAGE)
        return 2
    _honour_keras_backend()
    if asked.report:
        atexit.register(lambda: print(missing.report(), file=sys.stderr))
    if asked.module:
        return run_module(asked.module[0], asked.module[1:])
    return run_script(asked.script[0], asked.script[1:])


if __name__ == "__main__":
    sys.exit(main())
