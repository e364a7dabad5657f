"""training.png: what is in it, when it is drawn, and that it ends no run."""

import json

import pytest
import tensorflow as tf

from micle_tf.training import picture

pytestmark = pytest.mark.pictures

LINES = [
    {"step": step, "loss": 5 - step / 100, "loss_of_chance": 5.25, "chance": 0.005,
     "contrastive_accuracy": step / 200, "effective_rank": 40.0, "learning_rate": 0.002,
     "input_wait": 0.01} | ({"validation/knn_accuracy": 0.5} if step % 50 == 0 else {})
    for step in range(10, 201, 10)
]  # fmt: skip


class Run:
    def __init__(self, folder):
        self.path = str(folder)


def log(folder, lines=LINES, more=""):
    folder.mkdir(exist_ok=True)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text + more)
    return folder


def pixels(path):
    return tf.io.decode_png(tf.io.read_file(str(path)), channels=3).numpy()


def test_every_curve_has_its_values():
    panels = picture.panels_of(LINES)
    assert list(panels) == [
        "loss", "accuracy", "effective rank of the embeddings", "learning rate", "validation",
        "share of time waiting for images",
    ]  # fmt: skip
    (loss, chance), steps = panels["loss"], tuple(range(10, 201, 10))
    assert loss[2] == steps and loss[3] == tuple(line["loss"] for line in LINES)
    assert chance[0] == "chance" and set(chance[3]) == {5.25}
    ((name, _, at, values),) = panels["validation"]
    assert (name, at, values) == ("knn_accuracy", (50, 100, 150, 200), (0.5,) * 4)


def test_curves_of_fine_tuning():
    lines = [
        {"step": 5, "loss": 1.0, "accuracy": 0.5, "learning_rate": 0.1},
        {"step": 6, "loss": None, "accuracy": 0.6, "validation/loss": 0.9,
         "validation/case/auc_macro": 0.7, "validation/case/auc/a": 0.7},
    ]  # fmt: skip
    panels = picture.panels_of(lines)
    assert list(panels) == ["loss", "accuracy", "learning rate", "validation"]
    assert panels["loss"][0][3] == (1.0,)  # null is a loss that is not finite
    assert sorted(curve[0] for curve in panels["validation"]) == ["case/auc_macro", "loss"]


def test_a_long_run_is_drawn_with_few_points():
    lines = [{"step": step, "loss": 1.0} for step in range(1, 100_001)]
    (curve,) = picture.panels_of(lines)["loss"]
    assert len(curve[2]) <= 2100


def test_the_picture_is_whole_readable_at_600_pixels_and_in_grey(tmp_path):
    picture.draw(str(log(tmp_path, more='{"step": 210, "lo')))
    shown = pixels(tmp_path / picture.FILE)
    assert shown.shape[1] == 800 and 500 < shown.shape[0] < 800
    assert sorted(path.name for path in tmp_path.iterdir()) == ["metrics.jsonl", "training.png"]
    grey = shown @ [0.299, 0.587, 0.114]
    own = abs(shown - [0x1F, 0x4E, 0x79]).sum(-1) < 60
    chance = abs(shown - [0xC2, 0x57, 0x1A]).sum(-1) < 150
    assert own.sum() > 300 and chance.sum() > 50
    assert grey[chance].mean() - grey[own].mean() > 30  # and the one is dashed


def test_at_most_once_a_minute_and_at_the_end(tmp_path, monkeypatch):
    drawn, now = [], [0.0]
    monkeypatch.setattr(picture, "draw", drawn.append)
    one = picture.Picture(Run(tmp_path), clock=lambda: now[0])
    for now[0] in (1, 59, 60, 61, 119, 121):
        one.logged()
    assert len(drawn) == 2
    one.logged(last=True)
    assert len(drawn) == 3


def test_a_failure_is_said_once_and_ends_nothing(tmp_path, monkeypatch, capsys):
    def fail(path):
        raise RuntimeError("no font")

    monkeypatch.setattr(picture, "draw", fail)
    one = picture.Picture(Run(tmp_path))
    one.logged(last=True)
    one.logged(last=True)
    assert capsys.readouterr().out == "note: training.png cannot be drawn: no font\n"


@pytest.mark.parametrize("lines", [[], LINES[:1]])
def test_of_one_step_there_is_nothing_to_draw(lines, tmp_path):
    picture.draw(str(log(tmp_path, lines)))
    assert not (tmp_path / picture.FILE).exists()


def test_it_leaves_no_figure_behind(tmp_path):
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    picture.draw(str(log(tmp_path)))
    assert plt.get_fignums() == before and (tmp_path / picture.FILE).exists()
