"""--dry_run of a study: each kind of run is measured once, and the times are added up."""

import re

import numpy as np
import pytest

from micle_tf import cli, console
from micle_tf.config import Config, Encoder
from micle_tf.data.cases import open_cases
from micle_tf.models.factory import build_encoder
from micle_tf.training import plan
from tests.study.small_studies import COMMON, ENCODERS, GRID, WEIGHTS, place_of, words_of


@pytest.fixture(scope="module")
def place(small_set, tmp_path_factory):
    return place_of(small_set, tmp_path_factory.mktemp("study"))


@pytest.mark.slow
def test_the_plan_is_shown_and_nothing_written(place, tmp_path, capsys):
    folder, data = place
    words = words_of(folder, "few", "planned", data, "--dry_run")
    assert cli.main(words) == 0
    shown = capsys.readouterr().out
    assert not (folder / "planned").exists()
    assert "12 runs: 2 variants, 2 label fractions, 2 seeds" in shown
    rows = {line.split()[0]: line.split()[1:4] for line in shown.splitlines() if line.strip()}
    assert rows["simclr"] == ["pretrain", "2", "2"] and rows["finetune"] == ["finetune", "4", "2"]
    assert "dry run: nothing was written" in shown.splitlines()[-2:][0] + shown.splitlines()[-1]


@pytest.mark.slow
def test_a_step_is_measured_of_each_architecture(place, capsys):
    folder, data = place
    text = GRID[: GRID.index("[grid.finetune]")].replace("width_multiplier = 0.125\n", "")
    (folder / "two.toml").write_text(text + ENCODERS)
    assert cli.main(words_of(folder, "two", "two", data, "--dry_run")) == 0
    shown = capsys.readouterr().out
    assert "4 runs: 1 variant, 2 architectures, 1 label fraction, 2 seeds" in shown
    rows = {line.split()[0]: line.split()[1:4] for line in shown.splitlines() if line.strip()}
    for name, width in (("small", 0.125), ("wide", 0.25)):
        (model,) = re.findall(f"\nfinetune-{name}:\n(?:.+\n)*?model: (.*?) on", shown)
        assert model == f"ResNet-10 x{width}"
        assert rows[f"finetune-{name}"] == ["finetune", "2", "1"]
    assert not (folder / "two").exists()


@pytest.mark.slow
def test_stages_behind_weights_of_others_are_measured_in_their_widths(place, capsys):
    """Which no flag says."""
    folder, data = place
    text = WEIGHTS
    shapes = {"basic": Encoder(10, 0.125), "selective": Encoder(14, 0.25, 0.0625)}
    for name, shape in shapes.items():
        path = folder / f"{name}.keras"
        build_encoder(shape, 16).save(path)
        text = text.replace(f'"{name.upper()}"', f'"{path}"')
    (folder / "weights.toml").write_text(text)
    assert cli.main(words_of(folder, "weights", "weights", data, "--dry_run")) == 0
    shown = capsys.readouterr().out
    assert not (folder / "weights").exists()
    for name, shape in shapes.items():
        for stage in ("natural", "finetune"):
            (model,) = re.findall(f"\n{stage}-{name}:\n(?:.+\n)*?model: (.*?) on", shown)
            assert model.startswith(f"ResNet-{shape.resnet_depth} x{shape.width_multiplier}")
    lines = [line for line in shown.splitlines() if re.match(r"(stage|\w+-\w+) +\S", line)]
    assert len({re.search("mode|pretrain|finetune(?= )", line).start() for line in lines}) == 1


def planned_lines(folder, name, data, capsys, monkeypatch):
    """The lines of stages of a plan, [mode, runs, steps, time] each; the sentence of all; and how
    often it measured. A step of b images takes b seconds, and that of a validation as many more."""
    taken = []

    def seconds_a_step(training, *_):
        taken.append(training.images_per_step)
        return float(training.images_per_step), 0.0

    monkeypatch.setattr(plan, "seconds_a_step", seconds_a_step)
    of_validation = lambda training, seconds: (
        seconds
        * (
            -(-training.total_steps // training.validation.every_steps)
            if training.validation
            else 0
        )
    )
    monkeypatch.setattr(plan, "seconds_of_validation", of_validation)
    assert cli.main(words_of(folder, name, "unmade", data, "--dry_run")) == 0
    said = capsys.readouterr().out.splitlines()
    first = next(k for k, line in enumerate(said) if line.startswith("stage "))
    lines = [line.split(maxsplit=4) for line in said[first + 1 :] if line and line[0].islower()]
    stages = [line for line in lines if line[1] in ("pretrain", "finetune", "linear_eval")]
    return stages, said[-1], len(taken), [line for line in said if line.endswith("labels:")]


EPOCHS = f"""
label_fractions = [0.2, 0.6, 1.0]
seeds = [0, 1]
{COMMON}
[stages.finetune]
mode = "finetune"
train_epochs = 3
train_batch_size = 4
case_images = "one"
[variants]
supervised = ["finetune"]
[grid.finetune]
learning_rate = [0.01, 0.1]
"""


def cases_drawn(data, fraction):
    """How many labelled cases there are to learn from: each class keeps its share."""
    opened = open_cases(Config(**dict(word.lstrip("-").split("=", 1) for word in data)))
    index = opened.index["train"]
    first = index.class_label[index.first_image[:-1]]
    return sum(round(fraction * count) for count in np.bincount(first[first >= 0]))


def test_the_plan_is_the_sum_of_what_each_share_takes(place, capsys, monkeypatch):
    """By hand: 3 epochs of the cases that are drawn, each epoch with a validation."""
    folder, data = place
    (folder / "epochs.toml").write_text(EPOCHS)
    stages, of_all, measured, headings = planned_lines(folder, "epochs", data, capsys, monkeypatch)
    steps = [3 * (cases_drawn(data, fraction) // 4) for fraction in (0.2, 0.6, 1.0)]
    runs = [2, 2, 2 + 2]  # with all labels the grid too, of whose rates none takes longer
    took = [count * 4 * (each + 3) for count, each in zip(runs, steps, strict=True)]
    wanted = {
        ("finetune", "finetune", str(count), str(each), console.duration(one))
        for count, each, one in zip(runs, steps, took, strict=True)
    }
    assert set(map(tuple, stages)) == wanted and len(set(steps)) == 3
    assert measured == 3
    assert headings == ["finetune, 20 % of the labels:", "finetune, 60 % of the labels:"]
    assert of_all.startswith(f"in all: 8 runs, {console.duration(sum(took))} of training")
    assert not (folder / "unmade").exists()


@pytest.mark.parametrize(
    "change, measured",
    [
        (("train_epochs = 3", 'train_steps = 5\nvalidate_every = "2steps"'), 1),
        (("train_epochs = 3", "train_steps = 5"), 3),  # a validation behind each epoch
        (("learning_rate = [0.01, 0.1]", "width_multiplier = [0.125, 0.25]"), 4),
    ],
)
def test_it_measures_once_what_takes_as_long(change, measured, place, capsys, monkeypatch):
    folder, data = place
    text = EPOCHS.replace(*change)
    if "width" in change[1]:
        text = text.replace("\nwidth_multiplier = 0.125\n", "\n", 1)
    (folder / "once.toml").write_text(text)
    stages, _, found, _ = planned_lines(folder, "once", data, capsys, monkeypatch)
    assert found == measured
    assert sum(int(line[2]) for line in stages) == 8
