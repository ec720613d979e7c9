"""`import keras` and `tensorflow.keras` give multikeras, in processes of their own: the finder stays where it is put."""

import os
import subprocess
import sys
import textwrap

import pytest

from multikeras.backend import current


def run(code: str, *args: str, **environment: str) -> subprocess.CompletedProcess:
    """Run Python code on the backend under test."""
    return subprocess.run(
        [sys.executable, *args, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=300,
        env=os.environ | {"MULTIKERAS_BACKEND": current.name, "TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
    )  # fmt: skip


def output(code: str, **environment: str) -> list[str]:
    """Return the lines that the code prints after `multikeras.install()`."""
    done = run("import multikeras\nmultikeras.install()\n" + textwrap.dedent(code), **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_every_spelling_gives_the_same_objects():
    lines = output("""
        import multikeras, keras, keras.layers as layers
        from keras.layers import Dense
        from keras import ops, Model
        from tensorflow.keras.models import Sequential
        from tensorflow.keras import optimizers
        import tensorflow as tf
        import tensorflow.keras.backend as K
        print(all([
            Dense is multikeras.layers.Dense, layers.Dense is Dense, tf.keras.layers.Dense is Dense,
            Sequential is multikeras.Sequential, Model is multikeras.Model, ops.relu is multikeras.ops.relu,
            optimizers.Adam is multikeras.optimizers.Adam, tf.keras is keras, K is keras.backend,
        ]))
        print(keras.__version__.split(".")[0], keras.version().split(".")[0], keras.backend.backend())
        """)
    assert lines == ["True", f"3 3 {current.name}"]


def test_star_import_gives_modules_and_classes():
    assert output("from keras import *; print(Sequential.__name__, layers.Dense.__name__)") == ["Sequential Dense"]


def test_the_modules_saved_files_name_are_served():
    assert output("""
        from keras.src.models.functional import Functional
        import multikeras.models.functional
        print(Functional is multikeras.models.functional.Functional)
        """) == ["True"]


def test_public_names_are_found_in_any_file_inside_keras():
    assert output("""
        import keras
        from keras.src.saving import serialization_lib
        from keras.src.saving.saving_lib import load_model
        from keras.src.backend.common.keras_tensor import KerasTensor
        from keras.src.ops.operation import Operation
        from keras.src.layers.layer import Layer
        print(load_model is keras.saving.load_model, KerasTensor is keras.KerasTensor, Operation is keras.Operation,
              Layer is keras.layers.Layer, serialization_lib.serialize_keras_object is keras.saving.serialize_keras_object)
        """) == ["True True True True True"]


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("from keras.src.utils.argument_validation import no_such_function", "ImportError"),
        ("from keras.src.saving import no_such_file; no_such_file()", "TypeError"),
        ("from keras.layers import NoSuchLayer", "ImportError"),
        ("import keras.no_such_module", "ImportError"),
        ("import keras; keras.layers.NoSuchLayer", "AttributeError"),
        ("import tensorflow as tf; tf.keras.layers.NoSuchLayer", "AttributeError"),
    ],
)
def test_a_missing_name_says_that_multikeras_lacks_it(statement, error):
    lines = output(f"""
        from multikeras.dropin import missing_names
        try:
            {statement}
        except {error} as e:
            print(e)
        print(*missing_names())
        """)
    assert lines[0].startswith("multikeras has no keras.")
    assert lines[1].startswith("keras.")


def test_probing_for_a_private_name_is_no_missing_name():
    assert output("""
        import keras
        from multikeras.dropin import missing_names
        print(hasattr(keras, "_not_there"), missing_names())
        """) == ["False {}"]


def test_refuses_when_keras_was_imported_before():
    done = run("""
        import sys, types
        sys.modules["keras"] = types.ModuleType("keras")
        import multikeras
        multikeras.install()
        """)
    assert done.returncode == 1
    assert "RuntimeError" in done.stderr
    assert "imported already" in done.stderr


def test_install_twice_is_once():
    assert output("""
        import sys
        from multikeras.dropin.finder import Finder
        multikeras.install()
        print(sum(isinstance(f, Finder) for f in sys.meta_path))
        """) == ["1"]


@pytest.mark.skipif(current.name == "tensorflow", reason="there the real tensorflow is loaded already")
def test_tensorflow_is_not_imported_for_its_keras():
    lines = output("""
        import sys
        import tensorflow as tf
        from tensorflow.keras.layers import Dense
        tf.keras.backend.clear_session()
        print(tf.keras.Sequential([Dense(2)]).name, any(m.startswith("tensorflow.python") for m in sys.modules))
        """)
    assert lines == ["sequential False"]


@pytest.mark.skipif(current.name == "tensorflow", reason="there tensorflow is installed")
def test_another_part_of_tensorflow_is_an_error_where_it_is_not_installed():
    lines = output("""
        from importlib.machinery import PathFinder
        found = PathFinder.find_spec
        PathFinder.find_spec = classmethod(lambda cls, name, *a: None if name == "tensorflow" else found(name, *a))
        import tensorflow as tf
        print(tf.keras.layers.Dense.__name__)
        for use in ("tf.data", "__import__('tensorflow.data')"):
            try:
                eval(use)
            except ImportError as e:
                print(e)
        """)
    assert lines[0] == "Dense"
    assert lines[1].startswith("tensorflow.data needs TensorFlow, which is not installed")
    assert lines[2].startswith("tensorflow.data needs TensorFlow, which is not installed")


def test_the_rest_of_tensorflow_is_the_real_one_where_it_is_installed():
    pytest.importorskip("importlib.util")
    import importlib.util

    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("tensorflow is not installed")
    lines = output("""
        import tensorflow as tf
        print(tf.keras.layers.Dense.__name__)
        print(int(tf.constant([1, 2])[1]), tf.keras.layers.Dense.__module__.split(".")[0])
        from tensorflow.io import gfile
        from tensorflow.keras.layers import Dense
        print(gfile.exists("/"), Dense is tf.keras.layers.Dense)
        """)
    assert lines == ["Dense", "2 multikeras", "True True"]


def test_a_star_gives_public_names_and_no_files():
    lines = output("""
        from keras import *
        from keras.layers import *
        from keras.models import *
        from keras.optimizers import *
        print(activations.relu.__name__, Dense.__name__, Sequential.__name__, schedules.ExponentialDecay.__name__)
        print("attention" in globals(), "adaptive" in globals())
        """)
    assert lines == ["relu Dense Sequential ExponentialDecay", "False False"]


def test_files_inside_keras_do_not_take_the_place_of_its_public_modules():
    lines = output("""
        import keras
        import keras.src.optimizers
        print(keras.optimizers.schedules.ExponentialDecay.__name__, keras.src.optimizers.Adam is keras.optimizers.Adam)
        """)
    assert lines == ["ExponentialDecay True"]
