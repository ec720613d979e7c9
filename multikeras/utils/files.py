"""Downloads with a checked hash, and archives unpacked without trusting their members."""

import bz2
import contextlib
import gzip
import hashlib
import lzma
import os
import re
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.parse
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from multikeras.utils.progbar import Progbar, print_msg

MAX_UNPACKED_BYTES = 64 * 2**30
"""An archive whose members add up to more is refused."""

_CHUNK = 2**16
_LONGEST_PATH, _LONGEST_NAME = 2048, 255
"""Bytes in the name of a member and in each part of it: beyond what a system resolves, links would not be seen."""
_MOST_MEMBERS = 10**6


def hash_file(path: str | os.PathLike, algorithm: str = "sha256") -> str:
    """Return the hash of a file's content in hexadecimal digits.

    Args:
        path: The file.
        algorithm: `"sha256"` or `"md5"`.
    """
    digest = hashlib.md5(usedforsecurity=False) if algorithm == "md5" else hashlib.new(algorithm)
    with open(path, "rb") as file:
        while block := file.read(_CHUNK):
            digest.update(block)
    return digest.hexdigest()


def _matches(path: Path, expected: str, algorithm: str) -> bool:
    if algorithm == "auto":
        algorithm = "sha256" if len(expected) == 64 else "md5"
    return hash_file(path, algorithm) == expected.lower()


def _download(origin: str, target: Path, expected: str | None, algorithm: str) -> None:
    """Fetch `origin` into a temporary file beside `target`; move it there once it is whole and its hash is right."""
    from urllib.request import urlopen  # slow to import: only programs that download pay

    handle, name = tempfile.mkstemp(prefix=f"{target.name}.tmp-", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file, urlopen(origin) as answer:
            size = answer.headers.get("Content-Length")
            _copy_with_progress(answer, file, int(size) if size else None)
            file.flush()
            os.fsync(file.fileno())
        if expected is not None and not _matches(temporary, expected, algorithm):
            raise ValueError(
                f"Incomplete or corrupted file: {origin} does not have the {algorithm} hash {expected} that "
                "get_file was told to expect."
            )
        os.replace(temporary, target)
    except urllib.error.HTTPError as error:
        raise OSError(f"get_file: {origin} answered {error.code} {error.reason}.") from error
    except urllib.error.URLError as error:
        raise OSError(f"get_file: {origin} could not be reached ({error.reason}).") from error
    finally:
        temporary.unlink(missing_ok=True)


def _copy_with_progress(source: Any, file: BinaryIO, size: int | None) -> None:
    bar = Progbar(size, unit_name="byte")
    done = 0
    while block := source.read(_CHUNK):
        file.write(block)
        done += len(block)
        bar.update(done, finalize=False)
    if size is not None and done != size:
        raise OSError(f"get_file: the connection ended after {done} of {size} bytes.")
    bar.update(done, finalize=True)


def get_file(
    fname: str | os.PathLike | None = None,
    origin: str | None = None,
    untar: bool = False,
    md5_hash: str | None = None,
    file_hash: str | None = None,
    cache_subdir: str = "datasets",
    hash_algorithm: str = "auto",
    extract: bool = False,
    archive_format: Any = "auto",
    cache_dir: str | os.PathLike | None = None,
    force_download: bool = False,
) -> str:
    """Return the path of a local copy of `origin`, downloading it if there is none.

    Args:
        fname: Name of the copy, the last part of the address if not given; with `extract` the name of the folder.
        origin: Address (`https://`, `http://`, `ftp://`, `file://`).
        untar: Old spelling of `extract=True` for tar archives.
        md5_hash: Old spelling of `file_hash`.
        file_hash: Hash of the file; a copy that does not have it is downloaded again.
        cache_subdir: Folder below the cache.
        hash_algorithm: `"md5"`, `"sha256"` or `"auto"` (by length).
        extract: Unpack the archive and return the folder.
        archive_format: `"auto"`, `"tar"`, `"zip"`, a list of these, or None for no archive.
        cache_dir: The cache, `~/.keras` (or `KERAS_HOME`) if not given.
        force_download: Download even if there is a copy.

    Raises: ValueError if the hash is wrong or a member of the archive leads outside; OSError if the download fails.
    """
    if origin is None:
        raise ValueError('get_file: pass origin=, the address of the file. "origin" is missing.')
    if cache_dir is None:
        cache_dir = os.environ.get("KERAS_HOME", os.path.join("~", ".keras"))
    if md5_hash is not None and file_hash is None:
        file_hash, hash_algorithm = md5_hash, "md5"
    if not fname:
        fname = os.path.basename(urllib.parse.urlsplit(origin).path)
        if not fname:
            raise ValueError(f"get_file: origin={origin!r} ends without a file name. Pass fname=.")
    name = os.fspath(fname)
    folder = _writable_folder(Path(cache_dir).expanduser()) / cache_subdir
    folder.mkdir(parents=True, exist_ok=True)
    if untar and name.endswith(".tar.gz"):
        unpacked, download = folder / f"{name.removesuffix('.tar.gz')}_extracted", folder / name
    elif extract or untar:
        unpacked, download = folder / name, folder / f"{name}_archive"
    else:
        unpacked, download = None, folder / name
    usable = download.is_file() and not force_download
    if usable and file_hash is not None and not _matches(download, file_hash, hash_algorithm):
        print_msg(f"{download} does not have the {hash_algorithm} hash {file_hash}: downloading it again.")
        download.unlink()  # also if the download fails, nobody uses it
        usable = False
    if not usable:
        print_msg(f"Downloading {origin}")
        _download(origin, download, file_hash, hash_algorithm)
    if unpacked is None:
        return str(download)
    if not usable or not unpacked.exists():
        if not extract_archive(download, unpacked, "tar" if untar else archive_format):
            raise ValueError(f"get_file: {origin} is no archive of format {archive_format!r}; drop extract=True.")
    return str(unpacked)


def _writable_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.gettempdir()) / ".keras"
    return folder if os.access(folder, os.W_OK) else Path(tempfile.gettempdir()) / ".keras"


def extract_archive(path: str | os.PathLike, folder: str | os.PathLike = ".", archive_format: Any = "auto") -> bool:
    """Unpack a tar or zip archive whole or not at all; return whether it was one.

    Members with absolute names or `..`, links, devices, and contents beyond `MAX_UNPACKED_BYTES` are refused with
    a ValueError before anything is written.
    """
    formats = {None: (), "auto": ("tar", "zip")}.get(
        archive_format if archive_format is None or isinstance(archive_format, str) else "", archive_format
    )
    path, folder = Path(path), Path(folder)
    for kind in (formats,) if isinstance(formats, str) else formats:
        if kind not in _ARCHIVES:
            raise ValueError(f"archive_format={kind!r} is unknown. Expected one of {', '.join(_ARCHIVES)}, auto.")
        recognize, unpack = _ARCHIVES[kind]
        with _damage_told(path):
            recognized = recognize(path)
        if recognized:
            _unpack_beside(path, folder, unpack)
            return True
    return False


@contextlib.contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, OSError) as error:
        if getattr(error, "errno", None) is not None:
            raise  # of the system, not of a module that unpacks
        raise ValueError(f"{path} is damaged: {error}. Nothing was unpacked.") from error


def _unpack_beside(path: Path, folder: Path, unpack: Any) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f"{folder.name}.tmp-", dir=folder.parent))
    try:
        with _damage_told(path):
            unpack(path, staging)
        if folder.is_dir():
            shutil.copytree(staging, folder, dirs_exist_ok=True)
        else:
            # mkdtemp makes folders for their owner only.
            staging.chmod(0o755)
            os.replace(staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


class _Members:
    """The members of an archive, each checked before any is written: name, kind, and sizes in sum."""

    def __init__(self, path: Path):
        self.path, self.total = path, 0
        self.found: list[tuple[Any, tuple[str, ...], int]] = []
        """Member, the parts of its name, its permissions; -1 for a folder."""

    def add(self, member: Any, name: str, size: int, mode: int) -> None:
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or any(c in name for c in "\\\0") or re.match(r"[A-Za-z]:", name):
            self.refuse(name, "would be written outside its folder")
        if len(os.fsencode(name)) > _LONGEST_PATH or any(len(os.fsencode(part)) > _LONGEST_NAME for part in parts):
            self.refuse(name, "has a name that is too long")
        self.total += size
        if self.total > MAX_UNPACKED_BYTES:
            self.refuse(name, f"and those before it unpack to {self.total} bytes, more than the {MAX_UNPACKED_BYTES} allowed")
        if len(self.found) >= _MOST_MEMBERS:
            self.refuse(name, f"is one of more than {_MOST_MEMBERS}")
        self.found.append((member, parts, mode))

    def refuse(self, name: str, problem: str) -> None:
        shown = name if len(name) < 100 else f"{name[:97]}..."
        raise ValueError(f"{self.path}: member {shown!r} {problem}. Nothing was unpacked.")

    def unpack(self, folder: Path, opened: Any) -> None:
        """Write the members into a folder that is new; `opened(member)` gives their content."""
        free = shutil.disk_usage(folder).free
        if self.total > free:
            raise OSError(f"{self.path}: unpacks to {self.total} bytes, {free} are free. Nothing was unpacked.")
        for member, parts, mode in self.found:
            place = folder.joinpath(*parts)
            if mode < 0:
                place.mkdir(parents=True, exist_ok=True)
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            with opened(member) as source, open(place, "wb") as target:
                shutil.copyfileobj(source, target, _CHUNK)
            place.chmod(0o644 | (mode & 0o111))


def _is_tar(path: Path) -> bool:
    """Whether a file is a tar archive, compressed or not; compressed and damaged raises."""
    if tarfile.is_tarfile(path):
        return True
    with open(path, "rb") as file:
        start = file.read(max(map(len, _COMPRESSED)))
    for magic, opened in _COMPRESSED.items():
        if start.startswith(magic):
            with opened(path) as file:
                _read_to_end(path, file)
    return False


_COMPRESSED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}


def _unpack_tar(path: Path, folder: Path) -> None:
    members = _Members(path)
    with tarfile.open(path) as archive:
        for member in archive:
            if not (member.isfile() or member.isdir()):
                members.refuse(member.name, "is a link or a device")
            members.add(member, member.name, member.size, -1 if member.isdir() else member.mode)
        _read_to_end(path, archive.fileobj)
        members.unpack(folder, archive.extractfile)


def _read_to_end(path: Path, file: Any) -> None:
    """Read what is left of a compressed stream: its checksum stands at its end."""
    left = MAX_UNPACKED_BYTES
    while block := file.read(_CHUNK):
        left -= len(block)
        if left < 0:
            raise ValueError(f"{path}: more than {MAX_UNPACKED_BYTES} bytes follow its members. Nothing was unpacked.")


def _unpack_zip(path: Path, folder: Path) -> None:
    members = _Members(path)
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if (member.external_attr >> 28) not in _FILE_OR_FOLDER:
                members.refuse(member.filename, "is a link or a device")
            # `filename` was changed for this system, which would hide what the file says.
            name = getattr(member, "orig_filename", member.filename)
            members.add(member, name, member.file_size, -1 if member.is_dir() else member.external_attr >> 16)
        members.unpack(folder, archive.open)


_FILE_OR_FOLDER = (0, 0o10, 0o04)
"""The kinds of Unix files that may be in an archive; 0 where it was not made on Unix."""
_ARCHIVES = {"tar": (_is_tar, _unpack_tar), "zip": (zipfile.is_zipfile, _unpack_zip)}
_ARCHIVES["tar.gz"] = _ARCHIVES["tar.bz2"] = _ARCHIVES["tgz"] = _ARCHIVES["tar"]
