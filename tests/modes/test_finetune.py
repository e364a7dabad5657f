"""Fine-tuning as a whole: what is trained, what is chosen, what is judged, and a killed run."""

import csv
import json
import random
import signal
import time

import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics as sklearn_metrics

from micle_tf import cli
from micle_tf.config import Encoder, ProjectionHead
from micle_tf.data import cases
from micle_tf.data.targets import Targets
from micle_tf.evaluation import classifier
from micle_tf.models import factory
from micle_tf.modes import finetune
from micle_tf.training import state
from tests.generated_cases import TINY, write_cases

CLASSES, FINDINGS = ("bar", "oval", "ring", "star"), ("Edema", "Mass", "Nodule")


def write_manifests(folder):
    """photos/cases.csv with four classes and photos/findings.csv, both with splits by patient."""
    path = write_cases(folder / "photos", num_cases=60, classes=CLASSES)
    with open(path, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rng = np.random.default_rng(4)
    stated = rng.choice(["1", "0", "-1", ""], (60, 3), p=(0.35, 0.4, 0.1, 0.15))
    for row in rows:
        place = int(row["patient_id"][1:]) // 2 % 5
        row["split"] = {4: "validation", 1: "test"}.get(place, "train")
        row |= zip(FINDINGS, stated[int(row["case_id"][1:])], strict=True)
    write_rows(path, rows, leave_out=FINDINGS)
    write_rows(folder / "photos/findings.csv", rows, leave_out=("label",))
    return rows


def write_rows(path, rows, leave_out=()):
    with open(path, "w", newline="", encoding="utf-8") as file:
        names = [name for name in rows[0] if name not in leave_out]
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def data_flags(folder, kind="classes"):
    if kind == "classes":
        return [f"--manifest={folder / 'photos/cases.csv'}", f"--data_dir={folder}"]
    findings = f"--findings={','.join(FINDINGS)}"
    rest = [f"--data_dir={folder}", "--unmentioned=ignore"]
    return [f"--manifest={folder / 'photos/findings.csv'}", findings, *rest]


def command(mode, out, *flags):
    more = [] if mode == "pretrain" else ["--bootstrap_samples=30"]
    return [f"--mode={mode}", f"--model_dir={out}", *more, *flags]


def run(mode, out, *flags):
    assert cli.main(command(mode, out, *flags)) == 0
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The data, and a pretraining of it in run/."""
    folder = tmp_path_factory.mktemp("finetune")
    write_manifests(folder)
    run("pretrain", folder / "run", *data_flags(folder), *TINY, "--train_steps=3")
    return folder


@pytest.fixture(scope="module")
def tuned(folder):
    """{kind: run} of a few epochs, on classes from the pretraining, on findings from nothing."""
    flags = ["--train_epochs=5", "--class_weights=balanced"]
    return {
        "classes": run("finetune", folder / "run/finetune", f"--checkpoint={folder / 'run'}",
                       *flags, "--train_batch_size=16"),
        "findings": run("finetune", folder / "supervised", *data_flags(folder, "findings"), *TINY,
                        *flags, "--train_batch_size=16"),
    }  # fmt: skip


def read_csv(run, level, names):
    """(rows, labels, probabilities) of a level of predictions.csv; only rows with a label."""
    with open(run / "predictions.csv", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["level"] == level]
    if "label" in rows[0]:
        rows = [row for row in rows if row["label"]]
        labels = np.array([names.index(row["label"]) for row in rows])
    else:
        labels = np.array([[int(row[f"label_{name}"]) for name in names] for row in rows])
    return rows, labels, np.array([[float(row[f"p_{name}"]) for name in names] for row in rows])


def result_of(run):
    return json.loads((run / "result.json").read_text())


def log_of(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def encoder_of(run):
    """{path: value} of the encoder in the chosen checkpoint of a run."""
    return {v.path: v.numpy() for v in classifier.open_classifier(str(run)).encoder.weights}


# ---------------------------------------------------------------- what is judged


@pytest.mark.parametrize("level", ["image", "case"])
def test_metrics_of_classes_are_scikit_learns_on_the_predictions(tuned, level):
    _, labels, scores = read_csv(tuned["classes"], level, CLASSES)
    result = result_of(tuned["classes"])
    assert result["method"] == "finetune" and result["dataset"].startswith("derm_cases/manifest-")
    auc = [sklearn_metrics.roc_auc_score(labels == k, scores[:, k]) for k in range(4)]
    expected = {
        "top1": sklearn_metrics.accuracy_score(labels, scores.argmax(1)),
        "top3": sklearn_metrics.top_k_accuracy_score(labels, scores, k=3),
        "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(labels, scores.argmax(1)),
        "auc_macro": np.mean(auc),
        **{f"auc/{name}": auc[k] for k, name in enumerate(CLASSES)},
    }
    np.testing.assert_allclose(scores.sum(1), 1, atol=1e-6)
    for name, value in expected.items():
        assert result["metrics"][f"{level}/{name}"] == pytest.approx(value, abs=1e-12), name


@pytest.mark.parametrize("level, prefix", [("image", ""), ("case", "case/")])
def test_metrics_of_findings_are_scikit_learns_where_they_are_known(tuned, level, prefix):
    _, labels, scores = read_csv(tuned["findings"], level, FINDINGS)
    result = result_of(tuned["findings"])
    assert result["method"] == "supervised" and set(np.unique(labels)) == {-2, -1, 0, 1}
    auc = []
    for k, name in enumerate(FINDINGS):
        known = labels[:, k] >= 0
        auc.append(sklearn_metrics.roc_auc_score(labels[known, k], scores[known, k]))
        found = result["metrics"][f"{prefix}findings/auc/{name}"]
        assert found == pytest.approx(auc[-1], abs=1e-12)
    assert result["metrics"][f"{prefix}findings/auc_mean"] == pytest.approx(np.mean(auc), abs=1e-12)


@pytest.mark.parametrize("kind", ["classes", "findings"])
def test_a_case_is_the_mean_of_its_images(tuned, kind):
    names = CLASSES if kind == "classes" else FINDINGS
    images, labels, scores = read_csv(tuned[kind], "image", names)
    rows, case_labels, means = read_csv(tuned[kind], "case", names)
    assert len(rows) == len({row["case_id"] for row in images}) > 5
    for row, label, mean in zip(rows, case_labels, means, strict=True):
        own = [i for i, image in enumerate(images) if image["case_id"] == row["case_id"]]
        np.testing.assert_allclose(scores[own].mean(0), mean, atol=2e-9)
        assert row["image_id"] == "" and (labels[own] == label).all()


def resampled(patients, samples=30, seed=0):
    """Rows of each resample of patients, drawn as `bootstrap_intervals` states it."""
    rng, unique = np.random.default_rng(seed), sorted(set(patients))
    for _ in range(samples):
        drawn = rng.choice(len(unique), size=len(unique))
        yield np.concatenate(
            [[i for i, p in enumerate(patients) if p == unique[k]] for k in drawn]
        ).astype(int)


def test_intervals_resample_patients(tuned):
    rows, labels, scores = read_csv(tuned["classes"], "case", CLASSES)
    patients = [row["patient_id"] for row in rows]
    assert len(set(patients)) < len(patients)
    hits = (scores.argmax(1) == labels).astype(float)
    expected = np.percentile([hits[drawn].mean() for drawn in resampled(patients)], [2.5, 97.5])
    found = result_of(tuned["classes"])["intervals"]["case/top1"]
    assert found == pytest.approx(expected, abs=1e-12) and found[0] < found[1]


def test_intervals_of_a_finding_resample_patients(tuned):
    rows, labels, scores = read_csv(tuned["findings"], "image", FINDINGS)
    known = (labels >= 0).any(1)
    patients = [row["patient_id"] for row, wanted in zip(rows, known, strict=True) if wanted]
    labels, scores = labels[known, 1], scores[known, 1]
    values = []
    for drawn in resampled(patients):
        positive = scores[drawn][labels[drawn] == 1]
        negative = scores[drawn][labels[drawn] == 0]
        if len(positive) and len(negative):
            difference = positive[:, None] - negative
            values.append(((difference > 0) + 0.5 * (difference == 0)).mean())
    found = result_of(tuned["findings"])["intervals"][f"findings/auc/{FINDINGS[1]}"]
    assert found == pytest.approx(np.percentile(values, [2.5, 97.5]), abs=1e-12)


# ---------------------------------------------------------------- what is trained


@pytest.mark.parametrize("block", [1, 4])
def test_frozen_parts_stay_bit_identical(folder, block):
    """Of an encoder with two groups."""
    out = folder / f"frozen{block}"
    flags = ["--train_steps=2", "--train_batch_size=8", "--learning_rate=1"]
    run(
        "finetune",
        out,
        f"--checkpoint={folder / 'run'}",
        f"--fine_tune_after_block={block}",
        *flags,
    )
    before, after = encoder_of(folder / "run"), encoder_of(out)
    groups = [f"block_group{group}_" for group in range(block + 1, 5)]
    assert len(before) == 35
    for name, value in before.items():
        free = name.split("/")[-2].startswith(tuple(groups)) if groups else False
        assert (value.tobytes() != after[name].tobytes()) == free, name


def models_of(config, kept_layers):
    shape, head = config.part(Encoder), config.part(ProjectionHead)
    size = config.image_size
    return factory.classifier_models(shape, head, size, len(CLASSES), kept_layers=kept_layers)


def test_kept_projection_layers_start_from_the_checkpoint(folder):
    out = folder / "selected"
    flags = ["--ft_proj_selector=1", "--train_steps=1", "--train_batch_size=8"]
    run("finetune", out, f"--checkpoint={folder / 'run'}", *flags)
    config = state.read_config(str(out))[0]
    head = models_of(config, 2)
    whole = {name: head[name] for name in ("encoder", "projection_head")}
    state.restore_models(str(folder / "run"), **whole)
    models = models_of(config, config.ft_proj_selector)
    tf.train.Checkpoint(**models).restore(str(out / "checkpoints/ckpt-0")).expect_partial()
    width = models["encoder"].output_shape[-1]
    assert models["classifier"].weights[0].shape == (width, 4)  # a hidden layer is as wide
    assert [v.name for v in models["projection_head"].weights] == [
        "kernel", "gamma", "beta", "moving_mean", "moving_variance"
    ]  # fmt: skip
    for name in whole:
        for found, expected in zip(models[name].weights, whole[name].weights, strict=False):
            np.testing.assert_array_equal(found, expected)
    start = models["projection_head"].weights[0].numpy()
    state.restore_models(str(out), **models)
    assert (models["projection_head"].weights[0].numpy() != start).mean() > 0.5


def test_random_weights_are_the_supervised_baseline(tuned, capsys):
    config = json.loads((tuned["findings"] / "config.json").read_text())
    assert config["checkpoint"] == "" and config["targets"]["multilabel"]
    arguments = [
        f"--{name}={config[name]}" for name in ("manifest", "findings", "data_dir", "unmentioned")
    ]
    flags = ["--train_epochs=5", "--class_weights=balanced", "--train_batch_size=16"]
    run("finetune", tuned["findings"], *arguments, *TINY, *flags)
    shown = capsys.readouterr().out
    assert (
        "weights: random, seed 0: the supervised baseline" in shown and "finished before" in shown
    )


# ---------------------------------------------------------------- what is chosen


DIVERGING = [
    "--train_steps=40", "--validate_every=2steps", "--patience=3", "--best_metric=loss",
    "--fine_tune_after_block=4", "--learning_rate=30", "--learning_rate_scaling=none",
    "--train_batch_size=8", "--checkpoint_every=1000steps",
]  # fmt: skip


@pytest.fixture(scope="module")
def diverging(folder):
    """A run whose validation loss gets worse, stopped for it."""
    return run("finetune", folder / "diverging", f"--checkpoint={folder / 'run'}", *DIVERGING)


def test_best_is_the_highest_auc_or_the_lowest_loss(tuned, diverging):
    for path, name, choose in (
        (tuned["classes"], "case/auc_macro", np.nanargmax),
        (tuned["findings"], "case/findings/auc_mean", np.nanargmax),
        (diverging, "loss", np.nanargmin),
    ):
        judged = [line for line in log_of(path) if f"validation/{name}" in line]
        values = [line[f"validation/{name}"] for line in judged]
        best = judged[choose(values)]
        assert state.step_of(state.chosen_checkpoint(str(path))) == best["step"]
        assert result_of(path)["metrics"][f"validation/{name}"] == values[choose(values)]
        assert len(set(values)) > 2


def test_patience_stops_a_run_that_gets_no_better(diverging):
    lines = log_of(diverging)
    best = state.step_of(state.chosen_checkpoint(str(diverging)))
    steps = [line["step"] for line in lines if "validation/loss" in line]
    assert steps == list(range(2, best + 3 * 2 + 1, 2))
    assert result_of(diverging)["steps"] == lines[-1]["step"] == best + 6 < 40


def test_judged_are_the_best_weights_and_not_the_last(diverging):
    rows, _, scores = read_csv(diverging, "image", CLASSES)
    config = state.read_config(str(diverging))[0]
    reader = cases.open_cases(config).open("test")
    kept = np.isin(reader.index.image_id, [row["image_id"] for row in rows])
    best = tf.train.latest_checkpoint(str(diverging / "checkpoints/best"))
    last = tf.train.latest_checkpoint(str(diverging / "checkpoints"))
    assert state.step_of(best) < state.step_of(last)
    models = models_of(config, config.ft_proj_selector)
    forward = finetune._probabilities(models, Targets(CLASSES, False))
    found = []
    for path in (best, last):
        tf.train.Checkpoint(**models).restore(path).expect_partial()
        found.append(finetune.predict_images(forward, reader, config.image_size, 256)[kept])
        traced = forward.experimental_get_tracing_count()
        assert traced <= 2  # a whole batch and a rest, once, however often it is validated
    np.testing.assert_allclose(found[0], scores, atol=1e-6)
    assert np.abs(found[1] - scores).max() > 1e-3


# ---------------------------------------------------------------- a killed run


def test_a_run_killed_while_it_was_judged_is_judged_again(diverging, folder):
    kept = {name: (diverging / name).read_bytes() for name in ("predictions.csv", "metrics.jsonl")}
    result = result_of(diverging)
    (diverging / "result.json").unlink()
    (diverging / "predictions.csv").unlink()
    run("finetune", diverging, f"--checkpoint={folder / 'run'}", *DIVERGING)
    for name, content in kept.items():
        assert (diverging / name).read_bytes() == content
    again = result_of(diverging)
    assert {k: again[k] for k in again if k != "seconds"} == {
        k: result[k] for k in result if k != "seconds"
    }


@pytest.mark.slow
def test_a_killed_run_ends_as_one_that_was_not(folder, warm):
    flags = [f"--checkpoint={folder / 'run'}", "--train_steps=36", "--validate_every=3steps",
             "--train_batch_size=8", "--case_images=one", "--log_every=5", "--optimizer=adam",
             "--learning_rate=0.01", "--vertical_flip"]  # fmt: skip
    whole = run("finetune", folder / "whole", *flags, "--checkpoint_every=1000steps")
    killed, deaths = folder / "killed", 0
    words = ["-m", "tests.made_small", *command("finetune", killed, *flags)]
    while deaths < 2:
        process = warm.start(*words, "--checkpoint_every=2steps")
        before = newest(killed)
        while process.poll() is None and newest(killed) in (before, 0):
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL  # else it was done before it could be killed
        deaths += 1
        assert 0 < newest(killed) < 36 and not (killed / "result.json").exists()
    run("finetune", killed, *flags)
    for place in ("checkpoints", "checkpoints/best"):
        found, expected = (tensors(path / place) for path in (killed, whole))
        assert found.keys() == expected.keys() and len(found) > 35
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value, err_msg=name)
    chosen = [state.step_of(state.chosen_checkpoint(str(path))) for path in (killed, whole)]
    assert chosen[0] == chosen[1]
    assert (killed / "predictions.csv").read_bytes() == (whole / "predictions.csv").read_bytes()
    assert result_of(killed)["metrics"] == result_of(whole)["metrics"]
    logs = [{line["step"]: line["loss"] for line in log_of(path)} for path in (killed, whole)]
    assert logs[0] == logs[1] and len(logs[0]) == len(log_of(killed))


def newest(run):
    steps = [int(path.stem.split("-")[1]) for path in (run / "checkpoints").glob("ckpt-*.index")]
    return max(steps, default=0)


def tensors(path):
    reader = tf.train.load_checkpoint(str(path))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if "save_counter" not in name and "OBJECT_GRAPH" not in name
    }
