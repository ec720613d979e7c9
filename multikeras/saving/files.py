"""Files that are whole or not there: written beside the target, synced, renamed."""

import contextlib
import ctypes
import errno
import functools
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_ABANDONED_AFTER = 600
"""Seconds after which the temporary file of a process that is gone is removed by the next writer."""

_LONGEST_NAME = 200


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path in the same folder; after the block it takes the place of `path`, on an error it is removed.

    What is written there is on the disk before it gets its name, and the name is on the disk at the end of the block.

    Raises OSError for a target that cannot be written: no folder, no permission, a full disk, something that is no file.
    """
    target, temporary = _prepared(path)
    if target.exists() and not target.is_file():
        raise OSError(f"Cannot write {str(target)!r}: it exists and is no file.")
    try:
        yield temporary
        with _named(target):
            _sync(temporary)
            if target.exists():
                os.chmod(temporary, stat.S_IMODE(target.stat().st_mode))
            os.replace(temporary, target)
            _sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


@functools.cache
def _early_writer() -> Callable | None:
    """Return the system call that tells the disk to write a part of a file now, None where there is none."""
    call = getattr(ctypes.CDLL(None), "sync_file_range", None) if os.name == "posix" else None
    if call is not None:
        call.argtypes = ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint
    return call


def send_to_disk(file: BinaryIO, start: int, count: int) -> None:
    """Let the disk write a part of a file while the next one is made, so that the sync at the end waits for little."""
    call, only_begin = _early_writer(), 2
    if call is not None:
        call(file.fileno(), start, count, only_begin)


@contextlib.contextmanager
def replacing_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary folder beside `path`; after the block it takes the place of `path`, on an error it is removed."""
    target, temporary = _prepared(path)
    if target.exists() and not target.is_dir():
        raise OSError(f"Cannot write the folder {str(target)!r}: there is a file of that name.")
    with _named(target):
        temporary.mkdir()
    try:
        yield temporary
        with _named(target):
            for place in (*temporary.rglob("*"), temporary):
                _sync(place)
            _take_place(temporary, target)
            _sync(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Wait until nobody else is inside such a block for the same folder, where the system knows locks on folders."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems have none
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def remove_old(found: os.PathLike) -> None:
    """Remove a file that a writer left a while ago."""
    with contextlib.suppress(OSError):
        if time.time() - os.stat(found, follow_symlinks=False).st_mtime > _ABANDONED_AFTER:
            os.unlink(found)


def _prepared(path: str | os.PathLike) -> tuple[Path, Path]:
    """Return the file to replace, links followed, and a temporary name beside it."""
    target = Path(os.path.realpath(path))
    folder = target.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"Cannot write {str(path)!r}: the folder {str(folder)!r} does not exist. Make it first.")
    if not _may(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"Cannot write {str(path)!r}: the folder {str(folder)!r} is read-only.")
    if target.exists() and not _may(target, os.W_OK):
        raise PermissionError(f"Cannot write {str(path)!r}: the file is read-only.")
    stem = target.name[:_LONGEST_NAME]
    _remove_abandoned(folder, stem)
    return target, folder / f"{stem}.tmp-{os.getpid()}-{secrets.token_hex(4)}"


def _may(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def _remove_abandoned(folder: Path, stem: str) -> None:
    """Remove what writers of the same name left here when they were killed."""
    if os.name != "posix":
        return  # there is no harmless way to ask for a process
    pattern = re.compile(re.escape(stem) + r"\.tmp-(\d{1,9})-[0-9a-f]{8}(-old)?")
    for found in os.scandir(folder):
        match = pattern.fullmatch(found.name)
        if match is None or match[2] or _runs(int(match[1])):
            continue
        with contextlib.suppress(OSError):
            if time.time() - found.stat(follow_symlinks=False).st_mtime > _ABANDONED_AFTER:
                shutil.rmtree(found.path) if found.is_dir(follow_symlinks=False) else os.unlink(found.path)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


@contextlib.contextmanager
def _named(target: Path) -> Iterator[None]:
    """Let an OSError say which file was being written."""
    try:
        yield
    except OSError as error:
        raise type(error)(error.errno, f"{error.strerror}, while writing {str(target)!r}") from error


def _sync(path: Path) -> None:
    if os.name != "posix" and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _take_place(temporary: Path, target: Path) -> None:
    """Give a folder the name `target`; one that has it already, perhaps of a moment ago, becomes `temporary`."""
    try:
        os.rename(temporary, target)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        if not _exchange(temporary, target):
            # Where the system cannot swap two folders, a kill just here leaves the old one under its temporary name.
            old = temporary.with_name(temporary.name + "-old")
            os.rename(target, old)
            os.rename(temporary, target)
            os.rename(old, temporary)


def _exchange(a: Path, b: Path) -> bool:
    """Swap two folders in one step, where the system can; return whether it did."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    at_working_folder, exchange = -100, 2
    return rename is not None and rename(at_working_folder, os.fsencode(a), at_working_folder, os.fsencode(b), exchange) == 0
