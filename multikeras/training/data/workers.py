"""Processes that compute the batches of a PyDataset.

They are spawned, not forked: no lock, thread or device of this process is copied. They see the numpy backend, so that
none of them starts a framework or takes memory of an accelerator. Each ends when this process does, however it ends.
"""

import multiprocessing
import os
import pickle
import signal
import traceback
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any

_BACKEND = "MULTIKERAS_BACKEND"


class RemoteError(Exception):
    """The traceback of an exception in another process."""


class Workers:
    """Processes, started with the first batch that is asked for.

    Args:
        count: How many.
    """

    def __init__(self, count: int):
        self.count = count
        self.processes: list[Any] = []
        self.pipes: list[Connection] = []

    def batches(self, dataset: Any, indices: Iterable[int], size: int) -> Iterator[Any]:
        """Give `dataset[i]` for each index, in order, with up to `size` asked for ahead.

        An exception in a process is raised here, with its traceback there; RuntimeError if a process dies.
        """
        pickled = _pickled(dataset)
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
        context = multiprocessing.get_context("spawn")
        before = os.environ.get(_BACKEND)
        os.environ[_BACKEND] = "numpy"
        try:
            for _ in range(self.count):
                here, there = context.Pipe()
                process = context.Process(target=serve, args=(there,), daemon=True)
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


def _pickled(dataset: Any) -> bytes:
    try:
        return pickle.dumps(dataset)
    except Exception as error:
        raise ValueError(
            f"use_multiprocessing=True sends the PyDataset to other processes, but {type(dataset).__name__} cannot be pickled: "
            f"{error}. Open files and keep lambdas inside __getitem__, or use threads (use_multiprocessing=False)."
        ) from error


def serve(pipe: Connection) -> None:
    """Answer indices by batches until the other side is gone: what a worker process runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the business of the process that trains
    dataset: Any = None
    failure: Any = None
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
                answer: Any = failure or (None, None, dataset[message])
            except Exception as error:
                answer = (_picklable(error), traceback.format_exc(), None)
            pipe.send(answer)
    except (EOFError, OSError):
        return


def _picklable(error: Exception) -> Exception | None:
    try:
        return pickle.loads(pickle.dumps(error))
    except Exception:
        return None
