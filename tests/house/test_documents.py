"""The commands in README, docs/ and the others, which are typed as they stand."""

import contextlib
import csv
import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from data_builders.derm_cases import synthetic
from micle_tf import cli, simclr_flags
from micle_tf.config import Config
from micle_tf.evaluation import compare
from micle_tf.modes import export
from micle_tf.parsing import parse
from micle_tf.recipes import path_of, read_flagfile
from micle_tf.study import reading
from micle_tf.study.runs import planned
from tests.data_builders import trees_chexpert, trees_nih
from tests.documents import (
    LANGUAGES,
    ROOT,
    all_documents,
    blocks_of,
    commands_of,
    flags_of,
)
from tests.generated_cases import write_cases
from tests.house.test_links import CHAINS, READ, text_of
from tests.pretrained.originals import Original, images, write_saved_model
from tests.small_commands import SMALL, folder_alone

# Half of the time of so short a run goes into the graph of the augmentation.
PLAIN = ["--use_blur=false", "--color_jitter_strength=0", "--rotation_degrees=0"]
# Flags of other programs, and of ours that are no settings.
OTHER_FLAGS = {
    "common", "primary",  # compare
    "control",  # demo
    "flagfile", "help", "helpfull", "use_tpu", "version",
    "before",  # benchmarks/turned.py
    "null_sets",  # benchmarks/coverage.py
    "rounds",  # benchmarks
    "jobs", "module", "only",  # tests/mutants.py
    "logdir",  # tensorboard
    "no-deps",  # pip
    "runner",  # Beam
    "undefok",  # absl; refused
    *simclr_flags.NAMES,
}  # fmt: skip


def commands():
    return [command for name in (*READ, CHAINS) for command in commands_of(name, text_of(name))]


# ---------------------------------------------------------------- commands


def test_every_block_says_what_it_is():
    for document in (*READ, CHAINS):
        for block in blocks_of(text_of(document)):
            assert block.language in LANGUAGES, f"{document}:{block.first}"
    program = re.compile(r"\s*(\$|python|pip|make|micle-tf|saved_model_cli|docker|curl|srun)\b")
    for document in all_documents():  # no command hides in what is no shell
        for block in blocks_of(text_of(document)):
            if block.language.partition(" ")[0] not in ("bash", "python"):
                typed = [line for line in block.lines if program.match(line)]
                assert not typed, f"{document}:{block.first}: {typed[0]}"


def test_commands_are_found_with_their_comments():
    text = (
        "```bash\nmake a  # fine\n# not run by the tests: needs Docker\ndocker b \\\n  c\n"
        "curl '{\n}'\n\nX='y z' srun --ntasks=2 python run.py --mode=export "
        "&& make d # not run by the tests: slow\n"
        "```\n```text\nmake e\n```\n"
    )
    found = commands_of("a.md", text)
    assert [(c.where, c.why_not) for c in found] == [
        ("a.md:2", ""), ("a.md:4", "needs Docker"), ("a.md:6", "needs Docker"), ("a.md:9", "slow"),
    ]  # fmt: skip
    assert [c.parts for c in found[:3]] == [
        [["make", "a"]],
        [["docker", "b", "c"]],
        [["curl", "{\n}"]],
    ]
    first, second = found[3].parts
    assert (flags_of(first), second) == (["--mode=export"], ["make", "d"])
    assert flags_of(second) is None and flags_of(["micle-tf"]) == []
    with pytest.raises(ValueError, match="says not why"):
        commands_of("a.md", "```bash\nmake a  # not run by the tests:\n```\n")
    with pytest.raises(ValueError, match="without an end"):
        commands_of("a.md", "```bash\necho 'a\n```\n")


@pytest.mark.parametrize("command", commands(), ids=lambda command: command.where)
def test_a_command_has_flags_that_exist_and_values_that_do(command):
    """Of commands that no test runs, too."""
    for words in command.parts:
        flags = flags_of(words)
        if flags is not None:
            stated, flagfiles, *_ = parse(flags)
            Config.of_mode(stated.pop("mode", "pretrain"), **stated)
            assert all(read_flagfile(path_of(name)).values for name in flagfiles)
        else:
            assert command.why_not or runner_of(words), (
                f"{command.where}: neither run nor explained"
            )


def test_flags_that_documents_name_exist():
    fields = {field.name for field in dataclasses.fields(Config)}
    unknown = set()
    for document in (*READ, CHAINS):
        code = " ".join(re.findall(r"`([^`\n]*(?:\n[^`\n]+)?)`", text_of(document)))
        unknown |= {(document, name) for name in re.findall(r"--([a-z][\w-]*)", code)}
    unknown = {(document, name) for document, name in unknown if name not in fields | OTHER_FLAGS}
    assert not unknown


def test_the_python_blocks_can_be_compiled():
    pages = {name: [b for b in blocks_of(text_of(name)) if b.language == "python"] for name in READ}
    for name, blocks in pages.items():
        for block in blocks:
            compile("\n".join(block.lines), name, "exec")
    # Which are those that the test below runs.
    run = {"docs/few_labels.md", "docs/model_in_use.md", "docs/published_weights.md"}
    assert {name for name, blocks in pages.items() if blocks} == run


def test_the_studies_can_be_planned():
    blocks = [b for b in blocks_of(text_of("docs/studies.md")) if b.language == "toml"]
    first, more = ("\n".join(block.lines) for block in blocks)
    alone = reading.parse(first, "mine")
    with_architectures = reading.parse(f"{first}\n{more}", "mine")
    assert len(planned(with_architectures, {})) == 2 * len(planned(alone, {})) > 0


# ---------------------------------------------------------------- and run


def rows_with_everything(rows):
    """The rows of `write_cases` with two findings too, in both forms."""
    for row in rows:
        oval = {"oval": "1", "ring": "0"}.get(row["label"], "")
        odd = oval and str(int(row["case_id"][1:]) // 2 % 2)
        names = [n for n, value in (("Edema", oval), ("Effusion", odd)) if value == "1"]
        listed = "|".join(names) or "No Finding" if oval else ""
        yield row | {"Edema": oval, "Effusion": odd, "labels": listed}


def write_rows(path, rows, names):
    """A table of some columns, {ours: theirs}."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names.values())
        writer.writerows([row[name] for name in names] for row in rows)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with all that the documents speak of, where a reader types."""
    monkeypatch.chdir(tmp_path)
    few = {"train": 60, "validation": 25, "test": 25}
    monkeypatch.setattr(synthetic, "PATIENTS_PER_SPLIT", few)
    photos = write_cases(tmp_path / "photos", num_cases=60)
    with open(photos, encoding="utf-8") as file:
        rows = list(rows_with_everything(csv.DictReader(file)))
    for row in rows:
        row["image"] = f"photos/{row['image']}"
    write_rows("cases.csv", rows, {name: name for name in rows[0]})
    cars = {"case_id": "vin", "image": "file", "label": "model", "view": "side"}
    write_rows("cars.csv", rows, cars)
    trees_chexpert.write_tree(tmp_path / "DIR", patients=40, size=24)
    trees_nih.write_tree(tmp_path / "NIH", patients=40, side=24)
    for name, row in zip(("a.jpg", "b.jpg"), rows[:2], strict=True):
        os.symlink(row["image"], name)
    os.symlink("runs/simclr/pretrain-micle/finetune-0.1", "RUN")
    os.symlink("runs/simclr/linear_eval-0.3", "RUN_A")
    os.symlink("runs/simclr/finetune-0.3", "RUN_B")
    return tmp_path


def run_flags(flags):
    """A command of ours with small flags behind, in this process."""
    mode = parse(flags)[0].get("mode", "") if flags else ""
    preset = ["--preset=paper"] if mode in ("pretrain", "linear_eval", "finetune") else []
    more = [*SMALL[mode], *preset, "--data_dir=data"] if mode else []
    if mode in ("pretrain", "finetune"):
        more += PLAIN
    if mode == "finetune":  # a tenth of the labels are few
        more.append("--train_batch_size=4")
    return cli.main([*flags, *more])


# What make calls at last: what tests/test_demo.py runs at small size, and this suite.
MADE = {
    "demo": ".venv/bin/python -m micle_tf.demo --seed=0",
    "test": '.venv/bin/python -m pytest -n 3 --dist loadfile -m "not long"',
}


def run_make(words):
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    called = subprocess.run(
        ["make", "--dry-run", *words[1:]],
        cwd=ROOT, env=alone, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert called.stdout.splitlines()[-1] == MADE[words[1]]


def run_saved_model_cli(words):
    from tensorflow.python.tools import saved_model_cli

    saved_model_cli.create_parser().parse_args(words[1:]).func()


def run_python(words):
    return subprocess.run([sys.executable, *words[1:]], check=True).returncode


# What a command begins with, and what runs it; None does nothing by itself.
RUNNERS = {
    (".", ".venv/bin/activate"): lambda words: None,
    ("make", "demo"): run_make,
    ("make", "test"): run_make,
    ("python", "-m", "micle_tf.evaluation.compare"): lambda words: compare.main(words[3:]),
    ("python", "-c"): run_python,
    ("saved_model_cli", "run"): run_saved_model_cli,
}


def runner_of(words):
    """The function that runs a command, of its words; None if there is none."""
    if flags_of(words) is not None:
        return lambda words: run_flags(flags_of(words))
    for beginning, run in RUNNERS.items():
        if tuple(words[: len(beginning)]) == beginning:
            return run
    return None


@pytest.mark.long
def test_the_commands_run_as_they_stand(desk, monkeypatch, capsys):
    typed = set()
    for document in READ:
        # A SavedModel takes ten seconds, and one page asks it.
        real = document == "docs/model_in_use.md"
        for command in commands_of(document, text_of(document)):
            with monkeypatch.context() as patch:
                if not real:
                    patch.setattr(export, "write_export", folder_alone)
                for words in () if command.why_not or command.text in typed else command.parts:
                    assert not runner_of(words)(words), (command.where, capsys.readouterr().err)
            typed.add(command.text)
    shown = capsys.readouterr().out
    assert "Result for output key probabilities:" in shown
    run = pathlib.Path("runs/simclr/pretrain-micle/finetune-0.1")
    assert json.loads((run / "config.json").read_text())["label_fraction"] == 0.1
    transfer = json.loads(
        next(pathlib.Path("runs/findings").glob("evaluate*/result.json")).read_text()
    )
    assert transfer["dataset"].startswith("nih_chest_xray14/") and transfer["metrics"]
    read = run_the_python_of("docs/few_labels.md", ".")
    assert read["low"] <= read["difference"] <= read["high"] and len(read["losses"]) > 0
    assert read["levels"]["case"]["score"].shape[1] == len(read["names"])
    images = np.random.default_rng(0).random((4, 16, 16, 3), np.float32)
    given = {"images": images, "labels": np.array([0, 1, 0, 1])}
    names = run_the_python_of("docs/model_in_use.md", run / "export", **given)
    gradients = names["tape"].gradient(names["features"], names["model"].trainable_variables)
    norms = [float(tf.norm(gradient)) for gradient in gradients if gradient is not None]
    assert len(norms) > 10 and max(norms) > 0


@pytest.mark.usefixtures("whole_networks")
def test_published_weights_are_loaded_as_the_page_says(tmp_path, capsys):
    """Made-up ones, where the page has those of SimCLR."""
    net = Original(10, head=3, classes=4)
    write_saved_model(tmp_path / "r50_1x_sk0/saved_model", net)
    names = run_the_python_of("docs/published_weights.md", tmp_path)
    assert "came in" in capsys.readouterr().out and names["report"].missing == ()
    assert names["encoder"].input_shape == (None, 224, 224, 3)
    assert names["models"].projection_head.output_shape[-1] == net.outputs(images())[
        "proj_head_output"
    ].shape[-1]  # fmt: skip


def run_the_python_of(document, folder, **names):
    """Every Python block of a page, in a folder; what it leaves, with what it was given."""
    with contextlib.chdir(folder):
        for block in blocks_of(text_of(document)):
            if block.language == "python":
                exec("\n".join(block.lines), names)
    return names
