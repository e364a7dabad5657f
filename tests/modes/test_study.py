"""--mode=study on a small set: the runs are what the same commands typed alone give."""

import csv
import io
import json
import pathlib
import re
import shutil
import signal
import time

import numpy as np
import pytest

from micle_tf import cli
from micle_tf.config import Encoder
from micle_tf.models.factory import build_encoder
from tests.study.small_studies import COMMON, ENCODERS, GRID, STUDY, WEIGHTS, place_of, words_of
from tests.warm_processes import FreshProcess

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
    return place_of(small_set, tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="module")
def done(place):
    """The study, made in one go in this process."""
    folder, data = place
    assert cli.main(words_of(folder, "few", "done", data)) == 0
    return folder / "done"


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
    """SIGKILL and SIGTERM, each at some moment; then two processes finish it."""
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
