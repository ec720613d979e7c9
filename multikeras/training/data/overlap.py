"""Batches fetched and moved to the device while the model computes."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

_LOOK = 3  # batches whose time decides
_SLOW = 1e-3  # seconds: below, handing over to a thread costs more than it gains
_AHEAD = 2
END = object()


def overlapped(batches: Iterator[Any], convert: Callable, state: Callable) -> Iterator[tuple[Any, Any]]:
    """Give `convert(batch)` and `state()` as it was after each batch; a thread works ahead once that proves slow."""
    batches = iter(batches)

    def fetch():
        batch = next(batches, END)
        return batch if batch is END else (convert(batch), state())

    quickest = float("inf")
    for _ in range(_LOOK):
        began = time.perf_counter()
        item = fetch()
        if item is END:
            return
        quickest = min(quickest, time.perf_counter() - began)
        yield item
    if quickest > _SLOW:
        yield from ahead(fetch)
        return
    while (item := fetch()) is not END:
        yield item


def ahead(fetch: Callable) -> Iterator[Any]:
    """Give what `fetch` returns until `END`, called in a thread; its exceptions come out here."""
    ready: queue.Queue = queue.Queue()
    room = threading.Semaphore(_AHEAD)
    stopped = threading.Event()

    def work():
        while room.acquire() and not stopped.is_set():
            try:
                item = fetch()
            except BaseException as error:
                ready.put((None, error))
                return
            ready.put((item, None))
            if item is END:
                return

    thread = threading.Thread(target=work, daemon=True, name="multikeras-batches")
    thread.start()
    try:
        while True:
            item, error = ready.get()
            if error is not None:
                raise error
            if item is END:
                return
            room.release()
            yield item
    finally:
        stopped.set()
        room.release()
        thread.join(timeout=5)  # others may use the same generator next
