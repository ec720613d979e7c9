"""What is saved is there whole, or what was there before is: whatever happens in between."""

import contextlib
import os
import random
import re
import resource
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import saving_writer

import multikeras as mk
from multikeras.backend import current
from multikeras.saving import files

FORMATS = [".keras", "/", ".weights.h5", ".h5", ".safetensors"]
"""`/` is the folder that `zipped=False` writes."""
KILLED = [*FORMATS, ".weights.json"]
WHOLE = (".keras", "", ".h5")


def model(value, units=64):
    """A model whose weights are all `value`: one that is half one and half another is seen."""
    built = mk.Sequential([mk.Input((units,)), mk.layers.Dense(units), mk.layers.Dense(units)])
    fill(built, value)
    return built


def fill(built, value):
    built.set_weights([np.full(w.shape, value, "float32") for w in built.get_weights()])


def place(folder, ending):
    return folder / ("model" if ending == "/" else f"model{ending}")


def is_whole(path):
    """Tell whether a file holds a whole model, not weights only."""
    return path.suffix in WHOLE and not path.name.endswith(".weights.h5")


def save(built, path):
    if is_whole(path):
        built.save(path, zipped=None if path.suffix else False)
    else:
        saving_writer.save_weights(built, path)


def value_in(path, units=64):
    """Return the one value that all weights in a file have."""
    if is_whole(path):
        found = mk.saving.load_model(path, compile=False)
    else:
        found = model(-1, units)
        found.load_weights(path)
    values = {float(x) for w in found.get_weights() for x in np.unique(w)}
    assert len(values) == 1, f"weights of several saves in one file: {values}"
    return values.pop()


@contextlib.contextmanager
def small_disk(size):
    """Let no file grow beyond `size` bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("size", [0, 1000, 20_000, 33_000])
def test_a_full_disk(tmp_path, ending, size):
    path = place(tmp_path, ending)
    save(model(1), path)
    with small_disk(size), pytest.raises(OSError):
        save(model(2), path)
    assert value_in(path) == 1
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    save(model(3), path)
    assert value_in(path) == 3


@pytest.mark.gradients
@pytest.mark.parametrize("ending", [".keras", ".weights.h5"])
def test_a_full_disk_in_a_checkpoint(tmp_path, ending):
    path = place(tmp_path, ending)
    trained = model(1)
    trained.compile("sgd", "mse")
    keep = mk.callbacks.ModelCheckpoint(path, save_weights_only=ending == ".weights.h5")
    data = np.ones((4, 64)), np.ones((4, 64))
    trained.fit(*data, verbose=0, callbacks=[keep])
    before = path.read_bytes()
    with small_disk(10_000), pytest.raises(OSError):
        trained.fit(*data, verbose=0, callbacks=[keep])
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("name", ["fsync", "replace", "rename"])
def test_a_step_of_the_writing_fails(tmp_path, monkeypatch, ending, name):
    path = place(tmp_path, ending)
    save(model(1), path)

    def fails(*_, **__):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, name, fails)
        if ending == "/" and name == "rename":
            patch.setattr(files, "_exchange", lambda a, b: False)
        wanted = {"fsync", "rename" if ending == "/" else "replace"}
        with pytest.raises(OSError, match="model") if name in wanted else contextlib.nullcontext():
            save(model(2), path)
    assert value_in(path) == (1 if name in wanted else 2)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", KILLED)
def test_files_are_on_the_disk_before_they_get_their_name(tmp_path, monkeypatch, ending):
    """Whatever takes a name was synced as it is, and the folder is synced before the next name is taken or `save` returns."""
    on_disk, names_to_sync, taken = {}, set(), []
    fsync, replace, rename, exchange = os.fsync, os.replace, os.rename, files._exchange

    def version(path):
        return os.stat(path).st_size, os.stat(path).st_mtime_ns

    def synced(descriptor):
        fsync(descriptor)
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        on_disk[path] = version(path)
        names_to_sync.discard(path)

    def taking(step):
        def take(a, b):
            a = Path(a)
            assert ".tmp-" in a.name
            assert not names_to_sync
            for path in (a, *a.rglob("*")):
                assert on_disk.get(str(path)) == version(path), path
            done = step(a, b)
            names_to_sync.add(str(Path(b).parent))
            taken.append(Path(b).name)
            return done

        return take

    path = place(tmp_path, ending)
    save(model(1), path)
    for owner, name, step in ((os, "replace", replace), (os, "rename", rename), (files, "_exchange", exchange)):
        monkeypatch.setattr(owner, name, taking(step))
    monkeypatch.setattr(os, "fsync", synced)
    save(model(2), path)
    assert taken[-1] == path.name
    assert not names_to_sync


@contextlib.contextmanager
def as_nobody():
    """Run without the rights of root, to whom nothing is read-only."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("ending", FORMATS)
def test_a_read_only_folder(ending):
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        path = place(folder, ending)
        save(model(1), path)
        folder.chmod(0o555)
        two = model(2)
        with as_nobody(), pytest.raises(PermissionError, match="read-only"):
            save(two, path)
        folder.chmod(0o755)
        assert value_in(path) == 1
        assert [p.name for p in folder.iterdir()] == [path.name]


def test_a_folder_that_is_not_there(tmp_path):
    for ending in FORMATS:
        with pytest.raises(FileNotFoundError, match="does not exist"):
            save(model(1), place(tmp_path / "no", ending))


def test_links_and_permissions_of_the_old_file_are_kept(tmp_path):
    real, link = tmp_path / "real.weights.h5", tmp_path / "link.weights.h5"
    save(model(1), real)
    real.chmod(0o640)
    link.symlink_to(real)
    save(model(2), link)
    assert link.is_symlink()
    assert value_in(real) == 2
    assert real.stat().st_mode & 0o777 == 0o640


def test_what_killed_writers_left_is_removed_in_time(tmp_path):
    path = tmp_path / "model.weights.h5"
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True)
    old = tmp_path / f"{path.name}.tmp-{gone.stdout.strip()}-0123abcd"
    new, running = tmp_path / f"{path.name}.tmp-{gone.stdout.strip()}-0123abce", tmp_path / f"{path.name}.tmp-1-0123abcd"
    other = tmp_path / "another.weights.h5.tmp-1-0123abcd"
    for leftover in (old, new, running, other):
        leftover.write_text("half")
    for leftover in (old, running):
        os.utime(leftover, (time.time() - 3600,) * 2)
    save(model(1), path)
    assert {p.name for p in tmp_path.iterdir()} == {path.name, new.name, running.name, other.name}


@pytest.mark.parametrize("ending", FORMATS)
def test_threads_that_save_to_one_path(tmp_path, ending):
    path = place(tmp_path, ending)
    models = [model(value) for value in (1, 2, 3)]
    errors, go = [], threading.Barrier(3)

    def write(built):
        go.wait()
        try:
            for _ in range(3):
                save(built, path)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(m,)) for m in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert value_in(path) in (1, 2, 3)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def open_files():
    links = (f"/proc/self/fd/{descriptor}" for descriptor in os.listdir("/proc/self/fd"))
    return sorted(os.readlink(link) for link in links if os.path.lexists(link))


@pytest.mark.parametrize("ending", FORMATS)
def test_thirty_saves_and_loads_leave_no_open_files(tmp_path, ending):
    path = place(tmp_path, ending)
    built = model(1, 8)
    save(built, path)
    value_in(path, 8)
    before = open_files()
    for _ in range(30):
        save(built, path)
        value_in(path, 8)
    assert open_files() == before


@pytest.mark.parametrize("ending", FORMATS)
def test_twenty_bad_loads_leave_nothing(tmp_path, ending, monkeypatch):
    path = place(tmp_path, ending)
    save(model(1, 8), path)
    target = path / "model.weights.h5" if ending == "/" else path
    good = target.read_bytes()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    settings = mk.config.floatx(), mk.config.is_unsafe_deserialization_enabled()
    before = open_files()
    for i in range(20):
        target.write_bytes(good[: len(good) * i // 20])
        with pytest.raises(ValueError, match="model"):
            value_in(path, 8)
    assert open_files() == before
    assert not list(scratch.iterdir())
    assert settings == (mk.config.floatx(), mk.config.is_unsafe_deserialization_enabled())
    target.write_bytes(good)
    assert value_in(path, 8) == 1


@pytest.mark.gradients
def test_a_failed_load_leaves_model_and_optimizer_as_they_were(tmp_path):
    def trained(*sizes):
        built = mk.Sequential([mk.Input((4,)), *(mk.layers.Dense(n) for n in sizes), mk.layers.BatchNormalization()])
        built.compile("adam", "mse")
        built.fit(np.ones((4, 4)), np.ones((4, sizes[-1])), verbose=0)
        return built

    mine, other = trained(4, 4, 3), trained(4, 4, 2)
    for ending in (".keras", ".weights.h5"):
        save(other, place(tmp_path, ending))
        before = [v.numpy() for v in (*mine.variables, *mine.optimizer.variables)]
        with pytest.raises(ValueError, match=r"model\..*layers/\w+.*shape"):
            mine.load_weights(place(tmp_path, ending))
        for a, b in zip(before, (*mine.variables, *mine.optimizer.variables), strict=True):
            np.testing.assert_array_equal(a, b.numpy())


def test_a_layer_that_fails_in_the_middle_of_a_load(tmp_path):
    class Dense(mk.layers.Dense):
        def load_own_variables(self, store):
            super().load_own_variables(store)
            raise RuntimeError("this layer cannot be loaded")

    def built(value, last):
        whole = mk.Sequential([mk.Input((4,)), mk.layers.Dense(4), last])
        fill(whole, value)
        return whole

    path = tmp_path / "model.weights.h5"
    built(1, mk.layers.Dense(4)).save_weights(path)
    victim = built(2, Dense(4))
    with pytest.raises((RuntimeError, ValueError), match="cannot be loaded"):
        victim.load_weights(path)
    assert {float(x) for w in victim.get_weights() for x in np.unique(w)} == {2.0}


# -- with processes that are killed ------------------------------------------------------------------------------------

WRITER = """
    import sys
    sys.path.insert(0, {tests!r})
    from pathlib import Path
    from saving_writer import forever
    forever(Path({path!r}), {units})
"""


def writer(path, units, backend="numpy"):
    """Start a process that saves models of values 1, 2, 3, ... to one path; it tells the values that it has saved.

    What is killed is the same on every backend: most writers take the one that starts soonest.
    """
    code = textwrap.dedent(WRITER).format(tests=str(Path(__file__).parents[1]), path=str(path), units=units)
    environment = {**os.environ, "MULTIKERAS_BACKEND": backend}
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    assert child.stdout.readline() == "saved 1\n"
    return child


@pytest.mark.slow
@pytest.mark.parametrize("ending", KILLED)
def test_kill_9_in_a_save(tmp_path, ending):
    path, units = place(tmp_path, ending), 700
    waits = random.Random(ending)
    shards = re.compile(r"model(_[0-9a-f]{6})?_\d{5}\.weights\.h5(\.tmp-.*)?")
    for backend in (current.name, *["numpy"] * 5):
        child = writer(path, units, backend)
        time.sleep(waits.uniform(0, 0.5))
        os.kill(child.pid, signal.SIGKILL)
        told = child.communicate()[0].split()
        last = int(told[-1]) if told else 1
        assert value_in(path, units) in (last, last + 1)
        left = {p.name for p in tmp_path.iterdir()} - {path.name}
        left = {name for name in left if not (ending == ".weights.json" and shards.fullmatch(name))}
        assert all(name.startswith(f"{path.name}.tmp-") for name in left), left
    save(model(0, units), path)
    assert value_in(path, units) == 0


@pytest.mark.slow
@pytest.mark.parametrize("ending", KILLED)
def test_a_reader_beside_two_writers(tmp_path, ending):
    path, units = place(tmp_path, ending), 300
    child = writer(path, units)
    try:
        seen = [value_in(path, units) for _ in range(15)]
        assert seen == sorted(seen)
        assert len(set(seen)) > 1, "nothing was written in the meantime"
        second = writer(path, units)
        try:
            for _ in range(15):
                value_in(path, units)
        finally:
            second.kill()
            second.communicate()
    finally:
        child.kill()
        child.communicate()
    value_in(path, units)
