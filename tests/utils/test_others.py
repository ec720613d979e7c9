"""Progress bar, seeds, images, graphs."""

import random

import numpy as np
import pytest

import multikeras
from multikeras import layers, ops, utils
from multikeras.utils.images import centered_box


def test_progbar_draws_a_bar_and_means(capsys):
    bar = utils.Progbar(4, interval=0)
    for step, loss in enumerate([1.0, 2.0, 3.0, 6.0], 1):
        bar.update(step, [("loss", loss), ("tiny", 1e-5)])
    lines = capsys.readouterr().out.splitlines()
    assert "4/4" in lines[-1]
    assert "━" * 20 in lines[-1]
    assert "loss: 3.0000 - tiny: 1.0000e-05" in lines[-1]
    assert bar.finalized


def test_progbar_in_a_file_is_one_line_an_epoch(capsys):
    bar = utils.Progbar(100)
    for step in range(1, 101):
        bar.update(step)
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_progbar_verbose_2_and_unknown_target(capsys):
    bar = utils.Progbar(None, verbose=2, stateful_metrics=["loss"])
    bar.update(1, [("loss", 1.0)])
    bar.update(2, [("loss", 5.0)], finalize=True)
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert "2/Unknown" in out
    assert "loss: 5.0000" in out


def test_progbar_takes_one_kind_of_metrics():
    with pytest.raises(ValueError, match="Only one of"):
        utils.Progbar(1, stateful_metrics=[], stateless_metrics=[])


def test_set_random_seed_seeds_everything():
    def draw():
        utils.set_random_seed(2**31 + 5)
        dense = layers.Dense(3)
        dense.build((None, 2))
        found = [random.random(), np.random.rand(), multikeras.random.uniform((2,)), dense.kernel]
        return [np.asarray(ops.convert_to_numpy(x)).tolist() for x in found]

    assert draw() == draw()
    with pytest.raises(ValueError, match="seed"):
        utils.set_random_seed("a")


def test_clear_session_starts_names_anew():
    layers.Dense(1)
    utils.clear_session()
    assert layers.Dense(1).name == "dense"


def test_get_source_inputs():
    a, b = multikeras.Input((3,)), multikeras.Input((3,))
    out = layers.Dense(2)(layers.Add()([a, layers.Dense(3)(b), b]))
    assert {id(x) for x in utils.get_source_inputs(out)} == {id(a), id(b)}


def test_drawing_a_model_without_pydot_says_what_to_install():
    pytest.importorskip("importlib.util")
    import importlib.util

    if importlib.util.find_spec("pydot"):
        pytest.skip("pydot is installed")
    with pytest.raises(ImportError, match="pip install pydot"):
        utils.plot_model(multikeras.Sequential([multikeras.Input((2,)), layers.Dense(1)]))


def test_centered_box_has_the_targets_proportions():
    assert centered_box(100, 50, 10, 10) == (0, 25, 50, 75)
    assert centered_box(50, 100, 10, 10) == (25, 0, 75, 50)


def test_images_to_arrays_and_back(tmp_path):
    pytest.importorskip("PIL")
    x = np.arange(48, dtype="uint8").reshape(4, 4, 3) * 5
    for name, exact in (("a.png", True), ("a.jpg", False)):
        utils.save_img(tmp_path / name, x, scale=False)
        found = utils.img_to_array(utils.load_img(tmp_path / name))
        assert found.shape == x.shape
        assert found.dtype == "float32"
        assert (found == x).all() or not exact
    assert utils.load_img(tmp_path / "a.png", color_mode="grayscale", target_size=(2, 8)).size == (8, 2)
    assert utils.img_to_array(utils.array_to_img(x), data_format="channels_first").shape == (3, 4, 4)
    for shape in ((4, 4), (4, 4, 5)):
        with pytest.raises(ValueError, match="array_to_img"):
            utils.array_to_img(np.zeros(shape))
