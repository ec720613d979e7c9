"""The published attacks on files of Keras, each by its number: none works here."""

import io
import json
import os
import pickle
import tarfile
import zipfile

import crafted
import h5py
import numpy as np
import pytest

import multikeras as mk
from multikeras.utils import files

refused = pytest.raises((ValueError, TypeError))


@pytest.fixture
def marker(tmp_path):
    """A file that exists after the test only if code of a file ran."""
    place = tmp_path / "owned"
    yield place
    assert not place.exists(), "code of the file ran"


def load(path, **more):
    return mk.saving.load_model(path, **more)


def test_cve_2024_3660_code_in_a_lambda(tmp_path, marker):
    path = crafted.with_layer(tmp_path, crafted.lambda_layer(crafted.code_that_writes(marker)))
    with pytest.raises(ValueError, match="arbitrary code execution"):
        load(path)
    trusted = load(path, safe_mode=False)
    trusted(np.ones((1, 3)))
    assert marker.exists(), "the attack works when the caller asks for it: the test tests something"
    marker.unlink()


@pytest.mark.parametrize("argument", ["output_shape", "mask"])
def test_cve_2024_3660_code_in_other_arguments_of_a_lambda(tmp_path, marker, argument):
    layer = crafted.lambda_layer("relu", **{argument: crafted.code_that_writes(marker)})
    with pytest.raises(ValueError, match="arbitrary code execution"):
        load(crafted.with_layer(tmp_path, layer))


@pytest.mark.parametrize(
    "record",
    [
        {"module": "subprocess", "class_name": "Popen", "config": {"args": ["touch", "owned"]}},
        {"module": "os", "class_name": "system", "config": "touch owned"},
        {"module": "builtins", "class_name": "exec", "config": {"source": "1"}},
        {"module": "antigravity", "class_name": "Anything", "config": {}},
        {"module": "keras.src.utils.python_utils", "class_name": "func_load", "config": {}},
        {"module": "multikeras.compare", "class_name": "Path", "config": {}},
        crafted.named_function("os", "system"),
        crafted.named_function("builtins", "eval"),
        crafted.named_function("pathlib", "Path"),
    ],
    ids=lambda r: f"{r['module']}.{r['class_name']}",
)
def test_cve_2025_1550_modules_named_by_a_file(tmp_path, record):
    import sys

    before = set(sys.modules)
    with refused:
        load(crafted.with_layer(tmp_path, {"registered_name": None, **record}))
    assert record["module"] not in set(sys.modules) - before


FUNCTIONS = [
    ("keras.utils", "get_file"),
    ("multikeras.utils.files", "get_file"),
    ("multikeras.utils", "get_file"),
    ("keras.models", "load_model"),
    ("keras.saving", "load_model"),
    ("multikeras.saving.saving_api", "load_model"),
    ("keras.saving", "load_weights"),
    ("keras.utils", "load_img"),
    ("keras.src.utils.image_utils", "load_img"),
    ("keras.utils", "set_random_seed"),
    ("keras.activations", "deserialize"),
    ("keras.losses", "get"),
    ("keras.layers", "deserialize"),
    ("keras.layers", "Dense"),
    ("multikeras.core.serialization", "_unpack_function"),
    (None, "_serialize"),
]


@pytest.mark.parametrize(("module", "name"), FUNCTIONS, ids=lambda x: str(x))
def test_cve_2025_8747_functions_of_the_library_as_tools(tmp_path, module, name):
    layer = crafted.lambda_layer(crafted.named_function(module, name), arguments={"origin": "file:///etc/passwd"})
    with pytest.raises((ValueError, TypeError), match=r"crafted\.keras.*Lambda"):
        load(crafted.with_layer(tmp_path, layer))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("keras.config", "enable_unsafe_deserialization"),
        ("multikeras.config", "enable_unsafe_deserialization"),
        ("keras.src.backend.common.global_state", "set_global_attribute"),
        ("keras.config", "set_floatx"),
    ],
)
def test_cve_2025_9906_a_file_that_switches_the_safety_off(tmp_path, module, name):
    with refused:
        load(crafted.with_layer(tmp_path, crafted.lambda_layer(crafted.named_function(module, name))))
    assert not mk.config.is_unsafe_deserialization_enabled()


def test_cve_2025_9905_code_in_a_legacy_file(tmp_path, marker):
    code = crafted.code_that_writes(marker)["config"]["value"]
    for function in (code, {"class_name": "__lambda__", "config": {"value": code}}):
        config = {"name": "l", "function": function, "function_type": "lambda", "module": "os", "arguments": {}}
        path = crafted.legacy(tmp_path / "old.h5", {"class_name": "Lambda", "config": config})
        for more in ({}, {"safe_mode": True}):
            with refused:
                load(path, **more)


@pytest.mark.parametrize("name", ["StringLookup", "IntegerLookup", "TextVectorization", "Hashing"])
@pytest.mark.parametrize("address", ["/etc/passwd", "https://example.org/words", "file:///etc/passwd"])
def test_cve_2025_12058_a_vocabulary_from_a_path(tmp_path, name, address):
    config = {"name": "words", "vocabulary": address}
    record = {"module": "keras.layers", "class_name": name, "config": config, "registered_name": None}
    with refused:
        load(crafted.with_layer(tmp_path, record))


def member(name, kind=tarfile.REGTYPE, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def tar_of(path, *infos):
    with tarfile.open(path, "w") as archive:
        for info in infos:
            info.size = 4 if info.isreg() else 0
            archive.addfile(info, io.BytesIO(b"evil"))
    return path


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil", "..\\evil", "C:evil"])
def test_cve_2025_12060_archives_that_write_outside(tmp_path, name):
    path = tar_of(tmp_path / "a.tar", member("fine"), member(name))
    with pytest.raises(ValueError, match="Nothing was unpacked"):
        mk.utils.get_file("data", path.as_uri(), extract=True, cache_dir=tmp_path / "cache")
    assert not list(tmp_path.rglob("evil"))
    assert not list(tmp_path.rglob("fine"))


def test_cve_2025_12060_is_not_about_the_working_folder(tmp_path, monkeypatch):
    """GHSA-hqp4-2352-xf5r: the check was made relative to the working folder."""
    monkeypatch.chdir("/")
    path = tar_of(tmp_path / "a.tar", member("../evil"))
    with pytest.raises(ValueError, match="Nothing was unpacked"):
        files.extract_archive(path, tmp_path / "to" / "here")
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_cve_2025_12638_links_in_archives(tmp_path, kind):
    path = tar_of(tmp_path / "a.tar", member("way", kind, "../.."), member("way/evil"))
    with pytest.raises(ValueError, match="Nothing was unpacked"):
        files.extract_archive(path, tmp_path / "here")
    assert not list(tmp_path.rglob("evil"))


def test_cve_2025_12638_names_too_long_to_resolve(tmp_path):
    """Beyond PATH_MAX, resolving a path stops early and links in it are not seen."""
    deep = "/".join(["d" * 200] * 30)
    for name in (deep + "/evil", "n" * 300):
        path = tar_of(tmp_path / "a.tar", member(name))
        with pytest.raises(ValueError, match="Nothing was unpacked"):
            files.extract_archive(path, tmp_path / "here")
    assert not (tmp_path / "here").exists()


def bomb(h5):
    del h5[crafted.KERNEL]
    h5.create_dataset(crafted.KERNEL, shape=(2**50,), dtype="float64", chunks=(1024,), compression="gzip")


def test_cve_2026_0897_a_shape_without_data(tmp_path):
    path = crafted.weights_of(tmp_path, bomb)
    with pytest.raises(ValueError, match=r"crafted\.weights\.h5.*layers/dense/vars/0.*shape bomb"):
        crafted.model().load_weights(path)
    members = crafted.unpacked(tmp_path / "base.keras")
    members["model.weights.h5"] = path.read_bytes()
    with pytest.raises(ValueError, match="shape bomb"):
        load(crafted.packed(tmp_path / "crafted.keras", members))


def test_cve_2026_0897_many_small_bombs(tmp_path):
    def change(h5):
        for i in range(100):
            h5.create_dataset(f"bombs/{i}", shape=(2**21,), dtype="float64", chunks=(1024,), compression="gzip")

    with pytest.raises(ValueError, match="shape bomb"):
        crafted.model().load_weights(crafted.weights_of(tmp_path, change))


def test_cve_2026_0897_zip_bombs(tmp_path):
    crafted.model().save(tmp_path / "base.keras")
    members = crafted.unpacked(tmp_path / "base.keras")
    for name in ("config.json", "model.weights.h5"):
        big = {**members, name: members[name] + b" " * 2**28}
        path = crafted.packed(tmp_path / "crafted.keras", big, zipfile.ZIP_DEFLATED)
        with pytest.raises(ValueError, match="decompression bomb"):
            load(path)


def test_cve_2026_0897_a_config_of_more_than_its_weights(tmp_path):
    def change(config):
        config["config"]["layers"][1]["config"]["units"] = 20_000_000

    with pytest.raises(ValueError, match="more than"):
        load(crafted.with_config(tmp_path, change))


def external_storage(h5, secret):
    del h5[crafted.KERNEL]
    h5.create_dataset(crafted.KERNEL, shape=(3, 4), dtype="float32", external=[(str(secret), 0, 48)])


def virtual(h5, secret):
    with h5py.File(str(secret) + ".h5", "w") as other:
        other["data"] = np.zeros((3, 4), "float32")
    layout = h5py.VirtualLayout(shape=(3, 4), dtype="float32")
    layout[:] = h5py.VirtualSource(str(secret) + ".h5", "data", shape=(3, 4))
    del h5[crafted.KERNEL]
    h5.create_virtual_dataset(crafted.KERNEL, layout)


def external_link(h5, secret):
    with h5py.File(str(secret) + ".h5", "w") as other:
        other["data"] = np.zeros((3, 4), "float32")
    del h5[crafted.KERNEL]
    h5[crafted.KERNEL] = h5py.ExternalLink(str(secret) + ".h5", "data")


def external_group(h5, secret):
    with h5py.File(str(secret) + ".h5", "w") as other:
        other["vars/0"], other["vars/1"] = np.zeros((3, 4), "float32"), np.zeros(4, "float32")
    del h5["layers/dense"]
    h5["layers/dense"] = h5py.ExternalLink(str(secret) + ".h5", "/")


def soft_link(h5, secret):
    h5.move(crafted.KERNEL, "elsewhere")
    h5[crafted.KERNEL] = h5py.SoftLink("/elsewhere")


@pytest.mark.parametrize("change", [external_storage, virtual, external_link, external_group, soft_link])
@pytest.mark.parametrize("ending", [".weights.h5", ".keras"])
def test_cve_2026_1669_data_from_elsewhere(tmp_path, change, ending):
    secret = tmp_path / "secret"
    secret.write_bytes(os.urandom(48))
    path = crafted.weights_of(tmp_path, lambda h5: change(h5, secret))
    place = r"layers/dense/vars/0|layers/dense'"
    if ending == ".weights.h5":
        victim = crafted.model()
        before = victim.get_weights()
        with pytest.raises(ValueError, match=place):
            victim.load_weights(path)
        for a, b in zip(before, victim.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    else:
        members = crafted.unpacked(tmp_path / "base.keras")
        members["model.weights.h5"] = path.read_bytes()
        with pytest.raises(ValueError, match=place):
            load(crafted.packed(tmp_path / "crafted.keras", members))


def test_cve_2026_1462_a_saved_model_by_its_path(tmp_path):
    config = {"name": "t", "filepath": str(tmp_path), "call_endpoint": "serve"}
    record = {"module": "keras.layers", "class_name": "TFSMLayer", "config": config, "registered_name": None}
    with pytest.raises(ValueError, match="safe mode"):
        load(crafted.with_layer(tmp_path, record))


def test_a_torch_module_in_a_config(tmp_path, marker):
    """The pickled module of a TorchModuleWrapper is code as well."""

    class Evil:
        def __reduce__(self):
            return open, (str(marker), "w")

    import base64

    config = {"name": "t", "module": base64.b64encode(pickle.dumps(Evil())).decode()}
    record = {"module": "keras.layers", "class_name": "TorchModuleWrapper", "config": config, "registered_name": None}
    with refused:
        load(crafted.with_layer(tmp_path, record))


@pytest.mark.parametrize("name", ["../evil", "/evil", "layers/../../../evil", "layers\\..\\..\\evil", "C:evil"])
def test_cve_2026_12479_assets_that_write_outside(tmp_path, name):
    crafted.model().save(tmp_path / "base.keras")
    members = {**crafted.unpacked(tmp_path / "base.keras"), f"assets/{name}": b"evil"}
    with pytest.raises(ValueError, match="Invalid asset path"):
        load(crafted.packed(tmp_path / "crafted.keras", members))
    assert not list(tmp_path.rglob("evil"))


def test_cve_2026_12479_names_of_layers_are_no_paths(tmp_path):
    def change(config):
        config["config"]["layers"][1]["config"]["name"] = "../../evil"

    path = crafted.with_config(tmp_path, change)
    with refused:
        load(path).save(tmp_path / "again.keras")
    assert not list(tmp_path.parent.glob("evil*"))


def test_cve_2026_12481_code_in_a_lambda_outside_of_load_model(tmp_path, marker):
    record = crafted.lambda_layer(crafted.code_that_writes(marker))
    for revive in (
        lambda: mk.layers.deserialize(record),
        lambda: mk.layers.Lambda.from_config(record["config"]),
        lambda: mk.saving.deserialize_keras_object(record),
        lambda: mk.activations.deserialize(record["config"]["function"]),
        lambda: mk.layers.Dense.from_config({"units": 1, "activation": record["config"]["function"]}),
        lambda: mk.models.model_from_json(json.dumps(record)),
    ):
        with pytest.raises(ValueError, match="arbitrary code execution"):
            revive()


def test_pickled_arrays_are_refused(tmp_path, marker):
    class Evil:
        def __reduce__(self):
            return open, (str(marker), "w")

    def change(h5):
        del h5[crafted.KERNEL]
        h5.create_dataset(crafted.KERNEL, data=np.void(pickle.dumps(Evil())))

    with pytest.raises(ValueError, match="dense"):
        crafted.model().load_weights(crafted.weights_of(tmp_path, change))
