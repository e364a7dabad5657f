"""The mode: what it says and writes, and the facts for the model card."""

import dataclasses
import os
import pathlib
import types

import numpy as np
import pytest
import tensorflow as tf

from micle_tf.config import Config
from micle_tf.data import cases
from micle_tf.data.targets import Targets
from micle_tf.errors import BadInput
from micle_tf.evaluation.classifier import Classifier
from micle_tf.evaluation.predictions_file import read_validation
from micle_tf.modes import export as exports
from micle_tf.statistics import temperature
from tests.generated_cases import write_cases
from tests.test_export import classifier_of


def test_mode_export(tmp_path, monkeypatch, capsys):
    with pytest.raises(BadInput, match="name a run with --checkpoint=RUN"):
        exports.export(Config.of_mode("export"))
    classifier = classifier_of(32)
    opened = []
    monkeypatch.setattr(
        "micle_tf.modes.export.open_classifier",
        lambda run: opened.append(run) or classifier,
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/a").mkdir(parents=True)
    (tmp_path / "runs/a/config.json").write_text(Config.of_mode("finetune").to_json())
    config = Config.of_mode(
        "export", checkpoint="runs/a", model_dir=str(tmp_path / "out"), export_name="m-1",
        export_version=20, data_dir=str(tmp_path / "data"),
    )  # fmt: skip
    path = exports.export(config)
    assert opened == ["runs/a"] and path == str(tmp_path / "out/m-1/20")
    assert os.path.exists(os.path.join(path, "saved_model.pb"))
    said = capsys.readouterr().out
    assert f"SavedModel: {path}" in said and "goes without counts" in said
    assert f"\nencoder: {tmp_path}/out/m-1.keras\n" in said
    assert f"\nmodel card: {tmp_path}/out/MODEL_CARD.md\n" in said
    for name in tf.saved_model.load(path).signatures:
        assert f"\n  {name} " in said
    assert "case" in said and "probabilities float32 [1, 3]" in said
    assert "random weights → finetune" in (tmp_path / "out/MODEL_CARD.md").read_text()


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """A classifier of three classes that the mode opens, and its configuration."""
    stand_in = classifier_of(32)
    given = {f.name: getattr(stand_in, f.name, "") for f in dataclasses.fields(Classifier)}
    classifier = Classifier(**given | {"targets": Targets(tuple(stand_in.names), False)})
    monkeypatch.setattr("micle_tf.modes.export.open_classifier", lambda run: classifier)
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text(Config.of_mode("finetune").to_json())
    config = Config.of_mode(
        "export", checkpoint=str(run), model_dir=str(tmp_path / "out"), calibrated=True,
        data_dir=str(tmp_path / "data"),
    )  # fmt: skip
    return classifier, config


def test_a_calibrated_export_gives_the_probabilities_that_are_judged(opened, capsys):
    classifier, config = opened
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 80)
    scores = rng.dirichlet(np.ones(3) / 2, 80)
    lines = [
        "level,case_id,patient_id,image_id,label," + ",".join(f"p_{n}" for n in classifier.names)
    ]
    for k, (label, row) in enumerate(zip(labels, scores, strict=True)):
        shown = ",".join(f"{p:.9g}" for p in row)
        lines.append(f"image,c{k},p{k},i{k},{classifier.names[label]},{shown}")
    with open(f"{config.checkpoint}/validation_predictions.csv", "w", encoding="utf-8") as file:
        file.write("\n".join([*lines, ""]))
    path = exports.export(config)
    rows = read_validation(config.checkpoint)["image"]
    fitted = temperature.fit_classes(rows["label"], rows["score"])
    assert fitted > 1.2  # so that there is something to see
    assert f"temperature: {fitted:.3g}, from validation\n" in capsys.readouterr().out
    images = rng.random((4, 32, 32, 3), np.float32)
    raw = classifier.probabilities(tf.constant(images)).numpy()
    found = tf.saved_model.load(path).signatures["images"](images=tf.constant(images))
    expected = temperature.scale_classes(raw, fitted)
    np.testing.assert_allclose(found["probabilities"].numpy(), expected, atol=1e-5)
    card = pathlib.Path(config.model_dir, "MODEL_CARD.md").read_text(encoding="utf-8")
    assert f"temperature that validation gave ({fitted:.3g})" in card


def test_without_predictions_of_validation_nothing_is_calibrated(opened):
    _, config = opened
    with pytest.raises(BadInput, match="keeps no predictions of validation"):
        exports.export(config)
    assert not os.path.exists(config.model_dir)


def test_data_facts_are_counted_from_the_index(tmp_path):
    manifest = write_cases(tmp_path / "cases", num_cases=24, classes=("oval", "ring"))
    config = Config.of_mode("export", manifest=str(manifest), data_dir=str(tmp_path / "data"))
    data = cases.open_cases(config)
    run = Config.of_mode("finetune", train_split="train+validation")
    classifier = types.SimpleNamespace(
        config=run,
        names=("ring", "oval"),
        multilabel=False,
        head="a head",
        data=data.name,
        targets=Targets(("ring", "oval"), False),
    )
    facts = exports.data_facts(config, classifier)
    splits = facts["splits"]
    assert list(splits) == ["train", "validation", "test"]
    # 24 cases of 1, 2, 3, 1, ... photos; p0 to p15; of three cases one class each; every 8th bare
    assert sum(s["patients"] for s in splits.values()) == 16
    assert sum(s["cases"] for s in splits.values()) == 24
    assert sum(s["images"] for s in splits.values()) == 48
    assert sum(s["labelled"] for s in splits.values()) == 48 - (2 + 1 + 3)
    index = data.open("train+validation").index
    counts = {name: int((index.class_label == k).sum()) for k, name in enumerate(data.class_names)}
    assert list(facts["labels"]) == ["ring", "oval"] and facts["labels"] == counts
    assert sum(counts.values()) == splits["train"]["labelled"] + splits["validation"]["labelled"]

    classifier.head = None
    assert "labels" not in exports.data_facts(config, classifier)
    manifest.unlink()
    assert exports.data_facts(config, classifier) == {}
    classifier.data = "derm_cases/manifest-another"
    assert exports.data_facts(config, classifier) == {}


def test_label_counts_of_findings():
    index = types.SimpleNamespace(
        num_images=4,
        num_cases=4,
        case_of_image=np.arange(4),
        case_id=np.array(["a", "b", "c", "d"]),
        findings=np.array([[1, 0], [1, -1], [0, 1], [-2, -2]]),
    )
    data = types.SimpleNamespace(
        name="d",
        class_names=(),
        finding_names=("Edema", "Effusion"),
        synonyms={},
        open=lambda split: types.SimpleNamespace(index=index),
    )
    classifier = types.SimpleNamespace(
        config=Config.of_mode("finetune"), targets=Targets(("Effusion", "Edema", "Mass"), True)
    )
    assert exports._label_counts(classifier, data) == {"Effusion": 1, "Edema": 2, "Mass": 0}


def test_lineage_follows_the_runs(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for run, config in (
        (first, Config.of_mode("pretrain", method="simclr")),
        (second, Config.of_mode("pretrain", checkpoint=str(first))),
    ):
        run.mkdir()
        (run / "config.json").write_text(config.to_json())
    last = Config.of_mode("finetune", checkpoint=str(second))
    runs = ["pretrain (simclr)", "pretrain (micle)", "finetune"]
    assert exports.lineage(last) == ["random weights", *runs]
    (first / "config.json").unlink()
    assert exports.lineage(last) == ["weights of an earlier run", *runs[1:]]
