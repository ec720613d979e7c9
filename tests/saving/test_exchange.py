"""Files go both ways between this package and Keras, on any backend: the same predictions, optimizer state and compile config."""

import inspect
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import multikeras as mk
from multikeras import backend

os.environ["KERAS_BACKEND"] = backend.current.name
if not backend.current.supports_gradients:
    pytest.skip("the models of the zoo are trained", allow_module_level=True)

from saving import exchange, zoo


def test_every_public_layer_is_in_some_model():
    public = {n for n, v in vars(mk.layers).items() if inspect.isclass(v) and issubclass(v, mk.layers.Layer) and v.__name__ == n}
    found = {"Lambda", *zoo.CELLS}.union(*(zoo.layers_in(family) for family in zoo.FAMILIES))
    assert sorted(public - found - set(zoo.NOT_IN_FILES)) == []


def test_every_public_optimizer_is_in_some_model():
    public = {n for n, v in vars(mk.optimizers).items() if inspect.isclass(v) and issubclass(v, mk.optimizers.Optimizer)}
    assert sorted(public - set(zoo.OPTIMIZERS) - {"Optimizer", "LossScaleOptimizer", "MultiOptimizer"}) == []


def check(found):
    found = list(found)
    assert found
    problems = [(name, ending, what) for name, ending, what in found if what]
    assert problems == []


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ours")
    exchange.write("multikeras", folder, zoo.QUICK)
    return folder


@pytest.mark.filterwarnings("ignore")
def test_what_we_write_loads_here(ours):
    check(exchange.read("multikeras", ours, zoo.QUICK))


@pytest.mark.filterwarnings("ignore")
def test_what_we_write_loads_in_keras(ours):
    pytest.importorskip("keras")
    found = exchange.read("keras", ours, zoo.QUICK_IN_KERAS, (".keras", ".weights.json"))
    check(found)


@pytest.mark.filterwarnings("ignore")
def test_what_keras_writes_loads_here(tmp_path):
    pytest.importorskip("keras")
    exchange.write("keras", tmp_path, zoo.QUICK_IN_KERAS)
    check(exchange.read("multikeras", tmp_path, zoo.QUICK_IN_KERAS, (".keras", ".h5", ".weights.json")))


def _installed():
    from importlib.util import find_spec

    return [b for b, module in (("jax", "jax"), ("torch", "torch"), ("tensorflow", "tensorflow")) if find_spec(module)]


def _run(package, name, folder, *arguments):
    environment = {**os.environ, "KERAS_BACKEND": name, "MULTIKERAS_BACKEND": name}
    root = Path(__file__).resolve().parents[2]
    environment["PYTHONPATH"] = os.pathsep.join([str(root), environment.get("PYTHONPATH", "")])
    command = [sys.executable, "-W", "ignore", str(Path(exchange.__file__)), package, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.mark.slow
def test_every_writer_and_every_reader(tmp_path):
    """Each package on each backend that is installed writes the whole zoo; on this backend both packages read it.

    Keras need not read of ours what it cannot read, or write, of its own: there are such `.h5` files on every backend.
    """
    pytest.importorskip("keras")
    here = backend.current.name
    sides = [(package, name) for package in ("multikeras", "keras") for name in _installed()]
    ours, theirs = ([f"{package}-{name}" for package, name in sides if package == wanted] for wanted in ("multikeras", "keras"))
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda side: _run(*side, tmp_path, "write", "-".join(side)), sides))
        ours_read = threads.submit(_run, "multikeras", here, tmp_path, "read", *ours, *theirs)
        theirs_read = threads.submit(_run, "keras", here, tmp_path, "read", f"keras-{here}", *ours)
    read = ours_read.result()
    assert [line for line in read if line["problems"]] == []
    assert len(read) > 100 * len(sides)
    read = theirs_read.result()
    own = [line for line in read if line["from"] == f"keras-{here}"]
    good = {(line["name"], line["ending"]) for line in own if not line["problems"]}
    assert {line["ending"] for line in own if line["problems"]} <= {".h5"}
    assert [line for line in read if line["problems"] and (line["name"], line["ending"]) in good] == []
    assert len(read) > 100 * len(ours)


def test_shards_hold_no_more_than_they_may_and_take_turns(tmp_path):
    model = mk.Sequential([mk.Input((8,)), *(mk.layers.Dense(8) for _ in range(6))])
    path = tmp_path / "m.weights.json"
    for _ in range(2):
        model.save_weights(path, max_shard_size=600 / 2**30)
        files = {name for names in json.loads(path.read_text())["weight_map"].values() for name in names}
        assert len(files) == 3
        assert {p.name for p in tmp_path.iterdir()} == {*files, path.name}
    other = mk.models.clone_model(model)
    other.load_weights(path)
    for a, b in zip(model.get_weights(), other.get_weights()):
        np.testing.assert_array_equal(a, b)
    sorted(tmp_path.glob("*.h5"))[0].unlink()
    with pytest.raises(ValueError, match="is missing"):
        other.load_weights(path)
    with pytest.raises(ValueError, match="more than max_shard_size"):
        model.save_weights(path, max_shard_size=100 / 2**30)


def test_a_load_says_what_matched(tmp_path):
    model = mk.Sequential([mk.Input((3,)), mk.layers.Dense(2), mk.layers.Dense(4)])
    model.save_weights(tmp_path / "m.weights.h5")
    other = mk.Sequential([mk.Input((3,)), mk.layers.Dense(2), mk.layers.Dense(5), mk.layers.Dense(1)])
    before = other.layers[1].get_weights()
    with pytest.warns(UserWarning, match="left out"):
        report = other.load_weights(tmp_path / "m.weights.h5", skip_mismatch=True)
    assert report.matched == ["layers/dense"]
    assert set(report.skipped) == {"layers/dense_1", "layers/dense_2"}
    np.testing.assert_array_equal(other.layers[0].get_weights()[0], model.layers[0].get_weights()[0])
    np.testing.assert_array_equal(other.layers[1].get_weights()[0], before[0])
    with pytest.raises(ValueError, match=r"layers/dense_1.*shape"):
        other.load_weights(tmp_path / "m.weights.h5")


def test_a_load_that_fails_leaves_the_model_as_it_was(tmp_path):
    model = mk.Sequential([mk.Input((3,)), mk.layers.Dense(2), mk.layers.Dense(4)])
    model.save_weights(tmp_path / "m.weights.h5")
    other = mk.Sequential([mk.Input((3,)), mk.layers.Dense(2), mk.layers.Dense(5)])
    before = other.get_weights()
    with pytest.raises(ValueError, match="shape"):
        other.load_weights(tmp_path / "m.weights.h5")
    for a, b in zip(before, other.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_old_files_by_name(tmp_path):
    layers = mk.layers
    first = mk.Sequential([mk.Input((3,)), layers.Dense(2, name="a"), layers.Dense(4, name="b")])
    with pytest.warns(UserWarning, match="Keras 2"):
        first.save(tmp_path / "m.h5")
    second = mk.Sequential([mk.Input((2,)), layers.Dense(4, name="b"), layers.Dense(2, name="c")])
    kept = second.layers[1].get_weights()[0]
    report = second.load_weights(tmp_path / "m.h5", by_name=True)
    assert (report.matched, report.unused) == (["b"], ["a"])
    np.testing.assert_array_equal(second.layers[0].get_weights()[0], first.layers[1].get_weights()[0])
    np.testing.assert_array_equal(second.layers[1].get_weights()[0], kept)
    with pytest.raises(ValueError, match="shape"):
        second.load_weights(tmp_path / "m.h5")


def test_loading_runs_no_initializer(tmp_path):
    calls = []

    @mk.saving.register_keras_serializable("exchange")
    class Counting(mk.initializers.Initializer):
        def __call__(self, shape, dtype=None):
            calls.append(shape)
            return mk.ops.ones(shape, dtype)

    model = mk.Sequential([mk.Input((3,)), mk.layers.Dense(2, kernel_initializer=Counting())])
    model.save(tmp_path / "m.keras")
    assert calls == [(3, 2)]
    np.testing.assert_array_equal(mk.saving.load_model(tmp_path / "m.keras").get_weights()[0], np.ones((3, 2)))
    assert calls == [(3, 2)]


@pytest.mark.filterwarnings("ignore")
def test_an_optimizer_that_has_not_stepped_starts_as_it_would(tmp_path):
    model = mk.Sequential([mk.Input((3,)), mk.layers.Dense(2)])
    model.compile(mk.optimizers.Adagrad(initial_accumulator_value=0.5), "mse")
    model.save(tmp_path / "m.keras")
    loaded = mk.saving.load_model(tmp_path / "m.keras")
    loaded.optimizer.build(loaded.trainable_variables)
    assert [float(np.max(v.numpy())) for v in loaded.optimizer.variables][2:] == [0.5, 0.5]


def test_the_editor_changes_files_that_load(tmp_path):
    model = mk.Sequential([mk.Input((2,)), mk.layers.Dense(3), mk.layers.Dense(3, dtype="bfloat16")])
    model.save(tmp_path / "m.keras")
    editor = mk.saving.KerasFileEditor(tmp_path / "m.keras")
    editor.summary()
    assert editor.compare(model) == {"status": "success", "error_count": 0, "match_count": 4}
    editor.add_weights("layers/dense", {"1": np.arange(3.0, dtype="float32")})
    editor.rename_object("dense_1", "dense_9")
    assert editor.compare(model)["error_count"] == 2
    editor.rename_object("dense_9", "dense_1")
    editor.save(tmp_path / "n.weights.h5")
    model.load_weights(tmp_path / "n.weights.h5")
    np.testing.assert_array_equal(model.get_weights()[1], [0, 1, 2])
    with pytest.raises(ValueError, match="has no '7'"):
        editor.delete_weight("dense", "7")
    with pytest.raises(ValueError, match="not in the file"):
        editor.delete_object("nothing")


def test_assets_travel_with_the_model(tmp_path):
    @mk.saving.register_keras_serializable("exchange")
    class WithAsset(mk.layers.Layer):
        text = ""

        def call(self, x):
            return x

        def save_assets(self, inner_path):
            Path(inner_path, "words.txt").write_text(self.text)

        def load_assets(self, inner_path):
            self.text = Path(inner_path, "words.txt").read_text()

        def save_own_variables(self, store):
            store["size"] = np.array(len(self.text))

        def load_own_variables(self, store):
            self.size = int(store["size"])

    layer = WithAsset()
    layer.text = "a b c"
    mk.Sequential([mk.Input((2,)), layer]).save(tmp_path / "m.keras")
    loaded = mk.saving.load_model(tmp_path / "m.keras").layers[0]
    assert (loaded.text, loaded.size) == ("a b c", 5)
