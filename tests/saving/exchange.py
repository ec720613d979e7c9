"""One side of an exchange of files: `exchange.py PACKAGE write FOLDER` and `exchange.py PACKAGE read FOLDER...`.

Run with KERAS_BACKEND or MULTIKERAS_BACKEND set. A writer leaves every model of the zoo in every format it has, with what the
model predicts and the state of its optimizer; a reader prints a line of JSON for each file: where from, and what was wrong.
"""

import importlib
import json
import os
import sys
import traceback
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from saving import zoo

WHOLE, WEIGHTS = (".keras", ".h5"), (".weights.h5", ".weights.json", ".safetensors")
CLOSE = 1e-6


def formats(package, name):
    """Return the endings of the files that a package writes of a model."""
    found = [".keras", ".weights.h5", ".weights.json"]
    found += [".h5"] if name not in zoo.SUBCLASSED and name != "half" else []
    return found + ([".safetensors"] if package == "multikeras" else [])


def save(model, path, ending):
    if ending in WHOLE:
        model.save(path)
    elif ending == ".weights.json":
        model.save_weights(path, max_shard_size=1e-6)
    else:
        model.save_weights(path)


def write(package, folder, names):
    """Write the models of these names, and what readers are to find."""
    K = importlib.import_module(package)
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        K.utils.clear_session()
        K.utils.set_random_seed(1)
        model = zoo.MODELS[name](K)
        if getattr(model, "optimizer", None) is not None:
            zoo.train(model)
        expected = {f"y{i}": y for i, y in enumerate(zoo.outputs_of(model))}
        expected |= {f"o{i}": v for i, v in enumerate(zoo.state_of(model))}
        expected |= {f"w{i}": w for i, w in enumerate(zoo.weights_of(model))}
        np.savez(folder / f"{name}.npz", **expected)
        config = model.get_compile_config() if getattr(model, "optimizer", None) is not None else None
        (folder / f"{name}.json").write_text(json.dumps(config))
        for ending in formats(package, name):
            try:
                save(model, folder / f"{name}{ending}", ending)
            except Exception as error:  # there are models that Keras cannot write to `.h5` files
                if package != "keras" or ending != ".h5":
                    raise
                (folder / f"{name}{ending}").unlink(missing_ok=True)
                print(f"{package} cannot write {name}{ending}: {error}")


def built(K, name):
    """Return a model of the zoo for weights to be loaded into, its optimizer built."""
    model = zoo.MODELS[name](K)
    if getattr(model, "optimizer", None) is not None:
        model.optimizer.build(model.trainable_variables)
    return model


def differences(model, folder, name, ending):
    """Return what differs between a loaded model and what its writer had."""
    found = []
    expected = np.load(folder / f"{name}.npz")
    if ending in WHOLE:
        outputs = zoo.outputs_of(model)
        tolerance = 1e-2 if name in ("mixed", "half") else CLOSE
        for i, y in enumerate(outputs):
            want = expected[f"y{i}"]
            size = np.max(np.abs(want), initial=1)
            error = np.max(np.abs(y - want), initial=0) / size if y.shape == want.shape else y.shape
            if not (y.shape == want.shape and error <= tolerance):
                found.append(f"output {i}: {error}")
    else:
        weights, count = zoo.weights_of(model), sum(k[0] == "w" for k in expected.files)
        same = [i < count and np.array_equal(w, expected[f"w{i}"]) for i, w in enumerate(weights)]
        found += [f"weights: {sum(same)} of {count} are right"] if sum(same) != count or len(weights) != count else []
    if ending != ".safetensors":
        state, count = zoo.state_of(model), sum(k[0] == "o" for k in expected.files)
        if len(state) != count:
            found.append(f"optimizer: {len(state)} variables, not {count}")
        unequal = [i for i, v in enumerate(state) if i < count and not np.array_equal(v, expected[f"o{i}"])]
        found += [f"optimizer variable {i}" for i in unequal]
    if ending == ".keras":
        written, here = _public(json.loads((folder / f"{name}.json").read_text())), None
        if getattr(model, "optimizer", None) is not None:
            here = _public(json.loads(json.dumps(model.get_compile_config())))
        found += [f"compile config: {line}" for line in _unlike(written, here)]
    return found


def _public(config):
    """Return a config with every optimizer where the public API has it: Keras names its own class for torch."""
    if isinstance(config, dict):
        inner = str(config.get("module", "")).startswith("keras.src.backend.")
        config = {**config, "module": "keras.optimizers", "registered_name": None} if inner else config
        # What "auto" comes to is the backend's affair.
        return {k: _public(v) for k, v in config.items() if k != "jit_compile"}
    return [_public(v) for v in config] if isinstance(config, list) else config


def _unlike(a, b, place=""):
    """Return where two configs differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        return [line for k in sorted({*a, *b}) for line in _unlike(a.get(k, "nothing"), b.get(k, "nothing"), f"{place}.{k}")]
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return [line for i, (x, y) in enumerate(zip(a, b)) for line in _unlike(x, y, f"{place}[{i}]")]
    return [] if a == b else [f"{place}: written {a!r}, read {b!r}"]


def read(package, folder, names, endings=None):
    """Give (name, ending, problems) for every file of these models."""
    K = importlib.import_module(package)
    for name in names:
        fresh = None
        for ending in endings or (*WHOLE, *WEIGHTS):
            path = folder / f"{name}{ending}"
            if not path.exists() or (ending == ".safetensors" and package == "keras"):
                continue
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    if ending in WHOLE:
                        K.utils.clear_session()
                        zoo.custom_classes(K)
                        model = K.saving.load_model(path)
                    else:  # one model for all formats, its weights made wrong in between
                        fresh = fresh or built(K, name)
                        model = fresh
                        for v in (*model.variables, *getattr(getattr(model, "optimizer", None), "variables", ())):
                            v.assign(np.full(v.shape, 1, v.dtype if v.dtype != "bfloat16" else "float32"))
                        model.load_weights(path)
                    problems = differences(model, folder, name, ending)
            except Exception as error:  # all of them are results
                where = traceback.extract_tb(error.__traceback__)[-1]
                problems = [f"{type(error).__name__}: {str(error)[:300]} ({where.filename}:{where.lineno})"]
            yield name, ending, problems


def main(package, command, *folders):
    names = os.environ.get("ZOO", "").split() or list(zoo.MODELS)
    if command == "write":
        write(package, Path(folders[0]), names)
        return
    for folder in map(Path, folders):
        for name, ending, problems in read(package, folder, names):
            print(json.dumps({"from": folder.name, "name": name, "ending": ending, "problems": problems}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
