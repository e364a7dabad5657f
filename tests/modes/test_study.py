"""--mode=study on a small set: the runs are what the same commands typed alone give."""

import csv
import hashlib
import io
import json
import pathlib
import re
import shutil
import signal
import time
import types

import numpy as np
import pytest

from micle_tf import cli, console
from micle_tf.config import Config, Encoder
from micle_tf.data.cases import open_cases
from micle_tf.data.supervised import LabelledSplit
from micle_tf.data.targets import Targets
from micle_tf.errors import BadInput
from micle_tf.models.factory import build_encoder
from micle_tf.modes.study import _check_labels, _check_metrics, metrics_of_targets
from micle_tf.study.reading import parse
from micle_tf.study.runs import planned
from micle_tf.training import plan
from tests.data.test_targets import make_index
from tests.warm_processes import FreshProcess

STUDY = """
label_fractions = [0.5, 1.0]
seeds = [0, 1]
primary = "case/auc_macro"
reference = "random"
[common]
bootstrap_samples = 10
image_size = 16
resnet_depth = 10
width_multiplier = 0.125
preset = "paper"
[stages.simclr]
mode = "pretrain"
method = "simclr"
train_batch_size = 8
train_steps = 2
[stages.micle]
mode = "pretrain"
method = "micle"
train_batch_size = 4
train_steps = 2
[stages.linear_eval]
mode = "linear_eval"
[stages.finetune]
mode = "finetune"
train_batch_size = 8
train_steps = 2
[variants]
random = ["linear_eval"]
micle = ["simclr", "micle", "finetune"]
"""
COMMON = STUDY[STUDY.index("[common]") : STUDY.index("[stages.simclr]")]
GRID = f"""
seeds = [0, 1]
{COMMON}
[stages.finetune]
mode = "finetune"
train_batch_size = 8
train_steps = 1
[variants]
supervised = ["finetune"]
[grid.finetune]
learning_rate = [0.01, 0.1]
[select]
finetune = "case/top1"
"""
FAILS = f"""
{COMMON}
[stages.broken]
mode = "pretrain"
method = "micle"
train_batch_size = 4000
[stages.linear_eval]
mode = "linear_eval"
[variants]
broken = ["broken", "linear_eval"]
random = ["linear_eval"]
"""


@pytest.fixture(scope="module")
def place(small_set, tmp_path_factory):
    """A folder with a file of a study, and words that name its data."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "few.toml").write_text(STUDY)
    return folder, [
        f"--manifest={small_set / 'photos/cases.csv'}",
        f"--data_dir={small_set / 'data'}",
    ]


@pytest.fixture(scope="module")
def done(place):
    """The study, made in one go in this process."""
    folder, data = place
    assert cli.main(words_of(folder, "few", "done", data)) == 0
    return folder / "done"


def words_of(folder, name, run, data, *more):
    return [
        "--mode=study", f"--study={folder / f'{name}.toml'}", f"--model_dir={folder / run}", *data,
        *more,
    ]  # fmt: skip


def whole(folder):
    """What a run's files say, but for seconds and places."""
    found = {}
    for name in ("predictions.csv", "validation_predictions.csv", "features-test.npy"):
        if (folder / name).exists():
            found[name] = (folder / name).read_bytes()
    result = json.loads((folder / "result.json").read_text())
    config = json.loads((folder / "config.json").read_text())
    for place in ("model_dir", "checkpoint"):
        config.pop(place)
    result.pop("seconds")
    found |= {"result": result, "config": config}
    lines = (folder / "metrics.jsonl").read_text() if (folder / "metrics.jsonl").exists() else ""
    found["losses"] = re.findall(r'"loss": [^,}]*', lines)
    return found


def tables_of(folder):
    """The tables of a study, without the paths of runs."""
    return [(folder / name).read_text() for name in ("tables.csv", "tables.md", "study.csv")]


@pytest.mark.slow
def test_all_runs_are_there_and_in_tables(done):
    paths = [
        "linear_eval-0.5", "linear_eval-1", "simclr", "simclr/micle", "simclr/micle/finetune-0.5",
        "simclr/micle/finetune-1",
    ]  # fmt: skip
    for seed in (0, 1):
        for path in paths:
            assert (done / f"seed{seed}" / path / "result.json").exists()
    assert len(list(done.rglob("result.json"))) == 12
    rows = (done / "tables.csv").read_text().splitlines()
    assert len(rows) - 1 == 2 * 2 * 3  # variants, fractions, metrics
    for name in ("study.csv", "tables.md", "curve.png", "curve.svg", "study.json"):
        assert (done / name).stat().st_size > 100


@pytest.mark.slow
@pytest.mark.parametrize("path", ["linear_eval-0.5", "simclr/micle/finetune-0.5"])
def test_a_run_equals_the_same_command_typed_alone(path, done, place, tmp_path):
    """In another order, what it starts from made alone too, after a run in another precision."""
    _, data = place
    small = ["--image_size=16", "--resnet_depth=10", "--width_multiplier=0.125", "--preset=paper"]
    judged = ["--bootstrap_samples=10", "--label_fraction=0.5"]
    common = [*data, *small, "--seed=1"]
    if path.startswith("linear"):
        other = [
            *data,
            *small,
            "--mode=linear_eval",
            "--precision=float64",
            "--bootstrap_samples=10",
        ]
        assert cli.main([*other, f"--model_dir={tmp_path / 'other'}"]) == 0
        commands = [["--mode=linear_eval", *judged, f"--model_dir={tmp_path / 'run'}"]]
    else:
        micle = ["--mode=pretrain", "--method=micle", "--train_batch_size=4", "--train_steps=2"]
        simclr = ["--mode=pretrain", "--method=simclr", "--train_batch_size=8", "--train_steps=2"]
        tune = ["--mode=finetune", "--train_batch_size=8", "--train_steps=2", *judged]
        commands = [
            [*simclr, f"--model_dir={tmp_path / 's'}"],
            [*micle, f"--checkpoint={tmp_path / 's'}", f"--model_dir={tmp_path / 'm'}"],
            [*tune, f"--checkpoint={tmp_path / 'm'}", f"--model_dir={tmp_path / 'run'}"],
        ]
    for words in commands:
        assert cli.main([*words, *common]) == 0
    alone, of_study = whole(tmp_path / "run"), whole(done / "seed1" / path)
    assert alone == of_study


@pytest.mark.slow
def test_what_is_done_is_not_done_again_and_a_study_can_be_extended(done, place, tmp_path, capsys):
    folder, data = place
    shutil.copytree(done, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("result.json")}
    (folder / "more.toml").write_text(
        STUDY.replace("[variants]\n", '[variants]\nsimclr = ["simclr", "linear_eval"]\n')
    )
    words = words_of(folder, "more", "unused", data)
    words[2] = f"--model_dir={tmp_path / 'run'}"
    assert cli.main(words) == 0
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("result.json")}
    assert len(after) == len(before) + 4
    assert before.items() <= after.items()
    assert "simclr" in (tmp_path / "run/tables.md").read_text()
    (folder / "changed.toml").write_text(STUDY.replace("train_steps = 2", "train_steps = 3"))
    words[1] = f"--study={folder / 'changed.toml'}"
    capsys.readouterr()
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "seed0/simclr: was begun with --train_steps=2" in error


@pytest.mark.slow
def test_a_grid_is_judged_on_validation_and_its_best_repeated(place):
    folder, data = place
    (folder / "grid.toml").write_text(GRID)
    assert cli.main(words_of(folder, "grid", "grid", data)) == 0
    values = {}
    for rate in ("0.01", "0.1"):
        run = folder / f"grid/seed0/finetune-1-grid/learning_rate_{rate}"
        assert json.loads((run / "config.json").read_text())["eval_split"] == "validation"
        values[rate] = json.loads((run / "result.json").read_text())["metrics"]["case/top1"]
    best = max(values, key=values.get)
    for seed in (0, 1):
        run = folder / f"grid/seed{seed}/finetune-1"
        config = json.loads((run / "config.json").read_text())
        assert config["eval_split"] == "test" and config["learning_rate"] == float(best)
    assert not list((folder / "grid/seed1").rglob("*-grid"))
    rows = csv.DictReader(io.StringIO((folder / "grid/study.csv").read_text()))
    assert {row["split"] for row in rows if "-grid" in row["run"]} == {"validation"}


@pytest.mark.slow
def test_killed_at_random_and_by_two_at_once_the_tables_are_the_same(done, place, warm):
    """Three times: SIGKILL or SIGTERM at some moment; then two processes finish it."""
    folder, data = place
    command = ["-m", "tests.made_small", *words_of(folder, "few", "killed", data)]
    rng = np.random.default_rng()
    for number in (signal.SIGKILL, signal.SIGTERM):
        process = warm.start(*command)
        while process.poll() is None and "now seed" not in process.out:
            time.sleep(0.05)  # until there is something to kill
        time.sleep(rng.uniform(0, 12))
        process.send_signal(number)
        assert process.wait() in (-signal.SIGKILL, 75, 0)
    with FreshProcess(*command) as one, warm.start(*command) as other:
        codes = [process.wait() for process in (one, other)]
        shown = [process.out + process.err for process in (one, other)]
    assert codes == [0, 0], shown
    assert tables_of(folder / "killed") == tables_of(done)
    made = [line for text in shown for line in re.findall(r"; now (\S+)", text)]
    assert len(set(made)) >= len(made) - 2  # a race is given up, and nothing is trained twice


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


ENCODERS = """
[architectures.small]
width_multiplier = 0.125
[architectures.wide]
width_multiplier = 0.25
"""


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


WEIGHTS = f"""
{COMMON.replace("width_multiplier = 0.125", "").replace("resnet_depth = 10", "")}
[architectures.basic]
resnet_depth = 10
[architectures.selective]
resnet_depth = 14
sk_ratio = 0.0625
[stages.natural]
mode = "pretrain"
method = "simclr"
train_steps = 1
train_batch_size = 8
checkpoint = {{basic = "BASIC", selective = "SELECTIVE"}}
[stages.finetune]
mode = "finetune"
train_steps = 1
train_batch_size = 8
[variants]
published = ["natural", "finetune"]
"""


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


def test_weights_that_are_of_another_encoder_are_named_by_their_stage(place, tmp_path, capsys):
    folder, data = place
    path = tmp_path / "of_14.keras"
    build_encoder(Encoder(14, 0.125, 0.0625), 16).save(path)
    text = WEIGHTS.replace("BASIC", str(path)).replace("SELECTIVE", str(path))
    (folder / "swapped.toml").write_text(text)
    assert cli.main(words_of(folder, "swapped", "swapped", data)) == 2
    assert capsys.readouterr().err == (
        f"error: natural-basic: --resnet_depth=10: --checkpoint={path} has 14; leave it out\n"
    )
    assert not (folder / "swapped").exists()


def test_one_process_has_one_kind_of_kernels(place, capsys):
    folder, data = place
    text = STUDY.replace('method = "simclr"\n', 'method = "simclr"\ncpu_kernels = "onednn"\n')
    (folder / "kernels.toml").write_text(text)
    assert cli.main(words_of(folder, "kernels", "kernels", data)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --cpu_kernels: one process has one kind, but ")
    assert line.endswith("; state it under [common]") and "simclr onednn" in line
    assert not (folder / "kernels").exists()


@pytest.mark.slow
def test_two_architectures_are_two_studies_in_one_table(place):
    folder, data = place
    text = GRID[: GRID.index("[stages.finetune]")].replace("width_multiplier = 0.125\n", "")
    text = text.replace("seeds = [0, 1]", "seeds = [0]") + ENCODERS
    text += '[stages.linear_eval]\nmode = "linear_eval"\n[variants]\nrandom = ["linear_eval"]\n'
    (folder / "both.toml").write_text(text)
    assert cli.main(words_of(folder, "both", "both", data)) == 0
    for name, width in (("small", 0.125), ("wide", 0.25)):
        run = folder / f"both/seed0/{name}/linear_eval-1"
        assert json.loads((run / "config.json").read_text())["width_multiplier"] == width
        assert (folder / f"both/curve-{name}.png").stat().st_size > 1000
    table = (folder / "both/tables.md").read_text()
    assert "architecture x pretraining, 100 % of labels\n\n| architecture | random |" in table


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


@pytest.mark.parametrize(
    "change, message",
    [
        (
            ("case/auc_macro", "case/auc_macr"),
            "primary = case/auc_macr: no metric to compare by; did you mean case/auc_macro?\n",
        ),
        (("case/auc_macro", "calibrated/case/ece"), "primary = calibrated/case/ece: no metric to"),
        (("case/auc_macro", "foo"), "it is one of case/auc_macro, image/auc_macro, ..."),
        (('"random"', '"rundom"'), "reference: there is no variant rundom; did you mean random?"),
        (("[common]", "[comon]"), "comon: no such key"),
        (("train_steps = 2", "train_stepz = 2"), "train_stepz: no such flag"),
        (('method = "simclr"', 'method = "moco"'), "--method=moco: not one of"),
        (
            ('mode = "linear_eval"', 'mode = "linear_eval"\ntop_classes = 1'),
            "micle is judged on other data than random",
        ),
    ],
)
def test_what_cannot_be_is_one_line_and_nothing_is_written(change, message, place, capsys):
    folder, data = place
    (folder / "bad.toml").write_text(STUDY.replace(*change))
    assert cli.main(words_of(folder, "bad", "bad", data)) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (folder / "bad").exists()


def test_what_a_grid_is_chosen_by_is_looked_at_before(place, capsys):
    folder, data = place
    for metric in (
        "case/auc_macro@rubbish",
        "calibrated/case/auc_macro",
        "case/calibration_slope/oval",
    ):
        (folder / "chosen.toml").write_text(GRID.replace("case/top1", metric))
        assert cli.main(words_of(folder, "chosen", "chosen", data)) == 2
        assert f"[select] finetune = {metric}: no metric" in capsys.readouterr().err
    assert not (folder / "chosen").exists()


def refusal_of_metrics(text, of_cases=True, **flags):
    """What is said of the metrics of a study of classes with `GRID`'s stage; "" for nothing."""
    asked = parse(text, "chosen")
    mode = asked.stages["finetune"]["mode"]
    configs = {"finetune": Config.of_mode(mode, **flags)}
    try:
        _check_metrics(asked, Targets(("oval", "ring"), False), configs, of_cases=of_cases)
    except BadInput as error:
        return str(error)
    return ""


def test_metrics_of_cases_are_of_data_whose_cases_have_labels():
    primary = f'primary = "case/auc_macro"\n{GRID}'
    for text in (GRID, primary):
        assert refusal_of_metrics(text) == ""
    of_images = GRID.replace("case/top1", "calibrated/image/ece")
    assert refusal_of_metrics(of_images, of_cases=False) == ""
    assert refusal_of_metrics(f'primary = "case/auc_macro"\n{of_images}', of_cases=False) == (
        "chosen: primary = case/auc_macro: no metric to compare by; did you mean image/auc_macro?"
    )
    for metric in ("case/top1", "calibrated/case/ece"):
        refused = refusal_of_metrics(GRID.replace("case/top1", metric), of_cases=False)
        assert refused.startswith(f"chosen: [select] finetune = {metric}: no metric to compare by")


def test_a_fine_tuning_has_a_loss_on_validation_where_it_is_chosen_by_it():
    text = GRID.replace("case/top1", "validation/loss")
    for best_metric in ("", "image/ece"):
        assert refusal_of_metrics(text, best_metric=best_metric) == (
            "chosen: [select] finetune = validation/loss: a fine-tuning says it if its own best "
            'checkpoint is chosen by it; add best_metric = "loss" to [stages.finetune]'
        )
    assert refusal_of_metrics(text, best_metric="loss") == ""
    tried = text.replace("[select]", 'best_metric = ["loss", "image.ece"]\n[select]')
    assert refusal_of_metrics(tried) == ""
    linear = text.replace('"finetune"\ntrain_batch_size = 8\ntrain_steps = 1', '"linear_eval"')
    linear = linear.replace("learning_rate = [0.01, 0.1]", "sk_ratio = [0, 0.0625]")
    assert refusal_of_metrics(linear) == ""


def test_a_stage_is_chosen_by_what_is_asked_of_it():
    """Whatever is asked of the others."""
    metric = "case/sensitivity/oval@specificity=0.9"
    text = GRID.replace("case/top1", metric)
    assert refusal_of_metrics(text, operating_points="sensitivity@specificity=0.9") == ""
    assert f"[select] finetune = {metric}: no metric" in refusal_of_metrics(text)


# ---------------------------------------------------------------- what a share has of each class


def refusal_of_share(names, labels, seeds, fraction=0.1, per_case=1, left=None):
    """What is said of a share of cases, each of so many images; "" for nothing.

    `left` are the seeds that have runs to be made; None for all.
    """
    text = f"label_fractions = [{fraction}, 0.9]\nseeds = {list(seeds)}\n"
    asked = parse(text + GRID.partition("seeds = [0, 1]")[2], "shares")
    labels = np.array(labels)
    number = np.full(len(labels) // per_case, per_case)
    of = {"findings": labels} if labels.ndim > 1 else {"labels": labels}
    split = types.SimpleNamespace(index=make_index(number, **of))
    there = (labels >= 0).any(axis=1) if labels.ndim > 1 else labels >= 0
    train = LabelledSplit("train", split, labels, np.flatnonzero(there))
    try:
        runs = planned(asked, {"manifest": "cases.csv"})
        runs = [run for run in runs if left is None or run.seed in left]
        judged = [run for run in runs if run.kind == "judged"]
        _check_labels(asked, judged, Targets(names, labels.ndim > 1), train)
    except BadInput as error:
        assert "\n" not in str(error)
        return str(error)
    return ""


def test_a_share_has_a_case_of_each_class_wherever_cases_have_one():
    labels = [0] * 60 + [1] * 3 + [-1] * 7
    assert refusal_of_share("ab", labels, range(20), 0.001) == ""
    assert refusal_of_share("abc", labels, [0]) == (
        "shares: label_fractions = 0.1: train has no labelled case of c, so that no share of it "
        "has one of each class"
    )


def test_a_class_that_is_never_the_first_of_a_case_may_not_be_drawn():
    """One of ten cases has b, on its second image; that of the lowest hash is drawn."""
    labels = [0, 1] + [0, 0] * 9
    drawn = [seed for seed in range(12) if not refusal_of_share("ab", labels, [seed], per_case=2)]
    by_hash = lambda seed: min(
        range(10), key=lambda c: hashlib.sha256(f"{seed} c{c}".encode()).digest()
    )
    assert drawn == [seed for seed in range(12) if by_hash(seed) == 0] and 0 < len(drawn) < 12
    other = next(seed for seed in range(12) if seed not in drawn)
    assert refusal_of_share("ab", labels, [drawn[0], other], per_case=2) == (
        f"shares: label_fractions = 0.1: of train, seed {other} draws no labelled case of b; take "
        "a larger share"
    )


def present(*cases):
    """[40] of 0 and 1."""
    return np.isin(np.arange(40), cases).astype(int)


@pytest.mark.parametrize(
    "findings, kind",
    [
        # Whoever has c has something rarer: one of three is drawn for a, one of three for b.
        ((present(0, 1, 8), present(2, 3, 9), present(0, 1, 2, 3)), "with"),
        # Two of twenty are drawn for a, among which is all that is without c.
        ((present(*range(20)), present(), 1 - present(7)), "without"),
    ],
)
def test_each_finding_is_there_and_not_there_in_what_each_seed_draws(findings, kind):
    labels = np.stack(findings, axis=1)
    labels[30, 1] = 1  # so that b has one too
    said = {seed: refusal_of_share("abc", labels, [seed]) for seed in range(40)}
    fine, refused = ([seed for seed in said if bool(said[seed]) == no] for no in (False, True))
    assert fine and refused
    for seed in refused:
        assert said[seed] == (
            f"shares: label_fractions = 0.1: of train, seed {seed} draws no labelled case {kind} "
            "c; take a larger share"
        )
    assert refusal_of_share("abc", labels, fine) == ""
    assert refusal_of_share("abc", labels, [*fine, *refused]) == said[refused[0]]
    # What is made already is not asked again.
    assert refusal_of_share("abc", labels, [*fine, *refused], left=fine) == ""


def test_a_finding_that_no_case_has_is_no_reason():
    """Sets that state what is there alone, and parts of sets with rare findings: not judged."""
    labels = np.array([[0, 1], [-1, 0], [0, -2]] * 10)
    assert refusal_of_share(("a", "b"), labels, [0], 0.2) == ""
    assert refusal_of_share(("a", "b"), 1 - labels.clip(0), [0], 0.2) == ""


def test_a_share_without_a_finding_is_refused_and_nothing_written(place, tmp_path, capsys):
    """`most` is absent in one case to learn from."""
    photos = pathlib.Path(place[1][0].partition("=")[2]).parent
    shutil.copytree(photos, tmp_path / "photos")
    rows = list(csv.DictReader(io.StringIO((photos / "cases.csv").read_text())))
    with open(tmp_path / "photos/cases.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["case_id", "patient_id", "image", "split", "oval", "ring", "most"])
        for row in rows:
            number, patient = int(row["case_id"][1:]), int(row["patient_id"][1:])
            split = ("train", "train", "validation", "test")[patient % 4]
            found = [int(row["label"] == name) for name in ("oval", "ring")]
            most = number != 1 if split == "train" else number % 2
            where = [row["case_id"], row["patient_id"], row["image"], split]
            writer.writerow([*where, *found, int(most)])
    text = STUDY.replace("[0.5, 1.0]", "[0.1, 1.0]").replace("case/auc_macro", "findings/auc_mean")
    (tmp_path / "shares.toml").write_text(text)
    typed = [f"--manifest={tmp_path / 'photos/cases.csv'}", "--findings=oval,ring,most"]
    words = words_of(tmp_path, "shares", "run", [*typed, f"--data_dir={tmp_path / 'data'}"])
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(r"of train, seed \d draws no labelled case without most; take a", error)
    assert not (tmp_path / "run").exists()


def test_other_data_is_another_study(done, place, tmp_path, capsys):
    folder, data = place
    shutil.copytree(folder.parent / done.parent.name / "done", tmp_path / "run")
    photos = pathlib.Path(data[0].partition("=")[2]).parent
    shutil.copytree(photos, tmp_path / "photos")
    text = (photos / "cases.csv").read_text().splitlines(keepends=True)
    (tmp_path / "photos/cases.csv").write_text("".join(text[:-1]))
    words = words_of(folder, "few", "unused", [f"--manifest={tmp_path / 'photos/cases.csv'}"])
    words[2] = f"--model_dir={tmp_path / 'run'}"
    assert cli.main([*words, f"--data_dir={tmp_path / 'data'}"]) == 2
    error = capsys.readouterr().err
    assert "its runs are judged on derm_cases/manifest" in error and error.count("\n") == 1


@pytest.mark.parametrize("stated", ["", 'dataset = "cifar10"\n'])
def test_data_is_named_for_what_is_judged(stated, place, tmp_path, capsys):
    """The usual set would be judged on, or that of a pretraining, and nobody asked for either."""
    folder, _ = place
    text = STUDY.replace('method = "simclr"\n', f'method = "simclr"\n{stated}')
    first = text.replace('random = ["linear_eval"]\n', "").replace('"random"', '"micle"')
    (folder / "nowhere.toml").write_text(f'{first}random = ["linear_eval"]\n')
    words = words_of(folder, "nowhere", "nowhere", [f"--data_dir={tmp_path}"])
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert "--study=nowhere: names no data to judge on; add --man" in error
    assert error.count("\n") == 1
    assert not (folder / "nowhere").exists() and not list(tmp_path.iterdir())


def test_a_study_without_data_or_with_a_flagfile(capsys):
    assert cli.main(["--mode=study"]) == 2
    said = "--study=quick: names no data to judge on; add --manifest=cases.csv"
    assert said in capsys.readouterr().err
    assert cli.main(["--mode=study", "--study=demo", "--flagfile=flags/x.flags"]) == 2
    assert "--flagfile: not with --mode=study" in capsys.readouterr().err
    assert cli.main(["--mode=study", "--study=demo", "--seed=3"]) == 2
    assert "--seed=3: no flag of a whole study" in capsys.readouterr().err


def test_a_run_that_fails_is_listed_and_the_others_go_on(place, capsys):
    folder, data = place
    (folder / "fails.toml").write_text(FAILS)
    assert cli.main(words_of(folder, "fails", "fails", data)) == 1
    captured = capsys.readouterr()
    assert "failed: seed0/broken: --train_batch_size=4000: " in captured.out
    assert captured.err.splitlines()[-1] == (
        "stopped: 2 runs of 3 not done, of which 1 failed; the same command tries them again"
    )
    assert (folder / "fails/seed0/linear_eval-1/result.json").exists()
    assert "random" in (folder / "fails/tables.md").read_text()


@pytest.mark.parametrize("multilabel", [False, True])
def test_names_of_metrics_that_could_be(multilabel):
    known = metrics_of_targets(("a", "b", "c"), multilabel)
    levels = (
        ("findings/auc/a", "case/findings/auc_mean") if multilabel else ("image/top1", "case/f1/c")
    )
    assert {"validation/loss", *levels} <= set(known)
