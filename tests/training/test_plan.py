"""--dry_run of the modes that train: the plan, and that nothing is written."""

import json
import re
import shutil

import pytest

from micle_tf import cli
from micle_tf.training import memory, picture
from tests.generated_cases import TINY


@pytest.fixture(scope="module")
def folder(small_set, drawn, tmp_path_factory):
    """Cases, prepared in data/, and a run on them."""
    folder = shutil.copytree(small_set, tmp_path_factory.mktemp("plan") / "set")
    data = [f"--manifest={folder / 'photos/cases.csv'}", f"--data_dir={folder / 'data'}"]
    command = ["--mode=pretrain", *data, f"--model_dir={folder / 'run'}", *TINY]
    assert cli.main([*command, "--preset=paper", "--train_steps=12", "--log_every=1"]) == 0
    return folder


def everything(folder):
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in sorted(folder.rglob("*"))
        if "__pycache__" not in str(path)
    }


def planned(capsys, folder, *argv):
    """Lines of a dry run that ended with 0 and wrote nothing."""
    before = everything(folder)
    capsys.readouterr()
    code = cli.main([*argv, "--dry_run"])
    assert everything(folder) == before
    shown = capsys.readouterr()
    assert (code, shown.err) == (0, "")
    lines = shown.out.splitlines()
    assert lines[-1] == "dry run: nothing was written"
    return lines


def one(lines, start):
    (found,) = [line for line in lines if line.startswith(start)]
    return found


def commands(folder):
    data = [f"--manifest={folder / 'photos/cases.csv'}", f"--data_dir={folder / 'data'}", *TINY]
    return {
        "simclr": ["--mode=pretrain", "--method=simclr", *data],
        "micle": ["--mode=pretrain", *data, f"--checkpoint={folder / 'run'}"],
        "finetune": ["--mode=finetune", *data, f"--checkpoint={folder / 'run'}"],
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, of, over",
    [
        ("simclr", "pairs", "images"),
        ("micle", "pairs", "cases"),
        ("finetune", "images", "labelled images"),
    ],
)
def test_a_plan(name, of, over, folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    lines = planned(capsys, folder, *commands(folder)[name], "--train_steps=500")
    assert re.match(rf"steps: 500 of 8 {of}, [\d.]+ passes over \d+ {over}$", one(lines, "steps"))
    seconds, whole = re.match(
        r"time: ([\d.e-]+) s a step, (?:(\d+) min )?(\d+) s in all", one(lines, "time")
    ).group(1, 3)
    assert 0 < float(seconds) < 5 and int(whole) >= 0
    gigabytes = [line for line in lines if re.match(r"memory: about [\d.]+ GB of [\d.]+ GB", line)]
    assert len(gigabytes) == 2 and gigabytes[1].endswith("after these steps")


@pytest.mark.slow
def test_what_is_not_prepared_is_planned_with_some_of_its_photos(folder, tmp_path, capsys):
    lines = planned(
        capsys, folder, "--mode=pretrain", f"--manifest={folder / 'photos/cases.csv'}",
        f"--data_dir={tmp_path / 'none'}", "--train_steps=500", "--train_batch_size=8", *TINY[:3],
    )  # fmt: skip
    assert "not prepared yet; the plan is made with 64 of its photos" in "\n".join(lines)
    assert not (tmp_path / "none").exists()
    prepared = planned(capsys, folder, *commands(folder)["micle"], "--train_steps=500")
    assert one(lines, "steps") == one(prepared, "steps")
    counts = lambda lines: [line.split(":")[1] for line in lines if line.startswith("  train")]
    assert counts(lines) == counts(prepared)


@pytest.mark.slow
def test_an_index_that_was_lost_is_not_written(folder, tmp_path, capsys):
    shutil.copytree(folder / "data", tmp_path / "data")
    lost = list((tmp_path / "data").rglob("case_index-*.npz"))
    assert len(lost) == 3
    for path in lost:
        path.unlink()
    argv = [
        word.replace(str(folder / "data"), str(tmp_path / "data"))
        for word in commands(folder)["micle"]
    ]
    planned(capsys, tmp_path, *argv, "--train_steps=500")


def test_a_plan_is_made_on_one_machine(folder, monkeypatch, capsys):
    jobs = {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}
    task = {"cluster": jobs, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(task))
    assert cli.main([*commands(folder)["simclr"], "--dry_run"]) == 2
    assert "--dry_run: a plan is made on one machine" in capsys.readouterr().err


@pytest.mark.slow
def test_rendered_cases_are_planned_too(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = planned(
        capsys, tmp_path, "--mode=pretrain", f"--data_dir={tmp_path / 'none'}", "--train_steps=9",
        *TINY,
    )  # fmt: skip
    assert "1,980 cases" in one(lines, "steps") and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["pretrain", "finetune"])
def test_bad_photos_and_tables_are_named_as_ever(mode, folder, tmp_path, capsys):
    shutil.copytree(folder / "photos", tmp_path / "photos")
    for photo in (tmp_path / "photos/images").iterdir():
        photo.write_bytes(b"no picture")
    argv = [f"--mode={mode}", f"--manifest={tmp_path / 'photos/cases.csv'}", *TINY, "--dry_run"]
    assert cli.main([*argv, f"--data_dir={tmp_path / 'none'}"]) == 2
    assert "cases.csv" in capsys.readouterr().err and not (tmp_path / "none").exists()


def test_what_does_not_fit_is_not_tried(folder, capsys, monkeypatch):
    monkeypatch.setattr(memory, "there", lambda: 1e6)
    lines = planned(capsys, folder, *commands(folder)["simclr"], "--train_steps=500")
    assert "warning: memory: about" in "\n".join(lines)
    assert one(lines, "time") == "time: not measured, as the memory would not do"


def test_a_run_opens_with_its_memory_and_leaves_a_picture(folder):
    assert (folder / "run" / picture.FILE).stat().st_size > 10_000
    logged = [json.loads(line) for line in (folder / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in logged] == list(range(1, 13))


@pytest.mark.slow
def test_a_batch_that_nobody_typed_is_cut_to_few_labels(folder, tmp_path, capsys):
    data = [f"--manifest={folder / 'photos/cases.csv'}", f"--data_dir={folder / 'data'}"]
    argv = ["--mode=finetune", *data, *TINY[:3], "--label_fraction=0.3"]
    argv += ["--preset=laptop", "--train_steps=2", "--validate_every=2steps"]
    assert cli.main([*argv, f"--model_dir={tmp_path / 'few'}"]) == 0
    shown = capsys.readouterr().out
    units = int(re.search(r"cut to (\d+): there are \1$", shown, re.MULTILINE)[1])
    stated = json.loads((tmp_path / "few/config.json").read_text())
    assert stated["train_batch_size"] == units < 64 and stated["preset"] == "laptop"
    assert cli.main([*argv, f"--model_dir={tmp_path / 'few'}"]) == 0
    assert "finished before" in capsys.readouterr().out
    typed = [*argv, "--train_batch_size=64", f"--model_dir={tmp_path / 'typed'}"]
    assert cli.main(typed) == 2
    assert "--train_batch_size=64: --train_split=train has only" in capsys.readouterr().err
