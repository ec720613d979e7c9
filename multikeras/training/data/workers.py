"""Processes that compute the batches of a PyDataset.

They are spawned, not forked: no lock, thread or device of this process is copied. They see the numpy backend, so that
none of them starts a framework or takes memory of an accelerator. Each ends when this process does, however it ends.

Only a class that no other process can import, e.g. one typed into a notebook, makes copies of this process by a fork, where
the framework survives that.
"""

import contextlib
import importlib
import multiprocessing
import os
import pickle
import runpy
import signal
import sys
import traceback
import types
from collections.abc import Iterable, Iterator
from importlib.machinery import BuiltinImporter, ExtensionFileLoader, PathFinder, SourceFileLoader, SourcelessFileLoader
from multiprocessing.connection import Connection, wait
from typing import Any
from zipimport import zipimporter

from multikeras import config
from multikeras.backend import current

_BACKEND = "MULTIKERAS_BACKEND"
_LOADERS = (SourceFileLoader, SourcelessFileLoader, ExtensionFileLoader, zipimporter)


class RemoteError(Exception):
    """The traceback of an exception in another process."""


class Workers:
    """Processes, started with the first batch that is asked for.

    Args:
        count: How many.
    """

    def __init__(self, count: int):
        self.count = count
        self.forks = False
        self.processes: list[Any] = []
        self.pipes: list[Connection] = []

    def batches(self, dataset: Any, indices: Iterable[int], size: int) -> Iterator[Any]:
        """Give `dataset[i]` for each index, in order, with up to `size` asked for ahead.

        An exception in a process is raised here, with its traceback there; RuntimeError if a process dies.
        """
        pickled = _pickled(dataset)
        self.forks = not _is_found_elsewhere(type(dataset))
        if self.forks and (current.after_fork is None or not hasattr(os, "fork")):
            raise ValueError(
                f"use_multiprocessing=True sends the PyDataset to other processes, which cannot import {type(dataset).__name__} "
                f"from {type(dataset).__module__!r}. Put the class into a file, or use threads (use_multiprocessing=False)."
            )
        if self.processes and any(not p.is_alive() for p in self.processes):
            self.close()
        if not self.processes:
            self._start()
        finished = False
        try:
            for pipe in self.pipes:
                pipe.send_bytes(pickled)
            asked = given = 0
            more = True
            indices = iter(indices)
            while more or given < asked:
                while more and asked - given < max(size, self.count):
                    index = next(indices, None)
                    more = index is not None
                    if more:
                        self.pipes[asked % self.count].send(index)
                        asked += 1
                if given < asked:
                    yield self._receive(given % self.count)
                    given += 1
            finished = True
        except (BrokenPipeError, ConnectionResetError):
            self._report_death()
        finally:
            if not finished:
                self.close()  # batches that nobody wants are on their way

    def _start(self) -> None:
        if self.forks:
            self._fork()
        else:
            self._spawn()

    def _fork(self) -> None:
        context = multiprocessing.get_context("fork")
        for _ in range(self.count):
            here, there = context.Pipe()
            self.pipes.append(here)
            process = context.Process(target=_serve_forked, args=(there, self.pipes), daemon=True)
            process.start()
            there.close()
            self.processes.append(process)

    def _spawn(self) -> None:
        context = multiprocessing.get_context("spawn")
        before = os.environ.get(_BACKEND)
        os.environ[_BACKEND] = "numpy"
        try:
            for _ in range(self.count):
                here, there = context.Pipe()
                with _unnamed_program() as program:
                    process = context.Process(target=serve, args=(there, program, config.process_setup), daemon=True)
                    process.start()
                there.close()
                self.pipes.append(here)
                self.processes.append(process)
        finally:
            os.environ.pop(_BACKEND) if before is None else os.environ.__setitem__(_BACKEND, before)

    def _receive(self, i: int) -> Any:
        pipe = self.pipes[i]
        ready = wait([pipe, *(p.sentinel for p in self.processes)])
        if pipe not in ready:
            self._report_death()
        try:
            error, text, batch = pipe.recv()
        except (EOFError, ConnectionResetError):
            self._report_death()
        if text is None:
            return batch
        if error is None:
            raise RuntimeError(f"A worker process of the PyDataset failed:\n{text}")
        raise error from RemoteError(f"\n\nIn the worker process:\n{text}")

    def _report_death(self) -> None:
        for process in self.processes:
            process.join(timeout=1)  # its status comes a moment after its pipe is closed
            status = process.exitcode
            if status is not None:
                how = f"was killed by signal {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
                raise RuntimeError(
                    f"A worker process of the PyDataset died: process {process.pid} {how}. SIGKILL often means that memory "
                    "ran out; status 1 before the first batch that the program cannot be imported: guard what it runs by "
                    '`if __name__ == "__main__":`.'
                )
        raise RuntimeError("A worker process of the PyDataset closed its connection.")

    def close(self) -> None:
        """End the processes."""
        for pipe in self.pipes:
            pipe.close()
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            process.join(timeout=5)
            if process.is_alive():
                process.kill()
                process.join()
        self.pipes, self.processes = [], []


def _is_found_elsewhere(cls: type) -> bool:
    """Tell whether a process that starts anew could import a class."""
    module = sys.modules.get(cls.__module__)
    spec = getattr(module, "__spec__", None)
    if cls.__module__ == "__main__":
        return spec is not None or hasattr(module, "__file__")
    if spec is not None and (spec.loader is BuiltinImporter or type(spec.loader) in _LOADERS):
        return True
    places, name = None, ""
    for part in cls.__module__.split("."):
        name = f"{name}.{part}" if name else part
        spec = PathFinder.find_spec(name, places)
        if spec is None:
            return False
        places = spec.submodule_search_locations
    return True


def _pickled(dataset: Any) -> bytes:
    try:
        return pickle.dumps(dataset)
    except Exception as error:
        raise ValueError(
            f"use_multiprocessing=True sends the PyDataset to other processes, but {type(dataset).__name__} cannot be pickled: "
            f"{error}. Open files and keep lambdas inside __getitem__, or use threads (use_multiprocessing=False)."
        ) from error


@contextlib.contextmanager
def _unnamed_program() -> Iterator[tuple[str | None, str | None]]:
    """Give name and path of the program; inside, processes are started without it: they take it on by themselves."""
    main = sys.modules["__main__"]
    spec, path = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    hidden = {k: main.__dict__.pop(k) for k in ("__file__",) if k in main.__dict__}
    main.__spec__ = None
    try:
        yield getattr(spec, "name", None), None if path is None else os.path.abspath(path)
    finally:
        main.__spec__ = spec
        main.__dict__.update(hidden)


def _take_on(program: tuple[str | None, str | None], setup: list[str]) -> None:
    """Run the program's definitions, so that classes of it are found; first what the program's process did before."""
    for place in setup:
        module, _, function = place.partition(":")
        getattr(importlib.import_module(module), function)()
    name, path = program
    if name and not name.endswith("__main__"):
        content = runpy.run_module(name, run_name="__mp_main__", alter_sys=True)
    elif not name and path and os.path.isfile(path):
        content = runpy.run_path(path, run_name="__mp_main__")
    else:
        return
    module = types.ModuleType("__mp_main__")
    module.__dict__.update(content)
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module


def serve(pipe: Connection, program: tuple[str | None, str | None], setup: list[str]) -> None:
    """Answer indices by batches until the other side is gone: what a worker process runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the business of the process that trains
    dataset: Any = None
    failure: Any = None
    broken: Any = None
    try:
        _take_on(program, setup)
    except Exception:
        broken = (None, traceback.format_exc(), None)
    try:
        while True:
            pickled = pipe.recv_bytes()
            try:
                message = pickle.loads(pickled)
            except Exception as error:  # its class cannot be imported here
                failure = (_picklable(error), traceback.format_exc(), None)
                continue
            if not isinstance(message, int):
                dataset, failure = message, None
                continue
            try:
                answer: Any = broken or failure or (None, None, dataset[message])
            except Exception as error:
                answer = (_picklable(error), traceback.format_exc(), None)
            pipe.send(answer)
    except (EOFError, OSError):
        return


def _serve_forked(pipe: Connection, others: list[Connection]) -> None:
    """Serve in a copy of the process: without its ends of the pipes, which would outlive it here."""
    for other in others:
        other.close()
    current.after_fork()  # type: ignore[misc]
    serve(pipe, (None, None), [])


def _picklable(error: Exception) -> Exception | None:
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return None
