"""get_file: downloads are whole and as hashed, archives cannot write outside their folder."""

import gzip
import hashlib
import io
import os
import tarfile
import zipfile

import numpy as np
import pytest

from multikeras import utils
from multikeras.utils import files


@pytest.fixture
def source(tmp_path):
    """A file to download, its address and its hash."""
    path = tmp_path / "source" / "data.bin"
    path.parent.mkdir()
    path.write_bytes(b"some bytes" * 1000)
    return path


def address(path):
    return path.resolve().as_uri()


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_downloads_once_and_again_when_told(source, tmp_path):
    first = utils.get_file(origin=address(source), cache_dir=tmp_path)
    assert first == str(tmp_path / "datasets" / "data.bin")
    source.write_bytes(b"new")
    assert open(utils.get_file(origin=address(source), cache_dir=tmp_path), "rb").read() != b"new"
    assert open(utils.get_file(origin=address(source), cache_dir=tmp_path, force_download=True), "rb").read() == b"new"
    source.write_bytes(b"newer")
    found = utils.get_file(origin=address(source), cache_dir=tmp_path, file_hash=sha(source))
    assert open(found, "rb").read() == b"newer"


@pytest.mark.parametrize("wrong", ["0" * 64, "0" * 32])
def test_wrong_hash_is_refused_and_leaves_nothing(source, tmp_path, wrong):
    with pytest.raises(ValueError, match="Incomplete or corrupted file"):
        utils.get_file(origin=address(source), cache_dir=tmp_path, file_hash=wrong)
    assert os.listdir(tmp_path / "datasets") == []


def test_a_copy_of_wrong_hash_does_not_stay(source, tmp_path):
    place = utils.get_file(origin=address(source), cache_dir=tmp_path)
    for gone in (False, True):
        open(place, "wb").write(b"not what was expected")
        if gone:
            source.unlink()
        with pytest.raises((ValueError, OSError)):
            utils.get_file(origin=address(source), cache_dir=tmp_path, file_hash="0" * 64)
        assert os.listdir(tmp_path / "datasets") == []


def test_a_failed_download_keeps_the_old_copy(source, tmp_path):
    place = utils.get_file(origin=address(source), cache_dir=tmp_path)
    before = open(place, "rb").read()
    source.unlink()
    with pytest.raises(OSError, match=r"data\.bin"):
        utils.get_file(origin=address(source), cache_dir=tmp_path, force_download=True)
    assert open(place, "rb").read() == before
    assert os.listdir(tmp_path / "datasets") == ["data.bin"]


def test_md5(source, tmp_path):
    digest = hashlib.md5(source.read_bytes()).hexdigest()
    assert utils.get_file("x", address(source), md5_hash=digest, cache_dir=tmp_path)
    assert files.hash_file(source, "md5") == digest


def test_origin_and_name_are_needed(tmp_path):
    with pytest.raises(ValueError, match="origin"):
        utils.get_file("x", cache_dir=tmp_path)
    with pytest.raises(ValueError, match="fname"):
        utils.get_file(origin="http://example.org/", cache_dir=tmp_path)


def tar(path, *members):
    with tarfile.open(path, "w:gz") as archive:
        for member, content in members:
            member = tarfile.TarInfo(member) if isinstance(member, str) else member
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def link(name, target, kind):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def test_archives_are_unpacked(tmp_path):
    archive = tar(tmp_path / "a.tar.gz", ("folder/file.txt", b"text"))
    place = utils.get_file("a", address(archive), extract=True, cache_dir=tmp_path)
    assert open(os.path.join(place, "folder", "file.txt"), "rb").read() == b"text"
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as zipped:
        zipped.writestr("file.txt", "text")
    place = utils.get_file("b", address(tmp_path / "b.zip"), extract=True, cache_dir=tmp_path)
    assert os.listdir(place) == ["file.txt"]
    place = utils.get_file("c", address(archive), untar=True, cache_dir=tmp_path)
    assert os.listdir(place) == ["folder"]


@pytest.mark.parametrize(
    "member",
    [
        "../outside.txt",
        "/outside.txt",
        "folder/../../outside.txt",
        link("shortcut", "/etc/passwd", tarfile.SYMTYPE),
        link("hard", "../outside.txt", tarfile.LNKTYPE),
        link("device", "", tarfile.FIFOTYPE),
    ],
    ids=lambda m: getattr(m, "name", m),
)
def test_tar_members_that_leave_the_folder_are_refused_before_anything_is_written(tmp_path, member):
    archive = tar(tmp_path / "bad.tar.gz", ("good.txt", b"good"), (member, b""))
    with pytest.raises(ValueError, match="Nothing was unpacked"):
        files.extract_archive(archive, tmp_path / "to" / "here")
    assert not (tmp_path / "to" / "here").exists()
    assert not (tmp_path / "outside.txt").exists()
    assert os.listdir(tmp_path / "to") == []


@pytest.mark.parametrize("name", ["../outside.txt", "/outside.txt", "..\\outside.txt", "C:\\outside.txt"])
def test_zip_members_that_leave_the_folder_are_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(name, "x")
    with pytest.raises(ValueError, match="Nothing was unpacked"):
        files.extract_archive(tmp_path / "bad.zip", tmp_path / "here")
    assert not (tmp_path / "here").exists()


def test_zip_links_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        member = zipfile.ZipInfo("shortcut")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(ValueError, match="link"):
        files.extract_archive(tmp_path / "bad.zip", tmp_path / "here")


@pytest.mark.parametrize("compression", ["gz", "bz2", "xz"])
def test_damaged_archives_are_refused_whole(compression, tmp_path):
    numbers = np.random.default_rng(0)
    path = tmp_path / f"a.tar.{compression}"
    with tarfile.open(path, f"w:{compression}") as archive:
        for i in range(20):
            member = tarfile.TarInfo(f"file{i}")
            member.size = 1000
            archive.addfile(member, io.BytesIO(numbers.bytes(1000)))
    good = path.read_bytes()
    damaged = [good[:start] + bytes(50) + good[start + 50 :] for start in range(30, len(good) - 50, 300)]
    for content in (good[:100], good[: len(good) // 2], good[:-4], *damaged):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="Nothing was unpacked"):
            files.extract_archive(path, tmp_path / "here")
        assert not (tmp_path / "here").exists()


def test_a_compressed_file_that_is_no_archive_is_left(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"no tar"))
    assert not files.extract_archive(tmp_path / "a.gz", tmp_path / "here")


def test_executables_stay_executable(tmp_path):
    member = tarfile.TarInfo("run")
    member.mode = 0o4755
    files.extract_archive(tar(tmp_path / "a.tar.gz", (member, b"#!"), ("read", b"x")), tmp_path / "here")
    assert (tmp_path / "here" / "run").stat().st_mode & 0o7777 == 0o755
    assert (tmp_path / "here" / "read").stat().st_mode & 0o7777 == 0o644


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_UNPACKED_BYTES", 10)
    with pytest.raises(ValueError, match="more than"):
        files.extract_archive(tar(tmp_path / "a.tar.gz", ("big", b"x" * 11)), tmp_path / "here")


def test_what_is_no_archive(tmp_path):
    (tmp_path / "plain").write_text("x")
    assert not files.extract_archive(tmp_path / "plain", tmp_path / "here")
    assert not files.extract_archive(tmp_path / "plain", tmp_path / "here", None)
    with pytest.raises(ValueError, match="archive_format"):
        files.extract_archive(tmp_path / "plain", tmp_path / "here", "rar")
