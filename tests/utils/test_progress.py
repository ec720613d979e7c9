"""What progress looks like in a file, a terminal and a notebook; charts and tables."""

import re
import sys
import types
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import multikeras as mk
from multikeras import backend, layers
from multikeras.utils import progress
from multikeras.utils.chart import chart

trains = pytest.mark.skipif(not backend.current.supports_gradients, reason="this backend computes no gradients")


def fitted(**options):
    mk.utils.set_random_seed(0)
    model = mk.Sequential([mk.Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    x = np.random.RandomState(0).rand(64, 4).astype("float32")
    slow = mk.callbacks.LambdaCallback(on_train_batch_end=lambda *_: None)
    model.fit(x, x[:, :1], epochs=2, validation_data=(x, x[:, :1]), batch_size=16, callbacks=[slow], **options)
    return model, x


@pytest.fixture
def impatient(monkeypatch):
    """Draws after each batch, however short."""
    monkeypatch.setattr("multikeras.callbacks.progbar_logger._REDRAW_SECONDS", 0.0)
    monkeypatch.setattr(mk.utils.Progbar, "__init__", _always_drawing(mk.utils.Progbar.__init__))


@pytest.fixture
def terminal(monkeypatch, impatient, capsys):
    monkeypatch.setattr("multikeras.utils.progress.screen", progress.Terminal)
    monkeypatch.setattr("multikeras.utils.progbar.screen", progress.Terminal)
    monkeypatch.setattr("multikeras.callbacks.progbar_logger.screen", progress.Terminal)
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)


def _always_drawing(init):
    def changed(self, *args, **kwargs):
        init(self, *args, **{**kwargs, "interval": 0})

    return changed


def frames(capsys):
    """Return the lines of a terminal, each in all the states it was drawn in, with and without styles."""
    styled = [f for f in re.split(r"[\r\n]", capsys.readouterr().out) if f.strip()]
    return styled, [re.sub(r"\x1b\[[0-9;]*[mK]", "", f) for f in styled]


@trains
def test_a_file_gets_a_line_an_epoch_without_control_characters(capsys):
    model, x = fitted()
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert [line for line in lines if line.startswith("Epoch")] == ["Epoch 1/2", "Epoch 2/2"]
    assert len(lines) == 4
    assert re.fullmatch(r"4/4 ━{20} \ds \d+[mu]?s/step - loss: \S+ - mae: \S+ - val_loss: \S+ - val_mae: \S+", lines[1])
    assert "\x1b" not in text
    assert "\r" not in text
    model.predict(x)
    assert re.fullmatch(r"2/2 ━{20} \ds \d+[mu]?s/step\n", capsys.readouterr().out)


@trains
def test_a_terminal_shows_steps_validation_and_the_best_loss(capsys, terminal):
    model, x = fitted()
    styled, plain = frames(capsys)
    assert any(re.match(r"2/4 ━{10}━{10} ", line) for line in plain)
    assert [line for line in plain if len(line) >= 50 and "val_loss" not in line] == []  # such lines cannot be drawn again
    assert any("…" in line for line in plain)
    assert any("validation 1/2" in line or "validation" in line or line.endswith("…") for line in plain)
    assert any("\x1b[1;32m" in line and "val_loss" in line for line in styled)
    model.predict(x, batch_size=8)
    assert any(line.startswith("3/8") for line in frames(capsys)[1])
    model.evaluate(x, x[:, :1], batch_size=8)
    assert any(line.startswith("8/8") for line in frames(capsys)[1])


def test_validation_is_told_behind_the_metrics(capsys, terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    bar = mk.utils.Progbar(4)
    bar.update(4, [("loss", 1.0)], finalize=False)
    bar.remark("validation 3/9")
    assert frames(capsys)[1][-1].endswith("- loss: 1.0000 - validation 3/9")


def test_colours_can_be_refused(capsys, terminal, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    mk.utils.Progbar(4).update(2, [("loss", 1.0)])
    assert re.search(r"\x1b\[[0-9;]*m", capsys.readouterr().out) is None


@trains
def test_a_notebook_gets_one_table_of_the_epochs(monkeypatch, impatient):
    shown = []

    class Handle:
        def update(self, thing):
            shown.append(thing._repr_html_())

    def display(thing, display_id):
        shown.append(thing._repr_html_())
        return Handle()

    for name in ("IPython", "ipykernel"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=display))
    fitted()
    last = ElementTree.fromstring(shown[-1])
    rows = [["".join(cell.itertext()) for cell in row] for row in last.iter("tr")]
    assert rows[0] == ["", "steps", "time", "loss", "mae", "val_loss", "val_mae", ""]
    assert [row[:2] for row in rows[1:]] == [["Epoch 1/2", "4/4"], ["Epoch 2/2", "4/4"]]
    assert float(rows[2][3]) < float(rows[1][3])
    assert any("<progress" in page for page in shown[:-1])
    assert "<progress" not in shown[-1]


def test_half_characters_of_the_bar():
    drawing = progress.Drawing("1/8", 1 / 8, 4, "0s", "1s/step")
    assert drawing.bar() == ("╸", "━━━")


def pictures(page):
    return [ElementTree.fromstring(svg) for svg in re.findall("<svg.*?</svg>", page)]


@trains
def test_a_history_is_shown_as_curves():
    model, _ = fitted(verbose=0)
    loss, mae = pictures(model.history._repr_html_())
    for picture, names in ((loss, {"loss", "val_loss"}), (mae, {"mae", "val_mae"})):
        texts = {"".join(e.itertext()) for e in picture.iter() if e.tag.endswith("text")}
        assert names <= texts
        curves = [e for e in picture.iter() if e.tag.endswith("polyline")]
        assert len(curves) == 2
        places = [[float(v) for v in p.split(",")] for p in curves[0].get("points").split()]
        assert len(places) == 2
        assert places[0][1] < places[1][1]  # what falls is drawn downwards


@pytest.mark.parametrize("values", [[1.0], [2.0, 2.0], [np.nan, 1.0, np.inf, 3.0, 4.0], [np.nan], [-1e-30, 1e30]])
def test_every_curve_can_be_drawn(values):
    picture = ElementTree.fromstring(chart({"a<b": list(enumerate(values))}, title="a&b"))
    numbers = [float(v) for e in picture.iter() for k, v in e.items() if k in ("x1", "y1", "cx", "cy")]
    assert all(0 <= n <= 640 for n in numbers)


def test_a_model_and_a_layer_are_shown_as_tables():
    inputs = mk.Input((4,))
    outputs = layers.Dense(2, "relu", name="d")(inputs)
    model = mk.Model(inputs, layers.concatenate([outputs, inputs]), name="m<1>")
    page = model._repr_html_()
    assert "m&lt;1&gt;" in page
    assert "d[0][0], " in page
    assert "Total params: 10" in page
    page = model.layers[1]._repr_html_()
    assert "d/kernel" in page
    assert "(4, 2)" in page
    assert "activation = relu" in page
    assert "use_bias" not in page
    assert "not built" in layers.Dense(2)._repr_html_()
