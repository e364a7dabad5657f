"""A finished classifier on its own split, on other data, and on data it cannot judge."""

import csv
import json
import shutil

import numpy as np
import pytest

from micle_tf import cli
from micle_tf.evaluation.metric_names import parsed
from tests.generated_cases import TINY
from tests.modes.test_finetune import (
    CLASSES,
    FINDINGS,
    data_flags,
    read_csv,
    result_of,
    run,
    write_manifests,
    write_rows,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rows(folder):
    return folder[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """(the folder of the data, the rows of its manifests)."""
    folder = tmp_path_factory.mktemp("evaluate")
    return folder, write_manifests(folder)


@pytest.fixture(scope="module")
def classifiers(folder):
    """{name: run}, each trained for a moment."""
    folder = folder[0]
    flags = [*TINY, "--train_steps=2", "--best_metric=loss"]
    pretrained = run("pretrain", folder / "run", *data_flags(folder), *TINY, "--train_steps=1",
                     "--proj_out_dim=24")  # fmt: skip
    return {
        "pretrain": pretrained,
        "finetune": run("finetune", folder / "tuned", f"--checkpoint={pretrained}", *flags,
                        "--ft_proj_selector=2"),
        "top": run("finetune", folder / "top", *data_flags(folder), *flags, "--top_classes=2"),
        "findings": run("finetune", folder / "tuned_findings", *data_flags(folder, "findings"),
                        *flags),
        "linear": run("linear_eval", folder / "linear", *data_flags(folder), *TINY[:3]),
        "linear_findings": run("linear_eval", folder / "linear_findings",
                               *data_flags(folder, "findings"), *TINY[:3]),
    }  # fmt: skip


def evaluate(classifier, out, *flags):
    return run("evaluate", out, f"--checkpoint={classifier}", *flags)


def other_manifest(folder, name, rows, **changes):
    write_rows(folder / f"photos/{name}.csv", rows, **changes)
    return [f"--manifest={folder / f'photos/{name}.csv'}", f"--data_dir={folder}"]


def by_image(run, level="image"):
    with open(run / "predictions.csv", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["level"] == level]
    return {row["image_id"] or row["case_id"]: row for row in rows}


@pytest.mark.parametrize("name", ["finetune", "top", "findings", "linear", "linear_findings"])
def test_the_same_split_gives_the_same_file(classifiers, name, tmp_path):
    source = classifiers[name]
    out = evaluate(source, tmp_path / "out")
    assert (out / "predictions.csv").read_bytes() == (source / "predictions.csv").read_bytes()
    found, trained = result_of(out), result_of(source)
    assert (found["mode"], found["method"]) == ("evaluate", trained["method"])
    assert (found["dataset"], found["steps"]) == (trained["dataset"], trained["steps"])
    judged = {k: v for k, v in trained["metrics"].items() if not k.startswith("validation/")}
    assert found["metrics"] == judged and found["intervals"] == trained["intervals"]


@pytest.mark.parametrize("name", ["finetune", "linear_findings"])
def test_a_run_that_keeps_no_predictions_of_validation_is_judged_alike(classifiers, name, tmp_path):
    """As those of earlier versions; they are predicted then, to the ninth digit the same."""
    asked = ["--operating_points=sensitivity@specificity=0.5"]
    expected = result_of(evaluate(classifiers[name], tmp_path / "expected", *asked))
    before = tmp_path / "before"
    shutil.copytree(classifiers[name], before)
    (before / "validation_predictions.csv").unlink()
    out = evaluate(before, tmp_path / "out", *asked)
    assert (out / "validation_predictions.csv").exists()
    assert not (before / "validation_predictions.csv").exists()
    found = result_of(out)
    assert found["metrics"] == expected["metrics"] and "thresholds" in found["from_validation"]
    assert found["from_validation"] == expected["from_validation"]


def test_other_data_takes_what_the_runs_validation_fixed(
    classifiers, folder, rows, tmp_path, capsys
):
    flags = other_manifest(folder[0], "elsewhere", [row for row in rows if row["split"] == "test"])
    before = tmp_path / "before"
    shutil.copytree(classifiers["finetune"], before)
    (before / "validation_predictions.csv").unlink()
    own = result_of(evaluate(classifiers["finetune"], tmp_path / "own", *flags, "--allow_seen"))
    kept = result_of(classifiers["finetune"])["from_validation"]
    assert own["from_validation"]["temperature"] == kept["temperature"]
    capsys.readouterr()
    found = result_of(evaluate(before, tmp_path / "out", *flags, "--allow_seen"))
    assert "note: no calibrated metrics: " in capsys.readouterr().out
    assert found["from_validation"] == {}
    assert not any(name.startswith("calibrated/") for name in found["metrics"])


def test_default_directories_and_a_second_time(classifiers, capsys):
    source = classifiers["finetune"]
    arguments = ["--mode=evaluate", f"--checkpoint={source}", "--bootstrap_samples=30"]
    assert cli.main([*arguments, "--eval_split=train+validation"]) == 0
    assert "warning: the classifier was trained on train" in capsys.readouterr().out
    assert cli.main(arguments) == 0
    stamp = (source / "evaluate/result.json").stat().st_mtime_ns
    assert cli.main(arguments) == 0
    assert (source / "evaluate/result.json").stat().st_mtime_ns == stamp
    assert (source / "evaluate-train+validation/predictions.csv").exists()
    shown = capsys.readouterr().out
    assert "finished before" in shown and "warning" not in shown


def test_top_classes_are_the_columns(classifiers):
    with open(classifiers["top"] / "predictions.csv", encoding="utf-8") as file:
        header = next(csv.reader(file))
    targets = json.loads((classifiers["top"] / "config.json").read_text())["targets"]
    kept = targets["names"][:2]
    assert targets == {
        "names": [*kept, "Other"], "multilabel": False, "has_rest": True,
        "uncertain": "ignore", "unmentioned": "zeros",
    }  # fmt: skip
    assert set(kept) < set(CLASSES) and header[5:] == [f"p_{name}" for name in targets["names"]]
    plain, merged = (by_image(classifiers[name]) for name in ("finetune", "top"))
    for image, row in plain.items():
        expected = row["label"] if row["label"] in (*kept, "") else "Other"
        assert merged[image]["label"] == expected


def test_other_data_with_fewer_classes(classifiers, folder, rows, tmp_path):
    fewer = [row for row in rows if row["label"] in ("star", "oval")]
    data = other_manifest(folder[0], "fewer", fewer, leave_out=FINDINGS)
    for name in ("finetune", "linear"):
        evaluate(classifiers[name], tmp_path / name, *data)
        own, found = by_image(classifiers[name]), by_image(tmp_path / name)
        assert 3 < len(found) < len(own)
        for image, row in found.items():
            assert row == own[image]  # ids, labels and nine digits of p
        metrics = result_of(tmp_path / name)["metrics"]
        assert {k for k in metrics if "/auc/" in k} == {
            f"{level}/auc/{k}" for level in ("image", "case") for k in ("star", "oval")
        }
        _, labels, scores = read_csv(tmp_path / name, "image", CLASSES)
        assert metrics["image/top1"] == np.mean(scores.argmax(1) == labels)


def renamed(rows, **names):
    return [row | {"label": names.get(row["label"], row["label"])} for row in rows]


def test_an_unknown_class_is_named(classifiers, folder, rows, tmp_path, capsys):
    data = other_manifest(folder[0], "zebra", renamed(rows, ring="zebra"), leave_out=FINDINGS)
    arguments = ["--mode=evaluate", f"--checkpoint={classifiers['linear']}", *data]
    capsys.readouterr()
    assert cli.main([*arguments, f"--model_dir={tmp_path / 'out'}"]) == 2
    error = capsys.readouterr().err
    assert (
        "zebra.csv: derm_cases/manifest-" in error
        and error.startswith("error: --manifest=")
        and error.endswith(
            " has the class zebra, which the classifier does not know; it knows bar, oval, ring, "
            "star\n"
        )
    )
    assert list(tmp_path.iterdir()) == []


def test_after_top_classes_an_unknown_class_is_other(classifiers, folder, rows, tmp_path):
    kept = json.loads((classifiers["top"] / "config.json").read_text())["targets"]["names"][:2]
    data = other_manifest(folder[0], "zebra2", renamed(rows, **{kept[0]: "zebra"}),
                          leave_out=FINDINGS)  # fmt: skip
    own = by_image(classifiers["top"])
    found = by_image(evaluate(classifiers["top"], tmp_path / "out", *data))
    assert found.keys() == own.keys()
    for image, row in found.items():
        label = "Other" if own[image]["label"] == kept[0] else own[image]["label"]
        assert row == own[image] | {"label": label}


@pytest.mark.parametrize("name", ["finetune", "linear", "findings"])
def test_unlabelled_data_is_predicted_and_not_judged(
    classifiers, folder, rows, name, tmp_path, capsys
):
    data = other_manifest(folder[0], "blank", rows, leave_out=(*FINDINGS, "label"))
    out = evaluate(classifiers[name], tmp_path / "out", *data)
    assert "no labels: predictions only, no metrics" in capsys.readouterr().out
    blank = {"label": ""} if name != "findings" else {f"label_{f}": "-2" for f in FINDINGS}
    for level in ("image", "case"):
        own, found = by_image(classifiers[name], level), by_image(out, level)
        assert found == {key: row | blank for key, row in own.items()}
    result = result_of(out)
    assert result["metrics"] == {} and result["intervals"] == {}


def test_findings_in_another_order_and_a_missing_one(classifiers, folder, rows, tmp_path):
    names = [FINDINGS[2], FINDINGS[0]]
    data = other_manifest(folder[0], "two", rows, leave_out=(FINDINGS[1], "label"))
    for name in ("findings", "linear_findings"):
        source = classifiers[name]
        out = evaluate(source, tmp_path / name, *data, f"--findings={','.join(names)}")
        own, found = by_image(source), by_image(out)
        assert found == {k: row | {f"label_{FINDINGS[1]}": "-2"} for k, row in own.items()}
        auc = {k: v for k, v in result_of(source)["metrics"].items() if "s/auc/" in k}
        kept = {k: v for k, v in auc.items() if not k.endswith(FINDINGS[1])}
        metrics = result_of(out)["metrics"]
        assert {k: v for k, v in metrics.items() if "s/auc/" in k} == kept and len(kept) == 4
        mean = np.mean([v for k, v in kept.items() if k.startswith("findings")])
        assert metrics["findings/auc_mean"] == pytest.approx(mean, abs=1e-15)


def test_findings_and_classes_do_not_mix(classifiers, folder, tmp_path, capsys):
    for name, kind, wanted in (
        ("findings", "classes", "has one class per image, and the classifier predicts findings"),
        ("linear", "findings", "has findings, and the classifier predicts one class per image"),
    ):  # fmt: skip
        capsys.readouterr()
        data = data_flags(folder[0], kind)
        arguments = ["--mode=evaluate", f"--checkpoint={classifiers[name]}", *data]
        assert cli.main([*arguments, f"--model_dir={tmp_path / 'out'}"]) == 2
        assert wanted in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_labels_that_differ_inside_a_case_are_judged_by_image(classifiers, folder, rows, tmp_path):
    mixed = [
        row | {"label": "ring" if row["label"] and row["view"] == "side" else row["label"]}
        for row in rows
    ]
    data = other_manifest(folder[0], "mixed", mixed, leave_out=FINDINGS)
    source = classifiers["finetune"]
    out = evaluate(source, tmp_path / "out", *data, "--labels_shared_by_case=false")
    own, found = by_image(source), by_image(out)
    assert not by_image(out, "case") and found.keys() == own.keys()
    assert [row["p_bar"] for row in found.values()] == [row["p_bar"] for row in own.values()]
    assert {parsed(name).level for name in result_of(out)["metrics"]} == {"image"}


def test_a_pretraining_is_no_classifier(classifiers, tmp_path, capsys):
    source = classifiers["pretrain"]
    capsys.readouterr()
    arguments = ["--mode=evaluate", f"--checkpoint={source}", f"--model_dir={tmp_path / 'out'}"]
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err == (
        f"error: --checkpoint={source}: a pretraining has no classifier; train one with "
        "--mode=finetune or --mode=linear_eval\n"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--eval_split=dev"], "--eval_split=dev: {data} has train, validation, test"),
        (["--image_size=32"],
         "--image_size=32: --checkpoint={run} was trained with 16; leave the flag out"),
        (["--width_multiplier=1"],
         "--width_multiplier=1.0: --checkpoint={run} was trained with 0.125; leave the flag out"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_line_and_writes_nothing(
    classifiers, flags, message, tmp_path, capsys
):
    source = classifiers["finetune"]
    capsys.readouterr()
    out = f"--model_dir={tmp_path / 'out'}"
    assert cli.main(["--mode=evaluate", f"--checkpoint={source}", out, *flags]) == 2
    text = message.format(run=source, data=result_of(source)["dataset"])
    assert capsys.readouterr().err == f"error: {text}\n" and list(tmp_path.iterdir()) == []


def test_without_a_checkpoint_or_with_an_evaluation(classifiers, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["--mode=evaluate"]) == 2
    assert capsys.readouterr().err == (
        "error: --mode=evaluate: name a linear_eval or finetune run with --checkpoint=RUN\n"
    )
    source = evaluate(classifiers["linear"], tmp_path / "judged")
    capsys.readouterr()
    assert cli.main(["--mode=evaluate", f"--checkpoint={source}"]) == 2
    assert capsys.readouterr().err == (
        f"error: --checkpoint={source}: a run of --mode=evaluate holds no model\n"
    )
