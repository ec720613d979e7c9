"""Downloads with a checked hash, and archives unpacked without trusting their members."""

import hashlib
import os
import re
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.parse
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from multikeras.utils.progbar import Progbar, print_msg

MAX_UNPACKED_BYTES = 64 * 2**30
"""An archive whose members add up to more is refused."""

_CHUNK = 2**16


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
        if recognize(path):
            _unpack_beside(path, folder, unpack)
            return True
    return False


def _unpack_beside(path: Path, folder: Path, unpack: Any) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f"{folder.name}.tmp-", dir=folder.parent))
    try:
        unpack(path, staging)
        if folder.is_dir():
            shutil.copytree(staging, folder, dirs_exist_ok=True)
        else:
            # mkdtemp makes folders for their owner only.
            staging.chmod(0o755)
            os.replace(staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _check_members(path: Path, members: list[tuple[str, int]]) -> None:
    for name, _ in members:
        parts = PurePosixPath(name.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or re.match(r"[A-Za-z]:", name):
            raise ValueError(f"{path}: member {name!r} would be written outside its folder. Nothing was unpacked.")
    total = sum(size for _, size in members)
    if total > MAX_UNPACKED_BYTES:
        raise ValueError(f"{path}: unpacks to {total} bytes, more than the {MAX_UNPACKED_BYTES} allowed.")


def _unpack_tar(path: Path, folder: Path) -> None:
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        for member in members:
            if not (member.isfile() or member.isdir()):
                raise ValueError(f"{path}: member {member.name!r} is a link or a device. Nothing was unpacked.")
        _check_members(path, [(m.name, m.size) for m in members])
        # The filter is not in the first releases of 3.11; members are checked above either way.
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(folder, members=members, **safe)


def _unpack_zip(path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        for member in members:
            if (member.external_attr >> 28) == 0o12:
                raise ValueError(f"{path}: member {member.filename!r} is a link. Nothing was unpacked.")
        _check_members(path, [(m.filename, m.file_size) for m in members])
        archive.extractall(folder)


_ARCHIVES = {"tar": (tarfile.is_tarfile, _unpack_tar), "zip": (zipfile.is_zipfile, _unpack_zip)}
_ARCHIVES["tar.gz"] = _ARCHIVES["tar.bz2"] = _ARCHIVES["tgz"] = _ARCHIVES["tar"]
