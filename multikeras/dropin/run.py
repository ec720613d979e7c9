"""Running a program on multikeras as if it were run on Keras."""

import importlib.util
import io
import os
import runpy
import sys
import traceback
import types
from collections.abc import Sequence

from multikeras.dropin.finder import install


def run_script(path: str, args: Sequence[str] = ()) -> int:
    """Run a script as `__main__` with `import keras` served; return its exit status.

    A traceback that leaves the script is printed without the frames of this package.
    """
    if not os.path.isfile(path):
        print(f"multikeras: there is no file {path!r}.", file=sys.stderr)
        return 2
    install()
    with io.open_code(os.path.abspath(path)) as file:
        source = file.read()
    sys.argv = [path, *args]
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    main = types.ModuleType("__main__")
    main.__file__ = path
    main.__builtins__ = __builtins__
    sys.modules["__main__"] = main
    try:
        exec(compile(source, path, "exec"), main.__dict__)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        _print_from(error, path)
        return 1
    return 0


def run_module(name: str, args: Sequence[str] = ()) -> int:
    """Run a module as `__main__`, as `python -m` does, with `import keras` served; return its exit status."""
    install()
    sys.path.insert(0, os.getcwd())
    sys.argv = [name, *args]
    if importlib.util.find_spec(name) is None:
        print(f"multikeras: there is no module {name!r}.", file=sys.stderr)
        return 2
    try:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        _print_from(error, None)
        return 1
    return 0


def _print_from(error: BaseException, path: str | None) -> None:
    """Print the traceback of `error`, from the frame of `path` on; of the first frame beyond runpy for None."""
    frames = error.__traceback__
    while frames is not None:
        file = frames.tb_frame.f_code.co_filename
        if file == path or (path is None and file != __file__ and "runpy" not in file):
            break
        frames = frames.tb_next
    traceback.print_exception(type(error), error, frames or error.__traceback__)
