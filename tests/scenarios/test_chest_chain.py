"""Chest X-rays as a user has them: a CheXpert tree through every mode, then NIH's, zero-shot."""

import csv
import json

import numpy as np
import pytest
import tensorflow as tf

from micle_tf import cli
from micle_tf.evaluation import linear_probe
from micle_tf.evaluation.metrics import findings_metrics
from micle_tf.modes import linear_eval
from tests.data_builders import trees_chexpert
from tests.data_builders.trees_nih import HEADER

FIVE = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
SMALL = [
    "--image_size=32", "--resnet_depth=10", "--width_multiplier=0.125", "--train_batch_size=16",
]  # fmt: skip
FEW = "--bootstrap_samples=20"


def write_nih(folder, patients=60, seed=5):
    """An NIH tree whose pictures show the findings as those of the CheXpert tree do."""
    rng, rows = np.random.default_rng(seed), []
    (folder / "images").mkdir(parents=True)
    for patient in range(1, patients + 1):
        for visit in range(1 + patient % 2):
            present = {name for name in FIVE if rng.random() < 0.35}
            name = f"{patient:08d}_{visit:03d}.png"
            pixels = tf.io.decode_jpeg(trees_chexpert.picture(rng, present, size=32))
            (folder / "images" / name).write_bytes(tf.io.encode_png(pixels).numpy())
            named = "|".join(sorted(present)).replace("Pleural Effusion", "Effusion")
            about = f"{visit},{patient},{40 + visit},F,PA,32,32,0.1,0.1"
            rows.append(f"{name},{named or 'No Finding'},{about}")
    (folder / "Data_Entry_2017_v2020.csv").write_text("\n".join([HEADER, *rows]) + "\n")


def run(capsys, *flags):
    """What a command that must succeed prints."""
    assert cli.main(list(flags)) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def result(folder):
    return json.loads((folder / "result.json").read_text())


def rows_of(folder):
    with open(folder / "predictions.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """A folder with both trees in their owners' layouts."""
    folder = tmp_path_factory.mktemp("trees")
    trees_chexpert.write_tree(folder, patients=140, size=32)
    write_nih(folder / "nih")
    return folder


@pytest.mark.slow
def test_chexpert_through_every_mode_and_then_nih(trees, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(linear_eval, "train_linear_head", linear_probe.train_linear_head)
    data = "--data_dir=data"
    run(capsys, "--mode=prepare", "--dataset=chexpert", f"--manual_dir={trees}", data)
    # From here on nobody says where the files are.
    run(capsys, "--mode=pretrain", "--dataset=chexpert", data, *SMALL, "--train_steps=4",
        "--model_dir=run")  # fmt: skip
    run(capsys, "--mode=linear_eval", "--checkpoint=run", FEW)
    run(capsys, "--mode=finetune", "--checkpoint=run", FEW, "--train_batch_size=32",
        "--learning_rate=0.2", "--train_epochs=6", "--uncertain=ones")  # fmt: skip
    tuned = result(tmp_path / "run/finetune")
    assert {f"findings/auc/{name}" for name in FIVE} <= tuned["metrics"].keys()
    assert "findings/auc/Fracture" not in tuned["metrics"]
    assert result(tmp_path / "run/linear_eval")["metrics"]["findings/auc_mean"] > 0.6

    # The same split again, under the policy of the training: the same predictions.
    shown = run(capsys, "--mode=evaluate", "--checkpoint=run/finetune", FEW)
    judged = result(tmp_path / "run/finetune/evaluate")
    assert judged["metrics"].items() <= tuned["metrics"].items()
    saved = json.loads((tmp_path / "run/finetune/evaluate/config.json").read_text())
    assert (saved["uncertain"], saved["unmentioned"]) == ("ones", "zeros")
    assert "note:" not in shown.replace("note: left out", "")

    # Zero-shot: no training, findings matched by name and synonym.
    shown = run(capsys, "--mode=evaluate", "--checkpoint=run/linear_eval", FEW, data,
                "--dataset=nih_chest_xray14", f"--manual_dir={trees / 'nih'}")  # fmt: skip
    assert "note: Pleural Effusion is Effusion in nih_chest_xray14/default-" in shown
    assert "says nothing" not in shown
    (zero_shot,) = (tmp_path / "run/linear_eval").glob("evaluate-nih_chest_xray14-default")
    metrics, rows = result(zero_shot)["metrics"], rows_of(zero_shot)
    truth = np.array([[int(row[f"label_{name}"]) for name in FIVE] for row in rows])
    score = np.array([[float(row[f"p_{name}"]) for name in FIVE] for row in rows])
    assert set(np.unique(truth)) == {0, 1}
    assert {row["level"] for row in rows} == {"image"}
    expected = findings_metrics(truth, score, FIVE)
    assert metrics["findings/auc_mean"] == pytest.approx(expected["findings/auc_mean"], abs=1e-9)
    assert metrics["findings/auc_mean"] > 0.6


@pytest.mark.slow
def test_policies_change_what_is_learned_and_judged(trees, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    counts = {}
    for name, flags in {
        "default": [],
        "ones": ["--uncertain=ones"],
        "both": ["--uncertain=zeros", "--unmentioned=ignore"],
    }.items():
        run(capsys, "--mode=linear_eval", "--dataset=chexpert_cases/paper", "--data_dir=data",
            f"--manual_dir={trees}", *SMALL[:3], FEW, *flags, f"--model_dir={name}")  # fmt: skip
        labels = [row["label_Edema"] for row in rows_of(tmp_path / name) if row["level"] == "image"]
        counts[name] = {value: labels.count(value) for value in ("1", "0", "-1", "-2")}
    default, ones, both = counts["default"], counts["ones"], counts["both"]
    assert default["-2"] == 0 and default["-1"] > 0  # blanks are absent, uncertain is left out
    assert ones == {"1": default["1"] + default["-1"], "0": default["0"], "-1": 0, "-2": 0}
    assert both["1"] == default["1"] and both["-1"] == 0 and both["-2"] > 0
    assert both["0"] == default["0"] - both["-2"] + default["-1"]
    assert len({json.dumps(result(tmp_path / name)["metrics"]) for name in counts}) == 3


def test_findings_are_chosen_by_name(trees, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = [
        "--mode=linear_eval", "--dataset=chexpert", "--data_dir=data", f"--manual_dir={trees}",
        *SMALL[:3], FEW,
    ]  # fmt: skip
    run(capsys, *flags, "--findings=Edema,Fracture", "--model_dir=two")
    metrics = result(tmp_path / "two")["metrics"]
    assert {name.rpartition("/")[2] for name in metrics if "findings/auc/" in name} == {
        "Edema", "Fracture",
    }  # fmt: skip
    assert cli.main([*flags, "--findings=Edema,Fractur", "--model_dir=typo"]) == 2
    error = capsys.readouterr().err
    assert "--findings=Edema,Fractur: chexpert_cases/official-" in error
    assert error.endswith("did you mean Fracture?\n") and error.count("\n") == 1
    assert not (tmp_path / "typo").exists()
