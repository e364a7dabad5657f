"""The mode as a whole: metrics are those of the predictions, and the encoder stays as it was."""

import csv
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics as sklearn_metrics

from micle_tf import cli
from micle_tf.config import Config, Encoder
from micle_tf.data import cases, pipeline
from micle_tf.evaluation import bootstrap_interval
from micle_tf.evaluation.linear_probe import L2_GRID
from micle_tf.evaluation.metric_names import parsed
from micle_tf.models import factory
from micle_tf.training import state
from micle_tf.training.normalization import batch_norm
from tests.generated_cases import TINY, write_cases

CLASSES = ("bar", "oval", "ring", "star")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("linear")
    write_cases(folder / "photos", num_cases=160, classes=CLASSES)
    return folder


@pytest.fixture(scope="module")
def run(folder):
    """(a pretraining of a few steps; of it before its linear evaluation, all tensors and the
    encoder's; the encoder in memory after it)."""
    data = [f"--manifest={folder / 'photos/cases.csv'}", f"--data_dir={folder}"]
    path, encoders, build_encoder = folder / "run", [], factory.build_encoder
    train = ["--mode=pretrain", *data, *TINY, "--train_steps=4", f"--model_dir={path}"]
    assert cli.main(train) == 0
    before = checkpoint_values(path), encoder_values(path)

    def build(*arguments):
        encoders.append(build_encoder(*arguments))
        return encoders[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(factory, "build_encoder", build)
        evaluate = ["--mode=linear_eval", f"--checkpoint={path}", "--bootstrap_samples=50"]
        assert cli.main(evaluate) == 0
    (encoder,) = encoders
    return path, before, encoder


def checkpoint_values(path):
    reader = tf.train.load_checkpoint(str(path / "checkpoints"))
    return {
        name: reader.get_tensor(name).tobytes()
        for name in reader.get_variable_to_shape_map()
        if "OBJECT_GRAPH" not in name
    }


def encoder_values(path):
    """The encoder of a run's checkpoint: bytes of every weight and statistic."""
    config = Config.from_json((path / "config.json").read_text())
    encoder = factory.build_encoder(config.part(Encoder), config.image_size, batch_norm(1))
    state.restore_models(str(path), encoder=encoder)
    return [weight.numpy().tobytes() for weight in encoder.weights]


def predictions(run, level):
    """(case ids, patients, labels, probabilities) of the labelled rows of a level."""
    with open(run / "linear_eval/predictions.csv", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["level"] == level and row["label"]]
    scores = np.array([[float(row[f"p_{name}"]) for name in CLASSES] for row in rows])
    labels = np.array([CLASSES.index(row["label"]) for row in rows])
    return [r["case_id"] for r in rows], [r["patient_id"] for r in rows], labels, scores


def test_metrics_are_scikit_learns_on_the_predictions(run):
    result = json.loads((run[0] / "linear_eval/result.json").read_text())["metrics"]
    for level in ("image", "case"):
        _, _, labels, scores = predictions(run[0], level)
        auc = [sklearn_metrics.roc_auc_score(labels == k, scores[:, k]) for k in range(4)]
        expected = {
            "top1": sklearn_metrics.accuracy_score(labels, scores.argmax(1)),
            "top3": sklearn_metrics.top_k_accuracy_score(labels, scores, k=3),
            "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(labels, scores.argmax(1)),
            "auc_macro": np.mean(auc),
            **{f"auc/{name}": auc[k] for k, name in enumerate(CLASSES)},
        }
        for name, value in expected.items():
            assert result[f"{level}/{name}"] == pytest.approx(value, abs=1e-12), name


def test_case_rows_are_the_means_of_their_images(run):
    cases, _, _, by_image = predictions(run[0], "image")
    for case, _, _, mean in zip(*predictions(run[0], "case"), strict=True):
        rows = [i for i, other in enumerate(cases) if other == case]
        np.testing.assert_allclose(by_image[rows].mean(0), mean, atol=2e-9)


def test_interval_resamples_patients(run):
    result = json.loads((run[0] / "linear_eval/result.json").read_text())
    _, patients, labels, scores = predictions(run[0], "case")
    assert len(set(patients)) < len(patients)
    top1 = lambda y, p: float((p.argmax(1) == y).mean())
    low, high = bootstrap_interval(top1, labels, scores, np.array(patients), samples=50, seed=0)
    assert result["intervals"]["case/top1"] == pytest.approx([low, high], abs=1e-12)


def test_encoder_and_its_statistics_stay_bit_identical(run):
    """Where it came from, in the copy that linear evaluation keeps, and in memory at its end."""
    path, (everything, encoder), in_memory = run
    assert checkpoint_values(path) == everything
    assert encoder_values(path / "linear_eval") == encoder_values(path) == encoder
    assert [weight.numpy().tobytes() for weight in in_memory.weights] == encoder
    assert len(encoder) == 35 and len(set(encoder)) > 18


def test_features_are_those_of_the_checkpoint_and_are_kept(run, folder, capsys):
    config = Config.from_json((run[0] / "config.json").read_text())
    encoder = factory.build_encoder(config.part(Encoder), config.image_size, batch_norm(1))
    state.restore_models(str(run[0]), encoder=encoder)
    reader = cases.open_cases(config).open("test")
    images = np.concatenate(list(pipeline.image_dataset(reader, 32, config.image_size)))
    kept = np.load(run[0] / "linear_eval/features-test.npy")
    assert kept.shape == (reader.index.num_images, 16)
    np.testing.assert_allclose(encoder(images, training=False), kept, atol=1e-5)
    capsys.readouterr()
    assert cli.main(["--mode=linear_eval", f"--checkpoint={run[0]}", "--bootstrap_samples=50"]) == 0
    assert "finished before" in capsys.readouterr().out


def test_random_encoder_is_the_floor(folder, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    data = [f"--manifest={folder / 'photos/cases.csv'}", f"--data_dir={folder}"]
    assert cli.main(["--mode=linear_eval", *data, *TINY[:3], "--bootstrap_samples=20"]) == 0
    result = json.loads(
        (tmp_path / "runs/derm_cases-manifest/linear_eval-random/result.json").read_text()
    )
    assert result["method"] == "random" and 0 <= result["metrics"]["case/top1"] <= 1
    assert "random, seed 0" in capsys.readouterr().out


def test_labels_that_differ_inside_a_case_have_no_case_level(folder, tmp_path):
    text = (folder / "photos/cases.csv").read_text().splitlines()
    flipped = [line.replace("ring", "oval") if i % 3 == 0 else line for i, line in enumerate(text)]
    (folder / "photos/per_image.csv").write_text("\n".join(flipped))
    data = [f"--manifest={folder / 'photos/per_image.csv'}", f"--data_dir={folder}"]
    more = [
        "--labels_shared_by_case=false",
        "--bootstrap_samples=20",
        f"--model_dir={tmp_path / 'out'}",
    ]
    assert cli.main(["--mode=linear_eval", *data, *TINY[:3], *more]) == 0
    metrics = json.loads((tmp_path / "out/result.json").read_text())["metrics"]
    assert {parsed(name).level for name in metrics} == {"image"}


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--eval_split=train"], "--eval_split=train: the classifier is trained on it\n"),
        (
            ["--train_split=train+validation"],
            "--train_split=train+validation: validation chooses the model\n",
        ),
        (["--eval_split=dev"], "--eval_split=dev: derm_cases/manifest-"),
    ],
)
def test_splits_that_cannot_be_used(run, arguments, message, capsys, tmp_path):
    more = [f"--checkpoint={run[0]}", f"--model_dir={tmp_path / 'out'}"]
    assert cli.main(["--mode=linear_eval", *more, *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")
    assert not (tmp_path / "out").exists()


def test_no_labels_at_all(folder, tmp_path, capsys):
    text = (folder / "photos/cases.csv").read_text().splitlines()
    names = text[0].split(",")
    keep = [i for i, name in enumerate(names) if name != "label"]
    lines = [",".join(line.split(",")[i] for i in keep) for line in text]
    (folder / "photos/unlabelled.csv").write_text("\n".join(lines))
    data = [f"--manifest={folder / 'photos/unlabelled.csv'}", f"--data_dir={folder}"]
    assert (
        cli.main(["--mode=linear_eval", *data, *TINY[:3], f"--model_dir={tmp_path / 'out'}"]) == 2
    )
    assert "has no labels" in capsys.readouterr().err


FINDINGS = ("Edema", "Mass", "Nodule")


@pytest.fixture(scope="module")
def findings_run(folder, whole_heads):
    """A linear evaluation of findings that are partly unknown, on a random encoder."""
    rng = np.random.default_rng(0)
    stated = rng.choice(["1", "0", "-1", ""], (160, 3), p=(0.3, 0.4, 0.1, 0.2))
    lines = (folder / "photos/cases.csv").read_text().splitlines()
    place = lines[0].split(",").index("label")
    rows = [lines[0].split(",")[:place] + lines[0].split(",")[place + 1 :] + list(FINDINGS)]
    for line in lines[1:]:
        fields = line.split(",")
        rows.append([*fields[:place], *fields[place + 1 :], *stated[int(fields[0][1:])]])
    (folder / "photos/findings.csv").write_text("\n".join(map(",".join, rows)))
    data = [f"--manifest={folder / 'photos/findings.csv'}", f"--findings={','.join(FINDINGS)}"]
    more = [f"--data_dir={folder}", "--bootstrap_samples=40", f"--model_dir={folder / 'findings'}"]
    more.append("--unmentioned=ignore")
    assert cli.main(["--mode=linear_eval", *data, *TINY[:3], *more]) == 0
    return folder / "findings"


@pytest.mark.parametrize("level, prefix", [("image", ""), ("case", "case/")])
def test_findings_are_judged_where_they_are_known(findings_run, level, prefix):
    result = json.loads((findings_run / "result.json").read_text())
    with open(findings_run / "predictions.csv", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["level"] == level]
    areas = []
    for name in FINDINGS:
        known = [row for row in rows if int(row[f"label_{name}"]) >= 0]
        assert 0 < len(known) < len(rows)
        labels = [int(row[f"label_{name}"]) for row in known]
        areas.append(sklearn_metrics.roc_auc_score(labels, [float(r[f"p_{name}"]) for r in known]))
        found = result["metrics"][f"{prefix}findings/auc/{name}"]
        assert found == pytest.approx(areas[-1], abs=1e-12)
        low, high = result["intervals"][f"{prefix}findings/auc/{name}"]
        assert 0 <= low < high <= 1
    mean = result["metrics"][f"{prefix}findings/auc_mean"]
    assert mean == pytest.approx(np.mean(areas), abs=1e-12)


def test_findings_are_fitted_by_independent_logistic_regressions(findings_run):
    from sklearn.linear_model import LogisticRegression

    config = Config.from_json((findings_run / "config.json").read_text())
    index = cases.open_cases(config).index
    x, y = np.load(findings_run / "features-train.npy").astype(float), index["train"].findings
    labelled = (y >= 0).any(axis=1)
    mean, std = x[labelled].mean(axis=0), x[labelled].std(axis=0)
    std[std < 1e-6] = 1
    x_test = (np.load(findings_run / "features-test.npy") - mean) / std
    head = keras.models.load_model(findings_run / "head.keras")
    scores = head.predict(np.load(findings_run / "features-test.npy"), verbose=0)
    differences = []
    for l2 in L2_GRID:
        columns = []
        for k in range(3):
            known = y[:, k] >= 0
            model = LogisticRegression(C=1 / (l2 * known.sum()), solver="newton-cholesky")
            model.fit((x[known] - mean) / std, y[known, k])
            columns.append(model.predict_proba(x_test)[:, 1])
        differences.append(np.abs(np.stack(columns, axis=1) - scores).max())
    assert min(differences) < 0.01 < np.median(differences)


def test_a_finished_run_of_findings_says_so(findings_run, capsys):
    config = json.loads((findings_run / "config.json").read_text())
    names = (
        "manifest",
        "findings",
        "data_dir",
        "unmentioned",
        "model_dir",
        "bootstrap_samples",
        "unmentioned",
    )
    flags = [f"--{name}={config[name]}" for name in names]
    assert cli.main(["--mode=linear_eval", *TINY[:3], *flags]) == 0
    shown = capsys.readouterr().out
    assert "finished before" in shown and "case/findings/auc_mean" in shown
