"""The whole chain on generated JPEGs, as a user types it: pretrain, judge, fine-tune, export."""

import csv
import json

import numpy as np
import pytest
import tensorflow as tf

from micle_tf import cli
from tests.generated_cases import TINY, write_cases

pytestmark = pytest.mark.slow

CLASSES = ("bar", "oval", "ring")


def rows_of(path):
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_from_photos_to_a_model_that_answers(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_cases(tmp_path / "photos", num_cases=120, classes=CLASSES, size=40)
    data = ["--manifest=photos/cases.csv", "--data_dir=data"]
    few = "--bootstrap_samples=20"
    commands = [
        ["--mode=pretrain", *data, *TINY, "--method=simclr", "--train_steps=4", "--model_dir=run"],
        ["--mode=pretrain", "--checkpoint=run", "--train_steps=4", "--train_batch_size=8"],
        ["--mode=linear_eval", "--checkpoint=run/pretrain-micle", few],
        ["--mode=finetune", "--checkpoint=run/pretrain-micle", "--label_fraction=0.5", few,
         "--train_batch_size=8", "--train_steps=6", "--validate_every=3steps"],
        ["--mode=evaluate", "--checkpoint=run/pretrain-micle/finetune-0.5", few],
        ["--mode=export", "--checkpoint=run/pretrain-micle/finetune-0.5", "--export_name=shapes"],
    ]  # fmt: skip
    for command in commands:
        assert cli.main(command) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    assert "next: python run.py --mode=finetune --checkpoint=run/pretrain-micle\n" in shown
    assert "next: python run.py --mode=export --checkpoint=run/pretrain-micle/finetune-0.5" in shown

    # evaluate gives what finetune gave, byte for byte, and the same figures.
    run = tmp_path / "run/pretrain-micle/finetune-0.5"
    predictions = (run / "evaluate/predictions.csv").read_bytes()
    assert predictions == (run / "predictions.csv").read_bytes()
    tuned = json.loads((run / "result.json").read_text())
    judged = json.loads((run / "evaluate/result.json").read_text())
    assert (tuned["mode"], tuned["method"], tuned["steps"]) == ("finetune", "finetune", 6)
    assert judged["metrics"].items() <= tuned["metrics"].items()
    assert judged["intervals"] == tuned["intervals"]

    # The exported model gives the same probabilities for the same files, images and cases.
    signatures = tf.saved_model.load(str(run / "export/shapes/1")).signatures
    by_case = {}
    for row in rows_of(run / "predictions.csv"):
        if row["level"] == "image":
            by_case.setdefault(row["case_id"], []).append(row)
    case_rows = [row for row in rows_of(run / "predictions.csv") if row["level"] == "case"]
    assert case_rows
    for row in case_rows:
        photos = by_case[row["case_id"]]
        content = tf.constant([(tmp_path / "photos" / p["image_id"]).read_bytes() for p in photos])
        answer = signatures["serving_default"](image_bytes=content)
        assert answer["class_names"].numpy()[0].astype(str).tolist() == list(CLASSES)
        expected = [[float(photo[f"p_{name}"]) for name in CLASSES] for photo in photos]
        np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
        of_case = signatures["case"](image_bytes=content)["probabilities"]
        expected = [[float(row[f"p_{name}"]) for name in CLASSES]]
        np.testing.assert_allclose(of_case, expected, atol=1e-5)
    card = (run / "export/MODEL_CARD.md").read_text()
    assert "Research software, not a medical device" in card
    assert not any(row["patient_id"] in card.split() for row in case_rows)
