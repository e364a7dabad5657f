"""No one is judged on what was learned from: whole commands, each with its exit code and words."""

import csv
import json
import os
import pathlib
import shutil

import numpy as np
import pytest

from micle_tf import cli
from micle_tf.data.seen import Seen
from micle_tf.evaluation import compare
from tests.generated_cases import TINY, write_cases

FEW = "--bootstrap_samples=10"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with photos, a pretraining, a fine-tuning and the rows of their manifest."""
    folder = tmp_path_factory.mktemp("seen")
    write_cases(folder / "photos", num_cases=60)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        data = ["--manifest=photos/cases.csv", "--data_dir=data"]
        for command in (
            ["--mode=pretrain", *data, *TINY, "--train_steps=1", "--model_dir=pre"],
            ["--mode=finetune", "--checkpoint=pre", *SHORT, "--model_dir=run"],
        ):
            assert cli.main(command) == 0
    with open(folder / "photos/cases.csv", encoding="utf-8") as file:
        return folder, list(csv.DictReader(file))


SHORT = ["--train_batch_size=4", "--train_steps=1", "--best_metric=loss", FEW]


@pytest.fixture
def here(place, tmp_path, monkeypatch):
    """The rows, in a copy of the folder that is the current one."""
    shutil.copytree(place[0], tmp_path / "w")
    monkeypatch.chdir(tmp_path / "w")
    return [dict(row) for row in place[1]]


def write(name, rows):
    with open(f"photos/{name}.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return f"--manifest=photos/{name}.csv"


def command(capsys, *flags):
    """(exit code, output, error)."""
    capsys.readouterr()
    code = cli.main(list(flags))
    return code, *capsys.readouterr()


def evaluate(capsys, *flags):
    return command(capsys, "--mode=evaluate", "--checkpoint=run", FEW, "--model_dir=judged", *flags)


def seen_of(run):
    with open(f"{run}/result.json", encoding="utf-8") as file:
        return json.load(file)["seen"]


def renamed_photos(rows):
    for k, row in enumerate(rows):
        shutil.copy(f"photos/{row['image']}", f"photos/images/r{k}.jpg")
        row["image"] = f"images/r{k}.jpg"
    return rows


NEW = dict(case_id="c999", patient_id="p999", label="oval", view="front")


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: [*rows, dict(NEW, image="images/new.jpg")],
        lambda rows: rows[3:],
        renamed_photos,
        lambda rows: [dict(r, patient_id="", case_id=f"d{r['case_id']}") for r in rows],
        lambda rows: [dict(r, patient_id=f"0{r['patient_id']}x") for r in rows],
    ],
    ids=["a row added", "rows taken away", "renamed files", "no patients", "other patients"],
)
def test_another_table_of_the_same_photos(here, capsys, change):
    shutil.copy("photos/images/c0_0.jpg", "photos/images/new.jpg")
    manifest = write("other", change(here))
    code, _, error = evaluate(capsys, manifest, "--eval_split=train")
    assert code == 2 and error.count("\n") == 1
    assert "were learned from, labels and all, by run or a run before it" in error
    code, shown, _ = evaluate(capsys, manifest, "--eval_split=train", "--allow_seen")
    assert code == 0 and "of train were learned from, labels and all" in shown
    seen = seen_of("judged")
    assert 0 < seen["learned"]["images"] <= seen["judged"]["images"]
    assert "cannot_be_checked" not in seen


def test_the_test_split_of_the_same_data_is_judged_without_a_word(here, capsys):
    code, shown, _ = evaluate(capsys)
    assert code == 0 and "learned from" not in shown and "were seen" not in shown
    nothing = {"images": 0, "patients": 0}
    found = seen_of("judged")
    assert found.pop("judged")["images"] > 0
    assert found == dict.fromkeys(("learned", "chosen_on", "unlabelled", "same_ids"), nothing)
    assert seen_of("run") == seen_of("judged")


def test_splits_that_are_typed_are_a_warning_as_before(here, capsys):
    code, shown, _ = evaluate(capsys, "--eval_split=validation")
    assert code == 0 and "warning: validation chose the model, which flatters it\n" in shown
    assert seen_of("judged")["chosen_on"] == seen_of("judged")["judged"]
    code, shown, _ = evaluate(capsys, "--eval_split=train+validation", "--model_dir=both")
    assert code == 0 and "warning: the classifier was trained on train\n" in shown
    assert seen_of("both")["learned"]["images"] > 0
    # A comparison with it is none.
    assert compare.main(["both", "both", "--samples=10"]) == 2
    assert "both: learned from" in capsys.readouterr().err
    assert compare.main(["both", "both", "--samples=10", "--allow_seen"]) == 0


def test_a_run_that_starts_from_one_that_learned(here, capsys):
    """linear_eval and finetune stop before training; pretraining takes what was seen over."""
    later = ["--checkpoint=run", "--eval_split=train", "--train_split=test", "--model_dir=later"]
    for mode, flags in (("linear_eval", [FEW]), ("finetune", SHORT)):
        code, _, error = command(capsys, f"--mode={mode}", *later, *flags)
        assert code == 2 and "--eval_split=train: " in error and "learned from" in error
    assert not os.path.exists("later/config.json")
    code, shown, _ = command(capsys, "--mode=linear_eval", *later, FEW, "--allow_seen")
    assert code == 0 and "learned from, labels and all" in shown


@pytest.mark.slow
def test_what_pretraining_saw_is_a_note(here, capsys):
    """Fine-tuned on half of the data, pretrained on all of it under other names."""
    other = write("other", [dict(row, patient_id=f"q{row['patient_id']}") for row in here])
    code, shown, error = command(
        capsys, "--mode=linear_eval", other, "--checkpoint=pre", FEW, "--model_dir=linear"
    )
    assert code == 0, error
    seen = seen_of("linear")
    assert seen["unlabelled"]["images"] > 0 and seen["learned"]["images"] == 0
    assert "of test were seen in pretraining, without labels\n" in shown
    card = command(capsys, "--mode=export", "--checkpoint=linear", "--model_dir=exported")
    assert card[0] == 0
    with open("exported/MODEL_CARD.md", encoding="utf-8") as file:
        assert (
            f"{seen['unlabelled']['images']:,} were seen in pretraining, without labels."
            in file.read()
        )
    assert not list(pathlib.Path("exported").rglob("seen*"))


def test_two_hospitals_count_from_one(here, capsys):
    """Other photos, the same small numbers of patients and cases: a warning with counts."""
    write_cases("elsewhere", num_cases=60, seed=7)
    code, shown, _ = evaluate(capsys, "--manifest=elsewhere/cases.csv", "--eval_split=train")
    assert code == 0
    seen = seen_of("judged")
    assert seen["learned"]["images"] == 0 and seen["same_ids"]["images"] > 0
    assert "warning: " in shown and "no picture is shared, so they are taken for others" in shown


def test_what_is_kept_is_what_was_used(here, capsys):
    """The label fraction is kept, and a resumed run keeps its file."""
    full = {one.how: one for one in Seen.read("run").sets if one.by_itself}
    code, _, _ = command(
        capsys,
        "--mode=finetune",
        "--checkpoint=pre",
        *SHORT,
        "--label_fraction=0.5",
        "--model_dir=half",
    )
    assert code == 0
    half = {one.how: one for one in Seen.read("half").sets if one.by_itself}
    assert Seen.read("half").salt == Seen.read("run").salt == Seen.read("pre").salt
    assert 0 < len(half["learned"].pictures) < len(full["learned"].pictures)
    assert np.isin(half["learned"].pictures, full["learned"].pictures).all()
    assert np.array_equal(half["chosen_on"].pictures, full["chosen_on"].pictures)
    assert [one.how for one in Seen.read("half").sets if not one.by_itself] == ["unlabelled"]
    with open("pre/seen.npz", "rb") as file:
        before = file.read()
    shutil.rmtree("pre/checkpoints")
    os.remove("pre/result.json")
    flags = ["--mode=pretrain", "--manifest=photos/cases.csv", "--data_dir=data", *TINY]
    assert command(capsys, *flags, "--train_steps=1", "--model_dir=pre")[0] == 0
    with open("pre/seen.npz", "rb") as file:
        assert file.read() == before


def test_runs_of_earlier_versions_cannot_be_checked(here, capsys):
    os.remove("run/seen.npz")
    code, shown, _ = evaluate(capsys)
    assert code == 0
    expected = "cannot be checked: run has no seen.npz, as runs of earlier versions"
    assert f"note: what was seen of test before {expected}\n" in shown
    assert (
        seen_of("judged")["cannot_be_checked"] == "run has no seen.npz, as runs of earlier versions"
    )
    manifest = write("other", here[3:])
    code, shown, _ = evaluate(capsys, manifest, "--eval_split=train", "--model_dir=another")
    assert code == 0 and "cannot be checked" in shown


def test_unlabelled_images_are_predicted_and_not_judged(here, capsys):
    manifest = write("bare", [{k: v for k, v in row.items() if k != "label"} for row in here])
    code, shown, _ = evaluate(capsys, manifest, "--eval_split=train")
    assert code == 0 and "no labels: predictions only, no metrics" in shown
    assert seen_of("judged")["judged"]["images"] == 0
